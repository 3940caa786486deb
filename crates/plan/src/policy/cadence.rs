//! The moments at which a schedule starts backups.

use std::{collections::BTreeSet, fmt};

use breakwater_api::schedule::{DayOfWeek, TimeOfDay};
use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, date},
    tz::TimeZone,
};

/// A schedule, as Azure and we both mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cadence {
    /// Every day at these times.
    Daily {
        /// The times of day.
        at: BTreeSet<TimeOfDay>,
    },
    /// On these days at these times.
    Weekly {
        /// The days.
        days: BTreeSet<DayOfWeek>,
        /// The times of day.
        at: BTreeSet<TimeOfDay>,
    },
    /// Every so many hours in a window of every day, both ends included.
    Hourly {
        /// The interval in hours.
        every: i64,
        /// When the window begins.
        from: TimeOfDay,
        /// How many hours it lasts.
        hours: i64,
    },
}

impl Cadence {
    /// The first slot later than `after`.
    pub(super) fn next_after(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let today = after.to_zoned(zone.clone()).date();
        // A window may have begun yesterday; a weekly schedule comes round within eight days.
        let days = (-1..=8).filter_map(|n| today.checked_add(n.days()).ok());
        days.flat_map(|day| self.slots_of(day, zone)).filter(|slot| *slot > after).min()
    }

    /// The longest time between two slots that follow each other, over a whole year and the week around it, so that each
    /// change of the clock is in it.
    pub(super) fn largest_gap(&self, zone: &TimeZone) -> SignedDuration {
        let begin = date(2025, 12, 25);
        let mut slots: Vec<Timestamp> =
            (0..380).filter_map(|n| begin.checked_add(n.days()).ok()).flat_map(|day| self.slots_of(day, zone)).collect();
        slots.sort();
        slots.dedup();
        slots.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or(SignedDuration::MAX)
    }

    /// How many backups a week has.
    pub(super) fn per_week(&self) -> usize {
        match self {
            Cadence::Daily { at } => 7 * at.len(),
            Cadence::Weekly { days, at } => days.len() * at.len(),
            Cadence::Hourly { .. } => 7 * self.turns().len(),
        }
    }

    /// Local times that a change of clocks skips move later by its width, and of those that come twice the first counts
    /// (jiff's "compatible"); what the service does there is not documented.
    fn slots_of(&self, day: Date, zone: &TimeZone) -> Vec<Timestamp> {
        let locals: Vec<_> = match self {
            Cadence::Daily { at } => at.iter().map(|time| day.to_datetime(time.civil())).collect(),
            Cadence::Weekly { days, at } if days.iter().any(|d| d.weekday() == day.weekday()) => {
                at.iter().map(|time| day.to_datetime(time.civil())).collect()
            }
            Cadence::Weekly { .. } => Vec::new(),
            Cadence::Hourly { from, .. } => {
                let begin = day.to_datetime(from.civil());
                self.turns().into_iter().filter_map(|hours| begin.checked_add(hours.hours()).ok()).collect()
            }
        };
        locals.into_iter().filter_map(|local| local.to_zoned(zone.clone()).ok()).map(|zoned| zoned.timestamp()).collect()
    }

    /// The hours after the window's start at which an hourly schedule backs up. Both ends count (every 4 h over 12 h is four
    /// backups), but a window of 24 h ends where the next begins.
    fn turns(&self) -> Vec<i64> {
        match self {
            Cadence::Hourly { every, hours, .. } => (0..=hours / (*every).max(1)).map(|n| n * every).filter(|h| *h < 24).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |at: &BTreeSet<TimeOfDay>| at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Cadence::Daily { at } => write!(f, "daily at {}", times(at)),
            Cadence::Weekly { days, at } => {
                let days: Vec<_> = days.iter().map(|d| d.as_str()).collect();
                write!(f, "weekly on {} at {}", days.join(", "), times(at))
            }
            Cadence::Hourly { every, from, hours } => write!(f, "every {every}h from {from} for {hours}h"),
        }
    }
}
