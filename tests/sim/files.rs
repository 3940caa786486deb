//! Files of a recovery point: a script and its password in a Secret, for a while, and a debt from the intent on.

use std::sync::PoisonError;

use azure_sim::{
    faults::{Fault, Match, Rule, Shape, When},
    recovery::{CANARY_PASSWORD, CANARY_SCRIPT},
};
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Verb,
    },
    sim::{ArmFault, Simulation},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    people::{PERSON, by_hand, edit, is_free, key, member, sent},
    restores::{phase, ready, until},
};

const STAGE: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.Storage/storageAccounts/stage";
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A run that mounts the machine's youngest point for so long, by the Secret `files`.
pub fn run(sim: &Simulation, name: &str, mount_for: &str) -> Value {
    let machine = member(sim, "web-1");
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "from": { "recoveryPoint": { "protectedMachineRef": { "name": machine }, "point": { "latest": {} } } },
            "to": { "files": { "mountFor": mount_for, "secretName": "files" } } } })
}

fn declare(sim: &Simulation, name: &str, mount_for: &str) {
    sim.cluster.user().apply_object(&run(sim, name, mount_for)).expect("the API server takes it");
}

/// The id of the youngest point.
fn point(sim: &Simulation) -> String {
    let status = sim.status("ProtectedMachine", &member(sim, "web-1"));
    let (item, list) = (status["itemId"].as_str().expect("an item"), format!("{}/recoveryPoints", status["itemId"].as_str().unwrap_or("")));
    let (_, points) = by_hand(sim, PERSON, "GET", &list, "2025-02-01", Value::Null);
    let name = points["value"][0]["name"].as_str().expect("a point");
    format!("{item}/recoveryPoints/{name}")
}

/// Whether Azure shows the point as mounted.
pub fn is_mounted(sim: &Simulation) -> bool {
    let (_, body) = by_hand(sim, PERSON, "GET", &point(sim), "2025-02-01", Value::Null);
    body["properties"]["isInstantIlrSessionActive"] == true
}

fn secret(sim: &Simulation) -> Option<Value> {
    sim.cluster.live(&key("Secret", "files")).map(|object| serde_json::to_value(&*object).expect("an object is JSON"))
}

/// A world in which the files are mounted.
pub fn mounted(mount_for: &str) -> Simulation {
    let mut sim = ready();
    declare(&sim, "one", mount_for);
    sim.run_until("it is mounted", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
    assert!(is_mounted(&sim) && secret(&sim).is_some(), "{}", sim.tell());
    sim
}

pub fn closed(sim: &Simulation) -> bool {
    secret(sim).is_none() && !is_mounted(sim)
}

fn posts(sim: &Simulation, word: &str) -> usize {
    sim.requests().iter().filter(|line| line.contains(" POST ") && line.contains(word) && line.contains("-> 202")).count()
}

fn inject(sim: &Simulation, path: &str, fault: Fault) {
    let matches = Match { method: Some("POST".into()), path: Some(path.into()), count: Some(1), ..Match::default() };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule { id: path.into(), matches, fault });
}

#[test]
fn files_are_mounted_by_a_secret_and_go_with_it_in_time() {
    let mut sim = mounted("2h");
    let status = sim.status("RestoreRun", "one");
    let until_: Timestamp = status["files"]["mountedUntil"].as_str().expect("a time").parse().expect("a time");
    assert!(until_ <= sim.now() + SignedDuration::from_hours(2), "{status:#}");
    let secret = secret(&sim).expect("a Secret");
    let uid = sim.cluster.live(&key("RestoreRun", "one")).and_then(|o| o.metadata.uid.clone());
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"].as_str(), uid.as_deref());
    assert_eq!((&secret["immutable"], &secret["type"]), (&json!(true), &json!("breakwater.io/file-recovery")));
    let files = secret["stringData"].as_object().expect("files");
    assert!(files["password"].as_str().is_some_and(|p| p.starts_with(CANARY_PASSWORD) && p.len() == 15), "{files:#?}");
    let script = files.iter().find(|(name, _)| name.ends_with(".py")).expect("a script for Linux");
    assert!(script.1.as_str().is_some_and(|s| s.contains(CANARY_SCRIPT)) && !script.0.contains(CANARY_PASSWORD), "{files:#?}");
    // From the answer into the Secret, and nowhere else.
    for kind in ["RestoreRun", "ProtectedMachine", "RecoveryVault"] {
        let told: Vec<String> = sim.cluster.live_all(kind).iter().map(|o| serde_json::to_string(&**o).expect("JSON")).collect();
        assert!(!told.iter().any(|t| t.contains(CANARY_PASSWORD) || t.contains(CANARY_SCRIPT)), "{told:#?}");
    }
    assert_eq!(sim.condition("RestoreRun", "one", "DebtOutstanding").1, "DebtOpen", "{}", sim.tell());
    sim.run_for(until_.duration_since(sim.now()) - MINUTE);
    assert!(is_mounted(&sim) && phase(&sim, "one") == "Running", "closed too early: {}", sim.tell());
    sim.run_until("it is closed", MINUTE * 3, |sim| closed(sim));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(sim.condition("RestoreRun", "one", "Mounted").0, "False", "{}", sim.tell());
    sim.run_for(SignedDuration::from_hours(13));
    assert_eq!((posts(&sim, "/provision"), posts(&sim, "/revoke")), (1, 1), "{:#?}", sent(&sim, 0));
    assert!(is_free(&sim) && phase(&sim, "one") == "Succeeded", "{}", sim.tell());
}

#[test]
fn a_mount_is_closed_at_once_when_its_run_is_paused_or_deleted_or_loses_its_grant() {
    type End = fn(&Simulation);
    let ends: [End; 4] = [
        |sim| edit(sim, "RestoreRun", "one", json!({ "suspend": true })),
        |sim| sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there"),
        |sim| edit(sim, "AzureAccess", "shop", json!({ "suspend": true })),
        |sim| {
            let groups = json!(["rg-shop", "rg-backup", "rg-restore", "rg-far"]);
            let acts = json!(["Read", "Protect", "Backup", "Delete", "Restore", "ReplaceDisks"]);
            let allow = json!([{ "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": groups, "acts": acts }]);
            edit(sim, "AzureAccess", "shop", json!({ "allow": allow }));
        },
    ];
    for (nth, end) in ends.iter().enumerate() {
        let mut sim = mounted("8h");
        end(&sim);
        sim.run_until(&format!("end {nth}: it is closed"), MINUTE * 10, |sim| closed(sim));
        sim.run_for(SignedDuration::from_hours(9));
        assert_eq!((posts(&sim, "/provision"), posts(&sim, "/revoke")), (1, 1), "end {nth}: {:#?}", sent(&sim, 0));
        if nth == 0 {
            edit(&sim, "RestoreRun", "one", json!({ "suspend": false }));
            sim.run_for(SignedDuration::from_hours(2));
            assert_eq!((phase(&sim, "one").as_str(), posts(&sim, "/provision")), ("Succeeded", 1), "{}", sim.tell());
        }
    }
}

#[test]
fn what_a_run_of_an_older_schema_has_mounted_is_closed_in_time_and_at_its_deletion() {
    for deleted in [false, true] {
        let mut sim = mounted("2h");
        let run = sim.cluster.live(&key("RestoreRun", "one")).expect("it is there");
        let mut run = serde_json::to_value(&*run).expect("an object is JSON");
        (run["spec"]["to"], run["metadata"]["generation"]) = (json!("files"), json!(2));
        sim.cluster.user().left_behind(&run).expect("it can be decoded");
        sim.run_for(MINUTE * 30);
        assert!(is_mounted(&sim) && secret(&sim).is_some(), "closed too early: {}", sim.tell());
        assert_eq!(sim.condition("RestoreRun", "one", "Ready").1, "InvalidSpec", "{}", sim.tell());
        if deleted {
            sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
        }
        sim.run_until("it is closed", if deleted { MINUTE * 5 } else { MINUTE * 120 }, |sim| closed(sim));
        sim.run_for(SignedDuration::from_hours(3));
        assert_eq!((posts(&sim, "/provision"), posts(&sim, "/revoke")), (1, 1), "{:#?}", sent(&sim, 0));
        assert_eq!(sim.cluster.live(&key("RestoreRun", "one")).is_none(), deleted, "{}", sim.tell());
    }
}

#[test]
fn a_secret_goes_by_what_it_says_of_itself_and_nobody_elses_does() {
    // Its owner reference was taken off: it goes all the same.
    let mut sim = mounted("30m");
    sim.cluster.user().patch(&key("Secret", "files"), &json!({ "metadata": { "ownerReferences": null } })).expect("it is there");
    sim.run_until("it is closed", SignedDuration::from_hours(1), |sim| closed(sim));
    // Somebody put another one in its place, and made the run its owner: it stays.
    let mut sim = mounted("30m");
    let owner = secret(&sim).expect("a Secret")["metadata"]["ownerReferences"].clone();
    sim.cluster.user().delete(&key("Secret", "files")).expect("it is there");
    let theirs = json!({ "apiVersion": "v1", "kind": "Secret", "stringData": { "a": "b" },
        "metadata": { "name": "files", "namespace": "shop", "ownerReferences": owner } });
    sim.cluster.user().apply_object(&theirs).expect("the API server takes it");
    until(&mut sim, "one", "Succeeded");
    assert!(!is_mounted(&sim) && secret(&sim).is_some_and(|s| s["stringData"]["a"] == "b"), "{}", sim.tell());
}

#[test]
fn a_mount_is_revoked_once_while_its_secret_cannot_be_removed() {
    let mut sim = mounted("30m");
    let strike = Strike::Every { verb: Verb::Delete, kind: "Secret".into() };
    sim.cluster_faults(FaultPlan::seeded(1).with(strike, WriteFault::Refused("secrets is forbidden".into())));
    sim.run_for(SignedDuration::from_hours(4));
    assert!(!is_mounted(&sim) && secret(&sim).is_some() && posts(&sim, "/revoke") == 1, "{:#?}", sent(&sim, 0));
    assert_eq!(sim.condition("RestoreRun", "one", "DebtOutstanding").1, "DebtUnpayable", "{}", sim.tell());
    sim.cluster_faults(FaultPlan::seeded(1));
    until(&mut sim, "one", "Succeeded");
    assert!(secret(&sim).is_none() && posts(&sim, "/revoke") == 1, "{}", sim.tell());
}

#[test]
fn a_mount_that_is_overdue_is_closed_in_the_first_turn_after_a_restart() {
    let mut sim = mounted("30m");
    sim.die("for three hours");
    sim.clock.set(sim.now() + SignedDuration::from_hours(3));
    let (at, before) = (sim.now(), sim.requests().len());
    sim.run_until("it is asked to close", MINUTE, |sim| posts(sim, "/revoke") == 1);
    // Before anything else is done for it: its turn begins with the revoke.
    let first = sim.requests().into_iter().skip(before).find(|line| line.contains("/recoveryPoints"));
    assert!(sim.now().duration_since(at) < SignedDuration::from_secs(1), "{} after {at}", sim.now());
    assert!(first.as_ref().is_some_and(|line| line.contains("/revoke")), "{first:?}");
    sim.run_until("it is closed", MINUTE * 5, |sim| closed(sim));
    until(&mut sim, "one", "Succeeded");
}

#[test]
fn nothing_is_mounted_where_the_script_could_not_be_handed_over() {
    // A Secret of that name: never overwritten.
    let mut sim = ready();
    let theirs =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "files", "namespace": "shop" }, "stringData": { "a": "b" } });
    sim.cluster.user().apply_object(&theirs).expect("the API server takes it");
    declare(&sim, "one", "2h");
    sim.run_until("it says so", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "TargetExists");
    assert_eq!((posts(&sim, "/provision"), secret(&sim).expect("it stays")["stringData"]["a"].clone()), (0, json!("b")));
    // No right to make one.
    let mut sim = ready();
    let words = "secrets \"files\" is forbidden: User \"breakwater\" cannot create resource \"secrets\" in API group \"\"";
    let refuses = |verb| (Strike::Every { verb, kind: "Secret".into() }, WriteFault::Refused(words.into()));
    let (strike, fault) = refuses(Verb::Create);
    sim.cluster_faults(FaultPlan::seeded(1).with(strike, fault));
    declare(&sim, "one", "2h");
    sim.run_until("it says so", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Stalled").1 == "SecretAccessMissing");
    let message = sim.condition("RestoreRun", "one", "Ready").2;
    assert!(message.contains("breakwater-file-recovery") && message.contains("kubectl create rolebinding"), "{message}");
    assert_eq!(posts(&sim, "/provision"), 0);
    sim.cluster_faults(FaultPlan::seeded(1));
    sim.run_until("it goes on", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
}

#[test]
fn a_right_that_is_lost_between_the_look_and_the_script_closes_the_mount() {
    let mut sim = ready();
    declare(&sim, "one", "2h");
    sim.run_until("it is asked for", MINUTE * 15, |sim| posts(sim, "/provision") == 1);
    let strike = Strike::Every { verb: Verb::Create, kind: "Secret".into() };
    sim.cluster_faults(FaultPlan::seeded(1).with(strike, WriteFault::Refused("secrets is forbidden".into())));
    until(&mut sim, "one", "Failed");
    assert_eq!(sim.condition("RestoreRun", "one", "Ready").1, "SecretAccessMissing", "{}", sim.tell());
    assert!(closed(&sim) && posts(&sim, "/revoke") == 1, "{}", sim.tell());
    sim.run_for(SignedDuration::from_hours(3));
    assert!(is_free(&sim) && posts(&sim, "/provision") == 1, "{}", sim.tell());
}

#[test]
fn what_somebody_else_mounted_is_left_alone() {
    let mut sim = ready();
    let at = point(&sim);
    let machine = sim.status("ProtectedMachine", &member(&sim, "web-1"))["machineId"].clone();
    let name = at.rsplit('/').next().expect("a name");
    let body =
        json!({ "properties": { "objectType": "IaasVMILRRegistrationRequest", "recoveryPointId": name, "virtualMachineId": machine } });
    let (status, answer) = by_hand(&sim, PERSON, "POST", &format!("{at}/provisionInstantItemRecovery"), "2025-02-01", body);
    assert_eq!(status, 202, "{answer:#}");
    sim.run_for(MINUTE * 5);
    assert!(is_mounted(&sim));
    declare(&sim, "one", "2h");
    sim.run_until("it says so", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "NotOurs");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!((phase(&sim, "one").as_str(), posts(&sim, "/revoke")), ("Expired", 0), "{}", sim.tell());
    assert!(is_mounted(&sim) && secret(&sim).is_none(), "{}", sim.tell());
}

#[test]
fn a_mount_whose_answer_is_lost_is_closed_and_made_once_more() {
    let mut sim = ready();
    sim.arm_fault(1, ArmFault::AnswerLost);
    declare(&sim, "one", "2h");
    sim.run_until("it is mounted", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
    assert_eq!((posts(&sim, "/provision"), posts(&sim, "/revoke")), (2, 1), "{:#?}", sent(&sim, 0));
    until(&mut sim, "one", "Succeeded");
    assert!(closed(&sim) && posts(&sim, "/revoke") == 2, "{:#?}", sent(&sim, 0));
}

#[test]
fn a_mount_that_azure_gives_up_is_closed_and_told() {
    let mut sim = ready();
    inject(
        &sim,
        "*/provisionInstantItemRecovery",
        Fault::OperationFailed { code: "UserErrorSomething".into(), message: "The agent is silent.".into() },
    );
    declare(&sim, "one", "2h");
    until(&mut sim, "one", "Failed");
    assert!(sim.condition("RestoreRun", "one", "Ready").2.contains("The agent is silent."), "{}", sim.tell());
    assert!(closed(&sim) && posts(&sim, "/revoke") == 1, "{}", sim.tell());
    sim.run_for(SignedDuration::from_hours(3));
    assert!(is_free(&sim) && posts(&sim, "/provision") == 1, "{}", sim.tell());
}

#[test]
fn a_mount_that_azure_refuses_for_now_is_tried_again_and_owes_nothing() {
    let mut sim = ready();
    let busy = Fault::Status {
        status: 409,
        retry_after: None,
        body: Shape::Standard,
        code: Some("UserErrorBusy".into()),
        message: None,
        when: When::BeforeApply,
    };
    inject(&sim, "*/provisionInstantItemRecovery", busy);
    declare(&sim, "one", "2h");
    sim.run_until("it was refused", MINUTE * 15, |sim| {
        sim.requests().iter().any(|line| line.contains("/provision") && line.contains("-> 409"))
    });
    assert_eq!(phase(&sim, "one"), "Pending", "{}", sim.tell());
    sim.run_until("it is mounted", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
    until(&mut sim, "one", "Succeeded");
    assert_eq!((posts(&sim, "/provision"), posts(&sim, "/revoke")), (1, 1), "{:#?}", sent(&sim, 0));
}

#[test]
fn a_mount_that_goes_by_its_time_to_live_is_remembered_and_not_made_again() {
    let mut sim = ready();
    let mut object = run(&sim, "one", "15m");
    object["spec"]["ttlSecondsAfterFinished"] = json!(0);
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    sim.run_until("done and gone", SignedDuration::from_hours(2), |sim| {
        posts(sim, "/revoke") == 1 && sim.cluster.live_all("RestoreRun").is_empty()
    });
    // Git applies it again.
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    until(&mut sim, "one", "AlreadyDone");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!((posts(&sim, "/provision"), phase(&sim, "one").as_str()), (1, "AlreadyDone"), "{}", sim.tell());
}

#[test]
fn two_mounts_of_one_point_go_one_after_the_other() {
    let mut sim = mounted("30m");
    let mut second = run(&sim, "two", "30m");
    second["spec"]["to"]["files"]["secretName"] = json!("others");
    second["spec"]["expiresAt"] = json!(sim.now() + SignedDuration::from_hours(4));
    sim.cluster.user().apply_object(&second).expect("the API server takes it");
    sim.run_for(MINUTE * 10);
    assert!(phase(&sim, "two") == "Pending" && is_mounted(&sim), "{}", sim.tell());
    until(&mut sim, "one", "Succeeded");
    sim.run_until("the second", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "two", "Mounted").0 == "True");
    until(&mut sim, "two", "Succeeded");
    assert!(closed(&sim) && posts(&sim, "/revoke") == 2, "{:#?}", sent(&sim, 0));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let sim = ready();
    let refused = |change: fn(&mut Value)| {
        let mut object = run(&sim, "one", "2h");
        change(&mut object["spec"]);
        sim.cluster.user().apply_object(&object).expect_err("it makes no sense").to_string()
    };
    assert!(
        refused(|spec| spec["staging"] = json!({ "storageAccountId": STAGE })).contains("staging is needed for every restore but files")
    );
    assert!(refused(|spec| spec["to"]["disks"] = json!({ "resourceGroup": "rg-restore" })).contains("exactly one of newMachine"));
    assert!(refused(|spec| spec["diskAccess"] = json!("SameAsSource")).contains("to.files makes no disks"));
    assert!(refused(|spec| spec["to"]["files"]["secretName"] = json!("Not A Name")).contains("secretName"));
    let rehydrated = |spec: &mut Value| spec["from"]["recoveryPoint"]["rehydrate"] = json!({ "priority": "High", "retainFor": "9d" });
    assert!(refused(rehydrated).contains("retainFor must be whole days, 10d to 30d"));
    for wrong in ["12h", "11h1s", "4m59s", "0s", "1d"] {
        let words = sim.cluster.user().apply_object(&run(&sim, "long", wrong)).expect_err("no mount is that long").to_string();
        assert!(words.contains("mountFor must be from 5m to 11h"), "{wrong}: {words}");
    }
    for right in ["5m", "300s", "10h60m", "11h"] {
        declare(&sim, &format!("for-{right}"), right);
    }
}

#[test]
fn who_deletes_a_mount_that_azure_does_not_close_sees_why_it_stays() {
    let mut sim = mounted("8h");
    let denied =
        Fault::Status { status: 403, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    let matches = Match { method: Some("POST".into()), path: Some("*/revokeInstantItemRecovery".into()), ..Match::default() };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule { id: "denied".into(), matches, fault: denied });
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_for(MINUTE * 10);
    let (open, reason, message) = sim.condition("RestoreRun", "one", "DebtOutstanding");
    assert_eq!((open.as_str(), reason.as_str()), ("True", "DebtUnpayable"), "{message}");
    let (blocked, _, message) = sim.condition("RestoreRun", "one", "Blocked");
    assert!(blocked == "True" && message.contains("deletion waits") && !message.contains("deletionPolicy"), "{message}");
}

#[test]
fn a_page_that_says_200_closes_no_mount() {
    let mut sim = mounted("2h");
    let page = Fault::Status { status: 200, retry_after: None, body: Shape::Html, code: None, message: None, when: When::BeforeApply };
    inject(&sim, "*/revokeInstantItemRecovery", page);
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_until("its object is gone", SignedDuration::from_hours(1), |sim| sim.cluster.live(&key("RestoreRun", "one")).is_none());
    assert!(closed(&sim), "{}", sim.tell());
}
