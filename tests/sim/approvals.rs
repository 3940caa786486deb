//! Questions and answers: what a person must agree to waits, counts once, and is written down.

use breakwater_arm::versions::RECOVERY_SERVICES;
use breakwater_engine::ports::ObjectKey;
use breakwater_plan::defence::TAG_WRITER;
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Writer,
    },
    sim::{ArmFault, Options, Simulation},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    manifests::SMALL,
    people::{OPERATOR, answer, approval, asked, by_hand, edit, granted, key, protected, question, sent},
};

const DAILY: (&str, &str) = ("BackupPolicy", "daily");

fn shorten(sim: &mut Simulation, days: i64) {
    edit(sim, "BackupPolicy", "daily", json!({ "retention": { "daily": { "keep": format!("{days}d") } } }));
}

#[test]
fn a_shorter_retention_waits_for_an_answer_and_uses_it_once() {
    let mut sim = protected(&granted("Disabled"));
    shorten(&mut sim, 8);
    let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
    let words = asks["asks"].as_str().unwrap();
    assert!(words.contains("(machines: 2)") && words.ends_with("Shall it be done?"), "{asks}");
    assert_eq!(asks["answers"], json!(["approve"]));
    let before = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "nothing is sent while nobody answers");
    answer(&sim, DAILY, &asks, "approve");
    sim.run_until("the policy is as declared", SignedDuration::from_hours(2), |sim| sim.is_ready("BackupPolicy", "daily"));
    sim.run_for(SignedDuration::from_mins(10));
    let puts = sent(&sim, before);
    assert!(puts.len() == 1 && puts[0].contains("PUT") && puts[0].contains("/backupPolicies/"), "{puts:#?}");
    assert_eq!(sim.condition("Approval", "daily-points-expire", "Ready").1, "AnswerUsed", "{}", sim.tell());
    assert_eq!(sim.status("BackupPolicy", "daily")["answered"][0]["by"], "ann@example.com");
    assert_eq!(question(&sim, "BackupPolicy", "daily", "points-expire"), None);
    let told = sim.audit.lines();
    let told: Vec<&Value> = told.iter().filter(|line| line["approvals"][0]["by"] == "ann@example.com").collect();
    assert_eq!(told.iter().map(|l| l["event"].as_str().unwrap()).collect::<Vec<_>>(), ["sending", "answered"]);
    // Somebody makes it longer in Azure: what was answered once is no answer to that.
    let policy = sim.status("BackupPolicy", "daily")["policyId"].as_str().unwrap().to_owned();
    let edit = json!({ "method": "PATCH", "id": policy, "body": { "properties": { "retentionPolicy": { "dailySchedule": { "retentionDuration": { "count": 30 } } } } } });
    sim.behind_our_back(&[edit]);
    let before = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{}", sim.tell());
}

#[test]
fn an_answer_that_does_not_count_changes_nothing_and_says_why() {
    let mut sim = protected(&granted("Disabled"));
    shorten(&mut sim, 8);
    let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
    let before = sim.requests().len();
    let right = approval(&sim, DAILY, &asks, "approve");
    let with = |name: &str, field: &str, value: Value| {
        let mut other = right.clone();
        other["metadata"]["name"] = json!(name);
        other["spec"][field] = value;
        other
    };
    let cases = [
        (with("expired", "expiresAt", json!(sim.now() - SignedDuration::from_mins(1))), "AnswerExpired"),
        (with("another-question", "digest", json!("0".repeat(64))), "NoSuchQuestion"),
        (with("another-object", "targetUid", json!("11111111-1111-1111-1111-111111111111")), "ReferenceNotFound"),
        (with("another-word", "answer", json!("yes")), "InvalidSpec"),
        (with("another-id", "question", json!("takeover")), "NoSuchQuestion"),
    ];
    for (object, _) in &cases {
        sim.cluster.user().apply_object(object).expect("the API server takes it");
    }
    sim.run_for(SignedDuration::from_hours(1));
    for (object, reason) in &cases {
        let name = object["metadata"]["name"].as_str().unwrap();
        assert_eq!(sim.condition("Approval", name, "Ready").1, *reason, "{name}: {}", sim.tell());
    }
    // An answer to the declaration of yesterday.
    shorten(&mut sim, 9);
    sim.cluster.user().apply_object(&with("yesterdays", "answer", json!("approve"))).unwrap();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sim.condition("Approval", "yesterdays", "Ready").1, "NoSuchQuestion");
    assert_eq!(sent(&sim, before), Vec::<String>::new());
    assert_eq!(sim.condition("BackupPolicy", "daily", "Ready").1, "WouldExpirePoints");
}

#[test]
fn without_the_rule_of_who_may_answer_no_answer_counts() {
    let mut sim = protected(&granted("Disabled"));
    shorten(&mut sim, 8);
    let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
    let before = sim.requests().len();
    let binding =
        ObjectKey { kind: "ValidatingAdmissionPolicyBinding".into(), namespace: String::new(), name: "breakwater-approvals".into() };
    let policy = ObjectKey { kind: "ValidatingAdmissionPolicy".into(), ..binding.clone() };
    sim.cluster.user().patch(&policy, &json!({ "spec": { "failurePolicy": "Ignore" } })).unwrap();
    answer(&sim, DAILY, &asks, "approve");
    sim.run_for(SignedDuration::from_hours(1));
    let (_, reason, message) = sim.condition("Approval", "daily-points-expire", "Ready");
    assert_eq!(reason, "AnswersNotInForce", "{}", sim.tell());
    assert!(message.ends_with("apply deploy/kustomize/access, and answer anew 30 s later"), "{message}");
    assert!(sim.condition("BackupPolicy", "daily", "Ready").2.contains("answers do not count now"), "{}", sim.tell());
    // The rule comes back: what was answered without it may be anybody's.
    sim.cluster.user().delete(&policy).unwrap();
    sim.cluster.user().delete(&binding).unwrap();
    sim.apply_the_rule();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{}", sim.tell());
    sim.cluster.user().delete(&key("Approval", "daily-points-expire")).unwrap();
    let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
    answer(&sim, DAILY, &asks, "approve");
    sim.run_until("a new answer counts", SignedDuration::from_hours(2), |sim| sim.is_ready("BackupPolicy", "daily"));
}

#[test]
fn an_answer_needs_the_act_in_the_grant_too() {
    let mut sim = protected(SMALL);
    shorten(&mut sim, 8);
    let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
    answer(&sim, DAILY, &asks, "approve");
    let before = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new());
    assert_eq!(sim.condition("BackupPolicy", "daily", "Ready").1, "AccessDenied", "{}", sim.tell());
}

#[test]
fn an_approved_edit_survives_every_fault_and_is_sent_no_oftener_than_it_must_be() {
    let play = |what: &str, fault: &dyn Fn(&Simulation)| {
        let mut sim = protected(&granted("Disabled"));
        shorten(&mut sim, 8);
        let asks = asked(&mut sim, "BackupPolicy", "daily", "points-expire");
        fault(&sim);
        answer(&sim, DAILY, &asks, "approve");
        sim.run_until(what, SignedDuration::from_hours(8), |sim| sim.is_ready("BackupPolicy", "daily"));
        sim.run_for(SignedDuration::from_mins(30));
        assert_eq!(sim.status("BackupPolicy", "daily")["operations"], Value::Null, "{what}: {}", sim.tell());
    };
    for fault in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
        play(&format!("{fault:?}"), &|sim| sim.arm_fault(1, fault));
    }
    for nth in 1..=4 {
        for fault in [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter] {
            play(&format!("write {nth} to Kubernetes, {fault:?}"), &|sim| {
                sim.cluster_faults(FaultPlan::seeded(1).with(Strike::Nth(nth), fault.clone()));
            });
        }
    }
}

#[test]
fn locked_is_asked_about_and_then_done_once() {
    let mut sim = protected(SMALL);
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &json!({ "spec": { "immutability": "Locked" } })).unwrap();
    let asks = asked(&mut sim, "RecoveryVault", "main", "one-way-immutability");
    let before = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new());
    answer(&sim, ("RecoveryVault", "main"), &asks, "approve");
    sim.run_until("locked", SignedDuration::from_hours(2), |sim| sim.is_ready("RecoveryVault", "main"));
    assert_eq!(sim.status("RecoveryVault", "main")["vault"]["immutability"], "Locked");
    assert_eq!(sent(&sim, before).len(), 1, "{:#?}", sent(&sim, before));
}

#[test]
fn a_rebuilt_cluster_only_reads_until_one_takeover_and_then_writes_one_tag_and_nothing_else() {
    let mut sim = protected(SMALL);
    let before = sim.requests().len();
    sim.lose_cluster("cluster-two");
    sim.apply_the_rule();
    sim.apply(SMALL);
    sim.run_for(SignedDuration::from_hours(3));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{}", sim.tell());
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").1, "OwnedByOtherCluster", "{}", sim.tell());
    let asks = asked(&mut sim, "RecoveryVault", "main", "takeover");
    answer(&sim, ("RecoveryVault", "main"), &asks, "approve");
    sim.run_until("all is owned as before", SignedDuration::from_hours(3), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let told = all.iter().filter(|o| o.data.pointer("/status/protection") == Some(&json!("Protected"))).count();
        told == 2 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
    });
    sim.run_for(SignedDuration::from_hours(2));
    let written = sent(&sim, before);
    assert!(written.len() == 1 && written[0].contains("PATCH") && written[0].contains("/tags/default"), "{written:#?}");
    let owned = |kind: &str, name: &str| sim.status(kind, name)["owned"].as_array().map_or(0, Vec::len);
    assert_eq!((owned("RecoveryVault", "main"), owned("BackupPolicy", "daily")), (1, 1));
    let members = sim.cluster.live_all("ProtectedMachine");
    assert!(members.iter().filter(|o| o.data.pointer("/status/owned").is_some()).count() == 2, "{}", sim.tell());
    assert!(sim.cluster.write_log(0).iter().all(|w| w.writer != Writer::Operator || !format!("{w}").contains("Secret")));
    // The other cluster takes it back: the answer was used, and is none to that.
    let id = sim.status("RecoveryVault", "main")["vault"]["id"].as_str().expect("an id").to_owned();
    let mut tags = by_hand(&sim, OPERATOR, "GET", &id, RECOVERY_SERVICES, Value::Null).1["tags"].clone();
    tags[TAG_WRITER] = json!(Options::default().writer);
    let before = sim.requests().len();
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": id, "body": { "tags": tags } })]);
    let again = asked(&mut sim, "RecoveryVault", "main", "takeover");
    assert_eq!(again["digest"], asks["digest"], "the same question");
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{}", sim.tell());
}

/// The guard of the estate `guarded.yaml`.
const GUARD: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-guard/providers/Microsoft.DataProtection/resourceGuards/guard";

#[test]
fn guarded_calls_carry_the_guards_reference_and_a_refusal_names_the_operation() {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    sim.apply_the_rule();
    let manifest = granted("Disabled")
        .replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-guard]")
        .replace("  tags: { cost-center: shop }", &format!("  tags: {{ cost-center: shop }}\n  resourceGuard: {{ id: {GUARD} }}"));
    sim.apply(&manifest);
    sim.run_until("all stands", SignedDuration::from_hours(3), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        all.len() == 1
            && sim.is_ready("ProtectedMachine", all[0].metadata.name.as_deref().unwrap())
            && sim.is_ready("RecoveryVault", "main")
    });
    let stop = |sim: &Simulation| {
        let name = sim.cluster.live_all("ProtectedMachine")[0].metadata.name.clone().unwrap();
        sim.cluster.user().patch(&key("ProtectedMachine", &name), &json!({ "spec": { "protection": "Stopped" } })).unwrap();
        name
    };
    let name = stop(&sim);
    sim.run_until("it is stopped", SignedDuration::from_hours(2), |sim| sim.status("ProtectedMachine", &name)["protection"] == "Stopped");
    let guard = sim.status("RecoveryVault", "main")["vault"]["resourceGuard"].clone();
    assert!(guard.as_str().is_some_and(|guard| guard.eq_ignore_ascii_case(GUARD)), "{guard}");
    edit(&sim, "RecoveryVault", "main", json!({ "softDelete": { "state": "Enabled", "retentionDays": 60 } }));
    sim.run_for(SignedDuration::from_mins(10));
    let azure = sim.azure.lock().unwrap();
    for (method, path) in [("PUT", "/protectedItems/"), ("PATCH", "/backupconfig/vaultconfig")] {
        let last = azure.journal().entries().iter().rfind(|e| e.method == method && e.path.contains(path));
        let references = last.expect("it was sent").body.pointer("/properties/resourceGuardOperationRequests").cloned();
        assert!(
            references.as_ref().is_some_and(|r| r[0].as_str().unwrap().to_ascii_lowercase().starts_with(&GUARD.to_ascii_lowercase())),
            "{method} {path}: {references:?}"
        );
    }
}

#[test]
fn a_guard_that_the_object_does_not_know_refuses_and_names_the_operation() {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    let known = granted("Disabled")
        .replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-guard]")
        .replace("  tags: { cost-center: shop }", &format!("  tags: {{ cost-center: shop }}\n  resourceGuard: {{ id: {GUARD} }}"));
    sim.apply(&known);
    sim.run_until("protected", SignedDuration::from_hours(3), |sim| {
        sim.cluster.live_all("ProtectedMachine").iter().any(|o| o.data.pointer("/status/owned").is_some())
            && sim.is_ready("RecoveryVault", "main")
    });
    // Taken out of the manifest, it still guards.
    sim.apply(&granted("Disabled"));
    sim.run_for(SignedDuration::from_mins(30));
    let name = sim.cluster.live_all("ProtectedMachine")[0].metadata.name.clone().unwrap();
    sim.invariants.rights_are_withdrawn();
    sim.cluster.user().patch(&key("ProtectedMachine", &name), &json!({ "spec": { "protection": "Stopped" } })).unwrap();
    sim.run_until("it is refused", SignedDuration::from_hours(2), |sim| {
        sim.condition("ProtectedMachine", &name, "Ready").1 == "ResourceGuarded"
    });
    let (_, _, message) = sim.condition("ProtectedMachine", &name, "Ready");
    assert!(message.contains("stopProtectionWithRetainData") && message.contains("resourceGuards/guard"), "{message}");
    assert_eq!(sim.condition("ProtectedMachine", &name, "Stalled").0, "True");
}

/// A key that the vault's own identity may read, and one that nobody may.
const KEY: &str = "https://kv-shop.vault.azure.net/keys/backup";

#[test]
fn a_vault_gets_its_key_before_anything_is_in_it_and_is_asked_about_afterwards() {
    let keyed = |manifest: &str| {
        manifest.replace(
            "  tags: { cost-center: shop }",
            &format!("  tags: {{ cost-center: shop }}\n  encryption: {{ keyUri: '{KEY}', identity: {KEY_READER} }}"),
        )
    };
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    sim.apply(&keyed(&granted("Disabled")));
    sim.run_until("protected", SignedDuration::from_hours(3), |sim| {
        sim.cluster.live_all("ProtectedMachine").iter().any(|o| o.data.pointer("/status/owned").is_some())
    });
    assert_eq!(sim.status("RecoveryVault", "main")["keyUri"], KEY, "{}", sim.tell());
    let order: Vec<String> = sent(&sim, 0);
    let at = |what: &str| order.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {order:#?}"));
    assert!(at("PATCH") < at("/protectedItems/"), "{order:#?}");
    // A vault that holds something already is asked about.
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    sim.apply_the_rule();
    sim.apply(&granted("Disabled"));
    sim.run_until("protected", SignedDuration::from_hours(3), |sim| {
        sim.cluster.live_all("ProtectedMachine").iter().any(|o| o.data.pointer("/status/owned").is_some())
    });
    sim.apply(&keyed(&granted("Disabled")));
    let asks = asked(&mut sim, "RecoveryVault", "main", "one-way-encryption");
    let before = sim.requests().len();
    answer(&sim, ("RecoveryVault", "main"), &asks, "approve");
    sim.run_until("encrypted", SignedDuration::from_hours(2), |sim| sim.is_ready("RecoveryVault", "main"));
    assert_eq!(sim.status("RecoveryVault", "main")["keyUri"], KEY);
    assert!((1..=2).contains(&sent(&sim, before).len()), "the identity and the key: {:#?}", sent(&sim, before));
}

const KEY_READER: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup";
