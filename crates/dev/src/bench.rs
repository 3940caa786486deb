//! `cargo dev bench`: what the operator costs, counted in virtual time and measured on real processes, as one table.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::workspace::{self, Profile};

/// Which build of the operator is measured as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Build {
    /// The one that tests use.
    Debug,
    /// The one that ships; cargo builds it first, which takes minutes.
    Release,
}

/// What to count and to measure. Without flags: every count, no process.
#[derive(Args, Clone, Debug)]
pub struct Bench {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Machines of the large fleets that are counted.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub machines: u32,
    /// Vaults that they are spread over; Azure takes 1,000 machines in one.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub vaults: u32,
    /// One part only: rest, lifecycle, runs, throughput, spread, restart, reaction, definitions.
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,
    /// Measure memory and reaction on the shipped binary too, with a real control plane.
    #[arg(long, value_name = "BUILD")]
    pub processes: Option<Build>,
    /// Machines of the fleet that real processes keep.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub process_machines: u32,
}

/// Builds and runs the benchmark.
///
/// # Errors
/// It cannot be built, or a part of it does not start. A goal that is missed is no error: it stands in the table.
pub fn run(bench: &Bench) -> Result<()> {
    let args = arguments(bench);
    workspace::run_of_tests(Profile::Sweep, "breakwater-bench", &args.iter().map(OsString::as_os_str).collect::<Vec<_>>())
}

fn arguments(bench: &Bench) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: String| args.extend([OsString::from(name), OsString::from(value)]);
    flag("--machines", bench.machines.to_string());
    flag("--vaults", bench.vaults.to_string());
    flag("--process-machines", bench.process_machines.to_string());
    if let Some(part) = &bench.only {
        flag("--only", part.clone());
    }
    if let Some(build) = bench.processes {
        flag("--processes", format!("{build:?}").to_ascii_lowercase());
    }
    if bench.json {
        args.push("--json".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    #[test]
    fn what_is_asked_for_reaches_the_benchmark() {
        let line = Line::parse_from(["bench", "--json", "--machines", "200", "--only", "rest", "--processes", "release"]);
        let args = arguments(&line.bench);
        let wanted =
            ["--machines", "200", "--vaults", "15", "--process-machines", "1000", "--only", "rest", "--processes", "release", "--json"];
        assert_eq!(args, wanted.map(OsString::from));
    }
}
