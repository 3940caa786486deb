//! Whose a resource is, before it is written: by tag, name and group together, and by what an order says that it is.

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId,
    names::{DISK, LOCATION, RECOVERY_POINT, TAG_RESTORE, VAULT, VIRTUAL_MACHINE},
    wire::{Method, Request},
};
use breakwater_plan::{defence, graph::Ownership};
use jiff::Timestamp;
use serde_json::Value;

use crate::order::{Order, Refusal};

/// Whether what is sent for an item names the machine that the item shows.
fn is_same_machine(item: &Value, sent: Option<&Value>) -> bool {
    let machine = |body: &Value| body.pointer("/properties/sourceResourceId").and_then(Value::as_str)?.parse::<ResourceId>().ok();
    machine(item).is_some_and(|shown| sent.and_then(machine) == Some(shown))
}

/// Where the tags of a resource are written, below it.
const TAGS: &str = "/providers/Microsoft.Resources/tags/default";

/// Who we are: which tags are ours.
pub struct Us {
    /// The estate: it survives the cluster.
    pub estate: String,
    /// The cluster that writes.
    pub writer: String,
}

impl Us {
    /// Ours by tag, name and group together; a tag alone licenses nothing (api.md, "Whose is it?").
    pub fn owned(&self, order: &Order, target: &ResourceId) -> Result<(), Refusal> {
        let deny = |reason, message: String| Err(Refusal::new(reason, message));
        match &order.ownership {
            Ownership::Child => deny(Reason::InternalError, "a Kubernetes child is never sent to Azure".into()),
            Ownership::Tagged { owner } => {
                let resource =
                    if target.resource_type() == *VAULT { target.clone() } else { target.parent().unwrap_or_else(|| target.clone()) };
                let seen = order.vault.as_ref().or(order.evidence.as_ref());
                match seen.and_then(|s| s.what.as_ref()) {
                    None => self.carries_our_tags(order, owner),
                    Some(body) => self.tagged(&resource, body, owner),
                }
            }
            Ownership::TakenOver { owner } => self.marks_only(order, owner, &[defence::TAG_WRITER]),
            Ownership::Adopted { owner } => self.marks_only(order, owner, &[defence::TAG_ESTATE, defence::TAG_OWNER, defence::TAG_WRITER]),
            Ownership::Named { vault, owner, name } => {
                self.vault_is_ours(order, vault, owner)?;
                let ours = target.within(vault)
                    && (target.name().eq_ignore_ascii_case(name) || order.owned.iter().any(|o| o.eq_ignore_ascii_case(target.as_str())));
                if ours { Ok(()) } else { deny(Reason::NotOurs, format!("{target} is not ours by name")) }
            }
            Ownership::Point { vault, owner } => {
                self.vault_is_ours(order, vault, owner)?;
                let is_point = target.within(vault) && target.resource_type() == *RECOVERY_POINT;
                if is_point { Ok(()) } else { deny(Reason::NotOurs, format!("{target} is no recovery point of {vault}")) }
            }
            Ownership::PointInRegion { vault, owner } => {
                self.vault_is_ours(order, vault, owner)?;
                let is_region = target.resource_type() == *LOCATION && target.subscription_id() == vault.subscription_id();
                let of_vault = order.request.body.as_ref().and_then(restored_from).is_some_and(|named| named == *vault);
                let point = |at: &str| order.request.body.as_ref().and_then(|b| b.pointer(at)).and_then(Value::as_str);
                let allowed = point("/crossRegionRestoreAccessDetails/recoveryPointId");
                let same_point = allowed.is_some() && allowed == point("/restoreRequest/recoveryPointId");
                if is_region && of_vault && same_point {
                    return Ok(());
                }
                deny(Reason::NotOurs, format!("what allows the restore at {target} does not name {vault}"))
            }
            Ownership::Confirmed { machine } => {
                let is_it = target == machine && target.resource_type() == *VIRTUAL_MACHINE;
                if is_it { Ok(()) } else { deny(Reason::NotOurs, format!("{target} is not the machine that was confirmed")) }
            }
            Ownership::Restored { group, since, key } => is_mark_of_restore(order, target, (group, *since, key)),
            Ownership::Item { vault, owner, policies } => {
                self.vault_is_ours(order, vault, owner)?;
                let body = order.evidence.as_ref().and_then(|s| s.what.as_ref());
                let policy = body.and_then(|b| b.pointer("/properties/policyId")).and_then(Value::as_str).filter(|p| !p.is_empty());
                let ours = target.within(vault)
                    && match (body, policy) {
                        (None, _) => true,
                        (Some(_), Some(p)) => p.parse::<ResourceId>().is_ok_and(|p| policies.contains(&p)),
                        (Some(body), None) => {
                            let noted = order.owned.iter().any(|o| o.eq_ignore_ascii_case(target.as_str()));
                            noted || (defence::is_left(body) && is_same_machine(body, order.request.body.as_ref()))
                        }
                    };
                if ours { Ok(()) } else { deny(Reason::ForeignPolicy, format!("{target} is under a policy that is not ours")) }
            }
        }
    }

    fn vault_is_ours(&self, order: &Order, vault: &ResourceId, owner: &str) -> Result<(), Refusal> {
        match order.vault.as_ref().and_then(|s| s.what.as_ref()) {
            Some(body) => self.tagged(vault, body, owner),
            None => Err(Refusal::new(Reason::DependencyNotReady, format!("{vault} was not seen in this turn"))),
        }
    }

    fn tagged(&self, id: &ResourceId, body: &Value, owner: &str) -> Result<(), Refusal> {
        match defence::tag_owner(body, &self.estate, owner, &self.writer) {
            defence::TagOwner::Ours => Ok(()),
            defence::TagOwner::OtherWriter(other) => Err(Refusal::new(
                Reason::OwnedByOtherCluster,
                format!("{id} carries the writer tag of another cluster ({other}): nothing is written"),
            )),
            defence::TagOwner::NotOurs => Err(Refusal::new(Reason::NotOurs, format!("{id} exists and does not carry our tags"))),
        }
    }

    /// A vault that is not ours yet gets our marks, merged, and nothing else: the writer's where it is ours by estate and owner,
    /// all of them where nobody has marked it.
    fn marks_only(&self, order: &Order, owner: &str, marks: &[&str]) -> Result<(), Refusal> {
        // The vault as the last look saw it, where there was one: another cluster may have taken it over meanwhile.
        let body = order.vault.as_ref().or(order.evidence.as_ref()).and_then(|s| s.what.as_ref());
        let state = body.map(|b| (defence::tag_owner(b, &self.estate, owner, &self.writer), defence::is_marked(b)));
        let may = match state {
            Some((defence::TagOwner::OtherWriter(_), _)) => marks.len() == 1,
            Some((defence::TagOwner::NotOurs, false)) => marks.len() == 3,
            _ => false,
        };
        let value = |mark: &str| match mark {
            defence::TAG_ESTATE => self.estate.as_str(),
            defence::TAG_OWNER => owner,
            _ => self.writer.as_str(),
        };
        let sent = order.request.body.as_ref().and_then(|b| b.pointer("/properties/tags")).and_then(Value::as_object);
        let only = sent
            .is_some_and(|tags| tags.len() == marks.len() && marks.iter().all(|m| tags.get(*m).and_then(Value::as_str) == Some(value(m))));
        let is_merge = order.request.method == Method::Patch && order.request.path.ends_with(TAGS);
        if may && only && is_merge {
            return Ok(());
        }
        Err(Refusal::new(Reason::NotOurs, format!("{} is not ours, and more than our marks would be written", order.request.path)))
    }

    fn carries_our_tags(&self, order: &Order, owner: &str) -> Result<(), Refusal> {
        let body = order.request.body.clone().unwrap_or_default();
        match defence::tag_owner(&body, &self.estate, owner, &self.writer) {
            defence::TagOwner::Ours => Ok(()),
            _ => Err(Refusal::new(Reason::InternalError, "a new resource must carry our tags")),
        }
    }
}

/// The vault whose point is restored in another region: what allows it names it in three parts; its `resourceId` there is a number
/// (recorded: crr_restore__202_poll_job.json).
pub fn restored_from(body: &Value) -> Option<ResourceId> {
    let details = body.get("crossRegionRestoreAccessDetails")?;
    let text = |field: &str| details.get(field).and_then(Value::as_str);
    let (subscription, group, name) = (text("subscriptionId")?, text("resourceGroupName")?, text("resourceName")?);
    ResourceId::group(subscription, group).ok()?.resource(VAULT, name).ok()
}

/// What a restore made gets the tag that names the restore, merged, and nothing else; what was there before gets nothing.
fn is_mark_of_restore(order: &Order, target: &ResourceId, (group, since, key): (&ResourceId, Timestamp, &str)) -> Result<(), Refusal> {
    let Request { method, path, body, .. } = &order.request;
    let is_merge = *method == Method::Patch && path.ends_with(TAGS);
    let tags = body.as_ref().and_then(|b| b.pointer("/properties/tags")).and_then(Value::as_object);
    let only = tags.is_some_and(|tags| tags.len() == 1 && tags.get(TAG_RESTORE).and_then(Value::as_str) == Some(key));
    let may_bear = target.parent().is_some_and(|bearer| {
        let kind = bearer.resource_type();
        (kind == *VIRTUAL_MACHINE || kind == *DISK) && bearer.within(group)
    });
    let made = order.evidence.as_ref().and_then(|s| s.what.as_deref()).and_then(defence::made_at);
    if is_merge && only && may_bear && made.is_some_and(|at| at >= since) {
        return Ok(());
    }
    Err(Refusal::new(Reason::NotOurs, format!("{path} is not the mark of a restore on what it made in {group}")))
}
