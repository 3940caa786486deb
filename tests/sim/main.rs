//! L1: one file per capability, the engine against the pretend Azure in virtual time.

mod crashes;
mod main_job;
mod manifests;
mod seeds;
