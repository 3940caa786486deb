//! Counts and measures what the operator costs, and prints one table: what, goal, measured, verdict.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use breakwater_tests::bench::{
    definitions,
    layout::{FirstBackup, Layout},
    lifecycle, processes, reaction, rest, runs,
    table::{self, Row, Verdict},
    throughput,
};

/// How long a fleet of real processes may take to be protected.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// What to run.
struct Args {
    json: bool,
    machines: usize,
    vaults: usize,
    only: Option<String>,
    processes: Option<processes::Build>,
    process_machines: usize,
}

const USAGE: &str =
    "usage: breakwater-bench [--json] [--machines N] [--vaults N] [--only PART] [--processes debug|release] [--process-machines N]
parts: rest, lifecycle, runs, throughput, spread, restart, reaction, definitions";

fn args() -> Result<Args> {
    let mut args = Args { json: false, machines: 10_000, vaults: 15, only: None, processes: None, process_machines: 1_000 };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        if flag == "--json" {
            args.json = true;
            continue;
        }
        let Some(value) = given.next() else { bail!("{flag}: no value\n{USAGE}") };
        match flag.as_str() {
            "--machines" => args.machines = value.parse()?,
            "--vaults" => args.vaults = value.parse()?,
            "--process-machines" => args.process_machines = value.parse()?,
            "--only" => args.only = Some(value),
            "--processes" if value == "debug" => args.processes = Some(processes::Build::Debug),
            "--processes" if value == "release" => args.processes = Some(processes::Build::Release),
            _ => bail!("{flag} {value}\n{USAGE}"),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match args().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn or_told(what: &str, rows: Result<Vec<Row>>) -> Vec<Row> {
    rows.unwrap_or_else(|error| vec![Row::new(what, "", "not measured", Verdict::Misses, format!("{error:#}"))])
}

fn run(args: &Args) -> Result<()> {
    let (machines, vaults) = (args.machines, args.vaults);
    let counted = |part: &str| args.only.as_ref().is_none_or(|only| only == part);
    let mut rows: Vec<Row> = Vec::new();
    let mut part = |name: &str, make: &dyn Fn() -> Vec<Row>| {
        if counted(name) {
            eprintln!("counting: {name}");
            rows.extend(make());
        }
    };
    part("rest", &|| rest::measure(1_000, 1).rows());
    part("lifecycle", &|| {
        let costs = [lifecycle::protection(FirstBackup::OnSchedule), lifecycle::protection(FirstBackup::Now), lifecycle::recovery_point()];
        costs.iter().flat_map(lifecycle::Cost::rows).collect()
    });
    part("runs", &|| {
        let costs = [runs::one("BackupRun"), runs::one("RestoreRun")];
        costs.iter().flat_map(runs::Cost::rows).chain(runs::rush(500, 5).rows()).collect()
    });
    part("throughput", &|| throughput::measure(Layout::of(machines, vaults)).rows());
    part("spread", &|| throughput::measure(Layout { subscriptions: vaults, ..Layout::of(machines, vaults) }).rows());
    part("restart", &|| rest::restart(machines, vaults));
    part("reaction", &|| reaction::rows(machines, vaults));
    part("definitions", &definitions::rows);
    if let Some(build) = args.processes {
        let tools = processes::tools(build)?;
        // What could be measured is told even where another part did not come to its end.
        rows.extend(or_told("growth of the API server", definitions::growth(&tools)));
        rows.extend(or_told("the operator as a process", processes::rows(&tools, build, args.process_machines, vaults, PATIENCE)));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table::print(&rows));
    }
    Ok(())
}
