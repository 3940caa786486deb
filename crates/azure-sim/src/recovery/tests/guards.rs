//! Multi-user authorisation at a vault: what is guarded, what is let through, and for how long (backup.md §6.4).

use serde_json::{Value, json};

use super::lab::{Lab, VAULT, code, daily, default_policy, item, vm};
use crate::guards::Guarded;
use crate::wire::{GuardView, Reply};

pub const GUARD: &str = "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/RG-Safe/providers/Microsoft.DataProtection/resourceGuards/second-eyes";
const PROXY: &str = "backupResourceGuardProxies/VaultProxy";

fn request(operation: Guarded) -> Value {
    json!([operation.request_id(GUARD)])
}

fn policy(name: &str) -> String {
    format!("{VAULT}/backupPolicies/{name}")
}

/// A vault with a guard before it, two policies, and the machine `win` protected under the longer one.
fn guarded(excluded: &[Guarded]) -> Lab {
    let mut lab = Lab::new();
    let excluded = excluded.iter().map(|operation| operation.operation().to_owned()).collect();
    let view = GuardView { id: GUARD.to_owned(), description: "ask Ann".to_owned(), excluded };
    lab.world.guards.insert(GUARD.to_lowercase(), view);
    lab.put(&policy("long"), daily("02:00", 60));
    lab.put(&policy("short"), daily("02:00", 20));
    lab.configure("win", json!({"policyId": policy("long")}));
    let reply = lab.put(&format!("{VAULT}/{PROXY}"), json!({"properties": {"resourceGuardResourceId": GUARD}}));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    lab
}

fn of_item(properties: Value) -> Value {
    let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win")}});
    body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    body
}

/// Every write that a guard stands before, with the operation that it names.
fn calls() -> Vec<(Guarded, &'static str, String, Value)> {
    let soft = |settings: Value| json!({"properties": {"securitySettings": {"softDeleteSettings": settings}}});
    let config = format!("{VAULT}/backupconfig/vaultconfig");
    vec![
        (Guarded::UpdateItem, "PUT", item("win"), of_item(json!({"policyId": policy("short")}))),
        (Guarded::StopWithRetain, "PUT", item("win"), of_item(json!({"policyId": "", "protectionState": "ProtectionStopped"}))),
        (Guarded::UpdatePolicy, "PUT", policy("long"), daily("02:00", 30)),
        (Guarded::DisableSoftDelete, "PATCH", config.clone(), json!({"properties": {"softDeleteFeatureState": "Disabled"}})),
        (Guarded::DisableSoftDelete, "PUT", config.clone(), json!({"properties": {"enhancedSecurityState": "Disabled"}})),
        (Guarded::DisableSoftDelete, "PATCH", VAULT.to_owned(), soft(json!({"softDeleteState": "Disabled"}))),
        (Guarded::DisableSoftDelete, "PATCH", VAULT.to_owned(), soft(json!({"softDeleteRetentionPeriodInDays": 14}))),
        (
            Guarded::ModifyEncryption,
            "PUT",
            format!("{VAULT}/backupEncryptionConfigs/backupResourceEncryptionConfig"),
            json!({"properties": {"encryptionAtRestType": "CustomerManaged", "keyUri": "https://kv.vault.azure.net/keys/k/1",
                "useSystemAssignedIdentity": true}}),
        ),
        (
            Guarded::ModifyEncryption,
            "PATCH",
            VAULT.to_owned(),
            json!({"properties": {"encryption": {"keyVaultProperties": {"keyUri": "https://kv.vault.azure.net/keys/k/1"},
                "kekIdentity": {"useSystemAssignedIdentity": true}}}}),
        ),
    ]
}

fn words(reply: &Reply) -> String {
    reply.body.as_ref().map_or_else(String::new, |body| body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

/// What the calls lower must stand first.
fn raised() -> Lab {
    let mut lab = guarded(&[]);
    lab.patch_vault(json!({"securitySettings": {"softDeleteSettings": {"softDeleteRetentionPeriodInDays": 30}}}));
    lab.send("PATCH", VAULT, json!({"identity": {"type": "SystemAssigned"}}));
    lab
}

#[test]
fn a_guarded_call_without_the_guards_request_is_refused_and_named() {
    for (operation, method, url, body) in calls() {
        let mut lab = raised();
        let before = lab.read(VAULT);
        let refused = lab.send(method, &url, body.clone());
        assert_eq!(code(&refused), (403, "BMSUserErrorResourceGuardOperationRequestMissing".to_owned()), "{operation:?} {method} {url}");
        assert!(words(&refused).starts_with("ResourceGuard Operation requestid is either null or empty"), "{}", words(&refused));
        assert!(
            words(&refused).contains(&format!("'{}'", operation.operation())) && words(&refused).contains(GUARD),
            "{}",
            words(&refused)
        );
        let mut other = body.clone();
        other["properties"]["resourceGuardOperationRequests"] = request(Guarded::SecurityPin);
        assert_eq!(lab.send(method, &url, other).status, 403, "another operation's request does not do: {operation:?}");
        lab.wait(300);
        assert_eq!(lab.read(VAULT)["properties"], before["properties"], "nothing was done: {operation:?}");
        let mut with = body;
        with["properties"]["resourceGuardOperationRequests"] = request(operation);
        let passed = lab.send(method, &url, with);
        assert!(passed.status < 300, "{operation:?} {method} {url}: {:?}", passed.body);
    }
}

#[test]
fn a_guard_raises_the_score_as_immutability_does_and_not_twice() {
    let score = |lab: &mut Lab| {
        let shown = lab.read(VAULT)["properties"].clone();
        [&shown["secureScore"], &shown["bcdrSecurityLevel"]].map(|word| word.as_str().unwrap().to_owned())
    };
    assert_eq!(score(&mut Lab::new()), ["None", "Poor"]);
    let mut lab = guarded(&[]);
    assert_eq!(lab.read(VAULT)["properties"]["securitySettings"]["multiUserAuthorization"], "Enabled");
    assert_eq!(score(&mut lab), ["Minimum", "Fair"]);
    lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
    assert_eq!(score(&mut lab), ["Minimum", "Fair"]);
}

#[test]
fn a_security_pin_is_guarded_and_good_for_minutes() {
    let mut lab = guarded(&[]);
    let pin = format!("{VAULT}/backupSecurityPIN");
    assert_eq!(code(&lab.send("POST", &pin, Value::Null)).0, 403);
    let told = lab.send("POST", &pin, json!({"resourceGuardOperationRequests": request(Guarded::SecurityPin)})).body.unwrap();
    let digits = told["securityPIN"].as_str().unwrap();
    assert!(digits.len() == 6 && digits.bytes().all(|c| c.is_ascii_digit()) && told["token"] == told["securityPIN"], "{told}");
    let ticks = |seconds: i64| (lab.now.as_second() + seconds + 62_135_596_800) * 10_000_000;
    let until = told["expiryTimeInUtcTicks"].as_i64().unwrap();
    assert!((ticks(0)..=ticks(600)).contains(&until), "{told}");
    let mut free = Lab::new();
    assert_eq!(free.send("POST", &pin, json!({})).status, 200);
}

#[test]
fn immutability_taken_back_is_guarded_and_locking_it_is_not() {
    let mut lab = raised();
    let state = |state: &str| json!({"properties": {"securitySettings": {"immutabilitySettings": {"state": state}}}});
    lab.patch_vault(state("Unlocked")["properties"].clone());
    let mut back = state("Disabled");
    assert_eq!(code(&lab.send("PATCH", VAULT, back.clone())).0, 403);
    back["properties"]["resourceGuardOperationRequests"] = request(Guarded::ReduceImmutability);
    assert_eq!(lab.send("PATCH", VAULT, back).status, 202);
    lab.wait(60);
    lab.patch_vault(state("Unlocked")["properties"].clone());
    assert_eq!(lab.send("PATCH", VAULT, state("Locked")).status, 202);
}

#[test]
fn what_lowers_nothing_is_not_guarded() {
    let mut lab = raised();
    let calls = [
        ("PUT", policy("long"), daily("02:00", 90)),
        ("PUT", policy("new"), daily("02:00", 7)),
        ("PUT", item("win"), of_item(json!({"policyId": policy("long")}))),
        ("PATCH", format!("{VAULT}/backupconfig/vaultconfig"), json!({"properties": {"softDeleteRetentionPeriodInDays": 60}})),
        ("PATCH", VAULT.to_owned(), json!({"properties": {"publicNetworkAccess": "Disabled"}})),
        ("POST", format!("{}/backup", item("win")), json!({"properties": {"objectType": "IaasVMBackupRequest"}})),
    ];
    for (method, url, body) in calls {
        let reply = lab.send(method, &url, body);
        assert!(reply.status < 300, "{method} {url}: {:?}", reply.body);
        lab.wait(120);
    }
    let weekly = json!({"properties": {"backupManagementType": "AzureIaasVM", "instantRpRetentionRangeInDays": 5,
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Weekly", "scheduleRunDays": ["Sunday"],
            "scheduleRunTimes": ["2024-01-01T02:00:00Z"]},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy", "weeklySchedule": {"daysOfTheWeek": ["Sunday"],
            "retentionTimes": ["2024-01-01T02:00:00Z"], "retentionDuration": {"count": 520, "durationType": "Weeks"}}}}});
    assert_eq!(code(&lab.put(&policy("long"), weekly)).0, 403, "fewer points are less, however long they are kept");
}

#[test]
fn an_excluded_operation_is_not_guarded_and_a_mandatory_one_always_is() {
    let mut lab = guarded(&[Guarded::UpdatePolicy, Guarded::DisableSoftDelete]);
    assert_eq!(lab.put(&policy("long"), daily("02:00", 30)).status, 200);
    let off = json!({"properties": {"softDeleteFeatureState": "Disabled"}});
    assert_eq!(code(&lab.send("PATCH", &format!("{VAULT}/backupconfig/vaultconfig"), off)).0, 403);
    let shown = lab.read(&format!("{VAULT}/{PROXY}"))["properties"]["resourceGuardOperationDetails"].to_string();
    assert!(!shown.contains("backupPolicies/write") && shown.contains("backupconfig/write"), "{shown}");
}

#[test]
fn a_delete_is_unlocked_for_one_item_and_half_an_hour() {
    let mut lab = guarded(&[]);
    lab.configure("lin", json!({"policyId": default_policy(VAULT)}));
    let unlock = format!("{VAULT}/{PROXY}/unlockDelete");
    assert_eq!(code(&lab.send("DELETE", &item("win"), Value::Null)).0, 403);
    let body = json!({"resourceToBeDeleted": item("win"), "resourceGuardOperationRequests": request(Guarded::DeleteItem)});
    let wrong = json!({"resourceToBeDeleted": item("win"), "resourceGuardOperationRequests": request(Guarded::DeleteProxy)});
    assert_eq!(code(&lab.send("POST", &unlock, wrong)).0, 403);
    let reply = lab.send("POST", &unlock, body.clone());
    assert_eq!((reply.status, reply.body.unwrap()["unlockDeleteExpiryTime"].is_string()), (200, true));
    assert_eq!(code(&lab.send("DELETE", &item("lin"), Value::Null)).0, 403, "not this one");
    lab.wait(31 * 60);
    assert_eq!(code(&lab.send("DELETE", &item("win"), Value::Null)).0, 403, "too late");
    lab.send("POST", &unlock, body);
    lab.settle("DELETE", &item("win"), Value::Null);
    assert_eq!(lab.item("win")["isScheduledForDeferredDelete"], true);
}

#[test]
fn the_guard_itself_goes_only_when_unlocked() {
    let mut lab = guarded(&[]);
    let proxy = format!("{VAULT}/{PROXY}");
    assert_eq!(lab.read(VAULT)["properties"]["securitySettings"]["multiUserAuthorization"], "Enabled");
    assert_eq!(lab.rows(&format!("{VAULT}/backupResourceGuardProxies")).len(), 1);
    assert_eq!(code(&lab.send("DELETE", &proxy, Value::Null)).0, 403);
    let other = GuardView { id: GUARD.replace("second", "third"), description: String::new(), excluded: Vec::new() };
    lab.world.guards.insert(other.id.to_lowercase(), other.clone());
    assert_eq!(code(&lab.put(&proxy, json!({"properties": {"resourceGuardResourceId": other.id}}))).0, 403, "nor is it replaced");
    let unlock = json!({"resourceGuardOperationRequests": request(Guarded::DeleteProxy)});
    assert_eq!(lab.send("POST", &format!("{proxy}/unlockDelete"), unlock).status, 200);
    let deleted = lab.send("DELETE", &proxy, Value::Null);
    assert_eq!((deleted.status, deleted.body), (200, Some(json!({}))));
    assert_eq!((lab.get(&proxy).status, lab.send("DELETE", &proxy, Value::Null).status), (404, 204));
    assert_eq!(lab.read(VAULT)["properties"]["securitySettings"]["multiUserAuthorization"], "Disabled");
    assert_eq!(lab.put(&policy("long"), daily("02:00", 30)).status, 200, "nothing is guarded any more");
    let none = lab.put(&proxy, json!({"properties": {"resourceGuardResourceId": GUARD.replace("second", "no")}}));
    assert_eq!(none.status, 400);
}

#[test]
fn a_guard_that_is_gone_lets_nothing_through() {
    let mut lab = guarded(&[Guarded::UpdatePolicy]);
    lab.world.guards.clear();
    let mut body = daily("02:00", 30);
    body["properties"]["resourceGuardOperationRequests"] = request(Guarded::UpdatePolicy);
    assert_eq!(code(&lab.put(&policy("long"), body)).0, 403);
}
