//! A larger story, drawn from the seed: after the first protection people ask for backups, restores and files, edit, suspend,
//! delete and make anew, while machines change and everything goes wrong meanwhile. The oracle sees to what must hold.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_engine::ports::ObjectKey;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::weather;
use crate::{
    entropy::SeededEntropy,
    sim::{Simulation, manifests::SMALL},
};

/// Its estate, below the workspace's root.
pub const ESTATE: &str = "tests/src/sim/seeds/story.yaml";

/// Of so many seeds one is a story.
const ONE_IN: u64 = 4;

/// The longest that machines may take to be protected, and that all may take to come to rest at the end.
const PROTECTED_WITHIN: SignedDuration = SignedDuration::from_hours(5);

/// Between two looks at how far it is.
const LOOK: SignedDuration = SignedDuration::from_mins(20);

/// Who cannot act on an object of these is not asked.
const KINDS: [&str; 5] = ["RecoveryVault", "BackupPolicy", "ProtectedMachine", "BackupRun", "RestoreRun"];

const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";

/// The name of the rule by which the reader's right is gone.
const BLIND: &str = "the reader's right is withdrawn";

/// One thing that somebody does. What comes more than once here is done more often.
#[derive(Clone, Copy, Debug)]
enum Move {
    BackUp,
    Restore,
    Mount,
    KeepLess,
    KeepMore,
    Answer,
    Suspend,
    Resume,
    SuspendAccess,
    Stop,
    Protect,
    Delete,
    DeleteRun,
    Apply,
    DetachDisk,
    Retag,
    Blind,
    Again,
}

const MOVES: [Move; 24] = [
    Move::BackUp,
    Move::BackUp,
    Move::Restore,
    Move::Restore,
    Move::Mount,
    Move::KeepLess,
    Move::KeepLess,
    Move::KeepMore,
    Move::Answer,
    Move::Suspend,
    Move::Resume,
    Move::SuspendAccess,
    Move::Stop,
    Move::Protect,
    Move::Delete,
    Move::DeleteRun,
    Move::DeleteRun,
    Move::Apply,
    Move::DetachDisk,
    Move::Retag,
    Move::Blind,
    Move::Again,
    Move::Again,
    Move::Resume,
];

/// Whether a seed is a story.
#[must_use]
pub fn is_one(seed: u64) -> bool {
    seed.is_multiple_of(ONE_IN)
}

/// What people have declared so far.
pub struct Story<'a> {
    chance: &'a SeededEntropy,
    /// Days that the policy keeps.
    days: u64,
    immutability: &'static str,
    lets_go: bool,
    /// Objects made so far, for their names.
    made: u64,
    /// Runs made so far, as they are in Git.
    runs: Vec<Value>,
}

impl<'a> Story<'a> {
    /// The beginning of one.
    pub fn new(chance: &'a SeededEntropy) -> Self {
        let immutability = if chance.below(3) == 0 { "Unlocked" } else { "Disabled" };
        Story { chance, days: 30, immutability, lets_go: chance.below(3) == 0, made: 0, runs: Vec::new() }
    }

    /// What Git holds by now.
    fn manifest(&self) -> String {
        let lets_go = if self.lets_go { "\n  whenUnselected: StopAndRetain\n  unselectGracePeriod: 1h" } else { "" };
        SMALL
            .replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-restore]")
            .replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete, Restore, ReadData]")
            .replace("immutability: Unlocked", &format!("immutability: {}", self.immutability))
            .replace("keep: 30d", &format!("keep: {}d", self.days))
            .replace("firstBackup: Now", &format!("firstBackup: Now{lets_go}"))
    }

    /// Applies what Git holds; what is refused, or on its way out, stays as it is.
    pub fn apply(&self, sim: &Simulation) {
        let _ = sim.cluster.user().apply(&self.manifest());
    }

    /// Plays it, up to where nothing goes wrong any more.
    pub fn play(&mut self, sim: &mut Simulation, seed: u64) {
        let until = sim.now() + PROTECTED_WITHIN;
        while !is_protected(sim) && sim.now() < until {
            sim.run_for(LOOK);
            weather::recover(sim);
        }
        if self.chance.below(2) == 0 {
            weather::plan(sim, self.chance, seed);
        }
        for hour in 0..4 + self.chance.below(6) {
            if self.chance.below(2) == 0 {
                sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().remove(BLIND);
            }
            let what = MOVES[self.chance.below(MOVES.len() as u64) as usize];
            sim.story.push(format!("{} seed {seed}: {what:?}", sim.now()));
            self.make(sim, what);
            sim.run_for(SignedDuration::from_mins(1 + self.chance.below(60) as i64));
            weather::recover(sim);
            if self.chance.below(3) == 0 {
                weather::disturb(sim, self.chance, hour as i64);
            }
        }
        weather::peace(sim);
        self.make(sim, Move::Resume);
        self.apply(sim);
        if self.chance.below(2) == 0 {
            self.answer(sim);
        }
    }

    fn make(&mut self, sim: &mut Simulation, what: Move) {
        match what {
            Move::BackUp => self.back_up(sim),
            Move::Restore => self.restore(sim, json!({ "disks": { "resourceGroup": "rg-restore" } })),
            Move::Mount => {
                let secret = format!("files-{}", self.made);
                let hours = 1 + self.chance.below(3);
                self.restore(sim, json!({ "files": { "mountFor": format!("{hours}h"), "secretName": secret } }));
            }
            Move::KeepLess => {
                self.keep(sim, self.days.saturating_sub(1 + self.chance.below(9)).max(7));
                if self.chance.below(2) == 0 {
                    self.answer(sim);
                }
            }
            Move::KeepMore => self.keep(sim, self.days + 1 + self.chance.below(9)),
            Move::Answer => self.answer(sim),
            Move::Suspend => {
                if let Some(key) = self.one_of(sim, &KINDS) {
                    spec(sim, &key, &json!({ "suspend": true }));
                }
            }
            Move::Resume => {
                let all = KINDS.iter().chain(&["AzureAccess"]).flat_map(|kind| keys(sim, kind));
                all.for_each(|key| spec(sim, &key, &json!({ "suspend": false })));
            }
            Move::SuspendAccess => keys(sim, "AzureAccess").iter().for_each(|key| spec(sim, key, &json!({ "suspend": true }))),
            Move::Stop | Move::Protect => {
                let word = if matches!(what, Move::Stop) { "Stopped" } else { "Protected" };
                if let Some(key) = self.one_of(sim, &["ProtectedMachine"]) {
                    spec(sim, &key, &json!({ "protection": word }));
                }
            }
            Move::Delete => self.delete(sim, &["RecoveryVault", "BackupPolicy", "ProtectedMachine", "AzureAccess"]),
            Move::DeleteRun => self.delete(sim, &["BackupRun", "RestoreRun"]),
            Move::Apply => self.apply(sim),
            Move::DetachDisk => detach(sim),
            Move::Retag => {
                let (machine, app) = (["web-1", "win-1"][self.chance.below(2) as usize], ["shop", "other"][self.chance.below(2) as usize]);
                let id = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/{machine}");
                sim.behind_our_back(&[json!({ "method": "PATCH", "id": id, "body": { "tags": { "app": app } } })]);
            }
            Move::Blind => {
                let denied = Fault::Status {
                    status: 403,
                    retry_after: None,
                    body: Shape::Standard,
                    code: None,
                    message: None,
                    when: When::BeforeApply,
                };
                let matches = Match { method: Some("GET".into()), ..Match::default() };
                let rule = Rule { id: BLIND.into(), matches, fault: denied };
                sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
            }
            Move::Again => {
                if let Some(run) = self.runs.get(self.chance.below(self.runs.len() as u64) as usize) {
                    let _ = sim.cluster.user().apply_object(run);
                }
            }
        }
    }

    fn one_of(&self, sim: &Simulation, kinds: &[&str]) -> Option<ObjectKey> {
        let all: Vec<ObjectKey> = kinds.iter().flat_map(|kind| keys(sim, kind)).collect();
        all.get(self.chance.below(all.len() as u64) as usize).cloned()
    }

    fn delete(&self, sim: &Simulation, kinds: &[&str]) {
        if let Some(key) = self.one_of(sim, kinds) {
            let _ = sim.cluster.user().delete(&key);
        }
    }

    fn keep(&mut self, sim: &Simulation, days: u64) {
        self.days = days;
        spec(sim, &policy(), &json!({ "retention": { "daily": { "keep": format!("{days}d") } } }));
    }

    /// Makes a run; one in three has a key that others may have.
    fn run(&mut self, sim: &Simulation, kind: &str, mut wanted: Value) {
        if self.chance.below(3) == 0 {
            wanted["key"] = json!(format!("story-{}", self.chance.below(3)));
        }
        let name = format!("run-{}", self.made);
        self.made += 1;
        let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": "shop" }, "spec": wanted });
        let _ = sim.cluster.user().apply_object(&object);
        self.runs.push(object);
    }

    fn back_up(&mut self, sim: &Simulation) {
        if let Some(machine) = self.one_of(sim, &["ProtectedMachine"]) {
            self.run(sim, "BackupRun", json!({ "protectedMachineRef": { "name": machine.name } }));
        }
    }

    fn restore(&mut self, sim: &Simulation, to: Value) {
        let Some(machine) = self.one_of(sim, &["ProtectedMachine"]) else { return };
        let point = json!({ "protectedMachineRef": { "name": machine.name }, "point": { "latest": {} } });
        let mut wanted = json!({ "from": { "recoveryPoint": point }, "to": to });
        if to["files"].is_null() {
            let account = format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/stage");
            wanted["staging"] = json!({ "storageAccountId": account });
        }
        self.run(sim, "RestoreRun", wanted);
    }

    /// Somebody looks what is asked, and agrees to some of it.
    fn answer(&mut self, sim: &mut Simulation) {
        sim.run_for(SignedDuration::from_mins(15));
        for (key, question) in asked(sim) {
            let words: Vec<&str> = question["answers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let word = words.get(self.chance.below(words.len() as u64) as usize).copied().unwrap_or_default();
            let uid = sim.cluster.live(&key).and_then(|object| object.metadata.uid.clone());
            if word.starts_with('<') || self.chance.below(4) == 0 {
                continue;
            }
            let name = format!("answer-{}", self.made);
            self.made += 1;
            let approval = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Approval", "metadata": { "name": name, "namespace": "shop" },
                "spec": { "targetRef": { "kind": key.kind, "name": key.name }, "targetUid": uid, "question": question["id"],
                    "digest": question["digest"], "answer": word, "approvedBy": "ann@example.com",
                    "expiresAt": sim.now() + SignedDuration::from_hours(1 + self.chance.below(4) as i64) } });
            let _ = sim.cluster.user().apply_object(&approval);
        }
    }
}

fn policy() -> ObjectKey {
    ObjectKey { kind: "BackupPolicy".into(), namespace: "shop".into(), name: "daily".into() }
}

fn spec(sim: &Simulation, key: &ObjectKey, spec: &Value) {
    let _ = sim.cluster.user().patch(key, &json!({ "spec": spec }));
}

/// All keys of a kind, as they are.
fn keys(sim: &Simulation, kind: &str) -> Vec<ObjectKey> {
    let key = |object: &kube::core::DynamicObject| ObjectKey {
        kind: kind.to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    };
    sim.cluster.live_all(kind).iter().map(|object| key(object)).collect()
}

/// The last data disk of win-1 is taken off.
fn detach(sim: &mut Simulation) {
    let id = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/win-1");
    let mut disks = {
        let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = azure.world().resource(&id);
        machine.and_then(|machine| machine.at("/properties/storageProfile/dataDisks")?.as_array().cloned()).unwrap_or_default()
    };
    if disks.pop().is_some() {
        let body = json!({ "properties": { "storageProfile": { "dataDisks": disks } } });
        sim.behind_our_back(&[json!({ "method": "PATCH", "id": id, "body": body })]);
    }
}

/// Whether every machine of ours has a point and nothing is open.
fn is_protected(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    let points = all.iter().filter(|object| super::has_point(object)).count();
    points == 2 && !all.iter().any(|object| object.data.pointer("/status/operations").is_some())
}

/// What every object asks.
pub fn asked(sim: &Simulation) -> Vec<(ObjectKey, Value)> {
    let of = |key: ObjectKey| {
        let object = sim.cluster.live(&key);
        let all = object.and_then(|object| object.data.pointer("/status/questions").and_then(Value::as_array).cloned()).unwrap_or_default();
        all.into_iter().map(move |question| (key.clone(), question)).collect::<Vec<_>>()
    };
    KINDS.iter().flat_map(|kind| keys(sim, kind)).flat_map(of).collect()
}

/// Whether nothing is open, every run is over, and vault and policy stand.
pub fn is_settled(sim: &Simulation) -> bool {
    under_way(sim).is_empty()
}

/// What is not over: what has something open, runs that wait, and a vault or policy that does not stand, each with what it says.
pub fn under_way(sim: &Simulation) -> Vec<String> {
    let waits = |phase: Option<&Value>| phase.and_then(Value::as_str).is_none_or(|phase| ["Pending", "Running"].contains(&phase));
    let mut all = Vec::new();
    for key in KINDS.iter().flat_map(|kind| keys(sim, kind)) {
        let Some(object) = sim.cluster.live(&key) else { continue };
        let open = object.data.pointer("/status/operations");
        let phase = object.data.pointer("/status/phase");
        let stands = match key.kind.as_str() {
            "RecoveryVault" | "BackupPolicy" => sim.is_ready(&key.kind, &key.name),
            kind => !kind.ends_with("Run") || !waits(phase),
        };
        if open.is_some() || !stands {
            let (ready, reason, message) = sim.condition(&key.kind, &key.name, "Ready");
            let stalled = sim.condition(&key.kind, &key.name, "Stalled").0;
            let nodes: Vec<&str> = open.and_then(Value::as_array).into_iter().flatten().filter_map(|o| o["node"].as_str()).collect();
            all.push(format!("{} {}: Ready={ready} {reason} (Stalled={stalled}): {message}; open: {nodes:?}", key.kind, key.name));
        }
    }
    for (kind, name) in [("RecoveryVault", "main"), ("BackupPolicy", "daily")] {
        if !sim.is_ready(kind, name) && !all.iter().any(|line| line.starts_with(&format!("{kind} {name}:"))) {
            all.push(format!("{kind} {name}: is not there"));
        }
    }
    all
}
