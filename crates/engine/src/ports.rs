//! What the engine needs from the world outside: Azure, Kubernetes, a clock. Real ones live in `arm-http` and
//! `operator`; the pretend ones in `tests/sim`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use breakwater_arm::wire::{Answer, Request};
use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

/// Which Azure cloud an access talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cloud {
    /// management.azure.com
    AzurePublic,
    /// management.usgovcloudapi.net
    AzureUsGovernment,
    /// management.chinacloudapi.cn
    AzureChina,
}

/// Who a request is sent as: an `AzureAccess`, resolved. Holds names of secrets, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The `AzureAccess` it comes from.
    pub access: String,
    /// Its cloud.
    pub cloud: Cloud,
    /// The Entra tenant.
    pub tenant_id: String,
    /// How to get a token.
    pub credential: Credential,
}

/// The four ways to be somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// A federated token of a ServiceAccount in the operator's namespace, asked of the API server.
    Workload {
        /// The app's or identity's client id.
        client_id: String,
        /// The ServiceAccount's name.
        service_account: String,
    },
    /// The operator pod's own projected token (`AZURE_FEDERATED_TOKEN_FILE`).
    Operator {
        /// The app's or identity's client id.
        client_id: String,
    },
    /// The managed identity of the node or container (IMDS).
    Managed {
        /// The identity's client id.
        client_id: String,
    },
    /// A client secret in a Secret of the operator's namespace.
    ClientSecret {
        /// The app's client id.
        client_id: String,
        /// The Secret's name.
        secret_name: String,
        /// The key in it.
        secret_key: String,
    },
}

/// Why there is no whole answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// It certainly never left: no token, no connection, a request that cannot be built.
    #[error("not sent: {0}")]
    NotSent(String),
    /// A link that Azure gave leads elsewhere than to Azure: it is never followed. Certainly never left.
    #[error("not followed: {0}")]
    BadLink(String),
    /// Azure AD (Entra) refused a token. Certainly never left. The text names the AADSTS code and the identity.
    #[error("no token: {0}")]
    NoToken(String),
    /// It may have arrived: cut, timed out, unreadable.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Why a request that was in hand did not leave.
pub const TOO_LATE: &str = "its time was over, or the lease was lost, before it left";

/// Azure Resource Manager.
#[async_trait]
pub trait Arm: Send + Sync {
    /// Gets what a call will need (a token), so that the call itself leaves at once.
    async fn ready(&self, _identity: &Identity) -> Result<(), SendError> {
        Ok(())
    }

    /// Sends one request once, if `may_leave` still says so at the last moment before it leaves the process: a process that was
    /// stopped with a request in hand wakes with one that is nobody's any more (architecture.md, rule 2). Where it is not sent:
    /// [`SendError::NotSent`] of [`TOO_LATE`].
    async fn call_if(
        &self,
        identity: &Identity,
        request: &Request,
        may_leave: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Answer, SendError>;

    /// Sends one request once. Never retries, never sleeps, never interprets: any whole answer, of any status, is `Ok`.
    async fn call(&self, identity: &Identity, request: &Request) -> Result<Answer, SendError>;
}

/// Which object: its kind, namespace (empty for cluster-scoped) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `RecoveryVault`, `Namespace`, ...
    pub kind: String,
    /// Empty where the kind is cluster-scoped.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why a call to Kubernetes did not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClusterError {
    /// 409: the object moved since it was read.
    #[error("the object changed since it was read")]
    Conflict,
    /// 409 AlreadyExists on create.
    #[error("an object of that name exists")]
    Exists,
    /// 404.
    #[error("the object is gone")]
    NotFound,
    /// 403 or 422, with the server's words.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// It was not sent: whoever asked may not any more.
    #[error("not sent: this process does not lead any more")]
    TooLate,
    /// Anything else: the write may or may not have happened.
    #[error("the API server did not answer: {0}")]
    Unknown(String),
}

/// Watched objects, one after the other: there may be ten thousand, and no two need stand open at once.
pub type Opening<'a> = Box<dyn Iterator<Item = Arc<DynamicObject>> + Send + 'a>;

/// Whether what is about to leave the process still may.
pub type MayLeave<'a> = dyn Fn() -> bool + Send + Sync + 'a;

/// The Kubernetes API, as far as the engine uses it. A write leaves only if `may_leave` still says so at the last moment, as a
/// call to Azure does: a process that was stopped with one in hand wakes when another one leads, and neither a new object nor
/// one that nobody has written since has a version that tells it so. Then it is [`ClusterError::TooLate`].
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The watched copy of an object; it may lag.
    fn cached(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>>;
    /// All watched objects of a kind, in a namespace (or everywhere), in key order; each is opened when it is its turn.
    fn cached_all(&self, kind: &str, namespace: Option<&str>) -> Opening<'_>;
    /// A live read; of a Secret only its metadata.
    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, ClusterError>;
    /// A merge patch of `status` that carries `resource_version`; answers the object as it then is.
    async fn patch_status(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        status: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError>;
    /// A merge patch of `metadata` (finalizers, annotations, labels) that carries `resource_version`.
    async fn patch_metadata(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        metadata: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError>;
    /// Creates an object.
    async fn create(&self, key: &ObjectKey, object: &Value, may_leave: &MayLeave<'_>) -> Result<DynamicObject, ClusterError>;
    /// Whether `create` would be taken, and `delete` after it: both are tried dry, nothing is written.
    async fn may_create(&self, key: &ObjectKey, object: &Value) -> Result<(), ClusterError>;
    /// Deletes an object that has this uid.
    async fn delete(&self, key: &ObjectKey, uid: &str, may_leave: &MayLeave<'_>) -> Result<(), ClusterError>;
    /// Publishes an Event about an object. Never fails the turn: errors are logged by the port.
    async fn event(&self, about: &DynamicObject, event: &Event);
}

/// Something that a person would want to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `Warning` when true, else `Normal`.
    pub warning: bool,
    /// CamelCase, from the one list of reasons.
    pub reason: String,
    /// What was being done.
    pub action: String,
    /// A sentence with ids and absolute times.
    pub note: String,
}

/// World time and wall time (architecture.md, "Time").
pub trait Clock: Send + Sync {
    /// World time: status, expiries, polls, Azure's `Date`.
    fn now(&self) -> Timestamp;
    /// Monotonic wall time since the process began: leases, send deadlines.
    fn wall(&self) -> Duration;
    /// How many world seconds pass in one wall second (1.0 in production).
    fn factor(&self) -> f64;
    /// Maps a wall timestamp (a Kubernetes one) to world time.
    fn to_world(&self, wall: Timestamp) -> Timestamp;
}

/// Randomness for jitter. Never for names or ids: those derive.
pub trait Entropy: Send + Sync {
    /// A number in `0.0..1.0`.
    fn unit(&self) -> f64;
}

/// Whether this process leads, by its own monotonic clock.
pub trait Leadership: Send + Sync {
    /// True while the lease is certainly ours.
    fn leads(&self) -> bool;

    /// Writes a short text down with the lease, at its next renewal, for whoever leads next.
    fn note(&self, text: &str);

    /// What was written down last, by this leader or the one before; empty when nothing was.
    fn noted(&self) -> String;
}

/// Where audit records go: durable when this returns.
pub trait AuditSink: Send + Sync {
    /// Writes one JSON line. An error refuses the act it speaks of.
    ///
    /// # Errors
    /// When the line could not be made durable.
    fn write(&self, line: &Value) -> std::io::Result<()>;
}
