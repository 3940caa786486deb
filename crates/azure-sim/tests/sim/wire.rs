//! A client of the simulator in process, with a clock of its own.

use azure_sim::{
    Azure, Estate, Options,
    wire::{Caller, WireReply, WireRequest},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The only subscription of the small estate.
pub const SUB: &str = "/subscriptions/11111111-1111-4111-8111-111111111111";
/// Its group.
pub const RG: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one";
/// Its tenant.
pub const TENANT: &str = "99999999-9999-4999-8999-999999999999";

/// A small estate: one subscription, one group, two machines, an owner and a reader of the group.
pub const SMALL: &str = r#"
tenantId: 99999999-9999-4999-8999-999999999999
subscriptions:
  - id: 11111111-1111-4111-8111-111111111111
    displayName: One
    resourceGroups:
      - name: rg-one
        location: westeurope
        machines:
          - { name: vm-a, os: Linux, tags: { app: x }, dataDisks: [64] }
          - { name: vm-b, os: Windows, power: deallocated }
      - { name: rg-two, location: northeurope }
apps:
  - name: owner
    clientId: aaaaaaaa-0000-4000-8000-000000000001
    objectId: aaaaaaaa-0000-4000-8000-000000000002
    secrets: [s3cret]
  - name: reader
    clientId: bbbbbbbb-0000-4000-8000-000000000001
    objectId: bbbbbbbb-0000-4000-8000-000000000002
    secrets: [reading]
    federatedCredentials:
      - { issuer: "https://issuer.test", subject: "system:serviceaccount:ns:sa" }
roleAssignments:
  - { principal: owner, role: Owner, scope: / }
  - { principal: reader, role: Reader, scope: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one }
"#;

/// A simulator with a clock.
pub struct Client {
    pub azure: Azure,
    pub now: Timestamp,
    pub caller: Caller,
}

pub fn small() -> Client {
    with_settings("")
}

/// The small estate with these lines under `settings`.
pub fn with_settings(settings: &str) -> Client {
    let text = if settings.is_empty() { SMALL.to_owned() } else { format!("{SMALL}\nsettings: {settings}\n") };
    let estate = Estate::parse(&text, &Default::default()).unwrap();
    let options = Options::default();
    let now = options.start;
    Client { azure: Azure::new(estate, options).unwrap(), now, caller: owner() }
}

/// The small estate with these lines beside it.
pub fn with_more(lines: &str) -> Client {
    let options = Options::default();
    let (estate, now) = (Estate::parse(&format!("{SMALL}\n{lines}"), &Default::default()).unwrap(), options.start);
    Client { azure: Azure::new(estate, options).unwrap(), now, caller: owner() }
}

pub fn owner() -> Caller {
    caller("aaaaaaaa")
}

pub fn reader() -> Caller {
    caller("bbbbbbbb")
}

fn caller(stem: &str) -> Caller {
    Caller {
        object_id: format!("{stem}-0000-4000-8000-000000000002"),
        client_id: format!("{stem}-0000-4000-8000-000000000001"),
        tenant_id: TENANT.into(),
    }
}

pub fn request(method: &str, url: &str, body: Value) -> WireRequest {
    let glue = if url.contains('?') { "&" } else { "?" };
    let url = if url.contains("api-version") { url.to_owned() } else { format!("{url}{glue}api-version=2024-07-01") };
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    WireRequest { method: method.into(), url, headers: Default::default(), body, origin: "https://localhost:1".into() }
}

impl Client {
    pub fn send(&mut self, method: &str, url: &str, body: Value) -> WireReply {
        self.azure.handle_as(self.now, self.caller.clone(), request(method, url, body))
    }

    pub fn get(&mut self, url: &str) -> WireReply {
        self.send("GET", url, Value::Null)
    }

    /// A GET that must be 200, as JSON.
    pub fn read(&mut self, url: &str) -> Value {
        let reply = self.get(url);
        assert_eq!(reply.status, 200, "{url}: {}", reply.json());
        reply.json()
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.azure.advance(self.now);
    }
}

/// `error.code`
pub fn code(reply: &WireReply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

pub fn header(reply: &WireReply, name: &str) -> String {
    reply.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", reply.headers)).to_owned()
}

/// The id of a disk of the group.
pub fn disk(name: &str) -> String {
    format!("{RG}/providers/Microsoft.Compute/disks/{name}")
}

/// The id of a machine of the group.
pub fn vm(name: &str) -> String {
    format!("{RG}/providers/Microsoft.Compute/virtualMachines/{name}")
}

/// The id of a network interface of the group.
pub fn nic(name: &str) -> String {
    format!("{RG}/providers/Microsoft.Network/networkInterfaces/{name}")
}

/// The body of an empty disk, its size in GiB.
pub fn empty_disk(size: i64) -> Value {
    json!({"location": "westeurope", "sku": {"name": "Premium_LRS"}, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": size}})
}
