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
    health::{self, Health, Heartbeat},
    lease::{Elector, Lead, Timing},
    metrics::Metrics,
    place,
    term::{TermError, Terms, Work},
    watch::{self, Watches},
};

/// How long running turns may take to end when the process is asked to.
const PATIENCE: Duration = Duration::from_secs(20);
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

/// Runs until SIGTERM or SIGINT. `wire` builds one term's work.
///
/// # Errors
/// When the process cannot start, or something in it ended that should not have.
pub async fn run(args: Args, wire: impl Fn(&Base, Waker) -> anyhow::Result<Work>) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
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
    let pages = Health { heartbeat: heartbeat.clone(), watches: watches.clone(), metrics: metrics.clone(), lead: elector.lead() };
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

fn stop_on_signals() -> std::io::Result<CancellationToken> {
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
