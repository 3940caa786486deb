//! One request as it reaches a provider of the simulated Azure, already authenticated and authorised, and the
//! answer to it. The seam between the front (doors, identity, faults, throttling, journal) and the providers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

/// A request inside the simulator.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// `GET`, `PUT`, ... upper case.
    pub method: String,
    /// Decoded path segments in the caller's spelling, without empty ones: `["subscriptions", "…", …]`.
    pub path: Vec<String>,
    /// Query pairs, names in lower case, values decoded.
    pub query: BTreeMap<String, String>,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The parsed body, `Null` when empty.
    pub body: Value,
    /// Who calls.
    pub caller: Caller,
    /// World time of arrival.
    pub now: Timestamp,
    /// `https://host:port`, as the caller addressed us: what links in answers begin with.
    pub origin: String,
}

impl Inbound {
    /// The `api-version` of the request.
    pub fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// `x-ms-client-request-id`, when sent.
    pub fn client_request_id(&self) -> Option<&str> {
        self.headers.get("x-ms-client-request-id").map(String::as_str)
    }

    /// The path as sent, decoded, without the query.
    pub fn raw_path(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}

/// Who sent a request: what the token said and Entra knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Object id of the service principal or managed identity.
    pub object_id: String,
    /// Its client id.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
}

/// An answer inside the simulator. The front adds `date`, request ids and throttling headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Extra headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// JSON body; `None` is an empty body.
    pub body: Option<Value>,
}

impl Reply {
    /// A status with a body.
    pub fn json(status: u16, body: Value) -> Self {
        Reply { status, headers: Vec::new(), body: Some(body) }
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Reply { status, ..Reply::default() }
    }

    /// An error in ARM's standard envelope.
    pub fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Reply::json(status, serde_json::json!({"error": {"code": code, "message": message.into()}}))
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What Recovery Services must know of its neighbours (Compute, Resource Manager). The front implements it.
pub trait Neighbours {
    /// The machine of that id (compared without case), if it exists.
    fn machine(&self, id: &str) -> Option<MachineView>;
    /// All machines of a subscription in a region (region in canonical form: `westeurope`).
    fn machines_in(&self, subscription_id: &str, location: &str) -> Vec<MachineView>;
    /// The region of a resource group, if the group exists.
    fn group_location(&self, subscription_id: &str, resource_group: &str) -> Option<String>;
    /// Tags of any ARM resource as last written, by id without case. Resource Manager keeps tags.
    fn tags(&self, id: &str) -> BTreeMap<String, String>;
    /// A number in 0.0..1.0 from the simulator's seeded generator.
    fn chance(&self) -> f64;
    /// A fresh GUID from the simulator's seeded generator.
    fn guid(&self) -> String;
    /// The resource guard of that id, if it exists.
    fn guard(&self, _id: &str) -> Option<GuardView> {
        None
    }
    /// Object id and client id of the user-assigned identity of that id, if anybody knows it.
    fn identity(&self, _id: &str) -> Option<(String, String)> {
        None
    }
    /// Whether a principal may wrap with a key of a key vault.
    fn key_access(&self, _principal: &str, _key_uri: &str) -> KeyAccess {
        KeyAccess::Unmodelled
    }
    /// Whether there is a resource of that id.
    fn exists(&self, _id: &str) -> bool {
        false
    }
    /// The region of the network that a subnet of that id lies in.
    fn subnet_region(&self, _id: &str) -> Option<String> {
        None
    }
    /// The storage account of that id.
    fn storage_account(&self, _id: &str) -> Option<StorageView> {
        None
    }
    /// The tenant that a subscription trusts.
    fn tenant_of(&self, _subscription_id: &str) -> Option<String> {
        None
    }
    /// Whether a principal's roles hold an action at a scope, of the control plane or of the data.
    fn may(&self, _principal: &str, _action: &str, _scope: &str, _right: Right) -> bool {
        false
    }
    /// Cores that the subscription's quota still has in a region; nothing where no quota is set.
    fn cores_left(&self, _subscription_id: &str, _region: &str) -> Option<i64> {
        None
    }
    /// What keeps a resource of that type from being made or changed at that id with those tags, whoever asks.
    fn bar(&self, _id: &str, _resource_type: &str, _tags: &BTreeMap<String, String>) -> Option<Bar> {
        None
    }
}

/// Which of a role's lists of actions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Of the control plane.
    Control,
    /// Of the data.
    Data,
}

/// What keeps everybody from writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// A `ReadOnly` lock.
    Lock,
    /// An Azure Policy assignment that denies.
    Policy,
}

/// A storage account as a restore's staging location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageView {
    /// Its ARM id in the stored spelling.
    pub id: String,
    /// Canonical region.
    pub location: String,
    /// `StorageV2`, `BlobStorage`, ...
    pub kind: String,
    /// `Standard_LRS`, ...
    pub sku: String,
    /// Whether its network rules let Azure's own services in.
    pub lets_azure_in: bool,
}

/// A resource guard as Recovery Services sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardView {
    /// Its ARM id in the stored spelling.
    pub id: String,
    /// What its owner wrote about it.
    pub description: String,
    /// The critical operations that it does not guard.
    pub excluded: Vec<String>,
}

/// What a key vault would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    /// The principal may.
    Granted,
    /// It may not.
    Denied,
    /// The vault has no such key.
    NoSuchKey,
    /// The estate does not have that key vault: nothing is known of it.
    Unmodelled,
}

/// A virtual machine as Azure Backup sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineView {
    /// Its ARM id in the stored spelling.
    pub id: String,
    /// `properties.vmId`.
    pub vm_id: String,
    /// Canonical region.
    pub location: String,
    /// `Windows` or `Linux`.
    pub os: String,
    /// `running`, `deallocated`, `stopped`, ...
    pub power_state: String,
    /// Whether the guest agent answers.
    pub agent_ready: bool,
    /// `properties.hardwareProfile.vmSize`
    pub size: String,
    /// `None`, `TrustedLaunch`, ...
    pub security_type: String,
    /// Whether its guest encrypts its disks: the extension of Azure Disk Encryption is there.
    pub encrypted: bool,
    /// The OS disk has lun -1.
    pub disks: Vec<DiskView>,
    /// Availability zones.
    pub zones: Vec<String>,
}

/// One disk of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskView {
    /// Its ARM id.
    pub id: String,
    /// -1 for the OS disk.
    pub lun: i32,
    /// Its name.
    pub name: String,
    /// Provisioned size.
    pub size_gb: i64,
    /// `Premium_LRS`, ...
    pub sku: String,
    /// `V1` or `V2`, empty when the disk does not say.
    pub hyper_v_generation: String,
    /// `AllowAll`, `AllowPrivate`, `DenyAll`.
    pub network_access: String,
    /// The disk access resource of a private disk.
    pub disk_access_id: Option<String>,
    /// The disk encryption set of its key.
    pub encryption_set: Option<String>,
}

/// A request as it stands on the wire, still to be authenticated.
#[derive(Clone, Debug, Default)]
pub struct WireRequest {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query as sent, maybe percent-encoded: `/subscriptions/…?api-version=…`. A whole URL is accepted too.
    pub url: String,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The bytes of the body, empty when there is none.
    pub body: Vec<u8>,
    /// `https://host:port`, as the caller addressed us.
    pub origin: String,
}

/// What happens to the connection after an answer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// The client gets the answer.
    #[default]
    Deliver,
    /// The client sees the connection cut before any byte of an answer.
    DropConnection,
    /// The client sees the head and half of the body, then a cut: `body` holds that half, `content-length` the whole.
    CutBody,
}

/// An answer as it goes onto the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireReply {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case. `retry-after` is in world seconds; the doors divide it by the clock factor.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body.
    pub body: Vec<u8>,
    /// What becomes of the connection.
    pub disposition: Disposition,
    /// World time to wait before answering.
    pub delay: std::time::Duration,
}

impl WireReply {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` when it is empty or not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}
