//! Azure as it is, read past its doors: no journal line, no limit, no fault and no lag.

use std::collections::BTreeMap;

use azure_sim::{
    Azure,
    recovery::State,
    wire::{Caller, Inbound},
    world::World,
};
use serde_json::Value;

/// The version that shows most (backup.md §1).
const API_VERSION: &str = "2024-04-01";

/// Only virtual machines are modelled.
const MACHINES: &str = "backupManagementType eq 'AzureIaasVM'";

/// Everything that backup holds.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Vaults by lower-case id.
    pub vaults: BTreeMap<String, Vault>,
}

/// One vault.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    /// As a GET shows it.
    pub body: Value,
    /// Policies by lower-case id.
    pub policies: BTreeMap<String, Value>,
    /// Items by lower-case id.
    pub items: BTreeMap<String, Item>,
    /// Jobs.
    pub jobs: Vec<Value>,
}

/// One protected item.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// As a list shows it.
    pub body: Value,
    /// Its points by name.
    pub points: BTreeMap<String, Value>,
}

impl Truth {
    /// Looks at everything. The world is the same before and after: a copy answers.
    pub fn read(azure: &mut Azure) -> Truth {
        let mut state = azure.recovery_mut().clone();
        state.set_list_lag(jiff::SignedDuration::ZERO);
        state.settings_mut().page_size = 0;
        let mut eye = Eye { state, world: azure.world() };
        let ids: Vec<String> = eye.state.resources(eye.world).into_iter().map(|vault| vault.id).collect();
        Truth { vaults: ids.into_iter().map(|id| (id.to_ascii_lowercase(), eye.vault(&id))).collect() }
    }

    /// The policy of that id.
    pub fn policy(&self, id: &str) -> Option<&Value> {
        let id = id.to_ascii_lowercase();
        self.vaults.values().find_map(|vault| vault.policies.get(&id))
    }

    /// Whether the job that carries this request id, if any, still runs.
    pub fn runs(&self, request_id: &str) -> bool {
        let text = |job: &Value, pointer: &str| job.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut jobs = self.vaults.values().flat_map(|vault| &vault.jobs);
        jobs.any(|job| {
            text(job, "/properties/activityId").eq_ignore_ascii_case(request_id)
                && matches!(text(job, "/properties/status").as_str(), "InProgress" | "Cancelling")
        })
    }
}

struct Eye<'a> {
    state: State,
    world: &'a World,
}

impl Eye<'_> {
    fn vault(&mut self, id: &str) -> Vault {
        let policies = self.list(&format!("{id}/backupPolicies"), MACHINES);
        let items = self.list(&format!("{id}/backupProtectedItems"), MACHINES);
        let jobs = self.list(&format!("{id}/backupJobs"), MACHINES);
        let items = items.into_iter().map(|body| {
            let item = text(&body, "/id").to_owned();
            let points = self.list(&format!("{item}/recoveryPoints"), "").into_iter();
            let points = points.map(|point| (text(&point, "/name").to_owned(), point)).collect();
            (item.to_ascii_lowercase(), Item { body, points })
        });
        let items = items.collect();
        let policies = policies.into_iter().map(|body| (text(&body, "/id").to_ascii_lowercase(), body)).collect();
        Vault { body: self.get(id, "").unwrap_or_default(), policies, items, jobs }
    }

    fn list(&mut self, path: &str, filter: &str) -> Vec<Value> {
        let body = self.get(path, filter).unwrap_or_else(|| panic!("the truth about {path} cannot be read"));
        body["value"].as_array().cloned().unwrap_or_default()
    }

    fn get(&mut self, path: &str, filter: &str) -> Option<Value> {
        let mut query = BTreeMap::from([("api-version".to_owned(), API_VERSION.to_owned())]);
        if !filter.is_empty() {
            query.insert("$filter".to_owned(), filter.to_owned());
        }
        let request = Inbound {
            method: "GET".into(),
            path: path.split('/').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            query,
            headers: BTreeMap::new(),
            body: Value::Null,
            caller: Caller::default(),
            now: self.world.now,
            origin: "https://management.azure.com".into(),
        };
        let reply = self.state.handle(self.world, &request);
        reply.body.filter(|_| reply.status == 200)
    }
}

/// A text of a body, empty where there is none.
pub fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
