//! The command line: what an operator is told at start and cannot find out by itself.
//!
//! Every flag has an environment twin, `BREAKWATER_` and its name. What contradicts itself is refused before anything is
//! contacted, with a sentence that says what to change.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use url::{Host, Url};

/// Keeps Azure virtual machines recoverable, as declared in Kubernetes.
///
/// Runs in a cluster with its own ServiceAccount and needs one thing that no cluster can tell: the name of its estate.
#[derive(Clone, Debug, Parser)]
#[command(name = "breakwater-operator", version)]
pub struct Args {
    /// The name under which this installation owns what it makes in Azure. Keep it in Git with the manifests: a rebuilt
    /// cluster that states the same name finds its own vaults, policies and jobs again. Two clusters never share one.
    /// 1 to 40 of a-z, 0-9 and '-'.
    #[arg(long, env = "BREAKWATER_ESTATE", value_parser = estate)]
    pub estate: String,

    /// Who writes, as tagged on every vault; another writer's tag stops all writes. By default the uid of the kube-system
    /// namespace, which is different in every cluster. Set it only where that namespace cannot be read.
    #[arg(long, env = "BREAKWATER_WRITER", value_parser = not_empty)]
    pub writer: Option<String>,

    /// The Azure region that this cluster runs in, as Azure spells it: "westeurope". A vault in the same region then says
    /// ControlPlaneInSourceRegion: when that region is lost, what should restore from it is lost too.
    #[arg(long, env = "BREAKWATER_CLUSTER_REGION", value_parser = not_empty)]
    pub cluster_region: Option<String>,

    /// The operator's own namespace: its lease, the ServiceAccounts of workload identities and the Secrets of client
    /// secrets are there. By default $POD_NAMESPACE, else the namespace of the pod, else the one of the kubeconfig's context.
    #[arg(long, env = "BREAKWATER_NAMESPACE", value_parser = not_empty)]
    pub namespace: Option<String>,

    /// A kubeconfig file, to run outside of a cluster. By default $KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount.
    #[arg(long, env = "BREAKWATER_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Azure Resource Manager of a custom cloud, for every AzureAccess whatever its `cloud` says. Plain http is accepted on
    /// a loopback address only.
    #[arg(long, env = "BREAKWATER_ARM_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub arm_endpoint: Option<Url>,

    /// The scope of tokens for --arm-endpoint. By default that endpoint followed by "/.default".
    #[arg(long, env = "BREAKWATER_ARM_SCOPE", value_name = "SCOPE", requires = "arm_endpoint", value_parser = not_empty)]
    pub arm_scope: Option<String>,

    /// Where tokens for --arm-endpoint are asked for: the login host of the custom cloud, always https. By default that of
    /// the public cloud.
    #[arg(long, env = "BREAKWATER_AUTHORITY", value_name = "URL", requires = "arm_endpoint", value_parser = authority)]
    pub authority: Option<Url>,

    /// A PEM file of certificate authorities to trust for Azure (Resource Manager and login) beside the system's.
    #[arg(long, env = "BREAKWATER_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// For a simulated Azure only: the instant at which world time and wall time agree (RFC 3339), or "WALL=WORLD" where
    /// they differ. From there world time runs --world-factor times as fast. Refused unless --arm-endpoint is on a loopback address.
    #[arg(long, env = "BREAKWATER_WORLD_ORIGIN", value_name = "TIME[=TIME]")]
    pub world_origin: Option<WorldOrigin>,

    /// For a simulated Azure only: how many world seconds pass in one second. Needs --world-origin.
    #[arg(long, env = "BREAKWATER_WORLD_FACTOR", value_name = "N", value_parser = factor, requires = "world_origin")]
    pub world_factor: Option<f64>,

    /// The address that /healthz, /readyz and /metrics listen on.
    #[arg(long, env = "BREAKWATER_BIND", default_value = "0.0.0.0")]
    pub bind: IpAddr,

    /// The port of /healthz, /readyz and /metrics. 0 takes any free one; --print-ports tells which.
    #[arg(long, env = "BREAKWATER_HEALTH_PORT", default_value_t = 8080)]
    pub health_port: u16,

    /// Print one line of JSON to standard output once the port is bound, {"health": PORT}, for whoever started this process.
    #[arg(long, env = "BREAKWATER_PRINT_PORTS")]
    pub print_ports: bool,

    /// The Lease in the operator's namespace by which one replica leads. Two installations in one namespace need two names.
    #[arg(long, env = "BREAKWATER_LEASE_NAME", default_value = "breakwater-operator", value_parser = not_empty)]
    pub lease_name: String,

    /// How this process signs the Lease and its Events; a random suffix is added, so that no two processes ever share one.
    /// By default the host's name, which is the pod's.
    #[arg(long, env = "BREAKWATER_IDENTITY", value_parser = not_empty)]
    pub identity: Option<String>,

    /// How logs are written, to standard error.
    #[arg(long, env = "BREAKWATER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged, as tracing directives: "info", "breakwater_engine=debug,info". Libraries below warn need their own directive.
    #[arg(long, env = "BREAKWATER_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// Where the audit record of every act goes: a file that is appended to and synced, or "-" for standard output. An act
    /// whose record cannot be written is not done.
    #[arg(long, env = "BREAKWATER_AUDIT_LOG", value_name = "FILE|-", default_value = "-")]
    pub audit_log: String,

    /// How many objects of one kind have a turn at the same time. One object never has two.
    #[arg(long, env = "BREAKWATER_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// How often Azure is listed, in world time, per access, subscription and type: "5m", "1h30m". At least 10 s.
    #[arg(long, env = "BREAKWATER_INVENTORY_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = interval)]
    pub inventory_interval: Duration,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Text,
}

/// The instant at which wall time and world time are known to stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldOrigin {
    /// Then, by this machine's clock.
    pub wall: Timestamp,
    /// Then, in the world of the simulated Azure.
    pub world: Timestamp,
}

impl FromStr for WorldOrigin {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (wall, world) = text.split_once('=').unwrap_or((text, text));
        Ok(WorldOrigin { wall: wall.parse()?, world: world.parse()? })
    }
}

/// Arguments that are each fine and together are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// World time is for simulators only.
    #[error(
        "--world-origin and --world-factor are for a simulated Azure: they need --arm-endpoint on a loopback address, and it is {0}. Remove them, or point --arm-endpoint at 127.0.0.1"
    )]
    WorldWithoutLoopback(String),
    /// A file that was named and cannot be read.
    #[error("{flag} {path}: {reason}")]
    Unreadable {
        /// The flag.
        flag: &'static str,
        /// The file it names.
        path: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// Tracing directives that do not parse.
    #[error("--log-filter {filter:?}: {reason}")]
    LogFilter {
        /// What was given.
        filter: String,
        /// Where it is wrong.
        reason: String,
    },
}

impl Args {
    /// Checks what clap cannot: flags against each other, and files that must be there.
    ///
    /// # Errors
    /// The first contradiction found, with what to change.
    pub fn check(&self) -> Result<(), ArgsError> {
        if self.world_origin.is_some() && !self.arm_endpoint.as_ref().is_some_and(is_loopback) {
            let endpoint = self.arm_endpoint.as_ref().map_or_else(|| "not set".to_owned(), Url::to_string);
            return Err(ArgsError::WorldWithoutLoopback(endpoint));
        }
        readable("--ca-file", self.ca_file.as_ref())?;
        readable("--kubeconfig", self.kubeconfig.as_ref())?;
        crate::logs::filter(&self.log_filter)
            .map(|_| ())
            .map_err(|reason| ArgsError::LogFilter { filter: self.log_filter.clone(), reason: reason.to_string() })
    }

    /// The scope of tokens for a custom endpoint; `None` without one.
    pub fn scope(&self) -> Option<String> {
        let endpoint = self.arm_endpoint.as_ref()?;
        Some(self.arm_scope.clone().unwrap_or_else(|| format!("{}/.default", endpoint.as_str().trim_end_matches('/'))))
    }
}

/// Whether a URL's host is this machine by its very spelling: an address of the loopback range, or `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

fn readable(flag: &'static str, path: Option<&PathBuf>) -> Result<(), ArgsError> {
    let Some(path) = path else { return Ok(()) };
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(reason) => Err(ArgsError::Unreadable { flag, path: path.display().to_string(), reason: reason.to_string() }),
    }
}

fn estate(text: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err("an estate's name is 1 to 40 of a-z, 0-9 and '-'".to_owned()) }
}

fn not_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|e| format!("no URL: {e}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("plain http is accepted on a loopback address only, because requests carry tokens; use https".to_owned()),
        other => Err(format!("must begin with https://, not {other}://")),
    }
}

fn authority(text: &str) -> Result<Url, String> {
    let url = endpoint(text)?;
    if url.scheme() == "https" { Ok(url) } else { Err("must begin with https://, on a loopback address too".to_owned()) }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (1.0..=100_000.0).contains(&factor) => Ok(factor),
        _ => Err("a number from 1 to 100000".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|e| format!("no duration such as 5m: {e}"))?;
    match Duration::try_from(parsed) {
        Ok(interval) if interval >= Duration::from_secs(10) => Ok(interval),
        _ => Err("at least 10s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("breakwater-operator").chain(line.split_whitespace()))
    }

    #[test]
    fn every_flag_has_an_environment_twin_and_a_sentence() {
        let command = Args::command();
        command.clone().debug_assert();
        for flag in command.get_arguments().filter(|a| a.get_id() != "help" && a.get_id() != "version") {
            let twin = format!("BREAKWATER_{}", flag.get_long().unwrap().replace('-', "_").to_uppercase());
            assert_eq!(flag.get_env().and_then(|e| e.to_str()), Some(twin.as_str()), "{}", flag.get_id());
            assert!(flag.get_help().is_some_and(|h| h.to_string().len() > 30), "{} is not explained", flag.get_id());
        }
    }

    #[test]
    fn an_estate_alone_is_enough() {
        let args = parse("--estate shop-prod").unwrap();
        assert_eq!(args.check(), Ok(()));
        assert_eq!(args.inventory_interval, Duration::from_secs(300));
        assert_eq!(args.scope(), None);
    }

    #[test]
    fn what_is_wrong_by_itself_is_refused_with_what_to_write() {
        let cases = [
            ("", "--estate"),
            ("--estate Shop", "a-z, 0-9"),
            ("--estate a123456789012345678901234567890123456789x", "1 to 40"),
            ("--estate a --arm-endpoint http://management.example.com", "loopback"),
            ("--estate a --arm-endpoint ftp://127.0.0.1", "https://"),
            ("--estate a --authority https://login.example.com", "--arm-endpoint"),
            ("--estate a --arm-endpoint https://arm.example.com --authority http://10.0.0.1/", "loopback"),
            ("--estate a --arm-endpoint http://127.0.0.1:1 --authority http://127.0.0.1:1", "https://"),
            ("--estate a --world-factor 60", "--world-origin"),
            ("--estate a --world-origin 2026-11-24T00:00:00Z --world-factor 0", "1 to 100000"),
            ("--estate a --world-origin yesterday", "--world-origin"),
            ("--estate a --concurrency 0", "1..=256"),
            ("--estate a --inventory-interval 1s", "at least 10s"),
            ("--estate a --inventory-interval=-5m", "at least 10s"),
            ("--estate a --writer=", "--writer"),
        ];
        for (line, told) in cases {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(told), "{line}: {error}");
        }
    }

    #[test]
    fn world_time_needs_an_azure_on_loopback() {
        let world = "--world-origin 2026-11-24T00:00:00Z --world-factor 60";
        for (endpoint, accepted) in [
            ("", false),
            ("--arm-endpoint https://management.azure.com", false),
            ("--arm-endpoint https://localhost.example.com", false),
            ("--arm-endpoint http://127.0.0.1:4000", true),
            ("--arm-endpoint https://[::1]:4000/", true),
            ("--arm-endpoint https://localhost:4000", true),
        ] {
            let checked = parse(&format!("--estate a {endpoint} {world}")).unwrap().check();
            assert_eq!(checked.is_ok(), accepted, "{endpoint}: {checked:?}");
        }
    }

    #[test]
    fn the_origin_is_one_instant_or_a_pair() {
        let args = parse("--estate a --arm-endpoint http://[::1]:1 --world-origin 2026-11-24T00:00:00Z=2030-01-01T00:00:00Z").unwrap();
        let origin = args.world_origin.unwrap();
        assert_eq!((origin.wall.to_string(), origin.world.to_string()), ("2026-11-24T00:00:00Z".into(), "2030-01-01T00:00:00Z".into()));
        let one: WorldOrigin = "2026-11-24T00:00:00Z".parse().unwrap();
        assert_eq!(one.wall, one.world);
    }

    #[test]
    fn files_that_are_not_there_are_told_at_start() {
        let error = parse("--estate a --ca-file /nowhere/ca.pem").unwrap().check().unwrap_err().to_string();
        assert!(error.contains("--ca-file /nowhere/ca.pem"), "{error}");
        let error = parse("--estate a --log-filter =x=y=").unwrap().check().unwrap_err().to_string();
        assert!(error.contains("--log-filter"), "{error}");
    }

    #[test]
    fn the_scope_follows_the_endpoint() {
        let args = parse("--estate a --arm-endpoint https://arm.example.com/").unwrap();
        assert_eq!(args.scope().as_deref(), Some("https://arm.example.com/.default"));
        let args = parse("--estate a --arm-endpoint https://arm.example.com --arm-scope api://x/.default").unwrap();
        assert_eq!(args.scope().as_deref(), Some("api://x/.default"));
    }
}
