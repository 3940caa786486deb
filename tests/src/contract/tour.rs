//! A tour of azure-sim: one script that makes it show every answer it has, in virtual time.
//!
//! What it answers is kept as [`Exchange`]s, as a recorder in front of the real service would have kept them.

mod compute;
mod protection;
mod refusals;
mod restores;
mod vaults;

use std::collections::BTreeMap;

use azure_sim::{
    Azure, Estate, Options,
    wire::{Caller, WireReply, WireRequest},
};
use breakwater_arm::wire::{Answer, Method};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::recording::{Exchange, split_url};

/// The subscription that the tour goes through.
pub const SUB: &str = "/subscriptions/11111111-1111-4111-8111-111111111111";
/// The group with its machines.
pub const GROUP: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one";
/// A subscription where no provider is registered.
pub const BARE: &str = "/subscriptions/22222222-2222-4222-8222-222222222222";

const ORIGIN: &str = "https://management.azure.com";

/// API versions with different fields, as recordings have them.
const VERSIONS: [&str; 5] = ["2016-12-01", "2021-06-01", "2024-04-01", "2025-02-01", "2026-05-01"];

const ESTATE: &str = r#"
tenantId: 99999999-9999-4999-8999-999999999999
subscriptions:
  - id: 11111111-1111-4111-8111-111111111111
    displayName: One
    resourceGroups:
      - name: rg-one
        location: westeurope
        tags: { cost: "1" }
        machines:
          - { name: win, os: Windows, tags: { app: x }, dataDisks: [64, 32], zones: ["1"] }
          - { name: lin, os: Linux, dataDisks: [64, 32], securityType: TrustedLaunch, zones: ["1"] }
          - { name: mute, os: Linux, agent: absent }
          - { name: off, os: Windows, power: deallocated, dataDisks: [64] }
          - { name: res, os: Windows, dataDisks: [64, 32] }
        storageAccounts: [{ name: stage }]
      - { name: rg-two, location: northeurope, storageAccounts: [{ name: stagenorth }] }
      - { name: rg-three, location: westeurope }
  - id: 22222222-2222-4222-8222-222222222222
    displayName: Bare
    unregistered: [Microsoft.Compute, Microsoft.Network, Microsoft.RecoveryServices]
    resourceGroups:
      - { name: rg-bare, location: westeurope }
apps:
  - { name: owner, clientId: aaaaaaaa-0000-4000-8000-000000000001, objectId: aaaaaaaa-0000-4000-8000-000000000002, secrets: [s] }
  - { name: reader, clientId: bbbbbbbb-0000-4000-8000-000000000001, objectId: bbbbbbbb-0000-4000-8000-000000000002, secrets: [r] }
managedIdentities:
  - name: a
    clientId: cccccccc-0000-4000-8000-000000000001
    objectId: cccccccc-0000-4000-8000-000000000002
    resourceId: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a
  - name: b
    clientId: dddddddd-0000-4000-8000-000000000001
    objectId: dddddddd-0000-4000-8000-000000000002
    resourceId: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one/providers/Microsoft.ManagedIdentity/userAssignedIdentities/b
roleAssignments:
  - { principal: owner, role: Owner, scope: / }
  - { principal: reader, role: Reader, scope: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one }
"#;

/// Somebody who walks through the simulator and writes down what it says.
pub struct Traveller {
    azure: Azure,
    now: Timestamp,
    caller: Caller,
    version: &'static str,
    seen: Vec<Exchange>,
}

/// All that the simulator answered on the tour, over all API versions.
pub fn walk() -> Vec<Exchange> {
    let mut seen = Vec::new();
    for version in VERSIONS {
        let mut traveller = Traveller::new(version, &unlimited(json!({})));
        vaults::walk(&mut traveller);
        protection::walk(&mut traveller);
        seen.append(&mut traveller.seen);
    }
    let mut two_tasks = Traveller::new("2024-04-01", &unlimited(json!({"backupTasks": "Two", "vaultDeletion": "Classic", "pageSize": 1})));
    vaults::walk(&mut two_tasks);
    protection::walk(&mut two_tasks);
    seen.append(&mut two_tasks.seen);
    let mut failing = Traveller::new("2024-04-01", &unlimited(json!({"errorStateAfter": 1})));
    vaults::walk(&mut failing);
    protection::fail(&mut failing);
    seen.append(&mut failing.seen);
    for tasks in ["Two", "Three"] {
        let restore = json!({"secondaryLag": "PT1H", "durations": {"fromVault": {"from": 1500, "to": 1500}}});
        let mut restoring = Traveller::new("2024-04-01", &unlimited(json!({"backupTasks": tasks, "restore": restore})));
        restores::walk(&mut restoring);
        seen.append(&mut restoring.seen);
    }
    let mut traveller = Traveller::new("2024-07-01", &unlimited(json!({})));
    compute::walk(&mut traveller);
    refusals::walk(&mut traveller);
    seen.append(&mut traveller.seen);
    seen
}

/// What the simulator, fresh from its estate, answers to a recorded request moved into its world: is it modelled at all?
pub fn probe(exchange: &Exchange) -> u16 {
    let mut traveller = Traveller::new("2024-07-01", &unlimited(json!({})));
    let mut segments: Vec<&str> = exchange.path.split('/').collect();
    for at in 1..segments.len() {
        match segments[at - 1].to_ascii_lowercase().as_str() {
            "subscriptions" => segments[at] = SUB.rsplit('/').next().unwrap_or_default(),
            "resourcegroups" => segments[at] = "rg-one",
            "virtualmachines" => segments[at] = "win",
            _ => {}
        }
    }
    let path = segments.join("/").replace('%', "%25").replace(' ', "%20").replace('?', "%3F");
    let body = exchange.body.clone().unwrap_or_default();
    traveller.send(exchange.method, &format!("{path}?{}", exchange.query), body).status
}

impl Traveller {
    /// A traveller in a fresh world; `settings` as in an estate file.
    fn new(version: &'static str, settings: &Value) -> Self {
        // JSON is YAML
        let text = format!("{ESTATE}settings: {settings}\n");
        let estate = Estate::parse(&text, &BTreeMap::new()).expect("the tour's estate is well-formed");
        let options = Options::default();
        let now = options.start;
        let azure = Azure::new(estate, options).expect("the tour's estate loads");
        Traveller { azure, now, caller: caller("aaaaaaaa"), version, seen: Vec::new() }
    }

    /// Sends a request and writes both down. The tour's API version is added where the URL has none.
    fn send(&mut self, method: Method, url: &str, body: Value) -> Answer {
        let glue = if url.contains('?') { '&' } else { '?' };
        let url = if url.contains("api-version=") { url.to_owned() } else { format!("{url}{glue}api-version={}", self.version) };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = WireRequest {
            method: method.as_str().to_owned(),
            url: url.replace(' ', "%20"),
            headers: BTreeMap::new(),
            body: bytes,
            origin: ORIGIN.to_owned(),
        };
        let answer = answer(self.azure.handle_as(self.now, self.caller.clone(), request));
        self.note(method, &url, body, answer.clone());
        answer
    }

    /// Sends a GET as nobody, or with a token that is none.
    fn unsigned(&mut self, url: &str, authorization: Option<&str>) {
        let url = format!("{url}?api-version={}", self.version);
        let headers = authorization.map(|value| ("authorization".to_owned(), value.to_owned())).into_iter().collect();
        let request = WireRequest { method: "GET".to_owned(), url: url.clone(), headers, body: Vec::new(), origin: ORIGIN.to_owned() };
        let answer = answer(self.azure.handle(self.now, request));
        self.note(Method::Get, &url, Value::Null, answer);
    }

    fn note(&mut self, method: Method, url: &str, body: Value, answer: Answer) {
        let whole = if url.starts_with('/') { format!("{ORIGIN}{url}") } else { url.to_owned() };
        let (origin, path, query) = split_url(&whole).expect("the tour sends URLs");
        let body = Some(body).filter(|body| !body.is_null());
        self.seen.push(Exchange { method, origin, path, query, body, answer, pointer: String::new(), spelt: BTreeMap::new() });
    }

    fn get(&mut self, url: &str) -> Answer {
        self.send(Method::Get, url, Value::Null)
    }

    fn put(&mut self, url: &str, body: Value) -> Answer {
        self.send(Method::Put, url, body)
    }

    fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.azure.advance(self.now);
    }

    /// Asks an operation by every link it left, right away and when it is over.
    fn follow(&mut self, started: &Answer, seconds: i64) {
        let links: Vec<String> =
            ["azure-asyncoperation", "location"].iter().filter_map(|name| started.header(name).map(str::to_owned)).collect();
        for moment in [1, seconds] {
            self.wait(moment);
            for link in &links {
                self.get(link);
            }
        }
    }

    /// Sends a write and follows it to its end.
    fn change(&mut self, method: Method, url: &str, body: Value, seconds: i64) -> Answer {
        let started = self.send(method, url, body);
        self.follow(&started, seconds);
        started
    }
}

/// Settings under which the tour itself is never throttled.
fn unlimited(recovery: Value) -> Value {
    json!({"recovery": recovery, "throttling": {"enforce": "countOnly"}})
}

fn caller(stem: &str) -> Caller {
    Caller {
        object_id: format!("{stem}-0000-4000-8000-000000000002"),
        client_id: format!("{stem}-0000-4000-8000-000000000001"),
        tenant_id: "99999999-9999-4999-8999-999999999999".to_owned(),
    }
}

fn answer(reply: WireReply) -> Answer {
    let body = match serde_json::from_slice(&reply.body) {
        _ if reply.body.is_empty() => Value::Null,
        Ok(body) => body,
        Err(_) => json!({"raw": String::from_utf8_lossy(&reply.body)}),
    };
    Answer { status: reply.status, headers: reply.headers.into_iter().collect(), body }
}
