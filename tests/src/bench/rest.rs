//! What a fleet costs that is as declared: nothing is written, reads grow with pages, drift is seen all the same, and a
//! restart asks for no more than one sweep does.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    calls::Calls,
    fleet::{Fleet, INTERVAL},
    layout::{FirstBackup, Layout, Limits, Schedule},
    table::{Row, Verdict},
};

/// Items a page of `…/resources` (compute-and-arm.md F.4).
const MACHINES_A_PAGE: usize = 1_000;

/// Items a page of backup lists (backup.md §4.5).
const ITEMS_A_PAGE: usize = 200;

/// Machines a page of the listing of run-time status: the one size ever recorded (compute-and-arm.md C.6).
const POWER_STATES_A_PAGE: usize = 50;

/// The vault, its two configurations and its policy.
const READS_A_VAULT: usize = 4;

/// How long a fleet may take to settle, daily limits included.
const SETTLES_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// What a fleet at rest did.
pub struct Figures {
    /// On what.
    pub layout: Layout,
    /// Requests in 24 hours.
    pub calls: Calls,
    /// Writes to Kubernetes in 24 hours.
    pub kube_writes: u64,
    /// What was written in them, by verb and kind.
    pub kube_writes_by_kind: String,
    /// From somebody's weakening of a vault until it was put back.
    pub drift_mended_after: Option<SignedDuration>,
    /// A restart.
    pub restart: Restart,
}

/// Settles a fleet with first backups done, and watches it for a day, a drift and a restart.
///
/// # Panics
/// When it does not settle.
pub fn measure(machines: usize, vaults: usize) -> Figures {
    // Weekly, on Sundays: the days in between bring no recovery point.
    let layout = Layout { schedule: Schedule::Weekly, first_backup: FirstBackup::Now, ..Layout::of(machines, vaults) };
    let mut fleet = Fleet::new(layout);
    let backed_up = |status: &Value| status.pointer("/recoveryPoints/latestInVault").is_some();
    let all = |fleet: &Fleet| fleet.machines_where(backed_up) == machines && fleet.protected() == machines;
    let settled = fleet.run_until(SETTLES_WITHIN, SignedDuration::from_mins(10), all);
    let has = (fleet.protected(), fleet.machines_where(backed_up), fleet.calls().clone());
    assert!(settled, "{} of {machines} are protected, {} have points: {}", has.0, has.1, has.2);
    fleet.run_for(SignedDuration::from_hours(2));

    let (calls, writes) = (fleet.calls().clone(), fleet.objects.writes());
    fleet.run_for(SignedDuration::from_hours(24));
    let calls = fleet.calls().since(&calls);
    let more = fleet.objects.writes().into_iter().filter_map(|(what, n)| {
        let since = n - writes.get(&what).copied().unwrap_or(0);
        (since > 0).then_some((what, since))
    });
    let more: Vec<_> = more.collect();
    let kube_writes_by_kind = more.iter().map(|((verb, kind), n)| format!("{n} {verb:?} of {kind}")).collect::<Vec<_>>().join(", ");
    let kube_writes = more.iter().map(|(_, n)| n).sum();

    let restart = Restart::of(&mut fleet);
    let drift_mended_after = drift(&mut fleet);
    Figures { layout, calls, kube_writes, kube_writes_by_kind, drift_mended_after, restart }
}

/// A restart of a large settled fleet, whose settling is hurried by lifting the limits of the pretend Azure.
pub fn restart(machines: usize, vaults: usize) -> Vec<Row> {
    let layout = Layout { schedule: Schedule::Weekly, limits: Limits::Lifted, ..Layout::of(machines, vaults) };
    let mut fleet = Fleet::new(layout);
    let settled = fleet.run_until(SETTLES_WITHIN, SignedDuration::from_mins(10), |fleet| fleet.protected() == machines);
    fleet.run_for(SignedDuration::from_hours(2));
    let restart = Restart::of(&mut fleet);
    let mut rows = restart.rows();
    if !settled {
        let left = format!("only {} of {machines} were protected before it", fleet.protected());
        rows.iter_mut().for_each(|row| row.because = format!("{left}; {}", row.because));
    }
    rows
}

/// What a restart came to.
pub struct Restart {
    layout: Layout,
    /// Requests in the ten minutes after.
    pub calls: Calls,
    /// Writes to Kubernetes in the same time.
    pub kube_writes: u64,
}

impl Restart {
    /// Restarts the operator, and looks at the ten minutes after.
    fn of(fleet: &mut Fleet) -> Self {
        let (before, at_rest) = (fleet.calls().clone(), fleet.kube_writes());
        fleet.restart();
        fleet.run_for(INTERVAL * 2 - SignedDuration::from_secs(1));
        Restart { layout: fleet.layout, calls: fleet.calls().since(&before), kube_writes: fleet.kube_writes() - at_rest }
    }

    /// What it may read: every page once, run-time status too, and the round that falls due in the ten minutes.
    pub fn goal(&self) -> u64 {
        (2 * pages(&self.layout) + power_pages(&self.layout)) as u64
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let size = size(&self.layout);
        vec![
            Row::new(
                format!("restart with {size}: writes to ARM and Kubernetes"),
                "0",
                format!("{} and {}", self.calls.writes, self.kube_writes),
                Verdict::of(self.calls.writes + self.kube_writes == 0),
                "",
            ),
            Row::new(
                format!("restart with {size}: reads in the first 10 min"),
                format!("<= {}, every page once and one round more", self.goal()),
                self.calls.reads().to_string(),
                Verdict::of(self.calls.reads() <= self.goal()),
                self.calls.to_string(),
            ),
        ]
    }
}

fn size(layout: &Layout) -> String {
    format!("{} machines in {} vaults", layout.machines, layout.vaults)
}

/// Pages of the shared listings, and the reads of every vault.
fn pages(layout: &Layout) -> usize {
    let items: usize = (0..layout.vaults).map(|vault| layout.machines_in(vault).div_ceil(ITEMS_A_PAGE)).sum();
    layout.machines.div_ceil(MACHINES_A_PAGE) + items + READS_A_VAULT * layout.vaults
}

/// Pages of the listing of run-time status.
fn power_pages(layout: &Layout) -> usize {
    layout.machines.div_ceil(POWER_STATES_A_PAGE)
}

/// Somebody shortens soft delete past us, just after a look.
fn drift(fleet: &mut Fleet) -> Option<SignedDuration> {
    const WEAKER: i64 = 14;
    let body = json!({ "properties": { "securitySettings": { "softDeleteSettings": { "softDeleteRetentionPeriodInDays": WEAKER } } } });
    fleet.behind_our_back(json!({ "method": "PATCH", "id": fleet.layout.vault_id(0), "body": body }));
    let (began, before) = (fleet.now(), fleet.calls().writes);
    let until = began + INTERVAL * 3;
    while fleet.step(until) {
        if fleet.calls().writes > before {
            return Some(fleet.now().duration_since(began));
        }
    }
    None
}

impl Figures {
    /// The formula for this layout: twelve rounds an hour of the pages and four reads a vault.
    pub fn hourly_goal(&self) -> f64 {
        12.0 * pages(&self.layout) as f64
    }

    /// Reads an hour, those of new recovery points and of run-time status apart.
    pub fn hourly_reads(&self) -> f64 {
        (self.calls.reads() - self.calls.of_new_points() - self.power_reads()) as f64 / 24.0
    }

    fn power_reads(&self) -> u64 {
        self.calls.of("GET virtualmachines")
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let size = size(&self.layout);
        let power = self.power_reads() as f64 / 24.0;
        let thousand = self.layout.machines as f64 / 1_000.0;
        let whole = self.hourly_reads() + power;
        let mut rows = vec![
            Row::new(
                format!("ARM writes at rest, 24 h of virtual time, {size}"),
                "0",
                self.calls.writes.to_string(),
                Verdict::of(self.calls.writes == 0),
                "",
            ),
            Row::new(
                format!("Kubernetes writes at rest beside the lease, 24 h, {size}"),
                "0",
                self.kube_writes.to_string(),
                Verdict::of(self.kube_writes == 0),
                self.kube_writes_by_kind.clone(),
            ),
            Row::new(
                format!("ARM reads at rest an hour, {size}, without run-time status"),
                format!("<= {:.0}, 12 x (pages + 4 a vault)", self.hourly_goal()),
                format!("{:.1}", self.hourly_reads()),
                Verdict::of(self.hourly_reads() <= self.hourly_goal()),
                format!("in 24 h: {}", self.calls),
            ),
            Row::new(
                format!("the same per 1,000 machines, with run-time status, {size}"),
                "<= 120",
                format!("{:.1}", whole / thousand),
                Verdict::of(whole / thousand <= 120.0),
                format!(
                    "of these {:.1} are pages of statusOnly, of {POWER_STATES_A_PAGE} machines each, four times an hour: the one page size \
                     ever recorded; the goal counts none of them",
                    power / thousand
                ),
            ),
            Row::new(
                "a weakened vault is put back after",
                "<= 5 min",
                self.drift_mended_after.map_or("not within 15 min".to_owned(), |after| format!("{after:#}")),
                Verdict::of(self.drift_mended_after.is_some_and(|after| after <= INTERVAL + SignedDuration::from_secs(5))),
                "",
            ),
        ];
        rows.extend(self.restart.rows());
        rows
    }
}
