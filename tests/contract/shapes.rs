//! azure-sim's answers have the shapes of recorded ones, and what it adds of its own is known.

use std::collections::BTreeSet;

use breakwater_tests::contract::{Exchange, Outcome, compare_recording, exchanges, simulated::simulated};
use serde_json::{Value, json};

use super::{recorded, recording, report};

fn all(folder: &str) -> Vec<Exchange> {
    let files = report(folder).files;
    files.iter().flat_map(|file| exchanges(&recording(&format!("{folder}/{}", file.file))).expect("a recording")).collect()
}

#[test]
fn what_azure_sim_shows_and_nobody_recorded_is_listed_with_its_reason() {
    let recordings: Vec<Exchange> = ["backup", "compute"].into_iter().flat_map(all).collect();
    let found = simulated().unrecorded(&recordings);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn most_recorded_answers_are_compared_and_none_differs() {
    for (folder, at_least, unmodelled) in [("backup", 350, 5), ("compute", 90, 80)] {
        let report = report(folder);
        let compared: Vec<_> = report.files.iter().filter_map(|file| file.compared.as_ref()).collect();
        let same: usize = compared.iter().map(|one| one.same).sum();
        let different: Vec<&String> = compared.iter().flat_map(|one| &one.different).collect();
        let foreign = report.files.iter().filter(|file| file.is_not_modelled()).count();
        assert!(different.is_empty(), "{different:#?}");
        let lacking: Vec<&String> = compared.iter().flat_map(|one| &one.lacking).collect();
        assert!(lacking.is_empty(), "{lacking:#?}");
        assert!(same >= at_least && foreign <= unmodelled, "{same} compared, {foreign} not modelled\n{report}");
    }
}

/// Adds a field to the first body of every file: a simulator that lacked it would be noticed.
#[test]
fn a_field_that_azure_sim_lacks_is_noticed_in_every_file() {
    let (mut tried, mut overlooked) = (0, BTreeSet::new());
    for folder in ["backup", "compute"] {
        for file in report(folder).files {
            let name = format!("{folder}/{}", file.file);
            let whole = recording(&name);
            let first = if whole.get("sequence").is_some() { "/sequence/0" } else { "" };
            let (at, one) = (format!("{first}/response/body"), json!({"sequence": [whole.pointer(first).unwrap()]}));
            let Some(plain) = compare_recording(&one) else { continue };
            if plain.same == 0 || !whole.pointer(&at).is_some_and(Value::is_object) {
                continue;
            }
            let mut grown = whole.clone();
            grown.pointer_mut(&at).unwrap()["fieldOfTomorrow"] = json!(1);
            tried += 1;
            if !compare_recording(&grown).unwrap().lacking.iter().any(|path| path.ends_with("/fieldOfTomorrow")) {
                overlooked.insert(name);
            }
        }
    }
    assert!(overlooked.is_empty(), "{overlooked:#?}");
    assert!(tried > 80, "only {tried} files were tried");
}

#[test]
fn only_what_we_read_and_azure_sim_never_shows_is_a_fault_of_its() {
    let get = recording("backup/vault_create__201_then_operationstatus_inprogress_succeeded_get.json");
    let at = "/sequence/3/response/body/properties";
    let with = |name: &str, value: Value| {
        let mut changed = get.clone();
        changed.pointer_mut(at).expect("the vault at the end")[name] = value;
        compare_recording(&changed).expect("traffic of ARM's")
    };
    assert_eq!(with("provisioningState", json!("Succeeded")).different, Vec::<String>::new());
    assert!(with("publicNetworkAccess", json!(7)).different.iter().any(|why| why.contains("recorded as [Number]")));
    assert!(with("fieldOfTomorrow", json!({"a": 1})).different.is_empty());
    // a vault with a key shows it; this one has none
    let keyed = with("encryption", json!({"infrastructureEncryption": "Enabled"}));
    assert!(keyed.different.is_empty(), "{keyed:?}");
}

#[test]
fn links_and_waits_that_azure_sim_lacks_are_noticed() {
    let enable = recording("backup/protecteditem_enable__202_poll_succeeded_job.json");
    let headers = "/sequence/0/response/headers";
    for (name, value) in
        [("location", json!("https://h/subscriptions/s/elsewhere/1?api-version=1")), ("x-ms-ratelimit-remaining-moon", json!("1"))]
    {
        let mut changed = enable.clone();
        changed.pointer_mut(headers).unwrap()[name] = value;
        let compared = compare_recording(&changed).unwrap();
        // a limit that our budget does not know is no fault
        let found = if name == "location" { &compared.different } else { &compared.lacking.into_iter().collect() };
        assert!(found.iter().any(|why| why.contains(name)), "{name}: {found:?}");
    }
    assert!(compare_recording(&enable).unwrap().different.is_empty());
}

#[test]
fn what_azure_sim_refuses_is_not_modelled_and_no_failure() {
    let files = report("compute").files;
    let file = files.iter().find(|file| file.file.starts_with("snapshot_get_empty")).unwrap();
    assert!(file.is_not_modelled() && file.failures().is_empty() && !matches!(file.outcome, Outcome::Failed(_)), "{file:?}");
    assert!(recorded().join("compute").join(&file.file).exists());
}
