//! Deleting a vault on request: only an empty one, and what is in it is listed. Soft-deleted backups block too: whoever
//! deletes the vault under them deletes the last copy.

use breakwater_api::{Reason, RecoveryVault};
use breakwater_arm::{
    ResourceId,
    versions::{LOCKS, RECOVERY_SERVICES, SITE_RECOVERY},
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{all_items_of, text, unreadable, vault_is_ours};
use crate::{
    facts::{Facts, Fresh, List, Need},
    graph::{Desired, Goal, Hold, Node, Ownership},
    kind::Subject,
    sighting::Known,
};

/// Between two looks at what is in a vault that waits to be deleted.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Entries of `status.blockers` at most.
const MOST_BLOCKERS: usize = 50;

/// What registers containers with a vault, as the filter of their list calls it (backup.md §4.3: it must name one): machines,
/// databases in machines, shares of files, servers with an agent.
const REGISTERED: [&str; 4] = ["AzureIaasVM", "AzureWorkload", "AzureStorage", "MAB"];

fn containers_of(vault: &ResourceId, of: &str) -> List {
    let query = vec![("$filter".to_owned(), format!("backupManagementType eq '{of}' and status eq 'Registered'"))];
    List { path: format!("{vault}/backupProtectionContainers"), query, api_version: RECOVERY_SERVICES, partial: false }
}

fn locks_of(vault: &ResourceId) -> List {
    List { path: format!("{vault}/providers/Microsoft.Authorization/locks"), query: Vec::new(), api_version: LOCKS, partial: false }
}

/// Between these Site Recovery replicates, and a vault that has any is not deleted (site-recovery.md §6).
fn fabrics_of(vault: &ResourceId) -> List {
    List { path: format!("{vault}/replicationFabrics"), query: Vec::new(), api_version: SITE_RECOVERY, partial: false }
}

/// All that may keep a vault.
fn lists(id: &ResourceId) -> Vec<List> {
    let containers = REGISTERED.into_iter().map(|of| containers_of(id, of));
    [all_items_of(id)].into_iter().chain(containers).chain([fabrics_of(id), locks_of(id)]).collect()
}

/// What must be known before the vault goes.
pub(super) fn needs(id: &ResourceId) -> Vec<Need> {
    lists(id).into_iter().map(|list| Need::ListUnder { list, fresh: Fresh::Within(LOOK_EVERY) }).collect()
}

/// The vault gone, or what keeps it.
pub(super) fn desire(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Result<Desired, Hold> {
    let mut graph = Desired::new();
    match facts.read(id) {
        Known::Unknown => return Err(unreadable(id, facts)),
        Known::Absent(_) => return Ok(graph),
        Known::Present(..) => {}
    }
    let owner = s.owner();
    let foreign = vault_is_ours(id, facts, &s.estate, &owner, &s.writer);
    let hold = foreign.or_else(|| blocked(id, facts));
    let goal = Goal::Gone { request: Request::new(Method::Delete, id.as_str(), RECOVERY_SERVICES) };
    graph
        .node("vault", Node::arm(id.clone(), goal, Ownership::Tagged { owner }).locking([format!("vault-config:{}", id.key())]).held(hold));
    Ok(graph)
}

fn blocked(id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let unseen = lists(id).into_iter().find(|list| facts.list(list).is_none());
    if let Some(list) = unseen {
        return Some(Hold::wait(Reason::NotYetObserved, format!("{} was not read whole yet", list.path)));
    }
    let all = blockers(id, facts);
    let first = all.first()?;
    let message = format!(
        "{id} is not deleted while something is in it or locks it: {first}{}; see status.blockers. Nothing of it is removed; set deletionPolicy: Retain to let this object go",
        if all.len() > 1 { format!(" and {} more", all.len() - 1) } else { String::new() }
    );
    Some(Hold::stuck(Reason::Blocked, message))
}

/// What keeps the vault, a line each.
fn blockers(id: &ResourceId, facts: &Facts) -> Vec<String> {
    let named = |body: &Value, id: &ResourceId| text(body, "/properties/friendlyName").unwrap_or(id.name()).to_owned();
    let of = |list: List, line: &dyn Fn(&ResourceId, &Value) -> String| -> Vec<String> {
        facts.list(&list).into_iter().flatten().map(|(id, body)| line(id, &body.open())).collect()
    };
    let mut all = of(all_items_of(id), &|item, body| {
        let deleted = body.pointer("/properties/isScheduledForDeferredDelete").and_then(Value::as_bool) == Some(true);
        let what = if deleted { "soft-deleted backups of" } else { "backups of" };
        format!("{what} {}", text(body, "/properties/sourceResourceId").map_or_else(|| named(body, item), str::to_owned))
    });
    for registered in REGISTERED {
        all.extend(of(containers_of(id, registered), &|container, body| format!("container {}", named(body, container))));
    }
    all.extend(of(fabrics_of(id), &|fabric, body| {
        format!("replication of machines in {} (fabric {})", named(body, fabric), fabric.name())
    }));
    let body = facts.resource(id).into_present();
    let endpoints = body.and_then(|body| body.pointer("/properties/privateEndpointConnections")?.as_array()).into_iter().flatten();
    all.extend(endpoints.filter_map(|one| text(one, "/id")).map(|id| format!("private endpoint connection {id}")));
    all.extend(of(locks_of(id), &|lock, _| format!("lock {}", lock.name())));
    all
}

/// The same for the status, and how many more there are.
pub(super) fn shown(id: &ResourceId, facts: &Facts) -> Vec<String> {
    let mut all = blockers(id, facts);
    let more = all.len().saturating_sub(MOST_BLOCKERS);
    if more > 0 {
        all.truncate(MOST_BLOCKERS - 1);
        all.push(format!("more: {}", more + 1));
    }
    all
}
