//! A small estate: one vault, one policy, one machine, and what is known of them.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{BackupPolicy, ConditionType, ProtectedMachine, RecoveryVault};
use breakwater_arm::ResourceId;
use breakwater_plan::{
    defence::{TAG_ESTATE, TAG_OWNER, TAG_WRITER},
    facts::{Facts, List, ObjectRef},
    graph::Desired,
    keys,
    kind::{Allowed, Grant, Kind, Meta, Report, Said, Subject, View},
    kinds::{items_of, machines_of, policy_id},
    planner::{Bounds, Plan, Step, Verdict, World, plan},
    policy,
    questions::{Answers, Asker, Given, Question},
    sighting::{How, Listed, Listing, Packed, Seen, Sighting},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const SUB: &str = "50b50000-0000-4000-8000-000000000001";

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn id(group: &str, rest: &str) -> ResourceId {
    format!("/subscriptions/{SUB}/resourceGroups/{group}/providers/{rest}").parse().unwrap()
}

pub fn vault() -> ResourceId {
    id("rg-backup", "Microsoft.RecoveryServices/vaults/main")
}

pub fn config() -> ResourceId {
    vault().child("backupconfig", "vaultconfig").unwrap()
}

pub fn machine() -> ResourceId {
    id("rg-shop", "Microsoft.Compute/virtualMachines/db1")
}

pub fn meta(name: &str) -> Meta {
    Meta {
        name: name.into(),
        namespace: "shop".into(),
        uid: "uid".into(),
        generation: 1,
        created: now(),
        deleting: false,
        controlled: false,
        named: false,
    }
}

pub fn subject<K: Kind>(name: &str, spec: Value, status: Value) -> Subject<K> {
    let grant = Grant {
        name: "shop".into(),
        uid: "a".into(),
        allow: vec![Allowed {
            subscription_id: SUB.into(),
            resource_groups: vec!["rg-shop".into(), "rg-backup".into()],
            acts: vec!["Read".into()],
        }],
    };
    Subject {
        region: None,
        meta: meta(name),
        spec: serde_json::from_value(spec).unwrap(),
        status: serde_json::from_value(status).unwrap(),
        operations: BTreeMap::new(),
        finished: BTreeMap::new(),
        owned: Vec::new(),
        choices: BTreeMap::new(),
        now: now(),
        estate: "acme".into(),
        writer: "w1".into(),
        access: Some(Arc::new(grant)),
        answers: Arc::default(),
    }
}

pub fn owned(id: &ResourceId) -> breakwater_api::status::Owned {
    breakwater_api::status::Owned { id: id.to_string(), name: None, since: now() }
}

/// `whole` with the fields of `more` in place of its own.
pub fn with(mut whole: Value, more: Value) -> Value {
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

pub fn vault_spec(more: Value) -> Value {
    with(json!({ "subscriptionId": SUB, "resourceGroup": "rg-backup", "location": "westeurope" }), more)
}

pub fn policy_spec(more: Value) -> Value {
    let selector = json!({ "subscriptionId": SUB, "tags": { "all": { "app": ["shop"] } } });
    let spec = json!({ "vaultRef": { "name": "main" }, "schedule": { "daily": { "at": "02:00" } },
        "retention": { "daily": { "keep": "30d" } }, "machines": [{ "selector": selector }] });
    with(spec, more)
}

pub fn machine_spec(more: Value) -> Value {
    with(json!({ "policyRef": { "name": "daily" }, "machineId": machine() }), more)
}

pub fn tags() -> Value {
    let owner = keys::owner_hash("acme", "shop", RecoveryVault::NAME, "main");
    json!({ TAG_ESTATE: "acme", TAG_OWNER: owner, TAG_WRITER: "w1" })
}

/// The vault as Azure shows it, ours, locally redundant, soft delete on.
pub fn vault_body(properties: Value) -> Value {
    let all = json!({ "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
        "redundancySettings": { "standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Disabled" },
        "securitySettings": { "immutabilitySettings": { "state": "Unlocked" } } });
    json!({ "id": vault(), "location": "westeurope", "tags": tags(), "properties": with(all, properties) })
}

pub fn config_body(state: &str, days: i64) -> Value {
    json!({ "properties": { "enhancedSecurityState": "Enabled", "softDeleteFeatureState": state, "softDeleteRetentionPeriodInDays": days } })
}

pub fn see(facts: &mut Facts, id: &ResourceId, what: Option<Value>) {
    let read = Some(Sighting { at: now(), how: How::Read, what: what.map(Arc::new) });
    facts.seen.insert(id.clone(), Seen { listed: None, read, trouble: None });
}

pub fn list(facts: &mut Facts, list: List, items: &[(ResourceId, Value)]) {
    let items = items.iter().map(|(id, body)| (id.clone(), Packed::of(body))).collect();
    facts.lists.insert(list, Listed { last: Some(Listing { at: now(), items: Arc::new(items) }), trouble: None });
}

fn view<K: Kind>(name: &str, spec: Value, status: Value) -> View<K> {
    let s = subject::<K>(name, spec, status);
    View { meta: s.meta, spec: s.spec, status: s.status }
}

fn put_object<K: Kind>(facts: &mut Facts, view: View<K>)
where
    K::Spec: 'static,
{
    let at = ObjectRef { kind: K::NAME, namespace: "shop".into(), name: view.meta.name.clone() };
    let view: Arc<View<K>> = Arc::new(view);
    facts.objects.insert(at, Some(view.clone()));
    facts.collections.entry((K::NAME, "shop".into())).or_default().push(view);
}

pub fn daily() -> ResourceId {
    policy_id("acme", &meta("daily"), &serde_json::from_value(policy_spec(json!({}))).unwrap(), &vault()).unwrap()
}

/// The policy in Azure as this spec would make it, with so many items.
pub fn policy_body(spec: Value, items: i64) -> Value {
    let mut body = policy::to_azure(&serde_json::from_value(spec).unwrap()).unwrap();
    body["properties"]["protectedItemsCount"] = items.into();
    body
}

/// What stands: the vault in Azure and its object, with the listings whole.
pub fn standing_vault() -> Facts {
    let mut facts = Facts::default();
    see(&mut facts, &vault(), Some(vault_body(json!({}))));
    list(&mut facts, items_of(&vault()), &[]);
    list(&mut facts, machines_of(SUB), &[]);
    put_object(&mut facts, view::<RecoveryVault>("main", vault_spec(json!({})), json!({ "vault": { "id": vault() } })));
    facts
}

/// The same, and the policy in Azure and its object.
pub fn standing_policy(more: Value) -> Facts {
    let mut facts = standing_vault();
    let spec = policy_spec(more);
    see(&mut facts, &daily(), Some(policy_body(spec.clone(), 1)));
    put_object(&mut facts, view::<BackupPolicy>("daily", spec, json!({ "policyId": daily() })));
    facts
}

pub fn add_policy(facts: &mut Facts, name: &str, more: Value) {
    put_object(facts, view::<BackupPolicy>(name, policy_spec(more), json!({})));
}

pub fn add_member(facts: &mut Facts, name: &str, policy: &str, status: Value) {
    put_object(facts, view::<ProtectedMachine>(name, machine_spec(json!({ "policyRef": { "name": policy } })), status));
}

pub fn decide(desired: &Desired, facts: &Facts) -> Plan {
    let (operations, polls) = (BTreeMap::new(), BTreeMap::new());
    let world = World {
        now: now(),
        fresh_since: now(),
        seen: &facts.seen,
        jobs: &facts.jobs,
        jobs_reach: &facts.jobs_reach,
        operations: &operations,
        polls: &polls,
        estate: "acme",
        asker: &Asker { uid: "uid".into(), generation: 1 },
        answers: &Answers::default(),
        acted: &BTreeMap::new(),
        choices: &BTreeMap::new(),
        azure_behind: SignedDuration::ZERO,
    };
    plan(desired, &world, &Bounds::for_factor(1.0))
}

pub fn planned<K: Kind>(s: &Subject<K>, facts: &Facts) -> Plan {
    decide(&K::desire(s, facts).unwrap_or_else(|hold| panic!("{hold:?}")), facts)
}

pub fn reported<K: Kind>(s: &Subject<K>, facts: &Facts) -> Report {
    match K::desire(s, facts) {
        Ok(desired) => K::report(s, facts, Ok(&decide(&desired, facts))),
        Err(hold) => K::report(s, facts, Err(&hold)),
    }
}

pub fn said(report: &Report, about: ConditionType) -> Said {
    report.conditions.iter().find(|c| c.about == about).unwrap_or_else(|| panic!("{about:?} is not told: {report:?}")).clone()
}

/// The subject with an answer to each of the questions that it asks: `approve`.
pub fn answered<K: Kind>(mut s: Subject<K>, facts: &Facts) -> Subject<K> {
    let asked: Vec<Question> = planned(&s, facts)
        .verdicts
        .values()
        .filter_map(|v| if let Verdict::Stuck { question, .. } = v { question.clone() } else { None })
        .map(|q| *q)
        .collect();
    let given = asked.iter().map(|q| Given {
        approval: q.id.clone(),
        name: q.id.clone(),
        question: q.id.clone(),
        digest: q.digest(&s.asker()),
        answer: "approve".into(),
        by: "ann".into(),
        expires: now() + jiff::SignedDuration::from_hours(1),
    });
    s.answers = Arc::new(Answers { given: given.collect(), not_in_force: None });
    s
}

/// `done`, `PUT`, `stuck: WouldWeaken`, ...
pub fn told(plan: &Plan, node: &str) -> String {
    match &plan.verdicts[node] {
        Verdict::Done => "done".into(),
        Verdict::Do(Step::Write(write)) => write.request.method.to_string(),
        Verdict::Do(Step::Create) => "create".into(),
        Verdict::Do(step) => format!("{step:?}").split([' ', '(']).next().unwrap().to_owned(),
        Verdict::Wait { reason, .. } => format!("wait: {reason}"),
        Verdict::Stuck { reason, .. } => format!("stuck: {reason}"),
    }
}

pub fn body(plan: &Plan, node: &str) -> Value {
    match &plan.verdicts[node] {
        Verdict::Do(Step::Write(write)) => write.request.body.clone().unwrap(),
        other => panic!("{node} is not written: {other:?}"),
    }
}

pub fn message(plan: &Plan) -> String {
    plan.stuck().map(|s| s.1.to_owned()).unwrap_or_default()
}
