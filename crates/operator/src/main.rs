//! The shipped binary. What it is made of is in the library; how it lives, in `run`; where the engine is built, in `wiring`.

use std::process::ExitCode;

use breakwater_operator::{args::Args, clients, logs, run, wiring};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = args.check() {
        eprintln!("breakwater-operator: {error}");
        return ExitCode::from(2);
    }
    if let Err(error) = start_logs(&args) {
        eprintln!("breakwater-operator: logs cannot be started: {error:#}");
        return ExitCode::from(2);
    }
    clients::install_tls();
    match live(args).await {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped by trouble");
            eprintln!("breakwater-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn live(args: Args) -> anyhow::Result<()> {
    run::run(args, wiring::work, run::stop_on_signals()?).await
}

fn start_logs(args: &Args) -> anyhow::Result<()> {
    logs::start(args.log_format, logs::filter(&args.log_filter)?)?;
    logs::log_panics();
    Ok(())
}
