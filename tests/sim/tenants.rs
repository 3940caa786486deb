//! Twenty tenants, each reaching by every means for what is another's: no call outside a grant leaves the operator, none
//! arrives, everybody's own machine is protected all the same, and nobody is told anything of anybody else.

mod attacks;
mod tenant;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::PoisonError,
};

use azure_sim::{Estate, journal::Entry};
use breakwater_engine::ports::ObjectKey;
use breakwater_plan::{
    defence::{TAG_ESTATE, TAG_OWNER, TAG_WRITER},
    keys,
};
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use self::tenant::{TENANTS, Tenant, estate};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The kinds that live in a namespace.
const KINDS: [&str; 3] = ["RecoveryVault", "BackupPolicy", "ProtectedMachine"];

/// The worlds of all tenants, with their grants, and nothing applied yet.
fn world() -> Simulation {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace");
    let options = Options::default();
    // Somebody forged them: they say that the vault was made by an object of the neighbour's.
    let marks = |tenant: Tenant| {
        let forger = tenant.neighbour();
        let owner = keys::owner_hash("test-estate", &forger.namespace(), "RecoveryVault", &attacks::bait(tenant));
        json!({ TAG_ESTATE: "test-estate", TAG_OWNER: owner, TAG_WRITER: options.writer })
    };
    let mut estate = Estate::parse(&estate(marks), &BTreeMap::new()).expect("an estate");
    estate.base = root.to_path_buf();
    let sim = Simulation::of(estate, options);
    for tenant in Tenant::all() {
        sim.cluster.user().apply_object(&tenant.grant()).expect("the admin grants it");
    }
    sim
}

/// What every tenant applied, and every word in it.
#[derive(Default)]
struct Applied {
    words: BTreeMap<usize, BTreeSet<String>>,
    taken: usize,
    refused: usize,
}

impl Applied {
    fn note(&mut self, us: Tenant, text: &str) {
        self.words.entry(us.0).or_default().extend(words(text));
    }

    fn apply(&mut self, sim: &Simulation, us: Tenant, object: &Value) {
        // What the API server does not take is none of the operator's business.
        match sim.cluster.user().apply_object(object) {
            Ok(_) => self.taken += 1,
            Err(_) => self.refused += 1,
        }
        self.note(us, &object.to_string());
    }
}

/// A text's words: names and ids stay whole.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')));
    parts.filter(|word| !word.is_empty()).map(|word| word.trim_matches('.').to_ascii_lowercase())
}

fn key(tenant: Tenant, kind: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.into(), namespace: tenant.namespace(), name: name.into() }
}

/// Whether everybody's own machine has a recovery point.
fn all_protected(sim: &Simulation) -> bool {
    let machines = sim.cluster.live_all("ProtectedMachine");
    let with_point = |tenant: &Tenant| {
        let of_policy = machines.iter().filter(|o| {
            o.metadata.namespace == Some(tenant.namespace())
                && o.data.pointer("/spec/machineId").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(&tenant.machine_id()))
        });
        of_policy.into_iter().any(|o| o.data.pointer("/status/recoveryPoints/latest").is_some())
    };
    Tenant::all().all(|tenant| with_point(&tenant))
}

/// The first request of one tenant that names what is not its own, in its URL or its body.
fn outside(entry: &Entry) -> Option<String> {
    let us = Tenant::all().find(|tenant| tenant.client_id() == entry.client);
    let Some(us) = us else { return Some(format!("{} {} by nobody known: {}", entry.method, entry.path, entry.client)) };
    // A look into one's own vault for an item of a machine that one has named: its name holds the machine's, and that is all.
    let shown = if entry.method == "GET" { entry.path.split("/protectionContainers/").next().unwrap_or_default() } else { &entry.path };
    let text = format!("{shown} {} {}", entry.query, entry.body).to_ascii_lowercase();
    let line = || format!("{} {} {} of {us:?}", entry.method, entry.path, entry.body);
    if let Some(them) = Tenant::all().find(|them| *them != us && them.secrets().iter().any(|word| text.contains(word))) {
        return Some(format!("{} names {them:?}", line()));
    }
    let parts: Vec<&str> = text.split(['/', '"', ' ', '\'']).collect();
    let after = |word: &str| parts.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1].to_owned()).collect::<Vec<_>>();
    let foreign = after("subscriptions").into_iter().find(|id| *id != us.subscription());
    let group = after("resourcegroups").into_iter().find(|group| *group != us.group() && *group != us.vault_group());
    foreign.or(group).map(|what| format!("{} reaches into {what}", line()))
}

fn nothing_leaves_the_grants(sim: &Simulation) {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = azure.journal().entries();
    let seen: BTreeSet<&str> = entries.iter().map(|entry| entry.client.as_str()).collect();
    assert_eq!(seen.len(), TENANTS, "everybody works under an identity of its own: {seen:?}");
    let wrong: Vec<String> = entries.iter().filter_map(outside).take(5).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let refused: Vec<String> = entries.iter().filter(|e| e.status == 403 || e.status == 401).map(|e| e.path.clone()).collect();
    assert!(refused.is_empty(), "Azure had to refuse: {refused:?}");
}

/// Nothing in a tenant's namespace holds a word of another's that the tenant did not write itself.
fn nothing_is_told(sim: &Simulation, applied: &Applied) {
    let secrets: Vec<(usize, [String; 3])> = Tenant::all().map(|tenant| (tenant.0, tenant.secrets())).collect();
    let leak = |us: Tenant, text: &str| {
        let known = &applied.words[&us.0];
        let of_others =
            |word: &String| secrets.iter().any(|(n, all)| *n != us.0 && all.iter().any(|secret| word.contains(secret.as_str())));
        words(text).find(|word| of_others(word) && !known.contains(word))
    };
    for us in Tenant::all() {
        let objects = KINDS.into_iter().flat_map(|kind| sim.cluster.live_all(kind));
        for object in objects.filter(|o| o.metadata.namespace == Some(us.namespace())) {
            let text = serde_json::to_string(&*object).expect("JSON");
            let leaked = leak(us, &text);
            assert!(leaked.is_none(), "{us:?} is told {leaked:?}: {:#}", serde_json::to_value(&*object).expect("JSON"));
        }
        for event in sim.cluster.events().iter().filter(|event| event.about.namespace == us.namespace()) {
            let leaked = leak(us, &format!("{:?}", event.event));
            assert!(leaked.is_none(), "{us:?} hears {leaked:?}: {event:?}");
        }
    }
}

/// What the honest policy says of its own scope: the machine of the neighbour's that carries our tag is not even counted.
fn counts_are_own(sim: &Simulation) {
    for tenant in Tenant::all() {
        let policy = sim.cluster.live(&key(tenant, "BackupPolicy", &tenant.policy())).expect("its policy");
        let status = &policy.data["status"];
        assert_eq!((status["matched"].as_i64(), status["coverage"]["machines"].as_i64()), (Some(1), Some(2)), "{status:#}");
    }
}

/// Everybody applies what it wants, and everything against its neighbour and against one in another subscription.
fn everybody_reaches_out(sim: &mut Simulation, attack_first: bool) -> Applied {
    let mut applied = Applied::default();
    let honest = |sim: &Simulation, applied: &mut Applied| {
        for us in Tenant::all() {
            us.wants().iter().for_each(|object| applied.apply(sim, us, object));
        }
    };
    if !attack_first {
        honest(sim, &mut applied);
        sim.run_for(SignedDuration::from_mins(20));
    }
    for us in Tenant::all() {
        let (near, far) = (us.neighbour(), Tenant((us.0 + 3) % TENANTS));
        attacks::against(us, near).iter().for_each(|object| applied.apply(sim, us, object));
        // Of what is far away some, turn and turn about: every attack is made on somebody in another subscription.
        let on_far = attacks::against(us, far).into_iter().enumerate().filter(|(nth, _)| nth % 4 == us.0 % 4);
        on_far.for_each(|(_, object)| applied.apply(sim, us, &object));
        // Its own namespace is in the metadata of what is made for it.
        applied.note(us, &us.namespace());
    }
    if attack_first {
        sim.run_for(SignedDuration::from_mins(20));
        honest(sim, &mut applied);
    }
    assert!(applied.taken > 15 * TENANTS, "{} objects were taken, {} refused", applied.taken, applied.refused);
    applied
}

fn play(attack_first: bool) {
    let mut sim = world();
    let mut applied = everybody_reaches_out(&mut sim, attack_first);
    sim.run_until("everybody's machine is protected", HOUR * 6, |sim| all_protected(sim));
    nothing_is_told(&sim, &applied);
    // Some may write a status as well, and have it say that everything were theirs.
    for us in Tenant::all() {
        let them = us.neighbour();
        for (kind, name) in
            [("RecoveryVault", "steal"), ("RecoveryVault", "bait"), ("ProtectedMachine", "by-hand"), ("BackupPolicy", "by-id")]
        {
            let forged = attacks::forged_status(them, kind);
            applied.note(us, &forged.to_string());
            let key = key(us, kind, &format!("x{}-{name}", them.0));
            sim.cluster.user().patch_status(&key, &forged).expect("it may write the status");
        }
    }
    sim.run_for(HOUR / 2);
    nothing_leaves_the_grants(&sim);
    nothing_is_told(&sim, &applied);
    // Who reaches out first with a wide selector of its own has its own machine under that one.
    if !attack_first {
        counts_are_own(&sim);
    }
}

#[test]
fn twenty_tenants_that_reach_for_each_others_things_get_their_own_and_hear_of_nobody() {
    play(false);
}

#[test]
fn who_names_a_thing_first_does_not_get_it_and_its_owner_is_protected_all_the_same() {
    play(true);
}

#[test]
fn a_debt_that_somebody_forged_in_a_status_is_not_paid_at_anothers_cost() {
    let mut sim = world();
    let (us, them) = (Tenant(0), Tenant(1));
    for tenant in [us, them] {
        tenant.wants().iter().for_each(|object| drop(sim.cluster.user().apply_object(object).expect("it is taken")));
    }
    let item = |sim: &Simulation| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let of = all.iter().find(|o| o.metadata.namespace == Some(them.namespace()));
        of.and_then(|o| o.data.pointer("/status/itemId").and_then(Value::as_str).map(str::to_owned))
    };
    sim.run_until("it is protected", HOUR * 2, |sim| item(sim).is_some());
    let forged = attacks::forged_debt(them, &item(&sim).expect("just seen"));
    sim.cluster.user().patch_status(&key(us, "RecoveryVault", &us.vault_object()), &forged).expect("it may write the status");
    sim.run_for(HOUR);
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let stops = azure.journal().entries().iter().filter(|e| e.method == "PUT" && e.body.to_string().contains("ProtectionStopped"));
    assert_eq!(stops.count(), 0, "a request of another tenant's was sent because a status said so");
}

#[test]
fn a_claim_and_a_lock_that_somebody_forged_keep_nobody_from_his_machine() {
    let mut sim = world();
    let (us, them) = (Tenant(0), Tenant(1));
    us.wants().iter().for_each(|object| drop(sim.cluster.user().apply_object(object).expect("it is taken")));
    attacks::against(us, them).iter().for_each(|object| drop(sim.cluster.user().apply_object(object)));
    sim.run_for(HOUR / 2);
    let mut forged = attacks::forged_status(them, "ProtectedMachine");
    forged["operations"] = attacks::forged_lock(them);
    // Another's access is refused by the schema where the object names its own.
    forged.as_object_mut().expect("a status").remove("access");
    for kind in ["ProtectedMachine", "RecoveryVault"] {
        let of_us = sim.cluster.live_all(kind).into_iter().filter(|o| o.metadata.namespace == Some(us.namespace()));
        for name in of_us.filter_map(|o| o.metadata.name.clone()).collect::<Vec<_>>() {
            sim.cluster.user().patch_status(&key(us, kind, &name), &forged).expect("it may write the status");
        }
    }
    // A new leader begins with what every status says.
    sim.die("restarted");
    them.wants().iter().for_each(|object| drop(sim.cluster.user().apply_object(object).expect("it is taken")));
    sim.run_until("its owner has it", HOUR * 3, |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let of = all.iter().find(|o| o.metadata.namespace == Some(them.namespace()));
        of.is_some_and(|o| o.data.pointer("/status/recoveryPoints/latest").is_some())
    });
}
