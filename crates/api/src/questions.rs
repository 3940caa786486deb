//! What waits for a person, and what persons have answered.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{ids, times};

/// How many questions one object may ask, and how many answers of one generation it remembers: at the bound nothing new is
/// begun that needs one.
pub const MAX_QUESTIONS: usize = 16;

/// The answer that lets something happen.
pub const APPROVE: &str = "approve";

/// The answer that an act of unknown outcome did happen.
pub const HAPPENED: &str = "happened";

/// The answer that an act of unknown outcome did not happen: it is sent again.
pub const NOT_HAPPENED: &str = "not-happened";

/// One question to a person, answered by an Approval.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedQuestion {
    /// Names it within the object: points-expire, one-way-immutability, takeover.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// The question in words: what would happen, to what, and how much of it.
    #[schemars(length(max = 1024))]
    pub asks: String,
    /// What may be answered. A word in angle brackets stands for a value: <job id>.
    #[schemars(length(max = 4), inner(length(max = 64)))]
    pub answers: Vec<String>,
    /// What the answer is good for: SHA-256 over the object's uid and generation, this id, the ARM ids, the field, from, to and
    /// the count rounded up. An Approval carries it.
    #[schemars(length(max = 64), regex(pattern = ids::DIGEST))]
    pub digest: String,
    /// When the question ends by itself; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Option<Timestamp>,
}

/// An answer that was used. Kept while the object's generation is the one that it was given for: after that its digest fits
/// no question any more.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedAnswer {
    /// The Approval's uid: each is good for one use.
    #[schemars(length(max = 64))]
    pub approval: String,
    /// The Approval's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The question's id.
    #[schemars(length(max = 128))]
    pub question: String,
    /// Its digest.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// What was answered.
    #[schemars(length(max = 128))]
    pub answer: String,
    /// Who answered.
    #[schemars(length(max = 512))]
    pub by: String,
    /// The generation that asked.
    pub generation: i64,
    /// When the intent that used it was saved.
    #[schemars(schema_with = "times::date_time")]
    pub at: Timestamp,
}
