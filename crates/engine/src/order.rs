//! What wants to pass the gate, and why it may not.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use breakwater_api::Reason;
use breakwater_arm::{ResourceId, wire::Request};
use breakwater_plan::{
    graph::{Brake, Ownership},
    kind::Grant,
    questions::{Approved, Question},
    sighting::Sighting,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{budget::Priority, locks::Holder, ports::Identity};

/// One write that wants to pass.
#[derive(Clone, Debug)]
pub struct Order {
    /// The object and its node.
    pub holder: Holder,
    /// The object's uid.
    pub uid: String,
    /// The generation that the plan was made from.
    pub generation: i64,
    /// Who asked for it, where the object says so.
    pub requested_by: Option<String>,
    /// Who to be.
    pub identity: Identity,
    /// What is granted.
    pub grant: Arc<Grant>,
    /// The whole request, with its client request id.
    pub request: Request,
    /// Why it is ours.
    pub ownership: Ownership,
    /// What must be held.
    pub locks: Vec<String>,
    /// Whether the object is suspended or in a mode that sends nothing.
    pub paused: bool,
    /// Whether this closes what was opened: goes through pauses.
    pub debt: bool,
    /// By what the object's kind closes what it has opened.
    pub closes: &'static [&'static str],
    /// When its intent was saved, on the wall clock.
    pub intent_wall: Duration,
    /// The fresh direct read of the target that justifies it; `None` for a debt.
    pub evidence: Option<Sighting>,
    /// The newest sighting of the vault, for tags.
    pub vault: Option<Sighting>,
    /// Ids in `status.owned`.
    pub owned: Vec<String>,
    /// SHA-256 of the printed plan.
    pub plan_digest: String,
    /// Who may go first.
    pub priority: Priority,
    /// The last live look after the intent: what cannot be taken back needs it (architecture.md, rule 6).
    pub looked_again: Option<LastLook>,
    /// The answers that let it pass, with their questions.
    pub consents: Vec<Approved>,
    /// Other resources that decide what is at stake, as last read: the vault, the policies that an item leaves and gets.
    pub around: BTreeMap<ResourceId, Arc<Value>>,
    /// A narrower brake than the one for all.
    pub brake: Option<Brake>,
}

/// What was read live between intent and sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLook {
    /// When, on the wall clock.
    pub at: Duration,
    /// Whether every answer still stands, and the rule of who may answer is in force.
    pub answers_stand: bool,
    /// How many items are in the vault, by a whole listing, where it is the vault that goes.
    pub items: Option<usize>,
}

/// Why an order did not pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// For the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// When to come back, where time alone mends it.
    pub until: Option<Timestamp>,
    /// The question that an Approval would answer, where one does.
    pub question: Option<Box<Question>>,
}

impl Refusal {
    /// A refusal that time alone does not mend.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into(), until: None, question: None }
    }
}
