use breakwater_api::BackupPolicySpec;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;

/// A spec from its JSON, over a plain daily one; a null takes a field away.
pub(super) fn spec(changes: Value) -> BackupPolicySpec {
    let mut whole = json!({ "vaultRef": { "name": "main" }, "schedule": { "daily": { "at": "02:00" } }, "timeZone": "Europe/Amsterdam",
                            "retention": { "daily": { "keep": "30d" } } });
    for (name, value) in changes.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    serde_json::from_value(whole).unwrap()
}

fn weekly(days: Value) -> Value {
    json!({ "schedule": { "weekly": { "days": days, "at": "22:30" } }, "retention": { "weekly": { "keep": 12, "days": days } } })
}

fn hourly(every: &str, from: &str, window: &str) -> Value {
    json!({ "schedule": { "hourly": { "every": every, "from": from, "for": window } } })
}

fn and(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

#[test]
fn what_azure_would_refuse_is_refused_with_the_field_and_the_reason() {
    let first = || json!({ "week": "First", "day": "Sunday" });
    let keep = |retention: Value| json!({ "retention": and(json!({ "daily": { "keep": "30d" } }), retention) });
    let cases = [
        (json!({ "schedule": {} }), "schedule", "exactly one"),
        (json!({ "schedule": { "daily": { "at": "02:15" } } }), "schedule.daily.at", "full and half hours"),
        (hourly("5h", "08:00", "10h"), "schedule.hourly.every", "4h, 6h, 8h or 12h"),
        (hourly("90m", "08:00", "10h"), "schedule.hourly.every", "4h, 6h, 8h or 12h"),
        (hourly("6h", "08:00", "10h"), "schedule.hourly.for", "multiple of 6h"),
        (hourly("12h", "08:00", "36h"), "schedule.hourly.for", "multiple of 12h"),
        (hourly("4h", "08:00", "0h"), "schedule.hourly.for", "multiple of 4h"),
        (and(hourly("4h", "08:00", "12h"), json!({ "tier": "Standard" })), "schedule.hourly", "needs tier: Enhanced"),
        (json!({ "timeZone": "Europe/Atlantis" }), "timeZone", "is not an IANA time zone"),
        (json!({ "timeZone": "W. Europe Standard Time" }), "timeZone", "is not an IANA time zone"),
        (json!({ "retention": {} }), "retention.daily", "is needed"),
        (json!({ "retention": { "daily": { "keep": "0d" } } }), "retention.daily.keep", "7d to 9999d"),
        (json!({ "retention": { "daily": { "keep": "6d" } } }), "retention.daily.keep", "7d to 9999d"),
        (json!({ "retention": { "daily": { "keep": "7d1h" } } }), "retention.daily.keep", "whole days"),
        (json!({ "retention": { "daily": { "keep": "10000d" } } }), "retention.daily.keep", "7d to 9999d"),
        (and(weekly(json!(["Sunday"])), json!({ "retention": { "daily": { "keep": "30d" } } })), "retention.daily", "impossible"),
        (
            and(weekly(json!(["Sunday"])), json!({ "retention": { "weekly": { "keep": 1, "days": ["Monday"] } } })),
            "retention.weekly.days",
            "the days of the weekly schedule",
        ),
        (keep(json!({ "weekly": { "keep": 0, "days": ["Sunday"] } })), "retention.weekly.keep", "1 to 5163"),
        (keep(json!({ "weekly": { "keep": 1, "days": [] } })), "retention.weekly.days", "at least one"),
        (keep(json!({ "weekly": { "keep": 1, "days": ["Sunday", "Sunday"] } })), "retention.weekly.days", "twice"),
        (keep(json!({ "monthly": { "keep": 1189, "when": first() } })), "retention.monthly.keep", "1 to 1188"),
        (keep(json!({ "monthly": { "keep": 1, "when": { "week": "First" } } })), "retention.monthly.when", "week and day together"),
        (keep(json!({ "monthly": { "keep": 1, "when": { "days": [31] } } })), "retention.monthly.when.days", "1 to 28, or last"),
        (keep(json!({ "yearly": { "keep": 100, "months": ["May"], "when": first() } })), "retention.yearly.keep", "1 to 99"),
        (keep(json!({ "yearly": { "keep": 1, "months": [], "when": first() } })), "retention.yearly.months", "at least one"),
        (keep(json!({ "instantRestoreDays": 31 })), "retention.instantRestoreDays", "1 to 30"),
        (and(hourly("4h", "08:00", "12h"), keep(json!({ "instantRestoreDays": 18 }))), "retention.instantRestoreDays", "1 to 17"),
        (and(hourly("6h", "08:00", "12h"), keep(json!({ "instantRestoreDays": 23 }))), "retention.instantRestoreDays", "1 to 22"),
        (keep(json!({ "instantRestoreDays": 12, "daily": { "keep": "10d" } })), "retention.instantRestoreDays", "set at most 10"),
        (and(keep(json!({ "instantRestoreDays": 6 })), json!({ "tier": "Standard" })), "retention.instantRestoreDays", "1 to 5"),
        (json!({ "archive": { "mode": "Recommended" } }), "archive", "needs retention.monthly"),
        (
            and(keep(json!({ "monthly": { "keep": 12, "when": first() } })), json!({ "archive": { "mode": "After" } })),
            "archive.months",
            "is needed",
        ),
        (
            and(keep(json!({ "monthly": { "keep": 12, "when": first() } })), json!({ "archive": { "mode": "After", "months": 2 } })),
            "archive.months",
            "at least 3",
        ),
        (
            and(keep(json!({ "monthly": { "keep": 8, "when": first() } })), json!({ "archive": { "mode": "After", "months": 3 } })),
            "archive.months",
            "the 9 months",
        ),
        (json!({ "machines": [{}] }), "machines[0]", "exactly one of id, selector"),
        (
            json!({ "machines": [{ "id": "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg" }] }),
            "machines[0].id",
            "not a virtual machine",
        ),
        (json!({ "machines": [{ "id": "db-1" }] }), "machines[0].id", "cannot be read"),
        (json!({ "target": { "rpo": "12h" } }), "target.rpo", "leaves 25h"),
        (and(hourly("4h", "00:00", "24h"), json!({ "retention": { "daily": { "keep": "1667d" } } })), "retention", "10002 points"),
    ];
    for (changes, field, words) in cases {
        let wrong = check(&spec(changes.clone()));
        assert!(wrong.iter().any(|w| w.field == field && w.message.contains(words)), "{changes}: {wrong:?}");
        assert!(to_azure(&spec(changes)).is_err());
    }
}

#[test]
fn what_azure_takes_is_taken() {
    let all = json!({ "instantRestoreDays": 30, "daily": { "keep": "9999d" }, "weekly": { "keep": 12, "days": ["Sunday"] },
                      "monthly": { "keep": 60, "when": { "days": [1, "last"] } }, "yearly": { "keep": 10, "months": ["January"], "when": { "week": "Last", "day": "Friday" } } });
    for changes in [
        json!({}),
        json!({ "retention": all, "archive": { "mode": "After", "months": 3 }, "target": { "rpo": "28h" } }),
        and(weekly(json!(["Sunday", "Wednesday"])), json!({ "tier": "Standard" })),
        weekly(json!(["Friday"])),
        hourly("12h", "23:30", "24h"),
        json!({ "tier": "Standard", "timeZone": "America/New_York" }),
    ] {
        assert_eq!(check(&spec(changes.clone())), [], "{changes}");
    }
}

/// The bodies of backup.md §7.1.
#[test]
fn the_body_is_the_one_that_azure_documents() {
    let rich = spec(json!({ "tier": "Standard", "timeZone": "UTC", "schedule": { "daily": { "at": "16:30" } },
        "retention": { "instantRestoreDays": 2, "daily": { "keep": "30d" }, "weekly": { "keep": 12, "days": ["Sunday"] },
                       "monthly": { "keep": 60, "when": { "week": "First", "day": "Sunday" } }, "yearly": { "keep": 10, "months": ["January"], "when": { "days": [1] } } },
        "archive": { "mode": "After", "months": 3 } }));
    let times = json!(["2024-01-01T16:30:00Z"]);
    let wanted = json!({ "properties": { "backupManagementType": "AzureIaasVM", "instantRPDetails": {},
        "schedulePolicy": { "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": times, "scheduleWeeklyFrequency": 0 },
        "retentionPolicy": { "retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": { "retentionTimes": times, "retentionDuration": { "count": 30, "durationType": "Days" } },
            "weeklySchedule": { "daysOfTheWeek": ["Sunday"], "retentionTimes": times, "retentionDuration": { "count": 12, "durationType": "Weeks" } },
            "monthlySchedule": { "retentionScheduleFormatType": "Weekly", "retentionScheduleWeekly": { "daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"] },
                                 "retentionTimes": times, "retentionDuration": { "count": 60, "durationType": "Months" } },
            "yearlySchedule": { "retentionScheduleFormatType": "Daily", "monthsOfYear": ["January"], "retentionScheduleDaily": { "daysOfTheMonth": [{ "date": 1, "isLast": false }] },
                                "retentionTimes": times, "retentionDuration": { "count": 10, "durationType": "Years" } } },
        "tieringPolicy": { "ArchivedRP": { "tieringMode": "TierAfter", "duration": 3, "durationType": "Months" } },
        "instantRpRetentionRangeInDays": 2, "timeZone": "UTC" } });
    assert_eq!(to_azure(&rich).unwrap(), wanted);

    let v1_weekly = to_azure(&spec(and(weekly(json!(["Monday"])), json!({ "tier": "Standard" })))).unwrap();
    assert_eq!(v1_weekly.pointer("/properties/schedulePolicy/scheduleRunDays"), Some(&json!(["Monday"])));
    assert_eq!(v1_weekly.pointer("/properties/instantRpRetentionRangeInDays"), Some(&json!(5)));
    assert!(v1_weekly.pointer("/properties/retentionPolicy/dailySchedule").is_none());
    assert!(v1_weekly.pointer("/properties/policyType").is_none());

    let v2_weekly = to_azure(&spec(weekly(json!(["Sunday", "Monday"])))).unwrap();
    assert_eq!(
        v2_weekly.pointer("/properties/schedulePolicy/weeklySchedule"),
        Some(&json!({ "scheduleRunDays": ["Sunday", "Monday"], "scheduleRunTimes": ["2024-01-01T22:30:00Z"] }))
    );
    assert_eq!(v2_weekly.pointer("/properties/policyType"), Some(&json!("V2")));
    assert_eq!(v2_weekly.pointer("/properties/timeZone"), Some(&json!("W. Europe Standard Time")));

    let agentless = to_azure(&spec(json!({ "consistency": "CrashConsistent" }))).unwrap();
    assert_eq!(agentless.pointer("/properties/snapshotConsistencyType"), Some(&json!("OnlyCrashConsistent")));
}

#[test]
fn an_echo_in_other_spelling_is_no_difference() {
    let wanted = spec(
        json!({ "tier": "Standard", "retention": { "daily": { "keep": "30d" }, "weekly": { "keep": 12, "days": ["Sunday", "Friday"] },
        "monthly": { "keep": 6, "when": { "days": [1] } } }, "archive": { "mode": "Recommended" } }),
    );
    let echoed = json!({ "id": "/x", "properties": { "backupManagementType": "AzureIaasVM", "policyType": "V1", "protectedItemsCount": 3, "timeZone": "w. europe standard time",
        "instantRpRetentionRangeInDays": 4, "instantRPDetails": { "azureBackupRGNamePrefix": "x" }, "newThing": true,
        "schedulePolicy": { "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "daily", "scheduleRunTimes": ["2019-08-05T02:00:00.000Z"], "scheduleWeeklyFrequency": 0 },
        "retentionPolicy": { "retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": { "retentionTimes": ["2019-08-05T02:00:00Z"], "retentionDuration": { "count": 30, "durationType": "days" } },
            "weeklySchedule": { "daysOfTheWeek": ["friday", "Sunday"], "retentionTimes": [], "retentionDuration": { "count": 12, "durationType": "Weeks" } },
            "monthlySchedule": { "retentionScheduleFormatType": "Daily", "retentionScheduleDaily": { "daysOfTheMonth": [{ "date": 1, "isLast": false }] }, "retentionScheduleWeekly": null,
                                 "retentionDuration": { "count": 6, "durationType": "Months" } }, "yearlySchedule": null },
        "tieringPolicy": { "ArchivedRP": { "tieringMode": "TierRecommended", "duration": 0, "durationType": "Invalid" } } } });
    assert_eq!(differences(&wanted, &echoed), Ok(vec![]));

    let kept = merged(&echoed, &wanted).unwrap();
    assert_eq!(kept.pointer("/properties/newThing"), Some(&json!(true)), "what we do not know is kept");
    assert_eq!(kept.pointer("/properties/instantRpRetentionRangeInDays"), Some(&json!(4)), "what is not managed is kept");
    assert_eq!(kept.pointer("/properties/instantRPDetails/azureBackupRGNamePrefix"), Some(&json!("x")));
    assert_eq!(kept.pointer("/properties/protectedItemsCount"), None);
}

#[test]
fn a_weekly_schedule_gets_the_only_number_of_instant_days_that_azure_takes() {
    let daily = to_azure(&spec(json!({ "tier": "Standard" }))).unwrap();
    let body = merged(&daily, &spec(and(weekly(json!(["Sunday"])), json!({ "tier": "Standard" })))).unwrap();
    assert_eq!(body.pointer("/properties/instantRpRetentionRangeInDays"), Some(&json!(5)));
}

#[test]
fn a_difference_is_told_in_words() {
    let have = to_azure(&spec(json!({ "retention": { "daily": { "keep": "14d" }, "monthly": { "keep": 12, "when": { "week": "First", "day": "Sunday" } } }, "timeZone": "UTC" }))).unwrap();
    let want =
        spec(json!({ "schedule": { "hourly": { "every": "4h", "from": "08:00", "for": "12h" } }, "consistency": "CrashConsistent" }));
    let told: Vec<_> = differences(&want, &have).unwrap().into_iter().map(|d| format!("{}: {} -> {}", d.field, d.have, d.want)).collect();
    assert_eq!(
        told,
        [
            "schedule: daily at 02:00 -> every 4h from 08:00 for 12h",
            "timeZone: UTC -> W. Europe Standard Time",
            "retention.daily: 14 days -> 30 days",
            "retention.monthly: 12 months of First Sunday -> none",
            "consistency: as consistent as the machine allows -> crash consistent only",
        ]
    );
}

#[test]
fn only_what_lets_points_expire_or_makes_fewer_weakens() {
    let first = |keep: i32| json!({ "keep": keep, "when": { "week": "First", "day": "Sunday" } });
    let keep = |days: &str, more: Value| json!({ "retention": and(json!({ "daily": { "keep": days } }), more) });
    let cases = [
        // from                                    to                                           weaker fields
        (json!({}), json!({}), vec![]),
        (json!({}), keep("60d", json!({})), vec![]),
        (json!({}), keep("29d", json!({})), vec!["retention.daily"]),
        (json!({}), keep("30d", json!({ "monthly": first(1) })), vec![]),
        (keep("30d", json!({ "monthly": first(2) })), json!({}), vec!["retention.monthly"]),
        (keep("30d", json!({ "monthly": first(2) })), keep("30d", json!({ "monthly": first(1) })), vec!["retention.monthly"]),
        (
            keep("30d", json!({ "monthly": first(2) })),
            keep("30d", json!({ "monthly": { "keep": 2, "when": { "days": [1] } } })),
            vec!["retention.monthly"],
        ),
        (
            keep("30d", json!({ "weekly": { "keep": 4, "days": ["Sunday", "Monday"] } })),
            keep("30d", json!({ "weekly": { "keep": 4, "days": ["Monday"] } })),
            vec!["retention.weekly"],
        ),
        (
            keep("30d", json!({ "weekly": { "keep": 4, "days": ["Monday"] } })),
            keep("30d", json!({ "weekly": { "keep": 5, "days": ["Sunday", "Monday"] } })),
            vec![],
        ),
        (
            keep("30d", json!({ "instantRestoreDays": 7 })),
            keep("30d", json!({ "instantRestoreDays": 5 })),
            vec!["retention.instantRestoreDays"],
        ),
        (json!({}), json!({ "schedule": { "daily": { "at": "23:30" } } }), vec![]),
        (json!({}), json!({ "timeZone": "UTC" }), vec![]),
        (json!({ "timeZone": "UTC" }), json!({}), vec![]),
        (json!({}), hourly("4h", "08:00", "12h"), vec![]),
        (hourly("4h", "08:00", "12h"), json!({}), vec!["schedule"]),
        (hourly("4h", "08:00", "12h"), hourly("6h", "08:00", "12h"), vec!["schedule"]),
        (hourly("4h", "08:00", "16h"), hourly("4h", "08:00", "12h"), vec!["schedule"]),
        (json!({}), weekly(json!(["Sunday"])), vec!["schedule", "retention.daily"]),
        (weekly(json!(["Sunday", "Monday"])), weekly(json!(["Sunday"])), vec!["schedule", "retention.weekly"]),
        (json!({}), json!({ "tier": "Standard" }), vec!["tier"]),
        (json!({ "tier": "Standard" }), json!({}), vec![]),
        (json!({}), json!({ "consistency": "CrashConsistent" }), vec!["consistency"]),
    ];
    for (from, to, fields) in cases {
        let body = |changes: &Value| to_azure(&spec(changes.clone())).unwrap();
        let found: Vec<_> = weakens(&body(&from), &body(&to)).into_iter().map(|w| w.field).collect();
        assert_eq!(found, fields, "{from} -> {to}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_not_touched_lightly() {
    let mut old = to_azure(&spec(json!({}))).unwrap();
    old["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["durationType"] = json!("Moons");
    assert_eq!(weakens(&old, &old), []);
    let told = weakens(&old, &to_azure(&spec(json!({}))).unwrap());
    assert_eq!(told.iter().map(|w| w.field).collect::<Vec<_>>(), ["retention.daily"]);
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_next_backup_follows_the_clock_of_the_zone() {
    let cases = [
        // schedule                        after                    next
        (json!({}), "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
        (json!({}), "2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z"),
        (json!({}), "2026-12-01T00:00:00Z", "2026-12-01T01:00:00Z"),
        // 02:30 comes twice on 25 October and not at all on 29 March.
        (json!({ "schedule": { "daily": { "at": "02:30" } } }), "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        (json!({ "schedule": { "daily": { "at": "02:30" } } }), "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        (json!({ "schedule": { "daily": { "at": "02:30" } } }), "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        // A window over midnight: 20:00, 00:00, 04:00, 08:00 local.
        (hourly("4h", "20:00", "12h"), "2026-07-01T18:00:00Z", "2026-07-01T22:00:00Z"),
        (hourly("4h", "20:00", "12h"), "2026-07-01T22:00:00Z", "2026-07-02T02:00:00Z"),
        (hourly("4h", "20:00", "12h"), "2026-07-02T06:00:00Z", "2026-07-02T18:00:00Z"),
        (weekly(json!(["Sunday"])), "2026-07-01T00:00:00Z", "2026-07-05T20:30:00Z"),
        (weekly(json!(["Sunday"])), "2026-07-05T20:30:00Z", "2026-07-12T20:30:00Z"),
    ];
    for (changes, after, next) in cases {
        assert_eq!(next_backup(&spec(changes.clone()), at(after)), Ok(at(next)), "{changes} after {after}");
    }
}

#[test]
fn the_largest_gap_has_the_night_the_week_and_the_change_of_the_clock_in_it() {
    let cases = [
        // schedule                                                                     hours
        (json!({}), 25),
        (json!({ "timeZone": "UTC" }), 24),
        (json!({ "timeZone": "Asia/Kolkata" }), 24),
        (hourly("4h", "08:00", "12h"), 13),
        (and(hourly("4h", "08:00", "12h"), json!({ "timeZone": "UTC" })), 12),
        (and(hourly("4h", "00:00", "24h"), json!({ "timeZone": "UTC" })), 4),
        (and(hourly("4h", "20:00", "12h"), json!({ "timeZone": "UTC" })), 12),
        (and(hourly("12h", "06:00", "12h"), json!({ "timeZone": "UTC" })), 12),
        (weekly(json!(["Sunday"])), 7 * 24 + 1),
        (and(weekly(json!(["Sunday", "Wednesday"])), json!({ "timeZone": "UTC" })), 4 * 24),
    ];
    for (changes, hours) in cases {
        assert_eq!(largest_gap(&spec(changes.clone())), Ok(SignedDuration::from_hours(hours)), "{changes}");
        assert_eq!(promised_rpo(&spec(changes)), Ok(SignedDuration::from_hours(hours + 4)));
    }
    let declared = spec(json!({ "target": { "rpo": "28h" } }));
    assert_eq!(promised_rpo(&declared), Ok(SignedDuration::from_hours(28)));
    assert_eq!(promised_span(&spec(json!({}))).unwrap().to_string(), "1d5h");
}
