//! What the tests of every level share: the pretend world that the engine is run against.

pub mod clock;
pub mod entropy;
