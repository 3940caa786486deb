//! What runs apply.

/// Access, vault and policy for the small estate.
pub const SMALL: &str = r#"
apiVersion: breakwater.io/v1alpha1
kind: AzureAccess
metadata: { name: shop }
spec:
  tenantId: 72f988bf-0000-4000-8000-00000000000a
  identity: { workload: { clientId: c11e0000-0000-4000-8000-000000000001, serviceAccount: azure-shop } }
  namespaces: { names: [shop] }
  allow:
    - { subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-shop, rg-backup], acts: [Read, Protect, Backup] }
---
apiVersion: breakwater.io/v1alpha1
kind: RecoveryVault
metadata: { name: main, namespace: shop }
spec:
  subscriptionId: 50b50000-0000-4000-8000-000000000001
  resourceGroup: rg-backup
  location: westeurope
  azureName: rv-shop-weu
  redundancy: GeoRedundant
  softDelete: { state: Enabled, retentionDays: 30 }
  immutability: Unlocked
  tags: { cost-center: shop }
---
apiVersion: breakwater.io/v1alpha1
kind: BackupPolicy
metadata: { name: daily, namespace: shop }
spec:
  vaultRef: { name: main }
  tier: Enhanced
  schedule: { daily: { at: "02:00" } }
  timeZone: Europe/Amsterdam
  retention: { instantRestoreDays: 2, daily: { keep: 30d } }
  firstBackup: Now
  machines:
    - selector:
        subscriptionId: 50b50000-0000-4000-8000-000000000001
        resourceGroups: [rg-shop]
        tags: { all: { app: [shop] }, not: { backup: ["off"] } }
"#;

/// The vault of other people, adopted: what it has is kept.
pub const OLD_VAULT: &str = r#"
---
apiVersion: breakwater.io/v1alpha1
kind: RecoveryVault
metadata: { name: old, namespace: shop }
spec:
  subscriptionId: 50b50000-0000-4000-8000-000000000001
  resourceGroup: rg-old
  location: westeurope
  azureName: rv-old
  redundancy: GeoRedundant
  adopt: IfNotWeaker
"#;
