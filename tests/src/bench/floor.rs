//! The least that protecting a fleet can take, when nobody uses more than 70 % of what Azure admits (architecture.md,
//! "Budget").

use jiff::SignedDuration;

use super::layout::Layout;

/// Our share of every limit.
const SHARE: f64 = 0.7;

/// ARM's bucket of reads: size and refill a second, per subscription and principal (compute-and-arm.md E.6).
const READS: (f64, f64) = (250.0, 25.0);

/// ARM's bucket of writes; a POST counts there even when it is a read.
const WRITES: (f64, f64) = (200.0, 10.0);

/// GETs of one action of Recovery Services an hour and subscription (backup.md §4.4, 2025/26).
const HOURLY_READS: f64 = 1_099.0;

/// Changes of protection a day and vault (backup.md §4.4).
const DAILY_CHANGES: f64 = 1_000.0;

/// What no budget shortens: a vault is made (up to 30 s), then the last machine is protected (up to 90 s), and of both Azure
/// wants to be asked once a minute.
const CHAIN: SignedDuration = SignedDuration::from_secs(60 + 120);

/// What the protocol needs for one machine that is protected and not backed up yet.
pub struct Needs {
    /// GETs of the machine, its item (the fresh look that licenses the write), its operation, and its item once it is over.
    pub reads: f64,
    /// The PUT, and `backupStatus`, a POST.
    pub writes: f64,
    /// GETs of the action that is asked most: its item once before the PUT and once after. The listing of all items could
    /// stand for the second one, so that the floor counts one.
    pub of_one_action: f64,
}

/// The floor that the protocol allows.
pub const NEEDS: Needs = Needs { reads: 4.0, writes: 2.0, of_one_action: 1.0 };

/// A floor and the limit that sets it.
pub struct Floor {
    /// The least time.
    pub time: SignedDuration,
    /// Which limit.
    pub set_by: &'static str,
}

/// The least time in which a layout can be protected.
pub fn floor(layout: &Layout) -> Floor {
    let largest_vault = (0..layout.vaults).map(|vault| layout.machines_in(vault)).max().unwrap_or(0) as f64;
    let of_subscription = |subscription: usize| -> usize {
        (0..layout.vaults).filter(|vault| vault % layout.subscriptions == subscription).map(|vault| layout.machines_in(vault)).sum()
    };
    let machines = (0..layout.subscriptions).map(of_subscription).max().unwrap_or(0) as f64;
    let bucket = |needed: f64, (size, refill): (f64, f64)| ((needed - SHARE * size) / (SHARE * refill)).max(0.0);
    let window = |needed: f64, limit: f64, seconds: f64| ((needed / (SHARE * limit).floor()).ceil() - 1.0).max(0.0) * seconds;
    let all = [
        (bucket(machines * NEEDS.reads, READS), "ARM's reads of a subscription"),
        (bucket(machines * NEEDS.writes, WRITES), "ARM's writes of a subscription"),
        (window(machines * NEEDS.of_one_action, HOURLY_READS, 3_600.0), "1,099 GETs of one action an hour and subscription"),
        (window(largest_vault, DAILY_CHANGES, 86_400.0), "1,000 changes of protection a day and vault"),
    ];
    let (seconds, set_by) = all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are limits");
    Floor { time: SignedDuration::from_secs(seconds.ceil() as i64) + CHAIN, set_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_limit_sets_the_floor() {
        let one_subscription = floor(&Layout::of(10_000, 15));
        assert_eq!(one_subscription.time, SignedDuration::from_hours(13) + CHAIN, "769 an hour");
        let spread = floor(&Layout { subscriptions: 15, ..Layout::of(10_000, 15) });
        assert_eq!(spread.set_by, "ARM's writes of a subscription");
        assert_eq!(spread.time.as_secs(), 171 + 180, "(2 x 667 - 140) / 7");
        assert_eq!(floor(&Layout::of(1_000, 1)).time, SignedDuration::from_hours(24) + CHAIN, "700 a day");
    }
}
