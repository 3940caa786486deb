//! What a decision comes to: one verdict a node.

use std::collections::BTreeMap;

use breakwater_api::Reason;
use breakwater_arm::{ResourceId, wire::Request};
use jiff::Timestamp;

use crate::{
    graph::{Difference, NodeKey},
    questions::{Approved, Question},
};

/// What to do next about one node.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// GET a resource.
    Read {
        /// Its id.
        id: ResourceId,
    },
    /// See how a target looks now that its operation has ended: by a GET where there is plenty, else in a listing.
    Confirm {
        /// Its id.
        id: ResourceId,
    },
    /// Read a vault's job list to its end.
    ListJobs {
        /// The vault.
        vault: ResourceId,
        /// How far back it must reach.
        since: Timestamp,
    },
    /// Save an intent, send, save the handle.
    Write(Box<Write>),
    /// Ask how a running operation goes.
    Poll,
    /// Our job was found: note it in the record.
    Adopt {
        /// The job's name.
        job: String,
    },
    /// The target shows how the recorded operation ended: drop the record.
    Forget,
    /// A person said that the action happened, or that one which is too late by now did not: keep that, and drop the record.
    Conclude(Box<Approved>),
    /// A person named the job that is the action: follow it.
    Named {
        /// The job's name.
        job: String,
        /// Who said so.
        approved: Box<Approved>,
    },
    /// Create a Kubernetes child.
    Create,
}

/// A request that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// What to send; values of `from` are still missing.
    pub request: Request,
    /// What differs, for the printed plan.
    pub differences: Vec<Difference>,
    /// 1 to 8.
    pub attempt: i32,
    /// The once-key that request ids derive from.
    pub key: String,
    /// Ids of jobs that fit and were there before.
    pub known_jobs: Vec<String>,
    /// Whether a job of ours already showed our request id in this vault.
    pub witness: bool,
    /// Only for an action: a repeat could do harm.
    pub once: bool,
    /// What it will owe, when the write opens a debt.
    pub debt: Option<Owed>,
    /// The answer that lets it be sent again, where its outcome was unknown.
    pub approved: Option<Approved>,
}

/// How and when something that is opened will be closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// Closes it.
    pub close: Request,
    /// By then.
    pub until: Timestamp,
    /// The Secret that gets what the opening hands out, and goes when it is closed.
    pub secret: Option<String>,
}

/// The answer for one node.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As wanted.
    Done,
    /// Do this.
    Do(Step),
    /// Nothing to do before then.
    Wait {
        /// World time.
        until: Timestamp,
        /// CamelCase.
        reason: Reason,
        /// A sentence.
        message: String,
    },
    /// A person must move.
    Stuck {
        /// CamelCase.
        reason: Reason,
        /// A sentence with what to do.
        message: String,
        /// The question that an Approval would answer, where one does.
        question: Option<Box<Question>>,
    },
}

/// One verdict a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By node.
    pub verdicts: BTreeMap<NodeKey, Verdict>,
}

impl Plan {
    /// True when every node is as wanted.
    pub fn converged(&self) -> bool {
        self.verdicts.values().all(|v| *v == Verdict::Done)
    }

    /// The steps that are due, by node.
    pub fn steps(&self) -> impl Iterator<Item = (&NodeKey, &Step)> {
        self.verdicts.iter().filter_map(|(key, v)| if let Verdict::Do(step) = v { Some((key, step)) } else { None })
    }

    /// The first node that a person must look at.
    pub fn stuck(&self) -> Option<(Reason, &str)> {
        self.verdicts
            .values()
            .find_map(|v| if let Verdict::Stuck { reason, message, .. } = v { Some((*reason, message.as_str())) } else { None })
    }

    /// The first node that waits.
    pub fn waiting(&self) -> Option<(Reason, &str)> {
        self.verdicts
            .values()
            .find_map(|v| if let Verdict::Wait { reason, message, .. } = v { Some((*reason, message.as_str())) } else { None })
    }

    /// When the earliest wait is over.
    pub fn next(&self) -> Option<Timestamp> {
        self.verdicts.values().filter_map(|v| if let Verdict::Wait { until, .. } = v { Some(*until) } else { None }).min()
    }
}
