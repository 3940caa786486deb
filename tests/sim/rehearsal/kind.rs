//! A kind that only tests know. It needs what no shipped kind needs yet: an ask whose answer is filled into a request, a
//! tag that is lent, and a backup that happens once and counts only when it is ours. Further parts: `parts.rs`.

use std::collections::BTreeMap;

use breakwater_api::{BackupPolicy, Reason, RecoveryVault};
use breakwater_arm::{
    ResourceId,
    names::{self, VAULT},
    versions::{RECOVERY_SERVICES, RESOURCES},
    wire::{Method, Request},
};
use breakwater_plan::{
    facts::{Facts, Fresh, Need, ObjectRef},
    graph::{Acted, Counts, Desired, From, Goal, Hold, JobProof, Lent, Node, Ownership, Proof, Repeat},
    jobs::SeenJob,
    keys,
    kind::{Decided, Kind, Promise, Report, Subject},
    kinds::{PolicyView, VaultView, policy_id, text, unreadable, vault_id, vault_is_ours},
    planner::MOST_ATTEMPTS,
    sighting::Known,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::parts;

/// The name of the ask.
const ASK: &str = "whereabouts";

/// The node of the backup: request ids derive from it.
pub const BACKUP: &str = "backup";

/// The kind itself.
#[derive(Clone, Debug)]
pub struct Rehearsal;

/// What it declares; each part by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalSpec {
    /// The policy by name: it says which vault.
    pub policy: String,
    /// The machine whose item's name is asked for and becomes the vault's tag `answer`.
    pub answer_of: Option<ResourceId>,
    /// Until when the vault's tag `lent` says yes.
    pub lent_until: Option<Timestamp>,
    /// What is lent is given back by an operation that takes its time.
    #[serde(default)]
    pub slow_return: bool,
    /// The machine that is backed up once.
    pub back_up: Option<ResourceId>,
    /// Backs up every machine that the vault is seen to hold, each once.
    #[serde(default)]
    pub back_up_all: bool,
    /// Makes a choice, which becomes the vault's tag `chosen`.
    #[serde(default)]
    pub choose: bool,
    /// Sets the vault's tag `marked`, never twice; the tag itself proves it.
    #[serde(default)]
    pub mark: bool,
    /// Lets the vault look for machines; the operation's end proves it.
    #[serde(default)]
    pub refresh: bool,
    /// What is to be gone.
    pub remove: Option<ResourceId>,
}

/// What it was seen to have done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RehearsalStatus {
    /// The job of the backup, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The jobs of `backUpAll`, by machine, once they are over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<String, String>,
    /// When the vault was seen to have looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<Timestamp>,
    /// What was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<ResourceId>,
}

/// References resolved.
pub struct Place {
    pub vault: ResourceId,
    pub policy: ResourceId,
    pub owner: String,
}

impl Kind for Rehearsal {
    const NAME: &'static str = "Rehearsal";
    type Spec = RehearsalSpec;
    type Status = RehearsalStatus;
    const CLOSES: &'static [&'static str] = &["Microsoft.Resources/tags", "refreshContainers"];

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let mut needs = vec![Need::Object(policy_ref(s))];
        if let Some(policy) = known.object::<PolicyView>(&policy_ref(s)) {
            needs.push(Need::Object(vault_ref(&policy)));
        }
        let Some(p) = place(s, known) else { return needs };
        needs.push(Need::Read { id: p.vault.clone(), fresh: Fresh::Within(SignedDuration::from_mins(5)) });
        needs.extend(s.spec.answer_of.as_ref().map(ask));
        if s.spec.back_up.is_some() && s.status.job.is_none() {
            let since = s.meta.created - SignedDuration::from_hours(24);
            needs.push(Need::Jobs { vault: p.vault.clone(), since, fresh: Fresh::Within(SignedDuration::from_hours(1)) });
        }
        needs.extend(parts::needs(s, &p));
        needs
    }

    fn choose(s: &Subject<Self>, facts: &Facts) -> BTreeMap<String, String> {
        place(s, facts).map(|p| parts::choose(s, &p, facts)).unwrap_or_default()
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        let p = place(s, facts).ok_or_else(|| Hold::wait(Reason::ReferenceNotFound, "policy or vault is not there"))?;
        let Known::Present(_, vault) = facts.resource(&p.vault) else { return Err(unreadable(&p.vault, facts)) };
        let hold = vault_is_ours(&p.vault, facts, &s.estate, &p.owner, &s.writer);
        let tagged = || Ownership::Tagged { owner: p.owner.clone() };
        let mut graph = Desired::new();
        if s.spec.answer_of.is_some() {
            let waits = answer(facts).is_none().then(|| Hold::wait(Reason::NotYetObserved, "the answer is not there yet"));
            let node = Node::arm(p.vault.clone(), Goal::Acted(tell(&p, vault, facts)), tagged());
            graph.node("answer", node.held(hold.clone().or(waits)));
        }
        if let Some(until) = s.spec.lent_until {
            let after: &[&str] = if s.spec.answer_of.is_some() { &["answer"] } else { &[] };
            let node = Node::arm(p.vault.clone(), Goal::Lent(lend(s, &p, vault, until)), tagged());
            graph.node("lent", node.after(after).held(hold.clone()));
        }
        if let Some(machine) = &s.spec.back_up {
            let item = item(&p, machine)?;
            let ownership = Ownership::Item { vault: p.vault.clone(), owner: p.owner.clone(), policies: [p.policy.clone()].into() };
            let node = Node::arm(item.clone(), Goal::Acted(back_up(s, &p, machine, &item, facts)), ownership);
            graph.node(BACKUP, node.locking([format!("machine:{}", machine.key())]).held(hold.clone()));
        }
        parts::desire(s, &p, facts, hold.as_ref(), &mut graph)?;
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, _: Decided<'_>) -> Report {
        let job = s.status.job.clone().or_else(|| own_job_over(s, facts));
        let mut status = job.map(|job| ("job".to_owned(), json!(job))).into_iter().collect::<Map<String, Value>>();
        if let Some(p) = place(s, facts) {
            status.extend(parts::report(s, &p, facts));
        }
        let promise = Promise::kept(Reason::AsDeclared, "rehearsed");
        Report { status, promise, conditions: Vec::new(), owned: s.owned.clone(), next: None, remove_at: None }
    }
}

fn policy_ref(s: &Subject<Rehearsal>) -> ObjectRef {
    ObjectRef { kind: BackupPolicy::NAME, namespace: s.meta.namespace.clone(), name: s.spec.policy.clone() }
}

fn vault_ref(policy: &PolicyView) -> ObjectRef {
    ObjectRef { kind: RecoveryVault::NAME, namespace: policy.meta.namespace.clone(), name: policy.spec.vault_ref.name.clone() }
}

pub fn place(s: &Subject<Rehearsal>, facts: &Facts) -> Option<Place> {
    let policy = facts.object::<PolicyView>(&policy_ref(s))?;
    let vault = facts.object::<VaultView>(&vault_ref(&policy))?;
    let id = vault_id(&vault.meta, &vault.spec).ok()?;
    let owner = keys::owner_hash(&s.estate, &vault.meta.namespace, RecoveryVault::NAME, &vault.meta.name);
    Some(Place { policy: policy_id(&s.estate, &policy.meta, &policy.spec, &id).ok()?, vault: id, owner })
}

pub fn item(p: &Place, machine: &ResourceId) -> Result<ResourceId, Hold> {
    names::item_id(&p.vault, machine).map_err(|e| Hold::stuck(Reason::InvalidSpec, e.to_string()))
}

/// A POST that only reads (backup.md §8.1).
fn ask(machine: &ResourceId) -> Need {
    let path =
        format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus", machine.subscription_id());
    let body = json!({ "resourceType": "VM", "resourceId": machine });
    let request = Request::new(Method::Post, path, RECOVERY_SERVICES).with_body(body);
    Need::Ask { name: ASK.into(), request, fresh: Fresh::Within(SignedDuration::from_hours(1)) }
}

fn answer(facts: &Facts) -> Option<String> {
    let body = facts.answer(ASK)?.body.clone()?;
    text(&body, "/protectedItemName").map(str::to_owned)
}

/// A merge of tags: others stay (compute-and-arm.md E.8).
pub fn retag(p: &Place, name: &str, value: &str) -> Request {
    let body = json!({ "operation": "Merge", "properties": { "tags": { name: value } } });
    Request::new(Method::Patch, format!("{}/providers/Microsoft.Resources/tags/default", p.vault), RESOURCES).with_body(body)
}

/// The answer becomes a tag; only the request that leaves ever holds it.
fn tell(p: &Place, vault: &Value, facts: &Facts) -> Acted {
    Acted {
        request: retag(p, "answer", ""),
        proof: Proof::Field,
        repeat: Repeat::Safe,
        key: keys::hash(&["answer", &p.vault.key()])[..32].to_owned(),
        done: answer(facts).is_some_and(|answer| text(vault, "/tags/answer") == Some(&answer)),
        from: vec![From { into: "/properties/tags/answer".into(), ask: ASK.into(), pointer: "/protectedItemName".into() }],
    }
}

fn lend(s: &Subject<Rehearsal>, p: &Place, vault: &Value, until: Timestamp) -> Lent {
    Lent {
        open: retag(p, "lent", "yes"),
        close: if s.spec.slow_return { parts::look_for_machines(p) } else { retag(p, "lent", "no") },
        until,
        is_open: text(vault, "/tags/lent") == Some("yes"),
        key: keys::hash(&["lent", &p.vault.key(), &until.to_string()])[..32].to_owned(),
        handed: None,
    }
}

/// The once-key: who wants it of which machine in which vault. The uid is no part of it, so that a rebuilt cluster finds it.
pub fn once_key(namespace: &str, name: &str, vault: &ResourceId, machine: &ResourceId) -> String {
    debug_assert_eq!(vault.resource_type(), *VAULT);
    keys::hash(&["backup", namespace, name, &vault.key(), &machine.key()])[..32].to_owned()
}

/// A backup of a machine that counts only when it is ours.
pub fn once(s: &Subject<Rehearsal>, p: &Place, machine: &ResourceId, item: &ResourceId, done: bool) -> Acted {
    let body = json!({ "properties": { "objectType": "IaasVMBackupRequest" } });
    Acted {
        request: Request::new(Method::Post, format!("{item}/backup"), RECOVERY_SERVICES).with_body(body),
        proof: Proof::Job(JobProof {
            vault: p.vault.clone(),
            operation: "Backup".into(),
            container: names::container_name(machine).trim_start_matches("IaasVMContainer;").to_owned(),
            counts: Counts::Ours,
        }),
        repeat: Repeat::Once,
        key: once_key(&s.meta.namespace, &s.meta.name, &p.vault, machine),
        done,
        from: Vec::new(),
    }
}

fn back_up(s: &Subject<Rehearsal>, p: &Place, machine: &ResourceId, item: &ResourceId, facts: &Facts) -> Acted {
    once(s, p, machine, item, s.status.job.is_some() || own_job_over(s, facts).is_some())
}

fn own_job_over(s: &Subject<Rehearsal>, facts: &Facts) -> Option<String> {
    let (p, machine) = (place(s, facts)?, s.spec.back_up.as_ref()?);
    job_over(s, &p, machine, BACKUP, facts)
}

/// The job that carries one of a node's request ids, when it is over.
pub fn job_over(s: &Subject<Rehearsal>, p: &Place, machine: &ResourceId, node: &str, facts: &Facts) -> Option<String> {
    let key = once_key(&s.meta.namespace, &s.meta.name, &p.vault, machine);
    let ids: Vec<String> = (1..=MOST_ATTEMPTS).map(|n| keys::request_id(&s.estate, &key, node, n).to_string()).collect();
    let jobs = SeenJob::all(facts.jobs.get(&p.vault)?.last.as_ref()?);
    jobs.into_iter().find(|j| j.over && ids.iter().any(|id| j.activity.eq_ignore_ascii_case(id))).map(|j| j.name)
}
