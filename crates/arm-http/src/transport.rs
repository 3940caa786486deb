//! The one HTTP client behind every pipeline: no redirects, no retries, our own trust.

use std::{path::PathBuf, sync::Arc, time::Duration};

use azure_core::http::{ClientOptions, HttpClient, RetryOptions, Transport, UserAgentOptions};
use reqwest::{Certificate, ClientBuilder};

use crate::endpoints::Endpoints;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Front ends close idle connections; one that dies under a write is an outcome nobody knows.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no HTTP client could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The file of extra certificates cannot be read.
    #[error("cannot read the extra root certificates {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of extra certificates holds none.
    #[error("{0} holds no PEM certificates")]
    NoCertificates(PathBuf),
    /// The TLS client cannot be made, for example because the image has no CA bundle.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// The HTTP client that these endpoints need.
pub fn http_client(endpoints: &Endpoints) -> Result<Arc<dyn HttpClient>, TransportError> {
    let Some(path) = &endpoints.extra_root_ca else {
        return Ok(Arc::new(builder(endpoints).build()?));
    };
    let pem = std::fs::read(path).map_err(|source| TransportError::Unreadable { path: path.clone(), source })?;
    let roots = Certificate::from_pem_bundle(&pem)?;
    if roots.is_empty() {
        return Err(TransportError::NoCertificates(path.clone()));
    }
    match builder(endpoints).tls_certs_merge(roots.clone()).build() {
        Ok(client) => Ok(Arc::new(client)),
        // an image without a CA bundle has nothing to merge with; a custom cloud needs nothing but its own root
        Err(_) if endpoints.custom.is_some() => Ok(Arc::new(builder(endpoints).tls_certs_only(roots).build()?)),
        Err(error) => Err(error.into()),
    }
}

fn builder(endpoints: &Endpoints) -> ClientBuilder {
    let builder = ClientBuilder::new()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .http1_only();
    // a custom cloud is a simulator or stands in the same network: the proxy of the environment does not know it
    if endpoints.custom.is_some() { builder.no_proxy() } else { builder }
}

/// Options of every pipeline: ours and those inside the credentials.
pub fn client_options(client: &Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions {
        // the stock policy repeats every verb, POST included, and sleeps inside `send` (rust-stack.md, trap 8)
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::clone(client))),
        user_agent: UserAgentOptions { application_id: Some("breakwater".into()) },
        ..ClientOptions::default()
    }
}
