//! What a restore may be told beside its source and its target: which point, which zone and subscription, whose identity brings
//! the data, which disks; and the files of a Windows machine.

use azure_sim::recovery::CANARY_PASSWORD;
use breakwater_tests::sim::Simulation;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    files,
    people::{PERSON, by_hand, is_free, key, member, protected_in, sent},
    restore_demands::{changed, last_restore, refused},
    restores::{self, back_up, disks, new_machine, phase, replace, run_to, until},
};

const ESTATE: &str = "tests/sim/estates/choices.yaml";
const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const THERE: &str = "50b50000-0000-4000-8000-000000000002";
const MACHINE: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1";
const VAULT: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";
const STAGE: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.Storage/storageAccounts/stage";
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The grant of restores, into one group of the other subscription as well.
fn manifest() -> String {
    let here = "ReplaceDisks, ReadData] }";
    let both = format!("{here}\n    - {{ subscriptionId: {THERE}, resourceGroups: [rg-there], acts: [Read, Restore] }}");
    restores::manifest().replace(here, &both)
}

fn ready() -> Simulation {
    protected_in(ESTATE, &manifest(), 1)
}

/// The same in a vault from which every zone can be restored to.
fn ready_for_zones() -> Simulation {
    protected_in(ESTATE, &manifest().replace("redundancy: GeoRedundant", "redundancy: ZoneRedundant"), 1)
}

fn declare(sim: &Simulation, to: Value, more: Value) {
    sim.cluster.user().apply_object(&run_to(sim, "one", to, more)).expect("the API server takes it");
}

/// A recovery point as Azure shows it.
#[derive(Debug)]
struct Point {
    name: String,
    at: Timestamp,
    consistency: String,
}

/// The machine's points, the oldest first.
fn points(sim: &Simulation) -> Vec<Point> {
    let item = sim.status("ProtectedMachine", &member(sim, "web-1"))["itemId"].as_str().expect("an item").to_owned();
    let (_, body) = by_hand(sim, PERSON, "GET", &format!("{item}/recoveryPoints"), "2025-02-01", Value::Null);
    let text = |point: &Value, field: &str| point.pointer(field).and_then(Value::as_str).expect(field).to_owned();
    let read = |point: &Value| Point {
        name: text(point, "/name"),
        at: text(point, "/properties/recoveryPointTime").parse().expect("a time"),
        consistency: text(point, "/properties/recoveryPointType"),
    };
    let mut all: Vec<Point> = body["value"].as_array().expect("points").iter().map(read).collect();
    all.sort_by_key(|point| point.at);
    all
}

/// Restores disks of that choice; the point that Azure was asked for, and that status tells.
fn restored_from(world: &Simulation, point: Value) -> String {
    let mut sim = world.fork();
    let machine = member(&sim, "web-1");
    declare(&sim, disks(), json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": machine }, "point": point } } }));
    until(&mut sim, "one", "Succeeded");
    let (asked, told) = (last_restore(&sim)["recoveryPointId"].clone(), sim.status("RestoreRun", "one")["point"]["name"].clone());
    assert_eq!(asked, told, "{}", sim.tell());
    let asked = asked.as_str().expect("a point").to_owned();
    assert!(sim.requests().iter().any(|line| line.contains(&format!("/recoveryPoints/{asked}/restore -> 202"))), "{}", sim.tell());
    asked
}

fn made(sim: &Simulation) -> Vec<String> {
    let status = sim.status("RestoreRun", "one");
    status["made"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str().map(str::to_owned)).collect()
}

fn get(sim: &Simulation, id: &str, version: &str) -> Value {
    let (status, body) = by_hand(sim, PERSON, "GET", id, version, Value::Null);
    assert_eq!(status, 200, "{id}: {body:#}");
    body
}

#[test]
fn the_youngest_point_before_a_time_is_restored_or_the_one_that_is_named() {
    let mut world = ready();
    (2..=4).for_each(|nth| back_up(&mut world, &format!("backup-{nth}")));
    let all = points(&world);
    assert_eq!(all.len(), 4, "{all:#?}");
    let before = |at: Timestamp| json!({ "latest": { "before": at } });
    let cases = [
        ("right after the third", before(all[2].at + SECOND), 2),
        ("right before the third", before(all[2].at - SECOND), 1),
        ("long after the first", before(all[1].at - SECOND), 0),
        ("after all of them", before(world.now()), 3),
        ("the third by its name", json!({ "name": all[2].name }), 2),
        ("the oldest by its name", json!({ "name": all[0].name }), 0),
    ];
    for (what, choice, wanted) in cases {
        assert_eq!(restored_from(&world, choice), all[wanted].name, "{what}: {all:#?}");
    }
}

#[test]
fn a_restore_takes_the_points_that_its_machine_has_listed_until_the_item_shows_a_younger_one() {
    let mut sim = ready();
    sim.run_for(MINUTE * 30);
    let item = sim.status("ProtectedMachine", &member(&sim, "web-1"))["itemId"].as_str().expect("an item").to_owned();
    // Not by hand: what a person lists is in the journal as well.
    let listed =
        |sim: &Simulation, from: usize| sim.requests()[from..].iter().filter(|line| line.ends_with("/recoveryPoints -> 200")).count();
    let from = sim.requests().len();
    declare(&sim, disks(), json!({}));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(listed(&sim, from), 0, "{:#?}", &sim.requests()[from..]);
    // Somebody else backs it up: the item tells, and the next run takes that point.
    let until_then = sim.now() + MINUTE * 60 * 24 * 9;
    let ask = json!({ "properties": { "objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": until_then } });
    assert_eq!(by_hand(&sim, PERSON, "POST", &format!("{item}/backup"), "2025-02-01", ask).0, 202);
    sim.run_until("the other point", MINUTE * 60 * 6, |sim| points(sim).len() == 2);
    sim.run_for(MINUTE * 6);
    let object = run_to(&sim, "two", disks(), json!({}));
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    until(&mut sim, "two", "Succeeded");
    assert_eq!(last_restore(&sim)["recoveryPointId"], points(&sim)[1].name, "{:#?}", points(&sim));
}

#[test]
fn the_youngest_point_that_is_consistent_enough_is_restored_though_younger_ones_are_less() {
    let mut world = ready();
    back_up(&mut world, "application-again");
    let os = |name: &str| {
        let body = json!({ "properties": { "storageProfile": { "osDisk": { "osType": name } } } });
        json!({ "method": "PATCH", "id": MACHINE, "body": body })
    };
    world.behind_our_back(&[os("Linux")]);
    back_up(&mut world, "file-systems");
    world.behind_our_back(&[os("Windows"), json!({ "method": "PATCH", "id": MACHINE, "body": { "power": "deallocated" } })]);
    back_up(&mut world, "crash");
    let all = points(&world);
    let kinds: Vec<&str> = all.iter().map(|point| point.consistency.as_str()).collect();
    assert_eq!(kinds, ["AppConsistent", "AppConsistent", "FileSystemConsistent", "CrashConsistent"]);
    for (least, wanted) in [("ApplicationConsistent", 1), ("FileSystemConsistent", 2), ("CrashConsistent", 3)] {
        assert_eq!(restored_from(&world, json!({ "latest": { "consistency": least } })), all[wanted].name, "{least}: {all:#?}");
    }
    let both = json!({ "latest": { "consistency": "ApplicationConsistent", "before": all[1].at - SECOND } });
    assert_eq!(restored_from(&world, both), all[0].name, "{all:#?}");
}

#[test]
fn a_machine_is_made_in_the_zone_that_the_run_names_and_else_in_that_of_its_source() {
    let world = ready_for_zones();
    for (zone, sent, wanted) in [(Some("2"), json!(["2"]), json!(["2"])), (None, Value::Null, json!(["1"]))] {
        let (mut sim, mut to) = (world.fork(), new_machine("web-2"));
        to["newMachine"]["zone"] = json!(zone);
        declare(&sim, to, json!({}));
        until(&mut sim, "one", "Succeeded");
        assert_eq!(last_restore(&sim)["zones"], sent);
        let id = sim.status("RestoreRun", "one")["targetId"].as_str().expect("a machine").to_owned();
        assert!(made(&sim).contains(&id), "{:#?}", made(&sim));
        assert_eq!(get(&sim, &id, "2024-07-01")["zones"], wanted);
    }
    let (mut sim, mut to) = (world.fork(), disks());
    to["disks"]["zone"] = json!("3");
    declare(&sim, to, json!({}));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(last_restore(&sim)["zones"], json!(["3"]));
    let zones: Vec<Value> = made(&sim).iter().map(|id| get(&sim, id, "2025-01-02")["zones"].clone()).collect();
    assert_eq!(zones, vec![json!(["3"]); 4]);
}

#[test]
fn a_zone_that_the_vault_does_not_reach_is_told_before_azure_is_asked_and_the_zone_of_the_source_is_no_other() {
    let sim = ready();
    let zoned = |zone: &str| {
        let (mut machine, mut to_disks) = (new_machine("web-2"), disks());
        machine["newMachine"]["zone"] = json!(zone);
        to_disks["disks"]["zone"] = json!(zone);
        [("newMachine", machine), ("disks", to_disks)]
    };
    for (field, to) in zoned("2") {
        let told = refused(&sim, to, json!({}));
        assert!(told.contains(&format!("spec.to.{field}.zone: the machine was in zone 1")) && told.contains("is GeoRedundant"), "{told}");
    }
    for (_, to) in zoned("1") {
        let mut sim = sim.fork();
        declare(&sim, to, json!({}));
        until(&mut sim, "one", "Succeeded");
    }
}

/// A new machine, or disks, in a group of the other subscription.
fn there(group: &str) -> [Value; 2] {
    let group_id = format!("/subscriptions/{THERE}/resourceGroups/{group}");
    let subnet = format!("{group_id}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    [
        json!({ "newMachine": { "name": "web-2", "resourceGroup": group, "subscriptionId": THERE, "subnetId": subnet } }),
        json!({ "disks": { "resourceGroup": group, "subscriptionId": THERE } }),
    ]
}

#[test]
fn a_machine_and_disks_are_restored_into_another_subscription_that_the_access_admits() {
    let world = ready();
    let group = format!("/subscriptions/{THERE}/resourceGroups/rg-there");
    for (to, makes) in there("rg-there").into_iter().zip([6, 4]) {
        let (mut sim, is_machine) = (world.fork(), to["newMachine"].is_object());
        declare(&sim, to, json!({}));
        until(&mut sim, "one", "Succeeded");
        let (sent, status) = (last_restore(&sim), sim.status("RestoreRun", "one"));
        assert_eq!((&sent["targetResourceGroupId"], &sent["sourceResourceId"]), (&json!(group), &json!(MACHINE)), "{sent:#}");
        assert_eq!(sent["storageAccountId"], STAGE, "{sent:#}");
        if is_machine {
            let id = format!("{group}/providers/Microsoft.Compute/virtualMachines/web-2");
            let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope");
            assert_eq!((&sent["targetVirtualMachineId"], &status["targetId"]), (&json!(id), &json!(id)), "{sent:#}");
            assert_eq!(sent["virtualNetworkId"], network, "{sent:#}");
            assert_eq!(sent["subnetId"], format!("{network}/subnets/default"), "{sent:#}");
            assert!(get(&sim, &id, "2024-07-01")["name"] == "web-2" && made(&sim).contains(&id), "{status:#}");
        }
        let made = made(&sim);
        assert!(made.len() == makes && made.iter().all(|id| id.starts_with(&format!("{group}/"))), "{made:#?}");
        let terraform = status["handOff"]["terraform"].as_str().expect("a hand-off");
        assert_eq!(terraform.matches(&format!("\"{group}/")).count(), makes, "{terraform}");
    }
}

#[test]
fn nothing_is_restored_into_a_group_of_another_subscription_that_the_access_does_not_admit() {
    let world = ready();
    for to in there("rg-private") {
        let mut sim = world.fork();
        let from = sim.requests().len();
        declare(&sim, to, json!({}));
        sim.run_until("it is refused", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "AccessDenied");
        sim.run_for(SignedDuration::from_hours(2));
        assert_eq!((phase(&sim, "one").as_str(), sent(&sim, from)), ("Expired", Vec::new()), "{}", sim.tell());
        let named = sim.requests().into_iter().skip(from).filter(|line| line.contains("/rg-private/")).collect::<Vec<_>>();
        assert!(named.is_empty(), "{named:#?}");
    }
}

#[test]
fn the_data_is_brought_by_the_identity_of_the_vault_that_the_run_names() {
    let mut world = ready();
    let id = format!("{GROUPS}/rg-backup/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup");
    let guid = |kind: &str, nth: u8| format!("{kind}-0000-4000-8000-00000000000{nth}");
    let user = json!({ "principalId": guid("0b1ec700", 9), "clientId": guid("c11e0000", 9) });
    let both = json!({ "type": "SystemAssigned, UserAssigned", "principalId": guid("0b1ec700", 8),
        "tenantId": "72f988bf-0000-4000-8000-00000000000a", "userAssignedIdentities": { id.as_str(): user } });
    world.behind_our_back(&[json!({ "method": "PATCH", "id": VAULT, "body": { "identity": both } })]);
    let cases = [("System", json!({ "isSystemAssignedIdentity": true })), (id.as_str(), json!({ "managedIdentityResourceId": id }))];
    for (identity, info) in cases {
        for (to, makes) in [(disks(), 4), (new_machine("web-2"), 6)] {
            let mut sim = world.fork();
            declare(&sim, to, json!({ "staging": { "storageAccountId": STAGE, "identity": identity } }));
            until(&mut sim, "one", "Succeeded");
            let sent = last_restore(&sim);
            assert_eq!(sent["identityInfo"], info, "{sent:#}");
            assert_eq!(sent["identityBasedRestoreDetails"], json!({ "targetStorageAccountId": STAGE }), "{sent:#}");
            assert!(sent["storageAccountId"].is_null() && made(&sim).len() == makes, "{sent:#} {:#?}", made(&sim));
        }
    }
    // Without its role on the account Azure says so, and nothing is restored.
    let role = {
        let azure = world.azure.lock().expect("no thread died");
        let mut given = azure.world().access.assignments.values();
        given.find(|a| a.scope.eq_ignore_ascii_case(STAGE) && a.principal.ends_with("09")).expect("its role").id.clone()
    };
    world.behind_our_back(&[json!({ "method": "DELETE", "id": role })]);
    let from = world.requests().len();
    declare(&world, disks(), json!({ "staging": { "storageAccountId": STAGE, "identity": id } }));
    world.run_until("it is refused", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "ValidationFailed");
    assert_eq!(world.status("RestoreRun", "one")["validation"]["findings"][0]["code"], "UserErrorInsufficientMSIPermissions");
    assert_eq!(sent(&world, from), Vec::<String>::new());
}

#[test]
fn only_the_disks_of_the_luns_that_are_named_are_made_and_named() {
    let world = ready();
    let cases = [(json!([1]), vec!["datadisk-001", "osdisk"]), (json!([2, 0]), vec!["datadisk-000", "datadisk-002", "osdisk"])];
    for (luns, wanted) in cases {
        let (mut sim, mut to) = (world.fork(), disks());
        to["disks"]["luns"] = luns.clone();
        declare(&sim, to, json!({}));
        until(&mut sim, "one", "Succeeded");
        assert_eq!(last_restore(&sim)["restoreDiskLunList"], luns);
        let list = get(&sim, &format!("{GROUPS}/rg-restore/providers/Microsoft.Compute/disks"), "2025-01-02");
        let mut there: Vec<String> =
            list["value"].as_array().expect("disks").iter().map(|d| d["id"].as_str().expect("an id").into()).collect();
        let mut told = made(&sim);
        there.sort();
        told.sort();
        assert_eq!(there, told, "{luns}");
        assert_eq!(told.len(), wanted.len(), "{luns}: {told:#?}");
        assert!(told.iter().zip(&wanted).all(|(id, part)| id.contains(part)), "{luns}: {told:#?}");
        let terraform = sim.status("RestoreRun", "one")["handOff"]["terraform"].clone();
        assert_eq!(terraform.as_str().map(|text| text.matches("import {").count()), Some(wanted.len()), "{terraform}");
    }
    // One that the point does not have is told by Azure before anything is restored.
    let (mut sim, mut to) = (world.fork(), disks());
    to["disks"]["luns"] = json!([1, 7]);
    let from = sim.requests().len();
    declare(&sim, to, json!({}));
    sim.run_until("it is refused", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "ValidationFailed");
    assert!(sim.condition("RestoreRun", "one", "Ready").2.contains("restoreDiskLunList"), "{}", sim.tell());
    assert_eq!(sent(&sim, from), Vec::<String>::new());
}

#[test]
fn the_files_of_a_windows_machine_are_mounted_by_a_program_and_its_target_and_go_in_time() {
    let mut sim = ready();
    let from = sim.requests().len();
    sim.cluster.user().apply_object(&files::run(&sim, "one", "2h")).expect("the API server takes it");
    sim.run_until("it is mounted", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
    assert!(files::is_mounted(&sim), "{}", sim.tell());
    let secret = sim.cluster.live(&key("Secret", "files")).map(|o| serde_json::to_value(&*o).expect("JSON")).expect("a Secret");
    let content = secret["stringData"].as_object().expect("files");
    let password = content["password"].as_str().expect("a password");
    assert!(password.starts_with(CANARY_PASSWORD) && password.len() == 15, "{:?}", content.keys());
    let named = |end: &str| {
        let (name, text) = content.iter().find(|(name, _)| name.ends_with(end)).unwrap_or_else(|| panic!("{end}: {:?}", content.keys()));
        assert!(!name.contains(CANARY_PASSWORD), "the name of {end} tells the password");
        text.as_str().expect("text")
    };
    assert!(named(".txt").starts_with("User - ") && named(".txt").contains("Target - Owner="), "{:?}", content.keys());
    assert!(named(".exe.url").ends_with("/download/azure-sim/IaaSVMILRExeForWindows.exe"), "{}", named(".exe.url"));
    assert_eq!(content.len(), 3, "{:?}", content.keys());
    let told: Vec<String> = sim.cluster.live_all("RestoreRun").iter().map(|o| serde_json::to_string(&**o).expect("JSON")).collect();
    assert!(!told.iter().any(|t| t.contains(CANARY_PASSWORD) || t.contains("Target - Owner")), "{told:#?}");
    let status = sim.status("RestoreRun", "one");
    let ends: Timestamp = status["files"]["mountedUntil"].as_str().expect("a time").parse().expect("a time");
    assert!(ends <= sim.now() + SignedDuration::from_hours(2), "{status:#}");
    sim.run_for(ends.duration_since(sim.now()) - MINUTE);
    assert!(files::is_mounted(&sim) && phase(&sim, "one") == "Running", "closed too early: {}", sim.tell());
    sim.run_until("it is closed", MINUTE * 3, |sim| sim.cluster.live(&key("Secret", "files")).is_none() && !files::is_mounted(sim));
    until(&mut sim, "one", "Succeeded");
    let posts: Vec<String> = sent(&sim, from).into_iter().filter(|line| line.contains(" POST ")).collect();
    assert!(posts.len() == 2 && posts[0].contains("/provision") && posts[1].contains("/revoke"), "{posts:#?}");
    assert!(is_free(&sim), "{}", sim.tell());
}

#[test]
fn a_mount_that_its_machine_remembers_is_not_made_again_under_the_same_key() {
    let mut sim = ready();
    let keyed = |name: &str| {
        let mut object = files::run(&sim, name, "15m");
        object["spec"]["key"] = json!("incident-7");
        object
    };
    let (first, again) = (keyed("one"), keyed("again"));
    sim.cluster.user().apply_object(&first).expect("the API server takes it");
    until(&mut sim, "one", "Succeeded");
    sim.run_until("its machine remembers it", SignedDuration::from_hours(2), |sim| {
        sim.status("ProtectedMachine", &member(sim, "web-1"))["runs"][0]["result"] == "Completed"
    });
    let from = sim.requests().len();
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_until("it is gone", MINUTE * 5, |sim| sim.cluster.live_all("RestoreRun").is_empty());
    sim.cluster.user().apply_object(&again).expect("the API server takes it");
    until(&mut sim, "again", "AlreadyDone");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!((phase(&sim, "again").as_str(), sent(&sim, from)), ("AlreadyDone", Vec::new()), "{}", sim.tell());
}

#[test]
fn disks_of_a_machine_that_is_named_by_its_vault_and_id_are_restored_once_however_often_the_run_is_applied() {
    let mut sim = ready();
    let source = json!({ "recoveryPoint": { "vaultRef": { "name": "main" }, "machineId": MACHINE, "point": { "latest": {} } } });
    let object = run_to(&sim, "one", disks(), json!({ "from": source }));
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    until(&mut sim, "one", "Succeeded");
    let job = sim.status("RestoreRun", "one")["job"]["name"].clone();
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_until("it is gone", MINUTE * 5, |sim| sim.cluster.live_all("RestoreRun").is_empty());
    back_up(&mut sim, "younger");
    let from = sim.requests().len();
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    until(&mut sim, "one", "AlreadyDone");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, from), Vec::<String>::new());
    let told = sim.condition("RestoreRun", "one", "Ready").2;
    assert!(told.contains(job.as_str().expect("a job")) && sim.status("RestoreRun", "one")["choices"].is_null(), "{told}");
}

/// The extension by which a guest encrypts its disks.
fn encrypting() -> Value {
    let extension = json!({ "id": format!("{MACHINE}/extensions/AzureDiskEncryptionForLinux"),
        "properties": { "publisher": "Microsoft.Azure.Security", "type": "AzureDiskEncryptionForLinux" } });
    json!({ "resources": [extension] })
}

#[test]
fn disks_that_the_guest_encrypted_keep_its_keys_in_their_subscription_and_the_keys_stay_with_azure() {
    let mut sim = ready();
    changed(&mut sim, encrypting());
    let set = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/diskEncryptionSets/des-shop");
    let told = refused(&sim, disks(), json!({ "diskEncryptionSetId": set }));
    assert!(told.contains("spec.diskEncryptionSetId must be left out") && told.contains("encrypted inside"), "{told}");
    for elsewhere in there("rg-there") {
        let told = refused(&sim, elsewhere, json!({}));
        assert!(told.contains("spec.to") && told.contains("in its own subscription alone"), "{told}");
    }
    for (name, to) in [("disks", disks()), ("machine", new_machine("web-restored"))] {
        let mut sim = sim.fork();
        restores::declare(&sim, name, to, json!({}));
        until(&mut sim, name, "Succeeded");
        let made = sim.status("RestoreRun", name)["made"].as_array().cloned().expect("what was made");
        let mut disks = made.iter().filter_map(|m| m["id"].as_str()).filter(|id| id.contains("/disks/"));
        assert!(disks.clone().count() > 0, "{made:#?}");
        assert!(disks.all(
            |id| by_hand(&sim, PERSON, "GET", id, "2025-01-02", Value::Null).1["properties"]["encryptionSettingsCollection"]["enabled"]
                == true
        ));
        // The point that it read carries backups of the keys: they are in no object, and in no line of the audit record.
        let item = sim.status("ProtectedMachine", &member(&sim, "web-1"))["itemId"].as_str().expect("an item").to_owned();
        let point = sim.status("RestoreRun", name)["point"]["name"].as_str().expect("a point").to_owned();
        let read = get(&sim, &format!("{item}/recoveryPoints/{point}"), "2025-02-01");
        let keys = ["/properties/keyAndSecret/kekDetails/keyBackupData", "/properties/keyAndSecret/bekDetails/secretData"];
        let kept = format!("{} {:?}", sim.cluster.dump(), sim.audit.lines());
        for key in keys.map(|pointer| read.pointer(pointer).and_then(Value::as_str).expect("a backup of a key")) {
            assert!(!kept.contains(key), "{kept}");
        }
    }
}

#[test]
fn a_machine_that_was_encrypted_inside_gets_no_other_disks_and_no_files_of_it_are_mounted() {
    let mut sim = ready();
    changed(&mut sim, encrypting());
    let (to, more) = replace(&sim, json!({}));
    for (run, field) in [(run_to(&sim, "one", to, more), "replaceDisks"), (files::run(&sim, "one", "1h"), "files")] {
        let mut sim = sim.fork();
        let from = sim.requests().len();
        sim.cluster.user().apply_object(&run).expect("the API server takes it");
        sim.run_until("it is refused", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "InvalidSpec");
        let said = sim.condition("RestoreRun", "one", "Ready").2;
        assert!(said.contains(&format!("spec.to.{field}")) && said.contains("encrypted inside"), "{said}");
        assert_eq!(sent(&sim, from), Vec::<String>::new(), "{}", sim.tell());
    }
}

#[test]
fn what_the_vault_lets_into_no_other_subscription_is_not_sent_there() {
    let mut world = ready();
    let closed = json!({ "restoreSettings": { "crossSubscriptionRestoreSettings": { "crossSubscriptionRestoreState": "Disabled" } } });
    world.behind_our_back(&[json!({ "method": "PATCH", "id": VAULT, "body": { "properties": closed } })]);
    world.run_for(MINUTE * 10);
    for to in there("rg-there") {
        let mut sim = world.fork();
        let from = sim.requests().len();
        declare(&sim, to, json!({}));
        sim.run_until("it is refused", MINUTE * 15, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "InvalidSpec");
        let said = sim.condition("RestoreRun", "one", "Ready").2;
        assert!(said.contains("cross-subscription restore is Disabled") && said.contains(THERE), "{said}");
        assert_eq!(sent(&sim, from), Vec::<String>::new(), "{}", sim.tell());
    }
}
