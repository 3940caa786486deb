//! Replays random runs of the engine against azure-sim: one with everything that happened, or many with counts.

use std::process::ExitCode;

use breakwater_tests::sim::{
    manifests::SMALL,
    seeds::{Outcome, replay},
};

/// Runs between two lines of progress.
const PROGRESS: u64 = 50;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u64>().ok();
    match args.as_slice() {
        [flag, text] if flag == "--seed" => number(text).map_or_else(usage, one),
        [flag, text] if flag == "--seeds" => number(text).map_or_else(usage, many),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: breakwater-sim --seed N | --seeds N");
    ExitCode::from(2)
}

/// How a run ended, in words.
fn verdict(outcome: &Outcome) -> String {
    match (&outcome.broken, &outcome.reason) {
        (Some(rule), _) => format!("a rule was broken: {rule}"),
        (None, _) if outcome.settled => "settled: both machines are protected and nothing is open".to_owned(),
        (None, Some(reason)) => format!("stopped with a reason: {reason}"),
        (None, None) => "neither settled nor stopped with a reason".to_owned(),
    }
}

fn code(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64) -> ExitCode {
    let outcome = replay(seed, SMALL);
    println!("seed {seed}, every request to Azure:");
    outcome.requests.iter().for_each(|line| println!("  {line}"));
    println!("\nin the end:\n{}", outcome.story);
    println!("\nseed {seed}: {} requests, {} deaths; {}", outcome.requests.len(), outcome.deaths, verdict(&outcome));
    let is_same = replay(seed, SMALL).fingerprint == outcome.fingerprint;
    println!("run again: {}", if is_same { "the same bytes" } else { "other bytes, which a seed must never give" });
    code(outcome.holds() && is_same)
}

fn many(seeds: u64) -> ExitCode {
    let (mut settled, mut stopped, mut deaths, mut failed) = (0, 0, 0, Vec::new());
    for seed in 1..=seeds {
        let outcome = replay(seed, SMALL);
        deaths += outcome.deaths;
        match outcome.holds() {
            true if outcome.settled => settled += 1,
            true => stopped += 1,
            false => {
                eprintln!("seed {seed}: {}; cargo dev sim --seed {seed}", verdict(&outcome));
                failed.push(seed);
            }
        }
        if seed % PROGRESS == 0 && seed < seeds {
            eprintln!("{seed} of {seeds}");
        }
    }
    println!("{seeds} seeds: {settled} settled, {stopped} stopped with a reason, {} failed {failed:?}; {deaths} deaths", failed.len());
    code(failed.is_empty())
}
