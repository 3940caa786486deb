//! L1: one file per capability, the engine against the pretend Azure in virtual time.

use breakwater_tests::sim::manifests;

mod approvals;
mod backup_runs;
mod canaries;
mod caught;
mod crashes;
mod disks;
mod files;
mod gate;
mod granted;
mod hostile;
mod leadership;
mod letting_go;
mod main_job;
mod moved;
mod one;
mod oracle;
mod orders;
mod ownership;
mod paired;
mod pairs;
mod people;
mod recoverable;
mod red_team;
mod rehearsal;
mod requested;
mod restore_demands;
mod restore_trouble;
mod restores;
mod seeds;
mod sending;
mod shaken;
mod standing;
mod tenants;
