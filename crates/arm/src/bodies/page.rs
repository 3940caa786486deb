//! One page of a list.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::null_is_default;

/// One page of a list: `{value, nextLink?}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: DeserializeOwned"))]
pub struct Page<T> {
    /// The members on this page; a page may be empty and not be the last.
    #[serde(default, deserialize_with = "null_is_default")]
    pub value: Vec<T>,
    /// The next page, to be followed verbatim; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

impl<T: DeserializeOwned> Page<T> {
    /// Reads a page. A body without `value` is no page: an answer that lost its list must not look like an empty one.
    ///
    /// # Errors
    /// When there is no list, or a member has a form that its type cannot hold.
    pub fn parse(body: &Value) -> Result<Self, serde_json::Error> {
        if !body.get("value").is_some_and(Value::is_array) {
            return Err(serde::de::Error::custom("no `value` list in the answer to a list request"));
        }
        let mut page = Self::deserialize(body)?;
        page.next_link = page.next_link.filter(|link| !link.is_empty());
        Ok(page)
    }
}
