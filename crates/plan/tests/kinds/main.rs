//! The kinds decide: small facts in, what is due and what is told out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod estate;
mod gone;
mod machine;
mod machine_disks;
mod machine_stopped;
mod machine_told;
mod policy;
mod restores;
mod runs;
mod vault;
