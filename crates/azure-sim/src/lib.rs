//! A simulated Azure: Resource Manager, Compute, Network and Recovery Services as far as backing up machines needs them,
//! with identity checked, limits kept, time turned by hand or run fast, and faults on request.
//!
//! [`Azure`] is the pure model behind one synchronous entry; [`doors`] puts it behind HTTP and HTTPS.

mod answers;
pub mod arm;
mod azure;
pub mod compute;
pub mod doors;
pub mod edit;
pub mod entropy;
pub mod estate;
pub mod faults;
pub mod guards;
pub mod identity;
pub mod journal;
pub mod model;
mod neighbours;
pub mod network;
pub mod orders;
pub mod path;
pub mod recovery;
pub mod settings;
pub mod storage;
pub mod throttle;
pub mod wire;
pub mod world;

pub use azure::{Azure, Options};
pub use estate::{Estate, EstateError};
