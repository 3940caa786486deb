//! What a change of a policy would weaken: points that would expire earlier, or be made less often.

use std::fmt;

use serde_json::Value;

use super::{
    cadence::Cadence,
    shape::{Part, Rule, Shape},
};
use crate::zones;

/// One field that would become weaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakening {
    /// The field, below `spec`.
    pub field: &'static str,
    /// What is in force, in words.
    pub from: String,
    /// What would be, in words.
    pub to: String,
}

impl fmt::Display for Weakening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.field, self.from, self.to)
    }
}

/// What `new` does less than `old`: a shorter life of any point, a rule gone or with fewer points, fewer days of instant
/// restore, a thinner schedule, a lower tier, less consistency. What cannot be read counts as weaker when it changes.
pub fn weakens(old: &Value, new: &Value) -> Vec<Weakening> {
    let (old, new) = (Shape::read(old), Shape::read(new));
    let mut found = Vec::new();
    let mut weaker = |field: &'static str, from: &dyn ToString, to: &dyn ToString| {
        found.push(Weakening { field, from: from.to_string(), to: to.to_string() });
    };
    if old.enhanced && !new.enhanced {
        weaker("tier", &"Enhanced", &"Standard");
    }
    if is_thinner(&old, &new) {
        weaker("schedule", &old.schedule, &new.schedule);
    }
    for (field, from, to) in [
        ("retention.daily", &old.daily, &new.daily),
        ("retention.weekly", &old.weekly, &new.weekly),
        ("retention.monthly", &old.monthly, &new.monthly),
        ("retention.yearly", &old.yearly, &new.yearly),
    ] {
        if is_shorter(from, to) {
            weaker(field, from, to);
        }
    }
    if let Some(from) = old.instant_days
        && new.instant_days.is_none_or(|to| to < from)
    {
        weaker("retention.instantRestoreDays", &from, &new.instant_days.map_or("none".to_owned(), |to| to.to_string()));
    }
    if new.crash_only && !old.crash_only {
        weaker("consistency", &"as consistent as the machine allows", &"crash consistent only");
    }
    found
}

fn is_shorter(old: &Part<Rule>, new: &Part<Rule>) -> bool {
    match (old, new) {
        (Part::Absent, _) => false,
        (Part::Read(old), Part::Read(new)) => new.days() < old.days() || !new.of.is_superset(&old.of),
        (old, new) => old != new,
    }
}

/// Fewer backups in a week, or a longer wait between two of them.
fn is_thinner(old: &Shape, new: &Shape) -> bool {
    match (&old.schedule, &new.schedule) {
        (Part::Absent, _) => false,
        (Part::Read(before), Part::Read(after)) => {
            let gap = |cadence: &Cadence, shape: &Shape| {
                let zone = shape.zone.as_deref().and_then(zones::windows_zone).unwrap_or(jiff::tz::TimeZone::UTC);
                cadence.largest_gap(&zone)
            };
            before != after && (after.per_week() < before.per_week() || is_longer(gap(after, new), gap(before, old)))
        }
        (old, new) => old != new,
    }
}

/// Another zone's change of the clock is no thinner schedule: up to an hour more is the same.
fn is_longer(after: jiff::SignedDuration, before: jiff::SignedDuration) -> bool {
    after > before + jiff::SignedDuration::from_hours(1)
}
