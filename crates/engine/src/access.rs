//! Which `AzureAccess` an object acts under: pinned, named, or the only one that admits its namespace.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{
    AzureAccessSpec, Reason,
    azure_access::{Cloud as ApiCloud, Identity as ApiIdentity},
    status::PinnedAccess,
};
use breakwater_plan::{
    graph::Hold,
    kind::{AccessNeed, Allowed, Grant, Kind},
};
use kube::core::DynamicObject;
use serde::Deserialize;

use crate::{
    gate::Refusal,
    ports::{Cloud, Cluster, Credential, Identity, ObjectKey},
    turn::Turn,
};

/// An access, resolved.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who to be.
    pub identity: Identity,
    /// What is granted.
    pub grant: Arc<Grant>,
    /// Whether nothing new may be started under it.
    pub suspended: bool,
}

/// Resolves the access of an object in a namespace.
///
/// # Errors
/// A hold that says what is missing and what to do.
pub fn resolve(cluster: &dyn Cluster, namespace: &str, pinned: Option<&PinnedAccess>, named: Option<&str>) -> Result<Access, Hold> {
    let labels = namespace_labels(cluster, namespace);
    // Most name the one that they work under: the others are not looked at then.
    let all: Vec<Seen> = match pinned.map(|pin| pin.name.as_str()).or(named) {
        Some(name) => cluster.cached(&key(name)).iter().filter_map(|o| Seen::of(o)).collect(),
        None => cluster.cached_all(AZURE_ACCESS, None).filter_map(|o| Seen::of(&o)).collect(),
    };
    // No label is not the same as labels that nobody has seen yet: a selector may admit the one and not the other.
    if labels.is_none() && all.iter().any(|a| a.spec.namespaces.selector.is_some()) {
        return Err(Hold::wait(Reason::NotYetObserved, format!("the labels of namespace {namespace} were not seen yet")));
    }
    let labels = labels.unwrap_or_default();
    let admits = |a: &Seen| a.spec.namespaces.admits(namespace, &labels);
    if let Some(pin) = pinned {
        if let Some(other) = named.filter(|name| *name != pin.name) {
            let message = format!(
                "spec.accessRef names AzureAccess {other}, and this object works under {} since it was made (status.access): set it back; for another access make a new object",
                pin.name
            );
            return Err(Hold::stuck(Reason::InvalidSpec, message));
        }
        return match all.first() {
            Some(access) if admits(access) => access_of(access),
            Some(_) => Err(Hold::stuck(
                Reason::AccessLost,
                format!("AzureAccess {} no longer admits namespace {namespace}: add the namespace to its spec.namespaces", pin.name),
            )),
            None => Err(Hold::stuck(Reason::AccessLost, format!("AzureAccess {} is gone: create it again under that name", pin.name))),
        };
    }
    if let Some(name) = named {
        let found = all.first().filter(|a| admits(a));
        return found.map_or_else(
            || {
                let message = format!(
                    "spec.accessRef names AzureAccess {name}, which does not exist or does not admit namespace {namespace}: create it, or add the namespace to its spec.namespaces"
                );
                Err(Hold::stuck(Reason::NoAccess, message))
            },
            access_of,
        );
    }
    let mut admitting = all.iter().filter(|a| admits(a));
    match (admitting.next(), admitting.next()) {
        (Some(only), None) => access_of(only),
        (None, _) => Err(Hold::stuck(
            Reason::NoAccess,
            format!("no AzureAccess admits namespace {namespace}: a cluster admin adds it to spec.namespaces of one"),
        )),
        (Some(_), Some(_)) => Err(Hold::stuck(
            Reason::AmbiguousAccess,
            format!("several AzureAccess objects admit namespace {namespace}: set spec.accessRef.name"),
        )),
    }
}

/// An access as it looks at Azure for itself.
///
/// # Errors
/// A hold when its spec cannot be used.
pub fn of_itself(object: &DynamicObject) -> Result<Access, Hold> {
    let parsed = Seen::of(object).ok_or_else(|| Hold::stuck(Reason::InvalidSpec, "the spec of this AzureAccess cannot be read"))?;
    access_of(&parsed)
}

/// A namespace's labels; `None` while it was not seen.
fn namespace_labels(cluster: &dyn Cluster, namespace: &str) -> Option<BTreeMap<String, String>> {
    let key = ObjectKey { kind: "Namespace".into(), namespace: String::new(), name: namespace.into() };
    Some(cluster.cached(&key)?.metadata.labels.clone().unwrap_or_default())
}

const AZURE_ACCESS: &str = "AzureAccess";

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: AZURE_ACCESS.into(), namespace: String::new(), name: name.into() }
}

/// An `AzureAccess` as it was seen.
struct Seen {
    name: String,
    uid: String,
    spec: AzureAccessSpec,
}

impl Seen {
    /// None where its spec cannot be read.
    fn of(object: &DynamicObject) -> Option<Seen> {
        let spec = AzureAccessSpec::deserialize(object.data.get("spec")?).ok()?;
        let (name, uid) = (object.metadata.name.clone(), object.metadata.uid.clone());
        Some(Seen { name: name.unwrap_or_default(), uid: uid.unwrap_or_default(), spec })
    }
}

fn access_of(access: &Seen) -> Result<Access, Hold> {
    let name = access.name.clone();
    let credential = credential(&access.spec.identity).ok_or_else(|| {
        Hold::stuck(
            Reason::InvalidSpec,
            format!("AzureAccess {name}: spec.identity needs exactly one of workload, operator, managed, clientSecret"),
        )
    })?;
    let cloud = match access.spec.cloud {
        ApiCloud::AzurePublic => Cloud::AzurePublic,
        ApiCloud::AzureUSGovernment => Cloud::AzureUsGovernment,
        ApiCloud::AzureChina => Cloud::AzureChina,
    };
    let identity = Identity { access: name.clone(), cloud, tenant_id: access.spec.tenant_id.clone(), credential };
    let allow = access.spec.allow.iter().map(|g| Allowed {
        subscription_id: g.subscription_id.clone(),
        resource_groups: g.resource_groups.clone(),
        acts: g.acts.iter().map(ToString::to_string).collect(),
    });
    let grant = Grant { name, uid: access.uid.clone(), allow: allow.collect() };
    Ok(Access { identity, grant: Arc::new(grant), suspended: access.spec.suspend })
}

fn credential(identity: &ApiIdentity) -> Option<Credential> {
    let one = [identity.workload.is_some(), identity.operator.is_some(), identity.managed.is_some(), identity.client_secret.is_some()];
    if one.iter().filter(|set| **set).count() != 1 {
        return None;
    }
    if let Some(w) = &identity.workload {
        return Some(Credential::Workload { client_id: w.client_id.clone(), service_account: w.service_account.clone() });
    }
    if let Some(o) = &identity.operator {
        return Some(Credential::Operator { client_id: o.client_id.clone() });
    }
    if let Some(m) = &identity.managed {
        return Some(Credential::Managed { client_id: m.client_id.clone() });
    }
    identity.client_secret.as_ref().map(|s| Credential::ClientSecret {
        client_id: s.client_id.clone(),
        secret_name: s.secret_ref.name.clone(),
        secret_key: s.secret_ref.key.clone(),
    })
}

/// The access that a debt was opened under, whatever it admits by now.
///
/// # Errors
/// A hold when it is gone.
pub fn for_debt(cluster: &dyn Cluster, name: &str) -> Result<Access, Hold> {
    let found = cluster.cached(&key(name)).and_then(|o| Seen::of(&o));
    found.map_or_else(
        || {
            Err(Hold::stuck(
                Reason::AccessLost,
                format!("AzureAccess {name}, under which this was opened, is gone: create it again under that name"),
            ))
        },
        |access| access_of(&access),
    )
}

impl<K: Kind> Turn<'_, K> {
    /// The name of the access that the object works under, as pinned.
    pub(crate) fn access_name(&self) -> Option<&str> {
        self.pinned.as_ref().map(|pin| pin.name.as_str())
    }

    /// Whether its access is by now what this turn was made under.
    ///
    /// # Errors
    /// When it was suspended or withdrawn, or grants something else: nothing that was planned before leaves.
    pub(crate) fn access_stands(&self) -> Result<(), Refusal> {
        if K::ACCESS != AccessNeed::Namespace {
            return Ok(());
        }
        let named = self.shared_spec.access_ref.as_ref().map(|r| r.name.as_str());
        let now = resolve(&*self.engine.outside.cluster, &self.key.namespace, self.pinned.as_ref(), named);
        let refuse = |reason, message: &str| Err(Refusal::new(reason, message));
        match (now, &self.access) {
            (Ok(now), _) if now.suspended => refuse(Reason::Suspended, "its AzureAccess was suspended before it left"),
            (Ok(now), Ok(then)) if now.grant == then.grant && now.identity == then.identity => Ok(()),
            _ => refuse(Reason::Retrying, "its AzureAccess was changed before it left"),
        }
    }

    /// Why it has no access, where it needs one.
    pub(crate) fn no_access(&self) -> Option<&Hold> {
        self.access.as_ref().err().filter(|_| K::ACCESS != AccessNeed::None)
    }
}
