//! Every recorded answer of the real service that touches our types is read without loss; a damaged one is noticed.

mod clients;
mod shapes;

use std::path::{Path, PathBuf};

use breakwater_tests::contract::{FileReport, Outcome, Report, check_folder, check_recording};
use serde_json::{Value, json};

/// The recordings: beside the repository, or where `BREAKWATER_RECORDED` says.
fn recorded() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/azure/recorded");
    std::env::var_os("BREAKWATER_RECORDED").map_or(beside, PathBuf::from)
}

fn report(folder: &str) -> Report {
    let dir = recorded().join(folder);
    check_folder(&dir).unwrap_or_else(|error| panic!("no recordings in {}: {error} (set BREAKWATER_RECORDED)", dir.display()))
}

fn recording(name: &str) -> Value {
    let path = recorded().join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_none_failed(report: &Report) {
    let failed: Vec<&FileReport> = report.failed();
    assert!(failed.is_empty(), "{report}");
}

#[test]
fn no_recorded_answer_of_backup_loses_a_field_we_use() {
    let report = report("backup");
    println!("{report}");
    assert_none_failed(&report);
    assert!(report.passed() >= 90, "{report}");
}

#[test]
fn no_recorded_answer_of_arm_and_compute_loses_a_field_we_use() {
    let report = report("compute");
    println!("{report}");
    assert_none_failed(&report);
    assert!(report.passed() >= 90, "{report}");
}

fn damaged(recording: &Value, pointer: &str, by: &Value) -> Value {
    let mut copy = recording.clone();
    *copy.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not in the recording")) = by.clone();
    copy
}

fn fails(name: &str, recording: &Value) -> Vec<String> {
    match check_recording(name, recording).outcome {
        Outcome::Failed(why) => why,
        other => panic!("a damaged {name} is {other:?}"),
    }
}

/// Changes one thing after another that the checker says it read, in every file: how many there were, and those that it
/// did not miss.
fn missed(change: impl Fn(&Value, &str) -> Option<Value>) -> (usize, Vec<String>) {
    let (mut tried, mut overlooked) = (0, Vec::new());
    for folder in ["backup", "compute"] {
        for file in report(folder).files.iter().filter(|f| f.outcome == Outcome::Passed) {
            let whole = recording(&format!("{folder}/{}", file.file));
            let step = file.checked.len().div_ceil(30).max(1);
            for pointer in file.checked.iter().step_by(step) {
                let Some(changed) = change(&whole, pointer) else { continue };
                if !matches!(check_recording(&file.file, &changed).outcome, Outcome::Failed(_)) {
                    overlooked.push(format!("{folder}/{} {pointer}", file.file));
                }
                tried += 1;
            }
        }
    }
    (tried, overlooked)
}

#[test]
fn every_value_that_was_read_is_missed_when_it_is_damaged() {
    let damage = |whole: &Value, pointer: &str| {
        whole.pointer(pointer)?;
        Some(damaged(whole, pointer, &json!({"damaged": [true]})))
    };
    let (tried, overlooked) = missed(damage);
    assert!(overlooked.is_empty(), "{overlooked:#?}");
    assert!(tried > 1000, "only {tried} values were damaged");
}

/// Names that are people's or the service's own, and no fields.
const FREE: [&str; 6] = ["tags", "propertyBag", "internalPropertyBag", "kpisHealths", "tieringPolicy", "recoveryPointMoveReadinessInfo"];

/// The recording with the last name of a pointer in another case; nothing where that is no field of a body.
fn respelt(recording: &Value, pointer: &str) -> Option<Value> {
    let (holder, name) = pointer.rsplit_once('/').filter(|(holder, _)| holder.contains("/body"))?;
    let (first, rest) = (name.chars().next().filter(char::is_ascii_lowercase)?, &name[1..]);
    if FREE.contains(&holder.rsplit('/').next()?) {
        return None;
    }
    let mut copy = recording.clone();
    let fields = copy.pointer_mut(holder)?.as_object_mut()?;
    let value = fields.remove(name)?;
    fields.insert(format!("{}{rest}", first.to_ascii_uppercase()), value);
    Some(copy)
}

#[test]
fn every_field_that_was_read_is_missed_when_its_name_is_written_otherwise() {
    let (tried, overlooked) = missed(respelt);
    assert!(overlooked.is_empty(), "{overlooked:#?}");
    assert!(tried > 800, "only {tried} names were changed");
}

#[test]
fn what_site_recovery_said_is_told_apart_and_counted_nowhere() {
    let report = report("site-recovery");
    assert_none_failed(&report);
    let ours: Vec<&str> = report.files.iter().filter(|f| f.outcome == Outcome::Passed).map(|f| f.file.as_str()).collect();
    assert!(ours.iter().all(|file| file.starts_with("vault-")) && ours.len() < 5, "{ours:?}");
    assert!(report.not_ours() > 100, "{report}");
    for file in report.files.iter().filter(|f| matches!(f.outcome, Outcome::NotOurs(_))) {
        assert!(file.checked.is_empty() && file.exchanges.ours == 0 && file.compared.is_none(), "{file:?}");
    }
}

#[test]
fn what_a_damaged_recording_lacks_is_named() {
    let get = "backup/protecteditem_get__200.json";
    let enable = "backup/protecteditem_enable__202_poll_succeeded_job.json";
    let items = "backup/protecteditems_list_two_vms__200.json";
    let throttled = "backup/error_429_resource_requests_throttled.json";
    let body = "/response/body";
    let cases = [
        (get, format!("{body}/properties/protectionState"), Value::Null, "protectionState of a Item is missing"),
        (get, format!("{body}/properties/sourceResourceId"), json!("/subscriptions/x"), "is no Id"),
        (get, format!("{body}/properties/lastBackupTime"), json!("yesterday"), "is no Time"),
        (get, body.to_owned(), json!("{\"id\": \"/subsc"), "says it is JSON and is none"),
        (get, format!("{body}/properties/lastBackupStatus"), json!([1]), "is no Item"),
        (get, format!("{body}/properties/vaultId"), json!("https://elsewhere"), "is no Id"),
        (get, format!("{body}/properties"), json!({"Protectionstate": "Protected"}), "our field is \"protectionState\""),
        (get, "/request/url".to_owned(), json!("management.azure.com"), "is no URL"),
        (get, "/response/status".to_owned(), json!(0), "is no HTTP status"),
        (items, format!("{body}/value"), Value::Null, "no `value` list"),
        (items, format!("{body}/value/1/properties/policyId"), json!(7), "is no Item"),
        (throttled, format!("{body}/error"), json!({"x": 1}), "without code and message"),
        (enable, "/sequence/0/response/headers/azure-asyncoperation".to_owned(), json!("x"), "no operation can be read"),
        (enable, "/sequence/0/response/headers".to_owned(), json!({}), "202 with nothing to ask"),
        (enable, "/sequence/1/response/body/status".to_owned(), Value::Null, "without a status"),
    ];
    for (name, pointer, by, wanted) in cases {
        let why = fails(name, &damaged(&recording(name), &pointer, &by));
        assert!(why.iter().any(|w| w.contains(wanted)), "{name} {pointer}: {why:?}");
    }
}

#[test]
fn a_file_that_is_no_recording_fails() {
    for value in [json!({}), json!([]), json!({"sequence": []}), json!({"request": {"method": "LOOK", "url": "https://h/p"}})] {
        fails("none", &value);
    }
}

#[test]
fn what_other_workloads_share_our_lists_with_must_parse_and_no_more() {
    let mut list = recording("backup/protecteditems_list_two_vms__200.json");
    list["response"]["body"]["value"].as_array_mut().unwrap().push(json!({
        "id": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/a/providers/Microsoft.RecoveryServices/vaults/v/backupFabrics/Azure/protectionContainers/c/protectedItems/i",
        "name": "i", "properties": {"backupManagementType": "AzureWorkload", "protectedItemType": "AzureVmWorkloadSQLDatabase"}}));
    assert_eq!(check_recording("shared", &list).outcome, Outcome::Passed);
    list["response"]["body"]["value"][2]["properties"]["policyId"] = json!({});
    fails("shared", &list);
}

#[test]
fn traffic_of_other_services_is_not_ours() {
    let login = json!({"request": {"method": "POST", "url": "https://login.microsoftonline.com/t/oauth2/v2.0/token"},
        "response": {"status": 400, "headers": {"content-type": "application/json"}, "body": {"error": "invalid_grant"}}});
    assert!(matches!(check_recording("login", &login).outcome, Outcome::NotOurs(_)));
    let head = json!({"request": {"method": "HEAD", "url": "https://management.azure.com/subscriptions/x"}, "response": {"status": 204, "headers": {}}});
    assert!(matches!(check_recording("head", &head).outcome, Outcome::NotOurs(_)));
}

#[test]
fn the_report_has_a_line_a_file_and_a_total() {
    let folder = std::env::temp_dir().join(format!("breakwater-contract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let good = recording("backup/vault_get__404_resource_not_found.json");
    std::fs::write(folder.join("a.json"), good.to_string()).unwrap();
    std::fs::write(folder.join("b.json"), "{").unwrap();
    std::fs::write(folder.join("c.json"), recording("compute/roleassignment_put__201.json").to_string()).unwrap();
    std::fs::create_dir_all(folder.join("below/it")).unwrap();
    std::fs::write(folder.join("below/it/d.JSON"), format!("\u{feff}{good}")).unwrap();
    std::fs::write(folder.join("notes.txt"), "no recording").unwrap();
    // a file that cannot be read fails alone
    let text = check_folder(&folder).unwrap().to_string();
    let alone = check_folder(&folder.join("a.json")).unwrap();
    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let nothing = check_folder(&empty).unwrap();
    let missing = check_folder(&folder.join("missing"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(alone.passed() == 1 && nothing.files.is_empty() && missing.is_err(), "{alone}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("a.json: ok"), "{text}");
    assert!(lines[1].starts_with("b.json: FAILED: no JSON"), "{text}");
    assert!(lines[2].starts_with("below/it/d.JSON: ok"), "{text}");
    assert!(lines[3].starts_with("c.json: not ours: PUT Microsoft.Authorization/roleAssignments; azure-sim: ok"), "{text}");
    assert!(lines[4].starts_with("4 files: 2 ok, 1 not ours, 1 failed; exchanges: 2 ours"), "{text}");
}
