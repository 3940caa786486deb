//! How well a fleet's protection uses what Azure admits, in virtual time.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::{
    fleet::Fleet,
    floor,
    layout::Layout,
    table::{Row, Verdict},
};

/// What protecting a fleet came to.
pub struct Figures {
    /// On what.
    pub layout: Layout,
    /// Until every machine was protected, and no operation was open; none when that did not come within `GIVE_UP`.
    pub time: Option<SignedDuration>,
    /// Machines protected in the end.
    pub protected: usize,
    /// The floor.
    pub floor: floor::Floor,
    /// Requests.
    pub calls: super::calls::Calls,
    /// Writes to Kubernetes, all kinds.
    pub kube_writes: u64,
    /// Turns taken.
    pub turns: u64,
    /// Where the wall's time went, by kind.
    pub spent: String,
    /// The whole run on the wall.
    pub wall: Duration,
}

/// World time after which a run is given up.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(96);

/// How exactly the end is told at least: to a two-hundredth of the floor, or to this.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// How often a long run tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Protects everything.
pub fn measure(layout: Layout) -> Figures {
    let began = Instant::now();
    let mut fleet = Fleet::new(layout);
    let start = fleet.now();
    let floor = floor::floor(&layout);
    let mut told = began;
    let done = fleet.run_until(GIVE_UP, LOOK_EVERY.max(floor.time / 200), |fleet| {
        let protected = fleet.protected();
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (world, wall) = (fleet.now().duration_since(start), began.elapsed().as_secs());
            eprintln!(
                "{protected} of {} machines are protected after {world:#}, of which the floor is {:#}; {wall} s here",
                layout.machines, floor.time
            );
        }
        protected == layout.machines
    });
    let time = done.then(|| fleet.now().duration_since(start));
    let spent = fleet.spent.iter().map(|(kind, (n, time))| format!("{n} turns of {kind}: {:.1} s", time.as_secs_f64()));
    Figures {
        layout,
        time,
        protected: fleet.protected(),
        floor,
        calls: fleet.calls().clone(),
        kube_writes: fleet.kube_writes(),
        turns: fleet.turns,
        spent: spent.collect::<Vec<_>>().join(", "),
        wall: began.elapsed(),
    }
}

impl Figures {
    /// How many times the floor it took.
    pub fn ratio(&self) -> Option<f64> {
        self.time.map(|time| time.as_secs_f64() / self.floor.time.as_secs_f64())
    }

    /// The share of answers that said 429.
    pub fn throttled(&self) -> f64 {
        self.calls.throttled as f64 / self.calls.all().max(1) as f64
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let Layout { machines, vaults, subscriptions, .. } = self.layout;
        let size = format!("{machines} machines in {vaults} vaults of {subscriptions} subscriptions");
        let per_machine = |n: u64| n as f64 / machines as f64;
        vec![
            Row::new(
                format!("{size} protected"),
                format!("<= 1.05 x {:#}", self.floor.time),
                match (self.time, self.ratio()) {
                    (Some(time), Some(ratio)) => format!("{ratio:.2} x: {time:#}"),
                    _ => format!("{} of {machines} after {GIVE_UP:#}", self.protected),
                },
                Verdict::of(self.ratio().is_some_and(|ratio| ratio <= 1.05)),
                format!(
                    "the floor is set by {}; a machine took {:.1} requests, {:.1} writes to Kubernetes of all kinds, {:.1} turns; on the wall {:.0} s, {}",
                    self.floor.set_by,
                    per_machine(self.calls.all()),
                    per_machine(self.kube_writes),
                    per_machine(self.turns),
                    self.wall.as_secs_f64(),
                    self.spent,
                ),
            ),
            Row::new(
                format!("answers 429, {size}"),
                "<= 0.1 %",
                format!("{:.2} %", 100.0 * self.throttled()),
                Verdict::of(self.throttled() <= 0.001),
                format!("{} of {}: {:?}; all: {}", self.calls.throttled, self.calls.all(), self.calls.throttled_by_kind, self.calls),
            ),
        ]
    }
}
