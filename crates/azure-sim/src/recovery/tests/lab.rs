//! A small world around the model: machines, groups, a seeded stream of chance, and a caller who waits.

use std::cell::Cell;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{Settings, State, operation_id};
use crate::wire::{Caller, DiskView, GuardView, Inbound, KeyAccess, MachineView, Neighbours, Reply, StorageView};

pub const SUB: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";
pub const VAULT: &str =
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/RG-Backup/providers/Microsoft.RecoveryServices/vaults/main";
pub const OTHER: &str =
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/RG-Backup/providers/Microsoft.RecoveryServices/vaults/other";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn vm(name: &str) -> String {
    format!("{SUB}/resourceGroups/RG-Shop/providers/Microsoft.Compute/virtualMachines/{name}")
}

pub fn item_under(vault: &str, name: &str) -> String {
    let lower = name.to_lowercase();
    format!(
        "{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-shop;{lower}/protectedItems/VM;iaasvmcontainerv2;rg-shop;{lower}"
    )
}

pub fn item(name: &str) -> String {
    item_under(VAULT, name)
}

pub fn default_policy(vault: &str) -> String {
    format!("{vault}/backupPolicies/DefaultPolicy")
}

#[derive(Default)]
pub struct World {
    pub machines: BTreeMap<String, MachineView>,
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    pub guards: BTreeMap<String, GuardView>,
    /// What every key vault says; unmodelled when `None`.
    pub keys: Option<KeyAccess>,
    count: Cell<u64>,
}

impl World {
    fn next(&self) -> u64 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }
}

impl Neighbours for World {
    fn machine(&self, id: &str) -> Option<MachineView> {
        self.machines.get(&id.to_lowercase()).cloned()
    }

    fn machines_in(&self, _: &str, location: &str) -> Vec<MachineView> {
        self.machines.values().filter(|machine| machine.location == location).cloned().collect()
    }

    fn group_location(&self, _: &str, group: &str) -> Option<String> {
        group.to_lowercase().starts_with("rg-").then(|| "westeurope".to_owned())
    }

    fn tags(&self, id: &str) -> BTreeMap<String, String> {
        self.tags.get(&id.to_lowercase()).cloned().unwrap_or_default()
    }

    fn identity(&self, _: &str) -> Option<(String, String)> {
        Some((self.guid(), self.guid()))
    }

    fn chance(&self) -> f64 {
        (self.next() * 37 % 100) as f64 / 100.0
    }

    fn guid(&self) -> String {
        format!("{:08x}-0000-4000-8000-000000000000", self.next())
    }

    fn guard(&self, id: &str) -> Option<GuardView> {
        self.guards.get(&id.to_lowercase()).cloned()
    }

    fn storage_account(&self, id: &str) -> Option<StorageView> {
        let (location, kind, sku) = ("westeurope".to_owned(), "StorageV2".to_owned(), "Standard_LRS".to_owned());
        let location = if id.contains("north") { "northeurope".to_owned() } else { location };
        Some(StorageView { id: id.to_owned(), location, kind, sku, lets_azure_in: true })
    }

    fn subnet_region(&self, _: &str) -> Option<String> {
        Some("westeurope".to_owned())
    }

    fn tenant_of(&self, _: &str) -> Option<String> {
        Some("tenant".to_owned())
    }

    fn key_access(&self, _: &str, _: &str) -> KeyAccess {
        self.keys.unwrap_or(KeyAccess::Unmodelled)
    }
}

pub struct Lab {
    pub state: State,
    pub world: World,
    pub now: Timestamp,
    pub version: &'static str,
    /// `x-ms-client-request-id` of what follows.
    pub request_id: Option<String>,
}

impl Lab {
    /// A world with the machines `win` and `lin` in westeurope and no vault.
    pub fn bare(settings: Settings) -> Self {
        let mut lab = Lab {
            state: State::new(settings),
            world: World::default(),
            now: at("2026-01-05T09:00:00Z"),
            version: "2024-04-01",
            request_id: None,
        };
        lab.add_machine("win", "Windows");
        lab.add_machine("lin", "Linux");
        lab
    }

    /// The same with the vault `main`.
    pub fn new() -> Self {
        Lab::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let mut lab = Lab::bare(settings);
        lab.make_vault(VAULT);
        lab
    }

    pub fn make_vault(&mut self, id: &str) {
        let reply = self.put(id, json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}));
        assert_eq!(reply.status, 201);
        self.wait(120);
    }

    pub fn add_machine(&mut self, name: &str, os: &str) {
        let disk = |lun: i32| DiskView {
            id: format!("{SUB}/d{lun}"),
            lun,
            name: format!("{name}-{lun}"),
            size_gb: 127,
            sku: "Premium_LRS".to_owned(),
            hyper_v_generation: "V2".to_owned(),
            network_access: "AllowAll".to_owned(),
            disk_access_id: None,
            encryption_set: None,
        };
        let machine = MachineView {
            id: vm(name),
            vm_id: format!("vmid-{name}"),
            location: "westeurope".to_owned(),
            os: os.to_owned(),
            power_state: "running".to_owned(),
            agent_ready: true,
            size: "Standard_DS1_v2".to_owned(),
            security_type: "None".to_owned(),
            encrypted: false,
            disks: vec![disk(-1), disk(0), disk(1), disk(2)],
            zones: Vec::new(),
        };
        self.world.machines.insert(vm(name).to_lowercase(), machine);
    }

    pub fn machine(&mut self, name: &str) -> &mut MachineView {
        self.world.machines.get_mut(&vm(name).to_lowercase()).unwrap()
    }

    pub fn send(&mut self, method: &str, url: &str, body: Value) -> Reply {
        let url = url.strip_prefix("https://sim.test").unwrap_or(url);
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut pairs: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_lowercase(), percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()))
            .collect();
        pairs.entry("api-version".to_owned()).or_insert_with(|| self.version.to_owned());
        let headers = self.request_id.iter().map(|id| ("x-ms-client-request-id".to_owned(), id.clone())).collect();
        let req = Inbound {
            method: method.to_owned(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: pairs,
            headers,
            body,
            caller: Caller { tenant_id: "tenant".to_owned(), ..Caller::default() },
            now: self.now,
            origin: "https://sim.test".to_owned(),
        };
        self.state.handle(&self.world, &req)
    }

    pub fn get(&mut self, url: &str) -> Reply {
        self.send("GET", url, Value::Null)
    }

    /// The body of a GET that must answer 200.
    pub fn read(&mut self, url: &str) -> Value {
        let reply = self.get(url);
        assert_eq!(reply.status, 200, "{url}: {:?}", reply.body);
        reply.body.unwrap()
    }

    /// The elements of a list.
    pub fn rows(&mut self, url: &str) -> Vec<Value> {
        self.read(url)["value"].as_array().unwrap().clone()
    }

    pub fn put(&mut self, url: &str, body: Value) -> Reply {
        self.send("PUT", url, body)
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.state.advance(&self.world, self.now);
    }

    pub fn wait_days(&mut self, days: i64) {
        self.wait(days * 86_400);
    }

    /// Sends a write to the default policy or as given and waits until it is done. The job's id.
    pub fn settle(&mut self, method: &str, url: &str, body: Value) -> String {
        let reply = self.send(method, url, body);
        assert_eq!(reply.status, 202, "{method} {url}: {:?}", reply.body);
        let id = operation_id(&reply).unwrap();
        self.wait(200);
        let vault = url.split("/backupFabrics").next().unwrap().to_owned();
        let end = self.read(&format!("{vault}/backupOperations/{id}"));
        assert_eq!(end["status"], "Succeeded", "{end}");
        end["properties"]["jobId"].as_str().unwrap().to_owned()
    }

    pub fn configure(&mut self, name: &str, properties: Value) -> String {
        let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm(name)}});
        body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        self.settle("PUT", &item(name), body)
    }

    pub fn protect(&mut self, name: &str) -> String {
        self.configure(name, json!({"policyId": default_policy(VAULT)}))
    }

    /// A whole on-demand backup. The job's id.
    pub fn back_up(&mut self, name: &str) -> String {
        let job = self.settle("POST", &format!("{}/backup", item(name)), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
        self.wait(2 * 3600);
        job
    }

    pub fn job(&mut self, id: &str) -> Value {
        self.read(&format!("{VAULT}/backupJobs/{id}"))["properties"].clone()
    }

    pub fn points(&mut self, name: &str) -> Vec<Value> {
        self.rows(&format!("{}/recoveryPoints", item(name))).into_iter().map(|point| point["properties"].clone()).collect()
    }

    pub fn item(&mut self, name: &str) -> Value {
        self.read(&item(name))["properties"].clone()
    }

    /// PATCH of the vault, waited for.
    pub fn patch_vault(&mut self, properties: Value) {
        assert_eq!(self.send("PATCH", VAULT, json!({"properties": properties})).status, 202);
        self.wait(60);
    }
}

pub fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.body.as_ref().map_or_else(String::new, |body| body["error"]["code"].as_str().unwrap_or_default().to_owned()))
}

pub fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

pub fn daily(time: &str, days: i64) -> Value {
    let time = format!("2024-01-01T{time}:00Z");
    json!({"properties": {"backupManagementType": "AzureIaasVM",
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": [time]},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": {"retentionTimes": [time], "retentionDuration": {"count": days, "durationType": "Days"}}}}})
}
