//! `Approval`: whether a person's answer counts, and whether it was used. It does nothing itself: the object that asks does.

use breakwater_api::{Approval, ApprovalSpec, ApprovalStatus, Reason};
use serde_json::Map;

use crate::{
    facts::{Facts, Need},
    graph::{Desired, Hold},
    kind::{AccessNeed, Decided, Kind, Promise, Report, Subject},
    questions::takes,
};

impl Kind for Approval {
    const NAME: &'static str = "Approval";
    const ACCESS: AccessNeed = AccessNeed::None;
    type Spec = ApprovalSpec;
    type Status = ApprovalStatus;

    fn needs(s: &Subject<Self>, _: &Facts) -> Vec<Need> {
        let target = &s.spec.target_ref;
        vec![Need::Shared { kind: target.kind.clone(), namespace: s.meta.namespace.clone(), name: target.name.clone() }]
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        match standing(s, facts) {
            (true, ..) => Ok(Desired::new()),
            (false, reason, message) => Err(Hold::stuck(reason, message)),
        }
    }

    fn report(s: &Subject<Self>, facts: &Facts, _: Decided<'_>) -> Report {
        let (counts, reason, message) = standing(s, facts);
        let promise = if counts { Promise::kept(reason, message) } else { Promise::broken(reason, message) };
        let next = (reason == Reason::AnswerStands).then_some(s.spec.expires_at);
        Report { status: Map::new(), promise, conditions: Vec::new(), owned: Vec::new(), next, remove_at: None }
    }
}

/// Whether it counts or has counted, and why.
fn standing(s: &Subject<Approval>, facts: &Facts) -> (bool, Reason, String) {
    let ApprovalSpec { target_ref, target_uid, question, digest, answer, expires_at, .. } = &s.spec;
    let name = format!("{} {}", target_ref.kind, target_ref.name);
    let was_used = s.status.shared.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == Reason::AnswerUsed.as_str());
    let at = (target_ref.kind.clone(), s.meta.namespace.clone(), target_ref.name.clone());
    let target = facts.shared.get(&at).filter(|t| t.uid == *target_uid);
    let used = target.is_some_and(|t| t.status.answered.iter().any(|a| a.approval == s.meta.uid));
    if used || was_used {
        return (true, Reason::AnswerUsed, format!("{name} has used this answer: it is good for nothing more"));
    }
    let Some(target) = target else {
        let message = format!("spec.targetRef and spec.targetUid name no object of this namespace: {name} with uid {target_uid}");
        return (false, Reason::ReferenceNotFound, message);
    };
    if *expires_at <= s.now {
        return (false, Reason::AnswerExpired, format!("expired at {expires_at} without being used: make a new Approval"));
    }
    let Some(asked) = target.status.questions.iter().find(|q| q.id == *question && q.digest == *digest) else {
        let message = format!(
            "{name} asks no question {question} with this digest now: it was answered, or the object or the world has changed since; take the digest from its status.questions"
        );
        return (false, Reason::NoSuchQuestion, message);
    };
    if !takes(&asked.answers, answer) {
        return (false, Reason::InvalidSpec, format!("spec.answer: {question} can be answered with {}", asked.answers.join(", ")));
    }
    match &s.answers.not_in_force {
        Some(why) => (false, Reason::AnswersNotInForce, why.clone()),
        None => (true, Reason::AnswerStands, format!("{name} may act on this answer until {expires_at}")),
    }
}
