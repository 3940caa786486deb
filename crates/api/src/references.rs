//! How one object points at another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids;

/// Another object, by name, in the same namespace (or cluster-scoped, where its kind is).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Reference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub name: String,
}

impl Reference {
    /// A reference to that name.
    pub fn new(name: impl Into<String>) -> Self {
        Reference { name: name.into() }
    }
}
