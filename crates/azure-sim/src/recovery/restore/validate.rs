//! `POST V/backupTriggerValidateOperation`: what a restore would find wrong, without one (backup.md §13).
//!
//! Nobody recorded it: bodies are the SDK's.

use serde_json::{Value, json};

use super::super::item::Finding;
use super::super::operations::{Asked, Effect, Family, Outcome};
use super::super::state::{State, refused};
use super::super::vault::VaultPath;
use super::super::vault_rules::Refused;
use super::request::{Ask, Flaw};
use super::{Named, Wanted};
use crate::wire::{Inbound, Neighbours, Reply};

impl State {
    /// POST: 202, then `backupValidateOperationsStatuses/{id}` has what was found. The checks are made when it is asked.
    pub(in crate::recovery) fn trigger_validation(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        if self.vault(&path.key).is_none() {
            return path.not_found();
        }
        let (id, properties) = (req.body["id"].as_str().unwrap_or_default().to_owned(), &req.body["properties"]);
        if properties["objectType"] != "ValidateIaasVMRestoreOperationRequest" {
            return refused(&self.settings.restore.refusals.request, "The object type of the request is not valid.");
        }
        let found = match self.validate(n, path, &id, &properties["restoreRequest"]) {
            Ok(found) => found,
            Err(Some(refusal)) => return *refusal,
            Err(None) => return self.flawed(req, &Flaw::Unmodelled("restoreRequest")),
        };
        let results: Vec<Value> = found
            .iter()
            .map(|finding| json!({"code": finding.title, "message": finding.message, "recommendations": finding.recommendations}))
            .collect();
        let span = self.settings.restore.durations.validate;
        let operation = self.begin(n, &path.key, n.guid(), Family::Validation, Effect::Accepted, span);
        if let Some(stored) = self.operations.get_mut(&operation) {
            let response = json!({"validationResults": results});
            stored.told =
                Some(json!({"objectType": "OperationStatusValidateOperationExtendedInfo", "validateOperationResponse": response}));
        }
        let base = &path.raw;
        self.accepted(
            req,
            &format!("{base}/backupValidateOperationsStatuses"),
            &format!("{base}/backupValidateOperationResults"),
            &operation,
        )
    }

    /// What a restore would be refused for, or find. `Err(None)` asks for what is not modelled.
    fn validate(&self, n: &dyn Neighbours, path: &VaultPath, id: &str, request: &Value) -> Result<Vec<Finding>, Option<Refused>> {
        let words: Vec<&str> = id.split('/').filter(|word| !word.is_empty()).collect();
        let place = words.iter().position(|word| word.eq_ignore_ascii_case("protectionContainers"));
        let name = |at: usize| place.and_then(|place| words.get(place + at)).map(|word| word.replace("%3B", ";").replace("%3b", ";"));
        let (Some(container), Some(item), Some(point)) = (name(1), name(3), name(5)) else {
            let refusal = &self.settings.restore.refusals.request;
            return Err(Some(Box::new(refused(refusal, "id is not that of a recovery point."))));
        };
        let named = self.named_point(path, &container, &item, &point).map_err(Some)?;
        let ask = match Ask::read(request) {
            Ok(ask) => ask,
            Err(Flaw::Unmodelled(_)) => return Err(None),
            Err(Flaw::Wrong(message)) => return Ok(vec![Finding::new(0, &self.settings.restore.refusals.request.code, &message)]),
        };
        Ok(self.would_find(n, &named, ask))
    }

    fn would_find(&self, n: &dyn Neighbours, named: &Named<'_>, ask: Ask) -> Vec<Finding> {
        let refused = |reply: &Reply| {
            let error = reply.body.as_ref().map(|body| &body["error"]).cloned().unwrap_or_default();
            Finding::new(0, error["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
        };
        match (self.plan_restore(n, named, ask, Wanted::Here), self.vault(&named.path.key)) {
            (Ok(plan), Some(vault)) => self.restore_findings(n, vault, &plan),
            (Err(refusal), _) => vec![refused(&refusal)],
            (Ok(_), None) => Vec::new(),
        }
    }

    /// `V/backupValidateOperationResults/{id}`: 202 while it runs, then 200 with the response [sdk].
    pub(in crate::recovery) fn validation_result(&self, req: &Inbound, path: &VaultPath, id: &str) -> Reply {
        let known = self.operations.get(&id.to_lowercase()).filter(|op| op.vault == path.key && op.family == Family::Validation);
        match known {
            Some(operation) if operation.outcome == Outcome::Succeeded => {
                let told = operation.told.as_ref().map(|told| told["validateOperationResponse"].clone()).unwrap_or_default();
                Reply::json(200, json!({"validateOperationResponse": told}))
            }
            _ => self.poll_backup_operation(req, path, id, Some(&Family::Validation), Asked::Result),
        }
    }
}
