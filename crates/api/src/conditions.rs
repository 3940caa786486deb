//! Conditions: what people and tools wait for. kstatus meaning for `Ready`, `Reconciling` and `Stalled`.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::reasons::Reason;

/// The longest message kept, in bytes (the whole status has 32 KiB).
pub const MAX_MESSAGE: usize = 1024;

/// Which question a condition answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The promise holds now.
    Ready,
    /// The declared generation is not in Azure yet, and work goes on.
    Reconciling,
    /// Not ready, and nothing goes on: a person is needed.
    Stalled,
    /// Azure protects the machine under the declared policy.
    Protected,
    /// The youngest recovery point is as young as promised.
    WithinRpo,
    /// The youngest points are as consistent as declared.
    ConsistentAsDeclared,
    /// A disk is not backed up.
    DiskNotCovered,
    /// There is a recovery point to restore from.
    Recoverable,
    /// Azure differs from what is declared.
    Drifted,
    /// Nothing new is started.
    Suspended,
    /// Something lent is still open.
    DebtOutstanding,
    /// Files are mounted, and the script for them is there.
    Mounted,
    /// All members of an aggregate are healthy.
    MachinesHealthy,
    /// The cluster runs in the region that it protects.
    ControlPlaneInSourceRegion,
    /// The object is being deleted, and something keeps it from doing what its deletionPolicy says.
    Blocked,
}

impl ConditionType {
    /// The word in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionType::Ready => "Ready",
            ConditionType::Reconciling => "Reconciling",
            ConditionType::Stalled => "Stalled",
            ConditionType::Protected => "Protected",
            ConditionType::WithinRpo => "WithinRPO",
            ConditionType::ConsistentAsDeclared => "ConsistentAsDeclared",
            ConditionType::DiskNotCovered => "DiskNotCovered",
            ConditionType::Recoverable => "Recoverable",
            ConditionType::Drifted => "Drifted",
            ConditionType::Suspended => "Suspended",
            ConditionType::DebtOutstanding => "DebtOutstanding",
            ConditionType::Mounted => "Mounted",
            ConditionType::MachinesHealthy => "MachinesHealthy",
            ConditionType::ControlPlaneInSourceRegion => "ControlPlaneInSourceRegion",
            ConditionType::Blocked => "Blocked",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Yes.
    True,
    /// No.
    False,
    /// Not known.
    Unknown,
}

impl State {
    /// The word in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::True => "True",
            State::False => "False",
            State::Unknown => "Unknown",
        }
    }
}

impl From<bool> for State {
    fn from(yes: bool) -> Self {
        if yes { State::True } else { State::False }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an object stands: what `Ready`, `Reconciling` and `Stalled` are made from, so that the three always agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the promise holds.
    pub ready: State,
    /// Whether the declared generation is still on its way into Azure.
    pub reconciling: bool,
    /// Why.
    pub reason: Reason,
    /// A sentence with ids and absolute times.
    pub message: String,
}

/// Sets one condition and leaves the others alone. `lastTransitionTime` moves only when `status` does; a missing
/// condition is added at the end. The message is cut at [`MAX_MESSAGE`] bytes.
pub fn set(
    conditions: &mut Vec<Condition>,
    which: ConditionType,
    state: State,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let mut fresh = Condition {
        type_: which.as_str().to_owned(),
        status: state.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: bounded(message),
        observed_generation: Some(generation),
        last_transition_time: Time(whole_seconds(now)),
    };
    match conditions.iter_mut().find(|c| c.type_ == which.as_str()) {
        None => conditions.push(fresh),
        Some(old) => {
            if old.status == fresh.status {
                fresh.last_transition_time = old.last_transition_time.clone();
            }
            *old = fresh;
        }
    }
}

/// Takes one condition away.
pub fn remove(conditions: &mut Vec<Condition>, which: ConditionType) {
    conditions.retain(|c| c.type_ != which.as_str());
}

/// Sets `Ready`, `Reconciling` and `Stalled` so that they agree: `Stalled` is true exactly when `Ready` is False and
/// nothing goes on.
pub fn set_standing(conditions: &mut Vec<Condition>, standing: &Standing, generation: i64, now: Timestamp) {
    let stalled = standing.ready == State::False && !standing.reconciling;
    let Standing { ready, reconciling, reason, message } = standing;
    set(conditions, ConditionType::Ready, *ready, *reason, message, generation, now);
    let (why, says) = if *reconciling { (*reason, message.as_str()) } else { (Reason::NothingDue, "") };
    set(conditions, ConditionType::Reconciling, State::from(*reconciling), why, says, generation, now);
    let (why, says) = if stalled { (*reason, message.as_str()) } else { (Reason::NothingDue, "") };
    set(conditions, ConditionType::Stalled, State::from(stalled), why, says, generation, now);
}

/// The condition of that type, if it is there.
pub fn find(conditions: &[Condition], which: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == which.as_str())
}

/// True when the condition is there, says True, and speaks of that generation.
pub fn is_true(conditions: &[Condition], which: ConditionType, generation: i64) -> bool {
    find(conditions, which).is_some_and(|c| c.status == "True" && c.observed_generation == Some(generation))
}

/// Kubernetes writes times in whole seconds; so do we, or an unchanged object would differ from its stored self.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("a timestamp's own second is a timestamp")
}

fn bounded(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let end = (0..=MAX_MESSAGE - 3).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
    format!("{}...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn standing(ready: State, reconciling: bool) -> Standing {
        Standing { ready, reconciling, reason: Reason::Acting, message: "m".into() }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut all = Vec::new();
        set(&mut all, ConditionType::Ready, State::False, Reason::Acting, "a", 1, at(10));
        set(&mut all, ConditionType::Ready, State::False, Reason::Settling, "b", 2, at(20));
        assert_eq!((all[0].last_transition_time.0, all[0].reason.as_str(), all[0].observed_generation), (at(10), "Settling", Some(2)));
        set(&mut all, ConditionType::Ready, State::True, Reason::AsDeclared, "c", 2, at(30));
        assert_eq!(all[0].last_transition_time.0, at(30));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn the_three_of_kstatus_always_agree() {
        let cases = [
            // ready           reconciling  Ready      Reconciling Stalled
            (State::True, false, "True", "False", "False"),
            (State::True, true, "True", "True", "False"),
            (State::False, true, "False", "True", "False"),
            (State::False, false, "False", "False", "True"),
            (State::Unknown, false, "Unknown", "False", "False"),
        ];
        for (ready, reconciling, r, c, s) in cases {
            let mut all = Vec::new();
            set_standing(&mut all, &standing(ready, reconciling), 1, at(0));
            let of = |which| find(&all, which).unwrap().status.as_str();
            assert_eq!((of(ConditionType::Ready), of(ConditionType::Reconciling), of(ConditionType::Stalled)), (r, c, s));
        }
    }

    #[test]
    fn setting_the_same_again_changes_no_byte() {
        let mut all = Vec::new();
        set_standing(&mut all, &standing(State::False, true), 1, Timestamp::from_millisecond(10_500).unwrap());
        let before = serde_json::to_string(&all).unwrap();
        set_standing(&mut all, &standing(State::False, true), 1, at(99));
        assert_eq!(serde_json::to_string(&all).unwrap(), before);
        let read: Vec<Condition> = serde_json::from_str(&before).unwrap();
        assert_eq!(read, all);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut all = Vec::new();
        set(&mut all, ConditionType::Ready, State::True, Reason::AsDeclared, &"é".repeat(2_000), 1, at(0));
        assert!(all[0].message.len() <= MAX_MESSAGE && all[0].message.ends_with("é..."));
    }

    #[test]
    fn a_condition_of_an_older_generation_is_not_true_now() {
        let mut all = Vec::new();
        set(&mut all, ConditionType::Ready, State::True, Reason::AsDeclared, "", 1, at(0));
        assert!(is_true(&all, ConditionType::Ready, 1) && !is_true(&all, ConditionType::Ready, 2));
        remove(&mut all, ConditionType::Ready);
        assert!(find(&all, ConditionType::Ready).is_none());
    }

    #[test]
    fn every_reason_is_found_by_its_word_and_is_camel_case() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.as_str()), Some(*reason));
            assert!(reason.as_str().starts_with(|c: char| c.is_ascii_uppercase()));
        }
    }
}
