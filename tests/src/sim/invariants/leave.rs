//! What somebody gave leave to: by an Approval that counts, or by a spec that says so in as many words. The oracle judges it
//! by the objects in the cluster, not by what the engine thinks of them.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_api::admission;
use breakwater_arm::wire::Method;
use breakwater_engine::ports::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Verdict,
    call::{Call, Holder},
};
use crate::cluster::MemoryCluster;

/// Everything that was allowed so far.
#[derive(Clone, Default)]
pub struct Leave {
    /// Approvals by uid, with the request that they were used for: each for one.
    used: BTreeMap<String, String>,
    /// Resources, lower-case, that may lose by it: a policy, an item, a vault.
    given: BTreeSet<String>,
}

impl Leave {
    /// Looks at a write before what it did is judged.
    ///
    /// # Errors
    /// An answer that does not count, or counts for something else.
    pub fn hear(&mut self, call: &Call, cluster: &MemoryCluster) -> Verdict {
        let Some(holder) = call.holder.as_ref().filter(|h| !h.is_debt && call.is_write) else { return Ok(()) };
        let target = call.request.path.to_ascii_lowercase();
        let approvals = holder.record.get("approvals").and_then(Value::as_array);
        for uid in approvals.into_iter().flatten().filter_map(Value::as_str) {
            counts(uid, call, holder, cluster)?;
            let what = format!("{:?} {} {}", holder.key, holder.record["node"], holder.record["key"]);
            let before = self.used.entry(uid.to_owned()).or_insert_with(|| what.clone());
            if *before != what {
                return Err(format!("Approval {uid} was used for {before} and again for {what}"));
            }
            self.given.insert(target.clone());
        }
        if is_declared(call, holder, cluster) {
            self.given.insert(target);
        }
        Ok(())
    }

    /// Whether this resource may lose.
    pub fn is_given(&self, id: &str) -> bool {
        self.given.contains(id)
    }
}

/// An Approval that is there, names the object as it is, has not expired, was made by a person while the rule stood.
fn counts(uid: &str, call: &Call, holder: &Holder, cluster: &MemoryCluster) -> Verdict {
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
    if late { Ok(()) } else { Err(format!("{} left by an answer from before the rule stood", call.line())) }
}

/// A deletion that its deletionPolicy asks for, or a stop that a spec declares.
fn is_declared(call: &Call, holder: &Holder, cluster: &MemoryCluster) -> bool {
    let live = cluster.live(&holder.key);
    let going = live.as_ref().is_some_and(|o| o.metadata.deletion_timestamp.is_some());
    let word = |field: &str| holder.spec.get(field).and_then(Value::as_str).unwrap_or_default();
    if call.request.method == Method::Delete {
        return going && word("deletionPolicy") == "Delete";
    }
    let stops = call.request.body.as_ref().is_some_and(|b| b.pointer("/properties/protectionState") == Some(&"ProtectionStopped".into()));
    let policy = ObjectKey {
        kind: "BackupPolicy".into(),
        namespace: holder.spec.pointer("/policyRef/namespace").and_then(Value::as_str).unwrap_or(&holder.key.namespace).to_owned(),
        name: holder.spec.pointer("/policyRef/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    let lets_go = || cluster.live(&policy).is_some_and(|o| o.data.pointer("/spec/whenUnselected") == Some(&"StopAndRetain".into()));
    stops && (word("protection") == "Stopped" || (going && word("deletionPolicy") == "StopAndRetain") || lets_go())
}
