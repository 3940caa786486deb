//! What every status begins with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    operations::OperationRecord,
    questions::{AskedQuestion, UsedAnswer},
    times,
};

/// How many Azure resources one object may own: at the bound nothing new is started.
pub const MAX_OWNED: usize = 32;

/// How many entries a list for people holds, newest kept; counts are of the whole.
pub const MAX_LISTED: usize = 50;

/// The longest status, in bytes of JSON. What anybody decides by stays whole whatever it takes: only the printed plan
/// and lists that people read are cut.
pub const MAX_STATUS: usize = 32 * 1024;

/// The longest printed plan, in bytes.
pub const MAX_PLAN: usize = 8192;

/// The shared part of a status: read from any object, whatever its kind.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedStatus {
    /// The generation of the spec that this status speaks of; -1 before the first visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled and the kind's own, each with the generation it speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Open operations at Azure, never truncated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub operations: Vec<OperationRecord>,
    /// What this object made or took over in Azure, never truncated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub owned: Vec<Owned>,
    /// The AzureAccess that this object acts under, resolved once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<PinnedAccess>,
    /// Choices made once and kept: generated names, chosen zones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub choices: BTreeMap<String, String>,
    /// What waits for a person: answered by an Approval that carries the question's digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub questions: Vec<AskedQuestion>,
    /// Answers of this generation that were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["approval".into()]))]
    pub answered: Vec<UsedAnswer>,
    /// What is due, printed; in mode Plan this is all that happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub plan: Option<String>,
    /// The last value of the annotation breakwater.io/requested-at that a turn has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_request: Option<String>,
}

/// One resource in Azure that is ours.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// Its ARM id.
    #[schemars(length(max = 1024))]
    pub id: String,
    /// What it is to this object: the node's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub name: Option<String>,
    /// Since when it is ours.
    #[schemars(schema_with = "times::date_time")]
    pub since: Timestamp,
}

/// The AzureAccess that was resolved.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedAccess {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid when it was resolved; information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}
