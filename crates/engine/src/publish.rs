//! Telling: one status, written only when it differs. Equal world, equal bytes.

use breakwater_api::{
    ConditionType, OperationRecord, Reason, Standing, State, conditions,
    questions::{AskedQuestion, UsedAnswer},
    status::{MAX_OWNED, MAX_PLAN, MAX_STATUS, Owned, PinnedAccess},
};
use breakwater_plan::{
    graph::{Desired, Hold, HoldKind},
    kind::{Promise, Report},
    planner::{Plan, Step, Verdict},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value, json};

/// Fields of status that the engine owns, whatever the kind.
const SHARED: [&str; 10] =
    ["observedGeneration", "conditions", "operations", "owned", "access", "choices", "plan", "lastHandledRequest", "questions", "answered"];

/// Everything that goes into one status.
pub struct Telling<'a> {
    /// The status as it stands.
    pub old: &'a Value,
    /// The kind's own fields as they stood, to know which of them are gone.
    pub old_own: &'a Map<String, Value>,
    /// Which of the kind's fields are lists that only people read.
    pub lists: &'static [&'static str],
    /// The generation that this turn looked at.
    pub generation: i64,
    /// World time.
    pub now: Timestamp,
    /// What the kind says.
    pub report: &'a Report,
    /// The desired graph, where there is one.
    pub desired: Option<&'a Desired>,
    /// The plan, or why there is none.
    pub decided: Result<&'a Plan, &'a Hold>,
    /// Whether the object is on its way out.
    pub deleting: bool,
    /// What a person sets to let go of it all the same.
    pub lets_go: &'static str,
    /// What waits for a person.
    pub questions: &'a [AskedQuestion],
    /// Answers that were used.
    pub answered: &'a [UsedAnswer],
    /// Whether nothing new may be started.
    pub pause: Pause,
    /// All open operations.
    pub operations: &'a [OperationRecord],
    /// The access in use.
    pub access: Option<PinnedAccess>,
    /// Choices made.
    pub choices: &'a std::collections::BTreeMap<String, String>,
    /// The printed plan, where there is something to do.
    pub printed: Option<String>,
    /// The annotation's token.
    pub requested: Option<String>,
    /// A refusal or trouble met while acting.
    pub met: Option<(Reason, String)>,
}

/// Why nothing new is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is.
    None,
    /// `spec.suspend`.
    Suspended,
    /// `spec.suspend` of the AzureAccess.
    AccessSuspended,
    /// `mode: Plan`.
    Plan,
    /// `mode: Observe`.
    Observe,
}

impl Pause {
    /// Why the world is told as it is, whatever is declared.
    fn as_the_world_is(self) -> Option<&'static str> {
        match self {
            Pause::Suspended => Some("spec.suspend is true"),
            Pause::AccessSuspended => Some("spec.suspend of its AzureAccess is true"),
            Pause::Observe => Some("mode is Observe"),
            Pause::None | Pause::Plan => None,
        }
    }
}

/// The whole status.
pub fn compose(t: &Telling<'_>) -> Value {
    let mut status = t.old.as_object().cloned().unwrap_or_default();
    for gone in t.old_own.keys().filter(|k| !SHARED.contains(&k.as_str())) {
        status.remove(gone);
    }
    for (key, value) in &t.report.status {
        if !SHARED.contains(&key.as_str()) && !value.is_null() {
            status.insert(key.clone(), value.clone());
        }
    }
    status.insert("observedGeneration".into(), json!(t.generation));
    let mut old: Vec<Condition> = status.get("conditions").and_then(|c| serde_json::from_value(c.clone()).ok()).unwrap_or_default();
    set_conditions(t, &mut old);
    status.insert("conditions".into(), json!(old));
    put(&mut status, "operations", json!(t.operations), t.operations.is_empty());
    let owned: &[Owned] = &t.report.owned[..t.report.owned.len().min(MAX_OWNED)];
    put(&mut status, "owned", json!(owned), owned.is_empty());
    put(&mut status, "questions", json!(t.questions), t.questions.is_empty());
    put(&mut status, "answered", json!(t.answered), t.answered.is_empty());
    put(&mut status, "choices", json!(t.choices), t.choices.is_empty());
    put(&mut status, "access", json!(t.access), t.access.is_none());
    let printed = t.printed.as_ref().map(|p| cut(p, MAX_PLAN));
    put(&mut status, "plan", json!(printed), printed.is_none());
    put(&mut status, "lastHandledRequest", json!(t.requested), t.requested.is_none());
    fit(&mut status, t.lists);
    Value::Object(status)
}

/// Makes a status as short as every status is: without its printed plan, then with the longest of its lists for people cut in
/// half, and again. What anybody decides by is never cut.
fn fit(status: &mut Map<String, Value>, lists: &[&str]) {
    let bytes = |value: &Value| value.to_string().len();
    let mut length: usize = status.iter().map(|(key, value)| key.len() + bytes(value) + 4).sum();
    while length > MAX_STATUS {
        if let Some(plan) = status.remove("plan") {
            length -= bytes(&plan);
            continue;
        }
        let cuttable = status.iter_mut().filter(|(key, _)| lists.contains(&key.as_str()));
        let cuttable = cuttable.filter_map(|(_, value)| value.as_array_mut()).filter(|list| list.len() > 1);
        let size = |list: &[Value]| list.iter().map(bytes).sum::<usize>();
        let Some(longest) = cuttable.max_by_key(|list| size(list)) else { return };
        let cut = longest.split_off(longest.len().div_ceil(2));
        length -= size(&cut);
    }
}

fn put(status: &mut Map<String, Value>, key: &str, value: Value, absent: bool) {
    if absent {
        status.remove(key);
    } else {
        status.insert(key.to_owned(), value);
    }
}

fn cut(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

fn set_conditions(t: &Telling<'_>, all: &mut Vec<Condition>) {
    let standing = standing(t, all);
    conditions::set_standing(all, &standing, t.generation, t.now);
    let suspended = matches!(t.pause, Pause::Suspended | Pause::AccessSuspended);
    let why = t.pause.as_the_world_is().filter(|_| suspended);
    let message = why.map_or(String::new(), |why| format!("{why}: nothing new is started"));
    conditions::set(
        all,
        ConditionType::Suspended,
        suspended.into(),
        if suspended { Reason::Suspended } else { Reason::NothingDue },
        &message,
        t.generation,
        t.now,
    );
    debts(t, all);
    blocked(t, &standing, all);
    let said: Vec<ConditionType> = t.report.conditions.iter().map(|s| s.about).collect();
    for s in &t.report.conditions {
        let state = s.holds.map_or(State::Unknown, State::from);
        conditions::set(all, s.about, state, s.reason, &s.message, t.generation, t.now);
    }
    const ALWAYS: [ConditionType; 6] = [
        ConditionType::Ready,
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Suspended,
        ConditionType::DebtOutstanding,
        ConditionType::Blocked,
    ];
    all.retain(|c| ALWAYS.iter().chain(&said).any(|a| a.as_str() == c.type_));
}

/// An object that is on its way out and cannot do what its deletionPolicy says.
fn blocked(t: &Telling<'_>, standing: &Standing, all: &mut Vec<Condition>) {
    let (reason, why) = match t.pause.as_the_world_is() {
        _ if !t.deleting => return conditions::remove(all, ConditionType::Blocked),
        None if standing.ready == State::True => return conditions::remove(all, ConditionType::Blocked),
        // Its promise may be kept, and it goes on being kept as long as nothing may be sent.
        Some(why) => (Reason::Suspended, format!("{why}: nothing is sent")),
        None => (standing.reason, standing.message.clone()),
    };
    let remedy = if t.lets_go.is_empty() { String::new() } else { format!("; set {} to let the object go as it is", t.lets_go) };
    let message = format!("deletion waits: {why}{remedy}");
    conditions::set(all, ConditionType::Blocked, State::True, reason, &message, t.generation, t.now);
}

fn debts(t: &Telling<'_>, all: &mut Vec<Condition>) {
    let open: Vec<&OperationRecord> = t.operations.iter().filter(|o| o.debt.is_some()).collect();
    let Some(first) = open.first() else {
        return conditions::remove(all, ConditionType::DebtOutstanding);
    };
    let until = first.debt.as_ref().map(|d| d.until).unwrap_or_default();
    let (reason, message) = match first.debt.as_ref().and_then(|debt| debt.trouble.as_ref()) {
        Some(trouble) => {
            let by_hand = first.debt.as_ref().map_or(String::new(), |d| {
                format!(", or close it by hand ({} …/{})", d.method, d.path.rsplit('/').next().unwrap_or_default())
            });
            let message = format!(
                "{} is still open and could not be closed: {trouble}; it is due at {until} and tried on and on: mend what refuses it{by_hand}",
                first.target
            );
            (Reason::DebtUnpayable, message)
        }
        None => (Reason::DebtOpen, format!("{} is open until {until}", first.target)),
    };
    conditions::set(all, ConditionType::DebtOutstanding, State::True, reason, &message, t.generation, t.now);
}

/// `Ready`, `Reconciling` and `Stalled` (api.md, "Status").
fn standing(t: &Telling<'_>, old: &[Condition]) -> Standing {
    let promise = |reconciling| standing_of(&t.report.promise, reconciling);
    if let Some(why) = t.pause.as_the_world_is() {
        let told = promise(false);
        let message = if told.ready == State::True { told.message } else { format!("{} ({why}: nothing is started)", told.message) };
        return Standing { message, ..told };
    }
    if t.report.promise.last {
        return promise(false);
    }
    if let Some((reason, message)) = &t.met {
        return trouble(t, old, *reason, message);
    }
    let plan = match t.decided {
        Ok(plan) => plan,
        Err(hold) if hold.kind == HoldKind::Stuck => return stalled(hold.reason, &hold.message),
        Err(hold) => return trouble(t, old, hold.reason, &hold.message),
    };
    let counts = |key: &str| t.desired.is_none_or(|d| d.nodes.get(key).is_none_or(|n| !n.beside));
    let open: Vec<&Verdict> = plan.verdicts.iter().filter(|(key, v)| counts(key) && **v != Verdict::Done).map(|(_, v)| v).collect();
    if t.pause == Pause::Plan && !open.is_empty() {
        let stuck =
            open.iter().find_map(|v| if let Verdict::Stuck { reason, message, .. } = v { Some((*reason, message.clone())) } else { None });
        let (reason, message) = stuck.unwrap_or((Reason::PlanOnly, "mode is Plan: status.plan holds what would be done".into()));
        return stalled(reason, &message);
    }
    if open.is_empty() {
        return promise(false);
    }
    if let Some(Verdict::Stuck { reason, message, .. }) = open.iter().find(|v| matches!(v, Verdict::Stuck { .. })) {
        return stalled(*reason, message);
    }
    // What only waits for another node says less than that node.
    let says_most = |v: &&&Verdict| matches!(v, Verdict::Wait { reason, .. } if *reason != Reason::DependencyNotReady);
    match open.iter().find(says_most).or_else(|| open.iter().find(|v| matches!(v, Verdict::Wait { .. }))) {
        Some(Verdict::Wait { reason, message, .. }) => trouble(t, old, *reason, message),
        _ => still_stalled(t, old, &open).unwrap_or_else(|| Standing {
            ready: State::False,
            reconciling: true,
            reason: Reason::Acting,
            message: "requests are being sent".into(),
        }),
    }
}

/// What a person must mend is tried again now and then. Until Azure answers otherwise it is as it was: a condition that
/// comes and goes wakes people for nothing.
fn still_stalled(t: &Telling<'_>, old: &[Condition], open: &[&Verdict]) -> Option<Standing> {
    let of_this = |about| conditions::find(old, about).filter(|c| c.status == "True" && c.observed_generation == Some(t.generation));
    let again = |v: &&Verdict| matches!(v, Verdict::Do(Step::Write(write)) if write.attempt > 1);
    let ready =
        conditions::find(old, ConditionType::Ready).filter(|_| open.iter().any(again) && of_this(ConditionType::Stalled).is_some())?;
    Some(stalled(Reason::from_word(&ready.reason)?, &ready.message))
}

fn standing_of(promise: &Promise, reconciling: bool) -> Standing {
    Standing { ready: promise.kept.into(), reconciling, reason: promise.reason, message: promise.message.clone() }
}

fn stalled(reason: Reason, message: &str) -> Standing {
    Standing { ready: State::False, reconciling: false, reason, message: message.to_owned() }
}

/// Something that passes. While the world cannot be read, the last word on this generation stands.
fn trouble(t: &Telling<'_>, old: &[Condition], reason: Reason, message: &str) -> Standing {
    let before = conditions::find(old, ConditionType::Ready).filter(|c| c.observed_generation == Some(t.generation));
    let fell_due = matches!(t.report.promise.reason, Reason::NoRecoveryPoint | Reason::RecoveryPointTooOld);
    if matches!(reason, Reason::Throttled | Reason::Unreadable)
        && (t.report.promise.kept || !fell_due)
        && let Some(c) = before.filter(|c| c.status == "True")
    {
        let reason = Reason::from_word(&c.reason).unwrap_or(Reason::Unreadable);
        return Standing { ready: State::True, reconciling: false, reason, message: c.message.clone() };
    }
    let needs_a_person = matches!(
        reason,
        Reason::AuthorizationFailed
            | Reason::TokenRefused
            | Reason::AccessDenied
            | Reason::Locked
            | Reason::ResourceGuarded
            | Reason::DeniedByPolicy
            | Reason::QuotaReached
            | Reason::InvalidSpec
            | Reason::NotOurs
            | Reason::ForeignPolicy
            | Reason::OwnedByOtherCluster
            | Reason::WouldWeaken
    );
    // The words of a lasting trouble may hold a tracking id: the first ones stay.
    let kept = before.filter(|c| c.reason == reason.as_str() && c.status == "False").map(|c| c.message.clone());
    let message = kept.filter(|_| needs_a_person || reason == Reason::Unreadable).unwrap_or_else(|| message.to_owned());
    Standing { ready: State::False, reconciling: !needs_a_person, reason, message }
}

/// A merge patch (RFC 7386) from one value to another; `None` when they are equal.
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for key in old.keys().filter(|k| !new.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = old.get(key).map_or_else(|| Some(value.clone()), |o| merge_patch(o, value));
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_what_differs_and_nulls_what_is_gone() {
        let from = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        assert_eq!(merge_patch(&from, &from), None);
        let to = json!({"a": 1, "b": {"c": 9}, "e": [1, 2]});
        assert_eq!(merge_patch(&from, &to), Some(json!({"b": {"c": 9, "d": null}, "e": [1, 2]})));
    }

    #[test]
    fn a_status_is_cut_where_people_read_and_never_where_anybody_decides_by_it() {
        let operations = json!([{ "node": "a", "target": "x".repeat(10_000) }]);
        let machines: Vec<String> = (0..100).map(|n| format!("{n:0200}")).collect();
        let disks = json!(vec!["d".repeat(300); 30]);
        let mut status = Map::from_iter([("operations".to_owned(), operations.clone()), ("plan".to_owned(), json!("p".repeat(8000)))]);
        status.extend([("machines".to_owned(), json!(machines)), ("disks".to_owned(), disks.clone())]);
        fit(&mut status, &["machines"]);
        assert!(json!(status).to_string().len() <= MAX_STATUS);
        assert_eq!((&status["operations"], &status["disks"], status.get("plan")), (&operations, &disks, None));
        let left = status["machines"].as_array().unwrap();
        assert!(left.len() >= 25 && *left == machines[..left.len()], "the first ones stay: {}", left.len());
        let small = Map::from_iter([("plan".to_owned(), json!("p")), ("machines".to_owned(), json!([1, 2]))]);
        let mut same = small.clone();
        fit(&mut same, &["machines"]);
        assert_eq!(same, small);
        let huge = Map::from_iter([("disks".to_owned(), json!(vec!["x".repeat(4000); 10]))]);
        let mut same = huge.clone();
        fit(&mut same, &["machines"]);
        assert_eq!(same, huge, "what decisions rest on stays, whatever it takes");
    }
}
