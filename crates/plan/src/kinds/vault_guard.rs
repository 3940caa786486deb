//! A vault's key and its resource guard: the key's identity first, then the key; the guard's proxy, and the reference to it
//! that guarded calls carry (backup.md §5.1, §6.3, §6.4).

use breakwater_api::{Reason, RecoveryVault, ids::is_system, recovery_vault::Encryption};
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use serde_json::{Value, json};

use super::{VaultView, text};
use crate::{
    defence,
    facts::{Facts, Need},
    graph::{Change, Desired, Difference, Goal, Hold, Node, Ownership},
    kind::Subject,
    questions::{Approved, Question},
};

/// The one proxy of a vault.
pub(super) fn proxy_id(vault: &ResourceId) -> ResourceId {
    vault.child("backupResourceGuardProxies", "VaultProxy").expect("two plain words below a vault")
}

/// The proxy is read where a guard is declared.
pub(super) fn need(vault: &ResourceId, view: &VaultView) -> Option<Need> {
    view.spec.resource_guard.is_some().then(|| super::kept(&proxy_id(vault)))
}

/// A stop that keeps every point, as guards name it (backup.md §6.4).
const STOP: &str = "protectedItems/write#stopProtectionWithRetainData";
/// A stop that lets points expire: azure-cli's name for it; recorded proxies know it under the other one.
const SUSPENSION: &str = "protectedItems/write#suspendBackupsWithRetainData";

/// The guarded operation that a stop into that state is: the names it may have, the better one first.
pub(super) fn stop_into(state: &str) -> &'static [&'static str] {
    if state == defence::SUSPENDED { &[SUSPENSION, STOP] } else { &[STOP] }
}

/// Puts into a guarded call the references that the proxy names for its operation, under the first of these names that it
/// knows; where no guard is declared or seen it stays.
pub(super) fn guarded(request: &mut Request, vault: &ResourceId, facts: &Facts, operations: &[&str]) {
    let Some(body) = facts.resource(&proxy_id(vault)).into_present() else { return };
    let details = body.pointer("/properties/resourceGuardOperationDetails").and_then(Value::as_array);
    let of = |operation: &str| -> Vec<&str> {
        let named = |d: &&Value| text(d, "/vaultCriticalOperation").unwrap_or_default().to_ascii_lowercase();
        let details = details.into_iter().flatten().filter(|d| named(d).ends_with(&operation.to_ascii_lowercase()));
        details.filter_map(|detail| text(detail, "/defaultResourceRequest")).collect()
    };
    let Some(references) = operations.iter().map(|operation| of(operation)).find(|found| !found.is_empty()) else { return };
    if let Some(properties) = request.body.as_mut().and_then(|b| b.get_mut("properties")) {
        properties["resourceGuardOperationRequests"] = json!(references);
    }
}

/// The identity that the vault needs for its key, as a body of PUT or PATCH; what it has beside is kept.
pub(super) fn identity(encryption: &Encryption, body: Option<&Value>) -> Value {
    let has = body.and_then(|b| text(b, "/identity/type")).unwrap_or_default();
    let mut users =
        body.and_then(|b| b.pointer("/identity/userAssignedIdentities")).and_then(Value::as_object).cloned().unwrap_or_default();
    users.values_mut().for_each(|user| *user = json!({}));
    let system = reads_as_vault(encryption) || has.contains("SystemAssigned");
    if !reads_as_vault(encryption) && !users.keys().any(|id| id.eq_ignore_ascii_case(&encryption.identity)) {
        users.insert(encryption.identity.clone(), json!({}));
    }
    match (system, users.is_empty()) {
        (true, true) => json!({ "type": "SystemAssigned" }),
        (true, false) => json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": users }),
        (false, _) => json!({ "type": "UserAssigned", "userAssignedIdentities": users }),
    }
}

fn reads_as_vault(encryption: &Encryption) -> bool {
    is_system(&encryption.identity)
}

/// Whether a vault has an identity: its own, or the user-assigned one of that id.
pub(super) fn has_identity(identity: &str, body: &Value) -> bool {
    if is_system(identity) {
        return text(body, "/identity/type").is_some_and(|t| t.contains("SystemAssigned"));
    }
    let users = body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    users.is_some_and(|users| users.keys().any(|id| id.eq_ignore_ascii_case(identity)))
}

/// Whether the vault encrypts with the declared key; true where none is declared.
pub(super) fn stands(encryption: Option<&Encryption>, body: &Value) -> bool {
    let Some(wanted) = encryption else { return true };
    let key = text(body, "/properties/encryption/keyVaultProperties/keyUri").is_some_and(|uri| uri.eq_ignore_ascii_case(&wanted.key_uri));
    let same = |by: String| by.eq_ignore_ascii_case(&wanted.identity) || (is_system(&by) && is_system(&wanted.identity));
    key && reader(body).is_none_or(same)
}

/// Which identity reads the key, in the words of the spec, where Azure shows it.
fn reader(body: &Value) -> Option<String> {
    let by = body.pointer("/properties/encryption/kekIdentity")?;
    let own = by.get("useSystemAssignedIdentity").and_then(Value::as_bool) == Some(true);
    match by.get("userAssignedIdentity").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        Some(id) if !own => Some(id.to_owned()),
        _ => own.then(|| "SystemAssigned".to_owned()),
    }
}

/// Adds what the key and the guard want to a vault's graph.
pub(super) fn add(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts, hold: Option<&Hold>, graph: &mut Desired) {
    let tagged = || Ownership::Tagged { owner: s.owner() };
    let lock = || [format!("vault-config:{}", id.key())];
    let body = facts.resource(id).into_present().cloned();
    if let (Some(encryption), Some(body)) = (&s.spec.encryption, &body) {
        let change = (!has_identity(&encryption.identity, body)).then(|| {
            let request = Request::new(Method::Patch, id.as_str(), RECOVERY_SERVICES)
                .with_body(json!({ "identity": identity(encryption, Some(body)) }));
            let have = text(body, "/identity/type").unwrap_or("None").to_owned();
            Change { differences: vec![difference("encryption.identity", &have, &encryption.identity)], request }
        });
        let goal = Goal::Exists { create: None, change };
        graph.node("identity", Node::arm(id.clone(), goal, tagged()).after(&["vault"]).locking(lock()).held(hold.cloned()));
        let (change, answer) = key(s, id, facts, encryption, body);
        let (approved, asked) = (answer.as_ref().ok().cloned().flatten(), answer.err());
        let goal = Goal::Exists { create: None, change };
        let node = Node::arm(id.clone(), goal, tagged()).after(&["vault", "identity"]).locking(lock()).held(hold.cloned().or(asked));
        graph.node("encryption", node.approved(approved));
    }
    if let Some(guard) = &s.spec.resource_guard {
        let proxy = proxy_id(id);
        let put = json!({ "properties": { "resourceGuardResourceId": guard.id } });
        let create = Some(Request::new(Method::Put, proxy.as_str(), RECOVERY_SERVICES).with_body(put));
        let other = facts.resource(&proxy).into_present().and_then(|b| text(b, "/properties/resourceGuardResourceId"));
        let foreign = other.filter(|other| !other.eq_ignore_ascii_case(&guard.id)).map(|other| {
            let message = format!("{id} is guarded by {other}, not by spec.resourceGuard.id: a guard is never exchanged; set the field to it, or let its owners remove it");
            Hold::stuck(Reason::WouldWeaken, message)
        });
        let goal = Goal::Exists { create, change: None };
        let node = Node::arm(proxy, goal, tagged()).after(&["vault"]).locking(lock());
        graph.node("resource-guard", node.held(hold.cloned().or(foreign)));
    }
}

fn difference(field: &str, have: &str, want: &str) -> Difference {
    Difference { field: field.into(), have: have.into(), want: want.into() }
}

/// The PATCH that sets the key, and the answer that it waits for: platform keys never come back.
fn key(
    s: &Subject<RecoveryVault>,
    id: &ResourceId,
    facts: &Facts,
    encryption: &Encryption,
    body: &Value,
) -> (Option<Change>, Result<Option<Approved>, Hold>) {
    if stands(Some(encryption), body) {
        return (None, Ok(None));
    }
    let by = match reads_as_vault(encryption) {
        true => json!({ "useSystemAssignedIdentity": true }),
        false => json!({ "useSystemAssignedIdentity": false, "userAssignedIdentity": encryption.identity }),
    };
    let properties = json!({ "encryption": { "keyVaultProperties": { "keyUri": encryption.key_uri }, "kekIdentity": by } });
    let mut request = Request::new(Method::Patch, id.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    guarded(&mut request, id, facts, &["vaults/write#modifyEncryptionSettings"]);
    let have = text(body, "/properties/encryption/keyVaultProperties/keyUri").unwrap_or("platform keys").to_owned();
    let mut differences = vec![difference("encryption.keyUri", &have, &encryption.key_uri)];
    if have.eq_ignore_ascii_case(&encryption.key_uri) {
        differences = vec![difference("encryption.identity", &reader(body).unwrap_or_default(), &encryption.identity)];
    }
    let change = Change { differences, request };
    let stake = defence::at_stake(&change.request, Some(body), &|id| facts.resource(id).into_present().cloned());
    let answer = match stake {
        None => Ok(None),
        Some(stake) => {
            let asks = format!(
                "spec.encryption: {have} -> {} on {id} can never be taken back: whoever loses the key loses every backup. Shall it be done",
                encryption.key_uri
            );
            s.consent(Reason::OneWay, Question::to_approve("one-way-encryption", stake, 1, asks)).map(Some)
        }
    };
    (Some(change), answer)
}
