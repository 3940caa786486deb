//! What a restore finds wrong where it is to restore to: the same checks in the job and in a validation.

use super::super::item::Finding;
use super::super::names::{canonical_location, group_of};
use super::super::restore_settings::{Coded, IdentityReach, ReplaceNeeds};
use super::super::state::State;
use super::super::vault::Vault;
use super::request::{Goal, Identity};
use super::{Plan, Stage};
use crate::orders::cores_of;
use crate::wire::{Bar, Neighbours, Right};

/// What a restore's identity must be able to do at its staging account (the service's page on managed identities).
const STAGING_RIGHTS: [(&str, Right); 2] = [
    ("Microsoft.Storage/storageAccounts/blobServices/containers/write", Right::Control),
    ("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write", Right::Data),
];

impl State {
    /// Everything that is wrong now, in the order in which a job would find it.
    pub(in crate::recovery) fn restore_findings(&self, n: &dyn Neighbours, vault: &Vault, plan: &Plan) -> Vec<Finding> {
        let staging = self.staging_findings(n, vault, plan).into_iter();
        staging.chain(self.target_findings(n, plan)).chain(self.machine_findings(n, plan)).collect()
    }

    /// What is wrong as far as a stage has to do with it.
    pub(super) fn stage_findings(&self, n: &dyn Neighbours, vault: &Vault, plan: &Plan, stage: Stage) -> Vec<Finding> {
        match stage {
            Stage::Preflight => self.restore_findings(n, vault, plan),
            Stage::Rehydrate => Vec::new(),
            Stage::Transfer => self.staging_findings(n, vault, plan),
            Stage::Finish => self.target_findings(n, plan).into_iter().chain(self.machine_findings(n, plan)).collect(),
        }
    }

    /// The staging account and the identity that writes to it.
    fn staging_findings(&self, n: &dyn Neighbours, vault: &Vault, plan: &Plan) -> Vec<Finding> {
        let known = &self.settings.restore.findings;
        let Some(account) = n.storage_account(&plan.ask.staging) else { return vec![known.staging_missing.finding()] };
        let mut found: Vec<&Coded> = Vec::new();
        if account.location != plan.ask.region {
            found.push(&known.staging_region);
        }
        // "Blob storage isn't supported."
        if matches!(account.kind.as_str(), "BlobStorage" | "BlockBlobStorage" | "FileStorage") {
            found.push(&known.staging_kind);
        }
        // That geo-zone-redundant accounts count is a guess.
        if account.sku.ends_with("ZRS") {
            found.push(&known.staging_zone_redundant);
        }
        if !account.lets_azure_in {
            found.push(&known.staging_firewalled);
        }
        found.extend(self.identity_finding(n, vault, plan));
        found.into_iter().map(Coded::finding).collect()
    }

    fn identity_finding(&self, n: &dyn Neighbours, vault: &Vault, plan: &Plan) -> Option<&Coded> {
        let known = &self.settings.restore.findings;
        let identity = plan.ask.identity.as_ref()?;
        let Some(principal) = principal(vault, identity) else { return Some(&known.identity_unknown) };
        let staging = STAGING_RIGHTS.iter().all(|(action, right)| n.may(&principal, action, &plan.ask.staging, *right));
        let group = plan.group_id();
        let reaches = self.settings.restore.identity_reach == IdentityReach::Staging
            || group.is_none_or(|group| n.may(&principal, "Microsoft.Compute/disks/write", &group, Right::Control));
        (!staging || !reaches).then_some(&known.identity_denied)
    }

    /// The target group, and what a new machine needs.
    fn target_findings(&self, n: &dyn Neighbours, plan: &Plan) -> Vec<Finding> {
        let known = &self.settings.restore.findings;
        let Some(group) = plan.group_id() else { return Vec::new() };
        if n.group_location(plan.target_subscription(), group_of(&group)).is_none() {
            return vec![known.group_missing.finding()];
        }
        let mut found: Vec<&Coded> = Vec::new();
        let mut types = vec!["Microsoft.Compute/disks"];
        if let Goal::Machine { id, subnet, .. } = &plan.ask.goal {
            types.extend(["Microsoft.Compute/virtualMachines", "Microsoft.Network/networkInterfaces"]);
            if n.exists(id) {
                found.push(&known.target_exists);
            }
            match n.subnet_region(subnet) {
                None => found.push(&known.subnet_missing),
                Some(region) if canonical_location(&region) != plan.ask.region => found.push(&known.subnet_region),
                Some(_) => {}
            }
            let left = n.cores_left(plan.target_subscription(), &plan.ask.region);
            if left.is_some_and(|left| left < cores_of(&plan.taken.size)) {
                found.push(&known.quota);
            }
        }
        let bars = types.into_iter().filter_map(|kind| n.bar(&format!("{group}/providers/{kind}/x"), kind, &plan.taken.tags));
        found.extend(bars.last().map(|bar| match bar {
            Bar::Lock => &known.group_locked,
            Bar::Policy => &known.policy_denied,
        }));
        found.into_iter().map(Coded::finding).collect()
    }

    /// The machine whose disks are to be replaced.
    pub(super) fn machine_findings(&self, n: &dyn Neighbours, plan: &Plan) -> Vec<Finding> {
        let known = &self.settings.restore.findings;
        if plan.ask.goal != Goal::Replace {
            return Vec::new();
        }
        let Some(machine) = n.machine(&plan.source_id) else { return vec![known.machine_gone.finding()] };
        if machine.vm_id != plan.taken.vm_id {
            return vec![known.machine_changed.finding()];
        }
        let off = self.settings.restore.replace_needs == ReplaceNeeds::Any || machine.power_state == "deallocated";
        if off { Vec::new() } else { vec![known.machine_not_off.finding()] }
    }
}

/// The object id of an identity that the vault has.
fn principal(vault: &Vault, identity: &Identity) -> Option<String> {
    let held = vault.identity.as_ref()?;
    match identity {
        Identity::System => held["principalId"].as_str().map(str::to_owned),
        Identity::User(wanted) => {
            let users = held["userAssignedIdentities"].as_object()?;
            let (_, user) = users.iter().find(|(id, _)| id.eq_ignore_ascii_case(wanted))?;
            user["principalId"].as_str().map(str::to_owned)
        }
    }
}
