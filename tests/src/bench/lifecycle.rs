//! What one machine costs: its protection, and a recovery point from the schedule to its end.

use jiff::SignedDuration;
use serde_json::Value;

use super::{
    calls::Calls,
    fleet::Fleet,
    layout::{FirstBackup, Layout},
    table::{Row, Verdict},
};
use crate::cluster::record::Verb;

/// Writes to a machine's object: create, status, metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Made by its policy.
    pub created: u64,
    /// Patches of status.
    pub status: u64,
    /// Patches of metadata: the finalizer.
    pub metadata: u64,
}

/// One protocol's cost and floor.
pub struct Cost {
    /// What was done.
    pub what: &'static str,
    /// Writes to the machine's object.
    pub written: Written,
    /// The least that the protocol allows.
    pub floor: Written,
    /// In words.
    pub floor_in_words: &'static str,
    /// Requests to Azure that the machine called for.
    pub calls: Calls,
    /// The least that the protocol allows, polls of running work apart.
    pub calls_floor: u64,
    /// In words.
    pub calls_in_words: &'static str,
}

impl Cost {
    /// Requests beside those that ask how running work goes, whose number Azure's `Retry-After` and the work's length set.
    pub fn calls_without_polls(&self) -> u64 {
        self.calls.all() - self.polls()
    }

    fn polls(&self) -> u64 {
        ["GET backupoperations/{}", "GET backupjobs", "GET backupjobs/{}"].iter().map(|kind| self.calls.of(kind)).sum()
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let Written { created, status, metadata } = self.written;
        let floor = self.floor;
        vec![
            Row::new(
                format!("Kubernetes writes: {}", self.what),
                format!("{} create, {} status, {} metadata", floor.created, floor.status, floor.metadata),
                format!("{created} create, {status} status, {metadata} metadata"),
                Verdict::of(created <= floor.created && status <= floor.status && metadata <= floor.metadata),
                self.floor_in_words,
            ),
            Row::new(
                format!("ARM calls: {}", self.what),
                format!("{} and polls", self.calls_floor),
                format!("{} and {} polls", self.calls_without_polls(), self.polls()),
                Verdict::of(self.calls_without_polls() <= self.calls_floor),
                format!("floor: {}; measured: {}", self.calls_in_words, self.calls),
            ),
        ]
    }
}

fn written(fleet: &Fleet) -> Written {
    let of = |verb| fleet.kube_writes_of(verb, "ProtectedMachine");
    Written { created: of(Verb::Create), status: of(Verb::PatchStatus), metadata: of(Verb::PatchMetadata) }
}

fn less(now: Written, then: Written) -> Written {
    Written { created: now.created - then.created, status: now.status - then.status, metadata: now.metadata - then.metadata }
}

fn in_vault(status: &Value) -> bool {
    status.pointer("/recoveryPoints/latestInVault").is_some()
}

/// Requests for a machine alone: those of listings, vaults and policies come and go without it.
fn of_machine(mut calls: Calls) -> Calls {
    const OWN: [&str; 8] = [
        "virtualmachines/{}",
        "protecteditems/{}",
        "backup",
        "backupoperations/{}",
        "recoverypoints",
        "backupjobs",
        "backupjobs/{}",
        "backupstatus",
    ];
    calls.by_kind.retain(|kind, _| kind.split_once(' ').is_some_and(|(_, what)| OWN.contains(&what)));
    calls
}

/// Protects one machine; with its first backup, if asked for.
///
/// # Panics
/// When it does not come to its end within six hours.
pub fn protection(first_backup: FirstBackup) -> Cost {
    let mut fleet = Fleet::new(Layout { first_backup, ..Layout::of(1, 1) });
    let done = |fleet: &Fleet| match first_backup {
        FirstBackup::Now => fleet.machines_where(in_vault) == 1 && fleet.protected() == 1,
        FirstBackup::OnSchedule => fleet.protected() == 1,
    };
    let came = fleet.run_until(SignedDuration::from_hours(6), SignedDuration::from_secs(10), done);
    assert!(came, "not done: {}", fleet.calls());
    let calls = of_machine(fleet.calls().clone());
    fleet.run_for(SignedDuration::from_mins(30));
    match first_backup {
        FirstBackup::OnSchedule => Cost {
            what: "one machine protected",
            written: written(&fleet),
            floor: Written { created: 1, status: 3, metadata: 0 },
            floor_in_words: "its policy makes it; one operation: intent (with the first visit), handle, end; a PUT that may be repeated \
                             needs no finalizer",
            calls,
            calls_floor: 5,
            calls_in_words: "the machine, backupStatus, the item before the PUT (a fresh look licenses a write), the PUT, the item after it",
        },
        FirstBackup::Now => Cost {
            what: "one machine protected and backed up for the first time",
            written: written(&fleet),
            floor: Written { created: 1, status: 8, metadata: 2 },
            floor_in_words: "two operations of three each; the point in the snapshot tier and the point in the vault; the finalizer comes \
                             before an action that happens once, and goes",
            calls,
            calls_floor: 11,
            calls_in_words: "as for protection, 5; the item before the POST, the POST, the item after it; the points three times, as the item \
                             shows a begun backup, a point, an end",
        },
    }
}

/// One scheduled backup, from the night it is taken until two days later, when its snapshot is let go.
///
/// # Panics
/// When it does not come.
pub fn recovery_point() -> Cost {
    let mut fleet = Fleet::new(Layout::of(1, 1));
    assert!(
        fleet.run_until(SignedDuration::from_hours(48), SignedDuration::from_mins(10), |f| f.machines_where(in_vault) == 1),
        "no point"
    );
    // Three nights on, a night is like the one before: a snapshot comes and one goes.
    fleet.run_for(SignedDuration::from_hours(72));
    // From noon to noon: no night is cut.
    let second_of_day = fleet.now().as_second().rem_euclid(86_400);
    fleet.run_for(SignedDuration::from_secs((43_200 - second_of_day).rem_euclid(86_400)));
    let (calls, before) = (fleet.calls().clone(), written(&fleet));
    fleet.run_for(SignedDuration::from_hours(24));
    Cost {
        what: "one recovery point of the schedule",
        written: less(written(&fleet), before),
        floor: Written { created: 0, status: 2, metadata: 0 },
        floor_in_words: "the point in the snapshot tier, the point in the vault; the day's other news (an older snapshot let go) goes with them",
        calls: of_machine(fleet.calls().since(&calls)),
        calls_floor: 2,
        calls_in_words: "the machine's points, once when the item shows a new one and once when the backup has ended",
    }
}
