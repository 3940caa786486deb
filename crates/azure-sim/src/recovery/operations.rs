//! Long-running operations: two families of URLs, ids and bodies (backup.md §3).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::item::Finding;
use super::jobs::JobStatus;
use super::names::{ItemKey, NO_TIME, time_text};
use super::protect::Change;
use super::settings::{GoneVaultStatus, Span};
use super::state::{Event, State, backup_error};
use super::vault::VaultPath;
use crate::wire::{Inbound, Neighbours, Reply};

/// What refresh and cancel advertise as api-version of their status URL, whatever the caller's (§1.1).
const OLD_VERSION: &str = "2019-05-13-preview";

/// What a header cannot hold as it is: names of groups may have any letter. Semicolons stay, as recorded (§1.3).
const UNPRINTABLE: &AsciiSet = &CONTROLS.add(b' ');

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Running,
    Succeeded,
    Failed { code: String, message: String },
}

/// Whether an operation ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Free,
    Stuck,
}

/// Whether an operation's URLs still answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Kept,
    Expired,
}

/// Which URLs an operation answers under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The vault resource: `operationStatus` and base64 ids.
    Vault,
    /// An item, or something done to it.
    Item(ItemKey),
    /// The fabric: `refreshContainers`.
    Fabric,
    /// A job: `cancel`.
    Job(String),
    /// The vault: `backupTriggerValidateOperation`.
    Validation,
    /// The secondary region of that name, with a base64 id.
    Secondary(String),
    /// A deleted vault: `undelete`, with a base64 id.
    Deleted,
    /// The vault: `backupJobsExport`.
    Export,
}

/// What an operation does when it ends.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    CreateVault,
    PatchVault {
        patch: Value,
        identity: Option<Value>,
    },
    DeleteVault,
    /// The deleted vault of that name is a vault again, with this ARM id.
    UndeleteVault {
        deleted: String,
        id: String,
    },
    Item(Change),
    /// The mount of a point's disks.
    Mount {
        item: ItemKey,
        point: String,
    },
    /// Its end.
    Unmount {
        item: ItemKey,
        point: String,
    },
    Discover,
    /// Nothing: the work is a job's.
    Accepted,
}

/// One long-running operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub id: String,
    /// Key of the vault.
    pub vault: String,
    pub family: Family,
    pub started: Timestamp,
    pub outcome: Outcome,
    pub hold: Hold,
    pub memory: Memory,
    pub job: Option<String>,
    /// `properties` of its success, where they are not a job's.
    pub told: Option<Value>,
    pub effect: Effect,
    /// Whether the end of a deletion was told, which is told once.
    pub end_was_told: bool,
}

/// Which of the two URLs of an operation is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Status,
    Result,
}

/// The id of the operation that an answer announces, taken from its `azure-asyncoperation` header.
pub fn operation_id(reply: &Reply) -> Option<String> {
    let (_, url) = reply.headers.iter().find(|(name, _)| name == "azure-asyncoperation")?;
    url.split('?').next()?.rsplit('/').next().map(str::to_owned)
}

/// The id of a vault operation: base64 of a number and a GUID; the number tells create, patch and delete apart (§3.1).
pub(super) fn vault_operation_id(number: u16, guid: &str) -> String {
    STANDARD.encode(format!("{number};{guid}"))
}

impl State {
    /// Starts an operation that ends after a time drawn from `span`.
    pub(super) fn begin(&mut self, n: &dyn Neighbours, vault: &str, id: String, family: Family, effect: Effect, span: Span) -> String {
        let due = self.clock + span.pick(n.chance());
        self.after(due, Event::Operation { id: id.clone() });
        let operation = Operation {
            id: id.clone(),
            vault: vault.to_owned(),
            family,
            started: self.clock,
            outcome: Outcome::Running,
            hold: Hold::Free,
            memory: Memory::Kept,
            job: None,
            told: None,
            effect,
            end_was_told: false,
        };
        self.operations.insert(id.clone(), operation);
        id
    }

    /// The job an operation has led to, whether or not its polls say so yet.
    pub fn job_of_operation(&self, id: &str) -> Option<&str> {
        self.operations.get(&self.operation_key(id)?)?.job.as_deref()
    }

    /// The key of an operation by its id in any case: base64 ids are compared like all others here, for hooks only.
    pub(super) fn operation_key(&self, id: &str) -> Option<String> {
        self.operations.keys().find(|known| known.eq_ignore_ascii_case(id)).cloned()
    }

    pub(super) fn end_operation(&mut self, n: &dyn Neighbours, id: &str) {
        let Some(operation) = self.operations.get(id).filter(|op| op.hold == Hold::Free && op.outcome == Outcome::Running).cloned() else {
            return;
        };
        let failure = self.apply(n, &operation);
        self.conclude(&operation, failure);
    }

    /// Ends an operation and its configuration job, with or without a failure.
    pub(super) fn conclude(&mut self, operation: &Operation, failure: Option<Finding>) {
        let now = self.clock;
        if let Some(vault) = self.vault_mut(&operation.vault) {
            if let Family::Item(item) = &operation.family
                && vault.busy.get(item) == Some(&operation.id)
            {
                vault.busy.remove(item);
            }
            if let (Some(id), Effect::Item(_)) = (&operation.job, &operation.effect)
                && let Some(job) = vault.jobs.get_mut(id)
            {
                job.end = Some(now);
                job.status = if failure.is_some() { JobStatus::Failed } else { JobStatus::Completed };
                job.errors.extend(failure.clone());
            }
        }
        if let Some(stored) = self.operations.get_mut(&operation.id) {
            stored.outcome = match failure {
                None => Outcome::Succeeded,
                Some(finding) => Outcome::Failed { code: finding.title, message: finding.message },
            };
        }
    }

    fn apply(&mut self, n: &dyn Neighbours, operation: &Operation) -> Option<Finding> {
        match &operation.effect {
            Effect::CreateVault => self.vault_created(&operation.vault),
            Effect::PatchVault { patch, identity } => return self.vault_patched(n, &operation.vault, patch, identity.as_ref()),
            Effect::DeleteVault => self.vault_deleted(n, &operation.vault),
            Effect::UndeleteVault { deleted, id } => return self.vault_undeleted(deleted, id),
            Effect::Discover => self.discovered(n, &operation.vault),
            Effect::Accepted => {}
            Effect::Mount { item, point } => self.mounted(&operation.vault, item, point, operation.started),
            Effect::Unmount { item, point } => self.unmounted(&operation.vault, item, point),
            Effect::Item(change) => return self.item_changed(n, operation, change),
        }
        None
    }

    /// 202 with the status URLs of an operation, spelled as the caller spelled its request (§1.3).
    pub(super) fn accepted(&self, req: &Inbound, status_path: &str, result_path: &str, id: &str) -> Reply {
        let of_item = status_path.to_lowercase().contains("/protecteditems/");
        let version = if of_item || !status_path.ends_with("/operationsStatus") { req.api_version() } else { OLD_VERSION };
        Reply::empty(202)
            .with_header("azure-asyncoperation", self.signed(req, &format!("{status_path}/{id}"), version))
            .with_header("location", self.signed(req, &format!("{result_path}/{id}"), req.api_version()))
            .with_header("retry-after", self.settings.retry_after.to_string())
    }

    /// A poll URL with its signature parameters, which make it 4 to 5 kB long (§0).
    pub(super) fn signed(&self, req: &Inbound, path: &str, version: &str) -> String {
        let text = filler(path, self.settings.signature_length);
        let (t, rest) = text.split_at(text.len().min(18));
        let (s, rest) = rest.split_at(rest.len().min(342));
        let (h, c) = rest.split_at(rest.len().min(43));
        let path = utf8_percent_encode(path, UNPRINTABLE);
        format!("{}{path}?api-version={version}&t={t}&c={c}&s={s}&h={h}", req.origin)
    }

    /// `V/operationStatus/{id}` and `V/operationResults/{id}`.
    pub(super) fn poll_vault_operation(&mut self, req: &Inbound, vault: &VaultPath, id: &str, asked: Asked) -> Reply {
        let is_known = |op: &&Operation| op.vault == vault.key && op.family == Family::Vault && op.memory == Memory::Kept;
        if self.vault(&vault.key).is_none() {
            let deletion = self.operations.get_mut(id).filter(|op| is_known(&&**op) && matches!(op.effect, Effect::DeleteVault));
            let told = deletion.map(|op| std::mem::replace(&mut op.end_was_told, true));
            match (told, self.settings.gone_vault_status) {
                (None, _) | (_, GoneVaultStatus::NotFound) | (Some(true), GoneVaultStatus::SucceededOnce) => return vault.not_found(),
                _ => {}
            }
        }
        let known = self.operations.get(id).filter(is_known);
        let Some(operation) = known else { return unknown_operation(id) };
        let path = format!("{}/operationStatus/{id}", vault.raw);
        let results = format!("{}/operationResults/{id}", vault.raw);
        let status = match &operation.outcome {
            Outcome::Running => "InProgress",
            Outcome::Succeeded => "Succeeded",
            Outcome::Failed { .. } => "Failed",
        };
        let mut reply = match (asked, &operation.outcome) {
            (Asked::Result, Outcome::Running) => Reply::empty(202),
            (Asked::Result, Outcome::Succeeded) => Reply::empty(200),
            (Asked::Result, Outcome::Failed { code, message }) => backup_error(400, code, message.clone()),
            (Asked::Status, outcome) => {
                let mut body = json!({"id": path, "name": id, "status": status});
                if let Outcome::Failed { code, message } = outcome {
                    body["error"] = json!({"code": code, "message": message});
                }
                Reply::json(200, body)
            }
        };
        if operation.outcome == Outcome::Running {
            reply = reply
                .with_header("azure-asyncoperation", self.signed(req, &path, req.api_version()))
                .with_header("location", self.signed(req, &results, req.api_version()))
                .with_header("retry-after", self.settings.retry_after.to_string());
        }
        reply
    }

    /// The backup family's polls. `only` restricts to the operations that answer under the asked URL;
    /// `V/backupOperations` answers for all (§3.2).
    pub(super) fn poll_backup_operation(&self, req: &Inbound, vault: &VaultPath, id: &str, only: Option<&Family>, asked: Asked) -> Reply {
        let id = id.to_lowercase();
        let known = self.operations.get(&id).filter(|op| op.vault == vault.key && op.family != Family::Vault && op.memory == Memory::Kept);
        let Some(operation) = known.filter(|op| only.is_none_or(|family| op.family == *family)) else { return unknown_operation(&id) };
        match asked {
            Asked::Status => Reply::json(200, status_body(operation, req.api_version())),
            Asked::Result => self.result_of(req, operation),
        }
    }

    fn result_of(&self, req: &Inbound, operation: &Operation) -> Reply {
        match &operation.outcome {
            Outcome::Running => Reply::empty(202)
                .with_header("location", self.signed(req, &req.raw_path(), req.api_version()))
                .with_header("retry-after", self.settings.retry_after.to_string()),
            Outcome::Failed { code, message } => backup_error(400, code, message.clone()),
            // 200 with the item [doc]; 204 where there is nothing left or nothing to show (§3.2).
            Outcome::Succeeded => match (&operation.family, &operation.effect) {
                (Family::Item(item), Effect::Item(_)) => {
                    let vault = self.vault(&operation.vault);
                    vault.and_then(|vault| Some((vault, vault.items.get(item)?))).map_or_else(
                        || Reply::empty(204),
                        |(vault, item)| Reply::json(200, item.render(vault, &self.settings, self.clock, req.api_version())),
                    )
                }
                _ => Reply::empty(204),
            },
        }
    }
}

pub(super) fn status_body(operation: &Operation, version: &str) -> Value {
    let started = time_text(operation.started);
    let mut body = json!({"id": operation.id, "name": operation.id, "startTime": started});
    match &operation.outcome {
        Outcome::Running => {
            body["status"] = json!("InProgress");
            body["endTime"] = json!(NO_TIME);
        }
        Outcome::Succeeded => {
            body["status"] = json!("Succeeded");
            // To the tick the start, as recorded.
            body["endTime"] = json!(started);
        }
        // No failed one was ever recorded (§18): this is the SDK's model.
        Outcome::Failed { code, message } => {
            body["status"] = json!("Failed");
            body["endTime"] = json!(started);
            body["error"] = json!({"code": code, "message": message});
        }
    }
    if let (Some(job), false) = (&operation.job, operation.outcome == Outcome::Running) {
        body["properties"] = json!({"objectType": "OperationStatusJobExtendedInfo", "jobId": job});
    }
    if let (Some(told), Outcome::Succeeded) = (&operation.told, &operation.outcome) {
        body["properties"] = super::files::as_told(told, version);
    }
    body
}

/// The answer for an operation that nobody knows (any more): the code is a guess.
pub(super) fn unknown_operation(id: &str) -> Reply {
    backup_error(404, "ResourceNotFound", format!("The operation '{id}' was not found."))
}

/// Text that looks like a signature: the same for the same path.
fn filler(seed: &str, length: usize) -> String {
    let mut text = String::with_capacity(length + 43);
    let mut block = Sha256::digest(seed.as_bytes());
    while text.len() < length {
        text.push_str(&URL_SAFE_NO_PAD.encode(block));
        block = Sha256::digest(block);
    }
    text.truncate(length);
    text
}
