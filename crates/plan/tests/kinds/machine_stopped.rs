//! `ProtectedMachine`: stopping, resuming, undeleting, and letting go of what its policy means no more.

use breakwater_api::{ProtectedMachine, Reason, protected_machine::DeclaredProtection};
use breakwater_plan::{
    facts::Facts,
    kind::{Kind as _, Subject},
    kinds::machines_of,
};
use serde_json::{Value, json};

use crate::{estate::*, machine::*};

/// A vault with that immutability, and an item in that state.
fn stands(immutability: &str, item_more: Value) -> Facts {
    let mut facts = protected(json!({}), item_more);
    let settings = json!({ "securitySettings": { "immutabilitySettings": { "state": immutability } } });
    see(&mut facts, &vault(), Some(vault_body(settings)));
    facts
}

fn owning(spec: Value) -> Subject<ProtectedMachine> {
    Subject { owned: vec![owned(&item())], ..declares(spec, json!({ "machine": { "vmId": "vm-1" }, "recoveryPoints": { "count": 7 } })) }
}

#[test]
fn a_stop_is_a_question_where_the_vault_is_immutable_and_keeps_every_point_elsewhere() {
    let stopped = || owning(json!({ "protection": "Stopped" }));
    let immutable = stands("Unlocked", json!({ "protectionState": "Protected" }));
    let plan = planned(&stopped(), &immutable);
    assert_eq!(told(&plan, "protection"), "stuck: StopLetsPointsExpire");
    assert!(message(&plan).contains("up to 10 points"), "{}", message(&plan));
    let plan = planned(&answered(stopped(), &immutable), &immutable);
    let sent = body(&plan, "protection")["properties"].clone();
    assert_eq!((sent["protectionState"].clone(), sent["policyId"].clone()), (json!("BackupsSuspended"), json!("")));
    assert!(!plan.verdicts.contains_key("first-backup"));
    let kept = planned(&stopped(), &stands("Disabled", json!({ "protectionState": "Protected" })));
    assert_eq!(body(&kept, "protection")["properties"]["protectionState"], "ProtectionStopped");
    let already = stands("Unlocked", json!({ "protectionState": "ProtectionStopped", "policyId": "" }));
    assert!(planned(&stopped(), &already).converged());
    assert_eq!(reported(&stopped(), &already).promise.reason, Reason::ProtectionStopped);
    assert!(reported(&stopped(), &already).promise.kept);
    let suspended = stands("Unlocked", json!({ "protectionState": "BackupsSuspended" }));
    assert!(planned(&stopped(), &suspended).converged());
    let promise = reported(&stopped(), &suspended).promise;
    let resumed =
        planned(&owning(json!({ "protection": "Protected" })), &stands("Unlocked", json!({ "protectionState": "BackupsSuspended" })));
    assert_eq!(body(&resumed, "protection")["properties"]["policyId"], json!(daily()), "its points expired already: nobody is asked");
    assert!(promise.kept && promise.reason == Reason::BackupsSuspended && promise.message.contains("expire"), "{}", promise.message);
}

#[test]
fn a_stopped_machine_is_resumed_only_on_request_and_by_an_answer_and_a_deleted_one_is_brought_back_on_request() {
    let halted = stands("Unlocked", json!({ "protectionState": "ProtectionStopped", "policyId": "" }));
    assert_eq!(told(&planned(&owning(json!({})), &halted), "protection"), "stuck: ProtectionStopped");
    let resumed = || owning(json!({ "protection": "Protected" }));
    assert_eq!(told(&planned(&resumed(), &halted), "protection"), "stuck: WouldExpirePoints");
    let sent = body(&planned(&answered(resumed(), &halted), &halted), "protection");
    assert_eq!(sent["properties"]["policyId"], json!(daily()));
    let deleted = json!({ "protectionState": "ProtectionStopped", "policyId": "", "isScheduledForDeferredDelete": true,
        "deferredDeleteTimeInUTC": "2026-11-01T00:00:00Z", "softDeleteRetentionPeriod": 14 });
    let deleted = stands("Unlocked", deleted);
    let plan = planned(&owning(json!({})), &deleted);
    assert_eq!(told(&plan, "protection"), "stuck: SoftDeleted");
    assert!(message(&plan).contains("purged at 2026-11-15T00:00:00Z"), "{}", message(&plan));
    let sent = body(&planned(&owning(json!({ "undelete": true })), &deleted), "protection")["properties"].clone();
    assert_eq!((sent["isRehydrate"].clone(), sent["protectionState"].clone()), (json!(true), json!("ProtectionStopped")));
    assert!(planned(&owning(json!({ "protection": "Stopped" })), &deleted).converged(), "nothing is stopped that is deleted");
    let both = planned(&owning(json!({ "protection": "Stopped", "undelete": true })), &deleted);
    assert_eq!(body(&both, "protection")["properties"]["isRehydrate"], true, "brought back, and left stopped");
}

#[test]
fn deleting_the_object_stops_nothing_unless_it_says_so() {
    let facts = stands("Disabled", json!({ "protectionState": "Protected" }));
    let mut s = owning(json!({ "deletionPolicy": "StopAndRetain" }));
    s.meta.deleting = true;
    assert_eq!(told(&planned(&s, &facts), "protection"), "PUT");
    assert!(ProtectedMachine::acts_on_deletion(&s.spec) && !ProtectedMachine::acts_on_deletion(&owning(json!({})).spec));
    see_gone(&s, facts);
}

/// A machine that is gone can still be stopped.
fn see_gone(s: &Subject<ProtectedMachine>, mut facts: Facts) {
    see(&mut facts, &machine(), None);
    assert_eq!(told(&planned(s, &facts), "protection"), "PUT");
}

#[test]
fn what_the_policy_means_no_more_is_let_go_of_by_a_direct_read_after_its_grace_and_only_where_declared() {
    let name = breakwater_plan::keys::object_name(machine().name(), &[&machine().key()]);
    let since = |hours: i64| json!({ "machine": { "vmId": "vm-1", "location": "westeurope" }, "unselectedSince": now() - jiff::SignedDuration::from_hours(hours) });
    let made = |status: Value| {
        let s: Subject<ProtectedMachine> = subject(&name, machine_spec(json!({})), status);
        Subject { owned: vec![owned(&item())], ..s }
    };
    let world = |policy: Value, tags: Value| {
        let mut facts = protected(policy, json!({ "protectionState": "Protected" }));
        let settings = json!({ "securitySettings": { "immutabilitySettings": { "state": "Disabled" } } });
        see(&mut facts, &vault(), Some(vault_body(settings)));
        let body = json!({ "id": machine(), "location": "westeurope", "tags": tags, "properties": { "vmId": "vm-1" } });
        list(&mut facts, machines_of(SUB), &[(machine(), body.clone())]);
        see(&mut facts, &machine(), Some(body));
        facts
    };
    let (lets_go, other) = (json!({ "whenUnselected": "StopAndRetain" }), json!({ "app": "other" }));
    let told_of = |s: &Subject<ProtectedMachine>, facts: &Facts| told(&planned(s, facts), "protection");
    assert_eq!(told_of(&made(since(25)), &world(json!({}), other.clone())), "done", "by default it is kept");
    assert_eq!(told_of(&made(since(23)), &world(lets_go.clone(), other.clone())), "done", "the grace period is not over");
    assert_eq!(told_of(&made(since(25)), &world(lets_go.clone(), other.clone())), "PUT");
    let mut declared = made(since(25));
    declared.spec.protection = Some(DeclaredProtection::Protected);
    assert_eq!(told_of(&declared, &world(lets_go.clone(), other.clone())), "done", "a person says that it is to be protected");
    let brake =
        ProtectedMachine::desire(&made(since(25)), &world(lets_go.clone(), other.clone())).unwrap().nodes["protection"].brake.clone();
    assert_eq!(brake.map(|b| b.most), Some(1), "five of a hundred, one at least");
    assert_eq!(told_of(&made(since(25)), &world(lets_go.clone(), json!({ "app": "shop" }))), "done", "it is meant again");
    let mut anothers = world(lets_go.clone(), other.clone());
    add_policy(&mut anothers, "gold", json!({ "machines": [{ "id": machine() }] }));
    assert_eq!(told_of(&made(since(25)), &anothers), "done", "another policy means it: nobody lets go of it");
    assert_eq!(reported(&made(since(25)), &anothers).status.get("unselectedSince"), None);
    let first = reported(&made(json!({ "machine": { "vmId": "vm-1" } })), &world(lets_go.clone(), other.clone()));
    assert_eq!(first.status["unselectedSince"], json!(now()));
    let again = reported(&made(since(25)), &world(lets_go.clone(), json!({ "app": "shop" })));
    assert_eq!(again.status.get("unselectedSince"), None);
    let mut unread = world(lets_go.clone(), other.clone());
    unread.seen.get_mut(&machine()).unwrap().read = None;
    assert_eq!(told_of(&made(since(25)), &unread), "done", "a listing lets go of nothing");
    let mut gone = world(lets_go, other);
    see(&mut gone, &machine(), None);
    assert_eq!(told_of(&made(since(25)), &gone), "stuck: MachineNotFound", "a machine that is gone is no machine that is meant no more");
}

#[test]
fn a_guarded_stop_carries_the_reference_of_what_it_is_and_no_other() {
    let reference = |name: &str| format!("/guard/{name}Requests/default");
    let guarded = |immutability: &str, known: &[&str]| {
        let mut facts = stands(immutability, json!({ "protectionState": "Protected" }));
        let detail = |name: &&str| {
            let operation = format!("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write#{name}");
            json!({ "vaultCriticalOperation": operation, "defaultResourceRequest": reference(name) })
        };
        let details: Vec<Value> = known.iter().map(detail).collect();
        let proxy = vault().child("backupResourceGuardProxies", "VaultProxy").unwrap();
        see(&mut facts, &proxy, Some(json!({ "properties": { "resourceGuardOperationDetails": details } })));
        let stopped = || owning(json!({ "protection": "Stopped" }));
        let sent = body(&planned(&answered(stopped(), &facts), &facts), "protection")["properties"].clone();
        sent["resourceGuardOperationRequests"].clone()
    };
    let (stop, suspend) = ("stopProtectionWithRetainData", "suspendBackupsWithRetainData");
    assert_eq!(guarded("Disabled", &[suspend, stop]), json!([reference(stop)]));
    assert_eq!(guarded("Unlocked", &[stop, suspend]), json!([reference(suspend)]));
    assert_eq!(guarded("Unlocked", &[stop]), json!([reference(stop)]), "as recorded proxies name it");
    assert_eq!(guarded("Unlocked", &["somethingElse"]), Value::Null);
}

#[test]
fn a_resumption_is_agreed_to_under_the_policy_that_the_person_saw() {
    let halted = |keep: &str| {
        let mut facts = stands("Unlocked", json!({ "protectionState": "ProtectionStopped", "policyId": "" }));
        let spec = policy_spec(json!({ "retention": { "daily": { "keep": keep } } }));
        see(&mut facts, &daily(), Some(policy_body(spec, 1)));
        facts
    };
    let resumed = || owning(json!({ "protection": "Protected" }));
    let words = message(&planned(&resumed(), &halted("30d")));
    assert!(words.contains("(retention: daily 30 days"), "{words}");
    let answers = answered(resumed(), &halted("30d")).answers;
    let agreed = || Subject { answers: answers.clone(), ..resumed() };
    assert_eq!(told(&planned(&agreed(), &halted("30d")), "protection"), "PUT");
    assert_eq!(told(&planned(&agreed(), &halted("7d")), "protection"), "stuck: WouldExpirePoints", "the policy is another one by now");
    let mut aged = halted("30d");
    aged.seen.get_mut(&daily()).and_then(|seen| seen.read.as_mut()).unwrap().at = now() - jiff::SignedDuration::from_mins(1);
    assert_eq!(told(&planned(&agreed(), &aged), "protection"), "wait: NotYetObserved", "nor is it resumed by what was read before");
}

#[test]
fn a_stop_of_what_has_no_backups_is_as_declared() {
    let s = declares(json!({ "protection": "Stopped" }), json!({ "machine": { "vmId": "vm-1" } }));
    let report = reported(&s, &unprotected(json!({})));
    assert_eq!((report.promise.kept, report.promise.reason), (true, Reason::ProtectionStopped), "{}", report.promise.message);
    assert!(!reported(&declares(json!({}), json!({ "machine": { "vmId": "vm-1" } })), &unprotected(json!({}))).promise.kept);
}
