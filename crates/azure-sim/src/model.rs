//! The whole state that a request reads and writes: the world and Recovery Services beside it. It can be cloned, which
//! is how lists answer as of earlier.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    arm::{
        deployments, errors,
        locks::covers,
        operations::{Effect, Rig, long_time},
        tags,
    },
    path::{Target, split_url},
    recovery,
    wire::{Inbound, Reply},
    world::World,
};

/// World and Recovery Services.
#[derive(Clone)]
pub struct Model {
    /// Everything but Recovery Services.
    pub world: World,
    /// Recovery Services.
    pub recovery: recovery::State,
}

impl Model {
    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.world.next_event().into_iter().chain(self.recovery.next_event()).min()
    }

    /// Lets time pass, event by event.
    pub fn advance(&mut self, to: Timestamp) {
        // Every event moves the state on, so the loop ends; one that stays due at the same instant is a bug in its owner.
        let mut last = None;
        while let Some(at) = self.next_event().filter(|at| *at <= to && last != Some(*at)) {
            self.reach(at.max(self.world.now));
            last = Some(at);
        }
        self.reach(to.max(self.world.now));
    }

    fn reach(&mut self, now: Timestamp) {
        self.world.now = now;
        let groups = self.world.groups.len();
        self.world.settle_operations();
        if self.world.groups.len() < groups {
            self.drop_stranded_vaults();
        }
        self.recover(now);
        deployments::advance(self);
    }

    /// Lets Recovery Services go on, and its restores make what they make, event by event.
    fn recover(&mut self, now: Timestamp) {
        while self.recovery.step(&self.world, now) {
            self.carry_out();
        }
        self.recovery.advance(&self.world, now);
    }

    /// Makes what restores ordered.
    fn carry_out(&mut self) {
        for order in self.recovery.take_orders() {
            self.world.carry_out(order);
        }
    }

    /// Hands a request to Recovery Services. Tags of vaults are Resource Manager's: they are stored first, so that the
    /// answer shows them, and put back when the request is refused.
    pub fn recovery_services(&mut self, req: &Inbound, target: &Target) -> Reply {
        let whole_vault = target.type_path() == "vaults" && target.names.len() == 1 && target.verb.is_none();
        let writes = matches!(req.method.as_str(), "PUT" | "PATCH");
        if !(whole_vault && writes) {
            return self.recovery.handle(&self.world, req);
        }
        if let Err(refusal) = tags::check_body(&req.body) {
            return refusal;
        }
        let id = target.resource_id();
        let before = self.world.tags.get(&id.to_ascii_lowercase()).cloned();
        tags::take_from_body(&mut self.world, &id, req);
        let reply = self.recovery.handle(&self.world, req);
        if reply.status >= 300 {
            match before {
                Some(before) => drop(self.world.tags.insert(id.to_ascii_lowercase(), before)),
                None => drop(self.world.tags.remove(&id.to_ascii_lowercase())),
            }
        }
        reply
    }

    /// The vaults of the addressed subscription or group, as the list of all resources shows them.
    pub fn vaults(&self, target: &Target, expand: &str) -> Vec<Value> {
        let scope = match (&target.subscription, &target.group) {
            (Some(subscription), Some(group)) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
            (subscription, _) => format!("/subscriptions/{}", subscription.as_deref().unwrap_or_default()),
        };
        let vaults = self.recovery.resources(&self.world).into_iter().filter(|vault| covers(&scope, &vault.id));
        let shown = vaults.map(|vault| {
            let name = vault.id.rsplit('/').next().unwrap_or_default();
            let mut item = json!({"id": vault.id, "name": name, "type": vault.kind, "location": vault.location, "sku": {"name": "RS0", "tier": "Standard"}});
            if !vault.tags.is_empty() {
                item["tags"] = json!(vault.tags);
            }
            let times = [("createdTime", long_time(vault.created)), ("changedTime", long_time(vault.changed)), ("provisioningState", "Succeeded".to_owned())];
            for (word, value) in times {
                if expand.contains(&word.to_ascii_lowercase()) {
                    item[word] = json!(value);
                }
            }
            item
        });
        shown.collect()
    }

    /// Whether what an extension resource (tags, a lock) hangs on exists.
    pub fn scope_exists(&self, scope: &[String]) -> Result<(), Reply> {
        let target = Target::read("GET", scope);
        let subscription = target.subscription.clone().unwrap_or_default();
        let Some(group) = target.group.clone() else { return Ok(()) };
        if self.world.group(&subscription, &group).is_none() {
            return Err(errors::group_not_found(&group));
        }
        let Some(namespace) = target.namespace.clone() else { return Ok(()) };
        let id = target.resource_id();
        let found = if namespace.eq_ignore_ascii_case("Microsoft.RecoveryServices") {
            self.recovery.has_vault(&id)
        } else {
            self.world.resource(&id).is_some()
        };
        let type_name = format!("{namespace}/{}", target.types.join("/"));
        if found { Ok(()) } else { Err(errors::resource_not_found(&type_name, &target.names.join("/"), &group)) }
    }

    /// A group takes its vaults along.
    fn drop_stranded_vaults(&mut self) {
        for vault in self.recovery.resources(&self.world) {
            let target = Target::read("GET", &split_url(&vault.id).0);
            let (subscription, group) = (target.subscription.unwrap_or_default(), target.group.unwrap_or_default());
            if self.world.group(&subscription, &group).is_none() {
                // It may be gone already where lists lag.
                let _ = self.recovery.remove(&vault.id);
            }
        }
    }

    /// A group with vaults that cannot be deleted cannot be deleted: its operation ends blocked. Simplified: Azure would
    /// delete whatever else it can first, and what a vault takes up after the request was accepted is not looked at.
    pub fn block_group_deletion(&mut self, target: &Target) {
        let mut vaults = self.vaults(target, "");
        vaults.retain(|vault| vault["id"].as_str().is_some_and(|id| !self.recovery.is_deletable(id)));
        if vaults.is_empty() {
            return;
        }
        let group = target.group.clone().unwrap_or_default();
        let names: Vec<String> = vaults
            .iter()
            .map(|vault| format!("Microsoft.RecoveryServices/vaults/{}", vault["name"].as_str().unwrap_or_default()))
            .collect();
        let message = format!(
            "Deletion of resource group '{group}' failed as resources with identifiers '{}' could not be deleted. The provisioning state of \
             the resource group will be rolled back.",
            names.join(",")
        );
        for operation in self.world.operations.values_mut().filter(|op| op.effect == Effect::RemoveGroup && op.ended.is_none()) {
            if operation.subject.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(&group)) {
                operation.rig = Some(Rig::Failed { code: "ResourceGroupDeletionBlocked".to_owned(), message: message.clone() });
            }
        }
    }
}
