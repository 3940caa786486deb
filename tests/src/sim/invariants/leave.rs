//! What somebody gave leave to: by an Approval that counts, or by a spec that says so in as many words. The oracle judges it
//! by the objects in the cluster and by what Azure holds, not by what the engine thinks of them. A leave is good for one
//! write: for what that write asks for, from when Azure took it until it has come true.

use std::collections::BTreeMap;

use azure_sim::{Azure, journal::Entry};
use breakwater_api::{
    admission,
    questions::{APPROVE, NOT_HAPPENED},
};
use breakwater_arm::wire::Method;
use breakwater_engine::ports::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Verdict,
    call::{Call, Holder},
    meant::is_meant,
    truth::text,
};
use crate::cluster::{
    MemoryCluster,
    record::{Outcome, Verb, WriteRecord, Writer},
};

/// Everything that was allowed so far.
#[derive(Clone, Default)]
pub struct Leave {
    /// Approvals by uid, with the request that they were used for: each for one.
    used: BTreeMap<String, String>,
    /// Questions that objects asked, by the asker's uid and their digest.
    asked: BTreeMap<(String, String), Asked>,
    /// Writes that were allowed, by request id, as they were sent last.
    allowed: BTreeMap<String, Allowed>,
    /// Those of them that Azure took and that have not come true yet, by what they write to.
    given: BTreeMap<String, Allowed>,
}

/// A question as its object showed it.
#[derive(Clone, Debug)]
struct Asked {
    id: String,
    answers: Vec<String>,
    generation: i64,
}

/// One write that may make something lose.
#[derive(Clone, Debug)]
pub struct Allowed {
    target: String,
    removes: bool,
    body: Value,
}

impl Allowed {
    /// Whether it removes what it is sent to.
    pub fn removes(&self) -> bool {
        self.removes
    }

    /// What it asks for.
    pub fn body(&self) -> &Value {
        &self.body
    }
}

/// What a call is judged by.
pub struct Around<'a> {
    /// Kubernetes, as the operator's process sees it.
    pub cluster: &'a MemoryCluster,
    /// Azure as it is.
    pub azure: &'a Azure,
    /// What the audit record says since the last look.
    pub audit: &'a [Value],
}

impl Leave {
    /// Notes the questions that a status shows.
    pub fn told(&mut self, write: &WriteRecord) {
        let after = write.after.as_ref().filter(|_| write.writer == Writer::Operator && write.outcome == Outcome::Applied);
        let Some(after) = after.map(|after| &after.value).filter(|_| write.verb == Verb::PatchStatus) else { return };
        let generation = after.pointer("/status/observedGeneration").and_then(Value::as_i64).unwrap_or(-1);
        let uid = text(after, "/metadata/uid").to_owned();
        for question in after.pointer("/status/questions").and_then(Value::as_array).into_iter().flatten() {
            let answers = question["answers"].as_array().into_iter().flatten().filter_map(|a| a.as_str().map(str::to_owned)).collect();
            let asked = Asked { id: text(question, "/id").to_owned(), answers, generation };
            self.asked.insert((uid.clone(), text(question, "/digest").to_owned()), asked);
        }
    }

    /// Looks at a write before what it did is judged.
    ///
    /// # Errors
    /// An answer that does not count, or counts for something else.
    pub fn hear(&mut self, call: &Call, around: &Around<'_>) -> Verdict {
        let Some(holder) = call.holder.as_ref().filter(|h| !h.is_debt && call.is_write) else { return Ok(()) };
        let id = call.id().to_ascii_lowercase();
        self.allowed.remove(&id);
        let approvals = holder.record.get("approvals").and_then(Value::as_array);
        let mut is_allowed = is_declared(call, holder, around);
        for uid in approvals.into_iter().flatten().filter_map(Value::as_str) {
            self.counts(uid, call, holder, around)?;
            let what = format!("{:?} {} {}", holder.key, holder.record["node"], holder.record["key"]);
            let before = self.used.entry(uid.to_owned()).or_insert_with(|| what.clone());
            if *before != what {
                return Err(format!("Approval {uid} was used for {before} and again for {what}"));
            }
            is_allowed = true;
        }
        if is_allowed {
            let body = call.request.body.clone().unwrap_or_default();
            let target = call.request.path.to_ascii_lowercase();
            self.allowed.insert(id, Allowed { target, removes: call.request.method == Method::Delete, body });
        }
        Ok(())
    }

    /// What Azure took: with leave what it asks for may come true, and what is written without leave ends any that was there.
    pub fn took(&mut self, entry: &Entry) {
        if !entry.applied || entry.method == "GET" {
            return;
        }
        let target = entry.path.to_ascii_lowercase();
        match self.for_entry(entry).cloned() {
            Some(allowed) => drop(self.given.insert(target, allowed)),
            None => drop(self.given.remove(&target)),
        }
    }

    /// Whether a request that arrived in Azure was one with leave.
    pub fn allows(&self, entry: &Entry) -> bool {
        self.for_entry(entry).is_some()
    }

    fn for_entry(&self, entry: &Entry) -> Option<&Allowed> {
        let id = entry.client_request_id.as_ref()?.to_ascii_lowercase();
        let is_it = |a: &&Allowed| a.target == entry.path.to_ascii_lowercase() && a.removes == (entry.method == "DELETE");
        self.allowed.get(&id).filter(is_it)
    }

    /// The write with leave that Azure took for this resource and that has not come true yet.
    pub fn given(&self, id: &str) -> Option<&Allowed> {
        self.given.get(id)
    }

    /// What has come true is used up.
    pub fn use_up(&mut self, came_true: impl Fn(&str, &Allowed) -> bool) {
        self.given.retain(|id, allowed| !came_true(id, allowed));
    }

    /// An Approval that is there, names the object as it is, answers a question that it asked of the generation that the write
    /// was planned from, has not expired, was made by a person while the rule stood, and is what the audit record tells.
    fn counts(&self, uid: &str, call: &Call, holder: &Holder, around: &Around<'_>) -> Verdict {
        let cluster = around.cluster;
        let all = cluster.live_all("Approval");
        let found = all.iter().find(|o| o.metadata.uid.as_deref() == Some(uid));
        let Some(approval) = found else { return Err(format!("{} left by an Approval that does not exist", call.line())) };
        let spec = &approval.data["spec"];
        let asker = cluster.live(&holder.key).and_then(|o| o.metadata.uid.clone()).unwrap_or_default();
        let names = spec["targetRef"]["kind"] == holder.key.kind.as_str()
            && spec["targetRef"]["name"] == holder.key.name.as_str()
            && approval.metadata.namespace.as_deref() == Some(&holder.key.namespace)
            && spec["targetUid"] == asker.as_str();
        if !names {
            return Err(format!("{} left by an answer to another object", call.line()));
        }
        self.answers(spec, &asker, call, around.audit)?;
        let expires = spec["expiresAt"].as_str().and_then(|t| t.parse::<Timestamp>().ok()).unwrap_or(Timestamp::MIN);
        if expires <= call.at {
            return Err(format!("{} left by an answer that expired at {expires}", call.line()));
        }
        let rule = |kind: &str| {
            let key = ObjectKey { kind: kind.into(), namespace: String::new(), name: admission::APPROVALS.into() };
            cluster.live(&key).and_then(|object| serde_json::to_value(&*object).ok())
        };
        let (policy, binding) = (rule("ValidatingAdmissionPolicy"), rule("ValidatingAdmissionPolicyBinding"));
        if let Some(why) = admission::not_in_force(policy.as_ref(), binding.as_ref()) {
            return Err(format!("{} left by an answer, and {why}", call.line()));
        }
        let stands = [policy, binding].into_iter().flatten().filter_map(|object| admission::last_changed(&object)).max();
        let made = approval.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let late = stands.zip(made).is_some_and(|(stands, made)| made >= stands + SignedDuration::from_secs(admission::STANDS_FOR));
        if !late {
            return Err(format!("{} left by an answer from before the rule stood", call.line()));
        }
        told_of(uid, spec, call, around.audit)
    }

    /// Whether it answers, with a word that lets the write go, a question that its object asked at that generation.
    fn answers(&self, spec: &Value, asker: &str, call: &Call, audit: &[Value]) -> Verdict {
        let (digest, answer) = (text(spec, "/digest"), text(spec, "/answer"));
        let Some(asked) = self.asked.get(&(asker.to_owned(), digest.to_owned())) else {
            return Err(format!("{} left by an answer to what nobody asked: {spec}", call.line()));
        };
        if asked.id != text(spec, "/question") {
            return Err(format!("{} left by an answer to question {}, whose digest is of {}", call.line(), spec["question"], asked.id));
        }
        if !asked.answers.iter().any(|word| word == answer) || ![APPROVE, NOT_HAPPENED].contains(&answer) {
            return Err(format!("{} left by the answer '{answer}' to question {}", call.line(), asked.id));
        }
        match sending(call, audit).and_then(|line| line["generation"].as_i64()) {
            Some(planned) if planned != asked.generation => {
                let of = asked.generation;
                Err(format!("{} of generation {planned} left by an answer to a question of generation {of}", call.line()))
            }
            _ => Ok(()),
        }
    }
}

/// The line of the audit record before a request leaves.
pub fn sending<'a>(call: &Call, audit: &'a [Value]) -> Option<&'a Value> {
    let id = call.id();
    audit.iter().find(|line| line["event"] == "sending" && line["clientRequestId"] == id.as_str())
}

/// The audit record names the answer as it is. That a line is there at all is another rule.
fn told_of(uid: &str, spec: &Value, call: &Call, audit: &[Value]) -> Verdict {
    let Some(line) = sending(call, audit) else { return Ok(()) };
    let told = line["approvals"].as_array().into_iter().flatten().find(|told| told["uid"] == uid);
    let same = [("by", "approvedBy"), ("question", "question"), ("digest", "digest"), ("answer", "answer")];
    let is_told = told.is_some_and(|told| same.iter().all(|(told_as, field)| told[*told_as] == spec[*field]));
    if is_told { Ok(()) } else { Err(format!("{} left by Approval {uid}, of which the audit record tells {told:?}", call.line())) }
}

/// A deletion that its deletionPolicy asks for, or a stop that a spec declares.
fn is_declared(call: &Call, holder: &Holder, around: &Around<'_>) -> bool {
    let live = around.cluster.live(&holder.key);
    let going = live.as_ref().is_some_and(|o| o.metadata.deletion_timestamp.is_some());
    let word = |field: &str| holder.spec.get(field).and_then(Value::as_str).unwrap_or_default();
    if call.request.method == Method::Delete {
        return going && word("deletionPolicy") == "Delete";
    }
    let stops = call.request.body.as_ref().is_some_and(|b| text(b, STATE) == STOPPED);
    stops && (word("protection") == "Stopped" || (going && word("deletionPolicy") == "StopAndRetain") || is_let_go(holder, around))
}

/// Where an item says whether it is protected, and the word of one that is not.
const STATE: &str = "/properties/protectionState";
const STOPPED: &str = "ProtectionStopped";

/// Whether the object's policy lets go of machines that it does not mean any more, and does not mean this one as it is in
/// Azure. A machine that is not there is let go of by nobody. Of the policy counts what is live, or what the watch shows of it.
fn is_let_go(holder: &Holder, around: &Around<'_>) -> bool {
    let of = |field: &str| holder.spec.pointer(&format!("/policyRef/{field}")).and_then(Value::as_str);
    let policy = ObjectKey {
        kind: "BackupPolicy".into(),
        namespace: of("namespace").unwrap_or(&holder.key.namespace).to_owned(),
        name: of("name").unwrap_or_default().to_owned(),
    };
    let world = around.azure.world();
    let Some(machine) = world.resource(text(&holder.spec, "/machineId")) else { return false };
    let tags = world.tags.get(&machine.id.to_ascii_lowercase()).cloned().unwrap_or_default();
    let versions = [around.cluster.live(&policy), around.cluster.shown(&policy)];
    versions.into_iter().flatten().any(|policy| {
        let spec = &policy.data["spec"];
        spec["whenUnselected"] == "StopAndRetain" && !is_meant(&spec["machines"], &machine.id, &machine.location(), &tags)
    })
}
