//! Replays random runs of the engine against azure-sim: one with everything that happened, or many, on every core, with
//! counts. Every fourth is a story, with people in it.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use breakwater_tests::sim::{
    manifests::SMALL,
    seeds::{Outcome, is_story, replay},
};

/// Runs between two lines of progress.
const PROGRESS: u64 = 50;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u64>().ok();
    match args.as_slice() {
        [flag, text] if flag == "--seed" => number(text).map_or_else(usage, one),
        [flag, text] if flag == "--seeds" => number(text).map_or_else(usage, |seeds| many(1, seeds)),
        [flag, text, after, from] if flag == "--seeds" && after == "--from" => {
            number(text).zip(number(from)).map_or_else(usage, |(seeds, from)| many(from, seeds))
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: breakwater-sim --seed N | --seeds N [--from N]");
    ExitCode::from(2)
}

/// How a run ended, in words.
fn verdict(seed: u64, outcome: &Outcome) -> String {
    match (&outcome.broken, &outcome.reason) {
        (Some(rule), _) => format!("a rule was broken: {rule}"),
        (None, _) if outcome.settled && is_story(seed) => "settled: nothing is open".to_owned(),
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
    println!("\nseed {seed}: {} requests, {} deaths; {}", outcome.requests.len(), outcome.deaths, verdict(seed, &outcome));
    let is_same = replay(seed, SMALL).fingerprint == outcome.fingerprint;
    println!("run again: {}", if is_same { "the same bytes" } else { "other bytes, which a seed must never give" });
    code(outcome.holds() && is_same)
}

/// What many runs came to.
#[derive(Default)]
struct Counts {
    run: u64,
    settled: u64,
    stopped: u64,
    /// Stories among all, and those of them that came to rest.
    stories: (u64, u64),
    deaths: u64,
    failed: Vec<u64>,
}

impl Counts {
    fn take(&mut self, seed: u64, outcome: &Outcome) {
        self.run += 1;
        self.deaths += outcome.deaths;
        if is_story(seed) {
            self.stories.0 += 1;
            self.stories.1 += u64::from(outcome.settled);
        }
        match outcome.holds() {
            true if outcome.settled => self.settled += 1,
            true => {
                self.stopped += 1;
                // What a story leaves undone is to be read: something may be stuck.
                if is_story(seed) {
                    eprintln!("seed {seed}: {}:\n  {}", verdict(seed, outcome), outcome.told.join("\n  "));
                }
            }
            false => {
                eprintln!("seed {seed}: {}; cargo dev sim --seed {seed}", verdict(seed, outcome));
                self.failed.push(seed);
            }
        }
    }
}

/// Seeds share nothing, so they run side by side.
fn many(from: u64, seeds: u64) -> ExitCode {
    let (next, counts) = (AtomicU64::new(0), Mutex::new(Counts::default()));
    let work = || {
        while let Some(nth) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|nth| *nth < seeds) {
            let seed = from.saturating_add(nth);
            let outcome = replay(seed, SMALL);
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.take(seed, &outcome);
            if counts.run % PROGRESS == 0 && counts.run < seeds {
                eprintln!("{} of {seeds}", counts.run);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let Counts { settled, stopped, stories, deaths, mut failed, .. } = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    println!(
        "{seeds} seeds from {from} on: {settled} settled, {stopped} stopped with a reason, {} failed {failed:?}; \
         {} stories, {} of them settled; {deaths} deaths",
        failed.len(),
        stories.0,
        stories.1
    );
    code(failed.is_empty())
}
