//! Subscriptions, their regions and their resource providers.

use serde_json::{Value, json};

use crate::{
    arm::errors,
    path::Target,
    wire::{Inbound, Reply},
    world::{Subscription, World},
};

/// Regions with the names people read: those of a recorded refusal, those that recordings use or pairs name beside them, and the
/// rest of the public ones (learn.microsoft.com, "List of Azure regions"). Those of sovereign clouds are no regions here.
pub const REGIONS: [(&str, &str); 63] = [
    ("centralus", "Central US"),
    ("eastasia", "East Asia"),
    ("southeastasia", "Southeast Asia"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("westus", "West US"),
    ("westus2", "West US 2"),
    ("northcentralus", "North Central US"),
    ("southcentralus", "South Central US"),
    ("westcentralus", "West Central US"),
    ("northeurope", "North Europe"),
    ("westeurope", "West Europe"),
    ("japaneast", "Japan East"),
    ("japanwest", "Japan West"),
    ("brazilsouth", "Brazil South"),
    ("australiasoutheast", "Australia Southeast"),
    ("australiaeast", "Australia East"),
    ("westindia", "West India"),
    ("southindia", "South India"),
    ("centralindia", "Central India"),
    ("canadacentral", "Canada Central"),
    ("canadaeast", "Canada East"),
    ("uksouth", "UK South"),
    ("ukwest", "UK West"),
    ("koreacentral", "Korea Central"),
    ("koreasouth", "Korea South"),
    ("francecentral", "France Central"),
    ("southafricanorth", "South Africa North"),
    ("uaenorth", "UAE North"),
    ("australiacentral", "Australia Central"),
    ("switzerlandnorth", "Switzerland North"),
    ("germanywestcentral", "Germany West Central"),
    ("norwayeast", "Norway East"),
    ("jioindiawest", "Jio India West"),
    ("westus3", "West US 3"),
    ("australiacentral2", "Australia Central 2"),
    ("swedencentral", "Sweden Central"),
    ("swedensouth", "Sweden South"),
    ("germanynorth", "Germany North"),
    ("francesouth", "France South"),
    ("switzerlandwest", "Switzerland West"),
    ("centraluseuap", "Central US EUAP"),
    ("eastus2euap", "East US 2 EUAP"),
    ("austriaeast", "Austria East"),
    ("belgiumcentral", "Belgium Central"),
    ("brazilsoutheast", "Brazil Southeast"),
    ("chilecentral", "Chile Central"),
    ("denmarkeast", "Denmark East"),
    ("indonesiacentral", "Indonesia Central"),
    ("israelcentral", "Israel Central"),
    ("italynorth", "Italy North"),
    ("jioindiacentral", "Jio India Central"),
    ("malaysiawest", "Malaysia West"),
    ("mexicocentral", "Mexico Central"),
    ("newzealandnorth", "New Zealand North"),
    ("norwaywest", "Norway West"),
    ("polandcentral", "Poland Central"),
    ("qatarcentral", "Qatar Central"),
    ("southafricawest", "South Africa West"),
    ("spaincentral", "Spain Central"),
    ("taiwannorth", "Taiwan North"),
    ("taiwannorthwest", "Taiwan Northwest"),
    ("uaecentral", "UAE Central"),
];

/// Whether a region, in canonical form, is one of them.
pub fn is_region(name: &str) -> bool {
    REGIONS.iter().any(|(known, _)| *known == name)
}

/// What a region in canonical form is called by people; itself where it is unknown.
pub fn region_name(name: &str) -> &str {
    REGIONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, display)| display)
}

/// A resource type and api-versions of it, newest first.
type Type = (&'static str, &'static [&'static str]);

// Versions that SDKs of 2026 send and that were recorded (compute-and-arm.md §0, backup.md §1.1). Any well-formed one is
// accepted; clients that know no version of their own (`az resource`) take theirs from here.
const MACHINES: &[&str] = &["2026-04-01", "2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2022-11-01", "2022-03-01"];
const DISKS: &[&str] = &["2026-03-02", "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02", "2022-03-02"];
const NETWORKS: &[&str] = &["2026-03-01", "2025-03-01", "2024-01-01", "2022-01-01", "2020-11-01"];
const VAULTS: &[&str] = &["2026-11-01", "2026-05-01", "2025-08-01", "2025-02-01", "2024-04-01", "2023-04-01"];
const ACCOUNTS: &[&str] = &["2025-06-01", "2024-01-01", "2023-05-01", "2022-09-01", "2021-09-01"];
const GUARDS: &[&str] = &["2026-03-01", "2025-01-01", "2024-04-01", "2022-05-01"];
const RESOURCES: &[&str] = &["2025-04-01", "2024-11-01", "2022-12-01", "2022-09-01", "2021-04-01"];
const LOCKS: &[&str] = &["2020-05-01", "2016-09-01"];
const ROLES: &[&str] = &["2022-04-01"];

/// Namespaces with their types, as far as modelled.
const PROVIDERS: [(&str, &[Type]); 7] = [
    ("Microsoft.Compute", &[("virtualMachines", MACHINES), ("disks", DISKS), ("locations/operations", MACHINES)]),
    (
        "Microsoft.Network",
        &[
            ("virtualNetworks", NETWORKS),
            ("virtualNetworks/subnets", NETWORKS),
            ("networkInterfaces", NETWORKS),
            ("networkSecurityGroups", NETWORKS),
            ("publicIPAddresses", NETWORKS),
        ],
    ),
    ("Microsoft.RecoveryServices", &[("vaults", VAULTS)]),
    ("Microsoft.DataProtection", &[("resourceGuards", GUARDS)]),
    ("Microsoft.Storage", &[("storageAccounts", ACCOUNTS)]),
    (
        "Microsoft.Resources",
        &[("subscriptions", RESOURCES), ("resourceGroups", RESOURCES), ("deployments", RESOURCES), ("tags", RESOURCES)],
    ),
    ("Microsoft.Authorization", &[("locks", LOCKS), ("roleAssignments", ROLES), ("roleDefinitions", ROLES)]),
];

/// All modelled namespaces.
pub fn namespaces() -> impl Iterator<Item = &'static str> {
    PROVIDERS.into_iter().map(|(namespace, _)| namespace)
}

/// Answers `/subscriptions…` without a group.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let Some(id) = &target.subscription else {
        let visible =
            world.subscriptions.values().filter(|s| world.access.reaches_into(&req.caller.object_id, &format!("/subscriptions/{}", s.id)));
        let value: Vec<Value> = visible.map(show).collect();
        let count = json!({"type": "Total", "value": value.len()});
        return get_only(req, || json!({"value": value, "count": count}));
    };
    let Some(subscription) = world.subscription(id).cloned() else { return errors::subscription_not_found(id) };
    if let Some(namespace) = &target.namespace {
        return provider(world, req, &subscription, namespace, target.verb.as_deref());
    }
    match req.path.get(2).map(|word| word.to_ascii_lowercase()).as_deref() {
        None => get_only(req, || show(&subscription)),
        Some("locations") => {
            get_only(req, || json!({"value": REGIONS.map(|(name, display)| region(&subscription, name, display)).to_vec()}))
        }
        Some("providers") => {
            get_only(req, || json!({"value": PROVIDERS.map(|(namespace, types)| show_provider(&subscription, namespace, types))}))
        }
        Some(_) => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

fn get_only(req: &Inbound, answer: impl FnOnce() -> Value) -> Reply {
    if req.method == "GET" { Reply::json(200, answer()) } else { errors::not_implemented(&req.method, &req.raw_path()) }
}

fn show(subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": subscription.tenant_id,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "EnterpriseAgreement_2014-09-01", "spendingLimit": "Off"},
    })
}

fn region(subscription: &Subscription, name: &str, display: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{}/locations/{name}", subscription.id),
        "name": name,
        "type": "Region",
        "displayName": display,
        "regionalDisplayName": display,
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    })
}

fn show_provider(subscription: &Subscription, namespace: &str, types: &[Type]) -> Value {
    let registered = subscription.registered.contains(&namespace.to_ascii_lowercase());
    let types: Vec<Value> = types
        .iter()
        .map(|(kind, versions)| json!({"resourceType": kind, "locations": REGIONS.map(|(_, display)| display).to_vec(), "apiVersions": versions}))
        .collect();
    json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", subscription.id),
        "namespace": namespace,
        "resourceTypes": types,
        "registrationState": if registered { "Registered" } else { "NotRegistered" },
        "registrationPolicy": "RegistrationRequired",
    })
}

fn provider(world: &mut World, req: &Inbound, subscription: &Subscription, namespace: &str, verb: Option<&str>) -> Reply {
    let Some((known, types)) = PROVIDERS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(namespace)) else {
        return errors::not_implemented(&req.method, &req.raw_path());
    };
    match (req.method.as_str(), verb.map(str::to_ascii_lowercase).as_deref()) {
        ("GET", None) => {}
        ("POST", Some("register")) => {
            if let Some(subscription) = world.subscriptions.get_mut(&subscription.id.to_ascii_lowercase()) {
                subscription.registered.insert(known.to_ascii_lowercase());
            }
        }
        _ => return errors::not_implemented(&req.method, &req.raw_path()),
    }
    match world.subscription(&subscription.id) {
        Some(subscription) => Reply::json(200, show_provider(subscription, known, types)),
        None => errors::subscription_not_found(&subscription.id),
    }
}
