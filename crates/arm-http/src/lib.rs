//! The real [`Arm`](breakwater_engine::ports::Arm) port: one request, sent once, over azure_core's pipeline with its
//! retries off, as an identity whose tokens azure_identity gets.
//!
//! Nothing here sleeps, retries or interprets: any whole answer is an answer, and everything else is one of three
//! errors that say whether the request left.

mod answers;
mod client;
mod endpoints;
mod tokens;
mod transport;
mod urls;

pub use client::ArmHttp;
pub use endpoints::{CloudEndpoints, EndpointError, Endpoints};
pub use tokens::CredentialSource;
pub use transport::TransportError;

#[cfg(test)]
mod tests;
