//! What a kind is: four pure functions of (`Subject`, `Facts`). No loop, no client, no retry.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{ConditionType, OperationRecord, Reason, status::Owned};
use breakwater_arm::ResourceId;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    facts::{Facts, Need},
    graph::{Desired, Hold, NodeKey},
    planner::Plan,
    questions::{Answers, Approved, Asker, Question},
    selection,
};

/// The object of this turn: everything about it that decisions may look at.
#[derive(Clone, Debug)]
pub struct Subject<K: Kind> {
    /// Who it is.
    pub meta: Meta,
    /// What it declares.
    pub spec: K::Spec,
    /// Its status as last written: for what was seen before, never for what is true now.
    pub status: K::Status,
    /// Its open operations.
    pub operations: BTreeMap<NodeKey, OperationRecord>,
    /// Those of them that were let go of in this turn because their job is over: what is saved in its end names the job.
    pub finished: BTreeMap<NodeKey, OperationRecord>,
    /// What it made or took over, by id.
    pub owned: Vec<Owned>,
    /// Choices made once and saved.
    pub choices: BTreeMap<String, String>,
    /// World time of this turn.
    pub now: Timestamp,
    /// Who we are: in names, tags and request ids.
    pub estate: Arc<str>,
    /// Which cluster writes: the uid of its kube-system namespace.
    pub writer: Arc<str>,
    /// The region in which this cluster runs, where the operator was told.
    pub region: Option<Arc<str>>,
    /// The access it uses; `None` for an `AzureAccess` itself.
    pub access: Option<Arc<Grant>>,
    /// What persons have answered it.
    pub answers: Arc<Answers>,
}

/// Who an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its namespace; empty when cluster-scoped.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// When it was made, in world time.
    pub created: Timestamp,
    /// Whether deletion has begun.
    pub deleting: bool,
    /// Whether another object made it and keeps it.
    pub controlled: bool,
    /// Whether that object was told of it by name, not by a selector.
    pub named: bool,
}

/// The annotation of an object that a policy made because an entry names its machine by id.
pub const NAMED: &str = "breakwater.io/named-by-id";

/// What an `AzureAccess` grants to a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The `AzureAccess`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Scopes with the acts allowed there.
    pub allow: Vec<Allowed>,
}

/// One scope of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The subscription.
    pub subscription_id: String,
    /// Group names, `*` matching any run of characters; empty admits every group and the subscription itself.
    pub resource_groups: Vec<String>,
    /// The acts, as `AzureAccess` spells them.
    pub acts: Vec<String>,
}

impl Grant {
    /// Whether anything at all is granted where a resource is.
    pub fn reaches(&self, id: &ResourceId) -> bool {
        self.allow.iter().any(|scope| scope.acts.iter().any(|act| self.admits(act, id)))
    }

    /// Whether an act is allowed on a resource. A subscription-wide read is allowed where any group of it is:
    /// what it shows beyond the groups is dropped by selection, and Azure's own roles bound it.
    pub fn admits(&self, act: &str, id: &ResourceId) -> bool {
        self.allow.iter().any(|scope| {
            scope.subscription_id.eq_ignore_ascii_case(id.subscription_id())
                && scope.acts.iter().any(|a| a == act)
                && match id.resource_group() {
                    None => act == "Read",
                    Some(group) => {
                        scope.resource_groups.is_empty() || scope.resource_groups.iter().any(|g| selection::glob_matches(g, group))
                    }
                }
        })
    }
}

/// Another object as a kind sees it.
#[derive(Clone, Debug)]
pub struct View<K: Kind> {
    /// Who it is.
    pub meta: Meta,
    /// What it declares.
    pub spec: K::Spec,
    /// Its status, the shared part included.
    pub status: K::Status,
}

/// How deciding went: with a plan, or held before there could be one.
pub type Decided<'a> = Result<&'a Plan, &'a Hold>;

/// A custom resource that Breakwater keeps.
pub trait Kind: Send + Sync + Sized + 'static {
    /// `RecoveryVault`, ...
    const NAME: &'static str;
    /// Its spec, parsed.
    type Spec: DeserializeOwned + Serialize + Clone + Send + Sync + std::fmt::Debug;
    /// Its status, parsed; fields that it does not know are kept by the engine.
    type Status: DeserializeOwned + Serialize + Clone + Default + Send + Sync + std::fmt::Debug;

    /// Under whose access it looks and acts.
    const ACCESS: AccessNeed = AccessNeed::Namespace;

    /// Lists of its status that only people read: they are cut where a status would be longer than it may be.
    const LISTS: &'static [&'static str] = &[];

    /// The actions, or types of resource, by which it closes what it has lent. On a record's word, which may be anybody's, nothing
    /// else is sent.
    const CLOSES: &'static [&'static str] = &[];

    /// What lets go of an object whose deletion waits for something in Azure; nothing where only its end does.
    const LETS_GO: &'static str = "spec.deletionPolicy: Retain";

    /// A spec that asks for nothing: an object whose own cannot be read pays by it what it has lent. None where the kind lends
    /// nothing.
    fn nothing() -> Option<Self::Spec> {
        None
    }

    /// What must be known, given what is known. Called until it asks nothing new.
    fn needs(subject: &Subject<Self>, known: &Facts) -> Vec<Need>;

    /// Choices to make now; saved before they are used, and never made again.
    fn choose(_subject: &Subject<Self>, _facts: &Facts) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// What should be true, or why that cannot be said.
    ///
    /// # Errors
    /// A `Hold` that says who must move.
    fn desire(subject: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold>;

    /// What to tell.
    fn report(subject: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report;

    /// How far a restore has come, where it is one: its calls go before those of what was edited, and of the fleet.
    fn restoring(_subject: &Subject<Self>) -> Option<Restoring> {
        None
    }

    /// Whether something must be done in Azure when the object is deleted: then a finalizer holds it, and its turns go on
    /// until what it desires is met.
    fn acts_on_deletion(_spec: &Self::Spec) -> bool {
        false
    }

    /// What the object claims for itself alone, from its spec alone. Two objects of one key: the holder keeps it.
    fn claims(_meta: &Meta, _spec: &Self::Spec, _owned: &[Owned]) -> Vec<Claim> {
        Vec::new()
    }
}

/// How far a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restoring {
    /// It has yet to begin.
    Awaited,
    /// Azure works on it.
    Begun,
}

/// Under whose access a kind looks at Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessNeed {
    /// One that admits its namespace.
    Namespace,
    /// Its own: it is an `AzureAccess`.
    Own,
    /// None: it never looks at Azure.
    None,
}

/// A thing that one object may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What: `vault <id>`, `protection of <machine id>`, in lower case.
    pub key: String,
    /// The resource of Azure that it is about: only where the object's access admits `Protect` on it does a claim count,
    /// so that nobody blocks what is not granted to him.
    pub target: ResourceId,
    /// Whether the object already owns it in Azure.
    pub holds: bool,
    /// Whether it names it by id; a selector does not.
    pub explicit: bool,
}

/// What a kind has to tell about its object.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its own fields of status.
    pub status: Map<String, Value>,
    /// What `Ready` says when nothing is due: the promise.
    pub promise: Promise,
    /// The domain's own conditions.
    pub conditions: Vec<Said>,
    /// All that it owns in Azure.
    pub owned: Vec<Owned>,
    /// When the promise may change by time alone.
    pub next: Option<Timestamp>,
    /// When the object itself is to be deleted, where its spec says so and nothing of it is open.
    pub remove_at: Option<Timestamp>,
}

/// Whether the promise holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// `Ready`'s status.
    pub kept: bool,
    /// Why.
    pub reason: Reason,
    /// A sentence, absolute times and bucketed figures only.
    pub message: String,
    /// Whether it is the last word: all is over, and nothing that is still on record says more.
    pub last: bool,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `Protected`, `Recoverable`, ...
    pub about: ConditionType,
    /// `None` is `Unknown`.
    pub holds: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

impl Said {
    /// A condition.
    pub fn new(about: ConditionType, holds: Option<bool>, reason: Reason, message: impl Into<String>) -> Self {
        Said { about, holds, reason, message: message.into() }
    }
}

impl Promise {
    /// Kept.
    pub fn kept(reason: Reason, message: impl Into<String>) -> Self {
        Promise { kept: true, reason, message: message.into(), last: false }
    }

    /// Broken.
    pub fn broken(reason: Reason, message: impl Into<String>) -> Self {
        Promise { kept: false, reason, message: message.into(), last: false }
    }

    /// The same, as the last word where all is over.
    pub fn last_if(self, over: bool) -> Self {
        Promise { last: over, ..self }
    }
}

impl<K: Kind> Subject<K> {
    /// The tag hash of what this object makes.
    pub fn owner(&self) -> String {
        crate::keys::owner_hash(&self.estate, &self.meta.namespace, K::NAME, &self.meta.name)
    }

    /// The record of an operation, also where its job ended in this turn.
    pub fn record(&self, node: &str) -> Option<&OperationRecord> {
        self.operations.get(node).or_else(|| self.finished.get(node))
    }

    /// Who asks its questions.
    pub fn asker(&self) -> Asker {
        Asker { uid: self.meta.uid.clone(), generation: self.meta.generation }
    }

    /// The answer that lets it go on, or the hold that asks.
    ///
    /// # Errors
    /// The question as a hold, where nobody has answered it.
    pub fn consent(&self, reason: Reason, question: Question) -> Result<Approved, Hold> {
        match self.answers.to(&question, &self.asker()) {
            Some(given) => Ok(Approved { given: given.clone(), question }),
            None => {
                let refused = self.answers.not_in_force.as_ref();
                let hold = Hold::question(reason, question);
                Err(refused
                    .map_or(hold.clone(), |why| Hold { message: format!("{}; answers do not count now: {why}", hold.message), ..hold }))
            }
        }
    }

    /// Whether `status.owned` holds this id.
    pub fn owns(&self, id: &ResourceId) -> bool {
        self.owned.iter().any(|o| o.id.eq_ignore_ascii_case(id.as_str()))
    }
}
