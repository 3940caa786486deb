//! Wall time and world time (architecture.md, "Time"). In production they are the same; with a simulated Azure the
//! world runs a constant factor faster, from an instant that simulator and operator are both told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use breakwater_engine::ports::Clock;
use jiff::Timestamp;

use crate::args::WorldOrigin;

/// The machine's clock, and the straight line from it to world time.
#[derive(Clone, Debug)]
pub struct WorldClock {
    origin: Option<WorldOrigin>,
    factor: f64,
    began: Instant,
    began_at: Timestamp,
    /// What was told last, and when.
    told: Arc<Mutex<(Timestamp, Instant)>>,
    /// How far the steady clock has fallen behind, which stands still while the whole machine is suspended.
    behind: Arc<Mutex<Duration>>,
}

impl WorldClock {
    /// World time is wall time.
    pub fn wall_time() -> Self {
        WorldClock::of(None, 1.0)
    }

    /// World time stands at `origin.world` when wall time is `origin.wall`, and runs `factor` times as fast.
    pub fn faster(origin: WorldOrigin, factor: f64) -> Self {
        WorldClock::of(Some(origin), factor)
    }

    fn of(origin: Option<WorldOrigin>, factor: f64) -> Self {
        let (began, began_at) = (Instant::now(), Timestamp::now());
        let (told, behind) = (Arc::new(Mutex::new((began_at, began))), Arc::default());
        WorldClock { origin, factor, began, began_at, told, behind }
    }

    /// The machine's clock where it goes forward. One that is set back is caught up with at half its pace: what was seen before
    /// must not look as if it were seen just now, or later.
    fn steady(&self, wall: Timestamp, at: Instant) -> Timestamp {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = at.saturating_duration_since(told.1) / 2;
        let least = told.0.checked_add(passed).unwrap_or(told.0);
        *told = (wall.max(least), at.max(told.1));
        told.0
    }
}

impl WorldClock {
    /// How long it runs: by the steady clock, and what the machine's clock went on beyond it.
    fn passed(&self, steady: Duration, wall: Timestamp) -> Duration {
        let by_wall = Duration::try_from(wall.duration_since(self.began_at)).unwrap_or_default();
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        *behind = (*behind).max(by_wall.saturating_sub(steady));
        steady.saturating_add(*behind)
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.to_world(self.steady(Timestamp::now(), Instant::now()))
    }

    fn wall(&self) -> Duration {
        self.passed(self.began.elapsed(), Timestamp::now())
    }

    fn factor(&self) -> f64 {
        self.factor
    }

    fn to_world(&self, wall: Timestamp) -> Timestamp {
        let Some(origin) = self.origin else { return wall };
        let passed = wall.as_nanosecond() - origin.wall.as_nanosecond();
        // f64 holds nanoseconds exactly for 104 days from the origin, and to within a microsecond for three centuries.
        let scaled = (passed as f64 * self.factor) as i128;
        let world = origin.world.as_nanosecond().saturating_add(scaled);
        Timestamp::from_nanosecond(world).unwrap_or(if scaled < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn time_passes_while_the_machine_is_suspended_and_never_goes_back() {
        let clock = WorldClock::wall_time();
        let (second, at) = (Duration::from_secs(1), |seconds| clock.began_at + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(clock.passed(second, at(1)), second);
        assert_eq!(clock.passed(second * 2, at(602)), second * 602, "ten minutes of sleep");
        assert_eq!(clock.passed(second * 3, at(1)), second * 603, "set back: it goes on");
    }

    #[test]
    fn production_adds_nothing() {
        let clock = WorldClock::wall_time();
        assert_eq!(clock.to_world(at("2026-11-24T10:00:00.000000001Z")), at("2026-11-24T10:00:00.000000001Z"));
        assert_eq!(clock.factor(), 1.0);
    }

    #[test]
    fn the_world_runs_on_a_straight_line_through_its_origin() {
        let origin = WorldOrigin { wall: at("2026-11-24T10:00:00Z"), world: at("2030-01-01T00:00:00Z") };
        let clock = WorldClock::faster(origin, 60.0);
        for (wall, world) in [
            ("2026-11-24T10:00:00Z", "2030-01-01T00:00:00Z"),
            ("2026-11-24T10:00:01Z", "2030-01-01T00:01:00Z"),
            ("2026-11-24T10:00:00.5Z", "2030-01-01T00:00:30Z"),
            ("2026-11-24T11:00:00Z", "2030-01-03T12:00:00Z"),
            ("2026-11-24T09:59:59Z", "2029-12-31T23:59:00Z"),
        ] {
            assert_eq!(clock.to_world(at(wall)), at(world), "{wall}");
        }
    }

    #[test]
    fn time_beyond_the_calendar_stops_at_its_ends() {
        let origin = WorldOrigin { wall: at("2026-11-24T10:00:00Z"), world: at("2026-11-24T10:00:00Z") };
        let clock = WorldClock::faster(origin, 100_000.0);
        assert_eq!(clock.to_world(at("2126-11-24T10:00:00Z")), Timestamp::MAX);
        assert_eq!(clock.to_world(at("1926-11-24T10:00:00Z")), Timestamp::MIN);
    }

    #[test]
    fn a_clock_that_is_set_back_is_caught_up_with() {
        let clock = WorldClock::wall_time();
        let (start, began) = (at("2126-11-24T10:00:00Z"), Instant::now());
        let tell = |wall: i64, passed: u64| {
            let told = clock.steady(start + jiff::SignedDuration::from_secs(wall), began + Duration::from_secs(passed));
            told.duration_since(start).as_secs()
        };
        // (what the machine's clock says, what has passed): set back by 60 s after 10 s, set forward by 600 s after 200 s
        let cases = [(0, 0, 0), (10, 10, 10), (-49, 11, 10), (-40, 20, 15), (0, 60, 35), (60, 120, 65), (70, 130, 70), (740, 200, 740)];
        for (wall, passed, told) in cases {
            assert_eq!(tell(wall, passed), told, "{wall} {passed}");
        }
    }

    #[test]
    fn wall_durations_only_grow() {
        let clock = WorldClock::wall_time();
        let first = clock.wall();
        assert!(clock.wall() >= first);
    }
}
