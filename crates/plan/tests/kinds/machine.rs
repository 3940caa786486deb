//! `ProtectedMachine`: what is due in each state that a machine's item can be in.

use std::sync::Arc;

use breakwater_api::{BackupPolicy, ProtectedMachine, Reason};
use breakwater_arm::{ResourceId, names};
use breakwater_plan::{
    facts::{Asked, Facts, Fresh, Need, ObjectRef},
    graph::{Goal, HoldKind},
    kind::{Kind as _, Subject, View},
    kinds::machines_of,
    planner::Step,
    sighting::{Listed, Listing, Packed},
};
use serde_json::{Value, json};

use crate::estate::*;

pub fn item() -> ResourceId {
    names::item_id(&vault(), &machine()).unwrap()
}

pub fn declares(spec: Value, status: Value) -> Subject<ProtectedMachine> {
    subject("db1", machine_spec(spec), status)
}

/// The same, and the item is ours by status.
pub fn owner(status: Value) -> Subject<ProtectedMachine> {
    Subject { owned: vec![owned(&item())], ..declares(json!({}), status) }
}

pub fn vm(more: Value) -> Value {
    let storage = json!({ "osDisk": { "osType": "Windows", "managedDisk": { "id": "/os" } }, "dataDisks": [
        { "lun": 0, "managedDisk": { "id": "/d0" } }, { "lun": 1, "managedDisk": { "id": "/d1" } }] });
    json!({ "id": machine(), "location": "westeurope", "properties": with(json!({ "vmId": "VM-1", "storageProfile": storage }), more) })
}

/// Policy and machine stand; nothing is protected, and `backupStatus` says so.
pub fn unprotected(policy: Value) -> Facts {
    let mut facts = standing_policy(policy);
    list(&mut facts, machines_of(SUB), &[(machine(), json!({ "id": machine(), "location": "westeurope", "tags": {} }))]);
    see(&mut facts, &machine(), Some(vm(json!({}))));
    see(&mut facts, &item(), None);
    answer(&mut facts, json!({ "protectionStatus": "NotProtected" }));
    facts
}

fn answer(facts: &mut Facts, body: Value) {
    facts.asked.insert("backupStatus".into(), Asked { at: now(), body: Some(Arc::new(body)), trouble: None });
}

pub fn item_body(more: Value) -> Value {
    let all = json!({ "protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": machine(), "policyId": daily(),
        "protectionState": "IRPending", "lastBackupStatus": "", "lastBackupTime": "2001-01-01T00:00:00Z" });
    json!({ "id": item(), "properties": with(all, more) })
}

pub fn protected(policy: Value, more: Value) -> Facts {
    let mut facts = unprotected(policy);
    see(&mut facts, &item(), Some(item_body(more)));
    facts
}

pub fn jobs(facts: &mut Facts, jobs: &[Value]) {
    let items = jobs.iter().enumerate().map(|(i, job)| (vault().child("backupJobs", &format!("j{i}")).unwrap(), Packed::of(job)));
    let listing = Listing { at: now(), items: Arc::new(items.collect()) };
    facts.jobs.insert(vault(), Listed { last: Some(listing), trouble: None });
}

pub fn backup_job(name: &str, start: &str, status: &str) -> Value {
    let container = names::container_name(&machine()).trim_start_matches("IaasVMContainer;").to_owned();
    json!({ "name": name, "properties": { "jobType": "AzureIaaSVMJob", "operation": "Backup", "status": status, "containerName": container, "startTime": start } })
}

#[test]
fn a_machine_that_nobody_protects_is_protected() {
    let plan = planned(&declares(json!({}), json!({})), &unprotected(json!({})));
    let expected = json!({ "properties": { "protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": machine(), "policyId": daily() } });
    assert_eq!((told(&plan, "protection").as_str(), body(&plan, "protection")), ("PUT", expected));
    assert!(!plan.verdicts.contains_key("first-backup"), "on schedule");
}

#[test]
fn before_the_first_protection_another_vault_is_asked_about() {
    let s = declares(json!({}), json!({}));
    let other = id("rg-backup", "Microsoft.RecoveryServices/vaults/old");
    let mut facts = unprotected(json!({}));
    facts.asked.clear();
    assert_eq!(told(&planned(&s, &facts), "protection"), "wait: NotYetObserved");
    answer(&mut facts, json!({ "protectionStatus": "Protected", "vaultId": other }));
    assert_eq!(told(&planned(&s, &facts), "protection"), "stuck: ElsewhereProtected");
    let report = reported(&s, &facts);
    assert_eq!((&report.status["protection"], &report.status["elsewhere"]), (&json!("ElsewhereProtected"), &json!(other)));
    assert_eq!(report.next, Some(now() + jiff::SignedDuration::from_hours(1)), "asked again hourly");
    answer(&mut facts, json!({ "protectionStatus": "Protected", "vaultId": vault() }));
    assert_eq!(told(&planned(&s, &facts), "protection"), "PUT", "our own vault is not elsewhere");
}

#[test]
fn each_state_of_the_item_has_one_answer() {
    let foreign = vault().child("backupPolicies", "byhand").unwrap();
    let hash = breakwater_plan::keys::hash8(&["acme", "shop", "BackupPolicy", "nightly"]);
    let renamed = vault().child("backupPolicies", &format!("bw-{hash}-nightly")).unwrap();
    let dotted_hash = breakwater_plan::keys::hash8(&["acme", "shop", "BackupPolicy", "nightly.of-shop"]);
    let dotted = vault().child("backupPolicies", &format!("bw-{dotted_hash}-nightly-of-shop")).unwrap();
    let (mine, new) = (|| owner(json!({})), || declares(json!({}), json!({})));
    #[rustfmt::skip]
    let cases = [
        // situation                 whose   item                                                                        protection               answer
        ("first backup pending",     mine(), json!({}),                                                                  "InitialBackupPending",  "done"),
        ("protected",                mine(), json!({ "protectionState": "Protected" }),                                  "Protected",             "done"),
        ("under a foreign policy",   new(),  json!({ "protectionState": "Protected", "policyId": foreign }),             "ForeignPolicy",         "stuck: ForeignPolicy"),
        ("soft-deleted",             mine(), json!({ "protectionState": "ProtectionStopped", "isScheduledForDeferredDelete": true }), "SoftDeleted", "stuck: SoftDeleted"),
        ("stopped, ours",            mine(), json!({ "protectionState": "ProtectionStopped", "policyId": "" }),          "Stopped",               "stuck: ProtectionStopped"),
        ("stopped, somebody's",      new(),  json!({ "protectionState": "ProtectionStopped", "policyId": "" }),          "Stopped",               "stuck: ProtectionStopped"),
        ("under a renamed policy",   new(),  json!({ "protectionState": "Protected", "policyId": renamed }),             "Protected",             "wait: NotYetObserved"),
        ("its name had a dot",       new(),  json!({ "protectionState": "Protected", "policyId": dotted }),              "Protected",             "wait: NotYetObserved"),
        ("suspended",                mine(), json!({ "protectionState": "BackupsSuspended" }),                           "Suspended",             "stuck: BackupsSuspended"),
    ];
    for (situation, s, item, protection, expected) in cases {
        let facts = protected(json!({}), item);
        assert_eq!(told(&planned(&s, &facts), "protection"), expected, "{situation}");
        let report = reported(&s, &facts);
        assert_eq!(report.status["protection"], protection, "{situation}");
        assert!(expected == "done" || !report.promise.kept, "{situation}");
    }
}

#[test]
fn an_item_that_was_ours_and_is_gone_is_missing_and_not_made_again() {
    let (s, facts) = (owner(json!({})), unprotected(json!({})));
    assert_eq!(told(&planned(&s, &facts), "protection"), "stuck: Missing");
    assert_eq!(reported(&s, &facts).status["protection"], "Missing");
}

#[test]
fn what_the_machine_itself_forbids_is_told_even_when_its_item_is_as_declared() {
    let known = json!({ "machine": { "vmId": "VM-1", "location": "westeurope" } });
    #[rustfmt::skip]
    let cases = [
        ("as ever",              Some(vm(json!({ "vmId": "vm-1" }))),                                "done"),
        ("another one by id",    Some(vm(json!({ "vmId": "VM-2" }))),                                "stuck: IdentityChanged"),
        ("in another region",    Some(with(vm(json!({})), json!({ "location": "northeurope" }))),    "stuck: LocationMismatch"),
        ("gone",                 None,                                                               "stuck: MachineNotFound"),
        ("with unmanaged disks", Some(vm(json!({ "storageProfile": { "osDisk": { "vhd": { "uri": "https://x" } } } }))), "stuck: Unsupported"),
    ];
    for (situation, machine_body, expected) in cases {
        for mut facts in [protected(json!({}), json!({})), unprotected(json!({}))] {
            see(&mut facts, &machine(), machine_body.clone());
            let there = facts.resource(&item()).present().is_some();
            let plan = planned(&if there { owner(known.clone()) } else { declares(json!({}), known.clone()) }, &facts);
            assert_eq!(
                told(&plan, "protection"),
                if !there && expected == "done" { "PUT" } else { expected },
                "{situation}, protected: {there}"
            );
        }
    }
}

#[test]
fn disks_may_be_added_and_not_dropped() {
    let only =
        |luns: Value| json!({ "extendedProperties": { "diskExclusionProperties": { "diskLunList": luns, "isInclusionList": true } } });
    let with_disks = |disks: Value| Subject { owned: vec![owned(&item())], ..declares(json!({ "disks": disks }), json!({})) };
    let adding = planned(&with_disks(json!({ "include": [0, 1] })), &protected(json!({}), only(json!([0]))));
    assert_eq!(told(&adding, "protection"), "PUT");
    assert_eq!(body(&adding, "protection")["properties"]["extendedProperties"], only(json!([0, 1]))["extendedProperties"]);
    let dropping = planned(&with_disks(json!({ "include": [0] })), &protected(json!({}), only(json!([0, 1]))));
    assert_eq!(told(&dropping, "protection"), "stuck: WouldExpirePoints");
    let all = planned(&owner(json!({})), &protected(json!({}), only(json!([0]))));
    let reset = json!({ "diskExclusionProperties": { "diskLunList": [], "isInclusionList": false } });
    assert_eq!(body(&all, "protection")["properties"]["extendedProperties"], reset, "all is sent as an empty exclusion");
}

fn now_policy() -> Value {
    json!({ "firstBackup": "Now" })
}

#[test]
fn the_first_backup_is_due_once_and_any_backup_since_protection_counts() {
    let since = json!({ "protectedSince": "2026-03-01T10:00:00Z" });
    let with_jobs = |all: &[Value]| {
        let mut facts = protected(now_policy(), json!({}));
        jobs(&mut facts, all);
        facts
    };
    let job = |start: &str, status: &str| backup_job("j", start, status);
    #[rustfmt::skip]
    let cases = [
        ("no job",                       with_jobs(&[]),                                                        "POST"),
        ("a job from before protection", with_jobs(&[job("2026-03-01T08:00:00Z", "Completed")]),                "POST"),
        ("somebody's job runs",          with_jobs(&[job("2026-03-01T10:05:00Z", "InProgress")]),               "done"),
        ("a failed one is not repeated", with_jobs(&[job("2026-03-01T10:05:00Z", "Failed")]),                   "done"),
        ("a recovery point",             protected(now_policy(), json!({ "lastRecoveryPoint": "2026-03-01T11:00:00Z" })), "done"),
        ("not protected yet",            unprotected(now_policy()),                                             "wait: DependencyNotReady"),
    ];
    for (situation, facts, expected) in cases {
        let s = if expected.starts_with("wait") { declares(json!({}), json!({})) } else { owner(since.clone()) };
        assert_eq!(told(&planned(&s, &facts), "first-backup"), expected, "{situation}");
    }
    let known = owner(with(since.clone(), json!({ "firstBackup": { "key": "k", "job": "j", "result": "Failed" } })));
    assert_eq!(told(&planned(&known, &with_jobs(&[])), "first-backup"), "done", "status knows how it ended");
}

#[test]
fn the_first_backups_key_is_of_vault_machine_and_vm_id() {
    let key = |facts: &Facts, s: &Subject<ProtectedMachine>| match &ProtectedMachine::desire(s, facts).unwrap().nodes["first-backup"].goal {
        Goal::Acted(acted) => acted.key.clone(),
        other => panic!("{other:?}"),
    };
    let facts = protected(now_policy(), json!({}));
    let mut rebuilt = protected(now_policy(), json!({}));
    see(&mut rebuilt, &machine(), Some(vm(json!({ "vmId": "vm-1" }))));
    assert_eq!(key(&facts, &owner(json!({}))), key(&rebuilt, &declares(json!({}), json!({}))), "a rebuilt cluster computes the same");
    see(&mut rebuilt, &machine(), Some(vm(json!({ "vmId": "vm-2" }))));
    assert_ne!(key(&facts, &owner(json!({}))), key(&rebuilt, &owner(json!({}))));
}

#[test]
fn what_a_machine_stands_on_must_be_there_first() {
    let s = declares(json!({}), json!({}));
    let held = |facts: &Facts| ProtectedMachine::desire(&s, facts).map(|_| ()).unwrap_err();
    assert_eq!(held(&Facts::default()).reason, Reason::ReferenceNotFound);
    let mut facts = unprotected(json!({}));
    see(&mut facts, &daily(), None);
    assert_eq!((held(&facts).reason, held(&facts).kind), (Reason::Missing, HoldKind::Stuck), "its object knows its id: it was there");
    facts.seen.remove(&daily());
    assert_eq!(held(&facts).reason, Reason::NotYetObserved);
}

#[test]
fn a_full_vault_takes_no_more_machines_and_keeps_those_it_has() {
    for (count, expected) in [(999, "PUT"), (1000, "stuck: VaultFull")] {
        let mut facts = unprotected(json!({}));
        let items: Vec<_> = (0..count).map(|n| (vault().child("backupProtectedItems", &format!("i{n}")).unwrap(), json!({}))).collect();
        list(&mut facts, breakwater_plan::kinds::items_of(&vault()), &items);
        assert_eq!(told(&planned(&declares(json!({}), json!({})), &facts), "protection"), expected, "{count} machines");
    }
}

#[test]
fn a_machine_goes_to_a_policy_of_the_other_tier_by_an_answer_alone() {
    // Its item is under Azure's own policy, which is Standard or Enhanced; ours is Enhanced, and no weaker.
    let old = vault().child("backupPolicies", "DefaultPolicy").unwrap();
    for (tier, expected) in [("Standard", "stuck: OneWay"), ("Enhanced", "PUT")] {
        let mut facts = protected(json!({ "adopt": "IfNotWeaker" }), json!({ "policyId": old, "protectionState": "Protected" }));
        see(&mut facts, &old, Some(policy_body(policy_spec(json!({ "tier": tier, "retention": { "daily": { "keep": "7d" } } })), 1)));
        let s = declares(json!({}), json!({}));
        let plan = planned(&s, &facts);
        assert_eq!(told(&plan, "protection"), expected, "{tier}: {}", message(&plan));
        if expected != "PUT" {
            assert!(message(&plan).contains("Standard") && message(&plan).contains("go back"), "{}", message(&plan));
            assert_eq!(told(&planned(&answered(s, &facts), &facts), "protection"), "PUT");
        }
    }
}

#[test]
fn what_was_not_taken_over_yet_is_not_stopped_and_a_name_that_is_merely_declared_makes_nothing_ours() {
    let old = vault().child("backupPolicies", "DefaultPolicy").unwrap();
    let theirs = json!({ "policyId": old, "protectionState": "Protected" });
    let seen = |more: Value| {
        let mut facts = protected(more, theirs.clone());
        see(&mut facts, &old, Some(policy_body(policy_spec(json!({ "retention": { "daily": { "keep": "7d" } } })), 1)));
        facts
    };
    let adopting = json!({ "adopt": "IfNotWeaker" });
    let sends =
        |facts: &Facts, spec: Value| planned(&declares(spec, json!({})), facts).steps().any(|(_, step)| matches!(step, Step::Write(_)));
    assert!(sends(&seen(adopting.clone()), json!({})), "it is taken over");
    let stop = planned(&declares(json!({ "protection": "Stopped" }), json!({})), &seen(adopting.clone()));
    assert!(!stop.verdicts.contains_key("protection"), "and not for being stopped: {stop:?}");
    // Another policy of the namespace declares that name, and has not got it.
    let mut facts = seen(json!({}));
    add_policy(&mut facts, "other", json!({ "azureName": "DefaultPolicy", "adopt": "IfNotWeaker" }));
    assert!(!sends(&facts, json!({})), "adopt: Never");
    // A policy that only plans, or is suspended, takes nothing over by its machines.
    for paused in [json!({ "mode": "Plan" }), json!({ "suspend": true })] {
        let mut spec = adopting.clone();
        spec.as_object_mut().unwrap().extend(paused.as_object().unwrap().clone());
        assert!(!sends(&seen(spec), json!({})), "{paused}");
    }
}

#[test]
fn what_azure_says_of_an_item_is_told_without_its_secrets() {
    let said = "cannot read https://a.blob.core.windows.net/v?sv=1&sig=CANARY and AccountKey=CANARY";
    let health = json!([{ "code": 1, "message": format!("{said}\u{1b}[31m") }]);
    let failed = json!({ "lastBackupStatus": "Failed", "lastBackupTime": "2026-03-01T10:00:00Z", "protectionState": "Protected",
        "healthDetails": health });
    let report = reported(&owner(json!({})), &protected(json!({}), failed));
    let told = Value::Object(report.status).to_string();
    assert!(told.contains("cannot read") && !told.contains("CANARY") && !told.contains("\\u001b"), "{told}");
    let job =
        json!({ "properties": { "status": "Failed", "operation": "Backup", "errorDetails": [{ "errorCode": 7, "errorString": said }] } });
    let error = breakwater_plan::jobs::SeenJob::read("j", &job).error.unwrap();
    assert!(error.starts_with("7 cannot read") && !error.contains("CANARY"), "{error}");
}

#[test]
fn a_machine_goes_to_another_policy_only_by_what_is_read_of_both_just_now() {
    let hash = breakwater_plan::keys::hash8(&["acme", "shop", "BackupPolicy", "nightly"]);
    let old = vault().child("backupPolicies", &format!("bw-{hash}-nightly")).unwrap();
    let mut facts = protected(json!({}), json!({ "protectionState": "Protected", "policyId": old }));
    see(&mut facts, &old, Some(policy_body(policy_spec(json!({})), 1)));
    let just_now = Fresh::Within(jiff::SignedDuration::from_secs(15));
    let reads = |facts: &Facts| {
        let needs = ProtectedMachine::needs(&owner(json!({})), facts);
        needs.iter().filter(|need| matches!(need, Need::Read { fresh, .. } if *fresh == just_now)).count()
    };
    let moved = |facts: &Facts| told(&planned(&owner(json!({})), facts), "protection");
    assert_eq!((reads(&facts), moved(&facts).as_str()), (2, "PUT"));
    for id in [&old, &daily()] {
        let mut aged = facts.clone();
        aged.seen.get_mut(id).and_then(|seen| seen.read.as_mut()).unwrap().at = now() - jiff::SignedDuration::from_mins(1);
        assert_eq!(moved(&aged), "wait: NotYetObserved", "{id}");
    }
    assert_eq!(reads(&protected(json!({}), json!({ "protectionState": "Protected" }))), 0, "at rest nothing more is read");
    let edited: Subject<BackupPolicy> = subject("daily", policy_spec(json!({})), json!({ "policyId": daily(), "observedGeneration": 0 }));
    let view = View::<BackupPolicy> { meta: edited.meta, spec: edited.spec, status: edited.status };
    let at = ObjectRef { kind: BackupPolicy::NAME, namespace: "shop".into(), name: "daily".into() };
    facts.objects.insert(at, Some(Arc::new(view)));
    assert_eq!(moved(&facts), "wait: DependencyNotReady", "its edit was not looked at yet");
}
