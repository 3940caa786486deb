//! What a turn tells: one status, written under the resourceVersion that the turn was made from, and an Event where `Ready`
//! changed.

use breakwater_api::{
    OperationRecord, Reason,
    questions::{AskedQuestion, MAX_QUESTIONS, UsedAnswer},
};
use breakwater_plan::{
    graph::{Desired, Hold},
    kind::{Kind, Report},
    kinds,
    planner::{Plan, Verdict},
    questions::Question,
    show,
};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::{
    engine::Next,
    object::Parsed,
    ports::{ClusterError, Event, MayLeave},
    publish::{Pause, Telling, compose, merge_patch},
    turn::Turn,
};

impl<K: Kind> Turn<'_, K> {
    /// Writes the status if it differs. False when the write did not succeed.
    pub async fn publish(&mut self, report: &Report, desired: Option<&Desired>, decided: Result<&Plan, &Hold>) -> bool {
        let old = self.object.data.get("status").cloned().unwrap_or_else(|| json!({}));
        let new = self.compose(&old, report, desired, decided);
        match self.save(&old, &new).await {
            Ok(()) => true,
            Err(e) => {
                tracing::debug!(error = %e, "status not written");
                self.refused(&e).await;
                false
            }
        }
    }

    /// A status that the API server does not take is said in an Event, since nothing else can say it: without a saved intent
    /// nothing is begun.
    pub(crate) async fn refused(&mut self, error: &ClusterError) {
        let leads = self.engine.outside.leadership.leads();
        if !leads || !matches!(error, ClusterError::Refused(_)) {
            return;
        }
        self.unwritten = true;
        let note = format!("the API server does not take what is written of this object, and nothing is begun until it does: {error}");
        tracing::warn!(%error, "the API server refuses what is written of an object");
        let event = Event { warning: true, reason: Reason::Retrying.to_string(), action: "Reconcile".into(), note };
        self.engine.outside.cluster.event(&self.object, &event).await;
    }

    /// Something that comes before all else was not written: tried again, and slowly where the API server refuses it.
    pub(crate) async fn not_written(&mut self, error: &ClusterError) -> Next {
        tracing::debug!(%error, "not written");
        self.refused(error).await;
        Next::At(self.engine.now() + self.engine.backoff(if self.unwritten { 8 } else { 1 }))
    }

    /// The whole status as it should be now.
    pub fn compose(&self, old: &Value, report: &Report, desired: Option<&Desired>, decided: Result<&Plan, &Hold>) -> Value {
        let operations: Vec<OperationRecord> = self.subject.operations.values().cloned().collect();
        let printed = match (desired, decided) {
            (Some(desired), Ok(plan)) if self.pause != Pause::Observe => Some(show::show(desired, plan)).filter(|p| !p.is_empty()),
            _ => None,
        };
        let access = self.pinned.clone().filter(|_| self.access.is_ok() || old.get("access").is_some());
        let requested = self.requested();
        let held = self.no_access();
        let decided = held.map_or(decided, Err);
        compose(&Telling {
            old,
            old_own: &self.own,
            lists: K::LISTS,
            generation: self.subject.meta.generation,
            now: self.engine.now(),
            report,
            desired,
            decided,
            deleting: self.subject.meta.deleting,
            lets_go: K::LETS_GO,
            questions: &self.questions(decided),
            answered: &self.remembered(),
            pause: self.pause,
            operations: &operations,
            access,
            choices: &self.subject.choices,
            printed,
            requested,
            met: self.met.as_ref().map(|m| (m.reason, m.message.clone())),
        })
    }

    /// What waits for a person: of every node, of what held the whole, of the gate.
    fn questions(&self, decided: Result<&Plan, &Hold>) -> Vec<AskedQuestion> {
        let of_verdict = |v: &Verdict| if let Verdict::Stuck { question, .. } = v { question.clone() } else { None };
        let mut all: Vec<Box<Question>> = match decided {
            Ok(plan) => plan.verdicts.values().filter_map(of_verdict).collect(),
            Err(hold) => hold.question.clone().into_iter().collect(),
        };
        all.extend(self.met.as_ref().and_then(|m| m.question.clone()));
        let asker = self.subject.asker();
        // What only time keeps from going on ends by itself: the brake's question.
        let ends = |q: &Question| self.met.as_ref().filter(|m| m.question.as_deref() == Some(q)).and_then(|m| m.until);
        let mut asked: Vec<AskedQuestion> =
            all.iter().map(|q| AskedQuestion { expires_at: ends(q).map(kinds::seconds), ..q.asked(&asker) }).collect();
        asked.sort_by(|a, b| a.id.cmp(&b.id));
        asked.dedup_by(|a, b| a.id == b.id);
        asked.truncate(MAX_QUESTIONS);
        asked
    }

    /// Used answers of this generation, and those that an open record still goes on with; older ones fit no question any more.
    fn remembered(&self) -> Vec<UsedAnswer> {
        let begun = |a: &UsedAnswer| self.subject.operations.values().any(|o| o.approvals.contains(&a.approval));
        self.answered.iter().filter(|a| a.generation == self.subject.meta.generation || begun(a)).cloned().collect()
    }

    /// One merge patch of status under the resourceVersion that this turn was made from. Writes nothing when nothing differs.
    ///
    /// # Errors
    /// When it was not written, or nobody knows.
    pub async fn save(&mut self, old: &Value, new: &Value) -> Result<(), ClusterError> {
        let leads = self.engine.outside.leads();
        self.save_if(&leads, old, new).await
    }

    /// The same of what a request came to: it is not lost with the lease, for it begins nothing, and where a new leader has
    /// written since, the version says so.
    ///
    /// # Errors
    /// As [`Turn::save`].
    pub async fn save_late(&mut self, old: &Value, new: &Value) -> Result<(), ClusterError> {
        self.save_if(&|| true, old, new).await
    }

    async fn save_if(&mut self, may_leave: &MayLeave<'_>, old: &Value, new: &Value) -> Result<(), ClusterError> {
        let Some(patch) = merge_patch(old, new) else { return Ok(()) };
        if !may_leave() {
            return Err(ClusterError::TooLate);
        }
        let version = self.object.metadata.resource_version.clone().unwrap_or_default();
        self.engine.outside.telemetry.kube_write(K::NAME, "status");
        let written = self.engine.outside.cluster.patch_status(&self.key, &version, &patch, may_leave).await?;
        self.tell_events(&written).await;
        self.take(written);
        Ok(())
    }

    /// Goes on with the object as our write answered it.
    pub fn take(&mut self, written: DynamicObject) {
        if let Ok(parsed) = Parsed::<K>::of(&written) {
            self.own = parsed.own;
        }
        self.engine.reader.memory.write(&self.key, &written);
        self.object = written;
    }

    /// An Event where `Ready` changed its answer or its reason.
    async fn tell_events(&self, written: &DynamicObject) {
        let ready = |o: &DynamicObject| {
            let all = o.data.pointer("/status/conditions")?.as_array()?.clone();
            all.into_iter().find(|c| c["type"] == "Ready").map(|c| (c["status"].clone(), c["reason"].clone(), c["message"].clone()))
        };
        let (before, after) = (ready(&self.object), ready(written));
        let Some((status, reason, message)) = after else { return };
        // What passes by itself is no news: only a promise kept or a person needed.
        let news = status == "True" || written_is_stalled(written);
        if news && before.as_ref().map(|b| (&b.0, &b.1)) != Some((&status, &reason)) {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            match status.as_str() {
                Some("True") => tracing::info!(reason = text(&reason), message = text(&message), "ready"),
                _ => tracing::warn!(reason = text(&reason), message = text(&message), "stalled"),
            }
            let event = Event { warning: status == "False", reason: text(&reason), action: "Reconcile".into(), note: text(&message) };
            self.engine.outside.cluster.event(written, &event).await;
        }
    }
}

fn written_is_stalled(object: &DynamicObject) -> bool {
    let all = object.data.pointer("/status/conditions").and_then(Value::as_array);
    all.into_iter().flatten().any(|c| c["type"] == "Stalled" && c["status"] == "True")
}
