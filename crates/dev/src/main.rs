//! `cargo dev`: a local control plane, the demo, the tests.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use breakwater_dev::demo::{self, Afterwards};
use breakwater_dev::progress::Progress;
use breakwater_dev::workspace::Profile;
use breakwater_dev::{bench, child, crds, planted, supervisor, test_run, workspace};
use clap::{Parser, Subcommand};

/// How many times faster than ours the simulated world runs, so that a first backup shows within a minute.
const CLOCK_FACTOR: u32 = 120;

/// Everything a developer of Breakwater needs, on loopback: needs Rust and Go, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a control plane, a simulated Azure and the operator, apply the samples, and tell what happens.
    Demo {
        /// End when the story is complete: exit 0, or non-zero with what was missing.
        #[arg(long)]
        once: bool,
        /// How many times faster than ours the simulated world runs.
        #[arg(long, default_value_t = CLOCK_FACTOR, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        clock_factor: u32,
    },
    /// Start the same without the story, in the background.
    Up {
        /// Several may run at once, under different names.
        #[arg(long, default_value = "main", value_parser = stack_name)]
        name: String,
        /// How many times faster than ours the simulated world runs.
        #[arg(long, default_value_t = CLOCK_FACTOR, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        clock_factor: u32,
    },
    /// End what `up` started.
    Down {
        /// The name given to `up`.
        #[arg(long, default_value = "main", value_parser = stack_name)]
        name: String,
    },
    /// Run every test of every level; builds what is needed first.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Break rules of the product on purpose and show which test catches each: the lists in tests/planted.
    Planted {
        /// Only bugs whose name contains this.
        filter: Option<String>,
    },
    /// Write crds/ from the types.
    Crds {
        /// Write nothing; fail when a file is stale.
        #[arg(long)]
        check: bool,
    },
    /// Check a folder of recorded Azure traffic against our parsers and azure-sim: a line per file and a total.
    Contract {
        /// The folder; its format is that of the recordings in the azure notes.
        dir: PathBuf,
    },
    /// Count and measure what the operator costs, at rest and at scale, and print one table; built for speed first, which takes minutes.
    Bench(bench::Bench),
    /// Replay one random run of the engine against the simulated Azure, or count how many runs end.
    Sim {
        /// The run to replay: every request, how things stood in the end, and what was broken.
        #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
        seed: u64,
        /// Run that many seeds on every core and print counts instead; built for speed first, which takes minutes.
        #[arg(long)]
        seeds: Option<u64>,
        /// The first of them.
        #[arg(long, default_value_t = 1, requires = "seeds")]
        from: u64,
    },
    #[command(name = supervisor::SUPERVISE, hide = true)]
    Supervise {
        #[arg(long)]
        name: String,
        #[arg(long)]
        clock_factor: u32,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut raw = std::env::args_os().skip(1);
    if raw.next().is_some_and(|first| first == child::RUN_CHILD) {
        let parent = raw.next().unwrap_or_default();
        let program = raw.next().unwrap_or_default();
        match child::run(&parent.to_string_lossy(), &program, &raw.collect::<Vec<_>>())? {}
    }
    match Args::parse().command {
        Command::Demo { once, clock_factor } => demo::run(if once { Afterwards::Leave } else { Afterwards::Stay }, clock_factor),
        Command::Up { name, clock_factor } => {
            let ready = supervisor::up(&name, clock_factor, &Progress::start())?;
            println!("\n{}\n`cargo dev down` ends it.", ready.advice());
            Ok(())
        }
        Command::Down { name } => {
            println!("{name}: {}", if supervisor::down(&name)? { "ended" } else { "nothing runs" });
            Ok(())
        }
        Command::Test { filter } => test_run::run(filter.as_deref()),
        Command::Planted { filter } => planted::run(filter.as_deref()),
        Command::Crds { check: true } => {
            let stale = crds::stale()?;
            if !stale.is_empty() {
                bail!("stale in crds/: {}; run `cargo dev crds`", stale.join(", "));
            }
            Ok(())
        }
        Command::Crds { check: false } => {
            crds::write()?.iter().for_each(|name| println!("crds/{name}"));
            Ok(())
        }
        Command::Contract { dir } => {
            // The check runs in the workspace's root.
            let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
            workspace::run_of_tests(Profile::Dev, "breakwater-contract", &[dir.as_os_str()])
        }
        Command::Bench(wanted) => bench::run(&wanted),
        Command::Sim { seed, seeds: None, .. } => {
            workspace::run_of_tests(Profile::Dev, "breakwater-sim", &["--seed".as_ref(), seed.to_string().as_ref()])
        }
        Command::Sim { seeds: Some(seeds), from, .. } => {
            let (seeds, from) = (seeds.to_string(), from.to_string());
            let args = ["--seeds".as_ref(), seeds.as_ref(), "--from".as_ref(), from.as_ref()];
            workspace::run_of_tests(Profile::Sweep, "breakwater-sim", &args)
        }
        Command::Supervise { name, clock_factor } => supervisor::supervise(&name, clock_factor),
    }
}

/// It becomes a folder.
fn stack_name(text: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err("a name is 1 to 40 of a-z, 0-9 and '-'".to_owned()) }
}
