//! L1: one file per capability, the engine against the pretend Azure in virtual time.

mod main_job;
mod manifests;
