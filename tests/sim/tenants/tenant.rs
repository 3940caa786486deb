//! One of the tenants: its names, its part of the estate, its grant, and what it honestly wants.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How many there are.
pub const TENANTS: usize = 20;

/// The Entra tenant of all of them.
const DIRECTORY: &str = "72f988bf-0000-4000-8000-00000000000a";

/// One tenant. Two with neighbouring numbers share a subscription, and may read all of it in Azure: between these two only
/// the operator stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant(pub usize);

impl Tenant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Tenant> {
        (0..TENANTS).map(Tenant)
    }

    /// What every name of its holds, and no name of another.
    pub fn mark(self) -> String {
        format!("zq{:02}", self.0)
    }

    /// Its namespace.
    pub fn namespace(self) -> String {
        format!("ns-{}", self.mark())
    }

    /// Its `AzureAccess`.
    pub fn access(self) -> String {
        format!("access-{}", self.mark())
    }

    /// Its application in Entra.
    pub fn client_id(self) -> String {
        format!("c11e{:04}-0000-4000-8000-00000000c11e", self.0)
    }

    /// Its service principal.
    pub fn object_id(self) -> String {
        format!("0b1e{:04}-0000-4000-8000-00000000b1ec", self.0)
    }

    /// The subscription that it shares with its neighbour.
    pub fn subscription(self) -> String {
        format!("50b5{:04}-0000-4000-8000-00000000050b", self.0 / 2)
    }

    /// The group of its machines.
    pub fn group(self) -> String {
        format!("rg-{}", self.mark())
    }

    /// The group of its vault.
    pub fn vault_group(self) -> String {
        format!("rg-{}-backup", self.mark())
    }

    /// Its vault, in Azure.
    pub fn vault(self) -> String {
        format!("rv-{}", self.mark())
    }

    /// A vault that somebody made by hand in its group.
    pub fn bait(self) -> String {
        format!("rv-{}-bait", self.mark())
    }

    /// Its `RecoveryVault`.
    pub fn vault_object(self) -> String {
        format!("vault-{}", self.mark())
    }

    /// Its `BackupPolicy`.
    pub fn policy(self) -> String {
        format!("pol-{}", self.mark())
    }

    /// Its neighbour in the subscription.
    pub fn neighbour(self) -> Tenant {
        Tenant(self.0 ^ 1)
    }

    /// `/subscriptions/…/resourceGroups/…` of one of its groups.
    pub fn group_id(self, group: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{group}", self.subscription())
    }

    /// The machine that it wants to have protected.
    pub fn machine_id(self) -> String {
        self.machine("a")
    }

    /// One of its two machines.
    pub fn machine(self, which: &str) -> String {
        format!("{}/providers/Microsoft.Compute/virtualMachines/vm-{}-{which}", self.group_id(&self.group()), self.mark())
    }

    /// Its vault's id.
    pub fn vault_id(self) -> String {
        format!("{}/providers/Microsoft.RecoveryServices/vaults/{}", self.group_id(&self.vault_group()), self.vault())
    }

    /// What must never be told to somebody else: its names, and the ids of its identity.
    pub fn secrets(self) -> [String; 3] {
        [self.mark(), self.client_id(), self.object_id()]
    }

    /// What the cluster's admin grants it.
    pub fn grant(self) -> Value {
        let (mark, client_id) = (self.mark(), self.client_id());
        let identity = match self.0 % 2 {
            0 => json!({ "workload": { "clientId": client_id, "serviceAccount": format!("sa-{mark}") } }),
            _ => {
                let secret = json!({ "name": format!("secret-{mark}"), "key": format!("key-{mark}") });
                json!({ "clientSecret": { "clientId": client_id, "secretRef": secret } })
            }
        };
        let groups = [self.group(), format!("{}-b*", self.group())];
        let spec = json!({
            "tenantId": DIRECTORY, "identity": identity, "namespaces": { "names": [self.namespace()] },
            "allow": [{ "subscriptionId": self.subscription(), "resourceGroups": groups, "acts": ["Read", "Protect", "Backup"] }],
        });
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": self.access() }, "spec": spec })
    }

    /// One object of its namespace.
    pub fn object(self, kind: &str, name: &str, spec: Value) -> Value {
        let metadata = json!({ "name": name, "namespace": self.namespace() });
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
    }

    /// What a vault's spec says at least.
    pub fn vault_spec(self, group: &str, name: &str) -> Value {
        json!({ "subscriptionId": self.subscription(), "resourceGroup": group, "location": "westeurope", "azureName": name })
    }

    /// A policy's spec with these machines.
    pub fn policy_spec(vault: &str, machines: &Value) -> Value {
        json!({
            "vaultRef": { "name": vault }, "tier": "Enhanced", "schedule": { "daily": { "at": "02:00" } }, "timeZone": "UTC",
            "retention": { "instantRestoreDays": 2, "daily": { "keep": "30d" } }, "firstBackup": "Now", "machines": machines,
        })
    }

    /// What it honestly wants: its machine in its vault, found by a tag in the whole subscription.
    pub fn wants(self) -> Vec<Value> {
        let selector = json!({ "subscriptionId": self.subscription(), "tags": { "all": { "owner": [self.mark()] } } });
        vec![
            self.object("RecoveryVault", &self.vault_object(), self.vault_spec(&self.vault_group(), &self.vault())),
            self.object("BackupPolicy", &self.policy(), Self::policy_spec(&self.vault_object(), &json!([{ "selector": selector }]))),
        ]
    }
}

/// The estate: each tenant has two machines, the second with a tag that says it were its neighbour's, and a vault that
/// carries the marks of a vault of its neighbour's making.
pub fn estate(bait_tags: impl Fn(Tenant) -> Value) -> String {
    let mut text = format!("tenantId: {DIRECTORY}\nsubscriptions:\n");
    for pair in 0..TENANTS / 2 {
        let both = [Tenant(2 * pair), Tenant(2 * pair + 1)];
        let mut groups = Vec::new();
        for tenant in both {
            let (mark, theirs) = (tenant.mark(), tenant.neighbour().mark());
            let machine = |which: &str, owner: &str| json!({ "name": format!("vm-{mark}-{which}"), "os": "Linux", "size": "Standard_B2s", "tags": { "owner": owner } });
            let machines = [machine("a", &mark), machine("b", &theirs)];
            groups.push(json!({ "name": tenant.group(), "location": "westeurope", "machines": machines }));
            let bait = json!({ "name": tenant.bait(), "tags": bait_tags(tenant) });
            groups.push(json!({ "name": tenant.vault_group(), "location": "westeurope", "vaults": [bait] }));
        }
        let subscription = json!({ "id": both[0].subscription(), "displayName": format!("Pair {pair}"), "resourceGroups": groups });
        let _ = writeln!(text, "  - {subscription}");
    }
    let apps: Vec<Value> = Tenant::all()
        .map(|t| json!({ "name": format!("app-{}", t.mark()), "clientId": t.client_id(), "objectId": t.object_id() }))
        .collect();
    let _ = writeln!(text, "apps: {}\nroleDefinitions: [{{ folder: deploy/azure-roles }}]", json!(apps));
    let roles = Tenant::all().flat_map(|t| {
        let assign = |role: &str, scope: String| json!({ "principal": format!("app-{}", t.mark()), "role": role, "scope": scope });
        let vaults = t.group_id(&t.vault_group());
        [
            assign("Breakwater Read", format!("/subscriptions/{}", t.subscription())),
            assign("Breakwater Read Subscription", format!("/subscriptions/{}", t.subscription())),
            assign("Breakwater Protect", t.group_id(&t.group())),
            assign("Breakwater Protect", vaults.clone()),
            assign("Breakwater Backup", vaults),
        ]
    });
    let _ = writeln!(text, "roleAssignments: {}", json!(roles.collect::<Vec<_>>()));
    text
}
