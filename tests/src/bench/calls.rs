//! Requests to Azure, counted by what they ask for.

use std::{collections::BTreeMap, fmt};

use azure_sim::journal::Entry;
use jiff::Timestamp;

/// The collections in which a vault's recovery points and the jobs that make them are read.
const OF_NEW_POINTS: [&str; 2] = ["GET recoverypoints", "GET backupjobs"];

/// Counts of requests, by method and type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// `GET backuppolicies/{}` and how often.
    pub by_kind: BTreeMap<String, u64>,
    /// What Azure counts as a change, reads by POST not among them.
    pub writes: u64,
    /// Answers 429.
    pub throttled: u64,
    /// The same by what was asked.
    pub throttled_by_kind: BTreeMap<String, u64>,
    /// When the last change was sent.
    pub last_write: Option<Timestamp>,
}

impl Calls {
    /// Counts one request.
    pub fn count(&mut self, entry: &Entry) {
        let kind = format!("{} {}", entry.method, kind_of(&entry.path));
        if entry.status == 429 {
            self.throttled += 1;
            *self.throttled_by_kind.entry(kind.clone()).or_default() += 1;
        }
        if entry.method != "GET" && !["POST backupstatus", "POST backuptriggervalidateoperation"].contains(&kind.as_str()) {
            self.writes += 1;
            self.last_write = Some(entry.time);
        }
        *self.by_kind.entry(kind).or_default() += 1;
    }

    /// All requests.
    pub fn all(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// All that change nothing.
    pub fn reads(&self) -> u64 {
        self.all() - self.writes
    }

    /// Reads that new recovery points call for.
    pub fn of_new_points(&self) -> u64 {
        OF_NEW_POINTS.iter().map(|kind| self.of(kind)).sum()
    }

    /// How often this was asked: `GET vaults/{}`.
    pub fn of(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).copied().unwrap_or(0)
    }

    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Calls) -> Calls {
        let less = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let all = now.iter().map(|(kind, n)| (kind.clone(), n - then.get(kind).copied().unwrap_or(0)));
            all.filter(|(_, n)| *n > 0).collect()
        };
        Calls {
            by_kind: less(&self.by_kind, &before.by_kind),
            writes: self.writes - before.writes,
            throttled: self.throttled - before.throttled,
            throttled_by_kind: less(&self.throttled_by_kind, &before.throttled_by_kind),
            last_write: self.last_write.filter(|_| self.writes > before.writes),
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.by_kind.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        write!(f, "{}", all.join(", "))
    }
}

/// The last type in a path, in lower case, and whether one of it is meant or all: `backuppolicies/{}`.
fn kind_of(path: &str) -> String {
    let path = path.to_ascii_lowercase();
    let Some((_, rest)) = path.rsplit_once("/providers/") else {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    };
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    match parts.as_slice() {
        [.., kind, _] if parts.len().is_multiple_of(2) => format!("{kind}/{{}}"),
        [.., kind] => (*kind).to_owned(),
        [] => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_by_its_last_type() {
        let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v";
        let item = "backupFabrics/Azure/protectionContainers/c/protectedItems/i";
        for (path, kind) in [
            ("/subscriptions/s/resources".to_owned(), "resources"),
            ("/subscriptions/s/providers/Microsoft.Compute/virtualMachines".to_owned(), "virtualmachines"),
            (vault.to_owned(), "vaults/{}"),
            (format!("{vault}/backupPolicies/p"), "backuppolicies/{}"),
            (format!("{vault}/backupOperations/4f"), "backupoperations/{}"),
            (format!("{vault}/{item}"), "protecteditems/{}"),
            (format!("{vault}/{item}/backup"), "backup"),
            (format!("{vault}/{item}/recoveryPoints"), "recoverypoints"),
            ("/subscriptions/s/providers/Microsoft.RecoveryServices/locations/l/backupStatus".to_owned(), "backupstatus"),
        ] {
            assert_eq!(kind_of(&path), kind);
        }
    }
}
