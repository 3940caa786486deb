//! Which request is which act, read or write: one table. What it does not hold, the gate refuses.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::ResourceId,
    wire::Method::{self, Post},
};

mod ids;
mod refine;
mod table;

pub use ids::ids_in;
use refine::refine;
use table::{
    DELETABLE,
    Form::{self, All, Do, One},
    TABLE,
};

/// What an `AzureAccess` may allow (api.md, "AzureAccess").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Act {
    /// See.
    Read,
    /// Make and keep vaults, policies, protection.
    Protect,
    /// Start a backup.
    Backup,
    /// Restore to something new.
    Restore,
    /// Put other disks under a living machine.
    ReplaceDisks,
    /// Get at the data itself: file recovery, SAS.
    ReadData,
    /// Take snapshots.
    Snapshot,
    /// Remove snapshots that are due.
    Prune,
    /// Keep replication.
    Replicate,
    /// Test a failover.
    Drill,
    /// Fail over.
    FailOver,
    /// Run a runbook.
    RunRunbook,
    /// Remove, or let expire earlier.
    Delete,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It does not, also where the verb is POST.
    Read,
    /// It may.
    Write,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The act that must be allowed.
    pub act: Act,
    /// Read or write.
    pub effect: Effect,
    /// The resource it is sent to: of a collection, the resource that holds it (a vault, a group, a subscription).
    pub target: ResourceId,
    /// The type of the resource, of the collection's members, or of what the action is done to.
    pub resource_type: String,
    /// The action's name, of a POST.
    pub action: Option<String>,
}

impl Classified {
    /// Whether it gives back what was lent, and nothing else: what may be done on a saved record's word alone.
    pub fn gives_back(&self) -> bool {
        self.action.as_ref().is_some_and(|action| GIVES_BACK.iter().any(|c| c.eq_ignore_ascii_case(action)))
    }

    /// Whether it cannot be taken back: failing over and what completes it, other disks under a machine, any removal.
    /// Such a request is looked at once more just before it leaves (architecture.md, rule 6).
    pub fn is_irreversible(&self) -> bool {
        matches!(self.act, Act::Delete | Act::FailOver | Act::ReplaceDisks)
    }
}

/// What gives back something lent: a mount, a disk's address, a test failover.
const GIVES_BACK: [&str; 3] = ["revokeInstantItemRecovery", "endGetAccess", "testFailoverCleanup"];

/// What a request is, by the one table; `None` when the table does not hold it: then it must not be sent.
///
/// `path` is decoded, as in [`crate::wire::Request`]: one that holds `%`, `?` or `#` is refused, because what is
/// checked here would not be what is sent.
pub fn classify(method: Method, path: &str, body: Option<&Value>) -> Option<Classified> {
    if path.contains(['%', '?', '#']) {
        return None;
    }
    let (target, resource_type, readings) = read_path(method, path)?;
    let known = |form: Form| TABLE.iter().find(|row| row.0 == method && row.2 == form && row.1.eq_ignore_ascii_case(&resource_type));
    let row = match readings {
        Reading::One if method == Method::Delete => {
            DELETABLE.iter().any(|t| t.eq_ignore_ascii_case(&resource_type)).then_some((Act::Delete, Effect::Write, None))
        }
        Reading::One => known(One).map(|row| (row.3, row.4, None)),
        Reading::All => known(All).map(|row| (row.3, row.4, None)),
        Reading::Action(word) => TABLE.iter().find_map(|row| match row.2 {
            Do(name) if row.0 == method && row.1.eq_ignore_ascii_case(&resource_type) && name.eq_ignore_ascii_case(&word) => {
                Some((row.3, row.4, Some(name.to_owned())))
            }
            _ => None,
        }),
    };
    let (act, effect, action) = row?;
    let act = refine(method, (&resource_type, action.as_deref()), act, body)?;
    Some(Classified { act, effect, target, resource_type, action })
}

enum Reading {
    One,
    All,
    Action(String),
}

/// Splits a path into the resource it is sent to, the type, and what it names of it.
fn read_path(method: Method, path: &str) -> Option<(ResourceId, String, Reading)> {
    if let Ok(id) = path.parse::<ResourceId>() {
        let resource_type = id.resource_type().to_string();
        return Some((id, resource_type, Reading::One));
    }
    let (holder, word) = path.trim_end_matches('/').rsplit_once('/')?;
    if let Ok(id) = holder.parse::<ResourceId>() {
        let own = id.resource_type();
        return Some(match method {
            Post => (id, own.to_string(), Reading::Action(word.to_owned())),
            // of a subscription or a group the collections are ARM's own
            _ if own.as_str().starts_with("Microsoft.Resources/") => (id, format!("Microsoft.Resources/{word}"), Reading::All),
            _ => (id, format!("{own}/{word}"), Reading::All),
        });
    }
    let (scope, namespace) = holder.rsplit_once('/')?;
    let (scope, providers) = scope.rsplit_once('/')?;
    providers.eq_ignore_ascii_case("providers").then_some(())?;
    Some((scope.parse().ok()?, format!("{namespace}/{word}"), Reading::All))
}

#[cfg(test)]
#[path = "acts_tests.rs"]
mod tests;
