//! Under whose name a debt is paid: the record that tells of it may be anybody's writing.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{OperationRecord, Reason, operations::Debt};
use breakwater_arm::{
    ResourceId,
    wire::{Method, Request},
};
use breakwater_plan::{
    graph::{Hold, Ownership},
    keys,
    kind::{Allowed, Grant, Kind},
};
use serde_json::Value;

use crate::{
    access::{self, Access},
    act::vault_of,
    budget::Priority,
    gate::Order,
    reader::Looker,
    turn::Turn,
};

/// The access that a debt is paid under. The record is what anybody with a hand in the status may have written, the pinned access
/// too: it closes what it opened, under the access that this namespace has, or had when something was lent to it, and under no
/// other.
///
/// # Errors
/// A hold where it is not this object's to pay, or where the access is gone.
fn payer<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Result<Access, Hold> {
    let access = access::for_debt(&*turn.engine.outside.cluster, &debt.access)?;
    let same_thing = match (vault_of(&debt.path), vault_of(&record.target)) {
        (Some(of_debt), Some(of_record)) => of_debt == of_record,
        (None, None) => debt.path.eq_ignore_ascii_case(&record.target),
        _ => false,
    };
    if !same_thing || turn.access_name() != Some(debt.access.as_str()) {
        let message = format!("{} does not belong to {} under this object's access: it is not sent", debt.path, record.target);
        return Err(Hold::stuck(Reason::DebtUnpayable, message));
    }
    // What the grant does not reach was never lent under it, but by the note that somebody who leads wrote then.
    let reaches = |grant: &Grant| target_of(debt).is_some_and(|id| grant.admits("Read", &id));
    let admitted = turn.access.as_ref().is_ok_and(|by| by.grant.name == debt.access && reaches(&by.grant));
    if !admitted && !turn.engine.gate.has_lent(&debt.access, &turn.key.namespace) {
        let message = format!(
            "AzureAccess {} does not admit namespace {}, or not for {}, and nothing is known to be lent to it under that: add them to its spec, or close it by hand",
            debt.access, turn.key.namespace, debt.path
        );
        return Err(Hold::stuck(Reason::AccessLost, message));
    }
    Ok(access)
}

/// What a debt is closed on.
pub(crate) fn target_of(debt: &Debt) -> Option<ResourceId> {
    debt.path.parse().ok().or_else(|| debt.path.rsplit_once('/')?.0.parse().ok())
}

/// Who asks how a closing goes: the identity that opened it, for that resource, whatever the grant admits by now.
pub(crate) fn looker<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Result<Looker, Hold> {
    let access = payer(turn, record, debt)?;
    let allow = target_of(debt).map(|id| Allowed {
        subscription_id: id.subscription_id().to_owned(),
        resource_groups: id.resource_group().map(str::to_owned).into_iter().collect(),
        acts: vec!["Read".into()],
    });
    let grant = Grant { name: access.grant.name.clone(), uid: access.grant.uid.clone(), allow: allow.into_iter().collect() };
    Ok(Looker {
        identity: access.identity,
        grant: Arc::new(grant),
        priority: Priority::Debt,
        namespace: turn.key.namespace.as_str().into(),
    })
}

/// The closing request, under the access that opened it, whatever it admits by now.
pub(crate) fn order<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Result<Order, Hold> {
    let method = match debt.method.as_str() {
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        "PUT" => Method::Put,
        _ => Method::Delete,
    };
    let mut request = Request::new(method, debt.path.clone(), &debt.api_version);
    request.body = debt.body.as_ref().and_then(|b| serde_json::from_str::<Value>(b).ok());
    request.client_request_id =
        Some(keys::request_id(&turn.subject.estate, &format!("{} close", record.key), &record.node, record.attempt));
    let access = payer(turn, record, debt)?;
    Ok(Order {
        holder: (turn.key.clone(), record.node.clone()),
        uid: turn.subject.meta.uid.clone(),
        generation: turn.subject.meta.generation,
        requested_by: turn.requested_by(),
        identity: access.identity,
        grant: Arc::clone(&access.grant),
        request,
        ownership: Ownership::Child,
        locks: Vec::new(),
        consents: Vec::new(),
        around: BTreeMap::new(),
        brake: None,
        paused: turn.paused(),
        debt: true,
        closes: K::CLOSES,
        intent_wall: turn.engine.outside.clock.wall(),
        evidence: None,
        vault: None,
        owned: Vec::new(),
        plan_digest: String::new(),
        priority: Priority::Debt,
        looked_again: None,
    })
}
