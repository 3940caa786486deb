//! azure-sim in process: one file per part of it. Tests named `iNN_…` are the points of compute-and-arm.md §I.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod arm;
mod attaching;
mod backup;
mod changes;
mod checklist;
mod compute;
mod deployments;
mod doors;
mod estates;
mod faults;
mod guards;
mod identity;
mod networks;
mod recorded;
mod restore_archive;
mod restore_checklist;
mod restore_checks;
mod restore_faults;
mod restore_files;
mod restore_regions;
mod restore_rights;
mod restores;
mod restoring;
mod scale;
mod shop;
mod storage;
mod throttle;
mod wire;
