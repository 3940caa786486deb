//! L1: one file per capability, the engine against the pretend Azure in virtual time.

use breakwater_tests::sim::manifests;

mod caught;
mod crashes;
mod gate;
mod main_job;
mod oracle;
mod orders;
mod rehearsal;
mod requested;
mod seeds;
mod standing;
