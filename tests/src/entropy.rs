//! Randomness that a seed decides.

use std::sync::{Mutex, PoisonError};

use breakwater_engine::ports::Entropy;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Numbers that follow from a seed: the same seed gives the same numbers in the same order.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// The sequence of this seed, from its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// The next whole number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..bound) }
    }
}

impl Entropy for SeededEntropy {
    fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64) -> Vec<f64> {
        let entropy = SeededEntropy::new(seed);
        (0..50).map(|_| entropy.unit()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn every_number_lies_in_the_unit_interval() {
        assert!(first(3).iter().all(|number| (0.0..1.0).contains(number)));
    }

    #[test]
    fn a_whole_number_stays_below_its_bound() {
        let entropy = SeededEntropy::new(1);
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| entropy.below(3)).collect();
        assert_eq!(drawn, [0, 1, 2].into());
        assert_eq!(entropy.below(0), 0);
    }
}
