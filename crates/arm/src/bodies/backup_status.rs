//! The answer of `backupStatus` (backup.md §8.1).

use crate::{id::IdText, word::Word};

body! {
    /// Whether, where and how a machine is protected. Names are told also when it is not.
    BackupStatus {
        /// `NotProtected`, `Protecting`, `Protected`, `ProtectionFailed`, `Invalid`.
        protection_status: Word,
        /// The vault that protects it.
        vault_id: IdText,
        /// `Azure`.
        fabric_name: String,
        /// In lower case.
        container_name: String,
        /// In lower case.
        protected_item_name: String,
        /// Its policy.
        policy_name: String,
        /// Why not.
        error_code: String,
        /// Why not, in words.
        error_message: String,
    }
}
