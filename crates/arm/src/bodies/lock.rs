//! A management lock.

use super::Resource;
use crate::word::Word;

/// A lock.
pub type Lock = Resource<LockProperties>;

body! {
    /// What a lock adds.
    LockProperties {
        /// `CanNotDelete` or `ReadOnly`.
        level: Word,
        /// Why.
        notes: String,
    }
}
