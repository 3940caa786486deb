//! Who else reaches for the same thing: two objects, two teams, two accesses, Azure Policy, whoever ends a namespace or
//! changes a machine, and whom a grant by labels admits.

use std::{collections::BTreeSet, sync::PoisonError};

use breakwater_engine::ports::ObjectKey;
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Verb,
    },
    sim::{Options, Simulation, Truth},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    main_job::protected,
    manifests::SMALL,
    people::{is_free, key, member, protected as protected_by, sent, vault_with},
};

const ID: &str = "50b50000-0000-4000-8000-000000000001";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn group(name: &str) -> String {
    format!("/subscriptions/{ID}/resourceGroups/{name}")
}

fn machine(name: &str) -> String {
    format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", group("rg-shop"))
}

/// The protected item of a machine of rg-shop in a vault.
fn item(vault: &str, machine: &str) -> String {
    let fabric = format!("{}/providers/Microsoft.RecoveryServices/vaults/{vault}/backupFabrics/Azure", group("rg-backup"));
    let name = format!("iaasvmcontainerv2;rg-shop;{machine}");
    format!("{fabric}/protectionContainers/iaasvmcontainer;{name}/protectedItems/vm;{name}")
}

/// One of the two teams: its number is in every name of its.
#[derive(Clone, Copy)]
pub struct Team(u8);

pub const FIRST: Team = Team(1);
pub const SECOND: Team = Team(2);

impl Team {
    pub fn mark(self) -> String {
        format!("zq{}", self.0)
    }

    fn client(self) -> String {
        format!("c11e0000-0000-4000-8000-00000000000{}", self.0)
    }

    fn access(self) -> Value {
        let groups = json!(["rg-machines", "rg-common", format!("rg-{}", self.mark())]);
        access(&format!("access-{}", self.mark()), &self.client(), &json!({ "names": [self.mark()] }), &groups)
    }

    fn object(self, kind: &str, name: &str, spec: Value) -> Value {
        object(kind, &self.mark(), &format!("{name}-{}", self.mark()), spec)
    }

    fn key(self, kind: &str, name: &str) -> ObjectKey {
        ObjectKey { kind: kind.into(), namespace: self.mark(), name: format!("{name}-{}", self.mark()) }
    }

    /// The vault that both of them want.
    fn common_vault(self, name: &str, keeps: u32) -> Value {
        let soft = json!({ "state": "Enabled", "retentionDays": keeps });
        let spec = json!({ "softDelete": soft, "tags": { "team": self.mark() } });
        self.object("RecoveryVault", "vault", merged(vault_spec("rg-common", name), spec))
    }

    /// A vault of its own, and a policy that means the machine that both of them want.
    fn policy(self) -> Vec<Value> {
        let vault = vault_spec(&format!("rg-{}", self.mark()), &format!("rv-{}", self.mark()));
        let selector = json!({ "subscriptionId": ID, "resourceGroups": ["rg-machines"], "tags": { "all": { "app": ["shop"] } } });
        let policy = policy_spec(&format!("vault-{}", self.mark()), &json!([{ "selector": selector }]));
        vec![self.object("RecoveryVault", "vault", vault), self.object("BackupPolicy", "policy", policy)]
    }

    /// Everything that stands in its namespace, as text.
    pub fn reads(self, sim: &Simulation) -> String {
        let kinds = ["RecoveryVault", "BackupPolicy", "ProtectedMachine"];
        let objects = kinds.into_iter().flat_map(|kind| sim.cluster.live_all(kind));
        let own = objects.filter(|o| o.metadata.namespace == Some(self.mark())).map(|o| serde_json::to_string(&*o).expect("JSON"));
        let events = sim.cluster.events();
        let heard = events.iter().filter(|e| e.about.namespace == self.mark()).map(|e| format!("{:?}", e.event));
        own.chain(heard).collect::<Vec<_>>().join("\n").to_lowercase()
    }

    /// Its own `ProtectedMachine` of the machine that both of them want.
    pub fn machine(self, sim: &Simulation) -> ObjectKey {
        let all = sim.cluster.live_all("ProtectedMachine");
        let own = all.iter().find(|o| o.metadata.namespace == Some(self.mark()));
        let name = own.and_then(|o| o.metadata.name.clone()).unwrap_or_else(|| panic!("{} has no member: {}", self.mark(), sim.tell()));
        ObjectKey { kind: "ProtectedMachine".into(), namespace: self.mark(), name }
    }

    /// Writes to Azure under its identity whose path holds that.
    fn wrote(self, sim: &Simulation, part: &str) -> usize {
        let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let by_it = azure.journal().entries().iter().filter(|e| e.client == self.client() && e.method != "GET");
        by_it.filter(|e| !e.path.ends_with("/backupStatus") && e.path.contains(part)).count()
    }
}

fn merged(mut spec: Value, more: Value) -> Value {
    spec.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    spec
}

pub fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

fn access(name: &str, client: &str, namespaces: &Value, groups: &Value) -> Value {
    let spec = json!({ "tenantId": "72f988bf-0000-4000-8000-00000000000a", "namespaces": namespaces,
        "identity": { "workload": { "clientId": client, "serviceAccount": name } },
        "allow": [{ "subscriptionId": ID, "resourceGroups": groups, "acts": ["Read", "Protect", "Backup"] }] });
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": name }, "spec": spec })
}

fn vault_spec(group: &str, name: &str) -> Value {
    json!({ "subscriptionId": ID, "resourceGroup": group, "location": "westeurope", "azureName": name })
}

fn policy_spec(vault: &str, machines: &Value) -> Value {
    json!({ "vaultRef": { "name": vault }, "schedule": { "daily": { "at": "02:00" } }, "retention": { "daily": { "keep": "30d" } },
        "firstBackup": "Now", "machines": machines })
}

pub fn apply<'a>(sim: &Simulation, objects: impl IntoIterator<Item = &'a Value>) {
    objects.into_iter().for_each(|object| drop(sim.cluster.user().apply_object(object).expect("the API server takes it")));
}

/// Both teams with their grants, and nothing else.
fn two_teams() -> Simulation {
    let sim = Simulation::new(Options { estate: "tests/sim/estates/neighbours.yaml", ..Options::default() });
    apply(&sim, &[FIRST.access(), SECOND.access()]);
    sim
}

fn status(sim: &Simulation, at: &ObjectKey) -> Value {
    sim.cluster.live(at).and_then(|o| o.data.get("status").cloned()).unwrap_or_default()
}

fn said(sim: &Simulation, at: &ObjectKey, about: &str) -> (String, String, String) {
    let all = status(sim, at)["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|c| c["type"] == about).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn is_ready(sim: &Simulation, at: &ObjectKey) -> bool {
    said(sim, at, "Ready").0 == "True"
}

fn has_point(sim: &Simulation, at: &ObjectKey) -> bool {
    status(sim, at).pointer("/recoveryPoints/latestInVault").is_some()
}

/// The loser says so, stands still, and names what both of them named and nothing of the other one.
fn lost(sim: &Simulation, at: &ObjectKey, names: &str) {
    let (ready, reason, message) = said(sim, at, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Conflict"), "{message}\n{}", sim.tell());
    assert_eq!(said(sim, at, "Stalled").0, "True", "{}", sim.tell());
    assert!(message.to_lowercase().contains(names), "{message}");
}

#[test]
fn of_two_objects_of_one_namespace_that_mean_one_vault_the_first_has_it_and_neither_writes_again() {
    let mut sim = two_teams();
    apply(&sim, &[FIRST.common_vault("rv-common", 30)]);
    sim.run_until("it stands", HOUR, |sim| is_ready(sim, &FIRST.key("RecoveryVault", "vault")));
    let mut twin = FIRST.common_vault("RV-Common", 90);
    twin["metadata"]["name"] = json!("twin-zq1");
    twin["spec"]["tags"] = json!({ "team": "another" });
    apply(&sim, &[twin]);
    sim.run_for(HOUR);
    lost(&sim, &FIRST.key("RecoveryVault", "twin"), "/vaults/rv-common");
    let before = (sim.arm.writes(), sim.cluster.writes());
    sim.run_for(HOUR * 12);
    sim.die("and rebuilds who holds what");
    sim.run_for(HOUR * 12);
    lost(&sim, &FIRST.key("RecoveryVault", "twin"), "/vaults/rv-common");
    assert!(is_ready(&sim, &FIRST.key("RecoveryVault", "vault")), "{}", sim.tell());
    assert_eq!((sim.arm.writes(), sim.cluster.writes()), before, "{}", sim.tell());
}

#[test]
fn who_has_lost_a_claim_can_be_deleted_and_does_nothing_to_what_it_lost() {
    let mut sim = two_teams();
    apply(&sim, &[FIRST.common_vault("rv-common", 30)]);
    sim.run_until("it stands", HOUR, |sim| is_ready(sim, &FIRST.key("RecoveryVault", "vault")));
    let mut twin = FIRST.common_vault("rv-common", 90);
    twin["metadata"]["name"] = json!("twin-zq1");
    twin["spec"]["deletionPolicy"] = json!("Delete");
    apply(&sim, &[twin]);
    let at = FIRST.key("RecoveryVault", "twin");
    sim.run_for(HOUR);
    lost(&sim, &at, "/vaults/rv-common");
    let before = sim.arm.writes();
    sim.cluster.user().delete(&at).expect("it is there");
    sim.run_until("it is gone", HOUR, |sim| sim.cluster.live(&at).is_none());
    sim.run_for(HOUR);
    assert_eq!(sim.arm.writes(), before, "{}", sim.tell());
    assert!(is_ready(&sim, &FIRST.key("RecoveryVault", "vault")), "{}", sim.tell());
}

#[test]
fn of_two_teams_that_mean_one_vault_one_has_it_and_the_other_hears_nothing_of_it() {
    let mut sim = two_teams();
    apply(&sim, &[FIRST.common_vault("rv-common", 30), SECOND.common_vault("rv-common", 60)]);
    let ready = |sim: &Simulation, team: Team| is_ready(sim, &team.key("RecoveryVault", "vault"));
    sim.run_until("one has it", HOUR, |sim| ready(sim, FIRST) || ready(sim, SECOND));
    sim.run_for(HOUR);
    let (has, has_not) = if ready(&sim, FIRST) { (FIRST, SECOND) } else { (SECOND, FIRST) };
    lost(&sim, &has_not.key("RecoveryVault", "vault"), "/vaults/rv-common");
    let before = (sent(&sim, 0), sim.cluster.writes());
    sim.run_for(HOUR * 12);
    sim.hand_over();
    sim.run_for(HOUR * 12);
    assert_eq!((sent(&sim, 0), sim.cluster.writes()), before, "{}", sim.tell());
    assert!(ready(&sim, has), "{}", sim.tell());
    lost(&sim, &has_not.key("RecoveryVault", "vault"), "/vaults/rv-common");
    assert_eq!(has_not.wrote(&sim, ""), 0, "{}", sim.tell());
    assert!(!has_not.reads(&sim).contains(&has.mark()), "{}", has_not.reads(&sim));
}

#[test]
fn a_vault_whose_holder_is_deleted_is_nobodys_booty() {
    for adopt in ["Never", "IfNotWeaker"] {
        let mut sim = two_teams();
        apply(&sim, &[FIRST.common_vault("rv-common", 30)]);
        sim.run_until("it stands", HOUR, |sim| is_ready(sim, &FIRST.key("RecoveryVault", "vault")));
        let mut second = SECOND.common_vault("rv-common", 60);
        second["spec"]["adopt"] = json!(adopt);
        apply(&sim, &[second]);
        sim.run_for(HOUR);
        lost(&sim, &SECOND.key("RecoveryVault", "vault"), "/vaults/rv-common");
        sim.cluster.user().delete(&FIRST.key("RecoveryVault", "vault")).expect("it is there");
        let before = sim.arm.writes();
        sim.run_for(HOUR * 24);
        let (ready, reason, message) = said(&sim, &SECOND.key("RecoveryVault", "vault"), "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "NotOurs"), "{adopt}: {message}");
        assert!(message.contains("rv-common") && !message.contains(&FIRST.mark()), "{adopt}: {message}");
        assert_eq!(sim.arm.writes(), before, "{adopt}: {}", sim.tell());
    }
}

#[test]
fn what_a_holder_whose_access_is_gone_protects_is_left_alone_all_the_same() {
    let mut sim = first_protects();
    let access = ObjectKey { kind: "AzureAccess".into(), namespace: String::new(), name: format!("access-{}", FIRST.mark()) };
    sim.cluster.user().delete(&access).expect("it is there");
    sim.run_for(HOUR);
    sim.die("and rebuilds who holds what");
    sim.run_for(HOUR * 24);
    assert_eq!(said(&sim, &FIRST.machine(&sim), "Ready").1, "AccessLost", "{}", sim.tell());
    // Its claim counts no more, for anybody could write it into a status; what Azure says of the machine does.
    let (ready, reason, message) = said(&sim, &SECOND.machine(&sim), "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "ElsewhereProtected"), "{message}");
    assert!(!message.contains(&FIRST.mark()), "{message}");
    assert_eq!(SECOND.wrote(&sim, "/protectedItems/"), 0, "{}", sim.tell());
}

/// Both teams with their policies, the first one's a while before, until the first has a point.
pub fn first_protects() -> Simulation {
    let mut sim = two_teams();
    apply(&sim, &FIRST.policy());
    sim.run_until("the first has a point", HOUR * 6, |sim| {
        !sim.cluster.live_all("ProtectedMachine").is_empty() && has_point(sim, &FIRST.machine(sim))
    });
    apply(&sim, &SECOND.policy());
    sim.run_for(HOUR);
    sim
}

#[test]
fn of_two_teams_that_mean_one_machine_one_protects_it_and_the_other_says_conflict_for_days() {
    let mut sim = first_protects();
    let (ours, theirs) = (FIRST.machine(&sim), SECOND.machine(&sim));
    let holds = |sim: &Simulation| {
        assert!(is_ready(sim, &ours), "{}", sim.tell());
        lost(sim, &theirs, "virtualmachines/web-1");
        assert_eq!(SECOND.wrote(sim, "/protectedItems/"), 0, "{}", sim.tell());
    };
    holds(&sim);
    let of_loser = |sim: &Simulation| sim.cluster.write_log(0).iter().filter(|w| w.key == theirs).count();
    let (puts, wrote) = (FIRST.wrote(&sim, "/protectedItems/"), of_loser(&sim));
    sim.run_for(HOUR * 24);
    holds(&sim);
    sim.die("and rebuilds who holds what");
    sim.run_for(HOUR * 24);
    holds(&sim);
    assert_eq!((FIRST.wrote(&sim, "/protectedItems/"), of_loser(&sim)), (puts, wrote), "{}", sim.tell());
    let policy = status(&sim, &SECOND.key("BackupPolicy", "policy"));
    assert_eq!((policy["protected"].as_i64(), policy["excluded"][0]["reason"].as_str()), (Some(0), Some("Conflict")), "{policy:#}");
}

#[test]
fn two_teams_that_mean_one_machine_at_the_same_time_do_not_both_enable_it() {
    let mut sim = two_teams();
    apply(&sim, FIRST.policy().iter().chain(&SECOND.policy()));
    sim.run_for(HOUR * 6);
    let (ours, theirs) = (FIRST.machine(&sim), SECOND.machine(&sim));
    let won: Vec<bool> = [&ours, &theirs].map(|at| has_point(&sim, at)).to_vec();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{}", sim.tell());
    lost(&sim, if won[0] { &theirs } else { &ours }, "virtualmachines/web-1");
    let enabled = [FIRST, SECOND].map(|team| team.wrote(&sim, "/protectedItems/") > 0);
    assert_eq!(enabled.to_vec(), won, "{}", sim.tell());
}

#[test]
fn when_the_first_team_lets_go_of_its_object_the_machine_stays_where_it_is_protected() {
    let mut sim = first_protects();
    sim.cluster.user().delete(&FIRST.key("BackupPolicy", "policy")).expect("it is there");
    sim.run_for(HOUR * 6);
    assert!(sim.cluster.live_all("ProtectedMachine").iter().all(|o| o.metadata.namespace == Some(SECOND.mark())), "{}", sim.tell());
    assert_eq!(said(&sim, &SECOND.machine(&sim), "Ready").1, "ElsewhereProtected", "{}", sim.tell());
    assert_eq!(SECOND.wrote(&sim, "/protectedItems/"), 0, "{}", sim.tell());
}

/// A second access that admits the shop: the same identity, the same groups, another name.
pub fn second_access() -> Value {
    let groups = json!(["rg-shop", "rg-backup"]);
    access("annex", "c11e0000-0000-4000-8000-000000000001", &json!({ "names": ["shop"] }), &groups)
}

/// Requests for anything but the subscription itself, which an access looks at for itself.
fn asked_for_more(sim: &Simulation, since: usize) -> Vec<String> {
    let of_access = format!("GET /subscriptions/{ID} ");
    sim.requests().into_iter().skip(since).filter(|line| !line.contains(&of_access)).collect()
}

#[test]
fn of_two_accesses_that_admit_a_namespace_none_is_guessed_and_a_reference_settles_it() {
    let mut sim = Simulation::new(Options::default());
    apply(&sim, &[second_access()]);
    sim.apply(SMALL);
    sim.run_for(HOUR * 2);
    for (kind, name) in [("RecoveryVault", "main"), ("BackupPolicy", "daily")] {
        let (ready, reason, message) = sim.condition(kind, name, "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "AmbiguousAccess"), "{}", sim.tell());
        assert!(message.contains("spec.accessRef.name"), "{message}");
        assert!(sim.status(kind, name)["access"].is_null(), "nothing is pinned");
    }
    assert_eq!(asked_for_more(&sim, 0), Vec::<String>::new());
    assert!(sim.cluster.live_all("ProtectedMachine").is_empty(), "{}", sim.tell());
    for (kind, name) in [("RecoveryVault", "main"), ("BackupPolicy", "daily")] {
        sim.cluster.user().patch(&key(kind, name), &json!({ "spec": { "accessRef": { "name": "annex" } } })).expect("it is there");
    }
    let both = |sim: &Simulation| {
        let all = sim.cluster.live_all("ProtectedMachine");
        all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latest").is_some()).count() == 2
    };
    sim.run_until("both are backed up", HOUR * 6, |sim| both(sim));
    let pinned = |kind: &str, name: &str| sim.status(kind, name)["access"]["name"].clone();
    for (kind, name) in [("RecoveryVault", "main"), ("BackupPolicy", "daily"), ("ProtectedMachine", &member(&sim, "web-1"))] {
        assert_eq!(pinned(kind, name), "annex", "{kind}: {}", sim.tell());
    }
}

#[test]
fn one_access_fewer_settles_it_too() {
    let mut sim = Simulation::new(Options::default());
    apply(&sim, &[second_access()]);
    sim.apply(SMALL);
    sim.run_for(HOUR);
    sim.cluster.user().delete(&key("AzureAccess", "annex")).expect("it is there");
    sim.run_until("the vault", HOUR, |sim| sim.is_ready("RecoveryVault", "main"));
    assert_eq!(sim.status("RecoveryVault", "main")["access"]["name"], "shop", "{}", sim.tell());
}

#[test]
fn a_second_access_that_comes_later_stalls_nothing_that_runs() {
    let mut sim = protected();
    sim.run_for(HOUR);
    apply(&sim, &[second_access()]);
    let objects = || [("RecoveryVault", "main".to_owned()), ("BackupPolicy", "daily".to_owned())];
    let members = ["web-1", "win-1"].map(|name| ("ProtectedMachine", member(&sim, name)));
    let last = |sim: &Simulation| members.clone().map(|(kind, name)| sim.status(kind, &name)["recoveryPoints"]["latest"]["at"].clone());
    let before = last(&sim);
    for step in 0..3 {
        if step == 1 {
            sim.die("and finds two accesses");
        }
        sim.run_for(HOUR * 12);
        for (kind, name) in objects().into_iter().chain(members.clone()) {
            assert!(sim.is_ready(kind, &name), "{kind} {name}: {}", sim.tell());
            assert_eq!(sim.status(kind, &name)["access"]["name"], "shop", "{kind} {name}");
        }
    }
    assert!(last(&sim).iter().zip(&before).all(|(now, then)| now.as_str() > then.as_str()), "{before:?}: {}", sim.tell());
}

#[test]
fn an_access_is_not_changed_under_what_works_under_it() {
    let mut sim = protected();
    sim.run_for(HOUR);
    apply(&sim, &[second_access()]);
    for (kind, name) in
        [("RecoveryVault", "main".to_owned()), ("BackupPolicy", "daily".to_owned()), ("ProtectedMachine", member(&sim, "web-1"))]
    {
        let refers = |access: &str| sim.cluster.user().patch(&key(kind, &name), &json!({ "spec": { "accessRef": { "name": access } } }));
        let refused = refers("annex").expect_err("the API server knows what it works under").to_string();
        assert!(refused.contains("accessRef was resolved to status.access.name"), "{kind}: {refused}");
        refers("shop").expect("what it works under may be written down");
    }
    sim.run_for(HOUR);
    assert!(sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily"), "{}", sim.tell());
    assert!(sim.is_ready("ProtectedMachine", &member(&sim, "web-1")), "{}", sim.tell());
}

/// The shop's namespace.
pub const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, finalizers: [kubernetes] }\n";

/// `kubectl delete namespace shop`: it is marked, and takes nothing new.
pub fn terminates(sim: &Simulation) {
    let at = ObjectKey { kind: "Namespace".into(), namespace: String::new(), name: "shop".into() };
    sim.cluster.user().delete(&at).expect("it is there");
    assert!(sim.cluster.live(&at).expect("a finalizer holds it").metadata.deletion_timestamp.is_some());
    let words = "unable to create new content in namespace shop because it is being terminated";
    let refused = |kind: &str| (Strike::Every { verb: Verb::Create, kind: kind.into() }, WriteFault::Refused(words.into()));
    let plan = ["ProtectedMachine", "BackupRun", "Secret"].iter().fold(FaultPlan::default(), |plan, kind| {
        let (strike, fault) = refused(kind);
        plan.with(strike, fault)
    });
    sim.cluster_faults(plan);
}

/// Everything of a kind in the shop is deleted, as the namespace's controller does.
pub fn all_deleted(sim: &Simulation, kind: &str) {
    for object in sim.cluster.live_all(kind) {
        let name = object.metadata.name.clone().unwrap_or_default();
        // The garbage collector may have been faster.
        let _ = sim.cluster.user().delete(&key(kind, &name));
    }
}

fn left(sim: &Simulation) -> usize {
    ["RecoveryVault", "BackupPolicy", "ProtectedMachine"].iter().map(|kind| sim.cluster.live_all(kind).len()).sum()
}

/// Recovery points by item, as they are in Azure.
pub fn points(sim: &Simulation) -> BTreeSet<String> {
    let truth = Truth::read(&mut sim.azure.lock().unwrap_or_else(PoisonError::into_inner));
    truth.vaults.values().flat_map(|v| v.items.values()).flat_map(|item| item.points.keys().cloned()).collect()
}

#[test]
fn a_namespace_that_ends_takes_no_point_with_it_and_is_not_held_up() {
    for order in [["ProtectedMachine", "BackupPolicy", "RecoveryVault"], ["RecoveryVault", "BackupPolicy", "ProtectedMachine"]] {
        let mut sim = Simulation::new(Options::default());
        sim.apply(NAMESPACE);
        sim.apply(SMALL);
        sim.run_until("points", HOUR * 6, |sim| points(sim).len() >= 2 && is_free(sim));
        sim.run_for(HOUR);
        let (kept, since) = (points(&sim), sim.requests().len());
        terminates(&sim);
        for kind in order {
            all_deleted(&sim, kind);
            sim.run_for(MINUTE * 20);
        }
        assert_eq!(left(&sim), 0, "{order:?}: {}", sim.tell());
        assert_eq!(sent(&sim, since), Vec::<String>::new(), "{order:?}");
        assert_eq!(points(&sim), kept, "{order:?}");
    }
}

#[test]
fn a_namespace_that_ends_during_a_first_backup_is_let_go_of_when_it_has_ended() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(NAMESPACE);
    sim.apply(SMALL);
    sim.run_until("a backup runs", HOUR * 3, |sim| sent(sim, 0).iter().any(|line| line.ends_with("/backup -> 202")));
    terminates(&sim);
    for kind in ["BackupPolicy", "ProtectedMachine", "RecoveryVault"] {
        all_deleted(&sim, kind);
    }
    sim.run_until("everything is let go of", HOUR * 6, |sim| left(sim) == 0);
    sim.run_for(HOUR * 6);
    assert!(!points(&sim).is_empty(), "{}", sim.tell());
}

#[test]
fn a_namespace_that_is_to_take_its_vault_along_is_held_up_with_the_way_out() {
    let granted = SMALL.replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete]");
    let mut sim = protected_by(&vault_with(&granted, "deletionPolicy: Delete"));
    sim.apply(NAMESPACE);
    for name in ["web-1", "win-1"].map(|name| member(&sim, name)) {
        let edit = json!({ "spec": { "deletionPolicy": "StopAndRetain" } });
        sim.cluster.user().patch(&key("ProtectedMachine", &name), &edit).expect("it is there");
    }
    sim.run_for(MINUTE * 20);
    let (kept, since) = (points(&sim), sim.requests().len());
    terminates(&sim);
    for kind in ["BackupPolicy", "ProtectedMachine", "RecoveryVault"] {
        all_deleted(&sim, kind);
    }
    sim.run_for(HOUR * 6);
    // To stop lets points expire where the vault is immutable, nobody can answer in a namespace that ends, and nothing is
    // stopped unasked.
    assert_eq!(sent(&sim, since), Vec::<String>::new());
    assert!(points(&sim).is_superset(&kept), "{}", sim.tell());
    for (kind, name) in [("RecoveryVault", "main".to_owned()), ("ProtectedMachine", member(&sim, "web-1"))] {
        let (blocked, _, message) = sim.condition(kind, &name, "Blocked");
        assert!(blocked == "True" && message.contains("deletionPolicy: Retain"), "{kind}: {message}\n{}", sim.tell());
        assert!(sim.status(kind, &name).to_string().len() < 32 * 1024);
    }
    for kind in ["ProtectedMachine", "RecoveryVault"] {
        for object in sim.cluster.live_all(kind) {
            let at = key(kind, object.metadata.name.as_deref().unwrap_or_default());
            sim.cluster.user().patch(&at, &json!({ "spec": { "deletionPolicy": "Retain" } })).expect("what ends can be edited");
        }
    }
    sim.run_until("everything is let go of", HOUR, |sim| left(sim) == 0);
    assert_eq!(sent(&sim, since), Vec::<String>::new());
}

/// The edit by which somebody else protects web-1 in that vault under its DefaultPolicy.
pub fn somebody_protects(vault: &str) -> Value {
    let policy = format!("{}/providers/Microsoft.RecoveryServices/vaults/{vault}/backupPolicies/DefaultPolicy", group("rg-backup"));
    let properties =
        json!({ "protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": machine("web-1"), "policyId": policy });
    json!({ "method": "PUT", "id": item(vault, "web-1"), "body": { "properties": properties } })
}

fn puts_web_1(sim: &Simulation) -> Vec<String> {
    sent(sim, 0).into_iter().filter(|line| line.contains(" PUT ") && line.to_lowercase().contains(";web-1 ")).collect()
}

/// The run of the small manifest, step by step, up to where the vault stands in Azure.
fn about_to_protect() -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    sim.run_until("the vault stands", HOUR * 2, |sim| sim.is_ready("RecoveryVault", "main"));
    assert!(puts_web_1(&sim).is_empty(), "{}", sim.tell());
    sim
}

/// In how many steps from there the machine's item is written.
fn steps_before_the_write() -> usize {
    let mut sim = about_to_protect();
    let until = sim.now() + HOUR * 2;
    let mut steps = 0;
    while puts_web_1(&sim).is_empty() {
        assert!(sim.step(until), "{}", sim.tell());
        steps += 1;
    }
    steps
}

#[test]
fn a_machine_that_azure_policy_protects_at_any_moment_before_our_write_is_left_to_it() {
    let steps = steps_before_the_write();
    assert!(steps > 3, "{steps}");
    for (vault, reason, names) in [("rv-legacy", "ElsewhereProtected", "rv-legacy"), ("rv-shop-weu", "ForeignPolicy", "DefaultPolicy")] {
        for at in 0..steps {
            let mut sim = about_to_protect();
            let until = sim.now() + HOUR * 2;
            (0..at).for_each(|_| assert!(sim.step(until)));
            sim.behind_our_back(&[somebody_protects(vault)]);
            sim.run_for(HOUR * 3);
            let web = member(&sim, "web-1");
            let (ready, told, message) = sim.condition("ProtectedMachine", &web, "Ready");
            assert_eq!((ready.as_str(), told.as_str()), ("False", reason), "{vault}, step {at} of {steps}: {}", sim.tell());
            assert!(message.contains(names), "{message}");
            let carried_out = puts_web_1(&sim).into_iter().filter(|line| line.contains("-> 20")).collect::<Vec<_>>();
            assert_eq!(carried_out, Vec::<String>::new(), "{vault}, step {at} of {steps}");
        }
    }
}

#[test]
fn a_machine_that_somebody_else_protected_long_before_is_never_asked_for() {
    let mut sim = Simulation::new(Options::default());
    sim.behind_our_back(&[somebody_protects("rv-legacy")]);
    sim.run_for(HOUR * 24);
    sim.apply(SMALL);
    sim.run_for(HOUR * 24);
    let web = member(&sim, "web-1");
    let (ready, reason, message) = sim.condition("ProtectedMachine", &web, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "ElsewhereProtected"), "{}", sim.tell());
    assert!(message.contains("rv-legacy"), "{message}");
    assert_eq!(puts_web_1(&sim), Vec::<String>::new());
    let excluded = sim.status("BackupPolicy", "daily")["excluded"].clone();
    let of_web =
        excluded.as_array().into_iter().flatten().find(|e| e["machine"].as_str().is_some_and(|id| id.ends_with("/web-1"))).cloned();
    assert_eq!(of_web.expect("it is told of")["reason"], "ElsewhereProtected", "{excluded}");
}

#[test]
fn a_machine_of_another_size_in_another_zone_is_as_protected_as_before() {
    let mut sim = protected();
    sim.run_for(HOUR);
    let web = member(&sim, "web-1");
    let told = |sim: &Simulation| {
        let status = sim.status("ProtectedMachine", &web);
        (
            status["protection"].clone(),
            status["machine"]["vmId"].clone(),
            status["recoveryPoints"]["count"].clone(),
            status["itemId"].clone(),
        )
    };
    let (before, writes) = (told(&sim), sim.arm.writes());
    let since = sim.requests().len();
    let body = json!({ "properties": { "hardwareProfile": { "vmSize": "Standard_D4s_v5" } }, "zones": ["2"] });
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": machine("web-1"), "body": body })]);
    sim.run_for(HOUR * 3);
    let read = sim.requests().iter().skip(since).filter(|line| line.contains(&format!("GET {} ", machine("web-1")))).count();
    assert!(read > 0, "it was looked at: {}", sim.tell());
    assert!(sim.is_ready("ProtectedMachine", &web) && told(&sim) == before, "{}", sim.tell());
    assert_eq!(sim.arm.writes(), writes, "{}", sim.tell());
}

pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

/// A vault of that namespace, in Azure under the namespace's name.
pub fn vault_of(name: &str) -> Value {
    object("RecoveryVault", name, "main", vault_spec("rg-backup", &format!("rv-{name}")))
}

fn vault_key(name: &str) -> ObjectKey {
    ObjectKey { kind: "RecoveryVault".into(), namespace: name.into(), name: "main".into() }
}

/// An access for gold and silver namespaces that are no playground and not closed.
pub fn by_labels() -> Value {
    let rules = json!([{ "key": "tier", "operator": "In", "values": ["gold", "silver"] },
        { "key": "stage", "operator": "NotIn", "values": ["dev", "test"] }, { "key": "closed", "operator": "DoesNotExist" }]);
    let selector = json!({ "selector": { "matchExpressions": rules } });
    access("labelled", "c11e0000-0000-4000-8000-000000000001", &selector, &json!(["rg-backup"]))
}

/// Requests whose path names the vault of that namespace.
pub fn reached(sim: &Simulation, name: &str) -> usize {
    sim.requests().iter().filter(|line| line.to_lowercase().contains(&format!("/rv-{name}"))).count()
}

#[test]
fn labels_decide_who_is_admitted_and_what_is_not_admitted_sends_nothing() {
    let cases = [
        ("gold", json!({ "tier": "gold" }), true),
        ("prod", json!({ "tier": "silver", "stage": "prod" }), true),
        ("bronze", json!({ "tier": "bronze" }), false),
        ("plain", json!({}), false),
        ("dev", json!({ "tier": "gold", "stage": "dev" }), false),
        ("closed", json!({ "tier": "gold", "closed": "" }), false),
    ];
    let mut sim = Simulation::new(Options::default());
    apply(&sim, &[by_labels()]);
    for (name, labels, _) in &cases {
        apply(&sim, &[namespace(name, labels), vault_of(name)]);
    }
    sim.run_for(HOUR * 2);
    for (name, labels, admitted) in cases {
        assert_eq!(is_ready(&sim, &vault_key(name)), admitted, "{name} {labels}: {}", sim.tell());
        assert_eq!(reached(&sim, name) > 0, admitted, "{name} {labels}");
        if !admitted {
            let (_, reason, message) = said(&sim, &vault_key(name), "Ready");
            assert_eq!(reason, "NoAccess", "{message}");
            assert!(message.contains(name) && !message.contains("labelled"), "{message}");
        }
    }
}

#[test]
fn a_namespace_is_admitted_and_shut_out_as_its_labels_change() {
    let mut sim = Simulation::new(Options::default());
    apply(&sim, &[by_labels(), namespace("team", &json!({ "tier": "gold" })), vault_of("team")]);
    sim.run_until("it stands", HOUR, |sim| is_ready(sim, &vault_key("team")));
    for shut in [json!({ "stage": "dev" }), json!({ "closed": "yes" }), json!({ "tier": "bronze" })] {
        let at = ObjectKey { kind: "Namespace".into(), namespace: String::new(), name: "team".into() };
        sim.cluster.user().patch(&at, &json!({ "metadata": { "labels": shut } })).expect("it is there");
        sim.run_for(MINUTE);
        let before = reached(&sim, "team");
        sim.run_for(HOUR * 2);
        let (ready, reason, message) = said(&sim, &vault_key("team"), "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "AccessLost"), "{shut}: {message}");
        assert_eq!(reached(&sim, "team"), before, "{shut}: {}", sim.tell());
        let back = json!({ "metadata": { "labels": { "stage": null, "closed": null, "tier": "gold" } } });
        sim.cluster.user().patch(&at, &back).expect("it is there");
        sim.run_until("it is admitted again", MINUTE * 15, |sim| is_ready(sim, &vault_key("team")));
    }
    assert_eq!(sent(&sim, 0).iter().filter(|line| line.contains("PUT")).count(), 1, "{:#?}", sent(&sim, 0));
}

#[test]
fn a_namespace_that_gets_its_label_later_is_admitted_then() {
    let mut sim = Simulation::new(Options::default());
    apply(&sim, &[by_labels(), namespace("team", &json!({})), vault_of("team")]);
    // What is applied together need not arrive together: nobody is called for at once.
    sim.run_for(SignedDuration::from_secs(10));
    assert_eq!(said(&sim, &vault_key("team"), "Stalled").0, "False", "{}", sim.tell());
    sim.run_for(MINUTE * 2);
    assert_eq!(said(&sim, &vault_key("team"), "Stalled").0, "True", "{}", sim.tell());
    sim.run_for(HOUR);
    assert_eq!(reached(&sim, "team"), 0, "{}", sim.tell());
    apply(&sim, &[namespace("team", &json!({ "tier": "silver" }))]);
    sim.run_until("it stands", HOUR / 2, |sim| is_ready(sim, &vault_key("team")));
}
