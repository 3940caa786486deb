//! The secondary region: what it knows and when, tokens, restores there.

use azure_sim::recovery::CANARY_TOKEN;
use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, RG, SUB, code, header};

const PASSIVE: &str = "api-version=2021-11-15";
const NORTH: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-north";

fn crossing() -> Value {
    json!({"redundancySettings": {"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled"}})
}

/// A world where the secondary region knows the points.
fn ready() -> Client {
    let mut client = world_with("{ restore: { secondaryLag: 30m } }", &crossing());
    client.wait(3_600);
    client
}

fn region(call: &str) -> String {
    format!("{SUB}/providers/Microsoft.RecoveryServices/locations/northeurope/{call}?{PASSIVE}")
}

fn token(client: &mut Client) -> Value {
    let aad = client.read(&region("backupAadProperties"));
    let id = point(client, "vm-a");
    let reply = client.send("POST", &format!("{id}/accessToken?{PASSIVE}"), aad);
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["properties"].clone()
}

fn there(more: &Value) -> Value {
    let staging = format!("{NORTH}/providers/Microsoft.Storage/storageAccounts/stagenorth");
    let mut request =
        asking("vm-a", &json!({"region": "northeurope", "storageAccountId": staging, "targetResourceGroupId": NORTH}))["properties"]
            .clone();
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn send(client: &mut Client, token: &Value, more: &Value) -> azure_sim::wire::WireReply {
    let body = json!({"crossRegionRestoreAccessDetails": token, "restoreRequest": there(more)});
    client.send("POST", &region("backupCrossRegionRestore"), body)
}

fn job_there(client: &mut Client, id: &str) -> Value {
    let reply = client.send("POST", &region("backupCrrJob"), json!({"resourceId": vault(), "jobName": id}));
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()
}

/// Starts a restore there; its job's id.
fn started(client: &mut Client, more: &Value) -> String {
    let token = token(client);
    let reply = send(client, &token, more);
    assert_eq!(reply.status, 202, "{}", reply.json());
    client.wait(5);
    let status = client.read(&header(&reply, "azure-asyncoperation"));
    assert!(status["id"].as_str().unwrap().contains("/locations/northeurope/backupCrrOperationsStatus/"), "a whole id: {status}");
    assert!(status["endTime"].as_str().unwrap().ends_with('Z'));
    status["properties"]["jobId"].as_str().unwrap().to_owned()
}

#[test]
fn the_secondary_region_knows_points_hours_later() {
    let mut client = world_with("{}", &crossing());
    let items = format!("{}/backupProtectedItems/?{PASSIVE}", vault());
    let points = format!("{}/recoveryPoints/?{PASSIVE}", item("vm-a"));
    assert_eq!((client.read(&items)["value"].clone(), client.read(&points)["value"].clone()), (json!([]), json!([])));
    client.wait(13 * 3_600);
    let names: Vec<Value> =
        client.read(&items)["value"].as_array().unwrap().iter().map(|item| item["properties"]["friendlyName"].clone()).collect();
    assert_eq!(names, ["vm-a", "vm-w"]);
    let point = client.read(&points)["value"][0]["properties"].clone();
    assert_eq!(point["crossRegionRestoreState"], "Supported");
    assert_eq!(point["recoveryPointTierDetails"], json!([{"type": "HardenedRP", "status": "Valid"}]));
}

#[test]
fn a_vault_without_cross_region_restore_has_no_secondary_region() {
    let mut client = world();
    for url in [format!("{}/backupProtectedItems/?{PASSIVE}", vault()), format!("{}/recoveryPoints/?{PASSIVE}", item("vm-a"))] {
        let reply = client.get(&url);
        assert_eq!((reply.status, code(&reply).as_str()), (400, "BMSUserErrorCrossRegionRestoreNotEnabledInThisVault"));
    }
}

#[test]
fn disks_come_back_in_the_secondary_region() {
    let mut client = ready();
    let id = started(&mut client, &json!({}));
    let job = job_there(&mut client, &id);
    assert!(job["id"].as_str().unwrap().ends_with(&format!("/locations/northeurope/backupJobs/{id}")), "{job}");
    assert_eq!(job["properties"]["operation"], "CrossRegionRestore");
    client.wait(7_200);
    let ended = job_there(&mut client, &id)["properties"].clone();
    assert_eq!(ended["status"], "Completed", "{ended}");
    assert_eq!(ended["extendedInfo"]["propertyBag"]["Vault name"], "rv-one");
    let name = disks(&mut client, NORTH).into_iter().find(|name| name.starts_with("vma-osdisk-")).unwrap();
    let disk = client.read(&format!("{NORTH}/providers/Microsoft.Compute/disks/{name}"));
    assert_eq!(disk["location"], "northeurope");
    let creation = json!({"createOption": "Upload", "uploadSizeBytes": 32_212_255_232_i64});
    assert_eq!((&disk["properties"]["creationData"], &disk["tags"]["RSVaultBackup"]), (&creation, &json!(id)));
    let list = client.send("POST", &region("backupCrrJobs"), json!({"resourceId": vault()}));
    assert_eq!(list.json()["value"].as_array().unwrap().len(), 1);
}

#[test]
fn the_vaults_own_region_knows_the_job_under_the_vaults_own_id() {
    let mut client = ready();
    let id = started(&mut client, &json!({}));
    let (here, there) = (client.read(&format!("{}/backupJobs/{id}", vault())), job_there(&mut client, &id));
    assert_eq!(here["id"], json!(format!("{}/backupJobs/{id}", vault())));
    assert!(there["id"].as_str().unwrap().contains("/locations/northeurope/backupJobs/"));
    assert_eq!((&here["properties"]["operation"], &here["name"]), (&json!("CrossRegionRestore"), &there["name"]));
    assert_eq!(here["properties"]["activityId"], there["properties"]["activityId"]);
    let listed = client.read(&format!("{}/backupJobs?$filter=operation eq 'CrossRegionRestore'", vault()));
    assert_eq!((listed["value"].as_array().unwrap().len(), &listed["value"][0]["id"]), (1, &here["id"]));
    assert_eq!(client.send("POST", &format!("{}/backupJobs/{id}/cancel", vault()), Value::Null).status, 202);
    client.wait(600);
    assert_eq!(job_there(&mut client, &id)["properties"]["status"], "Cancelled", "one job");
}

#[test]
fn lists_there_read_the_filters_of_lists_here() {
    let mut client = ready();
    let mut items = |filter: &str| -> Vec<Value> {
        let list = client.read(&format!("{}/backupProtectedItems?{PASSIVE}&$filter={filter}", vault()));
        list["value"].as_array().unwrap().iter().map(|item| item["properties"]["friendlyName"].clone()).collect()
    };
    let kind = "backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'";
    assert_eq!(items(kind), ["vm-a", "vm-w"]);
    assert_eq!(items(&format!("{kind} and friendlyName eq 'VM-W'")), ["vm-w"]);
    assert_eq!(items("containerName eq 'iaasvmcontainerv2;rg-one;vm-a'"), ["vm-a"]);
    assert_eq!((items("policyName eq 'DefaultPolicy'").len(), items("policyName eq 'other'").len()), (2, 0));
    let points = |filter: &str| format!("{}/recoveryPoints?{PASSIVE}&$filter={filter}", item("vm-a"));
    let count = |client: &mut Client, filter: &str| client.read(&points(filter))["value"].as_array().unwrap().len();
    assert_eq!(count(&mut client, "startDate eq '2026-11-24 12:00:00 AM' and endDate eq '2026-11-25 11:59:59 PM'"), 1);
    assert_eq!(count(&mut client, "startDate eq '2026-11-26 12:00:00 AM'"), 0);
    assert_eq!(count(&mut client, "endDate eq '2026-11-23 12:00:00 AM'"), 0);
    for url in [points("startDate eq 'yesterday'"), points("endDate eq 'soon'"), points("startDate after now")] {
        let refused = client.get(&url);
        assert_eq!((refused.status, code(&refused).as_str()), (400, "BMSUserErrorInvalidInput"), "{url}");
        let here = client.get(&url.replace(PASSIVE, "api-version=2024-04-01"));
        assert_eq!((here.status, here.json()), (refused.status, refused.json()), "alike in both regions");
    }
}

#[test]
fn azure_powershells_version_is_one_of_the_secondary_region_too() {
    let mut client = world_with("{}", &crossing());
    let old = "api-version=2018-12-20";
    let (id, aad) = (point(&mut client, "vm-a"), client.read(&region("backupAadProperties").replace(PASSIVE, old)));
    let items = format!("{}/backupProtectedItems?{old}", vault());
    assert_eq!(client.read(&items)["value"], json!([]), "not there yet");
    assert_eq!(client.get(&format!("{id}?{old}")).status, 404);
    client.wait(13 * 3_600);
    assert_eq!(client.read(&items)["value"].as_array().unwrap().len(), 2);
    assert_eq!(client.read(&format!("{id}?{old}"))["properties"]["crossRegionRestoreState"], "Supported");
    let token = client.send("POST", &format!("{id}/accessToken?{old}"), aad);
    assert_eq!(token.status, 200, "{}", token.json());
    let body = json!({"crossRegionRestoreAccessDetails": token.json()["properties"], "restoreRequest": there(&json!({}))});
    assert_eq!(client.send("POST", &region("backupCrossRegionRestore").replace(PASSIVE, old), body).status, 202);
}

#[test]
fn jobs_there_are_listed_by_the_filter_of_jobs_here() {
    let mut client = ready();
    let (first, _) = (started(&mut client, &json!({})), client.wait(2_400));
    let second = started(&mut client, &json!({}));
    let mut listed = |filter: &str| -> Vec<Value> {
        let list = client.send("POST", &format!("{}&$filter={filter}", region("backupCrrJobs")), json!({"resourceId": vault()}));
        assert_eq!(list.status, 200, "{}", list.json());
        list.json()["value"].as_array().unwrap().iter().map(|job| job["name"].clone()).collect()
    };
    assert_eq!(listed("status eq 'Completed'"), [first.as_str()]);
    assert_eq!(listed("status eq 'InProgress' and operation eq 'CrossRegionRestore'"), [second.as_str()]);
    assert_eq!(listed("backupManagementType eq 'AzureIaasVM'"), [second.as_str(), first.as_str()], "newest first");
    assert_eq!(listed("operation eq 'Backup'"), Vec::<Value>::new());
}

#[test]
fn one_point_is_read_there_as_it_is_listed_there() {
    let mut client = world_with("{}", &crossing());
    let id = point(&mut client, "vm-a");
    assert_eq!(client.get(&format!("{id}?{PASSIVE}")).status, 404, "not there yet");
    client.wait(13 * 3_600);
    let there = client.read(&format!("{id}?{PASSIVE}"));
    let listed = client.read(&format!("{}/recoveryPoints/?{PASSIVE}", item("vm-a")))["value"][0].clone();
    assert_eq!((&there, &there["properties"]["crossRegionRestoreState"]), (&listed, &json!("Supported")));
    assert!(client.read(&id)["properties"].get("crossRegionRestoreState").is_none(), "the primary region shows its own");
    let mut without = world();
    let id = point(&mut without, "vm-a");
    assert_eq!(code(&without.get(&format!("{id}?{PASSIVE}"))), "BMSUserErrorCrossRegionRestoreNotEnabledInThisVault");
}

#[test]
fn a_machine_comes_back_in_the_secondary_region_unpinned() {
    let mut client = ready();
    let id = started(
        &mut client,
        &json!({"recoveryType": "AlternateLocation", "targetVirtualMachineId": format!("{NORTH}/providers/Microsoft.Compute/virtualMachines/vm-x"),
            "virtualNetworkId": format!("{NORTH}/providers/Microsoft.Network/virtualNetworks/vnet-northeurope"), "subnetId": subnet(NORTH, "northeurope")}),
    );
    client.wait(7_200);
    assert_eq!(job_there(&mut client, &id)["properties"]["status"], "Completed");
    let vm = client.read(&format!("{NORTH}/providers/Microsoft.Compute/virtualMachines/vm-x"));
    assert_eq!((&vm["location"], vm.get("zones")), (&json!("northeurope"), None));
}

#[test]
fn targets_lie_in_the_secondary_region() {
    let mut client = ready();
    let token = token(&mut client);
    let id = started(&mut client, &json!({"storageAccountId": account("stage")}));
    client.wait(600);
    assert_eq!(trouble(&job_there(&mut client, &id)["properties"]), "Failed UserErrorStorageAccountRegionMismatch");
    assert_eq!(send(&mut client, &token, &json!({"region": "westeurope"})).status, 400);
    assert_eq!(send(&mut client, &token, &json!({"recoveryType": "OriginalLocation", "targetResourceGroupId": null})).status, 400);
}

#[test]
fn a_token_comes_back_unchanged_and_in_time() {
    let mut client = ready();
    let token = token(&mut client);
    for (field, value) in [("recoveryPointId", json!("1")), ("rpVMSizeDescription", Value::Null), ("extra", json!(1))] {
        let mut altered = token.clone();
        altered[field] = value;
        let reply = send(&mut client, &altered, &json!({}));
        assert_eq!((reply.status, code(&reply).as_str()), (400, "BMSUserErrorInvalidCrrAccessToken"), "{field}");
    }
    let mut forged = token.clone();
    forged["accessTokenString"] = json!("x");
    assert_eq!(send(&mut client, &forged, &json!({})).status, 400);
    let url = region("backupCrossRegionRestore").replace("northeurope", "westus");
    let body = json!({"crossRegionRestoreAccessDetails": token, "restoreRequest": there(&json!({}))});
    assert_eq!(client.send("POST", &url, body).status, 400, "another region");
    client.wait(3_600);
    assert_eq!(send(&mut client, &token, &json!({})).status, 400, "too old");
}

#[test]
fn a_token_is_given_for_what_the_secondary_region_knows_and_to_its_service_alone() {
    let mut client = world_with("{}", &crossing());
    let (aad, id) = (client.read(&region("backupAadProperties")), point(&mut client, "vm-a"));
    assert_eq!(client.send("POST", &format!("{id}/accessToken?{PASSIVE}"), aad.clone()).status, 404, "not there yet");
    assert_eq!(client.send("POST", &format!("{id}/accessToken?api-version=2025-02-01"), aad.clone()).status, 501);
    client.wait(13 * 3_600);
    assert_eq!(client.send("POST", &format!("{id}/accessToken?{PASSIVE}"), aad).status, 200);
    let other = json!({"properties": {"tenantId": "x", "audience": "y", "servicePrincipalObjectId": "z"}});
    assert_eq!(client.send("POST", &format!("{id}/accessToken?{PASSIVE}"), other).status, 400);
}

#[test]
fn the_journal_keeps_no_token() {
    let mut client = ready();
    started(&mut client, &json!({}));
    let journal = serde_json::to_string(client.azure.journal().entries()).unwrap();
    assert!(journal.contains("crossRegionRestoreAccessDetails") && !journal.contains(CANARY_TOKEN), "{RG}");
}
