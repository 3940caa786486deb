//! The life of one process: what is built in which order, what ends it, and how.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use breakwater_engine::ports::Arm;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Args,
    audit::AuditLog,
    azure,
    clients::{self, Clients},
    clock::WorldClock,
    cluster::KubeCluster,
    controllers::Waker,
    credentials::KubeCredentials,
    entropy::SystemEntropy,
    events::Events,
    health::{self, Counted, Health, Heartbeat},
    lease::{Elector, Lead, Timing},
    metrics::Metrics,
    place,
    term::{TermError, Terms, Work},
    watch::{self, Watches},
};

/// How long running turns may take to end when the process is asked to.
const PATIENCE: Duration = Duration::from_secs(65);
/// Between two beats while the stores are read for the first time.
const BEAT: Duration = Duration::from_secs(5);

/// Everything that lives as long as the process and that an engine needs.
pub struct Base {
    /// The arguments.
    pub args: Args,
    /// Who writes (api.md, "Whose is it?").
    pub writer: String,
    /// Azure.
    pub arm: Arc<dyn Arm>,
    /// Kubernetes.
    pub cluster: Arc<KubeCluster>,
    /// The stores behind it.
    pub watches: Arc<Watches>,
    /// Time.
    pub clock: Arc<WorldClock>,
    /// Jitter.
    pub entropy: Arc<SystemEntropy>,
    /// The audit record.
    pub audit: Arc<AuditLog>,
    /// Whether we lead.
    pub lead: Arc<Lead>,
    /// Counters.
    pub metrics: Metrics,
}

/// Runs until `stop`. `wire` builds one term's work.
///
/// # Errors
/// When the process cannot start, or something in it ended that should not have.
pub async fn run(args: Args, wire: impl Fn(&Base, Waker) -> anyhow::Result<Work>, stop: CancellationToken) -> anyhow::Result<()> {
    let config = clients::config(args.kubeconfig.as_deref()).await.context("cannot find the Kubernetes API server (--kubeconfig)")?;
    let clients = Clients::new(&config).context("cannot use the credentials for the Kubernetes API server")?;
    let namespace = place::namespace(args.namespace.as_deref(), &config.default_namespace);
    let identity = place::identity(args.identity.as_deref());

    let metrics = Metrics::default();
    let heartbeat = Heartbeat::default();
    let (watches, feeds) = watch::unread();
    let mut tasks = JoinSet::new();
    let leases: Api<Lease> = Api::namespaced(clients.lease.clone(), &namespace);
    let elector = Elector::new(leases, &args.lease_name, &identity, Timing::default(), heartbeat.clone());
    let pages = Health {
        heartbeat: heartbeat.clone(),
        watches: watches.clone(),
        metrics: metrics.clone(),
        lead: elector.lead(),
        counted: Counted::default(),
    };
    serve_pages(&args, pages, &mut tasks).await?;
    for feed in feeds {
        let name = format!("the watch of {}", feed.kind());
        let running = feed.run(clients.reads.clone(), metrics.clone());
        tasks.spawn(async move {
            running.await;
            name
        });
    }

    let credentials = Arc::new(KubeCredentials::new(clients.writes.clone(), &namespace));
    let base = Base {
        arm: azure::client(&args, credentials, metrics.clone())?,
        writer: place::writer(args.writer.as_deref(), &clients.reads).await?,
        cluster: Arc::new(KubeCluster::new(watches.clone(), &clients, Events::new(clients.writes.clone(), &identity), metrics.clone())),
        watches,
        clock: Arc::new(clock(&args)),
        entropy: Arc::new(SystemEntropy),
        audit: Arc::new(AuditLog::open(&args.audit_log).with_context(|| format!("cannot open --audit-log {}", args.audit_log))?),
        lead: elector.lead(),
        metrics,
        args,
    };
    tracing::info!(estate = %base.args.estate, writer = %base.writer, namespace, identity, "breakwater-operator {}", env!("CARGO_PKG_VERSION"));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        synced = first_sync(&base.watches, &heartbeat) => synced?,
        ended = tasks.join_next() => return Err(by_itself(ended)),
    }
    lead(&base, clients, elector, wire, tasks, stop).await
}

/// Candidates for the lease and leads, until `stop`; gives the lease back unless turns might still write.
async fn lead(
    base: &Base,
    clients: Clients,
    elector: Elector,
    wire: impl Fn(&Base, Waker) -> anyhow::Result<Work>,
    mut tasks: JoinSet<String>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let terms = Terms {
        watches: base.watches.clone(),
        live: clients.reads,
        lead: base.lead.clone(),
        metrics: base.metrics.clone(),
        entropy: base.entropy.clone(),
        concurrency: base.args.concurrency,
        patience: PATIENCE,
    };
    let resign = CancellationToken::new();
    let mut election = tokio::spawn(elector.run(resign.clone()));
    let ended: anyhow::Result<()> = tokio::select! {
        ended = terms.run(|waker| wire(base, waker), &stop) => match ended {
            // The lease stays ours until it is stale: whoever leads next must not meet a write of ours.
            Err(still @ TermError::StillRunning(_)) => return Err(still.into()),
            ended => ended.map_err(Into::into),
        },
        ended = tasks.join_next() => return Err(by_itself(ended)),
        _ = &mut election => return Err(anyhow!("the election ended by itself")),
    };
    resign.cancel();
    election.await.context("the election")?;
    ended
}

/// Reads every store for the first time. The heart beats meanwhile: waiting for a CRD or for rights is no reason for a restart.
async fn first_sync(watches: &Watches, heartbeat: &Heartbeat) -> anyhow::Result<()> {
    let synced = watches.synced();
    tokio::pin!(synced);
    loop {
        tokio::select! {
            synced = &mut synced => return synced.map_err(Into::into),
            () = tokio::time::sleep(BEAT) => {
                heartbeat.beat();
                tracing::info!(missing = ?watches.unsynced(), "waiting for the first lists");
            }
        }
    }
}

async fn serve_pages(args: &Args, pages: Health, tasks: &mut JoinSet<String>) -> anyhow::Result<()> {
    let listener = TcpListener::bind((args.bind, args.health_port)).await;
    let listener = listener.with_context(|| format!("cannot listen on {}:{} (--bind, --health-port)", args.bind, args.health_port))?;
    let port = listener.local_addr()?.port();
    if args.print_ports {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::json!({ "health": port }))?;
        out.flush()?;
    }
    tasks.spawn(async move {
        match axum::serve(listener, health::router(pages)).await {
            Ok(()) => "the health port".to_owned(),
            Err(error) => format!("the health port ({error})"),
        }
    });
    Ok(())
}

fn clock(args: &Args) -> WorldClock {
    args.world_origin.map_or_else(WorldClock::wall_time, |origin| WorldClock::faster(origin, args.world_factor.unwrap_or(1.0)))
}

/// Cancelled at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: no turn begins any more");
        on_signal.cancel();
    });
    Ok(stop)
}

fn by_itself(ended: Option<Result<String, tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(name)) => anyhow!("{name} ended by itself"),
        Some(Err(panic)) => anyhow!("a task ended by itself: {panic}"),
        None => anyhow!("no task was running"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use breakwater_engine::ports::{Leadership, ObjectKey};
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::{controllers::Turns, watch::Change, wire::ApiServer};

    struct Counting(AtomicUsize);

    #[async_trait]
    impl Turns for Counting {
        async fn turn(&self, _: &ObjectKey) -> Duration {
            self.0.fetch_add(1, Ordering::SeqCst);
            Duration::from_secs(3600)
        }

        fn woken_by(&self, _: &Change) -> Vec<ObjectKey> {
            Vec::new()
        }
    }

    async fn kubeconfig(server: &ApiServer, folder: &std::path::Path) -> std::path::PathBuf {
        let cluster = json!({ "name": "c", "cluster": { "server": server.listen().await } });
        let context = json!({ "name": "x", "context": { "cluster": "c", "user": "u", "namespace": "breakwater" } });
        let config = json!({ "apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
            "users": [{ "name": "u", "user": {} }], "current-context": "x" });
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    #[tokio::test]
    async fn a_process_reads_leads_turns_and_stops() {
        clients::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let server = ApiServer::new();
        server.apply("RecoveryVault", "shop", "main", json!({ "spec": {} }));
        let audit = folder.path().join("audit.jsonl");
        let config = kubeconfig(&server, folder.path()).await;
        let args = Args::parse_from(
            ["x", "--estate", "a", "--writer", "w", "--bind", "127.0.0.1", "--health-port", "0", "--kubeconfig"]
                .into_iter()
                .map(std::ffi::OsString::from)
                .chain([config.into(), "--audit-log".into(), audit.into()]),
        );
        let (stop, turns) = (CancellationToken::new(), Arc::new(Counting(AtomicUsize::new(0))));
        let (seen, led) = (turns.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = led.clone();
        let wire = move |base: &Base, _: Waker| {
            counted.fetch_add(usize::from(base.lead.leads()), Ordering::SeqCst);
            Ok(Work { turns: turns.clone(), beside: Vec::new() })
        };
        let running = tokio::spawn(run(args, wire, stop.clone()));
        let had_a_turn = async {
            while seen.0.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), had_a_turn).await.expect("a turn soon after start");
        assert_eq!(led.load(Ordering::SeqCst), 1, "the engine is built by a leader");
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), running).await.expect("a quick end").unwrap().unwrap();
        assert_eq!(seen.0.load(Ordering::SeqCst), 1);
        assert!(server.written().iter().any(|(verb, path, _)| verb == "POST" && path.ends_with("/namespaces/breakwater/leases")));
    }

    #[tokio::test]
    async fn what_cannot_start_says_which_flag_to_look_at() {
        clients::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let config = kubeconfig(&ApiServer::new(), folder.path()).await;
        let config = config.to_str().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let cases: [(&[&str], &str); 3] = [
            (&["--health-port", "0"], "--writer"),
            (&["--health-port", &port], "--health-port"),
            (&["--health-port", "0", "--writer", "w", "--audit-log", "/nowhere/audit"], "--audit-log"),
        ];
        for (flags, told) in cases {
            let line = ["x", "--estate", "a", "--bind", "127.0.0.1", "--kubeconfig", config].into_iter().chain(flags.iter().copied());
            let wire = |_: &Base, _: Waker| anyhow::bail!("not reached");
            let error = run(Args::parse_from(line), wire, CancellationToken::new()).await.unwrap_err();
            assert!(format!("{error:#}").contains(told), "{flags:?}: {error:#}");
        }
    }
}
