//! `POST V/backupJobsExport`: a report of jobs that is put where a link leads (bodies as in the service's own examples).
//!
//! The link is made up and leads nowhere: what is in the report is not modelled.

use serde_json::json;

use super::jobs::newest_first;
use super::lists::terms_of;
use super::operations::{Effect, Family, Memory, Outcome, unknown_operation};
use super::settings::Span;
use super::state::{State, backup_error};
use super::vault::VaultPath;
use crate::wire::{Inbound, Neighbours, Reply};

const REPORT: &str = "ExportJobsOperationResultInfo";

impl State {
    /// POST, with the filter of the list of jobs.
    pub(super) fn export_jobs(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        if let Err(refusal) = terms_of(req).and_then(|terms| newest_first(vault.jobs.values(), &terms).map(drop)) {
            return *refusal;
        }
        // How long it takes is a guess.
        let operation = self.begin(n, &path.key, n.guid(), Family::Export, Effect::Accepted, Span::between(10, 30));
        let base = &path.raw;
        self.accepted(req, &format!("{base}/backupOperations"), &format!("{base}/backupJobs/operationResults"), &operation)
    }

    /// `V/backupJobs/operationResults/{id}`
    pub(super) fn export_result(&self, req: &Inbound, path: &VaultPath, id: &str) -> Reply {
        let known = self.operations.get(&id.to_lowercase());
        let known = known.filter(|op| op.vault == path.key && op.family == Family::Export && op.memory == Memory::Kept);
        let Some(operation) = known else { return unknown_operation(id) };
        match &operation.outcome {
            Outcome::Running => {
                let (url, wait) = (self.signed(req, &req.raw_path(), req.api_version()), self.settings.retry_after.to_string());
                let headers = json!({"Location": [&url], "Retry-After": [&wait]});
                Reply::json(202, json!({"operation": {"objectType": REPORT}, "headers": headers}))
                    .with_header("location", url)
                    .with_header("retry-after", wait)
            }
            Outcome::Succeeded => {
                let blob = format!("https://azureblob.blob.core.windows.net/reportcontainer/exportjobsreport{}", operation.id);
                let key = "?sv=2014-02-14&sr=b&sig=azure-sim&sp=r";
                Reply::json(200, json!({"operation": {"objectType": REPORT, "blobUrl": blob, "blobSasKey": key}, "headers": {}}))
            }
            Outcome::Failed { code, message } => backup_error(400, code, message.clone()),
        }
    }
}
