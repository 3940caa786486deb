//! A clock that only the test turns: world time and wall time, tied by a factor (architecture.md, "Time").

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use breakwater_engine::ports::Clock;
use jiff::{SignedDuration, Timestamp};

/// Virtual time. It stands still until [`advance`](VirtualClock::advance) or [`set`](VirtualClock::set) is called, and never
/// goes backwards.
#[derive(Debug)]
pub struct VirtualClock {
    world_origin: Timestamp,
    wall_origin: Timestamp,
    factor: f64,
    /// World time since the origin; wall time follows from it, so that `set(t)` makes `now()` exactly `t`.
    elapsed: Mutex<Duration>,
}

impl VirtualClock {
    /// A clock on which world and wall time are one, starting at `origin`.
    #[must_use]
    pub fn new(origin: Timestamp) -> Self {
        Self::with_factor(origin, origin, 1.0)
    }

    /// A clock on which `factor` world seconds pass in one wall second; at the start the world reads `world_origin` and the
    /// wall reads `wall_origin`.
    ///
    /// # Panics
    /// When `factor` is not a positive number.
    #[must_use]
    pub fn with_factor(world_origin: Timestamp, wall_origin: Timestamp, factor: f64) -> Self {
        assert!(factor.is_finite() && factor > 0.0, "the world factor is positive, not {factor}");
        Self { world_origin, wall_origin, factor, elapsed: Mutex::new(Duration::ZERO) }
    }

    /// Another clock that shows what this one shows now.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { elapsed: Mutex::new(self.elapsed()), ..*self }
    }

    /// Lets `by` pass, in world time.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Lets `by` pass, in wall time.
    pub fn advance_wall(&self, by: Duration) {
        self.advance(if self.is_real_time() { by } else { by.mul_f64(self.factor) });
    }

    /// Turns the clock to a world time.
    ///
    /// # Panics
    /// When that time has passed already: nothing in the engine may see time go backwards.
    pub fn set(&self, world: Timestamp) {
        let mut elapsed = self.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Duration::try_from(world.duration_since(self.world_origin)).ok().filter(|wanted| wanted >= &*elapsed);
        *elapsed = wanted.unwrap_or_else(|| panic!("time does not go back to {world}"));
    }

    /// The wall's timestamp now: what the API server writes into `creationTimestamp` and `deletionTimestamp`.
    #[must_use]
    pub fn wall_timestamp(&self) -> Timestamp {
        self.wall_origin + SignedDuration::try_from(self.wall()).expect("tests do not run for 290 billion years")
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With a factor of one, arithmetic stays exact: no detour through floating point.
    #[expect(clippy::float_cmp, reason = "1.0 as given, not as computed")]
    fn is_real_time(&self) -> bool {
        self.factor == 1.0
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.world_origin + SignedDuration::try_from(self.elapsed()).expect("tests do not run for 290 billion years")
    }

    fn wall(&self) -> Duration {
        if self.is_real_time() { self.elapsed() } else { self.elapsed().div_f64(self.factor) }
    }

    fn factor(&self) -> f64 {
        self.factor
    }

    fn to_world(&self, wall: Timestamp) -> Timestamp {
        let since = wall.duration_since(self.wall_origin);
        self.world_origin + if self.is_real_time() { since } else { since.mul_f64(self.factor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn time_stands_still_until_it_is_turned() {
        let clock = VirtualClock::new(at("2026-03-01T00:00:00Z"));
        assert_eq!(clock.now(), at("2026-03-01T00:00:00Z"));
        clock.advance(Duration::from_secs(90));
        assert_eq!((clock.now(), clock.wall()), (at("2026-03-01T00:01:30Z"), Duration::from_secs(90)));
        clock.set(at("2026-03-29T01:00:00Z"));
        assert_eq!(clock.now(), at("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn the_world_runs_faster_than_the_wall_by_the_factor() {
        let clock = VirtualClock::with_factor(at("2026-03-01T00:00:00Z"), at("2026-11-24T18:00:00Z"), 60.0);
        clock.advance_wall(Duration::from_secs(2));
        assert_eq!(clock.now(), at("2026-03-01T00:02:00Z"));
        assert_eq!(clock.wall(), Duration::from_secs(2));
        assert_eq!(clock.wall_timestamp(), at("2026-11-24T18:00:02Z"));
    }

    #[test]
    fn a_kubernetes_timestamp_maps_to_the_world_time_of_the_same_instant() {
        let clock = VirtualClock::with_factor(at("2026-03-01T00:00:00Z"), at("2026-11-24T18:00:00Z"), 60.0);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.to_world(clock.wall_timestamp()), clock.now());
        assert_eq!(clock.to_world(at("2026-11-24T17:59:59Z")), at("2026-02-28T23:59:00Z"), "also before the start");
    }

    #[test]
    #[should_panic(expected = "time does not go back")]
    fn time_never_goes_backwards() {
        let clock = VirtualClock::new(at("2026-03-01T00:00:00Z"));
        clock.advance(Duration::from_secs(2));
        clock.set(at("2026-03-01T00:00:01Z"));
    }
}
