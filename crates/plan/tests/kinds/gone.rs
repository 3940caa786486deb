//! What is gone from where it was, and where Azure says it went.

use breakwater_api::{ProtectedMachine, Reason, RecoveryVault};
use breakwater_plan::{
    facts::{Facts, List, Need},
    keys,
    kind::{Kind as _, Subject},
    kinds::machines_of,
};
use serde_json::{Value, json};

use crate::{estate::*, machine::*};

/// The listings that a vault asks for.
fn lists(s: &Subject<RecoveryVault>, facts: &Facts, word: &str) -> Option<List> {
    RecoveryVault::needs(s, facts).into_iter().find_map(|need| match need {
        Need::Inventory { list, .. } if list.path.ends_with(word) => Some(list),
        _ => None,
    })
}

#[test]
fn a_vault_that_is_gone_is_looked_for_and_told_where_it_is() {
    let known: Subject<RecoveryVault> = subject("main", vault_spec(json!({})), json!({ "vault": { "id": vault() } }));
    let new: Subject<RecoveryVault> = subject("main", vault_spec(json!({})), json!({}));
    let mut absent = Facts::default();
    see(&mut absent, &vault(), None);
    assert_eq!(lists(&new, &absent, "/vaults"), None, "what was never there is not looked for");
    let standing = standing_vault();
    assert_eq!(lists(&known, &standing, "/deletedVaults"), None, "nor what is there");
    let (vaults, deleted) = (lists(&known, &absent, "/vaults").unwrap(), lists(&known, &absent, "/deletedVaults").unwrap());
    assert!(deleted.path.ends_with("/locations/westeurope/deletedVaults"), "{}", deleted.path);
    let there = id("rg-shop", "Microsoft.RecoveryServices/vaults/main");
    let strangers = with(vault_body(json!({})), json!({ "tags": {} }));
    let gone = |vault: &str| json!({ "properties": { "vaultId": vault, "vaultDeletionTime": "2026-02-28T00:00:00Z", "purgeAt": "2026-03-14T00:00:00Z" } });
    let name = id("x", "Microsoft.RecoveryServices/vaults/x");
    type Bodies = Vec<(breakwater_arm::ResourceId, Value)>;
    let cases: [(&str, Bodies, Bodies, &str, &str); 5] = [
        ("nothing is known", vec![], vec![], "stuck: Missing", "not made again empty"),
        ("one of its name with its marks", vec![(there.clone(), vault_body(json!({})))], vec![], "stuck: Moved", "rg-shop"),
        ("one of its name without them", vec![(there.clone(), strangers)], vec![], "stuck: Missing", ""),
        ("deleted", vec![], vec![(name.clone(), gone(&vault().to_string().to_uppercase()))], "stuck: SoftDeleted", "2026-03-14"),
        ("another was deleted", vec![], vec![(name, gone(there.as_str()))], "stuck: Missing", ""),
    ];
    for (situation, elsewhere, soft_deleted, expected, word) in cases {
        let mut facts = absent.clone();
        list(&mut facts, vaults.clone(), &elsewhere);
        list(&mut facts, deleted.clone(), &soft_deleted);
        let plan = planned(&known, &facts);
        assert_eq!(told(&plan, "vault"), expected, "{situation}");
        assert_eq!(plan.steps().count(), 0, "{situation}");
        assert!(message(&plan).contains(word), "{situation}: {}", message(&plan));
        // Whatever came of it, a new object of that name would make its vault.
        assert_eq!(told(&planned(&new, &facts), "vault"), "PUT", "{situation}");
    }
}

#[test]
fn a_machine_that_moved_is_found_by_its_name_and_known_by_its_vm_id() {
    let s = owner(json!({ "machine": { "vmId": "VM-1", "location": "westeurope" } }));
    let there = id("rg-backup", "Microsoft.Compute/virtualMachines/DB1");
    let another = id("rg-backup", "Microsoft.Compute/virtualMachines/db2");
    let listed = json!({ "location": "westeurope", "tags": {} });
    for (vm_id, expected) in [("vm-1", "stuck: Moved"), ("vm-2", "stuck: MachineNotFound")] {
        let mut facts = protected(json!({}), json!({}));
        see(&mut facts, &machine(), None);
        list(&mut facts, machines_of(SUB), &[(there.clone(), listed.clone()), (another.clone(), listed.clone())]);
        let reads = |facts: &Facts| {
            let all = ProtectedMachine::needs(&s, facts).into_iter();
            all.filter_map(|need| if let Need::Read { id, .. } = need { Some(id) } else { None })
                .filter(|id| id.name().to_lowercase().starts_with("db"))
                .collect::<Vec<_>>()
        };
        assert!(reads(&facts).contains(&there) && !reads(&facts).contains(&another), "{:?}", reads(&facts));
        see(&mut facts, &there, Some(vm(json!({ "vmId": vm_id }))));
        assert_eq!(told(&planned(&s, &facts), "protection"), expected);
        assert_eq!(message(&planned(&s, &facts)).contains(there.as_str()), vm_id == "vm-1");
    }
}

#[test]
fn a_copy_that_a_drill_made_is_left_out_of_selectors_unless_it_is_protected_or_named() {
    let copy =
        vm(json!({ "storageProfile": { "osDisk": { "managedDisk": { "id": id("rg-shop", "Microsoft.Compute/disks/db1-os-ASRtest") } } } }));
    let by_id = json!({ "machines": [{ "id": machine() }] });
    let chosen: Subject<ProtectedMachine> =
        subject(&keys::object_name(machine().name(), &[&machine().key()]), machine_spec(json!({})), json!({}));
    for (situation, policy, item, expected) in [
        ("selected by its tags", json!({}), false, "stuck: DrillCopy"),
        ("named by its id", by_id, false, "PUT"),
        ("protected", json!({}), true, "done"),
    ] {
        let mut facts = if item { protected(policy, json!({})) } else { unprotected(policy) };
        see(&mut facts, &machine(), Some(copy.clone()));
        let s = if item { Subject { owned: vec![owned(&self::item())], ..chosen.clone() } } else { chosen.clone() };
        let plan = planned(&s, &facts);
        assert_eq!(told(&plan, "protection"), expected, "{situation}");
        assert_eq!(plan.stuck().map(|s| s.0) == Some(Reason::DrillCopy), expected.contains("Drill"), "{situation}");
    }
}
