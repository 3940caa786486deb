//! The parts that `cargo dev` is made of, for the tests as well: a real Kubernetes control plane on loopback,
//! the Azure simulator and the operator as processes, and the stack that ties the three together.
//!
//! Everything here blocks: it drives processes, and a test or a demo reads best from top to bottom.

pub mod bench;
pub mod binaries;
pub mod child;
pub mod crds;
pub mod demo;
pub mod go_client;
pub mod http;
pub mod journal;
pub mod kubectl;
pub mod operator;
pub mod pki;
pub mod plane;
pub mod planted;
pub mod progress;
pub mod runs;
pub mod simulator;
pub mod stack;
pub mod story;
pub mod supervisor;
pub mod test_run;
pub mod workspace;
