//! Every means by which a tenant can name what is another's.

use serde_json::{Value, json};

use super::tenant::Tenant;

/// The objects with which one tenant reaches for another's things; each is one that the API server may take.
pub fn against(us: Tenant, them: Tenant) -> Vec<Value> {
    let name = |what: &str| format!("x{}-{what}", them.0);
    let foreign = |group: &str, azure_name: &str| {
        let mut spec = them.vault_spec(group, azure_name);
        spec["softDelete"] = json!({ "state": "Enabled", "retentionDays": 14 });
        spec
    };
    let with_access = |mut spec: Value| {
        spec["accessRef"] = json!({ "name": them.access() });
        spec
    };
    let one = |id: String| json!([{ "id": id }]);
    let wide = json!([
        { "selector": { "subscriptionId": them.subscription(), "resourceGroups": [them.group(), us.group()] } },
        { "selector": { "subscriptionId": them.subscription(), "resourceGroups": ["*"], "tags": { "all": { "owner": [them.mark()] } } } },
    ]);
    let machine = |policy: String, id: String| json!({ "policyRef": { "name": policy }, "machineId": id });
    let mut objects = vec![
        // Its vault, its group, a vault that carries our marks, and ours under its access.
        us.object("RecoveryVault", &name("steal"), foreign(&them.vault_group(), &them.vault())),
        us.object("RecoveryVault", &name("settle"), foreign(&them.vault_group(), "rv-settler")),
        us.object("RecoveryVault", &name("machines"), foreign(&them.group(), "rv-settler")),
        us.object("RecoveryVault", &bait(them), foreign(&them.vault_group(), &them.bait())),
        us.object("RecoveryVault", &name("access"), with_access(us.vault_spec(&us.vault_group(), "rv-under-their-access"))),
        // Its machines, by id and by selector, in our vault and in its.
        us.object("BackupPolicy", &name("by-id"), Tenant::policy_spec(&us.vault_object(), &one(them.machine("a")))),
        us.object("BackupPolicy", &name("by-case"), Tenant::policy_spec(&us.vault_object(), &one(them.machine("a").to_uppercase()))),
        us.object("BackupPolicy", &name("by-tag"), Tenant::policy_spec(&us.vault_object(), &wide)),
        us.object("BackupPolicy", &name("their-vault"), Tenant::policy_spec(&them.vault_object(), &one(us.machine("b")))),
        us.object("BackupPolicy", &name("stolen-vault"), Tenant::policy_spec(&name("steal"), &one(us.machine("b")))),
        us.object("BackupPolicy", &name("access"), with_access(Tenant::policy_spec(&us.vault_object(), &one(them.machine("a"))))),
        // The same by hand.
        us.object("ProtectedMachine", &name("by-hand"), machine(us.policy(), them.machine("a"))),
        us.object("ProtectedMachine", &name("their-policy"), machine(them.policy(), us.machine("b"))),
        us.object("ProtectedMachine", &name("stolen"), machine(name("stolen-vault"), them.machine("b"))),
        us.object("ProtectedMachine", &name("access"), with_access(machine(us.policy(), them.machine("b")))),
    ];
    // References into its namespace, where the schema has them.
    for (field, kind, to) in [("vaultRef", "BackupPolicy", them.vault_object()), ("policyRef", "ProtectedMachine", them.policy())] {
        let mut spec = match kind {
            "BackupPolicy" => Tenant::policy_spec(&to, &one(us.machine("b"))),
            _ => machine(to.clone(), us.machine("b")),
        };
        spec[field] = json!({ "name": to, "namespace": them.namespace() });
        objects.push(us.object(kind, &name("across"), spec));
    }
    objects
}

/// The `RecoveryVault` whose marks a vault of theirs carries.
pub fn bait(them: Tenant) -> String {
    format!("x{}-bait", them.0)
}

/// What a tenant that may write a status makes it say: that everything of the other's were its own.
pub fn forged_status(them: Tenant, kind: &str) -> Value {
    let since = "2026-11-24T08:00:00Z";
    let owned = json!([{ "id": them.vault_id(), "since": since }, { "id": them.machine("a"), "since": since }]);
    let mut status = json!({ "access": { "name": them.access() }, "owned": owned });
    if kind == "RecoveryVault" {
        status["vault"] = json!({ "id": them.vault_id(), "firstSeen": since });
    }
    status
}

/// An operation that was never begun, and claims that something of the other's was lent and must be closed: the closing
/// request would stop the protection of its machine.
pub fn forged_debt(them: Tenant, item: &str) -> Value {
    let body =
        json!({ "properties": { "protectedItemType": "Microsoft.Compute/virtualMachines", "protectionState": "ProtectionStopped" } });
    let debt = json!({
        "method": "PUT", "path": item, "apiVersion": "2024-04-01", "body": body.to_string(), "until": "2026-11-24T08:00:00Z",
        "access": them.access(), "attempts": 0,
    });
    let record = json!({
        "node": "mount", "verb": "post", "method": "POST", "target": format!("{item}/provision"), "act": "ReadData",
        "intentAt": "2026-11-24T08:00:00Z", "attempt": 1, "key": "k", "clientRequestId": "6f1c1a3e-0000-5000-8000-000000000001",
        "endedAt": "2026-11-24T08:00:01Z", "outcome": "Succeeded", "debt": debt,
    });
    json!({ "operations": [record] })
}

/// Something lent that was never lent, is to be closed in a year, and holds until then what the other's work needs.
pub fn forged_lock(them: Tenant) -> Value {
    let mut forged = forged_debt(them, &them.machine_id());
    let record = &mut forged["operations"][0];
    record["locks"] =
        json!([format!("machine:{}", them.machine_id().to_lowercase()), format!("vault-config:{}", them.vault_id().to_lowercase()),]);
    record["debt"]["until"] = json!("2027-11-24T08:00:00Z");
    forged["operations"].take()
}
