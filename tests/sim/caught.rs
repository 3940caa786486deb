//! Promises that some planted bug (`cargo dev planted`) broke and no other test noticed.

use std::{collections::BTreeMap, sync::PoisonError};

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_engine::Engine;
use breakwater_plan::{
    facts::{Facts, Need},
    graph::{Desired, Hold},
    kind::{Decided, Kind, Promise, Report, Subject},
};
use breakwater_tests::sim::{Options, Simulation, Truth, shipped};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    main_job::protected,
    manifests::SMALL,
    people::{key, member},
};

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DENIED: Fault =
    Fault::Status { status: 403, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };

fn machine(name: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/{name}")
}

fn vault() -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu")
}

fn members(sim: &Simulation) -> Vec<String> {
    sim.cluster.live_all("ProtectedMachine").iter().filter_map(|o| o.metadata.name.clone()).collect()
}

fn fault(sim: &Simulation, rule: Rule) {
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
}

fn both_have_points(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count() == 2
}

/// How often such a request reached Azure, whatever came of it.
fn asked(sim: &Simulation, method: &str, end: &str) -> usize {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    azure.journal().entries().iter().filter(|e| e.method == method && e.path.to_lowercase().ends_with(&end.to_lowercase())).count()
}

/// Something that stands open for days, under that lock.
fn lent(sim: &Simulation, node: &str, lock: &str) -> Value {
    let debt = json!({ "method": "PATCH", "path": format!("{}/providers/Microsoft.Resources/tags/default", vault()),
        "apiVersion": "2022-09-01", "until": sim.now() + HOUR * 48, "access": "shop" });
    json!({ "node": node, "verb": "patch", "method": "PATCH", "target": format!("{}/providers/Microsoft.Resources/tags/default", vault()),
        "act": "Protect", "intentAt": sim.now(), "attempt": 1, "key": node, "clientRequestId": format!("6f1c1a3e-0000-5000-8000-0000000000{:>02}", node.len()),
        "endedAt": sim.now(), "outcome": "Succeeded", "locks": [lock], "debt": debt })
}

#[test]
fn a_right_that_is_withdrawn_in_the_middle_is_no_empty_world() {
    let mut sim = protected();
    sim.run_for(HOUR);
    let told = |sim: &Simulation| {
        let machines: BTreeMap<String, Value> =
            members(sim).into_iter().map(|name| (name.clone(), sim.status("ProtectedMachine", &name)["protection"].clone())).collect();
        let policy = sim.status("BackupPolicy", "daily");
        (machines, ["matched", "protected", "failing", "excluded"].map(|field| policy[field].clone()))
    };
    let (before, writes) = (told(&sim), sim.arm.writes());
    assert_eq!(before.1[0], 2, "{}", sim.tell());
    for path in ["*/resources", "*/virtualMachines*", "*/backupProtectedItems"] {
        fault(&sim, Rule { id: path.into(), matches: Match { path: Some(path.into()), ..Match::default() }, fault: DENIED });
    }
    sim.run_for(HOUR * 4);
    assert_eq!(told(&sim), before, "what was seen stands: {}", sim.tell());
    for name in members(&sim) {
        let reason = sim.condition("ProtectedMachine", &name, "Ready").1;
        assert!(!["MachineNotFound", "Missing"].contains(&reason.as_str()), "{name}: {reason}");
    }
    assert_eq!(sim.arm.writes(), writes, "{}", sim.tell());
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().clear();
    sim.run_for(HOUR);
    assert!(sim.is_ready("ProtectedMachine", &member(&sim, "web-1")) && told(&sim) == before, "{}", sim.tell());
}

#[test]
fn machines_on_a_later_page_are_protected_too() {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/paged.yaml", ..Options::default() });
    sim.apply(SMALL);
    sim.run_until("both are backed up", HOUR * 8, |sim| both_have_points(sim));
    assert_eq!(sim.status("BackupPolicy", "daily")["coverage"]["machines"], 4, "{}", sim.tell());
}

#[test]
fn what_is_on_a_later_page_counts() {
    let mut sim = Simulation::new(Options::default());
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).recovery_mut().settings_mut().page_size = 1;
    fault(&sim, Rule::once("lost", "POST", "*/backup", Fault::DropAfterApply));
    sim.apply(SMALL);
    sim.run_until("both are backed up", HOUR * 8, |sim| both_have_points(sim));
    assert_eq!(asked(&sim, "POST", "/backup"), 2, "{}", sim.tell());
}

#[test]
fn an_answer_that_is_lost_in_whatever_way_starts_no_second_backup() {
    let status =
        |status| Fault::Status { status, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::AfterApply };
    for lost in [Fault::DropAfterApply, Fault::CutBody, Fault::MalformedBody, status(500), status(503), status(504), status(408)] {
        let mut sim = Simulation::new(Options::default());
        fault(&sim, Rule::once("lost", "POST", "*/backup", lost.clone()));
        sim.apply(SMALL);
        sim.run_until(&format!("{lost:?}"), HOUR * 8, |sim| both_have_points(sim));
        assert_eq!(asked(&sim, "POST", "/backup"), 2, "{lost:?}: {}", sim.tell());
    }
}

#[test]
fn at_the_bound_of_open_operations_nothing_is_started_and_nothing_is_dropped() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    let open: Vec<Value> = (1..=16).map(|n| lent(&sim, &"n".repeat(n), "")).collect();
    sim.cluster.user().patch_status(&key("RecoveryVault", "main"), &json!({ "operations": open })).expect("somebody meddles");
    sim.run_for(HOUR);
    assert_eq!(sim.status("RecoveryVault", "main")["operations"].as_array().map(Vec::len), Some(16), "{}", sim.tell());
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").1, "AtBound", "{}", sim.tell());
    assert_eq!(sim.arm.writes(), 0, "{}", sim.tell());
}

#[test]
fn a_machine_that_another_operation_holds_waits_for_it_also_after_a_restart() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    let other = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "ProtectedMachine", "metadata": { "name": "other", "namespace": "shop" },
        "spec": { "policyRef": { "name": "none" }, "machineId": machine("off-1") } });
    sim.cluster.user().apply_object(&other).expect("the API server takes it");
    let record = lent(&sim, "held", &format!("machine:{}", machine("web-1").to_lowercase()));
    sim.cluster.user().patch_status(&key("ProtectedMachine", "other"), &json!({ "operations": [record] })).expect("somebody meddles");
    sim.die("and another process finds the record");
    sim.run_for(HOUR * 3);
    let (web, win) = (member(&sim, "web-1"), member(&sim, "win-1"));
    assert_eq!(sim.condition("ProtectedMachine", &web, "Ready").1, "Busy", "{}", sim.tell());
    assert_eq!((asked(&sim, "PUT", ";web-1"), asked(&sim, "PUT", ";win-1")), (0, 1), "{}", sim.tell());
    assert!(sim.status("ProtectedMachine", &win)["recoveryPoints"].is_object(), "{}", sim.tell());
}

#[test]
fn of_two_objects_that_mean_one_machine_one_has_it() {
    let mut sim = protected();
    let twin = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "ProtectedMachine", "metadata": { "name": "twin", "namespace": "shop" },
        "spec": { "policyRef": { "name": "daily" }, "machineId": machine("web-1").to_uppercase().replace("/SUBSCRIPTIONS/", "/subscriptions/") } });
    sim.cluster.user().apply_object(&twin).expect("the API server takes it");
    sim.run_for(HOUR);
    let (ready, reason, message) = sim.condition("ProtectedMachine", "twin", "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Conflict"), "{message}");
    let web = member(&sim, "web-1");
    assert!(sim.is_ready("ProtectedMachine", &web) && !message.contains(&web), "{message}");
}

#[test]
fn without_the_lease_nothing_is_written_anywhere() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    sim.run_for(SignedDuration::from_mins(5));
    assert!(sim.arm.writes() > 0 && !both_have_points(&sim), "in the middle of things: {}", sim.tell());
    sim.leadership.lose();
    let before = (sim.arm.writes(), sim.cluster.writes(), sim.requests().len());
    sim.run_for(HOUR * 2);
    assert_eq!((sim.arm.writes(), sim.cluster.writes()), (before.0, before.1), "{}", sim.tell());
    sim.leadership.gain();
    sim.run_until("it goes on", HOUR * 6, |sim| both_have_points(sim));
}

#[test]
fn a_machine_where_only_reading_is_granted_is_not_protected() {
    let grant = "acts: [Read, Protect, Backup] }";
    let more =
        format!("{grant}\n    - {{ subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-other], acts: [Read] }}");
    let manifest = SMALL.replace(grant, &more).replace("resourceGroups: [rg-shop]\n", "resourceGroups: [rg-shop, rg-other]\n");
    let mut sim = Simulation::new(Options::default());
    sim.apply(&manifest);
    sim.run_until("the others are protected", HOUR * 8, |sim| both_have_points(sim));
    let (ready, reason, message) = sim.condition("ProtectedMachine", &member(&sim, "alien-1"), "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "AccessDenied"), "{message}");
    assert!(message.contains("Protect") && message.contains("alien-1") && message.contains("spec.allow"), "{message}");
    assert_eq!(asked(&sim, "PUT", ";alien-1"), 0);
}

#[test]
fn a_namespace_that_its_access_admits_no_more_is_left_alone() {
    let mut sim = protected();
    sim.run_for(HOUR);
    let elsewhere = json!({ "spec": { "namespaces": { "names": ["elsewhere"] } } });
    sim.cluster.user().patch(&key("AzureAccess", "shop"), &elsewhere).expect("it is there");
    sim.run_for(SignedDuration::from_mins(1));
    let from = sim.requests().len();
    sim.run_for(HOUR * 2);
    let of_access = |line: &&String| line.contains(&format!("GET {SUBSCRIPTION} "));
    let others: Vec<String> = sim.requests().into_iter().skip(from).filter(|line| !of_access(&line)).collect();
    assert_eq!(others, Vec::<String>::new());
    for (kind, name) in
        [("RecoveryVault", "main".to_owned()), ("BackupPolicy", "daily".to_owned()), ("ProtectedMachine", member(&sim, "web-1"))]
    {
        assert_eq!(sim.condition(kind, &name, "Ready").1, "AccessLost", "{kind}: {}", sim.tell());
    }
}

#[test]
fn a_policy_that_is_edited_to_keep_points_shorter_stays_as_it_is_in_azure() {
    let mut sim = protected();
    sim.apply(&SMALL.replace("keep: 30d", "keep: 7d"));
    sim.run_for(HOUR);
    let (ready, reason, message) = sim.condition("BackupPolicy", "daily", "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "WouldExpirePoints"), "{message}");
    let truth = Truth::read(&mut sim.azure.lock().unwrap_or_else(PoisonError::into_inner));
    let policies = &truth.vaults[&vault().to_lowercase()].policies;
    let ours = policies.iter().find(|(id, _)| id.contains("/bw-")).expect("it was made").1;
    assert_eq!(ours.pointer("/properties/retentionPolicy/dailySchedule/retentionDuration/count"), Some(&json!(30)));
}

/// A kind that wants nothing.
struct Stone;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Nothing {}

impl Kind for Stone {
    const NAME: &'static str = "Stone";
    type Spec = Nothing;
    type Status = Nothing;

    fn needs(_: &Subject<Self>, _: &Facts) -> Vec<Need> {
        Vec::new()
    }

    fn desire(_: &Subject<Self>, _: &Facts) -> Result<Desired, Hold> {
        Ok(Desired::new())
    }

    fn report(s: &Subject<Self>, _: &Facts, _: Decided<'_>) -> Report {
        let promise = Promise::kept(breakwater_api::Reason::AsDeclared, "it lies there");
        Report { status: Map::new(), promise, conditions: Vec::new(), owned: s.owned.clone(), next: None, remove_at: None }
    }
}

fn with_stones(engine: &mut Engine) {
    shipped(engine);
    engine.register::<Stone>();
}

#[test]
fn a_status_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let mut sim = Simulation::new(Options { register: with_stones, ..Options::default() });
    sim.apply(SMALL);
    let stone =
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Stone", "metadata": { "name": "one", "namespace": "shop" }, "spec": {} });
    sim.cluster.user().apply_object(&stone).expect("a kind without a definition is taken as it is");
    let mut record = lent(&sim, "held", "");
    record["attempt"] = json!("the first");
    sim.cluster.user().patch_status(&key("Stone", "one"), &json!({ "operations": [record] })).expect("an older schema had it so");
    sim.run_for(HOUR * 3);
    assert_eq!(sim.status("Stone", "one")["operations"], json!([record]), "{}", sim.tell());
    let (ready, reason, message) = sim.condition("Stone", "one", "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "InvalidSpec"), "{message}");
    assert!(message.contains("status cannot be read"), "{message}");
}
