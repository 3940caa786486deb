//! No object without a next turn.

use std::collections::BTreeMap;

use breakwater_engine::ports::ObjectKey;
use jiff::{SignedDuration, Timestamp};

use super::Verdict;

/// What waits for an edit looks hourly (architecture.md, "Errors"); a sweep may come in between.
const AT_THE_LATEST: SignedDuration = SignedDuration::from_mins(65);

/// Whether every object has a next turn. One that the watch has not shown yet (`unseen`) gets its turn when it does.
///
/// # Errors
/// The object that sleeps.
pub fn check(now: Timestamp, objects: &[ObjectKey], due: &BTreeMap<ObjectKey, Timestamp>, unseen: impl Fn(&ObjectKey) -> bool) -> Verdict {
    for key in objects {
        let who = || format!("{} {}/{}", key.kind, key.namespace, key.name);
        match due.get(key) {
            None if unseen(key) => {}
            None => return Err(format!("{} has no next turn", who())),
            Some(at) if *at > now + AT_THE_LATEST => return Err(format!("{} sleeps until {at}", who())),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(due: Option<&str>, unseen: bool) -> String {
        let key = ObjectKey { kind: "Gadget".into(), namespace: "shop".into(), name: "one".into() };
        let due = due.map(|at| (key.clone(), at.parse().expect("a time"))).into_iter().collect();
        let now = "2026-11-24T08:00:00Z".parse().expect("a time");
        check(now, &[key], &due, |_| unseen).err().unwrap_or_default()
    }

    #[test]
    fn an_object_that_nobody_will_look_at_again_is_told() {
        assert_eq!(said(Some("2026-11-24T08:59:59Z"), false), "");
        assert_eq!(said(Some("2026-11-24T07:59:00Z"), false), "", "others come first");
        assert_eq!(said(None, true), "", "the watch brings it");
        assert!(said(None, false).contains("Gadget shop/one has no next turn"));
        assert!(said(Some("2026-11-24T10:00:00Z"), true).contains("sleeps until"));
    }
}
