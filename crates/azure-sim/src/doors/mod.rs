//! The doors of the simulator: HTTP and HTTPS for clients, another port for whoever runs the test.

pub mod admin;
pub mod clock;
pub mod http;
pub mod issuers;
pub mod shared;
pub mod tls;

pub use clock::WorldClock;
pub use shared::Shared;
