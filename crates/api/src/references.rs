//! How one object points at another.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids;

/// Another object, by name, in the same namespace (or cluster-scoped, where its kind is).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Reference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub name: String,
}

/// Another object, by name; in another namespace only where that object's spec.allowedNamespaces admits this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub name: String,
    /// The object's namespace; this object's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = ids::NAMESPACE))]
    pub namespace: Option<String>,
}

impl ObjectReference {
    /// A reference to that name, in the same namespace.
    pub fn new(name: impl Into<String>) -> Self {
        ObjectReference { name: name.into(), namespace: None }
    }

    /// The namespace that is meant, seen from `own`.
    pub fn namespace_from<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// Which namespaces may refer to an object.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)").message("allowedNamespaces.selector is needed with from: Selector, and only then"), validation = Rule::new("!has(self.selector) || !has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))").message("an operator in matchExpressions is In or NotIn with values, or Exists or DoesNotExist without").field_path(".selector"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Same: objects of this namespace only. Selector: also those of namespaces that match.
    #[serde(default)]
    pub from: AllowedFrom,
    /// With from: Selector: by the labels of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Where referring objects may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AllowedFrom {
    /// In the same namespace.
    #[default]
    Same,
    /// Also in namespaces that the selector matches.
    Selector,
}

impl AllowedNamespaces {
    /// Whether a namespace with these labels is admitted by what an object says, or does not say.
    pub fn admit(allowed: Option<&Self>, labels: &BTreeMap<String, String>) -> bool {
        let selector = allowed.filter(|a| a.from == AllowedFrom::Selector).and_then(|a| a.selector.as_ref());
        selector.is_some_and(|selector| crate::azure_access::selects(selector, labels))
    }
}

/// Whether what is there already may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Adopt {
    /// What this object did not make is left alone.
    #[default]
    Never,
    /// It is taken over where nothing of it would become weaker.
    IfNotWeaker,
}

/// What happens in Azure when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// Nothing is sent.
    #[default]
    Retain,
    /// It is deleted in Azure too, when nothing blocks that.
    Delete,
}

impl Reference {
    /// A reference to that name.
    pub fn new(name: impl Into<String>) -> Self {
        Reference { name: name.into() }
    }
}
