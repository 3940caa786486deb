//! What a restore becomes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{durations::Span, ids};

/// What a restore becomes; exactly one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.newMachine), has(self.replaceDisks), has(self.disks), has(self.files)].filter(x, x).size() == 1").message("to needs exactly one of newMachine, replaceDisks, disks and files"))]
#[serde(rename_all = "camelCase")]
pub struct RestoreTo {
    /// A machine that does not exist yet. It is not protected, and no selector means it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_machine: Option<NewMachine>,
    /// The disks of the machine itself are replaced; the old ones are kept, beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_disks: Option<ReplaceDisks>,
    /// Managed disks, attached to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<ToDisks>,
    /// Files: the point's disks are mounted for a while, by a script that goes into a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<ToFiles>,
}

/// A machine that does not exist yet.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMachine {
    /// Its name.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub name: String,
    /// Its resource group, which exists.
    #[schemars(length(min = 1, max = 90), regex(pattern = ids::RESOURCE_GROUP))]
    pub resource_group: String,
    /// Its subscription; that of the source machine when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub subscription_id: Option<String>,
    /// The subnet of its interface, in the vault's region.
    #[schemars(length(max = 512), regex(pattern = ids::SUBNET_ID))]
    pub subnet_id: String,
    /// Its zone: 1, 2 or 3. Left out: as the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), regex(pattern = "^[123]$"))]
    pub zone: Option<String>,
}

/// The disks of the machine itself are replaced.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplaceDisks {
    /// The machine's name, spelt out: what it holds now is no longer what it runs on.
    #[schemars(length(min = 1, max = 64))]
    pub confirm: String,
    /// True: a machine that runs is stopped first. Left out, a running machine is refused. It is not started again.
    #[serde(default)]
    pub stop_machine: bool,
    /// What becomes of replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_replicating: Option<WhenReplicating>,
}

/// What becomes of a machine's replication where its disks are replaced. Left out, a machine that Azure Site Recovery replicates is
/// refused. `Break`: replication goes on with the disks that are taken out, and is disabled and enabled anew by whoever set it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum WhenReplicating {
    /// It breaks, and the disks are replaced all the same.
    Break,
}

/// Managed disks, attached to nothing.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToDisks {
    /// Their resource group, which exists.
    #[schemars(length(min = 1, max = 90), regex(pattern = ids::RESOURCE_GROUP))]
    pub resource_group: String,
    /// Its subscription; that of the source machine when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub subscription_id: Option<String>,
    /// The data disks to restore, by LUN; the OS disk always comes along. All of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(range(min = 0, max = 63)))]
    pub luns: Option<Vec<i32>>,
    /// Their zone: 1, 2 or 3. Left out: as the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), regex(pattern = "^[123]$"))]
    pub zone: Option<String>,
}

/// A point's disks, mounted for a while.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToFiles {
    /// How long they stay mounted: 5m to 11h, in h, m and s, counted from the request. Closed earlier where this run is suspended
    /// or deleted.
    #[x_kube(validation = Rule::new("!self.contains('d') && duration(self) >= duration('5m') && duration(self) <= duration('11h')").message("to.files.mountFor must be from 5m to 11h, in h, m and s: Azure ends a mount after twelve hours by itself"))]
    pub mount_for: Span,
    /// The Secret that gets the script and its password: made by this run, never overwritten, and gone with the mount. The
    /// namespace allows it by binding the ClusterRole breakwater-file-recovery to the operator.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
    pub secret_name: String,
}
