//! Backup policies of a vault (backup.md §7).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::config::no_policy;
use super::names::VAULT_TYPE;
use super::operations::unknown_operation;
use super::policy_rules::{Generation, INVALID_POLICY, accept};
use super::retention::Retention;
use super::schedule::Schedule;
use super::settings::{ImmutabilityReach, Settings};
use super::state::{State, backup_error, refused};
use super::vault::{Immutability, Vault, VaultPath};
use crate::guards::Guarded;
use crate::wire::{Inbound, Neighbours, Reply};

/// One policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    /// In the spelling of its creation.
    pub name: String,
    /// As stored: accepted, normalised, without `protectedItemsCount`.
    pub properties: Value,
}

impl Policy {
    pub fn schedule(&self) -> Option<Schedule> {
        Schedule::read(&self.properties)
    }

    pub fn retention(&self) -> Option<Retention> {
        Retention::read(&self.properties, self.schedule()?.zone().clone())
    }

    pub fn is_for_machines(&self) -> bool {
        self.properties["backupManagementType"] == "AzureIaasVM"
    }

    fn render(&self, vault: &Vault, version: &str) -> Value {
        let mut properties = self.properties.clone();
        properties["protectedItemsCount"] = json!(vault.items_under(&self.name));
        // The version of 2016 echoes neither (§7.2).
        if version < "2017"
            && let Some(map) = properties.as_object_mut()
        {
            map.retain(|name, _| !matches!(name.as_str(), "instantRpRetentionRangeInDays" | "instantRPDetails" | "timeZone"));
        }
        json!({"id": format!("{}/backupPolicies/{}", vault.id, self.name), "name": self.name, "type": format!("{VAULT_TYPE}/backupPolicies"), "properties": properties})
    }
}

/// The three policies every new vault holds (§5.3); the date in their times is that of the vault's creation.
pub(super) fn default_policies(created: Timestamp) -> BTreeMap<String, Policy> {
    let day = created.strftime("%Y-%m-%d").to_string();
    let (daily, window) = (format!("{day}T16:30:00Z"), format!("{day}T08:00:00Z"));
    let kept = |time: &str| {
        json!({"retentionPolicyType": "LongTermRetentionPolicy",
        "dailySchedule": {"retentionTimes": [time], "retentionDuration": {"count": 30, "durationType": "Days"}}})
    };
    let once = json!({"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": [daily], "scheduleWeeklyFrequency": 0});
    let plain = json!({"backupManagementType": "AzureIaasVM", "instantRPDetails": {}, "schedulePolicy": once, "retentionPolicy": kept(&daily),
        "instantRpRetentionRangeInDays": 2, "timeZone": "UTC"});
    let enhanced = json!({"backupManagementType": "AzureIaasVM", "policyType": "V2", "instantRPDetails": {},
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
            "hourlySchedule": {"interval": 4, "scheduleWindowStartTime": window, "scheduleWindowDuration": 12}},
        "retentionPolicy": kept(&window), "instantRpRetentionRangeInDays": 2, "timeZone": "UTC"});
    let logs = json!({"backupManagementType": "AzureWorkload", "workLoadType": "SQLDataBase",
        "settings": {"timeZone": "UTC", "issqlcompression": false, "isCompression": false},
        "subProtectionPolicy": [
            {"policyType": "Full", "schedulePolicy": once, "retentionPolicy": kept(&daily)},
            {"policyType": "Log", "schedulePolicy": {"schedulePolicyType": "LogSchedulePolicy", "scheduleFrequencyInMins": 60},
                "retentionPolicy": {"retentionPolicyType": "SimpleRetentionPolicy", "retentionDuration": {"count": 30, "durationType": "Days"}}}]});
    [("DefaultPolicy", plain), ("EnhancedPolicy", enhanced), ("HourlyLogBackup", logs)]
        .into_iter()
        .map(|(name, properties)| (name.to_lowercase(), Policy { name: name.to_owned(), properties }))
        .collect()
}

impl Vault {
    pub(super) fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(&name.to_lowercase())
    }

    pub(super) fn items_under(&self, policy: &str) -> usize {
        self.items.values().filter(|item| item.policy.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(policy))).count()
    }

    /// Whether immutability forbids what lets points die earlier.
    pub(super) fn forbids_loss(&self, behaviour: &Settings) -> bool {
        match behaviour.immutability_reach {
            ImmutabilityReach::Enabled => self.immutability() != Immutability::Disabled,
            ImmutabilityReach::LockedOnly => self.immutability() == Immutability::Locked,
        }
    }
}

impl State {
    /// PUT of a policy: 200 with the body, also for a policy in use, whose points are at once kept by its new rules.
    pub(super) fn put_policy(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let checked = self.check_policy(vault, name, &req.body["properties"]).and_then(|properties| {
            let new = Policy { name: name.to_owned(), properties };
            let asked = &req.body["properties"]["resourceGuardOperationRequests"];
            if vault.policy(name).is_some_and(|old| old.lowered_by(&new)) {
                self.guarded(n, vault, Guarded::UpdatePolicy, asked)?;
            }
            Ok(new.properties)
        });
        let properties = match checked {
            Ok(properties) => properties,
            Err(refusal) => return *refusal,
        };
        let (now, limit) = (self.clock, self.settings.limits.policy_writes);
        let vault = self.vault_mut(&path.key).expect("looked up above");
        if !vault.policy_writes.admit(now, limit) {
            let message = format!("The limit of '{limit}' policy writes on this vault in 24 hours is reached.");
            return refused(&self.settings.refusals.policy_writes, message);
        }
        let key = name.to_lowercase();
        let spelling = vault.policies.get(&key).map_or_else(|| name.to_owned(), |old| old.name.clone());
        let before = vault.policies.insert(key.clone(), Policy { name: spelling, properties });
        let edited = before.as_ref() != vault.policies.get(&key);
        let users: Vec<_> =
            vault.items.values().filter(|item| item.policy.as_deref() == Some(key.as_str())).map(|item| item.key.clone()).collect();
        for item in users.iter().filter(|_| edited) {
            self.keep_by_policy(&path.key, item);
            self.plan_backup(n, &path.key, item);
        }
        let vault = self.vault(&path.key).expect("looked up above");
        Reply::json(200, vault.policies[&key].render(vault, req.api_version()))
    }

    fn check_policy(&self, vault: &Vault, name: &str, properties: &Value) -> Result<Value, Box<Reply>> {
        let bad = || Box::new(backup_error(400, "BMSUserErrorInvalidPolicyInput", INVALID_POLICY));
        if !valid_policy_name(name) || properties["backupManagementType"] != "AzureIaasVM" {
            return Err(bad());
        }
        let accepted = accept(properties).map_err(|_| bad())?;
        let Some(old) = vault.policy(name) else { return Ok(accepted) };
        if Generation::of(&old.properties) > Generation::of(&accepted) {
            return Err(Box::new(refused(&self.settings.refusals.policy_downgrade, "An enhanced policy cannot become a standard one.")));
        }
        let new = Policy { name: name.to_owned(), properties: accepted };
        let shorter = matches!((old.retention(), new.retention()), (Some(old), Some(new)) if old.shortened_by(&new));
        if shorter && vault.items_under(name) > 0 && vault.forbids_loss(&self.settings) {
            return Err(Box::new(refused(&self.settings.refusals.immutable, "Retention cannot be reduced while the vault is immutable.")));
        }
        Ok(new.properties)
    }

    /// GET of a policy.
    pub(super) fn get_policy(&self, req: &Inbound, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        vault.policy(name).map_or_else(|| no_policy(name), |policy| Reply::json(200, policy.render(vault, req.api_version())))
    }

    /// The vault's policies, of all types unless the filter names one.
    pub(super) fn list_policies(&self, req: &Inbound, path: &VaultPath) -> Reply {
        self.list(
            req,
            path,
            |vault, terms, _| {
                let kind = terms.get("backupmanagementtype");
                let of_kind = vault
                    .policies
                    .values()
                    .filter(|policy| kind.is_none_or(|kind| policy.properties["backupManagementType"] == kind.as_str()));
                Ok(of_kind.collect())
            },
            |(vault, _), policy: &Policy| policy.render(vault, req.api_version()),
        )
    }

    /// DELETE of a policy: 200 empty, 204 when absent, refused while items use it.
    pub(super) fn delete_policy(&mut self, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        if vault.policy(name).is_none() {
            return Reply::empty(204);
        }
        if vault.items_under(name) > 0 {
            return refused(&self.settings.refusals.policy_in_use, format!("The policy '{name}' cannot be deleted as it protects items."));
        }
        let (now, limit) = (self.clock, self.settings.limits.policy_writes);
        let vault = self.vault_mut(&path.key).expect("looked up above");
        if !vault.policy_writes.admit(now, limit) {
            let message = format!("The limit of '{limit}' policy writes on this vault in 24 hours is reached.");
            return refused(&self.settings.refusals.policy_writes, message);
        }
        vault.policies.remove(&name.to_lowercase());
        Reply::empty(200)
    }
}

impl State {
    /// `V/backupPolicies/{p}/operations/{id}` and `…/operationResults/{id}`: writes of policies end at once here, so that
    /// there is no operation of any id.
    pub(super) fn poll_policy_operation(&self, path: &VaultPath, name: &str, id: &str) -> Reply {
        match self.vault(&path.key) {
            None => path.not_found(),
            Some(vault) if vault.policy(name).is_none() => no_policy(name),
            Some(_) => unknown_operation(id),
        }
    }
}

/// `^[a-zA-Z][-_!a-zA-Z0-9]{2,149}$` (§1.3).
fn valid_policy_name(name: &str) -> bool {
    (3..=150).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '!'))
}
