//! Where the body decides which act a request is.

use serde_json::Value;

use super::Act;
use crate::{
    names::{LOCATION, PROTECTED_ITEM, RECOVERY_POINT, TAG_RESTORE},
    wire::Method::{self, Patch, Post, Put},
};

/// The act of a request of that type (and action, of a POST), by its body; `None` refuses.
pub(super) fn refine(method: Method, (resource_type, action): (&str, Option<&str>), act: Act, body: Option<&Value>) -> Option<Act> {
    let is = |wanted: &str| resource_type.eq_ignore_ascii_case(wanted);
    match method {
        // the other operations drop tags of other people
        Patch if is("Microsoft.Resources/tags") => {
            let operation = body.and_then(|b| b.get("operation")).and_then(Value::as_str).unwrap_or_default();
            let tags = body.and_then(|b| b.pointer("/properties/tags")).and_then(Value::as_object);
            let is_mark = tags.is_some_and(|tags| tags.len() == 1 && tags.contains_key(TAG_RESTORE));
            operation.eq_ignore_ascii_case("Merge").then_some(if is_mark { Act::Restore } else { act })
        }
        Put if is(PROTECTED_ITEM) => Some(if keeps_protection(body) { act } else { Act::Delete }),
        Post if is(RECOVERY_POINT) && action == Some("restore") => restore(only(body?, "properties")?),
        // in the other region there is no machine whose disks could be replaced
        Post if is(LOCATION) && action == Some("backupCrossRegionRestore") => {
            restore(only(body?, "restoreRequest")?).filter(|act| *act == Act::Restore)
        }
        _ => Some(act),
    }
}

/// Stopping protection lets points expire (backup.md §9); so may a statement that names no policy; undeletion does not.
fn keeps_protection(body: Option<&Value>) -> bool {
    let text = |pointer: &str| body.and_then(|b| b.pointer(pointer)).and_then(Value::as_str).unwrap_or_default();
    let keeps = !text("/properties/policyId").is_empty() && text("/properties/protectionState").is_empty();
    let brings_back = body.and_then(|b| b.pointer("/properties/isRehydrate")).and_then(Value::as_bool) == Some(true);
    keeps || brings_back
}

/// What an `IaasVMRestoreRequest` is (backup.md §13); `None` for what nobody knows here.
fn restore(request: &Value) -> Option<Act> {
    let kind = only(request, "objectType")?.as_str()?;
    let known = ["IaasVMRestoreRequest", "IaasVMRestoreWithRehydrationRequest"];
    known.iter().any(|k| k.eq_ignore_ascii_case(kind)).then_some(())?;
    match only(request, "recoveryType")?.as_str()?.to_ascii_lowercase().as_str() {
        "alternatelocation" | "restoredisks" => Some(Act::Restore),
        "originallocation" => Some(Act::ReplaceDisks),
        _ => None,
    }
}

/// The one field of that name. The service reads names in any case: of two spellings it may take the other one.
fn only<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut found = object.as_object()?.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}
