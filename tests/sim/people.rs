//! What people do in the runs: they declare, are asked and answer, and look at what was sent.

use std::collections::BTreeMap;

use azure_sim::wire::{Caller, WireRequest};
use breakwater_engine::ports::ObjectKey;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::manifests::SMALL;

/// The end of the ids of the operator's account, and of a person's.
pub const OPERATOR: &str = "000000000001";
pub const PERSON: &str = "000000000002";

/// An object of the shop.
pub fn key(kind: &str, name: &str) -> ObjectKey {
    let namespace = if kind == "AzureAccess" { "" } else { "shop" };
    ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

/// The manifest of the small estate with the act Delete granted, its vault of that immutability.
pub fn granted(immutability: &str) -> String {
    SMALL
        .replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete]")
        .replace("immutability: Unlocked", &format!("immutability: {immutability}"))
}

/// A manifest whose vault declares this as well, in YAML.
pub fn vault_with(manifest: &str, field: &str) -> String {
    manifest.replace("  tags: { cost-center: shop }", &format!("  tags: {{ cost-center: shop }}\n  {field}"))
}

/// A manifest whose policy declares this as well.
pub fn policy_with(manifest: &str, field: &str) -> String {
    manifest.replace("firstBackup: Now", &format!("firstBackup: Now\n  {field}"))
}

/// A world with that estate in which as many machines have a point of their first backup, nothing is open, and the rule of
/// who may answer is in force.
pub fn protected_in(estate: &'static str, manifest: &str, machines: usize) -> Simulation {
    let mut sim = Simulation::new(Options { estate, ..Options::default() });
    sim.apply_the_rule();
    sim.apply(manifest);
    sim.run_until("machines with points", SignedDuration::from_hours(6), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
        points == machines && is_free(sim)
    });
    sim
}

/// The small estate, protected.
pub fn protected(manifest: &str) -> Simulation {
    protected_in(Options::default().estate, manifest, 2)
}

/// Whether no operation is open.
pub fn is_free(sim: &Simulation) -> bool {
    let open = |kind: &str| sim.cluster.live_all(kind).iter().any(|o| o.data.pointer("/status/operations").is_some());
    !["RecoveryVault", "BackupPolicy", "ProtectedMachine", "BackupRun", "RestoreRun"].into_iter().any(open)
}

/// The object of the machine with that name.
pub fn member(sim: &Simulation, machine: &str) -> String {
    let all = sim.cluster.live_all("ProtectedMachine");
    let found = all.iter().filter_map(|o| o.metadata.name.clone()).find(|name| name.starts_with(&format!("{machine}-")));
    found.unwrap_or_else(|| panic!("no member {machine}: {}", sim.tell()))
}

/// Changes fields of an object's spec.
pub fn edit(sim: &Simulation, kind: &str, name: &str, spec: Value) {
    sim.cluster.user().patch(&key(kind, name), &json!({ "spec": spec })).expect("the API server takes it");
}

/// Declares whether a machine is to be protected.
pub fn wants(sim: &Simulation, machine: &str, protection: &str) {
    edit(sim, "ProtectedMachine", machine, json!({ "protection": protection }));
}

/// Every write that reached Azure since so many requests.
pub fn sent(sim: &Simulation, since: usize) -> Vec<String> {
    let questions = ["/backupstatus", "/backuptriggervalidateoperation", "/accesstoken", "/backupcrrjob"];
    let is_write = |line: &&String| !line.contains(" GET ") && !questions.iter().any(|q| line.to_ascii_lowercase().contains(q));
    sim.requests().iter().skip(since).filter(is_write).cloned().collect()
}

/// The question with that id, where the object asks it now.
pub fn question(sim: &Simulation, kind: &str, name: &str, id: &str) -> Option<Value> {
    let status = sim.status(kind, name);
    status["questions"].as_array().into_iter().flatten().find(|q| q["id"] == id).cloned()
}

/// Runs until the object asks; the question.
pub fn asked(sim: &mut Simulation, kind: &str, name: &str, id: &str) -> Value {
    sim.run_until(&format!("{kind} {name} asks {id}"), SignedDuration::from_hours(2), |sim| question(sim, kind, name, id).is_some());
    question(sim, kind, name, id).expect("it asks")
}

/// The Approval that a person makes of a question; it stands for four hours.
pub fn approval(sim: &Simulation, at: (&str, &str), question: &Value, answer: &str) -> Value {
    let (kind, name) = at;
    let uid = sim.cluster.live(&key(kind, name)).and_then(|o| o.metadata.uid.clone()).expect("the object");
    let id = question["id"].as_str().expect("a question has an id");
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Approval", "metadata": { "name": format!("{name}-{id}"), "namespace": "shop" },
        "spec": { "targetRef": { "kind": kind, "name": name }, "targetUid": uid, "question": id, "digest": question["digest"],
            "answer": answer, "approvedBy": "ann@example.com", "expiresAt": sim.now() + SignedDuration::from_hours(4) } })
}

/// Makes that Approval.
pub fn answer(sim: &Simulation, at: (&str, &str), question: &Value, answer: &str) {
    sim.cluster.user().apply_object(&approval(sim, at, question, answer)).expect("the API server takes it");
}

/// Waits for a question, and approves.
pub fn approve(sim: &mut Simulation, kind: &str, name: &str, id: &str) {
    let asks = asked(sim, kind, name, id);
    answer(sim, (kind, name), &asks, "approve");
}

/// A request by hand, as somebody with an account: status and body.
pub fn by_hand(sim: &Simulation, who: &str, method: &str, path: &str, api_version: &str, body: Value) -> (u16, Value) {
    let caller = Caller {
        object_id: format!("0b1ec700-0000-4000-8000-{who}"),
        client_id: format!("c11e0000-0000-4000-8000-{who}"),
        tenant_id: "72f988bf-0000-4000-8000-00000000000a".into(),
    };
    let request = WireRequest {
        method: method.into(),
        url: format!("{}?api-version={api_version}", path.replace(';', "%3B")),
        headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        origin: "https://management.azure.com".into(),
    };
    let reply = sim.azure.lock().expect("no thread died").handle_as(sim.now(), caller, request);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// Another cluster takes the vault over after that time.
pub fn taken_over(sim: &mut Simulation, manifest: &str, after: SignedDuration) {
    sim.lose_cluster("cluster-two");
    sim.run_for(after);
    sim.apply_the_rule();
    sim.apply(manifest);
    approve(sim, "RecoveryVault", "main", "takeover");
    sim.run_until("its machine", SignedDuration::from_hours(2), |sim| !sim.cluster.live_all("ProtectedMachine").is_empty());
}
