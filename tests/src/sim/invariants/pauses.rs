//! Nothing is started while suspended, by its own spec or by that of its `AzureAccess`, in a mode that sends nothing, or
//! without the lease. Debts aside.

use serde_json::Value;

use super::{Call, Verdict};
use crate::cluster::record::{Outcome, Verb, WriteRecord, Writer};

/// Why a spec starts nothing.
pub fn pause(spec: &Value) -> Option<&str> {
    match spec["mode"].as_str() {
        _ if spec["suspend"] == true => Some("suspended"),
        Some(mode) if mode != "Manage" => Some(mode),
        _ => None,
    }
}

/// Why nothing is started for an object: by its spec, or because its access is suspended.
pub fn why(spec: &Value, access_is_suspended: bool) -> Option<&str> {
    pause(spec).or(access_is_suspended.then_some("under a suspended AzureAccess"))
}

/// A request to Azure.
///
/// # Errors
/// What forbids it.
pub fn sends(call: &Call, access_is_suspended: bool) -> Verdict {
    if !call.is_write {
        return Ok(());
    }
    if !call.leads {
        return Err(format!("{} without the lease", call.line()));
    }
    let holder = call.holder.as_ref().ok_or_else(|| format!("{} left without a saved intent", call.line()))?;
    match why(&holder.spec, access_is_suspended) {
        Some(why) if !holder.is_debt => Err(format!("{} while {} is {why}", call.line(), holder.key.name)),
        _ => Ok(()),
    }
}

/// A write to Kubernetes. `owner` finds the spec of the object that a new one belongs to, and whether its access is suspended.
///
/// # Errors
/// What forbids it.
pub fn writes(write: &WriteRecord, leads: bool, owner: impl Fn(&Value) -> Option<(Value, bool)>) -> Verdict {
    if write.writer != Writer::Operator {
        return Ok(());
    }
    if !leads {
        return Err(format!("a write without the lease: {write}"));
    }
    let owners = write.body.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    for reference in owners.into_iter().flatten().filter(|_| write.verb == Verb::Create && write.outcome == Outcome::Applied) {
        if let Some(why) = owner(reference).as_ref().and_then(|(spec, access_is_suspended)| why(spec, *access_is_suspended)) {
            return Err(format!("made while {} is {why}: {write}", reference["name"]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use breakwater_arm::wire::{Method, Request};
    use breakwater_engine::ports::ObjectKey;
    use serde_json::json;

    use super::*;
    use crate::sim::invariants::call::Holder;

    fn call(spec: Value, is_debt: bool, leads: bool) -> String {
        let holder = Some(Holder { spec, is_debt, ..Holder::planted("shop") });
        let call = Call { holder, leads, ..Call::planted(Request::new(Method::Put, "/x", "1"), true) };
        sends(&call, false).err().unwrap_or_default()
    }

    #[test]
    fn a_request_that_leaves_in_a_pause_or_without_the_lease_or_an_intent_is_told() {
        assert_eq!(call(json!({"mode": "Manage"}), false, true), "");
        for spec in [json!({"suspend": true}), json!({"mode": "Plan"}), json!({"mode": "Observe"})] {
            assert!(call(spec.clone(), false, true).contains("while main is"), "{spec}");
            assert_eq!(call(spec, true, true), "", "what was opened is closed all the same");
        }
        assert!(call(json!({}), true, false).contains("without the lease"));
        let unsaved = Call::planted(Request::new(Method::Put, "/x", "1"), true);
        assert!(sends(&unsaved, false).unwrap_err().contains("without a saved intent"));
        assert_eq!(sends(&Call { leads: false, ..Call::planted(Request::new(Method::Get, "/x", "1"), false) }, true), Ok(()));
    }

    #[test]
    fn a_request_under_an_access_that_is_suspended_is_told_and_a_debt_is_paid_there() {
        let of = |is_debt| {
            let holder = Some(Holder { spec: json!({"mode": "Manage"}), is_debt, ..Holder::planted("shop") });
            Call { holder, ..Call::planted(Request::new(Method::Put, "/x", "1"), true) }
        };
        assert!(sends(&of(false), true).unwrap_err().contains("under a suspended AzureAccess"));
        assert_eq!((sends(&of(true), true), sends(&of(false), false)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_child_that_is_made_in_a_pause_and_any_write_without_the_lease_is_told() {
        let body = json!({"metadata": {"ownerReferences": [{"kind": "BackupPolicy", "name": "daily"}]}});
        let key = ObjectKey { kind: "ProtectedMachine".into(), namespace: "shop".into(), name: "m".into() };
        let write = WriteRecord::planted(Writer::Operator, Verb::Create, key, body);
        let said = |spec: Value, leads: bool| writes(&write, leads, |_| Some((spec.clone(), false))).err().unwrap_or_default();
        assert_eq!(said(json!({}), true), "");
        assert!(said(json!({"mode": "Plan"}), true).contains("is Plan"));
        assert!(said(json!({}), false).contains("without the lease"));
        assert!(writes(&write, true, |_| Some((json!({}), true))).unwrap_err().contains("under a suspended AzureAccess"));
        let by_hand = WriteRecord { writer: Writer::User, ..write.clone() };
        assert_eq!(writes(&by_hand, false, |_| None), Ok(()));
    }
}
