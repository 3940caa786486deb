//! Intent before the request, under the version that the plan was made from; the handle after; no open record dropped.

use std::collections::{BTreeMap, BTreeSet};

use azure_sim::journal::Entry;
use breakwater_engine::ports::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Call, Verdict, pauses, truth::text};
use crate::cluster::record::{Outcome, Verb, WriteRecord, Writer};

/// A request leaves at most so long after its intent, on the wall (architecture.md, rule 2).
const SEND_WITHIN: f64 = 20.0;

/// An answer that was lost is looked for at least so long.
const SETTLE_ONCE: SignedDuration = SignedDuration::from_mins(5);

/// What was intended, sent and saved so far.
#[derive(Clone, Default)]
pub struct Intents {
    /// Of each intent: the generation that it was saved on.
    saved: BTreeMap<String, i64>,
    /// The last call of each request id.
    sent: BTreeMap<String, Sent>,
    /// Ids of requests that Azure carried out, whether we heard of it or not.
    applied: BTreeSet<String>,
    /// Ids that this process saved itself: it knows whether they left.
    own: BTreeSet<String>,
    /// Versions that this process got as answers to its own writes, and by live reads of turns that are over.
    answered: BTreeMap<ObjectKey, BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Refused,
    Accepted,
    Unknown,
}

impl Intents {
    /// The process is gone, and what it knew.
    pub fn forget_process(&mut self) {
        self.own.clear();
        self.answered.clear();
    }

    /// What Azure says of a request.
    pub fn journalled(&mut self, entry: &Entry) {
        self.applied.extend(entry.client_request_id.clone().filter(|_| entry.applied));
    }

    /// What live reads of a turn that is over have shown: the next plan may be made from it.
    pub fn learn(&mut self, got: Vec<(ObjectKey, String)>) {
        for (key, version) in got {
            self.answered.entry(key).or_default().insert(version);
        }
    }

    /// One write to Kubernetes. `shown` is the version that this process's watch gave out for the object, `runs` says
    /// whether a request's job still runs in Azure, `suspended` whether an access is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn wrote(
        &mut self,
        write: &WriteRecord,
        shown: Option<&str>,
        runs: impl Fn(&str) -> bool,
        suspended: impl Fn(&str) -> bool,
    ) -> Verdict {
        if write.writer != Writer::Operator {
            return Ok(());
        }
        let (before, after) = (records(write.before.as_deref().map(|b| &b.value)), records(write.after.as_deref().map(|a| &a.value)));
        if write.verb == Verb::PatchStatus && write.outcome == Outcome::Applied {
            for (id, record) in after.iter().filter(|(id, record)| !before.contains_key(*id) && record["job"].is_null()) {
                self.intended(write, id, record, shown, &suspended)?;
            }
            let leaving = write.before.as_ref().is_some_and(|b| !b.value["metadata"]["deletionTimestamp"].is_null());
            for (id, record) in before.iter().filter(|(id, _)| !after.contains_key(*id) && !leaving) {
                self.dropped(write.at, id, record, &runs)?;
                self.told(write, id, record)?;
            }
        }
        if let (Some(after), true) = (&write.after, write.fault.is_none()) {
            let version = text(&after.value, "/metadata/resourceVersion").to_owned();
            self.answered.entry(write.key.clone()).or_default().insert(version);
        }
        Ok(())
    }

    fn intended(
        &mut self,
        write: &WriteRecord,
        id: &str,
        record: &Value,
        shown: Option<&str>,
        suspended: &impl Fn(&str) -> bool,
    ) -> Verdict {
        let object = &write.before.as_ref().ok_or("an intent on nothing")?.value;
        let condition = write.condition.as_deref().unwrap_or_default();
        let known = shown == Some(condition) || self.answered.get(&write.key).is_some_and(|versions| versions.contains(condition));
        if condition.is_empty() || !known {
            return Err(format!("an intent saved under version '{condition}', which no plan was made from (shown {shown:?}): {write}"));
        }
        let attempt = record["attempt"].as_i64().unwrap_or(0);
        if !(1..=8).contains(&attempt) {
            return Err(format!("attempt {attempt} of {id}"));
        }
        let access = write.after.as_ref().map(|after| text(&after.value, "/status/access/name")).unwrap_or_default();
        if let Some(why) = pauses::why(&object["spec"], suspended(access)) {
            return Err(format!("an intent while {why}: {write}"));
        }
        let at = text(record, "/intentAt").parse::<Timestamp>().map_err(|error| format!("intentAt of {id}: {error}"))?;
        if at > write.at || at + SignedDuration::from_mins(1) < write.at {
            return Err(format!("intent {id} is of {at} and was saved at {}", write.at));
        }
        self.saved.insert(id.to_owned(), object["metadata"]["generation"].as_i64().unwrap_or(0));
        self.own.insert(id.to_owned());
        Ok(())
    }

    /// What a run has begun is told by its status, once no record tells it: nothing else keeps it from beginning anew.
    fn told(&self, write: &WriteRecord, id: &str, record: &Value) -> Verdict {
        let of_run = [("RestoreRun", "restore"), ("BackupRun", "backup")]
            .iter()
            .any(|(kind, node)| write.key.kind == *kind && record["node"] == *node);
        let is_run = of_run && record["verb"] == "act";
        let status = write.after.as_ref().map(|after| &after.value["status"]).unwrap_or(&Value::Null);
        let waits = status["phase"].is_null() || status["phase"] == "Pending";
        if is_run && waits && self.applied.contains(id) && status["job"]["name"].is_null() {
            return Err(format!("the record of {id} was dropped, and nothing tells that it was begun: {write}"));
        }
        Ok(())
    }

    /// A record that is gone: its request was refused or never left, or what it did is over.
    fn dropped(&self, at: Timestamp, id: &str, record: &Value, runs: &impl Fn(&str) -> bool) -> Verdict {
        let sent = self.sent.get(id).copied();
        // What may be repeated is over when its target is as wanted, though a job of it may still say otherwise.
        if runs(id) && record["verb"] == "act" {
            return Err(format!("the record of {id} was dropped while its job runs: {record}"));
        }
        let never_left = sent.is_none() && self.own.contains(id);
        let once = record["verb"] == "act" && record["debt"].is_null();
        let intent = text(record, "/intentAt").parse::<Timestamp>().unwrap_or(at);
        // What Azure carried out may show in its target at once; what it did not must be looked for.
        let is_known = matches!(sent, Some(Sent::Refused | Sent::Accepted)) || self.applied.contains(id);
        let is_lost = !never_left && !is_known && record["job"].is_null();
        if once && is_lost && at < intent + SETTLE_ONCE {
            return Err(format!("the record of {id} was dropped {} after its intent: {record}", at.duration_since(intent)));
        }
        let is_shown = self.applied.contains(id);
        if sent == Some(Sent::Accepted)
            && !is_shown
            && once
            && record["job"].is_null()
            && record["endedAt"].is_null()
            && at < intent + SETTLE_ONCE
        {
            return Err(format!("the record of {id} was dropped before anything proved its end: {record}"));
        }
        Ok(())
    }

    /// One request to Azure, with what the audit record said of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn sent(&mut self, call: &Call, factor: f64, audited: Option<&Value>) -> Verdict {
        let Some(holder) = call.holder.as_ref().filter(|_| call.is_write) else { return Ok(()) };
        let audited = audited.ok_or_else(|| format!("{} left without an audit record", call.line()))?;
        let id = call.id();
        if !holder.is_debt {
            let at = text(&holder.record, "/intentAt").parse::<Timestamp>().map_err(|error| format!("intentAt of {id}: {error}"))?;
            let wall = call.at.duration_since(at).as_secs_f64() / factor;
            if !(0.0..=SEND_WITHIN).contains(&wall) {
                return Err(format!("{} left {wall} s after its intent", call.line()));
            }
            let (planned, saved) = (audited["generation"].as_i64(), self.saved.get(&id).copied());
            if planned != saved {
                return Err(format!("{} was planned from generation {planned:?} and saved on {saved:?}", call.line()));
            }
        }
        let sent = match () {
            () if call.refused() => Sent::Refused,
            () if call.accepted() => Sent::Accepted,
            () => Sent::Unknown,
        };
        self.sent.insert(id, sent);
        Ok(())
    }

    /// After the turn: what Azure took is on record with a handle, a job or an end, unless that could not be saved.
    /// `record` is the record as it stands; none when it is over or could be let go.
    ///
    /// # Errors
    /// The record that knows nothing of the answer.
    pub fn handled(call: &Call, record: Option<&Value>, saved: bool) -> Verdict {
        let Some(holder) = call.holder.as_ref().filter(|holder| !holder.is_debt && call.accepted() && saved) else { return Ok(()) };
        // When to ask again is no handle: whoever comes next must know what to ask about.
        let known = |record: &Value| ["handle", "endedAt", "job"].iter().any(|field| !record[*field].is_null());
        match record {
            Some(record) if !known(record) => Err(format!("{} was taken, and {} knows no handle: {record}", call.line(), holder.key.name)),
            _ => Ok(()),
        }
    }
}

/// Whether a write puts an operation on record that was not there before.
pub fn begins(write: &WriteRecord) -> bool {
    let before = records(write.before.as_deref().map(|before| &before.value));
    records(write.after.as_deref().map(|after| &after.value)).keys().any(|id| !before.contains_key(id))
}

/// Records by request id.
pub fn records(object: Option<&Value>) -> BTreeMap<String, Value> {
    let all = object.and_then(|object| object.pointer("/status/operations")).and_then(Value::as_array);
    all.into_iter().flatten().map(|record| (text(record, "/clientRequestId").to_owned(), record.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use breakwater_arm::wire::{Answer, Method, Request};
    use breakwater_engine::ports::SendError;
    use serde_json::json;

    use super::*;
    use crate::{cluster::store::Stored, sim::invariants::call::Holder};

    const NOW: &str = "2026-11-24T08:00:00Z";
    const ID: &str = "6f1c1a3e-0000-5000-8000-000000000001";

    fn record() -> Value {
        json!({"node": "n", "verb": "act", "intentAt": NOW, "attempt": 1, "clientRequestId": ID})
    }

    fn stored(version: &str, operations: &[Value], spec: &Value) -> Arc<Stored> {
        let value = json!({"apiVersion": "breakwater.io/v1alpha1", "kind": "RecoveryVault", "spec": spec,
            "metadata": {"name": "main", "namespace": "shop", "resourceVersion": version, "generation": 3}, "status": {"operations": operations}});
        let object = Arc::new(serde_json::from_value(value.clone()).expect("an object"));
        Arc::new(Stored { value, object })
    }

    fn write(from: &[Value], to: &[Value], condition: &str) -> WriteRecord {
        let key = Holder::planted("shop").key;
        let planted = WriteRecord::planted(Writer::Operator, Verb::PatchStatus, key, Value::Null);
        let (before, after) = (Some(stored("7", from, &Value::Null)), Some(stored("8", to, &Value::Null)));
        WriteRecord { before, after, condition: Some(condition.to_owned()), at: NOW.parse().unwrap(), ..planted }
    }

    fn call(answer: Option<Result<Answer, SendError>>, seconds: i64) -> Call {
        let mut request = Request::new(Method::Post, "/x/backup", "1");
        request.client_request_id = Some(ID.parse().unwrap());
        let holder = Some(Holder { record: record(), ..Holder::planted("shop") });
        let planted = Call::planted(request, true);
        Call { at: planted.at + SignedDuration::from_secs(seconds), holder, answer, ..planted }
    }

    fn whole(status: u16) -> Option<Result<Answer, SendError>> {
        Some(Ok(Answer { status, ..Answer::default() }))
    }

    #[test]
    fn an_intent_under_a_version_that_no_plan_was_made_from_is_told() {
        let said = |condition: &str, shown| Intents::default().wrote(&write(&[], &[record()], condition), shown, |_| false, |_| false);
        assert_eq!(said("7", Some("7")), Ok(()));
        assert!(said("7", Some("6")).unwrap_err().contains("no plan was made from"), "a live read between plan and save");
        assert!(said("", Some("7")).unwrap_err().contains("no plan was made from"));
        let mut intents = Intents::default();
        intents.wrote(&write(&[], &[], "6"), Some("6"), |_| false, |_| false).unwrap();
        let own = WriteRecord { before: Some(stored("8", &[], &Value::Null)), ..write(&[], &[record()], "8") };
        assert_eq!(intents.wrote(&own, Some("6"), |_| false, |_| false), Ok(()), "our own write answered with it");
        intents.forget_process();
        assert!(intents.wrote(&own, Some("6"), |_| false, |_| false).is_err(), "another process did");
    }

    #[test]
    fn what_puts_an_operation_on_record_begins_it_and_what_keeps_or_drops_one_does_not() {
        assert!(begins(&write(&[], &[record()], "7")));
        assert!(!begins(&write(&[record()], &[record()], "7")) && !begins(&write(&[record()], &[], "7")));
    }

    #[test]
    fn an_attempt_too_many_a_stale_intent_and_one_in_a_pause_are_told() {
        let said = |change: fn(&mut Value)| {
            let mut record = record();
            change(&mut record);
            Intents::default().wrote(&write(&[], &[record], "7"), Some("7"), |_| false, |_| false).unwrap_err()
        };
        assert!(said(|r| r["attempt"] = json!(9)).contains("attempt 9"));
        assert!(said(|r| r["intentAt"] = json!("2026-11-24T07:58:00Z")).contains("was saved at"));
        let paused = WriteRecord { before: Some(stored("7", &[], &json!({"mode": "Plan"}))), ..write(&[], &[record()], "7") };
        assert!(Intents::default().wrote(&paused, Some("7"), |_| false, |_| false).unwrap_err().contains("an intent while Plan"));
        let said = Intents::default().wrote(&write(&[], &[record()], "7"), Some("7"), |_| false, |_| true).unwrap_err();
        assert!(said.contains("an intent while under a suspended AzureAccess"), "{said}");
    }

    #[test]
    fn a_record_that_is_dropped_while_open_is_told() {
        let dropped = |answer: Option<Option<Result<Answer, SendError>>>, runs: bool, minutes: i64, own: bool| {
            let mut intents = Intents::default();
            intents.wrote(&write(&[], &[record()], "7"), Some("7"), |_| false, |_| false).unwrap();
            if let Some(answer) = answer {
                intents.sent(&call(answer, 1), 1.0, Some(&json!({"generation": 3}))).unwrap();
            }
            if !own {
                intents.forget_process();
            }
            let drop = write(&[record()], &[], "8");
            let at = drop.at + SignedDuration::from_mins(minutes);
            intents.wrote(&WriteRecord { at, ..drop }, Some("8"), |_| runs, |_| false).err().unwrap_or_default()
        };
        let lost = || Some(Some(Err(SendError::Unknown("cut".into()))));
        assert!(dropped(Some(whole(202)), true, 60, true).contains("while its job runs"));
        assert!(dropped(lost(), false, 1, true).contains("after its intent"));
        assert!(dropped(Some(None), false, 1, false).contains("after its intent"), "it died as it sent");
        assert!(dropped(None, false, 1, false).contains("after its intent"), "another process cannot know that it never left");
        assert!(dropped(Some(whole(202)), false, 1, true).contains("before anything proved"));
        assert_eq!(dropped(lost(), false, 6, true), "");
        assert_eq!(dropped(Some(whole(409)), false, 0, true), "", "refused");
        assert_eq!(dropped(None, false, 0, true), "", "it never left");
    }

    #[test]
    fn a_request_late_or_unaudited_or_of_another_generation_is_told() {
        let said = |seconds: i64, factor: f64, audited: Option<Value>| {
            let mut intents = Intents::default();
            intents.wrote(&write(&[], &[record()], "7"), Some("7"), |_| false, |_| false).unwrap();
            intents.sent(&call(whole(202), seconds), factor, audited.as_ref()).err().unwrap_or_default()
        };
        let audited = || Some(json!({"generation": 3}));
        assert_eq!(said(20, 1.0, audited()), "");
        assert!(said(21, 1.0, audited()).contains("21 s after its intent"));
        assert_eq!(said(1200, 60.0, audited()), "", "seconds of the wall");
        assert!(said(1, 1.0, None).contains("without an audit record"));
        assert!(said(1, 1.0, Some(json!({"generation": 2}))).contains("planned from generation"));
    }

    #[test]
    fn an_answer_whose_handle_is_not_saved_is_told() {
        let said =
            |record: Option<Value>, answer, saved| Intents::handled(&call(answer, 1), record.as_ref(), saved).err().unwrap_or_default();
        assert!(said(Some(record()), whole(202), true).contains("knows no handle"));
        assert_eq!(said(Some(record()), whole(202), false), "", "the save was lost");
        assert_eq!(said(Some(record()), whole(503), true), "", "nothing to know");
        assert_eq!(said(None, whole(200), true), "");
        let mut known = record();
        known["nextPoll"] = json!("2026-11-24T08:01:00Z");
        assert!(said(Some(known.clone()), whole(202), true).contains("knows no handle"), "a time to ask is none");
        known["handle"] = json!({"family": "Backup", "id": "x"});
        assert_eq!(said(Some(known), whole(202), true), "");
    }
}
