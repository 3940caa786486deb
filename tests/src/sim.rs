//! L1: the engine against azure-sim in process and the pretend Kubernetes, in virtual time. One seed, one run.

mod arm;
mod invariants;
pub mod manifests;
mod process;
mod run;
pub mod seeds;
mod waking;

pub use arm::{ArmFault, SimArm};
pub use invariants::{Invariants, Truth, Vault};
pub use run::{Options, Simulation, shipped};
