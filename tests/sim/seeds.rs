//! Random seeds: everything goes wrong, nothing is doubled, and in the end machines are protected, or a reason says why not.

use breakwater_tests::sim::seeds::run;

use crate::manifests::SMALL;

/// Seeds in the test run; `cargo dev sim --seeds N` runs more by hand.
const SEEDS: u64 = 200;

fn seeds(part: u64) {
    for seed in (1..=SEEDS).filter(|s| s % 2 == part) {
        let outcome = run(seed, SMALL);
        assert!(outcome.settled || outcome.reason.is_some(), "seed {seed}: cargo dev sim --seed {seed}\n{}", outcome.story);
    }
}

#[test]
fn even_seeds_end_protected_or_with_a_reason() {
    seeds(0);
}

#[test]
fn odd_seeds_end_protected_or_with_a_reason() {
    seeds(1);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [3, 77, 1234] {
        let (one, two) = (run(seed, SMALL), run(seed, SMALL));
        assert_eq!(one.deaths, two.deaths, "seed {seed}");
        assert!(one.fingerprint == two.fingerprint, "seed {seed} gave two different runs");
    }
}
