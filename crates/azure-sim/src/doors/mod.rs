//! The doors of the simulator: HTTP and HTTPS for clients, another port for whoever runs the test.

pub mod admin;
pub mod clock;
pub mod http;
pub mod issuers;
pub mod shared;
pub mod tls;

pub use clock::WorldClock;
pub use shared::Shared;

/// Why a door cannot be opened, or an issuer not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The port is taken, or not ours to take.
    #[error("binding 127.0.0.1:{port}")]
    Bind {
        /// Which port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The cryptography library cannot make certificates.
    #[error("making the simulator's certificates")]
    Certificates(#[from] rcgen::Error),
    /// The TLS library refuses them.
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    /// A file of `--trust-ca` holds no certificates.
    #[error("reading an authority of --trust-ca")]
    Authority(#[source] reqwest::Error),
    /// A document of an issuer cannot be fetched or read.
    #[error("fetching {url}")]
    Fetch {
        /// Which document.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The issuer's own document names another issuer, or no keys.
    #[error("{document} speaks for '{issuer}', with keys at '{keys}'")]
    Configuration {
        /// Which document.
        document: String,
        /// Its `issuer`.
        issuer: String,
        /// Its `jwks_uri`.
        keys: String,
    },
}
