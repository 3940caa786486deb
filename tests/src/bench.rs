//! `cargo dev bench`: what the operator costs. Calls and writes are counted on the engine in virtual time; memory and
//! weight are measured on the shipped binaries.

pub mod calls;
pub mod definitions;
pub mod fleet;
pub mod floor;
pub mod layout;
pub mod lifecycle;
pub mod objects;
pub mod processes;
pub mod reaction;
pub mod rest;
pub mod runs;
pub mod table;
pub mod throughput;
