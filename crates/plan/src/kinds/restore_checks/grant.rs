//! What the grant must admit for a restore: all that the gate asks of the request when it is sent, asked before a machine is stopped
//! for it.

use breakwater_api::RestoreRun;
use breakwater_arm::{
    ResourceId,
    bodies::{RestoreBody, restore_request},
    ids_in,
    wire::Request,
};

use super::super::{
    restore_paired,
    restore_source::{Source, chosen},
    restore_target::{body, invalid},
    runs, vault_guard,
};
use crate::{facts::Facts, graph::Hold, kind::Subject};

/// Names of guarded operations that a restore may be.
const GUARDED: [&str; 1] = ["recoveryPoints/restore/action"];

/// The request of the restore of a point.
pub(in super::super) fn request(source: &Source, facts: &Facts, point: &ResourceId, body: &RestoreBody) -> Request {
    match &source.paired {
        Some(paired) => restore_paired::request(paired, body),
        None => {
            let mut request = restore_request(point, body);
            vault_guard::guarded(&mut request, &source.vault, facts, &GUARDED);
            request
        }
    }
}

/// The machine, where its data is and goes, and what is made there: each is the grant's to admit. What else the request names must
/// be readable.
pub(super) fn hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    let body = match body(s, source) {
        Ok(body) => body,
        Err(hold) => return Some(hold),
    };
    // Until one is chosen, any point of the item stands for it.
    let Some(point) = source.point(chosen(s).unwrap_or("0")) else { return Some(invalid("the point's name is none")) };
    // A region is nobody's: the vault whose point is restored there stands for it.
    let from = if source.paired.is_some() { &source.vault } else { &point };
    let made = [&body.target_resource_group_id, &body.target_virtual_machine_id];
    let acted_on: Vec<&ResourceId> = [&source.machine].into_iter().chain(made.into_iter().flatten()).chain([from]).collect();
    let request = request(source, facts, &point, &body);
    let named = match ids_in(&request.path, request.body.as_ref()) {
        Ok(named) => named,
        Err(e) => return Some(invalid(format!("the request of this restore cannot be sent: {e}"))),
    };
    let act = super::act(s);
    let admitted = acted_on.iter().find_map(|id| runs::not_granted(s, act, id));
    admitted.or_else(|| named.iter().filter(|id| !acted_on.contains(id)).find_map(|id| runs::not_granted(s, "Read", id)))
}
