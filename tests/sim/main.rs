//! L1: one file per capability, the engine against the pretend Azure in virtual time.

use breakwater_tests::sim::manifests;

mod approvals;
mod crashes;
mod gate;
mod letting_go;
mod main_job;
mod oracle;
mod ownership;
mod rehearsal;
mod requested;
mod seeds;
mod standing;
