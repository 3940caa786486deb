//! The shipped operator, apart from its `main`: arguments, the real ports (Kubernetes, clocks, audit), leadership,
//! the driver that calls the engine's turns, health and metrics. Nothing here decides anything about Azure.

pub mod args;
pub mod audit;
pub mod azure;
pub mod census;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod controllers;
pub mod credentials;
pub mod dependencies;
pub mod entropy;
pub mod events;
pub mod health;
pub mod history;
pub mod kinds;
pub mod lease;
pub mod line;
pub mod logs;
pub mod metrics;
pub mod place;
pub mod run;
pub mod term;
pub mod watch;
#[cfg(test)]
mod wire;
pub mod wiring;
