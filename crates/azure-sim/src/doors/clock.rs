//! Wall time to world time: world time runs `factor` times faster, and may be pushed forward by hand.

use jiff::{SignedDuration, Timestamp};

/// A linear clock. Changing the factor or pushing it keeps it from ever going back.
#[derive(Clone, Copy, Debug)]
pub struct WorldClock {
    wall: Timestamp,
    world: Timestamp,
    factor: f64,
}

impl WorldClock {
    /// A clock that shows `world` at the wall time `wall`.
    pub fn new(wall: Timestamp, world: Timestamp, factor: f64) -> Self {
        WorldClock { wall, world, factor: factor.max(0.0) }
    }

    /// World time at a wall time.
    pub fn at(&self, wall: Timestamp) -> Timestamp {
        let elapsed = wall.duration_since(self.wall).as_secs_f64().max(0.0);
        let passed = SignedDuration::try_from_secs_f64(elapsed * self.factor).unwrap_or(SignedDuration::ZERO);
        self.world.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// World seconds per wall second.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Runs at another pace from now on.
    pub fn set_factor(&mut self, wall: Timestamp, factor: f64) {
        *self = WorldClock::new(wall, self.at(wall), factor);
    }

    /// Jumps forward; a negative span does nothing.
    pub fn push(&mut self, wall: Timestamp, by: SignedDuration) {
        let world = self.at(wall).saturating_add(by.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MAX);
        *self = WorldClock::new(wall, world, self.factor);
    }
}

/// `Retry-After` as it goes onto the wire: world seconds divided by the factor, rounded up, at least one.
pub fn wire_retry_after(world_seconds: u64, factor: f64) -> u64 {
    if factor <= 0.0 {
        return world_seconds.max(1);
    }
    ((world_seconds as f64 / factor).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_time_runs_ahead_by_the_factor_and_never_back() {
        let wall: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut clock = WorldClock::new(wall, "2030-01-01T00:00:00Z".parse().unwrap(), 60.0);
        let later = wall + SignedDuration::from_secs(10);
        assert_eq!(clock.at(later).to_string(), "2030-01-01T00:10:00Z");
        clock.set_factor(later, 1.0);
        clock.push(later, SignedDuration::from_secs(-50));
        assert_eq!(clock.at(later).to_string(), "2030-01-01T00:10:00Z");
        clock.push(later, SignedDuration::from_hours(1));
        assert_eq!(clock.at(later).to_string(), "2030-01-01T01:10:00Z");
    }

    #[test]
    fn retry_after_is_divided_by_the_factor_and_stays_above_zero() {
        for (world, factor, wire) in [(60, 60.0, 1), (61, 60.0, 2), (2, 60.0, 1), (10, 1.0, 10), (10, 0.0, 10)] {
            assert_eq!(wire_retry_after(world, factor), wire, "{world} / {factor}");
        }
    }
}
