//! One Kubernetes client per purpose (rust-stack.md, "Clients"): reads may be repeated, writes and the lease are sent once.

use std::{path::Path, time::Duration};

use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

/// How long the head of an answer may take, repetitions included. A watch's body goes on after it.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may be silent: longer than a watch ([`crate::watch::WATCH_LASTS`]) and the 5 s that kube waits for its
/// end, which are no errors (kube's own default is for ever: rust-stack.md, trap 5).
const SILENCE: Duration = Duration::from_secs(75);
/// How long the rest of an answer to a write may be silent.
const ANSWER: Duration = Duration::from_secs(60);
/// Calls on their way at once, per client.
const AT_ONCE: usize = 64;

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// Lists, watches and reads: kube's retries of 429, 503 and 504 within 30 s.
    pub reads: Client,
    /// Writes: one try. A retried create or patch would hide whether the first one happened.
    pub writes: Client,
    /// The lease: one try, and connections of its own, so that nothing queues before a renewal.
    pub lease: Client,
}

/// Where the API server is: the file named, else what kube finds ($KUBECONFIG, ~/.kube/config, the pod's ServiceAccount).
///
/// # Errors
/// When the file does not parse, or nothing was found; the text tells every place that was tried.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    match kubeconfig {
        Some(path) => Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?),
        None => Ok(Config::infer().await?),
    }
}

impl Clients {
    /// Builds all of them. Nothing is sent yet.
    ///
    /// # Errors
    /// When certificates or credentials of the configuration cannot be used.
    pub fn new(config: &Config) -> kube::Result<Self> {
        let mut reads = config.clone();
        reads.read_timeout = Some(SILENCE);
        reads.reset_reader_on_write = true; // else an idle pooled connection counts its idle time against the next call
        let mut once = config.clone();
        once.default_retry = false;
        // Else an answer whose head came and whose rest does not holds its object's turn for ever.
        once.read_timeout = Some(ANSWER);
        once.reset_reader_on_write = true;
        Ok(Clients { reads: bounded(reads)?, writes: bounded(once.clone())?, lease: Client::try_from(once)? })
    }
}

fn bounded(config: Config) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&ConcurrencyLimitLayer::new(AT_ONCE)).with_layer(&TimeoutLayer::new(HEAD)).build())
}

/// Chooses the process's TLS provider. With two providers compiled in, rustls panics when it
/// has to choose (rust-stack.md, trap 1). A second call changes nothing.
pub fn install_tls() {
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{Json, Router, http::StatusCode, response::IntoResponse};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, api::PostParams};

    use super::*;

    /// A real socket, since the retry layer lives in front of the transport. It answers 503 twice, then 404, and counts.
    async fn unavailable() -> (Config, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let app = Router::new().fallback(move || {
            let earlier = counter.fetch_add(1, Ordering::SeqCst);
            let missing =
                serde_json::json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
            async move {
                if earlier < 2 {
                    StatusCode::SERVICE_UNAVAILABLE.into_response()
                } else {
                    (StatusCode::NOT_FOUND, Json(missing)).into_response()
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (Config::new(url.parse().unwrap()), asked)
    }

    #[test]
    fn a_connection_may_be_silent_for_a_watch_and_not_for_much_longer() {
        let longer = SILENCE.saturating_sub(Duration::from_secs(crate::watch::WATCH_LASTS.into()));
        assert!((10..=30).contains(&longer.as_secs()), "{longer:?}");
    }

    #[tokio::test]
    async fn writes_are_sent_once_and_reads_again() {
        install_tls();
        let (config, asked) = unavailable().await;
        let clients = Clients::new(&config).unwrap();
        let written = Api::<ConfigMap>::namespaced(clients.writes, "d").create(&PostParams::default(), &ConfigMap::default()).await;
        assert!(written.is_err());
        assert_eq!(asked.swap(0, Ordering::SeqCst), 1);
        let read = Api::<ConfigMap>::namespaced(clients.reads, "d").get_opt("a").await;
        assert!(read.is_ok_and(|found| found.is_none()));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
