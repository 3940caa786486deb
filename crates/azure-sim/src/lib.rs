//! A pretend Azure.

pub mod recovery;
pub mod wire;
