//! Recovery Services for `backupManagementType` `AzureIaasVM`: a pure model with a clock (backup.md).
//!
//! [`State::handle`] answers a request, [`State::advance`] lets time pass. Nothing here does I/O; the same requests at
//! the same times with the same [`Neighbours`](crate::wire::Neighbours) give the same answers. What is not modelled
//! (files of encrypted machines, other workloads) is answered 501, never invented.
//!
//! Tags of vaults are Resource Manager's: the front takes them from the bodies of vault writes and shows them through
//! `Neighbours::tags`.

mod archive;
mod backup;
mod config;
mod containers;
mod deleted_vaults;
mod export;
mod faults;
mod files;
mod guards;
mod item;
mod jobs;
mod limits;
mod lists;
mod names;
mod operations;
mod points;
mod policy;
mod policy_rules;
mod protect;
mod replication;
mod restore;
mod restore_settings;
mod retention;
mod route;
mod schedule;
mod secondary;
mod settings;
mod state;
mod status;
mod usages;
mod vault;
mod vault_keys;
mod vault_rules;
mod vault_view;

pub use backup::Phase;
pub use faults::{HookError, Resource};
pub(crate) use files::program;
pub use files::{CANARY_PASSWORD, CANARY_SCRIPT};
pub use item::Finding;
pub use operations::operation_id;
pub use restore::{Fate, Stage};
pub use restore_settings::*;
pub use secondary::CANARY_TOKEN;
pub use settings::*;
pub use state::State;

#[cfg(test)]
mod tests;
