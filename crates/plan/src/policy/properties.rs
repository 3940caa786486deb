use breakwater_api::BackupPolicySpec;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{tests::spec, *};

const ZONES: [&str; 7] =
    ["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn time() -> impl Strategy<Value = String> {
    (0..24, prop::bool::ANY).prop_map(|(hour, half)| format!("{hour:02}:{}", if half { "30" } else { "00" }))
}

fn some_days() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(DAYS.to_vec(), 1..=7)
}

fn schedule() -> impl Strategy<Value = (Value, Option<Vec<&'static str>>)> {
    prop_oneof![
        time().prop_map(|at| (json!({ "daily": { "at": at } }), None)),
        (some_days(), time()).prop_map(|(days, at)| (json!({ "weekly": { "days": days, "at": at } }), Some(days))),
        (prop::sample::select(vec![4i32, 6, 8, 12]), 1..=6i32, time()).prop_map(|(every, times, from)| (
            json!({ "hourly": { "every": format!("{every}h"), "from": from, "for": format!("{}h", every * times.min(24 / every)) } }),
            None
        )),
    ]
}

/// Specs that Azure takes.
fn valid() -> impl Strategy<Value = BackupPolicySpec> {
    let when =
        (1..=28, prop::bool::ANY).prop_map(|(date, last)| if last { json!({ "days": [date, "last"] }) } else { json!({ "days": [date] }) });
    let rules = (7..400, 1..100, prop::option::of((1..60, when.clone())), prop::option::of((1..10, when)), prop::option::of(1..=5));
    (schedule(), prop::sample::select(ZONES.to_vec()), rules, prop::bool::ANY).prop_map(
        |((schedule, days), zone, (daily, weekly, monthly, yearly, instant), enhanced)| {
            let mut retention = json!({});
            match &days {
                None => retention["daily"] = json!({ "keep": format!("{daily}d") }),
                Some(days) => retention["weekly"] = json!({ "keep": weekly, "days": days }),
            }
            let by_week = json!({ "week": "Last", "day": days.as_ref().map_or("Sunday", |d| d[0]) });
            let on = |when: Value| if days.is_some() { by_week.clone() } else { when };
            if let Some((keep, when)) = monthly {
                retention["monthly"] = json!({ "keep": keep, "when": on(when) });
            }
            if let Some((keep, when)) = yearly {
                retention["yearly"] = json!({ "keep": keep, "months": ["May", "January"], "when": on(when) });
            }
            if let Some(instant) = instant {
                retention["instantRestoreDays"] = json!(if days.is_some() { 5 } else { instant });
            }
            let tier = if enhanced || !schedule["hourly"].is_null() { "Enhanced" } else { "Standard" };
            spec(json!({ "schedule": schedule, "timeZone": zone, "retention": retention, "tier": tier }))
        },
    )
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (1_767_225_600i64..1_798_761_600).prop_map(|second| Timestamp::from_second(second).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sent_comes_back_as_no_difference(spec in valid()) {
        prop_assert_eq!(check(&spec), vec![]);
        let body = to_azure(&spec).unwrap();
        prop_assert_eq!(differences(&spec, &body), Ok(vec![]));
        prop_assert_eq!(merged(&body, &spec).unwrap(), body);
    }

    #[test]
    fn a_merge_leaves_nothing_to_do_and_keeps_what_it_does_not_know(old in valid(), new in valid()) {
        let mut echoed = to_azure(&old).unwrap();
        echoed["properties"]["tomorrow"] = json!({ "a": 1 });
        echoed["properties"]["schedulePolicy"]["tomorrow"] = json!(2);
        let after = merged(&echoed, &new).unwrap();
        prop_assert_eq!(differences(&new, &after), Ok(vec![]));
        prop_assert_eq!(&after["properties"]["tomorrow"], &json!({ "a": 1 }));
        prop_assert_eq!(&after["properties"]["schedulePolicy"]["tomorrow"], &json!(2));
        prop_assert_eq!(merged(&after, &new).unwrap(), after);
    }

    #[test]
    fn nothing_weakens_itself_and_a_change_that_weakens_differs(old in valid(), new in valid()) {
        let (from, to) = (to_azure(&old).unwrap(), to_azure(&new).unwrap());
        prop_assert_eq!(weakens(&from, &from), vec![]);
        if !weakens(&from, &to).is_empty() {
            prop_assert_ne!(&from, &to);
        }
        if weakens(&from, &to).is_empty() && weakens(&to, &from).is_empty() {
            prop_assert_eq!(&from["properties"]["policyType"], &to["properties"]["policyType"]);
        }
    }

    #[test]
    fn no_wait_between_two_backups_is_longer_than_the_largest_gap(spec in valid(), from in moment()) {
        let gap = largest_gap(&spec).unwrap();
        let mut last = next_backup(&spec, from).unwrap();
        for _ in 0..12 {
            let next = next_backup(&spec, last).unwrap();
            prop_assert!(next > last);
            prop_assert!(next.duration_since(last) <= gap, "{} to {} is longer than {:?}", last, next, gap);
            last = next;
        }
        if let Some(hourly) = &spec.schedule.hourly {
            prop_assert!(gap >= hourly.every.as_signed());
        } else {
            prop_assert!(gap >= SignedDuration::from_hours(24));
        }
    }
}
