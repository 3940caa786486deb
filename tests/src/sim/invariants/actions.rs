//! No second action, and one open `Once` operation per logical machine.

use std::collections::{BTreeMap, BTreeSet};

use azure_sim::journal::Entry;
use breakwater_engine::ports::ObjectKey;
use serde_json::Value;

use super::{Verdict, call::Call, leave::Leave, truth::text};

/// Actions that may happen once for their key.
const ONCE: [&str; 4] = ["/backup", "/restore", "/backupcrossregionrestore", MOUNT];
const MOUNT: &str = "/provisioninstantitemrecovery";
const REVOKE: &str = "/revokeinstantitemrecovery";

/// What was started so far.
#[derive(Clone, Default)]
pub struct Actions {
    /// By client, action and once-key, or path where no record names one: how often Azure took it.
    taken: BTreeMap<String, u64>,
    /// Points whose mount was revoked.
    revoked: BTreeSet<String>,
    /// The once-key of each request id that a record of ours was made for.
    keys: BTreeMap<String, String>,
    /// Set where a test withdraws rights: else each denial is a right that the shipped roles lack.
    pub rights_are_withdrawn: bool,
}

impl Actions {
    /// Notes for what a request is made.
    pub fn hear(&mut self, call: &Call) {
        let Some(holder) = &call.holder else { return };
        if let (Some(id), Some(key)) = (call.request.client_request_id, holder.record["key"].as_str()) {
            self.keys.insert(id.to_string().to_ascii_lowercase(), key.to_owned());
        }
    }

    /// What happens once happens once for its key, whatever others do and from whichever point: a backup or a restore of what
    /// no record names counts by its path alone.
    ///
    /// # Errors
    /// The second one.
    pub fn look(&mut self, entry: &Entry, leave: &Leave) -> Verdict {
        let lower = entry.path.to_ascii_lowercase();
        let once = ONCE.iter().any(|action| lower.ends_with(action));
        if let Some(point) = lower.strip_suffix(REVOKE).filter(|_| entry.applied) {
            self.revoked.insert(point.to_owned());
        }
        if entry.method == "POST" && once && entry.applied {
            let id = entry.client_request_id.as_ref().map(|id| id.to_ascii_lowercase());
            let key = id.and_then(|id| self.keys.get(&id).cloned());
            let action = lower.rsplit('/').next().unwrap_or_default();
            let what = key.map_or_else(|| lower.clone(), |key| format!("{action} {key}"));
            let count = self.taken.entry(format!("{} {what}", entry.client)).or_default();
            *count += 1;
            // What was mounted and revoked, for its script was lost on the way, is mounted once more.
            let again = lower.strip_suffix(MOUNT).is_some_and(|point| self.revoked.contains(point));
            if *count > 1 + u64::from(again) {
                return Err(format!("a second time, for one key: {lower} by {}", entry.client));
            }
        }
        if entry.status == 501 {
            return Err(format!("azure-sim does not know {} {}", entry.method, entry.path));
        }
        if entry.status == 403 && entry.fault.is_none() && !self.rights_are_withdrawn {
            return Err(format!("a right is missing for {} {}: {:?}", entry.method, entry.path, entry.code));
        }
        if entry.method == "DELETE" && !leave.allows(entry) {
            return Err(format!("nothing is ever deleted unasked: {}", entry.path));
        }
        Ok(())
    }
}

/// Whether two `Once` operations are open on one machine, whoever holds them and in whichever vault.
///
/// # Errors
/// Both of them.
pub fn one_at_a_time<'a>(operations: impl Iterator<Item = (ObjectKey, &'a Value)>) -> Verdict {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    for (key, record) in operations.filter(|(_, record)| is_open_once(record)) {
        let Some(machine) = machine(record) else { continue };
        let who = format!("{} {}/{} {}", key.kind, key.namespace, key.name, record["node"]);
        if let Some(other) = open.insert(machine.clone(), who.clone()) {
            return Err(format!("two operations are open on {machine}: {other} and {who}"));
        }
    }
    Ok(())
}

fn is_open_once(record: &Value) -> bool {
    record["verb"] == "act" && record["endedAt"].is_null() && record["error"].is_null() && record["debt"].is_null()
}

/// The machine, by its name in containers and items: it says group and machine, in any vault (backup.md §3).
fn machine(record: &Value) -> Option<String> {
    let lower = text(record, "/target").to_ascii_lowercase();
    lower.split('/').find(|word| word.starts_with("vm;")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use breakwater_arm::wire::{Method, Request};
    use serde_json::json;

    use super::*;
    use crate::sim::invariants::call::Holder;

    fn entry(method: &str, path: &str, status: u16) -> Entry {
        Entry {
            seq: 1,
            time: "2026-11-24T08:00:00Z".parse().expect("a time"),
            caller: String::new(),
            client: "us".into(),
            method: method.into(),
            path: path.into(),
            query: Value::Null,
            body: Value::Null,
            client_request_id: None,
            status,
            code: None,
            applied: status < 400,
            fault: None,
            throttled: false,
            actions: Vec::new(),
        }
    }

    #[test]
    fn a_second_backup_of_a_machine_is_told_and_somebody_elses_is_not_ours() {
        let (mut actions, none) = (Actions::default(), Leave::default());
        assert_eq!(actions.look(&entry("POST", "/v/i/backup", 202), &none), Ok(()));
        assert_eq!(actions.look(&Entry { client: "them".into(), ..entry("POST", "/v/i/backup", 202) }, &none), Ok(()));
        assert_eq!(actions.look(&entry("POST", "/v/i/backup", 409), &none), Ok(()), "refused");
        assert!(actions.look(&entry("POST", "/V/i/backup", 202), &none).unwrap_err().contains("a second time, for one key"));
    }

    #[test]
    fn a_second_restore_under_one_key_is_told_from_whichever_point() {
        let id = |n: u32| format!("6f1c1a3e-0000-5000-8000-00000000000{n}");
        let call = |n: u32, key: &str| {
            let mut request = Request::new(Method::Post, "/v/i/p1/restore", "1");
            request.client_request_id = Some(id(n).parse().expect("an id"));
            let holder = Holder { record: json!({ "key": key }), ..Holder::planted("shop") };
            Call { holder: Some(holder), ..Call::planted(request, true) }
        };
        let took = |n: u32, path: &str| Entry { client_request_id: Some(id(n).to_ascii_uppercase()), ..entry("POST", path, 202) };
        let (mut actions, none) = (Actions::default(), Leave::default());
        [call(1, "a"), call(2, "b"), call(3, "a")].iter().for_each(|call| actions.hear(call));
        assert_eq!(actions.look(&took(1, "/v/i/p1/restore"), &none), Ok(()));
        assert_eq!(actions.look(&took(2, "/v/i/p1/restore"), &none), Ok(()), "another key is another restore");
        assert!(actions.look(&took(3, "/v/i/p2/restore"), &none).unwrap_err().contains("a second time, for one key"));
    }

    #[test]
    fn a_delete_a_missing_right_and_an_answer_that_nobody_modelled_are_told() {
        let said = |method, status| Actions::default().look(&entry(method, "/v", status), &Leave::default()).err().unwrap_or_default();
        assert!(said("DELETE", 200).contains("nothing is ever deleted"));
        assert!(said("GET", 403).contains("a right is missing"));
        assert!(said("GET", 501).contains("does not know"));
        assert_eq!(said("GET", 404), "");
    }

    #[test]
    fn two_open_operations_on_one_machine_are_told_in_whichever_vault() {
        let record = |vault: &str, machine: &str| json!({"verb": "act", "node": "n", "target": format!("/{vault}/protectedItems/VM;x;rg;{machine}/backup")});
        let key = |name: &str| ObjectKey { kind: "K".into(), namespace: "shop".into(), name: name.into() };
        let said = |a: Value, b: Value| one_at_a_time([(key("a"), &a), (key("b"), &b)].into_iter()).err().unwrap_or_default();
        assert!(said(record("v", "m"), record("w", "M")).contains("two operations are open on vm;x;rg;m"));
        assert_eq!(said(record("v", "m"), record("v", "n")), "");
        let mut over = record("v", "m");
        over["endedAt"] = json!("2026-11-24T08:00:00Z");
        assert_eq!(said(over, record("v", "m")), "");
    }
}
