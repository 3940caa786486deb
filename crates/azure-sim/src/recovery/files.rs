//! File recovery: the disks of a point mounted by a script, for twelve hours (backup.md §15).
//!
//! Scripts and passwords are canaries: random by the seed, and easy to find where they must not be. A password begins with
//! [`CANARY_PASSWORD`], and what a script says begins with [`CANARY_SCRIPT`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::archive::Archive;
use super::names::{ItemKey, us_text};
use super::operations::{Effect, Family, Outcome};
use super::protect::digits;
use super::restore::{Flaw, Named};
use super::state::{State, refused};
use super::vault_rules::Refused;
use crate::wire::{Inbound, Neighbours, Reply};

/// The first characters of every password of a mount; nine random ones follow.
pub const CANARY_PASSWORD: &str = "c0ffee";
/// The first words of what every script of a mount says; a random GUID follows.
pub const CANARY_SCRIPT: &str = "azure-sim-canary-script";

/// From this api-version on the scripts are asked for by a call of their own [sdk].
const VERSION_WITH_CALL: &str = "2026-08-01";
/// Whether the request's api-version has that call.
pub(super) fn has_call_for_scripts(req: &Inbound) -> bool {
    req.api_version() >= VERSION_WITH_CALL
}

const MOUNTED: &str = "OperationStatusProvisionILRExtendedInfo";

/// Where the program is that a mount of a Windows machine names: at the service itself, not at download.microsoft.com.
const PROGRAM: [&str; 3] = ["download", "azure-sim", "IaaSVMILRExeForWindows.exe"];

/// What a client downloads that asks for that program, with no token: a text that says what it is not.
pub(crate) fn program(req: &Inbound) -> Option<Reply> {
    let asked = req.method == "GET" && req.path.iter().map(String::as_str).eq(PROGRAM);
    asked.then(|| Reply::json(200, json!("azure-sim has no program that mounts disks")))
}

/// `properties` of an ended operation, as that api-version shows them: scripts only to the older ones.
pub(super) fn as_told(told: &Value, version: &str) -> Value {
    let mut told = told.clone();
    if told["objectType"] == MOUNTED && version >= VERSION_WITH_CALL {
        told.as_object_mut().map(|fields| fields.remove("recoveryTarget"));
    }
    told
}

/// What the scripts of one mount are made of.
struct Mount<'a> {
    machine: &'a str,
    point: &'a str,
    region: &'a str,
    until: Timestamp,
}

impl State {
    /// POST `R/provisionInstantItemRecovery`: 202, and its operation ends with the scripts.
    pub(super) fn mount(&mut self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Reply {
        if self.is_encrypted(named) {
            return self.flawed(req, &Flaw::Unmodelled("files of an encrypted machine"));
        }
        if let Err(refusal) = self.check_mount(named, &req.body["properties"]) {
            return *refusal;
        }
        let Some(vault) = self.vault(&named.path.key) else { return named.path.not_found() };
        let (source, region) = (&vault.items[&named.key], vault.location.clone());
        let os = source.point(named.point).map(|point| point.taken.os.clone()).unwrap_or_default();
        let machine = source.friendly_name.clone();
        let made = Mount { machine: &machine, point: named.point, region: &region, until: self.clock + self.settings.restore.mount_life };
        let scripts = if os == "Windows" { made.windows(n, &req.origin) } else { made.linux(n) };
        let effect = Effect::Mount { item: named.key.clone(), point: named.point.to_owned() };
        let id = self.begin(n, &named.path.key, n.guid(), Family::Item(named.key.clone()), effect, self.settings.restore.durations.mount);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.told = Some(json!({"objectType": MOUNTED, "recoveryTarget": {"clientScripts": scripts}}));
        }
        self.accepted_of_item(req, &id)
    }

    /// Soft-deleted items and archived points are not mounted (documented); a mounted point is when it is asked for again.
    fn check_mount(&self, named: &Named<'_>, properties: &Value) -> Result<(), Refused> {
        let no = |refusal, message: &str| Err(Box::new(refused(refusal, message)));
        let refusals = &self.settings.restore.refusals;
        let Some(item) = self.item(&named.path.key, &named.key) else { return Err(Box::new(named.path.not_found())) };
        let Some(point) = item.point(named.point) else { return no(&refusals.request, "The recovery point is gone.") };
        let same = |name: &str, wanted: &str| properties[name].as_str().is_none_or(|sent| sent.eq_ignore_ascii_case(wanted));
        if properties["objectType"] != "IaasVMILRRegistrationRequest" {
            return no(&refusals.request, "The object type of the request is not valid.");
        }
        if !same("recoveryPointId", named.point) || !same("virtualMachineId", &item.source_id) {
            return no(&refusals.request, "The request does not name the recovery point and the machine of its path.");
        }
        if item.soft_deleted.is_some() {
            return no(&self.settings.refusals.soft_deleted, "The item is in soft deleted state. Undelete it first.");
        }
        if point.archive != Archive::Never && !point.archive.is_back(self.clock) {
            return no(&refusals.archived, "Files cannot be recovered from a recovery point in the archive tier.");
        }
        if point.is_mounted(self.clock) && properties["renewExistingRegistration"] != true {
            return no(&refusals.mounted, "The recovery point is mounted already. Renew the existing registration.");
        }
        Ok(())
    }

    /// POST `R/revokeInstantItemRecovery`. That one without a mount is accepted all the same is a guess.
    pub(super) fn unmount(&mut self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Reply {
        let effect = Effect::Unmount { item: named.key.clone(), point: named.point.to_owned() };
        let id = self.begin(n, &named.path.key, n.guid(), Family::Item(named.key.clone()), effect, self.settings.restore.durations.unmount);
        self.accepted_of_item(req, &id)
    }

    /// The disks are mounted: twelve hours from the request on, recorded twice.
    pub(super) fn mounted(&mut self, vault_key: &str, key: &ItemKey, name: &str, started: Timestamp) {
        let until = started + self.settings.restore.mount_life;
        if let Some(point) = self.item_mut(vault_key, key).and_then(|item| item.point_mut(name)) {
            point.mounted_until = Some(until);
        }
    }

    pub(super) fn unmounted(&mut self, vault_key: &str, key: &ItemKey, name: &str) {
        if let Some(point) = self.item_mut(vault_key, key).and_then(|item| item.point_mut(name)) {
            point.mounted_until = None;
        }
    }

    /// POST `R/listInstantItemRecoveryOperationResult` [sdk]: the scripts of a mount that still holds.
    pub(super) fn mount_scripts(&self, req: &Inbound, named: &Named<'_>) -> Reply {
        let (path, name) = (named.path, named.point);
        let id = req.body["provisionInstantItemRecoveryOperationId"].as_str().unwrap_or_default().to_lowercase();
        let of_point = |effect: &Effect| matches!(effect, Effect::Mount { item, point } if *item == named.key && point == name);
        let operation =
            self.operations.get(&id).filter(|op| op.vault == path.key && of_point(&op.effect) && op.outcome == Outcome::Succeeded);
        let holds = self.item(&path.key, &named.key).and_then(|item| item.point(name)).is_some_and(|point| point.is_mounted(self.clock));
        match operation.and_then(|operation| operation.told.as_ref()).filter(|_| holds) {
            Some(told) => Reply::json(200, told["recoveryTarget"].clone()),
            None => super::operations::unknown_operation(&id),
        }
    }
}

impl Mount<'_> {
    /// `{machine}_1_{geo}_{19 digits}_{12 digits}_{61 hex digits}`: in the last part the password is the 15 characters after
    /// the target's GUID (recorded; azure-cli counts 33 from the underscore).
    fn suffix(&self, n: &dyn Neighbours, owner: &str) -> (String, String, String) {
        let target = n.guid();
        let random = n.guid().replace('-', "");
        let (password, rest) = (format!("{CANARY_PASSWORD}{}", &random[..9]), &random[9..23]);
        let part = format!("{}{password}{rest}", target.replace('-', ""));
        let geo: String = self.region.chars().take(3).collect();
        let suffix = format!("{}_1_{geo}_{owner}_{}_{part}", self.machine.to_lowercase(), &digits(n.chance()).to_string()[..12]);
        (suffix, target, password)
    }

    fn owner(&self, n: &dyn Neighbours) -> String {
        format!("{}{}", digits(n.chance()), &digits(n.chance()).to_string()[..4])
    }

    /// Two entries: what the script is to mount, and where the script is.
    fn windows(&self, n: &dyn Neighbours, origin: &str) -> Vec<Value> {
        let owner = self.owner(n);
        let (suffix, target, _) = self.suffix(n, &owner);
        let name = format!("{owner}-{}-{}-{}-0", &digits(n.chance()).to_string()[..6], digits(n.chance()), self.point);
        let content = format!(
            "User - {owner}-{target} , Target - Owner={owner},Name={name},Expiry={}, Sequence = {}",
            us_text(self.until),
            digits(n.chance())
        );
        vec![
            json!({"scriptContent": STANDARD.encode(content), "scriptExtension": ".txt", "osType": "Windows", "scriptNameSuffix": suffix}),
            json!({"scriptContent": STANDARD.encode("NA"), "scriptExtension": ".exe", "osType": "Windows", "scriptNameSuffix": suffix,
                "url": format!("{origin}/{}", PROGRAM.join("/"))}),
        ]
    }

    /// One entry, the whole script with its password, which azure-cli takes out again [sdk: azure-cli].
    fn linux(&self, n: &dyn Neighbours) -> Vec<Value> {
        let owner = self.owner(n);
        let (suffix, target, password) = self.suffix(n, &owner);
        let content = format!(
            "#!/usr/bin/env python3\n# {CANARY_SCRIPT} {target}\nTARGET = \"{owner}-{}\"\nTargetPassword=\"{password}\"\n",
            self.point
        );
        vec![json!({"scriptContent": STANDARD.encode(content), "scriptExtension": ".py", "osType": "Linux", "scriptNameSuffix": suffix})]
    }
}
