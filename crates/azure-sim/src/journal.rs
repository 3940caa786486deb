//! The journal: one line a request, never with a secret in it. It is the oracle of the tests.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::Caller;

/// What is known of one request after it was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1.
    pub seq: u64,
    /// World time of arrival.
    pub time: Timestamp,
    /// Object id of the caller, empty before authentication.
    pub caller: String,
    /// Client id of the caller.
    pub client: String,
    /// HTTP method.
    pub method: String,
    /// Decoded path.
    pub path: String,
    /// Query as name and value, without signatures.
    pub query: Value,
    /// Body without secrets.
    pub body: Value,
    /// `x-ms-client-request-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// Status as answered; 0 when the connection was cut before the request was looked at.
    pub status: u16,
    /// `error.code` of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the request reached its provider and was accepted (below 400 before any fault).
    pub applied: bool,
    /// The fault that was played, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether a limit refused it.
    pub throttled: bool,
    /// The actions that the caller's roles had to hold, linked ones last; empty where nothing was asked of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}

/// All entries, in order.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
}

impl Journal {
    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries after a sequence number.
    pub fn since(&self, seq: u64) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.seq <= seq);
        &self.entries[start..]
    }

    /// The number of the next entry.
    pub fn next_seq(&self) -> u64 {
        self.entries.last().map_or(1, |entry| entry.seq + 1)
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Forgets all entries but keeps counting from the last.
    pub fn trim(&mut self, keep: usize) {
        let surplus = self.entries.len().saturating_sub(keep);
        self.entries.drain(..surplus);
    }
}

/// Whose is a request: filled into an entry.
pub fn caller_words(caller: &Caller) -> (String, String) {
    (caller.object_id.clone(), caller.client_id.clone())
}

/// The same value with every secret replaced.
pub fn without_secrets(value: &Value) -> Value {
    const SECRET: [&str; 10] = [
        "adminpassword",
        "password",
        "client_secret",
        "client_assertion",
        "assertion",
        "access_token",
        "accesstokenstring",
        "protectedsettings",
        "customdata",
        "securitypin",
    ];
    match value {
        Value::Object(fields) => {
            let hidden = fields.iter().map(|(name, inner)| {
                let secret = SECRET.contains(&name.to_ascii_lowercase().as_str());
                (name.clone(), if secret { json!("(secret)") } else { without_secrets(inner) })
            });
            Value::Object(hidden.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        other => other.clone(),
    }
}
