//! A backup policy for Azure machines (backup.md §7).

use std::{collections::BTreeMap, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Resource;
use crate::{time::ArmTime, word::Word};

/// A policy, typed and whole: comparing a policy must not overlook a field that the types do not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What the types know.
    pub resource: Resource<PolicyProperties>,
    /// The body as received.
    pub raw: Value,
}

impl Policy {
    /// Reads a body.
    ///
    /// # Errors
    /// When a field has a form that its type cannot hold.
    pub fn parse(body: &Value) -> Result<Self, serde_json::Error> {
        Ok(Policy { resource: Resource::parse(body)?, raw: body.clone() })
    }

    /// True for V2 (Enhanced). V1 policies mostly carry no `policyType` (backup.md §7.2).
    pub fn is_enhanced(&self) -> bool {
        self.properties.policy_type.as_ref().is_some_and(|t| t.is("V2"))
    }
}

impl Deref for Policy {
    type Target = Resource<PolicyProperties>;

    fn deref(&self) -> &Self::Target {
        &self.resource
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.resource.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Policy::parse(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

body! {
    /// What a policy adds.
    PolicyProperties {
        /// `AzureIaasVM` for ours; other workloads' policies lie in the same list.
        backup_management_type: Word,
        /// `V2`, `V1`, or absent (V1).
        policy_type: Word,
        /// When.
        schedule_policy: SchedulePolicy,
        /// How long.
        retention_policy: RetentionPolicy,
        /// Archive, by source tier (`ArchivedRP`).
        tiering_policy: BTreeMap<String, TieringPolicy>,
        /// Days that the instant tier keeps a point.
        instant_rp_retention_range_in_days: i64,
        /// The group for instant points; `{}` when unset.
        #[serde(rename = "instantRPDetails")]
        instant_rp_details: InstantRpDetails,
        /// A Windows zone id.
        time_zone: String,
        /// How many items use it.
        protected_items_count: i64,
        /// `OnlyCrashConsistent`, or absent.
        snapshot_consistency_type: Word,
    }
    /// When backups start. V1 has `schedule_run_days` and `schedule_run_times`, V2 one of the three schedules.
    SchedulePolicy {
        /// `SimpleSchedulePolicy` or `SimpleSchedulePolicyV2`.
        schedule_policy_type: Word,
        /// `Hourly`, `Daily`, `Weekly`.
        schedule_run_frequency: Word,
        /// V1, weekly.
        schedule_run_days: Vec<Word>,
        /// V1; only the time of day counts.
        schedule_run_times: Vec<ArmTime>,
        /// V1; always 0.
        schedule_weekly_frequency: i64,
        /// V2.
        hourly_schedule: HourlySchedule,
        /// V2.
        daily_schedule: DailySchedule,
        /// V2.
        weekly_schedule: WeeklySchedule,
    }
    /// Several a day.
    HourlySchedule {
        /// Hours between two: 4, 6, 8 or 12.
        interval: i64,
        /// The first of the day.
        schedule_window_start_time: ArmTime,
        /// Hours.
        schedule_window_duration: i64,
    }
    /// Every day.
    DailySchedule {
        /// At.
        schedule_run_times: Vec<ArmTime>,
    }
    /// On some days of the week.
    WeeklySchedule {
        /// On.
        schedule_run_days: Vec<Word>,
        /// At.
        schedule_run_times: Vec<ArmTime>,
    }
    /// How long points live. A `SimpleRetentionPolicy` (other workloads) has only `retention_duration`.
    RetentionPolicy {
        /// `LongTermRetentionPolicy`.
        retention_policy_type: Word,
        /// Every day's.
        daily_schedule: RetentionSchedule,
        /// Every week's.
        weekly_schedule: RetentionSchedule,
        /// Every month's.
        monthly_schedule: LongRetention,
        /// Every year's.
        yearly_schedule: LongRetention,
        /// Of a `SimpleRetentionPolicy`.
        retention_duration: RetentionDuration,
    }
    /// Daily or weekly retention.
    RetentionSchedule {
        /// Weekly: of which day.
        days_of_the_week: Vec<Word>,
        /// Equal to the schedule's time.
        retention_times: Vec<ArmTime>,
        /// For.
        retention_duration: RetentionDuration,
    }
    /// Monthly or yearly retention.
    LongRetention {
        /// `Weekly` or `Daily`.
        retention_schedule_format_type: Word,
        /// Yearly: in which months.
        months_of_year: Vec<Word>,
        /// Of which days of the month.
        retention_schedule_daily: ScheduleDaily,
        /// Of which weekdays of which weeks.
        retention_schedule_weekly: ScheduleWeekly,
        /// Equal to the schedule's time.
        retention_times: Vec<ArmTime>,
        /// For.
        retention_duration: RetentionDuration,
    }
    /// Days of the month.
    ScheduleDaily {
        /// The days.
        days_of_the_month: Vec<DayOfMonth>,
    }
    /// One day of the month.
    DayOfMonth {
        /// 1 to 28; 0 with `is_last`.
        date: i64,
        /// The last day.
        is_last: bool,
    }
    /// Weekdays of weeks.
    ScheduleWeekly {
        /// The days.
        days_of_the_week: Vec<Word>,
        /// `First` to `Fourth`, `Last`.
        weeks_of_the_month: Vec<Word>,
    }
    /// How long.
    RetentionDuration {
        /// How many.
        count: i64,
        /// `Days`, `Weeks`, `Months`, `Years`.
        duration_type: Word,
    }
    /// When points go to the archive.
    TieringPolicy {
        /// `TierAfter`, `TierRecommended`, `DoNotTier`.
        tiering_mode: Word,
        /// 0 unless `TierAfter`.
        duration: i64,
        /// `Months`; `Invalid` unless `TierAfter`.
        duration_type: Word,
    }
    /// The group that instant points lie in.
    InstantRpDetails {
        /// Before the number.
        #[serde(rename = "azureBackupRGNamePrefix")]
        prefix: String,
        /// After it.
        #[serde(rename = "azureBackupRGNameSuffix")]
        suffix: String,
    }
}
