//! `azure-sim serve`: the simulated Azure as a process.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use azure_sim::{
    Azure, Estate, Options,
    doors::{Shared, WorldClock, admin, http, issuers::Issuers, tls},
};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

/// A simulated Azure: Resource Manager, Entra, Compute, Network and Recovery Services on loopback.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves an estate until SIGTERM or Ctrl-C.
    Serve(Box<Serve>),
}

const ADMIN_HELP: &str = r#"When it is ready it prints one JSON line:
  {"http":"http://127.0.0.1:41001","https":"https://localhost:41002","admin":"http://127.0.0.1:41003",
   "ca":"ca.crt","ports":{"http":41001,"https":41002,"admin":41003}}

The admin door (plain HTTP, no authentication, loopback only):
  GET    /journal?since=SEQ   one JSON line per request after SEQ; never a secret
  GET    /faults              the rules in force, with how often each was played
  POST   /faults              adds a rule, or a list of them:
           {"id":"lost","match":{"method":"PUT","path":"*/protectedItems/*","nth":1,"count":1,"after":"2026-11-24T08:00:00Z"},
            "fault":"dropAfterApply"}
         faults: "dropBeforeApply" "dropAfterApply" "cutBody" "malformedBody" "operationStuck" "operationExpired" "tokenRefused"
           {"delay":{"seconds":30}}  {"listLag":{"seconds":120}}  {"jobFailed":{"code":"400001"}}
           {"operationFailed":{"code":"X","message":"..."}}
           {"status":{"status":429,"retryAfter":20,"body":"standard|empty|html|nonArm","code":"X","message":"...",
                      "when":"beforeApply|afterApply"}}
  DELETE /faults[?id=ID]      removes one, or all
  GET    /clock               {"now","factor","nextEvent"} in world time
  POST   /clock               {"advance":"PT3H"} and/or {"factor":600}
  POST   /edit                {"method":"PUT|PATCH|DELETE","id":"/subscriptions/...","body":{...}}: behind everybody's back,
                              without authentication, journal, locks or operations; {"power":"deallocated"} turns a machine off
  GET    /state               everything stored

See README.md of the crate for examples with curl, az and OpenTofu."#;

#[derive(Args)]
#[command(after_help = ADMIN_HELP)]
struct Serve {
    /// The estate file (YAML): what exists before anybody calls.
    #[arg(long, env = "AZURE_SIM_ESTATE")]
    estate: PathBuf,
    /// Replaces ${NAME} in the estate file; may be given many times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// Port of the HTTP door; 0 takes a free one.
    #[arg(long, default_value_t = 0, env = "AZURE_SIM_HTTP_PORT")]
    http_port: u16,
    /// Port of the HTTPS door.
    #[arg(long, default_value_t = 0, env = "AZURE_SIM_HTTPS_PORT")]
    https_port: u16,
    /// Port of the admin door.
    #[arg(long, default_value_t = 0, env = "AZURE_SIM_ADMIN_PORT")]
    admin_port: u16,
    /// Where the certificate of the simulator's own authority is written, for clients to trust.
    #[arg(long, default_value = "azure-sim-ca.crt", env = "AZURE_SIM_CA_OUT")]
    ca_out: PathBuf,
    /// World seconds per wall second. Retry-After on the wire is divided by it.
    #[arg(long, default_value_t = 1.0, env = "AZURE_SIM_CLOCK_FACTOR")]
    clock_factor: f64,
    /// World time at the start (RFC 3339); the wall's when missing.
    #[arg(long, env = "AZURE_SIM_CLOCK_ORIGIN")]
    clock_origin: Option<Timestamp>,
    /// A file to which the journal is appended, one JSON line a request.
    #[arg(long, env = "AZURE_SIM_JOURNAL")]
    journal: Option<PathBuf>,
    /// The seed of every GUID and duration.
    #[arg(long, default_value_t = 1, env = "AZURE_SIM_SEED")]
    seed: u64,
    /// A PEM file of authorities to trust when fetching the keys of federated issuers; may be given many times.
    #[arg(long, env = "AZURE_SIM_TRUST_CA")]
    trust_ca: Vec<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "expected NAME=VALUE".to_owned())
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,azure_sim=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Serve(arguments) => serve(*arguments).await,
    }
}

async fn serve(arguments: Serve) -> Result<()> {
    let wall = Timestamp::now();
    let start = arguments.clock_origin.unwrap_or(wall);
    let values: BTreeMap<String, String> = arguments.values.into_iter().collect();
    let estate = Estate::read(&arguments.estate, &values)?;
    let options = Options { seed: arguments.seed, start, ..Options::default() };
    let azure = Azure::new(estate, options).with_context(|| format!("building the estate of {}", arguments.estate.display()))?;
    let authorities: Vec<Vec<u8>> = arguments
        .trust_ca
        .iter()
        .map(|path| std::fs::read(path).with_context(|| format!("reading --trust-ca {}", path.display())))
        .collect::<Result<_>>()?;
    let journal = arguments
        .journal
        .map(|path| {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("opening --journal {}", path.display()))
        })
        .transpose()?;
    let clock = WorldClock::new(Timestamp::now(), start, arguments.clock_factor);
    let shared = Shared::new(azure, clock, Issuers::new(&authorities)?, journal);
    let authority = Arc::new(tls::Authority::new()?);
    std::fs::write(&arguments.ca_out, &authority.ca_pem).with_context(|| format!("writing --ca-out {}", arguments.ca_out.display()))?;
    let (plain, plain_at) = tls::bind(arguments.http_port).await?;
    let (secure, secure_at) = tls::bind(arguments.https_port).await?;
    let (control, control_at) = tls::bind(arguments.admin_port).await?;
    let doors = serde_json::json!({
        "http": format!("http://127.0.0.1:{}", plain_at.port()),
        "https": format!("https://localhost:{}", secure_at.port()),
        "admin": format!("http://127.0.0.1:{}", control_at.port()),
        "ca": arguments.ca_out,
        "ports": {"http": plain_at.port(), "https": secure_at.port(), "admin": control_at.port()},
    });
    println!("{doors}");
    tokio::select! {
        () = tls::serve(plain, http::router(shared.clone(), "http"), None) => {}
        () = tls::serve(secure, http::router(shared.clone(), "https"), Some(authority)) => {}
        () = tls::serve(control, admin::router(shared.clone()), None) => {}
        () = shared.tick() => {}
        stopped = stop() => stopped?,
    }
    tracing::info!("stopped");
    Ok(())
}

async fn stop() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listening for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
