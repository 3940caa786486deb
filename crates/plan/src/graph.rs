//! What a kind wants, as data: nodes with goals, in an order.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_api::Reason;
use breakwater_arm::{ResourceId, wire::Request};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    questions::{Approved, Question},
    sighting::Trouble,
};

/// Names a node inside one object's graph: `vault`, `policy`, `protection`, `first-backup`, ...
pub type NodeKey = String;

/// The desired graph of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Nodes by key.
    pub nodes: BTreeMap<NodeKey, Node>,
}

/// One resource or one action in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The resource that is read, written and polled for.
    pub target: Target,
    /// What should be true of it.
    pub goal: Goal,
    /// Nodes that must be met first.
    pub after: BTreeSet<NodeKey>,
    /// What it must hold, all or none, while its operation is open.
    pub locks: BTreeSet<String>,
    /// Why the gate may let it pass.
    pub ownership: Ownership,
    /// True where `Ready` does not wait for it: a first backup beside the protection that stands.
    pub beside: bool,
    /// Set where the kind knows that a person or the world must move first: the node is `Stuck` with it, reads aside.
    pub hold: Option<Hold>,
    /// How many destructive calls of a scope may be sent within the hour, where it is bounded more narrowly than all of them.
    pub brake: Option<Brake>,
    /// The answer that lets it go on, where its request puts something at stake: the gate asks for it again.
    pub approved: Option<Approved>,
    /// World time from which on no intent of it is begun any more, where it is bounded.
    pub deadline: Option<Timestamp>,
}

/// A bound on destructive calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    /// What they have in common: a policy's id.
    pub scope: String,
    /// So many within an hour.
    pub most: usize,
}

/// Where a node lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A resource of Azure.
    Arm(ResourceId),
    /// An object of Kubernetes, in the subject's namespace.
    Kube {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// What should be true of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// It is there, with its fields as wanted.
    Exists {
        /// How to make it; `None` never makes it.
        create: Option<Request>,
        /// What differs in the newest sighting and how to mend it; `None` means that the fields agree.
        change: Option<Change>,
    },
    /// Observed only.
    Holds {
        /// Whether it holds in the newest sighting.
        met: bool,
    },
    /// It happened.
    Acted(Acted),
    /// Open now, closed by then: a debt from the intent on.
    Lent(Lent),
    /// There for all who need it, whoever made it: made where it is missing, never changed, removed only when it is ours
    /// by name and nothing is in it (architecture.md, "The engine").
    Shared(Shared),
    /// A direct read says 404, or DELETE said 204.
    Gone {
        /// The DELETE.
        request: Request,
    },
    /// A Kubernetes child: create-only under a derived name, no intent needed.
    Child {
        /// Whether the watched store holds it.
        exists: bool,
        /// The whole object.
        object: Value,
    },
}

/// A resource that many objects stand on: a fabric, a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// How to make it.
    pub create: Request,
    /// The DELETE, where the object needs it no more; `None` while it does.
    pub remove: Option<Request>,
    /// Whether nothing is in it, by a listing of this turn; `None` while that is not known.
    pub is_empty: Option<bool>,
}

/// An action that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted {
    /// The POST. `from` below may complete its body at send.
    pub request: Request,
    /// How one knows that it happened.
    pub proof: Proof,
    /// Whether it may be sent twice.
    pub repeat: Repeat,
    /// What the once-key covers: request ids derive from it.
    pub key: String,
    /// Whether the facts already show that it happened.
    pub done: bool,
    /// Values that are filled into the body in memory at send, never stored.
    pub from: Vec<From>,
}

/// A value of the body that comes from an ask's answer: an access token, scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// JSON pointer in the body to fill.
    pub into: String,
    /// The ask by name.
    pub ask: String,
    /// JSON pointer in its answer.
    pub pointer: String,
}

/// How one knows that an action happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// A job of the vault: our request id in its `activityId`, then what it is and does.
    Job(JobProof),
    /// A field of the target; `Acted::done` says whether it shows.
    Field,
    /// The operation's own end.
    Operation,
}

/// Which jobs of a vault could be this action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProof {
    /// The vault whose job list decides.
    pub vault: ResourceId,
    /// `Backup`, `Restore`, ...
    pub operation: String,
    /// `properties.containerName` of the job, compared without case.
    pub container: String,
    /// Who else's job counts as this action.
    pub counts: Counts,
}

/// Whose job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Only one that carries our request id.
    Ours,
    /// Any that fits, whoever started it.
    Anybodys,
}

/// Whether an action may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A repeated request does no harm.
    Safe,
    /// Never sent again unless it certainly did not happen.
    Once,
}

/// Something lent.
#[derive(Clone, Debug, PartialEq)]
pub struct Lent {
    /// Opens it.
    pub open: Request,
    /// Closes it; saved in the record with the intent, so that the engine can pay without `desire`.
    pub close: Request,
    /// World time by which it is closed.
    pub until: Timestamp,
    /// Whether the facts show it open.
    pub is_open: bool,
    /// The once-key of the opening.
    pub key: String,
    /// Where what the opening hands out goes; `None` where it hands out nothing.
    pub handed: Option<Handed>,
}

/// What an opening hands out: scripts and their password. It goes from the answer into a Secret of the object's namespace, is
/// kept nowhere else, and goes when the opening is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The Secret's name.
    pub secret: String,
}

/// What differs and how to mend it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// One line a field.
    pub differences: Vec<Difference>,
    /// The PUT or PATCH.
    pub request: Request,
}

/// One field that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, as its spec names it.
    pub field: String,
    /// What Azure shows.
    pub have: String,
    /// What is declared.
    pub want: String,
}

/// Why the gate may let a write pass (api.md, "Whose is it?").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// A Kubernetes child: the API server keeps it.
    Child,
    /// A taggable resource: absent and made with our tags, or present with our estate, owner and writer in its tags.
    Tagged {
        /// The owner hash that its tag must hold.
        owner: String,
    },
    /// An untaggable one below a tagged vault: ours by its derived name inside an owned parent, or by `status.owned`.
    Named {
        /// The vault, which must be ours by tag.
        vault: ResourceId,
        /// The owner hash of the vault.
        owner: String,
        /// The name that derives from us.
        name: String,
    },
    /// A protected item: ours when its policy is one of these, or when it has none yet.
    Item {
        /// The vault, which must be ours by tag.
        vault: ResourceId,
        /// The owner hash of the vault.
        owner: String,
        /// The policies that are ours.
        policies: BTreeSet<ResourceId>,
    },
    /// A recovery point of a vault that is ours: it is read from, never changed.
    Point {
        /// The vault, which must be ours by tag.
        vault: ResourceId,
        /// The owner hash of the vault.
        owner: String,
    },
    /// A recovery point of a vault that is ours, restored in the vault's paired region: the request goes to the region, and what
    /// allows it names the vault.
    PointInRegion {
        /// The vault, which must be ours by tag.
        vault: ResourceId,
        /// The owner hash of the vault.
        owner: String,
    },
    /// A machine that the object names and whose name it spells out: its power is changed, and nothing else.
    Confirmed {
        /// The machine.
        machine: ResourceId,
    },
    /// A machine or a disk that a restore has made: one merge of the tag that names the restore, and nothing else.
    Restored {
        /// The group into which was restored.
        group: ResourceId,
        /// What was there before then was not made by it.
        since: Timestamp,
        /// The once-key of the restore.
        key: String,
    },
    /// A vault that no Breakwater has marked: one merge of our three tags, and nothing else.
    Adopted {
        /// The owner hash that its tag will hold.
        owner: String,
    },
    /// A vault that carries our estate and owner and another cluster's writer: one merge of the writer's tag, approved, and
    /// nothing else.
    TakenOver {
        /// The owner hash that its tag must hold.
        owner: String,
    },
}

/// Why nothing can go on, for now or until somebody acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// CamelCase, from the one list of reasons.
    pub reason: Reason,
    /// A sentence with the field or id in it, and what to do.
    pub message: String,
    /// Who must move.
    pub kind: HoldKind,
    /// The question that an Approval would answer, where one does.
    pub question: Option<Box<Question>>,
    /// When its turn comes in the line for what Azure admits, where it stands in one.
    pub until: Option<Timestamp>,
}

/// Who must move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// The world: it will pass, or a dependency will be ready.
    Wait,
    /// A person: spec, rights or an answer.
    Stuck,
}

impl Hold {
    /// Something that will pass.
    pub fn wait(reason: Reason, message: impl Into<String>) -> Self {
        Hold { reason, message: message.into(), kind: HoldKind::Wait, question: None, until: None }
    }

    /// What an error to see holds up.
    pub fn trouble(trouble: &Trouble, message: impl Into<String>) -> Self {
        let until = (trouble.reason == Reason::Throttled).then_some(trouble.until);
        Hold { until, ..Hold::wait(trouble.reason, message) }
    }

    /// Something that a person must change.
    pub fn stuck(reason: Reason, message: impl Into<String>) -> Self {
        Hold { reason, message: message.into(), kind: HoldKind::Stuck, question: None, until: None }
    }

    /// Something that a person must answer.
    pub fn question(reason: Reason, mut question: Question) -> Self {
        if !question.asks.ends_with('?') {
            question.asks.push('?');
        }
        let message = format!("{} Answer question {} of status.questions with an Approval", question.asks, question.id);
        Hold { question: Some(Box::new(question)), ..Hold::stuck(reason, message) }
    }
}

impl Desired {
    /// An empty graph.
    pub fn new() -> Self {
        Desired::default()
    }

    /// Adds a node.
    pub fn node(&mut self, key: &str, node: Node) {
        self.nodes.insert(key.to_owned(), node);
    }
}

impl Node {
    /// A node on an Azure resource.
    pub fn arm(target: ResourceId, goal: Goal, ownership: Ownership) -> Self {
        Node {
            target: Target::Arm(target),
            goal,
            after: BTreeSet::new(),
            locks: BTreeSet::new(),
            ownership,
            beside: false,
            hold: None,
            brake: None,
            approved: None,
            deadline: None,
        }
    }

    /// The same, after others.
    #[must_use]
    pub fn after(mut self, keys: &[&str]) -> Self {
        self.after.extend(keys.iter().map(|k| (*k).to_owned()));
        self
    }

    /// The same, under locks.
    #[must_use]
    pub fn locking(mut self, locks: impl IntoIterator<Item = String>) -> Self {
        self.locks.extend(locks);
        self
    }

    /// The same, held back.
    #[must_use]
    pub fn held(mut self, hold: Option<Hold>) -> Self {
        self.hold = hold;
        self
    }

    /// The same, under a narrower brake.
    #[must_use]
    pub fn braked(mut self, brake: Option<Brake>) -> Self {
        self.brake = brake;
        self
    }

    /// The same, with the answer that lets it go on.
    #[must_use]
    pub fn approved(mut self, approved: Option<Approved>) -> Self {
        self.approved = approved;
        self
    }

    /// The same, not begun from then on.
    #[must_use]
    pub fn until(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same, and `Ready` does not wait for it.
    #[must_use]
    pub fn beside(mut self) -> Self {
        self.beside = true;
        self
    }

    /// A Kubernetes child.
    pub fn child(kind: &'static str, name: &str, exists: bool, object: Value) -> Self {
        let target = Target::Kube { kind, name: name.to_owned() };
        Node {
            target,
            goal: Goal::Child { exists, object },
            after: BTreeSet::new(),
            locks: BTreeSet::new(),
            ownership: Ownership::Child,
            beside: false,
            hold: None,
            brake: None,
            approved: None,
            deadline: None,
        }
    }

    /// The resource id, where the node is Azure's.
    pub fn id(&self) -> Option<&ResourceId> {
        match &self.target {
            Target::Arm(id) => Some(id),
            Target::Kube { .. } => None,
        }
    }
}

impl Goal {
    /// The word for it in plans, records and logs.
    pub fn verb(&self) -> &'static str {
        match self {
            Goal::Exists { .. } => "ensure",
            Goal::Holds { .. } => "observe",
            Goal::Acted(_) => "act",
            Goal::Lent(_) => "lend",
            Goal::Shared(_) => "share",
            Goal::Gone { .. } => "remove",
            Goal::Child { .. } => "create",
        }
    }
}
