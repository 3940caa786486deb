//! Which machines, and which of their disks.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::ids;

/// Some machines: exactly one of id and selector.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.id) != has(self.selector)").message("an entry of machines needs exactly one of id, selector"))]
#[serde(rename_all = "camelCase")]
pub struct MachineEntry {
    /// One machine, by its full ARM id (compared without case).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::MACHINE_ID))]
    pub id: Option<String>,
    /// All machines that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<MachineSelector>,
    /// Which disks of these machines are backed up; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<Disks>,
}

/// Machines by where they are and how they are tagged: all given parts must match.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineSelector {
    /// The subscription to look in.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub subscription_id: String,
    /// The resource groups to look in, compared without case; * stands for any run of characters. All when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 90), regex(pattern = ids::RESOURCE_GROUP_GLOB)))]
    pub resource_groups: Vec<String>,
    /// The regions to look in, by short name. All when left out; machines outside the vault's region are left out with a reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 50), regex(pattern = ids::LOCATION)))]
    pub locations: Vec<String>,
    /// The tags to have or not to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TagSelector>,
}

/// Conditions on tags. Keys are compared without case, values with it, as Azure does.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.all) || has(self.any) || has(self.not)").message("tags needs at least one of all, any, not"))]
#[serde(rename_all = "camelCase")]
pub struct TagSelector {
    /// Every one of these tags must be there with one of its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tag_values")]
    pub all: BTreeMap<String, Vec<String>>,
    /// At least one of these tags must be there with one of its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tag_values")]
    pub any: BTreeMap<String, Vec<String>>,
    /// None of these tags may be there with one of its values. Quote "off" and "on" in YAML.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tag_values")]
    pub not: BTreeMap<String, Vec<String>>,
}

fn tag_values(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": { "type": "array", "minItems": 1, "maxItems": 32, "items": { "type": "string", "maxLength": 256 } },
    })
}

/// Which disks of a machine are backed up: exactly one of include, exclude, osOnly. The OS disk always is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(has(self.include) ? 1 : 0) + (has(self.exclude) ? 1 : 0) + (has(self.osOnly) ? 1 : 0) == 1").message("disks needs exactly one of include, exclude, osOnly"))]
#[serde(rename_all = "camelCase")]
pub struct Disks {
    /// The data disks to back up, by LUN. Meant are the disks that are there when it is first seen, known by their unique ids:
    /// one that is attached elsewhere later is covered there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(range(min = 0, max = 63)))]
    pub include: Option<Vec<i32>>,
    /// The data disks to leave out, by LUN. Meant are the disks that are there when it is first seen, known by their unique
    /// ids: another disk in that place, and this one in another, are backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(range(min = 0, max = 63)))]
    pub exclude: Option<Vec<i32>>,
    /// True: no data disk at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("osOnly can only be true: leave disks out to back up all of them"))]
    pub os_only: Option<bool>,
}
