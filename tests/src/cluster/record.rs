//! What was written, by whom, and what came of it: the oracle of the invariants.

use std::{fmt, sync::Arc};

use breakwater_engine::ports::{ClusterError, Event, ObjectKey};
use jiff::Timestamp;
use serde_json::Value;

use super::{fault::WriteFault, store::Stored};

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Creates an object.
    Create,
    /// Changes an object but its status, as people do.
    Update,
    /// Merges into the status.
    PatchStatus,
    /// Merges into the metadata.
    PatchMetadata,
    /// Deletes an object.
    Delete,
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// The operator, through the port.
    Operator,
    /// A person, or Git.
    User,
    /// The garbage collector.
    Garbage,
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store changed.
    Applied,
    /// The server had nothing to change.
    NoChange,
    /// It never reached the server, by a fault.
    NotSent,
    /// The server said no.
    Failed(ClusterError),
}

/// One write.
#[derive(Clone, Debug)]
pub struct WriteRecord {
    /// Who.
    pub writer: Writer,
    /// What.
    pub verb: Verb,
    /// To which object.
    pub key: ObjectKey,
    /// What was sent: the object, the patch; null for a delete.
    pub body: Value,
    /// The version that the write carried as its condition.
    pub condition: Option<String>,
    /// The object before, if it was applied.
    pub before: Option<Arc<Stored>>,
    /// The object after, if it was applied and left one.
    pub after: Option<Arc<Stored>>,
    /// World time.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// The fault that hit it.
    pub fault: Option<WriteFault>,
    /// Fields that were dropped because the schema does not know them: in a write of the operator, a bug.
    pub pruned: Vec<String>,
}

#[cfg(test)]
impl WriteRecord {
    /// A write that was applied, for tests of those who read records.
    pub fn planted(writer: Writer, verb: Verb, key: ObjectKey, body: Value) -> Self {
        let at = "2026-11-24T08:00:00Z".parse().expect("a time");
        Self {
            writer,
            verb,
            key,
            body,
            condition: None,
            before: None,
            after: None,
            at,
            outcome: Outcome::Applied,
            fault: None,
            pruned: Vec::new(),
        }
    }
}

/// One line of a story: when, who, what, to which object, what came of it.
impl fmt::Display for WriteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, verb, key, at, outcome, .. } = self;
        write!(f, "{at} {writer:?} {verb:?} {} {}/{}: ", key.kind, key.namespace, key.name)?;
        match outcome {
            Outcome::Failed(error) => write!(f, "{error}")?,
            outcome => write!(f, "{outcome:?}")?,
        }
        let version = |stored: &Option<Arc<Stored>>| {
            stored
                .as_ref()
                .map_or("none".to_owned(), |stored| stored.value["metadata"]["resourceVersion"].as_str().unwrap_or("?").to_owned())
        };
        if *outcome == Outcome::Applied {
            write!(f, ", {} -> {}", version(&self.before), version(&self.after))?;
        }
        match &self.fault {
            Some(fault) => write!(f, " ({fault:?})"),
            None => Ok(()),
        }
    }
}

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// About which object.
    pub about: ObjectKey,
    /// That object's uid.
    pub uid: String,
    /// What it says.
    pub event: Event,
    /// World time.
    pub at: Timestamp,
}
