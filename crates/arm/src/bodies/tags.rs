//! The tags of a scope: `{id}/providers/Microsoft.Resources/tags/default`.

use std::collections::BTreeMap;

use super::Resource;

/// The tags of a scope.
pub type Tags = Resource<TagsProperties>;

body! {
    /// What they are.
    TagsProperties {
        /// Name to value.
        tags: BTreeMap<String, String>,
    }
}
