//! `ProtectedMachine`: LUNs mean the disks that were there when they were declared.

use breakwater_arm::ResourceId;
use breakwater_plan::{
    facts::{Facts, Need},
    kind::{Kind as _, Subject},
};
use serde_json::{Value, json};

use crate::{estate::*, machine::*};

fn disk(name: &str) -> ResourceId {
    id("rg-shop", &format!("Microsoft.Compute/disks/{name}"))
}

/// A machine with that disk at LUN 1, and an item that covers all but these LUNs.
fn facts(at_lun_1: &str, left_out: &[i64]) -> Facts {
    let covers = json!({ "diskExclusionProperties": { "diskLunList": left_out, "isInclusionList": false } });
    let mut facts = protected(json!({}), json!({ "protectionState": "Protected", "extendedProperties": covers }));
    let disks = json!([{ "lun": 0, "managedDisk": { "id": disk("system") } }, { "lun": 1, "managedDisk": { "id": disk(at_lun_1) } }]);
    see(&mut facts, &machine(), Some(vm(json!({ "storageProfile": { "dataDisks": disks } }))));
    facts
}

fn read(mut facts: Facts, name: &str, unique_id: &str) -> Facts {
    see(&mut facts, &disk(name), Some(json!({ "id": disk(name), "properties": { "uniqueId": unique_id } })));
    facts
}

/// LUN 1 is to be left out, and `scratch` was there, known as u-1.
fn leaves_out_scratch() -> Subject<breakwater_api::ProtectedMachine> {
    let pinned = json!({ "declared": "all but LUNs 1", "disks": [{ "lun": 1, "id": disk("scratch"), "uniqueId": "u-1" }] });
    let disks = json!([{ "lun": 1, "id": disk("scratch"), "covered": false }]);
    let status = json!({ "pinnedDisks": pinned, "disks": disks, "recoveryPoints": { "count": 3 },
        "machine": { "vmId": "vm-1", "location": "westeurope" } });
    Subject { owned: vec![owned(&item())], ..declares(json!({ "disks": { "exclude": [1] } }), status) }
}

fn sent(facts: &Facts) -> Value {
    body(&planned(&leaves_out_scratch(), facts), "protection")
        .pointer("/properties/extendedProperties/diskExclusionProperties")
        .cloned()
        .unwrap()
}

#[test]
fn a_place_is_left_out_only_while_the_disk_that_was_meant_is_there() {
    let all = json!({ "diskLunList": [], "isInclusionList": false });
    let told = |facts: &Facts| told(&planned(&leaves_out_scratch(), facts), "protection");
    assert_eq!(told(&read(facts("scratch", &[1]), "scratch", "u-1")), "done");
    assert_eq!(sent(&read(facts("data", &[1]), "data", "u-2")), all, "another disk is there");
    assert_eq!(sent(&read(facts("scratch", &[1]), "scratch", "u-2")), all, "another one of the same name");
    assert_eq!(told(&read(facts("scratch", &[]), "scratch", "u-1")), "stuck: WouldExpirePoints", "covered by now: a person is asked");
}

#[test]
fn what_could_not_be_read_since_a_start_stays_as_azure_has_it_and_is_asked_for() {
    // After a start the machine is not read while it did not change: status tells what was attached.
    let unread = |left_out: &[i64]| {
        let mut facts = facts("scratch", left_out);
        facts.seen.remove(&machine());
        facts
    };
    for left_out in [&[1][..], &[]] {
        assert_eq!(told(&planned(&leaves_out_scratch(), &unread(left_out)), "protection"), "done", "{left_out:?}");
    }
    let asked = |facts: &Facts| {
        let needs = breakwater_api::ProtectedMachine::needs(&leaves_out_scratch(), facts);
        needs.iter().any(|need| matches!(need, Need::Read { id, .. } if *id == disk("scratch")))
    };
    assert!(!asked(&unread(&[1])), "at rest no disk is read");
    assert!(asked(&unread(&[])), "to leave out what is covered it must be known");
}

#[test]
fn pins_are_of_the_disks_that_are_known_and_only_for_luns_that_are_declared() {
    let s = |disks: Value| Subject { owned: vec![owned(&item())], ..declares(json!({ "disks": disks }), json!({})) };
    let facts = read(facts("data", &[]), "data", "u-2");
    let pinned = |s: &Subject<breakwater_api::ProtectedMachine>| reported(s, &facts).status.get("pinnedDisks").cloned();
    let one = json!({ "declared": "OS disk and LUNs 0, 1", "disks": [{ "lun": 1, "id": disk("data"), "uniqueId": "u-2" }] });
    assert_eq!(pinned(&s(json!({ "include": [0, 1] }))), Some(one), "the other was not read");
    assert_eq!(pinned(&s(json!({ "osOnly": true }))), None);
    assert_eq!(pinned(&declares(json!({}), json!({}))), None);
}
