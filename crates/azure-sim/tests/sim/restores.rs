//! What restores bring about: disks, machines, replaced disks, and jobs as recorded.

use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, RG, header};

#[test]
fn the_operation_ends_at_once_and_has_the_jobs_id() {
    let mut client = world();
    let reply = post(&mut client, "vm-a", &json!({}));
    assert_eq!((reply.status, header(&reply, "retry-after").as_str()), (202, "60"));
    let (status, result) = (header(&reply, "azure-asyncoperation"), header(&reply, "location"));
    assert!(status.contains("/protectedItems/VM;iaasvmcontainerv2;rg-one;vm-a/operationsStatus/"), "{status}");
    let id = status.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    client.wait(2);
    let universal = client.read(&format!("{}/backupOperations/{id}", vault()));
    assert_eq!(universal, client.read(&status), "one operation under both URLs");
    let told = (universal["status"].as_str(), universal["properties"]["jobId"].as_str());
    assert_eq!(told, (Some("Succeeded"), Some(id.as_str())), "the restore is the job's work");
    assert_eq!(client.get(&result).status, 204);
    assert_eq!(job(&mut client, &id)["status"], "InProgress");
}

#[test]
fn disks_of_a_point_appear_in_the_target_group() {
    let mut client = world();
    let ended = restore(&mut client, "vm-a", &json!({}));
    assert_eq!(ended["status"], "Completed", "{ended}");
    let made = disks(&mut client, TWO);
    assert_eq!(made.len(), 3, "the OS disk and two others: {made:?}");
    let os = made.iter().find(|name| name.contains("-osdisk-")).unwrap();
    let disk = client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{os}"));
    let properties = &disk["properties"];
    assert_eq!((&disk["location"], &disk["zones"]), (&json!("westeurope"), &json!(["1"])));
    assert_eq!((&properties["diskState"], &properties["osType"]), (&json!("Unattached"), &json!("Linux")));
    let sizes: Vec<i64> = made
        .iter()
        .map(|name| client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{name}"))["properties"]["diskSizeGB"].as_i64().unwrap())
        .collect();
    assert_eq!(sizes, [64, 32, 30]);
}

/// Everything of a type in a group, whole.
fn all(client: &mut Client, group: &str, kind: &str) -> Vec<Value> {
    client.read(&format!("{group}/providers/{kind}"))["value"].as_array().unwrap().clone()
}

/// A world whose machine `AO-Usr2` has tags and a point, with a member of an earlier restore among its tags.
fn tagged() -> Client {
    let mut client = empty("{}", &json!({}));
    let nic = format!("{RG}/providers/Microsoft.Network/networkInterfaces/vm-a-nic");
    let made = client.send("DELETE", &vm("vm-a"), Value::Null);
    assert_eq!(made.status, 202);
    client.wait(120);
    let body = json!({"location": "westeurope", "tags": {"Owner": "hiaga", "RSVaultBackup": "another"},
        "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"osDisk": {"createOption": "FromImage", "osType": "Linux"}, "imageReference": {"publisher": "Canonical"},
            "dataDisks": [{"lun": 3, "createOption": "Empty", "diskSizeGB": 64}]},
        "networkProfile": {"networkInterfaces": [{"id": nic}]}}});
    assert_eq!(client.send("PUT", &vm("AO-Usr2"), body).status, 201);
    client.wait(120);
    let name = "ao-usr2";
    let protecting = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("AO-Usr2"),
        "policyId": format!("{}/backupPolicies/DefaultPolicy", vault())}});
    assert_eq!(client.send("PUT", &item(name), protecting).status, 202);
    client.wait(200);
    back_up(&mut client, name);
    // What the tags are later is not what they were.
    assert!(client.send("PATCH", &vm("AO-Usr2"), json!({"tags": {"Owner": "somebody"}})).status < 300);
    client.wait(60);
    client
}

/// What is asked of a restore of that machine.
fn of_it(more: Value) -> Value {
    let mut all = json!({"sourceResourceId": vm("AO-Usr2")});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[test]
fn disks_bear_a_name_without_hyphens_the_tags_of_their_machine_and_the_name_of_their_job() {
    let mut client = tagged();
    let id = start(&mut client, "ao-usr2", &of_it(json!({})));
    client.wait(7_200);
    let made = all(&mut client, TWO, "Microsoft.Compute/disks");
    let names: Vec<String> = made.iter().map(|disk| disk["name"].as_str().unwrap().to_owned()).collect();
    let stamps: Vec<&str> = names.iter().map(|name| &name[name.len() - 15..]).collect();
    let stamp = stamps[0];
    let at = stamp.bytes().enumerate().all(|(place, c)| if place == 8 { c == b'-' } else { c.is_ascii_digit() });
    assert!(at && stamps.iter().all(|other| *other == stamp), "{names:?}");
    assert_eq!(names, [format!("aousr2-datadisk-003-{stamp}"), format!("aousr2-osdisk-{stamp}")]);
    for disk in &made {
        assert_eq!(disk["tags"], json!({"Owner": "hiaga", "RSVaultBackup": id}), "those of the point, and one job");
    }
}

#[test]
fn a_new_machine_names_its_disks_and_its_interface_keeps_the_hyphens() {
    let mut client = tagged();
    let ended = restore(&mut client, "ao-usr2", &of_it(new_machine("task07-vm-Restored")));
    assert_eq!(ended["status"], "Completed", "{ended}");
    assert!(disks(&mut client, TWO).iter().all(|name| name.starts_with("task07vmrestored-")), "{:?}", disks(&mut client, TWO));
    let vm = all(&mut client, TWO, "Microsoft.Compute/virtualMachines").remove(0);
    let nic = all(&mut client, TWO, "Microsoft.Network/networkInterfaces").remove(0);
    let (stem, guid) = nic["name"].as_str().unwrap().rsplit_once('-').unwrap();
    assert_eq!((stem, guid.len()), ("task07-vm-Restored-nic", 32));
    for made in [&vm, &nic] {
        assert_eq!(made["tags"], json!({"Owner": "hiaga", "RSVaultBackup": "another"}), "as they were: a job's name is the disks' alone");
    }
    let mut bare = world();
    restore(&mut bare, "vm-a", &new_machine("vm-a2"));
    assert!(bare.read(&format!("{TWO}/providers/Microsoft.Compute/virtualMachines/vm-a2")).get("tags").is_none());
}

#[test]
fn names_of_disks_are_never_longer_than_a_disk_may_have() {
    let mut client = world();
    assert_eq!(restore(&mut client, "vm-a", &new_machine(&"v".repeat(64)))["status"], "Completed");
    let made = disks(&mut client, TWO);
    assert!(made.len() == 3 && made.iter().all(|name| name.len() <= 80), "{made:?}");
}

#[test]
fn disks_that_replace_others_are_named_and_tagged_alike() {
    let mut client = tagged();
    let id = start(&mut client, "ao-usr2", &of_it(replacing()));
    client.wait(7_200);
    let profile = client.read(&vm("AO-Usr2"))["properties"]["storageProfile"].clone();
    assert!(profile["osDisk"]["name"].as_str().unwrap().starts_with("aousr2-osdisk-"), "{profile}");
    let disk = client.read(profile["dataDisks"][0]["managedDisk"]["id"].as_str().unwrap());
    assert!(disk["name"].as_str().unwrap().starts_with("aousr2-datadisk-003-"));
    assert_eq!(disk["tags"]["RSVaultBackup"], json!(id));
}

#[test]
fn a_disk_says_what_it_was_made_from() {
    let mut client = tagged();
    restore(&mut client, "ao-usr2", &of_it(json!({})));
    let made = all(&mut client, TWO, "Microsoft.Compute/disks").remove(1)["properties"]["creationData"].clone();
    assert_eq!(made["createOption"], "Restore");
    let source = made["sourceResourceId"].as_str().unwrap();
    let group = format!("{}/resourceGroups/AzureBackupRG_westeurope_1", crate::wire::SUB);
    assert!(source.starts_with(&format!("{group}/providers/Microsoft.Compute/restorePointCollections/AzureBackup_ao-usr2_")), "{source}");
    assert!(source.contains("/restorePoints/AzureBackup_2026") && source.contains("/disks/") && source.contains("?id="), "{source}");
    // From the vault, as to another zone: by way of a blob.
    let mut zonal = world_with("{}", &json!({"redundancySettings": {"standardTierStorageRedundancy": "ZoneRedundant"}}));
    restore(&mut zonal, "vm-a", &json!({"zones": ["2"]}));
    for disk in all(&mut zonal, TWO, "Microsoft.Compute/disks") {
        let made = &disk["properties"]["creationData"];
        assert_eq!((&made["createOption"], &made["storageAccountId"]), (&json!("Import"), &json!(account("stage"))));
        let (uri, name) = (made["sourceUri"].as_str().unwrap(), disk["name"].as_str().unwrap());
        assert!(uri.starts_with("https://stage.blob.core.windows.net/vma-") && uri.ends_with(&format!("/{name}.vhd")), "{uri}");
    }
}

#[test]
fn a_policy_that_wants_a_tag_lets_disks_of_a_machine_with_it_be_made() {
    for (tag, status) in [("owner", "Completed"), ("team", "Failed")] {
        let mut client = tagged();
        let id = format!("{TWO}/providers/Microsoft.Authorization/policyAssignments/tagged");
        edit(&mut client, json!({"method": "PUT", "id": id, "body": {"deny": "Microsoft.Compute/disks", "withoutTag": tag}}));
        assert_eq!(restore(&mut client, "ao-usr2", &of_it(json!({})))["status"], status, "{tag}");
    }
}

#[test]
fn a_lun_list_picks_disks_and_an_empty_one_is_the_os_disk_alone() {
    for (luns, count, restored) in [(json!([]), 1, 1), (json!([1]), 2, 2)] {
        let mut client = world();
        let ended = restore(&mut client, "vm-a", &json!({"restoreDiskLunList": luns}));
        assert_eq!(disks(&mut client, TWO).len(), count);
        let bag = &ended["extendedInfo"]["propertyBag"];
        let count = |name: &str| bag[name].as_str().unwrap().split("; ").count();
        assert_eq!((count("Restored disk(s)"), count("Backed-up disk(s)")), (restored, 3));
    }
}

#[test]
fn without_a_target_group_disks_become_blobs_slowly() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &json!({"targetResourceGroupId": null}));
    client.wait(300);
    assert_eq!(job(&mut client, &id)["status"], "InProgress", "the data comes from the vault");
    client.wait(7_200);
    let ended = job(&mut client, &id);
    assert_eq!(ended["extendedInfo"]["tasksList"][0]["taskExecutionDetails"], "126 GBs / 126 GBs Transferred");
    assert!(ended["extendedInfo"]["propertyBag"].get("Target resource group").is_none());
    let blobs = &client.azure.world().blobs[&account("stage").to_lowercase()];
    assert_eq!(blobs.iter().filter(|name| name.ends_with(".vhd")).count(), 3, "{blobs:?}");
    let named = ended["extendedInfo"]["propertyBag"]["Config Blob Name"].as_str().unwrap();
    assert!(blobs.iter().any(|name| name.ends_with(named)), "{named} {blobs:?}");
}

#[test]
fn a_new_machine_is_another_machine_and_nobody_protects_it() {
    let mut client = world();
    let ended = restore(&mut client, "vm-w", &new_machine("vm-w2"));
    assert_eq!(ended["status"], "Completed", "{ended}");
    let (old, new) = (client.read(&vm("vm-w")), client.read(&format!("{TWO}/providers/Microsoft.Compute/virtualMachines/vm-w2")));
    assert_ne!(new["properties"]["vmId"], old["properties"]["vmId"]);
    assert_eq!(new["properties"]["provisioningState"], "Succeeded");
    for pointer in ["/properties/hardwareProfile/vmSize", "/properties/securityProfile/securityType", "/location"] {
        assert_eq!(new.pointer(pointer), old.pointer(pointer), "{pointer}");
    }
    assert_eq!(new["properties"]["storageProfile"]["osDisk"]["osType"], "Windows");
    let nic = new["properties"]["networkProfile"]["networkInterfaces"][0]["id"].as_str().unwrap().to_owned();
    let nic = client.read(&nic);
    let subnet_id = &nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"];
    assert_eq!(subnet_id, &json!(subnet(RG, "westeurope")));
    let name = disks(&mut client, TWO).remove(0);
    let disk = client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{name}"));
    assert_eq!(disk["managedBy"], new["id"]);
    let asked = json!({"resourceType": "VM", "resourceId": new["id"]});
    let status =
        client.send("POST", &format!("{}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus", crate::wire::SUB), asked);
    assert_eq!(status.json()["protectionStatus"], "NotProtected");
}

#[test]
fn a_point_is_restored_when_its_machine_is_long_gone() {
    let mut client = world();
    client.send("DELETE", &vm("vm-a"), Value::Null);
    client.wait(3 * 86_400);
    let ended = restore(&mut client, "vm-a", &new_machine("vm-a2"));
    assert_eq!(ended["status"], "Completed", "{ended}");
    let new = client.read(&format!("{TWO}/providers/Microsoft.Compute/virtualMachines/vm-a2"));
    let data = new["properties"]["storageProfile"]["dataDisks"].as_array().unwrap();
    assert_eq!(data.iter().map(|disk| disk["lun"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 1]);
}

fn disk_ids(vm: &Value) -> Vec<String> {
    let profile = &vm["properties"]["storageProfile"];
    let data = profile["dataDisks"].as_array().unwrap();
    std::iter::once(&profile["osDisk"]).chain(data).map(|disk| disk["managedDisk"]["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn replacing_disks_keeps_the_machine_and_the_old_disks() {
    let mut client = world();
    let before = client.read(&vm("vm-a"));
    let ended = restore(&mut client, "vm-a", &replacing());
    assert_eq!(ended["status"], "Completed", "{ended}");
    let after = client.read(&vm("vm-a"));
    assert_eq!(after["properties"]["vmId"], before["properties"]["vmId"]);
    let (old, new) = (disk_ids(&before), disk_ids(&after));
    assert!(old.iter().all(|id| !new.contains(id)) && new.len() == 3, "{old:?} {new:?}");
    for id in &old {
        let disk = client.read(id);
        assert_eq!((disk.get("managedBy"), &disk["properties"]["diskState"]), (None, &json!("Unattached")));
    }
    for id in &new {
        let disk = client.read(id);
        assert_eq!((&disk["managedBy"], &disk["properties"]["diskState"]), (&after["id"], &json!("Attached")));
    }
    let bag = &ended["extendedInfo"]["propertyBag"];
    assert_eq!((&bag["Job Type"], &bag["Target VM Name"]), (&json!("Replace disks"), &json!("vm-a")));
    let points = client.read(&format!("{}/recoveryPoints", item("vm-a")));
    assert_eq!(points["value"].as_array().unwrap().len(), 2, "the machine was backed up as it was before");
}

#[test]
fn replacing_disks_needs_the_very_machine() {
    let mut client = world();
    client.send("DELETE", &vm("vm-a"), Value::Null);
    client.wait(120);
    let gone = post(&mut client, "vm-a", &replacing());
    assert_eq!((gone.status, crate::wire::code(&gone).as_str()), (400, "UserErrorReplaceDisksNotPossible"));
    let nic = format!("{RG}/providers/Microsoft.Network/networkInterfaces/vm-a-nic");
    let body = json!({"location": "westeurope", "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"osDisk": {"createOption": "FromImage", "osType": "Linux"}, "imageReference": {"publisher": "Canonical"}},
        "networkProfile": {"networkInterfaces": [{"id": nic}]}}});
    assert_eq!(client.send("PUT", &vm("vm-a"), body).status, 201);
    client.wait(120);
    let other = post(&mut client, "vm-a", &replacing());
    assert_eq!(other.status, 400, "another machine of that name: {}", other.json());
    let mut strict = world_with("{ restore: { replaceNeeds: Deallocated } }", &json!({}));
    assert_eq!(post(&mut strict, "vm-a", &replacing()).status, 400);
    edit(&mut strict, json!({"method": "PATCH", "id": vm("vm-a"), "body": {"power": "deallocated"}}));
    assert_eq!(post(&mut strict, "vm-a", &replacing()).status, 202);
}

#[test]
fn a_machine_that_goes_while_its_disks_are_replaced_fails_the_job() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &replacing());
    client.wait(300);
    client.send("DELETE", &vm("vm-a"), Value::Null);
    client.wait(7_200);
    let ended = job(&mut client, &id);
    assert_eq!(trouble(&ended), "Failed UserErrorVmNotFoundV2");
    let tasks: Vec<&str> =
        ended["extendedInfo"]["tasksList"].as_array().unwrap().iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["Completed", "Failed"]);
}

#[test]
fn zones_of_a_restore() {
    let zone_of = |client: &mut Client| {
        let name = disks(client, TWO).remove(0);
        client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{name}"))["zones"].clone()
    };
    for (zones, wanted) in [(json!(["NoZone"]), Value::Null), (json!(["1"]), json!(["1"]))] {
        let mut client = world();
        assert_eq!(restore(&mut client, "vm-a", &json!({"zones": zones}))["status"], "Completed");
        assert_eq!(zone_of(&mut client), wanted);
    }
    let mut geo = world();
    let refused = post(&mut geo, "vm-a", &json!({"zones": ["2"]}));
    assert_eq!((refused.status, crate::wire::code(&refused).as_str()), (400, "UserErrorCrossZonalRestoreNotSupported"));
    let mut zonal = world_with("{}", &json!({"redundancySettings": {"standardTierStorageRedundancy": "ZoneRedundant"}}));
    assert_eq!(restore(&mut zonal, "vm-a", &json!({"zones": ["2"]}))["status"], "Completed");
    assert_eq!(zone_of(&mut zonal), json!(["2"]));
}

#[test]
fn another_subscription_of_the_tenant_takes_a_restore_when_the_vault_allows_it() {
    let there = json!({"targetResourceGroupId": OTHER});
    let mut client = world();
    let ended = restore(&mut client, "vm-a", &there);
    assert_eq!(ended["status"], "Completed", "{ended}");
    let bag = &ended["extendedInfo"]["propertyBag"];
    assert_eq!(bag["Target Subscription ID"], "22222222-2222-4222-8222-222222222222");
    assert!(disks(&mut client, OTHER).iter().any(|name| name.starts_with("vma-osdisk-")));
    assert_eq!(post(&mut client, "vm-a", &json!({"targetResourceGroupId": FOREIGN})).status, 400, "another tenant");
    let off = json!({"restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "Disabled"}}});
    let mut closed = world_with("{}", &off);
    let refused = post(&mut closed, "vm-a", &there);
    assert_eq!((refused.status, crate::wire::code(&refused).as_str()), (400, "UserErrorCrossSubscriptionRestoreNotAllowed"));
}

#[test]
fn network_access_is_said_exactly_when_a_disk_of_the_point_is_private() {
    let same = json!({"targetDiskNetworkAccessSettings": {"targetDiskNetworkAccessOption": "SameAsOnSourceDisks"}});
    let mut public = world();
    assert_eq!(post(&mut public, "vm-a", &same).status, 400);
    let mut client = empty("{}", &json!({}));
    let os = client.read(&vm("vm-a"))["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str().unwrap().to_owned();
    let private = json!({"properties": {"networkAccessPolicy": "AllowPrivate", "diskAccessId": "/da"}});
    edit(&mut client, json!({"method": "PATCH", "id": os, "body": private}));
    protect(&mut client, "vm-a");
    back_up(&mut client, "vm-a");
    assert_eq!(shown(&mut client, "vm-a")["isPrivateAccessEnabledOnAnyDisk"], true);
    let refused = post(&mut client, "vm-a", &json!({}));
    assert_eq!((refused.status, crate::wire::code(&refused).as_str()), (400, "UserErrorTargetDiskNetworkAccessSettingsInvalid"));
    let policies = |client: &mut Client| {
        let mut found: Vec<(String, Value)> = Vec::new();
        for name in disks(client, TWO) {
            let disk = client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{name}"));
            found
                .push((disk["properties"]["networkAccessPolicy"].as_str().unwrap().to_owned(), disk["properties"]["diskAccessId"].clone()));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    assert_eq!(restore(&mut client, "vm-a", &same)["status"], "Completed");
    let made = policies(&mut client);
    assert_eq!((made[0].0.as_str(), made[2].clone()), ("AllowAll", ("AllowPrivate".to_owned(), json!("/da"))));
    let all = json!({"targetDiskNetworkAccessOption": "EnablePrivateAccessForAllDisks", "targetDiskAccessId": "/mine"});
    let other = json!({"targetDiskNetworkAccessSettings": all, "targetResourceGroupId": RG});
    assert_eq!(restore(&mut client, "vm-a", &other)["status"], "Completed");
    let name = disks(&mut client, RG).into_iter().find(|name| name.starts_with("vma-datadisk-000-")).unwrap();
    let disk = client.read(&format!("{RG}/providers/Microsoft.Compute/disks/{name}"));
    assert_eq!(disk["properties"]["diskAccessId"], "/mine");
}

#[test]
fn an_encryption_set_that_is_named_is_that_of_every_disk() {
    let mut client = world();
    assert_eq!(restore(&mut client, "vm-a", &json!({"diskEncryptionSetId": "/des"}))["status"], "Completed");
    for name in disks(&mut client, TWO) {
        let disk = client.read(&format!("{TWO}/providers/Microsoft.Compute/disks/{name}"));
        assert_eq!(disk["properties"]["encryption"]["diskEncryptionSetId"], "/des");
    }
}

#[test]
fn two_restores_in_the_same_second_do_not_take_each_others_names() {
    let mut client = world();
    let (one, two) = (start(&mut client, "vm-a", &json!({})), start(&mut client, "vm-a", &json!({})));
    client.wait(3_600);
    assert_eq!((&job(&mut client, &one)["status"], &job(&mut client, &two)["status"]), (&json!("Completed"), &json!("Completed")));
    assert_eq!(disks(&mut client, TWO).len(), 6);
}

#[test]
fn a_job_shows_what_jobs_of_restores_show() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &new_machine("vm-a2"));
    client.wait(1);
    let first = job(&mut client, &id)["extendedInfo"].clone();
    let bag = &first["propertyBag"];
    assert_eq!((&bag["Recovery point time "], &bag["Target VNet Name"]), (&Value::Null, &json!("Group rg-one vnet-westeurope")));
    assert_eq!((&first["progressPercentage"], &first["dynamicErrorMessage"]), (&json!(1.0), &json!("")));
    client.wait(5);
    let time = job(&mut client, &id)["extendedInfo"]["propertyBag"]["Recovery point time "].clone();
    assert!(time.as_str().is_some_and(|time| time.ends_with("AM") || time.ends_with("PM")), "{time}");
    client.wait(40);
    let states =
        |job: &Value| job["extendedInfo"]["tasksList"].as_array().unwrap().iter().map(|task| task["status"].clone()).collect::<Vec<_>>();
    assert_eq!(states(&job(&mut client, &id)), ["Completed", "InProgress"]);
    client.wait(200);
    let ended = job(&mut client, &id);
    assert_eq!((states(&ended), &ended["extendedInfo"]["progressPercentage"]), (vec![json!("Completed"); 2], &json!(100.0)));
    assert_eq!(ended["actionsInfo"], json!(["Cancellable"]), "also when nothing is left to cancel");
    let list = client.read(&format!("{}/backupJobs?$filter=operation eq 'Restore'", vault()));
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    assert!(list["value"][0]["properties"].get("extendedInfo").is_none());
}

#[test]
fn the_same_restores_give_the_same_bytes() {
    let run = || {
        let mut client = world();
        restore(&mut client, "vm-a", &json!({}));
        restore(&mut client, "vm-w", &new_machine("vm-w2"));
        let summary = azure_sim::edit::summary(&client.azure).to_string();
        format!("{summary}{}", client.read(&format!("{}/backupJobs", vault())))
    };
    assert_eq!(run(), run());
}
