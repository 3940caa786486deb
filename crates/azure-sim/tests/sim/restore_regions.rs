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
    let name = disks(&mut client, NORTH).into_iter().find(|name| name.starts_with("vm-a-osdisk-")).unwrap();
    let disk = client.read(&format!("{NORTH}/providers/Microsoft.Compute/disks/{name}"));
    assert_eq!(disk["location"], "northeurope");
    let list = client.send("POST", &region("backupCrrJobs"), json!({"resourceId": vault()}));
    assert_eq!(list.json()["value"].as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("{}/backupJobs/{id}", vault())).status, 404, "the primary region does not know it");
    assert_eq!(client.send("POST", &format!("{}/backupJobs/{id}/cancel", vault()), Value::Null).status, 404);
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
