//! What every namespaced kind's spec begins with.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::Reference;

/// The shared part of a spec: read from any object, whatever its kind.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedSpec {
    /// While true, Breakwater starts nothing new for this object; what is lent or half-open is still closed.
    /// Setting it back to false never triggers a catch-up.
    #[serde(default)]
    pub suspend: bool,
    /// The AzureAccess to act under. May be left out when exactly one admits this namespace. It is resolved once and
    /// then kept in status.access: after that, naming another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_ref: Option<Reference>,
    /// Manage: keep Azure as declared. Plan: publish in status.plan what would be done, and send nothing.
    /// Observe: report only.
    #[serde(default)]
    pub mode: Mode,
}

/// How far Breakwater may go for one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Mode {
    /// Keep Azure as declared.
    #[default]
    Manage,
    /// Publish the plan, send nothing.
    Plan,
    /// Report only.
    Observe,
}
