//! The example estate, and sameness of bytes.

use std::path::Path;

use azure_sim::{Azure, Estate, Options};
use serde_json::{Value, json};

use crate::wire::{Client, small};

const SUB: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";

fn shop() -> Client {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("estates/shop.yaml");
    let estate = Estate::read(&path, &[("ISSUER".to_owned(), "https://issuer.test".to_owned())].into()).unwrap();
    let options = Options::default();
    let now = options.start;
    let azure = Azure::new(estate, options).unwrap();
    let admin = azure.directory().find("shop-admin").unwrap().clone();
    let caller = azure_sim::wire::Caller { object_id: admin.object_id, client_id: admin.client_id, tenant_id: admin.tenant_id };
    Client { azure, now, caller }
}

#[test]
fn nine_machines_of_the_shop_are_to_be_backed_up_and_two_run_windows() {
    let mut client = shop();
    let list = client.read(&format!("{SUB}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines"));
    let wanted: Vec<&Value> =
        list["value"].as_array().unwrap().iter().filter(|vm| vm["tags"]["app"] == "shop" && vm["tags"]["backup"] != "off").collect();
    let windows = wanted.iter().filter(|vm| vm["properties"]["storageProfile"]["osDisk"]["osType"] == "Windows").count();
    assert_eq!((wanted.len(), windows), (9, 2));
    let other = client.read("/subscriptions/50b50000-0000-4000-8000-000000000002/providers/Microsoft.Compute/virtualMachines");
    assert_eq!(list["value"].as_array().unwrap().len() + other["value"].as_array().unwrap().len(), 12);
}

#[test]
fn one_machine_of_the_shop_is_protected_in_another_vault() {
    let mut client = shop();
    let vault = format!("{SUB}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-legacy");
    let items = client.read(&format!("{vault}/backupProtectedItems?$filter=backupManagementType eq 'AzureIaasVM'"));
    assert_eq!(items["value"][0]["properties"]["friendlyName"], "legacy-01", "{items}");
    let asked = json!({"resourceId": format!("{SUB}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/legacy-01"), "resourceType": "VM"});
    let status = client.send("POST", &format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus"), asked);
    assert_eq!((status.status, status.json()["protectionStatus"].as_str()), (200, Some("Protected")), "{}", status.json());
    assert_eq!(client.read(&vault)["tags"]["owner"], "it-operations");
    let all = client.read(&format!("{SUB}/resources?$filter=resourceType eq 'Microsoft.RecoveryServices/vaults'"));
    assert_eq!(all["value"][0]["name"], "rv-legacy");
}

#[test]
fn the_operators_roles_reach_what_it_needs_and_no_more() {
    let mut client = shop();
    let operator = client.azure.directory().find("shop-operator").unwrap().clone();
    client.caller = azure_sim::wire::Caller { object_id: operator.object_id, client_id: operator.client_id, tenant_id: operator.tenant_id };
    let vault = format!("{SUB}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-new");
    let body =
        json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": {"publicNetworkAccess": "Enabled"}});
    assert_eq!(client.send("PUT", &vault, body).status, 201);
    assert_eq!(client.send("DELETE", &vault, Value::Null).status, 403);
    let vm = format!("{SUB}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-01");
    assert_eq!((client.get(&vm).status, client.send("DELETE", &vm, Value::Null).status), (200, 403));
    assert_eq!(client.get("/subscriptions/50b50000-0000-4000-8000-000000000002/resources").status, 403);
}

#[test]
fn the_same_seed_and_requests_give_the_same_bytes() {
    let run = || {
        let mut client = shop();
        let mut bytes = Vec::new();
        for _ in 0..3 {
            let reply = client.send(
                "PATCH",
                &format!("{SUB}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-01"),
                json!({"tags": {"a": "b"}}),
            );
            bytes.push(format!("{reply:?}"));
            client.wait(100_000);
            bytes.push(format!("{:?}", client.get(&format!("{SUB}/resources"))));
        }
        bytes
    };
    assert_eq!(run(), run());
    let other = small().azure.world().certificate.clone();
    let seeded =
        Azure::new(Estate::parse(crate::wire::SMALL, &Default::default()).unwrap(), Options { seed: 2, ..Options::default() }).unwrap();
    assert_ne!(seeded.world().certificate, other, "another seed, other bytes");
}
