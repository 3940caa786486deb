//! The secondary region of a vault with cross-region restore: what it knows, a token to restore there, the restore and its
//! job (backup.md §14).
//!
//! Calls of vaults are told apart from those of the primary region by their api-version alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::item::Item;
use super::jobs::{Job, JobKind, newest_first, no_job};
use super::lists::{span_of, terms_of};
use super::names::{ItemKey, NO_TIME, canonical_location, time_text, us_text};
use super::operations::{Effect, Family, Operation, Outcome, unknown_operation};
use super::points::{Detail, Point, Tier, no_point};
use super::protect::{digits, item_key, no_item};
use super::restore::{Ask, Named, Wanted};
use super::route::not_modelled;
use super::state::{State, backup_error, refused};
use super::vault::{Vault, VaultPath};
use super::vault_rules::Refused;
use crate::arm::subscriptions::REGIONS;
use crate::guards::Guarded;
use crate::wire::{Inbound, Neighbours, Reply};

/// The api-versions of the passive stamp: azure-powershell sends the first, azure-cli the other (§1.1).
pub(super) const PASSIVE_VERSIONS: [&str; 2] = ["2018-12-20", "2021-11-15"];

/// What every access token begins with: base64 of `{"canary":"azure-sim"}`.
pub const CANARY_TOKEN: &str = "eyJjYW5hcnkiOiJhenVyZS1zaW0ifQ";

/// Fixed pairs, each in the direction of a restore (azure-cli's table and Azure's list of paired regions; some go one way only).
const PAIRS: [(&str, &str); 60] = [
    ("australiacentral", "australiacentral2"),
    ("australiacentral2", "australiacentral"),
    ("australiaeast", "australiasoutheast"),
    ("australiasoutheast", "australiaeast"),
    ("brazilsouth", "southcentralus"),
    ("brazilsoutheast", "brazilsouth"),
    ("canadacentral", "canadaeast"),
    ("canadaeast", "canadacentral"),
    ("centralindia", "southindia"),
    ("centralus", "eastus2"),
    ("centraluseuap", "eastus2euap"),
    ("chinaeast", "chinanorth"),
    ("chinaeast2", "chinanorth2"),
    ("chinaeast3", "chinanorth3"),
    ("chinanorth", "chinaeast"),
    ("chinanorth2", "chinaeast2"),
    ("chinanorth3", "chinaeast3"),
    ("eastasia", "southeastasia"),
    ("eastus", "westus"),
    ("eastus2", "centralus"),
    ("eastus2euap", "centraluseuap"),
    ("francecentral", "francesouth"),
    ("francesouth", "francecentral"),
    ("germanynorth", "germanywestcentral"),
    ("germanywestcentral", "germanynorth"),
    ("japaneast", "japanwest"),
    ("japanwest", "japaneast"),
    ("jioindiacentral", "jioindiawest"),
    ("jioindiawest", "jioindiacentral"),
    ("koreacentral", "koreasouth"),
    ("koreasouth", "koreacentral"),
    ("northcentralus", "southcentralus"),
    ("northeurope", "westeurope"),
    ("norwayeast", "norwaywest"),
    ("norwaywest", "norwayeast"),
    ("southafricanorth", "southafricawest"),
    ("southafricawest", "southafricanorth"),
    ("southcentralus", "northcentralus"),
    ("southeastasia", "eastasia"),
    ("southindia", "centralindia"),
    ("swedencentral", "swedensouth"),
    ("swedensouth", "swedencentral"),
    ("switzerlandnorth", "switzerlandwest"),
    ("switzerlandwest", "switzerlandnorth"),
    ("taiwannorth", "taiwannorthwest"),
    ("taiwannorthwest", "taiwannorth"),
    ("uaecentral", "uaenorth"),
    ("uaenorth", "uaecentral"),
    ("uksouth", "ukwest"),
    ("ukwest", "uksouth"),
    ("usgovarizona", "usgovtexas"),
    ("usgoviowa", "usgovvirginia"),
    ("usgovtexas", "usgovarizona"),
    ("usgovvirginia", "usgovtexas"),
    ("westcentralus", "westus2"),
    ("westeurope", "northeurope"),
    ("westindia", "southindia"),
    ("westus", "eastus"),
    ("westus2", "westcentralus"),
    ("westus3", "eastus"),
];

/// An access token that was given out, and what came with it.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    path: VaultPath,
    item: ItemKey,
    point: String,
    region: String,
    details: Value,
    until: Timestamp,
}

/// The id of something in the region: `SUB/locations/{region}/{kind}/{name}`.
fn regional_id(subscription: &str, region: &str, kind: &str, name: &str) -> String {
    format!("/subscriptions/{subscription}/providers/Microsoft.RecoveryServices/locations/{region}/{kind}/{name}")
}

/// The service's principal in a region: the same whoever asks.
fn principal(region: &str) -> Value {
    let guid = |what: &str| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{what} {region}").as_bytes()).to_string();
    let audience = format!("https://RecoveryServices/IaasCoord/aadmgmt/{}", &region[..region.len().min(3)]);
    json!({"tenantId": guid("tenant"), "audience": audience, "servicePrincipalObjectId": guid("principal")})
}

impl State {
    /// The secondary region of a vault, when restores there are on.
    fn secondary_of(&self, vault: &Vault) -> Option<String> {
        let redundancy = &vault.settings["redundancySettings"];
        if redundancy["crossRegionRestore"] != "Enabled" || redundancy["standardTierStorageRedundancy"] != "GeoRedundant" {
            return None;
        }
        let set = self.settings.restore.region_pairs.get(&vault.location).map(String::as_str);
        set.or_else(|| PAIRS.iter().find(|(primary, _)| *primary == vault.location).map(|(_, secondary)| *secondary)).map(str::to_owned)
    }

    fn cross_region(&self, path: &VaultPath) -> Result<String, Refused> {
        let vault = self.vault(&path.key).ok_or_else(|| Box::new(path.not_found()))?;
        let refusal = &self.settings.restore.refusals.not_cross_region;
        self.secondary_of(vault).ok_or_else(|| Box::new(refused(refusal, "Cross Region Restore is not enabled in this vault.")))
    }

    /// Whether the secondary region knows a point by now: what is stored in the vault gets there, with a lag.
    fn is_known_there(&self, point: &Point, now: Timestamp) -> bool {
        point.hardened == Tier::Valid && point.hardened_at.is_some_and(|since| since + self.settings.restore.secondary_lag <= now)
    }

    /// `V/backupProtectedItems` of the secondary region: items with a point there.
    pub(super) fn list_secondary_items(&self, req: &Inbound, path: &VaultPath) -> Reply {
        if let Err(refusal) = self.cross_region(path) {
            return *refusal;
        }
        self.list(
            req,
            path,
            |vault, terms, now| {
                let known = |item: &&Item| item.points.iter().any(|point| self.is_known_there(point, now)) && item.soft_deleted.is_none();
                Ok(vault.items.values().filter(known).filter(|item| item.is_meant_by(terms)).collect())
            },
            |(vault, now), item: &Item| item.render(vault, &self.settings, now, req.api_version()),
        )
    }

    /// `I/recoveryPoints` of the secondary region, newest first.
    pub(super) fn list_secondary_points(&self, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        if let Err(refusal) = self.cross_region(path) {
            return *refusal;
        }
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(key) = item_key(container, item).filter(|key| vault.items.contains_key(key)) else { return no_item() };
        self.list(
            req,
            path,
            |vault, terms, now| {
                let inside = span_of(terms, ("startdate", "enddate"))?;
                let Some(item) = vault.items.get(&key) else { return Ok(Vec::new()) };
                let known = item.points.iter().rev().filter(|point| self.is_known_there(point, now) && inside(point.taken.time));
                Ok(known.map(|point| (point, item, item.id(vault))).collect())
            },
            |(_, now), (point, item, id)| self.show_there(point, item, &id, now),
        )
    }

    /// GET of a point in the secondary region.
    pub(super) fn get_secondary_point(&self, path: &VaultPath, container: &str, item: &str, name: &str) -> Reply {
        if let Err(refusal) = self.cross_region(path) {
            return *refusal;
        }
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(item) = item_key(container, item).and_then(|key| vault.items.get(&key)) else { return no_item() };
        match item.point(name).filter(|point| self.is_known_there(point, self.clock)) {
            Some(point) => Reply::json(200, self.show_there(point, item, &item.id(vault), self.clock)),
            None => no_point(name),
        }
    }

    /// A point as the secondary region shows it: in the vault alone, and fewer fields [recorded].
    fn show_there(&self, point: &Point, item: &Item, id: &str, now: Timestamp) -> Value {
        let mut shown = point.render(item, id, Detail::Counts, (now, &self.settings.restore));
        let properties = &mut shown["properties"];
        properties["recoveryPointTierDetails"] = json!([{"type": "HardenedRP", "status": "Valid"}]);
        properties["crossRegionRestoreState"] = json!("Supported");
        properties["recoveryPointMoveReadinessInfo"] = json!({"ArchivedRP": {"isReadyForMove": false}});
        properties["isInstantIlrSessionActive"] = json!(false);
        for unshown in ["recoveryPointAdditionalInfo", "securityType"] {
            properties.as_object_mut().map(|fields| fields.remove(unshown));
        }
        shown
    }

    /// Whether a call below `SUB/locations/{region}` is one of the secondary region.
    pub(super) fn is_secondary_call(&self, method: &str, rest: &[&str]) -> bool {
        matches!(
            (method, rest),
            ("GET", ["backupaadproperties"] | ["backupcrroperationsstatus" | "backupcrroperationresults", _])
                | ("POST", ["backupcrossregionrestore" | "backupcrrjob" | "backupcrrjobs"])
        )
    }

    /// Answers such a call.
    pub(super) fn route_secondary(
        &mut self,
        n: &dyn Neighbours,
        req: &Inbound,
        (subscription, region): (&str, &str),
        rest: &[&str],
    ) -> Reply {
        let region = canonical_location(region);
        let last = req.path.last().map_or("", String::as_str);
        match (req.method.as_str(), rest) {
            ("GET", ["backupaadproperties"]) => Reply::json(200, json!({"properties": principal(&region)})),
            ("POST", ["backupcrossregionrestore"]) => self.restore_there(n, req, &region).unwrap_or_else(|refusal| *refusal),
            ("GET", ["backupcrroperationsstatus", _]) => match self.operation_there(&region, last) {
                Some(operation) => {
                    Reply::json(200, status_there(operation, &regional_id(&req.path[1], &region, "backupCrrOperationsStatus", last)))
                }
                None => unknown_operation(last),
            },
            ("GET", ["backupcrroperationresults", _]) => match self.operation_there(&region, last).map(|operation| &operation.outcome) {
                Some(Outcome::Running) => Reply::empty(202).with_header("retry-after", self.settings.retry_after.to_string()),
                Some(_) => Reply::empty(204),
                None => unknown_operation(last),
            },
            ("POST", ["backupcrrjob"]) => self.job_there(req, (subscription, &region)),
            ("POST", ["backupcrrjobs"]) => self.jobs_there(req, (subscription, &region)),
            _ => not_modelled(req),
        }
    }

    fn operation_there(&self, region: &str, id: &str) -> Option<&Operation> {
        self.operations.get(id).filter(|operation| matches!(&operation.family, Family::Secondary(of) if of == region))
    }

    /// POST `R/accessToken`: what a restore in the secondary region is allowed with.
    pub(super) fn access_token(&mut self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Reply {
        let (path, name) = (named.path, named.point);
        let region = match self.cross_region(path) {
            Ok(region) => region,
            Err(refusal) => return *refusal,
        };
        let wanted = principal(&region);
        let asked = &req.body["properties"];
        if ["tenantId", "audience", "servicePrincipalObjectId"].iter().any(|field| asked[*field] != wanted[*field]) {
            return refused(
                &self.settings.restore.refusals.token,
                "The token is asked for with the properties of the secondary region's service.",
            );
        }
        let (now, Some(vault)) = (self.clock, self.vault(&path.key)) else { return path.not_found() };
        let item = &vault.items[&named.key];
        let Some(point) = item.point(name).filter(|point| self.is_known_there(point, now)) else { return no_point(name) };
        let details = token_details(n, vault, item, point);
        let token = details["accessTokenString"].as_str().unwrap_or_default().to_owned();
        let until = now + self.settings.restore.token_life;
        let issued =
            Issued { path: path.clone(), item: named.key.clone(), point: name.to_owned(), region, details: details.clone(), until };
        self.tokens.retain(|_, issued| issued.until > now);
        self.tokens.insert(token, issued);
        Reply::json(200, json!({"properties": details}))
    }

    /// POST `backupCrossRegionRestore`.
    fn restore_there(&mut self, n: &dyn Neighbours, req: &Inbound, region: &str) -> Result<Reply, Refused> {
        let issued = self.read_token(&req.body["crossRegionRestoreAccessDetails"], region)?;
        let request = &req.body["restoreRequest"];
        let ask = Ask::read(request).map_err(|flaw| Box::new(self.flawed(req, &flaw)))?;
        let path = issued.path.clone();
        let vault = self.vault(&path.key).ok_or_else(|| Box::new(path.not_found()))?;
        if !vault.items.contains_key(&issued.item) {
            return Err(Box::new(no_item()));
        }
        self.guarded(n, vault, Guarded::Restore, &request["resourceGuardOperationRequests"])?;
        let named = Named { path: &path, key: issued.item.clone(), point: &issued.point };
        let plan = self.plan_restore(n, &named, ask, Wanted::There(region.to_owned()))?;
        let job = n.guid();
        self.start_restore(n, req, &named, plan, (job.clone(), JobKind::CrossRegionRestore));
        let id = STANDARD.encode(format!("{};{}", digits(n.chance()), n.guid()));
        let span = self.settings.restore.durations.accept;
        let id = self.begin(n, &path.key, id, Family::Secondary(region.to_owned()), Effect::Accepted, span);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.job = Some(job);
        }
        let base = req.raw_path();
        let base = base.rsplit_once('/').map_or(base.as_str(), |(base, _)| base);
        Ok(self.accepted(req, &format!("{base}/backupCrrOperationsStatus"), &format!("{base}/backupCrrOperationResults"), &id))
    }

    /// The token of a request: known, of this region, not too old, and its details as they were given out.
    fn read_token(&self, details: &Value, region: &str) -> Result<Issued, Refused> {
        let no = |message: &str| Err(Box::new(refused(&self.settings.restore.refusals.token, message)));
        let Some(issued) = details["accessTokenString"].as_str().and_then(|token| self.tokens.get(token)) else {
            return no("The access token is not valid.");
        };
        if issued.until <= self.clock {
            return no("The access token has expired.");
        }
        if issued.region != region {
            return no("The access token is for another region.");
        }
        if issued.details != *details {
            return no("The access details are not those that came with the token.");
        }
        Ok(issued.clone())
    }

    /// The vault that a body names.
    fn vault_of(&self, req: &Inbound) -> Result<&Vault, Refused> {
        let id = req.body["resourceId"].as_str().unwrap_or_default();
        let vault = self.vault(&id.trim_end_matches('/').to_lowercase());
        vault.ok_or_else(|| Box::new(backup_error(404, "ResourceNotFound", format!("The vault '{id}' was not found."))))
    }

    /// POST `backupCrrJob`.
    fn job_there(&self, req: &Inbound, (subscription, region): (&str, &str)) -> Reply {
        let wanted = req.body["jobName"].as_str().unwrap_or_default();
        let vault = match self.vault_of(req) {
            Ok(vault) => vault,
            Err(refusal) => return *refusal,
        };
        match restores_of(vault, region).find(|job| job.id.eq_ignore_ascii_case(wanted)) {
            None => no_job(wanted),
            Some(job) => Reply::json(200, moved(job.render(vault, self.clock), &regional_id(subscription, region, "backupJobs", &job.id))),
        }
    }

    /// POST `backupCrrJobs` [sdk], with the filter of the vault's own list: azure-cli sends it.
    fn jobs_there(&self, req: &Inbound, (subscription, region): (&str, &str)) -> Reply {
        let found = self.vault_of(req).and_then(|vault| {
            let terms = terms_of(req)?;
            Ok((vault, newest_first(restores_of(vault, region), &terms)?))
        });
        match found {
            Err(refusal) => *refusal,
            Ok((vault, jobs)) => {
                self.page(req, jobs, |job| moved(job.summary(vault, self.clock), &regional_id(subscription, region, "backupJobs", &job.id)))
            }
        }
    }
}

/// The restores of a vault in a region that is not its own.
fn restores_of<'a>(vault: &'a Vault, region: &'a str) -> impl Iterator<Item = &'a Job> {
    vault.jobs.values().filter(move |job| job.work.restore().is_some_and(|run| run.plan.secondary.as_deref() == Some(region)))
}

fn moved(mut job: Value, id: &str) -> Value {
    job["id"] = json!(id);
    job
}

/// Here `id` is a whole ARM id and the end a time of its own [recorded]; what the end is while it runs is a guess.
fn status_there(operation: &Operation, id: &str) -> Value {
    let mut body = json!({"id": id, "name": operation.id, "startTime": time_text(operation.started)});
    match &operation.outcome {
        Outcome::Running => {
            body["status"] = json!("InProgress");
            body["endTime"] = json!(NO_TIME);
        }
        Outcome::Succeeded => {
            body["status"] = json!("Succeeded");
            body["endTime"] = json!(operation.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            body["properties"] = json!({"objectType": "OperationStatusJobExtendedInfo", "jobId": operation.job});
        }
        Outcome::Failed { code, message } => {
            body["status"] = json!("Failed");
            body["endTime"] = json!(operation.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            body["error"] = json!({"code": code, "message": message});
        }
    }
    body
}

/// `properties` of the answer of `accessToken`, as recorded.
fn token_details(n: &dyn Neighbours, vault: &Vault, item: &Item, point: &Point) -> Value {
    let token = format!("{CANARY_TOKEN}.{}.{}", n.guid().replace('-', ""), n.guid().replace('-', ""));
    let geo: String = vault.location.chars().take(3).collect();
    let region = REGIONS.iter().find(|(name, _)| *name == vault.location).map_or(vault.location.as_str(), |(_, display)| display);
    json!({
        "objectType": "CrrAccessToken",
        "accessTokenString": token,
        "subscriptionId": vault.subscription_id,
        "resourceGroupName": vault.resource_group,
        "resourceName": vault.name,
        "resourceId": format!("{}{}", digits(n.chance()), &digits(n.chance()).to_string()[..4]),
        "protectionContainerId": digits(n.chance()) / 100_000_000,
        "recoveryPointId": point.name,
        "recoveryPointTime": us_text(point.taken.time),
        "containerName": item.key.as_str(),
        "containerType": "IaasVMContainer",
        "backupManagementType": "AzureIaasVM",
        "datasourceType": "VM",
        "datasourceName": item.friendly_name,
        "datasourceId": item.data_id,
        "datasourceContainerName": item.key.as_str(),
        "coordinatorServiceStampUri": format!("https://pod01-coord1.{geo}.backup.windowsazure.com"),
        "protectionServiceStampId": n.guid(),
        "protectionServiceStampUri": format!("https://pod01-prot1-int.{geo}.backup.windowsazure.com"),
        "tokenExtendedInformation": extended(item, point),
        "rpTierInformation": tiers(point),
        "rpOriginalSAOption": false,
        "rpIsManagedVirtualMachine": true,
        "rpVMSizeDescription": point.taken.size,
        "bMSActiveRegion": region.replace(' ', ""),
    })
}

fn tiers(point: &Point) -> Value {
    let name = |tier: Tier| if tier == Tier::Valid { "Valid" } else { "Deleted" };
    let mut tiers = json!({"HardenedRP": name(point.hardened)});
    if point.instant != Tier::Absent {
        tiers["InstantRP"] = json!(name(point.instant));
    }
    tiers
}

/// The XML text that a caller passes on unread: as much of the recorded one as says something of the point.
fn extended(item: &Item, point: &Point) -> String {
    let taken = &point.taken;
    format!(
        "<IaaSVMRecoveryPointMetadataBase xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:type=\"IaaSVMRecoveryPointMetadata_V2015_09\" \
         xmlns=\"http://windowscloudbackup.com/CloudCommon/V2011_09\"><MetadataVersion>V2015_09</MetadataVersion>\
         <InstantRpGCId>{};AzureBackup_{}_{}</InstantRpGCId><IsManagedVirtualMachine>true</IsManagedVirtualMachine>\
         <IsPrivateAccessEnabledOnAnyDisk>{}</IsPrivateAccessEnabledOnAnyDisk><OsType>{}</OsType>\
         <VMSizeDescription>{}</VMSizeDescription></IaaSVMRecoveryPointMetadataBase>",
        item.source_id.split('/').nth(2).unwrap_or_default(),
        item.friendly_name,
        item.data_id,
        taken.is_private(),
        taken.os,
        taken.size
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_one_pair_and_never_itself() {
        for (at, (from, to)) in PAIRS.iter().enumerate() {
            assert!(from != to && PAIRS.iter().skip(at + 1).all(|(other, _)| other != from), "{from}");
        }
        for pair in
            [("norwaywest", "norwayeast"), ("westus3", "eastus"), ("jioindiawest", "jioindiacentral"), ("taiwannorth", "taiwannorthwest")]
        {
            assert!(PAIRS.contains(&pair), "{pair:?}");
        }
    }
}
