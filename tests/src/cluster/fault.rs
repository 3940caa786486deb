//! What goes wrong between the operator and the API server, as the test plans it.

use std::collections::BTreeMap;

use breakwater_engine::ports::Entropy;

use super::record::Verb;
use crate::entropy::SeededEntropy;

/// What happens to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// It does not arrive; the operator learns only that it does not know.
    NeverSent,
    /// It arrives and is applied; the operator learns only that it does not know.
    AppliedAnswerLost,
    /// 409, as if somebody else had written just before.
    Conflict,
    /// 403 or 422 in these words.
    Refused(String),
    /// The process dies before it is sent: the call never returns, and the driver drops its future.
    DiesBefore,
    /// The process dies when it was applied: the call never returns, and the driver drops its future.
    DiesAfter,
}

/// Which writes a fault hits. Numbers count from 1, from the moment that the plan was set.
#[derive(Clone, Debug, PartialEq)]
pub enum Strike {
    /// The nth write.
    Nth(u64),
    /// The nth write of this verb and kind.
    NthOf {
        /// What is done.
        verb: Verb,
        /// To which kind.
        kind: String,
        /// Which of them.
        n: u64,
    },
    /// Every write of this verb and kind.
    Every {
        /// What is done.
        verb: Verb,
        /// To which kind.
        kind: String,
    },
    /// Each write with this chance, in `0.0..=1.0`.
    Chance(f64),
}

/// The faults of a run. The first strike that hits decides.
#[derive(Debug)]
pub struct FaultPlan {
    strikes: Vec<(Strike, WriteFault)>,
    chance: SeededEntropy,
    total: u64,
    counts: BTreeMap<(Verb, String), u64>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl FaultPlan {
    /// No fault; `seed` decides what [`Strike::Chance`] will hit.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { strikes: Vec::new(), chance: SeededEntropy::new(seed), total: 0, counts: BTreeMap::new() }
    }

    /// And this fault there.
    #[must_use]
    pub fn with(mut self, strike: Strike, fault: WriteFault) -> Self {
        self.strikes.push((strike, fault));
        self
    }

    /// In which words every write of this kind is refused, if it is: what a dry run meets. Counts nothing.
    pub(super) fn refusal(&self, verb: Verb, kind: &str) -> Option<String> {
        self.strikes.iter().find_map(|(strike, fault)| match (strike, fault) {
            (Strike::Every { verb: of, kind: on }, WriteFault::Refused(words)) if *of == verb && on == kind => Some(words.clone()),
            _ => None,
        })
    }

    /// Counts one write and says what happens to it.
    pub(super) fn next(&mut self, verb: Verb, kind: &str) -> Option<WriteFault> {
        self.total += 1;
        let count = self.counts.entry((verb, kind.to_owned())).or_default();
        *count += 1;
        let (total, count) = (self.total, *count);
        let hits = |strike: &Strike| match strike {
            Strike::Nth(n) => *n == total,
            Strike::NthOf { verb: of, kind: on, n } => *of == verb && on == kind && *n == count,
            Strike::Every { verb: of, kind: on } => *of == verb && on == kind,
            Strike::Chance(share) => self.chance.unit() < *share,
        };
        self.strikes.iter().find(|(strike, _)| hits(strike)).map(|(_, fault)| fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut plan: FaultPlan) -> Vec<bool> {
        (0..200).map(|_| plan.next(Verb::PatchStatus, "Gadget").is_some()).collect()
    }

    #[test]
    fn a_chance_hits_about_its_share_and_the_same_writes_for_the_same_seed() {
        let plan = |seed| FaultPlan::seeded(seed).with(Strike::Chance(0.2), WriteFault::NeverSent);
        assert_eq!(run(plan(1)), run(plan(1)));
        assert_ne!(run(plan(1)), run(plan(2)));
        assert!((20..=60).contains(&run(plan(1)).iter().filter(|hit| **hit).count()));
    }

    #[test]
    fn a_numbered_strike_hits_once() {
        let mut plan = FaultPlan::default()
            .with(Strike::Nth(3), WriteFault::Conflict)
            .with(Strike::NthOf { verb: Verb::Create, kind: "Gadget".to_owned(), n: 2 }, WriteFault::NeverSent);
        let seen: Vec<_> = [Verb::Create, Verb::Delete, Verb::Delete, Verb::Create, Verb::Create]
            .into_iter()
            .map(|verb| plan.next(verb, "Gadget"))
            .collect();
        assert_eq!(seen, [None, None, Some(WriteFault::Conflict), Some(WriteFault::NeverSent), None]);
    }

    #[test]
    fn another_kind_or_verb_is_not_hit() {
        let every = Strike::Every { verb: Verb::PatchStatus, kind: "Gadget".to_owned() };
        let mut plan = FaultPlan::default().with(every, WriteFault::Conflict);
        assert_eq!(plan.next(Verb::PatchStatus, "Widget"), None);
        assert_eq!(plan.next(Verb::PatchMetadata, "Gadget"), None);
        assert_eq!(plan.next(Verb::PatchStatus, "Gadget"), Some(WriteFault::Conflict));
    }
}
