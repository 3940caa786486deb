//! Which request is which act, read or write: one table. What it does not hold, the gate refuses.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::{IdError, ResourceId},
    wire::Method,
};

/// What an `AzureAccess` may allow (api.md, "AzureAccess").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Act {
    /// See.
    Read,
    /// Make and keep vaults, policies, protection.
    Protect,
    /// Start a backup.
    Backup,
    /// Restore to something new.
    Restore,
    /// Put other disks under a living machine.
    ReplaceDisks,
    /// Get at the data itself: file recovery, SAS.
    ReadData,
    /// Take snapshots.
    Snapshot,
    /// Remove snapshots that are due.
    Prune,
    /// Keep replication.
    Replicate,
    /// Test a failover.
    Drill,
    /// Fail over.
    FailOver,
    /// Run a runbook.
    RunRunbook,
    /// Remove, or let expire earlier.
    Delete,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It does not, also where the verb is POST.
    Read,
    /// It may.
    Write,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The act that must be allowed.
    pub act: Act,
    /// Read or write.
    pub effect: Effect,
    /// The resource it is sent to: of a collection, the resource that holds it (a vault, a group, a subscription).
    pub target: ResourceId,
    /// The type of the resource, of the collection's members, or of what the action is done to.
    pub resource_type: String,
    /// The action's name, of a POST.
    pub action: Option<String>,
}

impl Classified {
    /// Whether it only gives back what was lent, or merges a tag: what may be done on a saved record's word alone.
    pub fn is_closing(&self) -> bool {
        let named = self.action.as_ref().is_some_and(|action| CLOSING.iter().any(|c| c.eq_ignore_ascii_case(action)));
        named || self.resource_type.eq_ignore_ascii_case("Microsoft.Resources/tags")
    }

    /// Whether it cannot be taken back: failing over and what completes it, other disks under a machine, any removal.
    /// Such a request is looked at once more just before it leaves (architecture.md, rule 6).
    pub fn is_irreversible(&self) -> bool {
        matches!(self.act, Act::Delete | Act::FailOver | Act::ReplaceDisks)
    }
}

/// What gives back something lent: a mount, a disk's address, a test failover, a mark.
const CLOSING: [&str; 4] = ["revokeInstantItemRecovery", "endGetAccess", "testFailoverCleanup", "refreshContainers"];

/// What the path of a row names.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// One resource.
    One,
    /// The resources of a type below a resource.
    All,
    /// An action on one resource.
    Do(&'static str),
}

use Act::{Backup, Delete, Protect, Read};
use Form::{All, Do, One};
use Method::{Get, Patch, Post, Put};

type Row = (Method, &'static str, Form, Act, Effect);

const fn read(resource_type: &'static str, form: Form) -> Row {
    (Get, resource_type, form, Read, Effect::Read)
}

const fn ask(resource_type: &'static str, action: &'static str) -> Row {
    (Post, resource_type, Do(action), Read, Effect::Read)
}

const fn write(method: Method, resource_type: &'static str, act: Act) -> Row {
    (method, resource_type, One, act, Effect::Write)
}

const fn action(resource_type: &'static str, action: &'static str, act: Act) -> Row {
    (Post, resource_type, Do(action), act, Effect::Write)
}

/// The one normative table. `DELETE` of one resource of any type named here is [`Act::Delete`] and needs no row.
const TABLE: &[Row] = &[
    read("Microsoft.Resources/subscriptions", One),
    read("Microsoft.Resources/resourceGroups", One),
    read("Microsoft.Resources/resourceGroups", All),
    read("Microsoft.Resources/resources", All),
    read("Microsoft.Resources/tags", One),
    write(Patch, "Microsoft.Resources/tags", Protect), // Merge only: `refine`
    read("Microsoft.Authorization/locks", One),
    read("Microsoft.Authorization/locks", All),
    read("Microsoft.Compute/disks", One),
    read("Microsoft.Compute/virtualMachines", One),
    read("Microsoft.Compute/virtualMachines", All),
    read("Microsoft.Compute/virtualMachines/instanceView", All),
    read("Microsoft.RecoveryServices/vaults", One),
    read("Microsoft.RecoveryServices/vaults", All),
    read("Microsoft.RecoveryServices/vaults/usages", All),
    read("Microsoft.RecoveryServices/vaults/operationStatus", One),
    read("Microsoft.RecoveryServices/vaults/operationResults", One),
    write(Put, "Microsoft.RecoveryServices/vaults", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults", Protect),
    read("Microsoft.RecoveryServices/vaults/backupconfig", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupconfig", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults/backupconfig", Protect),
    read("Microsoft.RecoveryServices/vaults/backupstorageconfig", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupstorageconfig", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults/backupstorageconfig", Protect),
    read("Microsoft.RecoveryServices/vaults/backupEncryptionConfigs", One),
    read("Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", All),
    read("Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", Protect),
    read("Microsoft.RecoveryServices/vaults/backupPolicies", One),
    read("Microsoft.RecoveryServices/vaults/backupPolicies", All),
    write(Put, "Microsoft.RecoveryServices/vaults/backupPolicies", Protect),
    read("Microsoft.RecoveryServices/vaults/backupPolicies/operations", One),
    read("Microsoft.RecoveryServices/vaults/backupPolicies/operationResults", One),
    ask("Microsoft.RecoveryServices/locations", "backupStatus"),
    read("Microsoft.RecoveryServices/locations/deletedVaults", All),
    read("Microsoft.RecoveryServices/vaults/backupProtectableItems", All),
    read("Microsoft.RecoveryServices/vaults/backupProtectionContainers", All),
    read("Microsoft.RecoveryServices/vaults/backupDeletedProtectionContainers", All),
    action("Microsoft.RecoveryServices/vaults/backupFabrics", "refreshContainers", Protect),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/operationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupProtectedItems", All),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", Protect), // or Delete: `refine`
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/operationsStatus", One),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/operationResults", One),
    action("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", "backup", Backup),
    ask("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", "recoveryPointsRecommendedForMove"),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints", One),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints", All),
    read("Microsoft.RecoveryServices/vaults/backupOperations", One),
    read("Microsoft.RecoveryServices/vaults/backupOperationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupJobs", One),
    read("Microsoft.RecoveryServices/vaults/backupJobs", All),
    read("Microsoft.RecoveryServices/vaults/backupJobs/operationResults", One),
];

/// What a request is, by the one table; `None` when the table does not hold it: then it must not be sent.
///
/// `path` is decoded, as in [`crate::wire::Request`]: one that holds `%`, `?` or `#` is refused, because what is
/// checked here would not be what is sent.
pub fn classify(method: Method, path: &str, body: Option<&Value>) -> Option<Classified> {
    if path.contains(['%', '?', '#']) {
        return None;
    }
    let (target, resource_type, readings) = read_path(method, path)?;
    let known = |form: Form| TABLE.iter().find(|row| row.0 == method && row.2 == form && row.1.eq_ignore_ascii_case(&resource_type));
    let row = match readings {
        Reading::One if method == Method::Delete => {
            TABLE.iter().any(|row| row.1.eq_ignore_ascii_case(&resource_type)).then_some((Delete, Effect::Write, None))
        }
        Reading::One => known(One).map(|row| (row.3, row.4, None)),
        Reading::All => known(All).map(|row| (row.3, row.4, None)),
        Reading::Action(word) => TABLE.iter().find_map(|row| match row.2 {
            Do(name) if row.0 == method && row.1.eq_ignore_ascii_case(&resource_type) && name.eq_ignore_ascii_case(&word) => {
                Some((row.3, row.4, Some(name.to_owned())))
            }
            _ => None,
        }),
    };
    let (act, effect, action) = row?;
    let act = refine(method, &resource_type, act, body)?;
    Some(Classified { act, effect, target, resource_type, action })
}

enum Reading {
    One,
    All,
    Action(String),
}

/// Splits a path into the resource it is sent to, the type, and what it names of it.
fn read_path(method: Method, path: &str) -> Option<(ResourceId, String, Reading)> {
    if let Ok(id) = path.parse::<ResourceId>() {
        let resource_type = id.resource_type().to_string();
        return Some((id, resource_type, Reading::One));
    }
    let (holder, word) = path.trim_end_matches('/').rsplit_once('/')?;
    if let Ok(id) = holder.parse::<ResourceId>() {
        let own = id.resource_type();
        return Some(match method {
            Post => (id, own.to_string(), Reading::Action(word.to_owned())),
            // of a subscription or a group the collections are ARM's own
            _ if own.as_str().starts_with("Microsoft.Resources/") => (id, format!("Microsoft.Resources/{word}"), Reading::All),
            _ => (id, format!("{own}/{word}"), Reading::All),
        });
    }
    let (scope, namespace) = holder.rsplit_once('/')?;
    let (scope, providers) = scope.rsplit_once('/')?;
    providers.eq_ignore_ascii_case("providers").then_some(())?;
    Some((scope.parse().ok()?, format!("{namespace}/{word}"), Reading::All))
}

/// Where the body decides: `None` refuses.
fn refine(method: Method, resource_type: &str, act: Act, body: Option<&Value>) -> Option<Act> {
    let text = |pointer: &str| body.and_then(|b| b.pointer(pointer)).and_then(Value::as_str).unwrap_or_default();
    match method {
        // the other operations drop tags of other people
        Patch if resource_type.eq_ignore_ascii_case("Microsoft.Resources/tags") => {
            text("/operation").eq_ignore_ascii_case("Merge").then_some(act)
        }
        // stopping protection lets points expire (backup.md §9); so may a statement that names no policy; undeletion does not
        Put if resource_type.eq_ignore_ascii_case(crate::names::PROTECTED_ITEM) => {
            let keeps = !text("/properties/policyId").is_empty() && text("/properties/protectionState").is_empty();
            let brings_back = body.and_then(|b| b.pointer("/properties/isRehydrate")).and_then(Value::as_bool) == Some(true);
            Some(if keeps || brings_back { act } else { Delete })
        }
        _ => Some(act),
    }
}

/// Every ARM id in a path and a body, however deep: in values, in the keys of objects, inside longer texts and in
/// URLs. The first is the path's resource.
///
/// # Errors
/// A text that looks like an ARM id and is none: the request must not be sent.
pub fn ids_in(path: &str, body: Option<&Value>) -> Result<Vec<ResourceId>, IdError> {
    let (target, ..) = read_path(Get, path).ok_or_else(|| IdError::NoSubscription(path.to_owned()))?;
    let mut found = vec![target];
    if let Some(body) = body {
        walk(body, &mut found)?;
    }
    Ok(found)
}

fn walk(value: &Value, found: &mut Vec<ResourceId>) -> Result<(), IdError> {
    match value {
        Value::String(text) => ids_of_text(text, found),
        Value::Array(values) => values.iter().try_for_each(|v| walk(v, found)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, v)| {
            ids_of_text(key, found)?;
            walk(v, found)
        }),
        _ => Ok(()),
    }
}

/// What ends an id inside a longer text.
const ENDS_AN_ID: &str = "\"'`<>,|{}[]?#&\\";

fn ids_of_text(text: &str, found: &mut Vec<ResourceId>) -> Result<(), IdError> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let lower = decoded.to_ascii_lowercase();
    if lower.starts_with("/subscriptions/") {
        found.push(text.parse()?);
        return Ok(());
    }
    if lower.starts_with("subscriptions/") || lower.starts_with("/providers/") || lower == "/subscriptions" {
        return Err(IdError::NoSubscription(text.to_owned()));
    }
    let mut from = 0;
    while let Some(at) = lower[from..].find("/subscriptions/").map(|at| from + at) {
        let rest = &decoded[at..];
        let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || ENDS_AN_ID.contains(c)).unwrap_or(rest.len());
        found.push(rest[..end].parse()?);
        from = at + end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";
    const V: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v";
    const VM: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a/providers/Microsoft.Compute/virtualMachines/m";

    fn item() -> String {
        format!(
            "{V}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;a;m/protectedItems/VM;iaasvmcontainerv2;a;m"
        )
    }

    #[test]
    fn each_request_is_its_act() {
        let protect = json!({"properties": {"policyId": "x", "sourceResourceId": VM}});
        let merge = json!({"operation": "Merge", "properties": {"tags": {}}});
        let cases = [
            (Get, SUB.to_owned(), None, "Read Read"),
            (Get, format!("{SUB}/resources"), None, "Read Read"),
            (Get, format!("{SUB}/resourceGroups"), None, "Read Read"),
            (Get, format!("{SUB}/resourceGroups/a/resources"), None, "Read Read"),
            (Get, format!("{SUB}/providers/Microsoft.Compute/virtualMachines"), None, "Read Read"),
            (Get, format!("{VM}/instanceView"), None, "Read Read"),
            (Get, format!("{VM}/providers/Microsoft.Authorization/locks"), None, "Read Read"),
            (Get, format!("{V}/backupJobs"), None, "Read Read"),
            (Get, format!("{}/recoveryPoints", item()), None, "Read Read"),
            (Get, format!("{V}/operationStatus/MjA0Nzs="), None, "Read Read"),
            (Post, format!("{SUB}/providers/Microsoft.RecoveryServices/locations/weu/backupStatus"), None, "Read Read"),
            (Get, format!("{SUB}/providers/Microsoft.RecoveryServices/locations/weu/deletedVaults"), None, "Read Read"),
            (Post, format!("{}/recoveryPointsRecommendedForMove", item()), None, "Read Read"),
            (Post, format!("{V}/backupFabrics/Azure/refreshContainers"), None, "Protect Write"),
            (Put, V.to_owned(), None, "Protect Write"),
            (Patch, format!("{V}/backupconfig/vaultconfig"), None, "Protect Write"),
            (Put, item(), Some(&protect), "Protect Write"),
            (Post, format!("{}/backup", item()), None, "Backup Write"),
            (Patch, format!("{V}/providers/Microsoft.Resources/tags/default"), Some(&merge), "Protect Write"),
            (Method::Delete, item(), None, "Delete Write"),
            (Method::Delete, VM.to_owned(), None, "Delete Write"),
        ];
        for (method, path, body, wanted) in cases {
            let got = classify(method, &path, body).map(|c| format!("{:?} {:?}", c.act, c.effect));
            assert_eq!(got.as_deref(), Some(wanted), "{method} {path}");
        }
    }

    #[test]
    fn stopping_protection_is_a_delete_in_whatever_words() {
        for body in [
            json!({"properties": {"policyId": "", "protectionState": "ProtectionStopped"}}),
            json!({"properties": {"policyId": "x", "protectionState": "BackupsSuspended"}}),
            json!({"properties": {"policyId": "x", "protectionState": "SomethingNew"}}),
            json!({"properties": {}}),
        ] {
            assert_eq!(classify(Put, &item(), Some(&body)).unwrap().act, Delete, "{body}");
        }
        assert_eq!(classify(Put, &item(), None).unwrap().act, Delete);
    }

    #[test]
    fn what_the_table_does_not_hold_is_refused() {
        let replace = json!({"operation": "Replace", "properties": {"tags": {}}});
        for (method, path, body) in [
            (Post, format!("{VM}/deallocate"), None),
            (Put, VM.to_owned(), None),
            (Put, format!("{V}/providers/Microsoft.Resources/tags/default"), None),
            (Patch, format!("{V}/providers/Microsoft.Resources/tags/default"), Some(&replace)),
            (Post, format!("{}/recoveryPoints/1/restore", item()), None),
            (Get, format!("{V}/secrets"), None),
            (Get, "/subscriptions".into(), None),
            (Get, format!("{V}/backupJobs?x"), None),
            (Get, format!("{SUB}/resourceGroups/a%2Fb"), None),
            (Method::Delete, format!("{V}/backupJobs"), None),
            (Method::Delete, format!("{SUB}/resourceGroups/a/providers/Microsoft.Web/sites/s"), None),
        ] {
            assert_eq!(classify(method, &path, body), None, "{method} {path}");
        }
    }

    #[test]
    fn a_collection_is_sent_to_the_resource_that_holds_it() {
        assert_eq!(classify(Get, &format!("{V}/backupJobs"), None).unwrap().target, V.parse().unwrap());
        let list = classify(Get, &format!("{SUB}/providers/Microsoft.RecoveryServices/vaults"), None).unwrap();
        assert_eq!((list.target, list.resource_type.as_str()), (SUB.parse().unwrap(), "Microsoft.RecoveryServices/vaults"));
    }

    #[test]
    fn ids_are_found_wherever_they_hide() {
        let upper = VM.to_uppercase();
        let body = json!({
            "a": [{"b": format!("https://management.azure.com{V}?api-version=1")}],
            format!("{SUB}/resourceGroups/key"): null,
            "text": format!("before '{upper}' and {SUB}/resourceGroups/two, after"),
            "encoded": VM.replace('/', "%2F"),
            "harmless": "/a/subscription",
        });
        let found = ids_in(&item(), Some(&body)).unwrap();
        let wanted: Vec<ResourceId> = [&*item(), VM, V, VM, &format!("{SUB}/resourceGroups/two"), &format!("{SUB}/resourceGroups/key")]
            .map(|s| s.parse().unwrap())
            .into();
        let sorted = |mut ids: Vec<ResourceId>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(found), sorted(wanted));
    }

    #[test]
    fn what_looks_like_an_id_and_is_none_is_an_error() {
        for text in [
            "/subscriptions/not-a-guid/resourceGroups/x".to_owned(),
            format!("{SUB}/resourceGroups/a/../b"),
            format!("https://management.azure.com{SUB}/resourceGroups/a/oops"),
            format!("{SUB}/resourceGroups/a,{SUB}/resourceGroups/b"),
            "subscriptions/11111111-1111-1111-1111-111111111111".to_owned(),
            "/providers/Microsoft.Management/managementGroups/all".to_owned(),
        ] {
            assert!(ids_in(SUB, Some(&json!({"x": [text]}))).is_err(), "{text}");
        }
        assert!(ids_in("/providers/Microsoft.ResourceGraph/resources", None).is_err());
    }
}
