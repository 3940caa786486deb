//! The core of Breakwater: what a kind wants, what was seen, what is in flight -> a plan. Pure: no I/O, no clock.

pub mod defence;
pub mod disks;
pub mod facts;
pub mod graph;
pub mod jobs;
pub mod keys;
pub mod kind;
pub mod kinds;
mod once;
pub mod planner;
pub mod policy;
pub mod questions;
pub mod selection;
pub mod show;
pub mod sighting;
pub mod strength;
pub mod verdict;
pub mod zones;
