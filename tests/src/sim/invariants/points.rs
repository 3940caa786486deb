//! No recovery point lost, no retention shortened, no defence lowered.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Verdict,
    leave::{Allowed, Leave},
    truth::{Item, Truth, text},
};

/// Days by rule: `Daily`, `Weekly`, ... and `Instant`.
type Retention = BTreeMap<&'static str, i64>;

/// What was promised so far.
#[derive(Clone, Default)]
pub struct Points {
    defences: BTreeMap<String, BTreeMap<&'static str, i64>>,
    retentions: BTreeMap<String, Retention>,
    items: BTreeMap<String, Held>,
}

/// An item, with its points and until when each was promised to be kept.
#[derive(Clone)]
struct Held {
    policy: String,
    standing: Standing,
    points: BTreeMap<String, Timestamp>,
}

/// How well an item is kept, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Protected,
    Stopped,
    Deleted,
}

impl Standing {
    fn of(item: &Value) -> Self {
        if item.pointer("/properties/isScheduledForDeferredDelete") == Some(&Value::Bool(true)) {
            return Standing::Deleted;
        }
        let stopped = matches!(text(item, "/properties/protectionState"), "ProtectionStopped" | "BackupsSuspended");
        if stopped { Standing::Stopped } else { Standing::Protected }
    }
}

impl Points {
    /// Compares what is with what was promised.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn look(&mut self, now: Timestamp, truth: &Truth, leave: &Leave) -> Verdict {
        self.went(truth, leave);
        if let Some(gone) = self.defences.keys().find(|id| !truth.vaults.contains_key(*id)) {
            return Err(format!("vault {gone} is gone"));
        }
        let policies = truth.vaults.values().flat_map(|vault| vault.policies.keys());
        let policies: std::collections::BTreeSet<&String> = policies.collect();
        if let Some(gone) = self.retentions.keys().find(|id| !policies.contains(id)) {
            return Err(format!("policy {gone} is gone"));
        }
        let items = |id: &String| truth.vaults.values().any(|vault| vault.items.contains_key(id));
        if let Some(gone) = self.items.keys().find(|id| !items(id)) {
            return Err(format!("item {gone} is gone, with {} points", self.items[gone].points.len()));
        }
        for (id, vault) in &truth.vaults {
            self.defended(id, &vault.body)?;
            vault.policies.iter().try_for_each(|(id, body)| self.retained(id, body, leave))?;
            vault.items.iter().try_for_each(|(id, item)| self.kept(now, id, item, truth, leave))?;
        }
        Ok(())
    }

    /// Somebody else changed Azure, or a test did: from here on this is what was promised.
    pub fn accept(&mut self, now: Timestamp, truth: &Truth) {
        *self = Points::default();
        let _ = self.look(now, truth, &Leave::default());
    }

    /// What went with leave: an empty vault with its policies, a policy that protected nothing. Items never go.
    fn went(&mut self, truth: &Truth, leave: &Leave) {
        let held: Vec<String> = self.items.keys().cloned().collect();
        let empty = |id: &str| !held.iter().any(|item| item.starts_with(&format!("{id}/")));
        let gone: Vec<String> = self.defences.keys().filter(|id| !truth.vaults.contains_key(*id)).cloned().collect();
        let removed = |id: &String| leave.given(id).is_some_and(Allowed::removes);
        for vault in gone.iter().filter(|id| removed(id) && empty(id)) {
            self.defences.remove(vault);
            self.retentions.retain(|policy, _| !policy.starts_with(&format!("{vault}/")));
        }
        let stands = |id: &String| truth.vaults.values().any(|vault| vault.policies.contains_key(id));
        let used = |id: &String| self.items.values().any(|held| held.policy == *id);
        let gone: Vec<String> = self.retentions.keys().filter(|id| !stands(id) && removed(id) && !used(id)).cloned().collect();
        self.retentions.retain(|id, _| !gone.contains(id));
    }

    fn defended(&mut self, id: &str, body: &Value) -> Verdict {
        let kept = self.defences.entry(id.to_owned()).or_default();
        for (name, value) in strengths(body) {
            let before = kept.insert(name, value).unwrap_or(i64::MIN);
            if value < before {
                return Err(format!("{name} of {id} went from {before} to {value}"));
            }
        }
        Ok(())
    }

    fn retained(&mut self, id: &str, body: &Value, leave: &Leave) -> Verdict {
        let now = retention(body);
        let before = self.retentions.insert(id.to_owned(), now.clone()).unwrap_or_default();
        // Down to what was agreed to, and no further.
        let agreed = leave.given(id).filter(|allowed| !allowed.removes()).map(|allowed| retention(allowed.body()));
        let is_agreed = agreed.is_some_and(|agreed| shortened(&agreed, &now).is_none());
        shortened(&before, &now).filter(|_| !is_agreed).map_or(Ok(()), |what| Err(format!("policy {id} keeps shorter: {what}")))
    }

    fn kept(&mut self, now: Timestamp, id: &str, item: &Item, truth: &Truth, leave: &Leave) -> Verdict {
        let policy = text(&item.body, POLICY).to_ascii_lowercase();
        let standing = Standing::of(&item.body);
        let retention = truth.policy(&policy).map(retention).unwrap_or_default();
        let held = self.items.entry(id.to_owned()).or_insert_with(|| Held { policy: policy.clone(), standing, points: BTreeMap::new() });
        let own = leave.given(id).filter(|allowed| !allowed.removes());
        let moved = own.is_some_and(|allowed| text(allowed.body(), POLICY).eq_ignore_ascii_case(&policy));
        // Points may end earlier where what was agreed to comes true, of their item or of its policy, and only then.
        let eased = own.is_some_and(|allowed| stands_as_asked(allowed, item))
            || leave.given(&policy).is_some_and(|a| keeps_as_asked(a, &retention));
        let worse = standing > std::mem::replace(&mut held.standing, standing);
        if worse && !(own.is_some_and(stops) && standing == Standing::Stopped) {
            return Err(format!("protection of {id} was stopped"));
        }
        if held.policy != policy {
            let before = self.retentions.get(&held.policy).cloned().unwrap_or_default();
            if let Some(what) = shortened(&before, &retention).filter(|_| !moved) {
                return Err(format!("{id} moved from {} to {policy}, which keeps shorter: {what}", held.policy));
            }
            held.policy = policy;
        }
        let lost = held.points.iter().find(|(name, until)| !eased && !item.points.contains_key(*name) && **until > now);
        if let Some((name, until)) = lost {
            return Err(format!("point {name} of {id} is gone, promised until {until}"));
        }
        held.points.retain(|name, _| item.points.contains_key(name));
        for (name, point) in &item.points {
            let until = promised(point, &retention);
            let before = held.points.insert(name.clone(), until).unwrap_or(Timestamp::MIN);
            if until < before && !eased {
                return Err(format!("point {name} of {id} was promised until {before}, now {until}"));
            }
        }
        Ok(())
    }
}

/// Where an item names its policy.
const POLICY: &str = "/properties/policyId";

/// Whether what somebody agreed to is as it was asked for: from then on it allows nothing more. Of what else may be written
/// with leave nothing is promised here.
pub fn came_true(id: &str, allowed: &Allowed, truth: &Truth) -> bool {
    let item = truth.vaults.values().find_map(|vault| vault.items.get(id));
    match (truth.policy(id), item) {
        _ if allowed.removes() => !truth.vaults.contains_key(id) && truth.policy(id).is_none() && item.is_none(),
        (Some(policy), _) => keeps_as_asked(allowed, &retention(policy)),
        (None, Some(item)) => stands_as_asked(allowed, item),
        (None, None) => true,
    }
}

fn keeps_as_asked(allowed: &Allowed, now: &Retention) -> bool {
    !allowed.removes() && retention(allowed.body()) == *now
}

fn stands_as_asked(allowed: &Allowed, item: &Item) -> bool {
    match Standing::of(&item.body) {
        Standing::Stopped => stops(allowed),
        Standing::Protected => !stops(allowed) && text(allowed.body(), POLICY).eq_ignore_ascii_case(text(&item.body, POLICY)),
        Standing::Deleted => false,
    }
}

fn stops(allowed: &Allowed) -> bool {
    matches!(text(allowed.body(), "/properties/protectionState"), "ProtectionStopped" | "BackupsSuspended")
}

/// Until when a point is kept: as it says itself; of one that does not say it (backup.md §12.1: not in the vault yet, or asked
/// for by hand) no more is held than the days of its snapshot.
fn promised(point: &Value, retention: &Retention) -> Timestamp {
    let time = |pointer: &str| {
        let text = text(point, pointer).split(['.', 'Z', '+']).next().unwrap_or_default();
        format!("{text}Z").parse::<Timestamp>().ok()
    };
    let taken = time("/properties/recoveryPointTime").unwrap_or(Timestamp::MIN);
    let days = retention.get("Instant").copied().unwrap_or(1);
    time("/properties/recoveryPointProperties/expiryTime").unwrap_or(taken + SignedDuration::from_hours(24 * days))
}

/// How long a policy keeps, by rule, in days.
fn retention(policy: &Value) -> Retention {
    let rules = [("Daily", "dailySchedule"), ("Weekly", "weeklySchedule"), ("Monthly", "monthlySchedule"), ("Yearly", "yearlySchedule")];
    let days = |field: &str| {
        let duration = policy.pointer(&format!("/properties/retentionPolicy/{field}/retentionDuration"))?;
        let unit = match text(duration, "/durationType") {
            "Weeks" => 7,
            "Months" => 30,
            "Years" => 365,
            _ => 1,
        };
        Some(duration.get("count")?.as_i64()? * unit)
    };
    let mut kept: Retention = rules.into_iter().filter_map(|(rule, field)| Some((rule, days(field)?))).collect();
    kept.extend(policy.pointer("/properties/instantRpRetentionRangeInDays").and_then(Value::as_i64).map(|days| ("Instant", days)));
    kept
}

/// The first rule that is gone or keeps less than before.
fn shortened(before: &Retention, after: &Retention) -> Option<String> {
    let less = |(rule, days): (&&'static str, &i64)| {
        let now = after.get(rule).copied().unwrap_or(0);
        (now < *days).then(|| format!("{rule} from {days} to {now} days"))
    };
    before.iter().find_map(less)
}

fn strengths(vault: &Value) -> Vec<(&'static str, i64)> {
    let word = |pointer: &str| text(vault, pointer).to_ascii_lowercase();
    let rank = |text: &str, order: &[&str]| order.iter().position(|w| *w == text).map_or(0, |at| at as i64);
    let security = "/properties/securitySettings";
    let days = vault.pointer(&format!("{security}/softDeleteSettings/softDeleteRetentionPeriodInDays")).and_then(Value::as_i64);
    vec![
        ("immutability", rank(&word(&format!("{security}/immutabilitySettings/state")), &["disabled", "unlocked", "locked"])),
        ("cross-region restore", rank(&word("/properties/redundancySettings/crossRegionRestore"), &["disabled", "enabled"])),
        ("soft delete", rank(&word(&format!("{security}/softDeleteSettings/softDeleteState")), &["disabled", "enabled", "alwayson"])),
        ("soft delete days", days.unwrap_or(0)),
        ("public network access", rank(&word("/properties/publicNetworkAccess"), &["enabled", "disabled"])),
        (
            "redundancy",
            rank(
                &word("/properties/redundancySettings/standardTierStorageRedundancy"),
                &["locallyredundant", "zoneredundant", "georedundant"],
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::invariants::truth::Vault;

    const NOW: &str = "2026-11-24T08:00:00Z";

    fn policy(days: i64) -> Value {
        json!({"properties": {"instantRpRetentionRangeInDays": 2, "retentionPolicy": {
            "dailySchedule": {"retentionDuration": {"count": days, "durationType": "Days"}}}}})
    }

    /// A vault with a long and a short policy, and an item with one point of yesterday.
    fn truth() -> Truth {
        let point = json!({"properties": {"recoveryPointTime": "2026-11-23T08:00:00.1Z",
            "recoveryPointProperties": {"expiryTime": "2026-12-23T08:00:00.1"}}});
        let body = json!({"properties": {"policyId": "/V/P", "protectionState": "Protected"}});
        let item = Item { body, points: [("p1".to_owned(), point)].into() };
        let vault = Vault {
            body: json!({"properties": {"publicNetworkAccess": "Disabled", "redundancySettings": {
                "standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled"}, "securitySettings": {
                "immutabilitySettings": {"state": "Unlocked"},
                "softDeleteSettings": {"softDeleteState": "Enabled", "softDeleteRetentionPeriodInDays": 30}}}}),
            policies: [("/v/p".to_owned(), policy(30)), ("/v/short".to_owned(), policy(7))].into(),
            items: [("/v/i".to_owned(), item)].into(),
            jobs: Vec::new(),
        };
        Truth { vaults: [("/v".to_owned(), vault)].into() }
    }

    fn vault(truth: &mut Truth) -> &mut Vault {
        truth.vaults.get_mut("/v").expect("the vault")
    }

    fn item(truth: &mut Truth) -> &mut Item {
        vault(truth).items.get_mut("/v/i").expect("the item")
    }

    /// What is said when the world turns from `truth()` into the changed one.
    fn said(at: &str, change: impl FnOnce(&mut Truth)) -> String {
        let (mut points, mut world) = (Points::default(), truth());
        points.look(NOW.parse().unwrap(), &world, &Leave::default()).expect("nothing was promised yet");
        change(&mut world);
        points.look(at.parse().unwrap(), &world, &Leave::default()).err().unwrap_or_default()
    }

    #[test]
    fn a_world_that_stays_or_gets_stronger_breaks_nothing() {
        assert_eq!(said(NOW, |_| {}), "");
        assert_eq!(said(NOW, |t| vault(t).body["properties"]["securitySettings"]["immutabilitySettings"]["state"] = json!("Locked")), "");
        assert_eq!(said(NOW, |t| drop(vault(t).policies.insert("/v/p".into(), policy(31)))), "");
    }

    #[test]
    fn a_point_that_is_gone_before_its_time_is_told_and_one_past_it_is_not() {
        assert!(said(NOW, |t| item(t).points.clear()).contains("point p1 of /v/i is gone"));
        assert_eq!(said("2026-12-23T08:00:01Z", |t| item(t).points.clear()), "");
    }

    #[test]
    fn whatever_lets_points_expire_earlier_is_told() {
        let earlier = json!("2026-12-01T08:00:00.1");
        let expiry = |t: &mut Truth| item(t).points.get_mut("p1").unwrap()["properties"]["recoveryPointProperties"]["expiryTime"] = earlier;
        assert!(said(NOW, expiry).contains("was promised until"));
        assert!(said(NOW, |t| drop(vault(t).policies.insert("/v/p".into(), policy(29)))).contains("Daily from 30 to 29 days"));
        assert!(said(NOW, |t| item(t).body["properties"]["policyId"] = json!("/v/short")).contains("which keeps shorter"));
        assert!(said(NOW, |t| item(t).body["properties"]["protectionState"] = json!("ProtectionStopped")).contains("stopped"));
        assert!(said(NOW, |t| item(t).body["properties"]["isScheduledForDeferredDelete"] = json!(true)).contains("stopped"));
        assert!(said(NOW, |t| vault(t).items.clear()).contains("item /v/i is gone"));
        assert!(said(NOW, |t| drop(vault(t).policies.remove("/v/short"))).contains("policy /v/short is gone"));
        assert!(said(NOW, |t| t.vaults.clear()).contains("vault /v is gone"));
    }

    #[test]
    fn a_defence_that_is_lowered_is_told() {
        let set = |field: &'static str, name: &'static str, value: Value| {
            said(NOW, move |t| vault(t).body["properties"]["securitySettings"][field][name] = value)
        };
        assert!(set("immutabilitySettings", "state", json!("Disabled")).contains("immutability of /v"));
        assert!(set("softDeleteSettings", "softDeleteState", json!("Disabled")).contains("soft delete of /v"));
        assert!(set("softDeleteSettings", "softDeleteRetentionPeriodInDays", json!(14)).contains("soft delete days"));
        let redundancy = |name: &'static str, word: &str| {
            let word = json!(word);
            said(NOW, move |t| vault(t).body["properties"]["redundancySettings"][name] = word)
        };
        assert!(redundancy("crossRegionRestore", "Disabled").contains("cross-region restore of /v"));
        for weaker in ["ZoneRedundant", "LocallyRedundant"] {
            assert!(redundancy("standardTierStorageRedundancy", weaker).contains("redundancy of /v"), "{weaker}");
        }
        let opened = said(NOW, |t| vault(t).body["properties"]["publicNetworkAccess"] = json!("Enabled"));
        assert!(opened.contains("public network access of /v"), "{opened}");
    }
}
