//! What the tests of every level share: the pretend world that the engine is run against.

pub mod bench;
pub mod clock;
pub mod cluster;
pub mod contract;
pub mod e2e;
pub mod entropy;
pub mod halt;
pub mod sim;

/// A simulated world is made of small texts: with this one, a fifth of the time is spared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
