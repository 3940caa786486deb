//! What users write and read: the custom resources of `breakwater.io/v1alpha1`, their schemas, conditions and
//! reasons. Types only: no client, no clock, no I/O.

#![allow(clippy::duplicated_attributes, reason = "kube's printcolumn, category and validation are said once for each")]

pub mod admission;
pub mod approval;
pub mod azure_access;
pub mod backup_policy;
pub mod backup_run;
pub mod conditions;
pub mod crdgen;
pub mod durations;
pub mod ids;
pub mod operations;
pub mod protected_machine;
pub mod questions;
pub mod reasons;
pub mod recovery_vault;
pub mod references;
pub mod restore_run;
pub mod retention;
pub mod runs;
pub mod schedule;
pub mod selector;
pub mod spec;
pub mod status;
pub mod times;
pub mod words;

pub use approval::{Approval, ApprovalSpec, ApprovalStatus};
pub use azure_access::{Act, AzureAccess, AzureAccessSpec, AzureAccessStatus};
pub use backup_policy::{BackupPolicy, BackupPolicySpec, BackupPolicyStatus};
pub use backup_run::{BackupRun, BackupRunSpec, BackupRunStatus};
pub use conditions::{ConditionType, Standing, State};
pub use durations::Span;
pub use operations::OperationRecord;
pub use protected_machine::{ProtectedMachine, ProtectedMachineSpec, ProtectedMachineStatus, Protection};
pub use reasons::Reason;
pub use recovery_vault::{RecoveryVault, RecoveryVaultSpec, RecoveryVaultStatus};
pub use references::Reference;
pub use restore_run::{RestoreRun, RestoreRunSpec, RestoreRunStatus};
pub use runs::{RunJob, RunPhase, RunTask};
pub use spec::{Mode, SharedSpec};
pub use status::SharedStatus;

/// The API group of every kind.
pub const GROUP: &str = "breakwater.io";

/// The one served version.
pub const VERSION: &str = "v1alpha1";

/// The only annotation that means something: a new value forces one turn, and is echoed in
/// `status.lastHandledRequest`.
pub const REQUESTED_AT: &str = "breakwater.io/requested-at";
