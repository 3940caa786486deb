//! Estates of any size, made here instead of written down: machines in vaults in subscriptions, and what to apply for them.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use azure_sim::Estate;
use serde_json::{Value, json};

/// The access that everything works under.
pub const ACCESS: &str = "fleet";

/// Where the vaults of a subscription lie.
const VAULT_GROUP: &str = "rg-backup";

/// Where restores leave what they make.
const RESTORE_GROUP: &str = "rg-restore";

/// When a policy backs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every night at 02:00 in Amsterdam.
    Nightly,
    /// Sundays, so that days pass without a recovery point.
    Weekly,
}

/// When a machine's first backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBackup {
    /// As soon as the machine is protected.
    Now,
    /// When the schedule says so.
    OnSchedule,
}

/// Whether the pretend Azure refuses what is over its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// As Azure does.
    Azures,
    /// Counted and never refused: for measurements that need a full estate soon.
    Lifted,
}

/// How large, and how spread. Every vault has a namespace, a group of machines and a policy of its own.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// All machines together.
    pub machines: usize,
    /// Vaults, filled evenly.
    pub vaults: usize,
    /// Subscriptions that the vaults are spread over.
    pub subscriptions: usize,
    /// When backups are taken.
    pub schedule: Schedule,
    /// When the first one is.
    pub first_backup: FirstBackup,
    /// What Azure refuses.
    pub limits: Limits,
    /// How many machines a page of Compute's list holds; azure-sim's own size where it is not said.
    pub page: Option<usize>,
}

impl Layout {
    /// So many machines in so many vaults of one subscription, backed up nightly, under Azure's limits.
    pub fn of(machines: usize, vaults: usize) -> Self {
        let (schedule, first_backup) = (Schedule::Nightly, FirstBackup::OnSchedule);
        Layout { machines, vaults, subscriptions: 1, schedule, first_backup, limits: Limits::Azures, page: None }
    }

    /// The GUID of a vault's subscription.
    pub fn subscription_of(&self, vault: usize) -> String {
        format!("50b50000-0000-4000-8000-{:012}", vault % self.subscriptions + 1)
    }

    /// The namespace of a vault and of everything that stands on it.
    pub fn namespace_of(vault: usize) -> String {
        format!("team-{vault:02}")
    }

    /// The ARM id of a vault.
    pub fn vault_id(&self, vault: usize) -> String {
        let subscription = self.subscription_of(vault);
        format!("/subscriptions/{subscription}/resourceGroups/{VAULT_GROUP}/providers/Microsoft.RecoveryServices/vaults/rv-team-{vault:02}")
    }

    fn account_of(subscription: usize) -> String {
        format!("stage{subscription:02}")
    }

    /// A restore of a machine's youngest point to disks, by its object's name.
    pub fn restore(&self, vault: usize, machine: &str) -> Value {
        let group = format!("/subscriptions/{}/resourceGroups/{RESTORE_GROUP}", self.subscription_of(vault));
        let account = Self::account_of(vault % self.subscriptions);
        json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun",
            "metadata": { "name": machine, "namespace": Self::namespace_of(vault) },
            "spec": {
                "from": { "recoveryPoint": { "protectedMachineRef": { "name": machine }, "point": { "latest": {} } } },
                "to": { "disks": { "resourceGroup": RESTORE_GROUP } },
                "staging": { "storageAccountId": format!("{group}/providers/Microsoft.Storage/storageAccounts/{account}") },
                // World time is long where five hundred stand in line.
                "expiresAt": "2026-12-24T00:00:00Z",
            },
        })
    }

    /// A backup of a machine, by its object's name.
    pub fn backup(&self, vault: usize, machine: &str) -> Value {
        json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun",
            "metadata": { "name": machine, "namespace": Self::namespace_of(vault) },
            "spec": { "protectedMachineRef": { "name": machine } },
        })
    }

    /// How many machines a vault holds.
    pub fn machines_in(&self, vault: usize) -> usize {
        self.machines / self.vaults + usize::from(vault < self.machines % self.vaults)
    }

    fn vaults_of(&self, subscription: usize) -> impl Iterator<Item = usize> {
        (0..self.vaults).filter(move |vault| vault % self.subscriptions == subscription)
    }

    /// The file that azure-sim reads.
    pub fn estate_yaml(&self) -> String {
        let mut yaml = String::from("tenantId: 72f988bf-0000-4000-8000-00000000000a\n");
        let lifted = "throttling: { enforce: countOnly }, recovery: { limits: { protectionChanges: 1000000 } }".to_owned();
        let lifted = (self.limits == Limits::Lifted).then_some(lifted);
        let page = self.page.map(|size| format!("pages: {{ compute: {size} }}"));
        let settings: Vec<String> = lifted.into_iter().chain(page).collect();
        let _ = writeln!(yaml, "settings: {{ {} }}", settings.join(", "));
        yaml.push_str("subscriptions:\n");
        for subscription in 0..self.subscriptions {
            self.subscription(subscription, &mut yaml);
        }
        let roles = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").join("deploy/azure-roles");
        yaml.push_str(IDENTITIES);
        let _ = writeln!(yaml, "roleDefinitions:\n  - folder: {}\nroleAssignments:", roles.display());
        for subscription in 0..self.subscriptions {
            let scope = format!("/subscriptions/{}", self.subscription_of(subscription));
            for (role, group) in self.roles(subscription) {
                let _ = writeln!(yaml, "  - {{ principal: operator, role: {role}, scope: {scope}{group} }}");
            }
        }
        yaml
    }

    fn subscription(&self, subscription: usize, yaml: &mut String) {
        let id = self.subscription_of(subscription);
        let _ = writeln!(yaml, "  - id: {id}\n    displayName: Fleet {subscription}\n    resourceGroups:");
        let _ = writeln!(yaml, "      - {{ name: {VAULT_GROUP}, location: westeurope }}");
        for vault in self.vaults_of(subscription) {
            let team = Self::namespace_of(vault);
            let _ = writeln!(yaml, "      - name: rg-{team}\n        location: westeurope\n        machines:");
            for machine in 0..self.machines_in(vault) {
                let _ = writeln!(
                    yaml,
                    "          - {{ name: vm-{vault:02}-{machine:04}, os: Linux, size: Standard_B2s, tags: {{ team: {team} }} }}"
                );
            }
        }
        let stage = format!("[{{ name: {}, kind: StorageV2, sku: Standard_LRS }}]", Self::account_of(subscription));
        let _ = writeln!(yaml, "      - {{ name: {RESTORE_GROUP}, location: westeurope, storageAccounts: {stage} }}");
    }

    fn roles(&self, subscription: usize) -> Vec<(&'static str, String)> {
        let mut roles = vec![
            ("Breakwater Read", String::new()),
            ("Breakwater Read Subscription", String::new()),
            ("Breakwater Protect", format!("/resourceGroups/{VAULT_GROUP}")),
            ("Breakwater Backup", format!("/resourceGroups/{VAULT_GROUP}")),
            ("Breakwater Restore", String::new()),
        ];
        roles.extend(self.vaults_of(subscription).map(|v| ("Breakwater Protect", format!("/resourceGroups/rg-{}", Self::namespace_of(v)))));
        roles
    }

    /// The estate, read.
    ///
    /// # Panics
    /// When azure-sim does not take what was made here.
    pub fn estate(&self) -> Estate {
        let values = BTreeMap::from([("ISSUER".to_owned(), "https://issuer.example".to_owned())]);
        Estate::parse(&self.estate_yaml(), &values).expect("an estate of azure-sim's own shape")
    }

    /// Namespaces, access, vaults and policies, as somebody applies them.
    pub fn manifests(&self) -> Vec<Value> {
        let namespaces: Vec<String> = (0..self.vaults).map(Self::namespace_of).collect();
        let allow = (0..self.subscriptions).map(|subscription| {
            let groups = self.vaults_of(subscription).map(|v| format!("rg-{}", Self::namespace_of(v))).chain([VAULT_GROUP.to_owned(), RESTORE_GROUP.to_owned()]);
            json!({ "subscriptionId": self.subscription_of(subscription), "resourceGroups": groups.collect::<Vec<_>>(), "acts": ["Read", "Protect", "Backup", "Restore"] })
        });
        let mut all: Vec<Value> =
            namespaces.iter().map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).collect();
        all.push(json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": ACCESS },
            "spec": {
                "tenantId": "72f988bf-0000-4000-8000-00000000000a",
                "identity": { "workload": { "clientId": "c11e0000-0000-4000-8000-000000000001", "serviceAccount": "azure-shop" } },
                "namespaces": { "names": namespaces },
                "allow": allow.collect::<Vec<_>>(),
            },
        }));
        for vault in 0..self.vaults {
            all.extend([self.vault(vault), self.policy(vault)]);
        }
        all
    }

    fn vault(&self, vault: usize) -> Value {
        json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "RecoveryVault",
            "metadata": { "name": "main", "namespace": Self::namespace_of(vault) },
            "spec": {
                "subscriptionId": self.subscription_of(vault), "resourceGroup": VAULT_GROUP, "location": "westeurope",
                "azureName": format!("rv-team-{vault:02}"), "redundancy": "GeoRedundant",
                "softDelete": { "state": "Enabled", "retentionDays": 30 }, "immutability": "Unlocked",
            },
        })
    }

    fn policy(&self, vault: usize) -> Value {
        let team = Self::namespace_of(vault);
        let (schedule, retention) = match self.schedule {
            Schedule::Nightly => (json!({ "daily": { "at": "02:00" } }), json!({ "instantRestoreDays": 2, "daily": { "keep": "30d" } })),
            Schedule::Weekly => (
                json!({ "weekly": { "days": ["Sunday"], "at": "02:00" } }),
                json!({ "instantRestoreDays": 7, "weekly": { "keep": 12, "days": ["Sunday"] } }),
            ),
        };
        let first = match self.first_backup {
            FirstBackup::Now => "Now",
            FirstBackup::OnSchedule => "OnSchedule",
        };
        json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupPolicy", "metadata": { "name": "standard", "namespace": team },
            "spec": {
                "vaultRef": { "name": "main" }, "tier": "Enhanced", "schedule": schedule, "timeZone": "Europe/Amsterdam",
                "retention": retention, "firstBackup": first,
                "machines": [{ "selector": {
                    "subscriptionId": self.subscription_of(vault), "resourceGroups": [format!("rg-{team}")], "tags": { "all": { "team": [team] } },
                } }],
            },
        })
    }
}

const IDENTITIES: &str = "apps:
  - name: operator
    clientId: c11e0000-0000-4000-8000-000000000001
    objectId: 0b1ec700-0000-4000-8000-000000000001
    federatedCredentials:
      - { issuer: '${ISSUER}', subject: 'system:serviceaccount:breakwater-system:azure-shop' }
";
