//! Large estates: many machines from one entry, and pages that cost what is on them.

use std::time::Instant;

use azure_sim::{Azure, Estate, Options};
use serde_json::Value;

use crate::wire::{Client, SUB, owner};

/// `vaults` groups, each with a vault that protects its `machines`.
fn estate(vaults: usize, machines: usize) -> String {
    let mut text = String::from(
        "tenantId: 99999999-9999-4999-8999-999999999999\nhistoryHours: 36\nsettings: { throttling: { enforce: countOnly } }\nsubscriptions:\n  - id: 11111111-1111-4111-8111-111111111111\n    displayName: One\n    resourceGroups:\n",
    );
    // One lock a machine is looked through by every write: not in a measurement.
    let locks = if machines < 100 { ", locks: [{ name: l, level: CanNotDelete }]" } else { "" };
    for index in 0..vaults {
        text.push_str(&format!(
            "      - name: rg-{index:02}\n        location: westeurope\n        machines:\n          - {{ name: 'vm-{{n}}', count: {machines}, os: Linux, tags: {{ app: shop }}{locks} }}\n        vaults:\n          - name: rv-{index:02}\n            protectedItems:\n              - {{ machine: 'vm-{{n}}', count: {machines}, policy: DefaultPolicy }}\n"
        ));
    }
    text.push_str("apps:\n  - { name: owner, clientId: aaaaaaaa-0000-4000-8000-000000000001, objectId: aaaaaaaa-0000-4000-8000-000000000002 }\nroleAssignments:\n  - { principal: owner, role: Owner, scope: / }\n");
    text
}

fn client(vaults: usize, machines: usize) -> Client {
    let options = Options::default();
    let now = options.start;
    let estate = Estate::parse(&estate(vaults, machines), &Default::default()).unwrap();
    Client { azure: Azure::new(estate, options).unwrap(), now, caller: owner() }
}

/// Every name of a list, page by page, and the number of pages.
fn walked(client: &mut Client, url: &str) -> (Vec<String>, usize) {
    let (mut next, mut names, mut pages) = (Some(url.to_owned()), Vec::new(), 0);
    while let Some(url) = next {
        let page = client.read(&url);
        names.extend(page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_lowercase()));
        next = page["nextLink"].as_str().map(str::to_owned);
        pages += 1;
    }
    (names, pages)
}

#[test]
fn many_machines_stand_for_one_entry_and_every_list_shows_each_once() {
    let mut client = client(3, 70);
    let machines = format!("{SUB}/providers/Microsoft.Compute/virtualMachines");
    for (url, total, pages) in [
        (machines.clone(), 210, 5),
        (format!("{machines}?statusOnly=true"), 210, 5),
        (format!("{SUB}/providers/Microsoft.Compute/locations/westeurope/virtualMachines"), 210, 5),
        (format!("{SUB}/resourceGroups/rg-01/providers/Microsoft.Compute/virtualMachines"), 70, 2),
        (format!("{SUB}/providers/Microsoft.Compute/disks"), 210, 5),
        (format!("{SUB}/resources?$filter=resourceType eq 'Microsoft.Compute/virtualMachines'&$top=100"), 210, 3),
        (format!("{SUB}/resources?$top=100"), 3 * (3 * 70 + 2), 7),
        (format!("{SUB}/resources?$filter=resourceType eq 'Microsoft.RecoveryServices/vaults'"), 3, 1),
        (format!("{SUB}/resourceGroups/rg-02/providers/Microsoft.RecoveryServices/vaults/rv-02/backupProtectedItems"), 70, 1),
    ] {
        let (names, count) = walked(&mut client, &url);
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((sorted.len(), names.len(), count), (total, total, pages), "{url}");
    }
    let locked =
        client.send("DELETE", &format!("{SUB}/resourceGroups/rg-00/providers/Microsoft.Compute/virtualMachines/vm-07"), Value::Null);
    assert_eq!(locked.status, 409, "each has the locks of its entry");
}

#[test]
#[ignore = "ten thousand machines: a measurement, run by hand"]
fn measure_ten_thousand_machines_in_fifteen_vaults() {
    let begun = Instant::now();
    let mut client = client(15, 667);
    println!("loaded 10,005 machines in 15 vaults with a day of backups: {:.1?}", begun.elapsed());
    let machines = format!("{SUB}/providers/Microsoft.Compute/virtualMachines");
    let resources = format!("{SUB}/resources?$filter=resourceType eq 'Microsoft.Compute/virtualMachines'");
    let items = format!("{SUB}/resourceGroups/rg-07/providers/Microsoft.RecoveryServices/vaults/rv-07/backupProtectedItems");
    for (what, url) in [
        ("machines", machines.clone()),
        ("status only", format!("{machines}?statusOnly=true")),
        ("resources by type", resources),
        ("all resources", format!("{SUB}/resources")),
        ("items of a vault", items),
    ] {
        let begun = Instant::now();
        let (names, pages) = walked(&mut client, &url);
        println!("{what}: {} in {pages} pages, {:.2?} a page", names.len(), begun.elapsed() / u32::try_from(pages).unwrap());
    }
    let begun = Instant::now();
    let reads = 1_000;
    for index in 0..reads {
        client.read(&format!("{SUB}/resourceGroups/rg-03/providers/Microsoft.Compute/virtualMachines/vm-{:03}", index % 667 + 1));
    }
    println!("a GET: {:.2?}", begun.elapsed() / reads);
    let begun = Instant::now();
    client.wait(86_400);
    println!("a day of 10,005 backups: {:.1?}", begun.elapsed());
}
