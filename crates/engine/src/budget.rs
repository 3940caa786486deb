//! How much of Azure's patience is ours: token buckets fed by Azure's own headers, with priorities.
//!
//! Buckets per (access, subscription, class), as ARM's front end keeps them (compute-and-arm.md E.6). 30 % is left for
//! people and other tools; the lower a priority, the more of the rest it must leave. Where it runs low, namespaces share it.
//! Who comes when there is nothing left stands in line: each is told a time of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_arm::wire::{Answer, Method, Request};
use breakwater_plan::keys;
use jiff::{SignedDuration, Timestamp};

use crate::{
    line::Line,
    shares::{AGAIN, Of, Shares},
};

/// Who may go first when there is little left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Failover, commit, re-protect.
    Failover,
    /// Closing what was opened.
    Debt,
    /// Restores that have yet to begin.
    Restore,
    /// What was begun: a restore that runs, the rest of a listing.
    Begun,
    /// Somebody edited an object.
    UserChange,
    /// Backups and protection.
    Backup,
    /// The sweep that looks for drift, and questions: they give way to the writes that they were asked for.
    Sweep,
    /// A listing before its time, which spares others their reads.
    Early,
    /// What can as well be learned later or in another way: done only where hardly anything was used.
    Spare,
}

impl Priority {
    /// The share of a bucket that must be left after this call.
    fn reserve(self, class: Class) -> f64 {
        match (self, class.window()) {
            (Priority::Failover, _) => 0.0,
            (Priority::Debt, _) => 0.02,
            (Priority::Restore, _) => 0.05,
            (Priority::Begun, _) => 0.15,
            (Priority::UserChange | Priority::Backup, _) => 0.3,
            // What a window holds is spent once: there is nobody to give way to, for a listing is an action of its own.
            (Priority::Sweep, Some(_)) => 0.3,
            (Priority::Sweep | Priority::Early | Priority::Spare, None) => 0.35,
            (Priority::Early, Some(_)) => 0.85,
            (Priority::Spare, Some(_)) => 0.97,
        }
    }

    /// The line that somebody who was told to come back stands in: nobody stands behind those who must leave more.
    fn line(self) -> usize {
        match self {
            Priority::Failover | Priority::Debt => 0,
            Priority::Restore => 1,
            Priority::Begun => 2,
            Priority::UserChange => 3,
            Priority::Backup | Priority::Sweep | Priority::Early | Priority::Spare => 4,
        }
    }
}

/// The classes that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// GET.
    Read,
    /// PUT, PATCH, POST.
    Write,
    /// DELETE.
    Delete,
    /// Reads of backup jobs: 150 to 450 an hour (backup.md §4.4).
    JobRead,
    /// Lists of disks: 240 in three minutes (compute-and-arm.md E.7).
    DiskList,
    /// Other reads of Recovery Services: 1,099 an hour, subscription and action (backup.md §4.4).
    BackupRead,
    /// Backup policy writes: 50 a day and vault (backup.md §4.4).
    PolicyWrite,
    /// Changes of protection: 1,000 a day and vault (backup.md §4.4).
    ProtectionChange,
}

impl Class {
    /// Size of the bucket and its refill a second; a window's is full again only when it is over.
    fn rate(self) -> (f64, f64) {
        match self {
            Class::BackupRead => (1099.0, 0.0),
            Class::Read => (250.0, 25.0),
            Class::Write | Class::Delete => (200.0, 10.0),
            Class::JobRead => (150.0, 150.0 / 3600.0),
            Class::DiskList => (240.0, 240.0 / 180.0),
            Class::PolicyWrite => (50.0, 50.0 / 86_400.0),
            Class::ProtectionChange => (1000.0, 1000.0 / 86_400.0),
        }
    }

    /// Whether it is full again within a minute. What is counted by the hour or the day is not spent by a refusal that says
    /// "in 20 seconds": emptied for it, a vault's protection would stand still for seven hours.
    fn refills_soon(self) -> bool {
        let (size, refill) = self.rate();
        refill * 60.0 >= size
    }

    /// For how long a window counts that opens with the first call in it; none where a bucket refills by and by.
    fn window(self) -> Option<SignedDuration> {
        (self == Class::BackupRead).then_some(SignedDuration::from_hours(1))
    }

    /// Whether namespaces share what is left: a window always, for it is spent once; what ARM refills, where it runs low.
    fn is_shared(self, level: f64) -> bool {
        match self {
            Class::BackupRead => true,
            Class::Read => level < self.rate().0 * LOW,
            _ => false,
        }
    }

    /// The classes that a request counts against.
    pub fn of(request: &Request) -> Vec<Class> {
        let path = request.path.to_ascii_lowercase();
        let base = match request.method {
            Method::Get => Class::Read,
            Method::Delete => Class::Delete,
            _ => Class::Write,
        };
        let mut classes = vec![base];
        match request.method {
            Method::Get if path.contains("/backupjobs") => classes.push(Class::JobRead),
            Method::Get if path.ends_with("/providers/microsoft.compute/disks") => classes.push(Class::DiskList),
            Method::Get if backup_action(&path).is_some() => classes.push(Class::BackupRead),
            Method::Put if path.contains("/backuppolicies/") => classes.push(Class::PolicyWrite),
            Method::Put | Method::Delete if path.contains("/protecteditems/") => classes.push(Class::ProtectionChange),
            _ => {}
        }
        classes
    }

    /// A label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Delete => "delete",
            Class::JobRead => "job-read",
            Class::DiskList => "disk-list",
            Class::BackupRead => "backup-read",
            Class::PolicyWrite => "policy-write",
            Class::ProtectionChange => "protection-change",
        }
    }

    /// Whether it is a daily limit of a vault, whoever writes to it.
    fn is_of_vault(self) -> bool {
        matches!(self, Class::PolicyWrite | Class::ProtectionChange)
    }

    /// Daily limits of the service belong to a vault, the others to a subscription; reads of backups to an action there too.
    fn scope(self, path: &str) -> String {
        let path = path.to_ascii_lowercase();
        let action = backup_action(&path).filter(|_| self == Class::BackupRead).map(|action| format!(" {action}")).unwrap_or_default();
        let cut = match self {
            _ if self.is_of_vault() => path.find("/backuppolicies/").or_else(|| path.find("/backupfabrics/")),
            _ => path.match_indices('/').nth(2).map(|(at, _)| at),
        };
        format!("{}{action}", &path[..cut.unwrap_or(path.len())])
    }
}

/// The action of Recovery Services that a GET is, by its types: `vaults/backuppolicies`. None for the vault itself.
fn backup_action(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/providers/microsoft.recoveryservices/")?;
    let types: Vec<&str> = rest.split('/').step_by(2).collect();
    (types.len() > 1).then(|| types.join("/"))
}

/// Between two who were told to come back when a window opens: what ARM's bucket of writes lets through
/// (compute-and-arm.md E.6), since whoever reads for a write writes next.
const APART: SignedDuration = SignedDuration::from_millis(100);

/// Below this share of a bucket no namespace goes before the others.
const LOW: f64 = 0.6;

/// After so long a daily limit is whole again.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The name under which what is left of a vault's day is written down.
fn name_of(scope: &str, class: Class) -> String {
    format!("{SPENT}{}", keys::hash(&[scope, class.as_str()]).chars().take(16).collect::<String>())
}

/// The share of a window that calls on their way may have taken before the answers of earlier ones show it.
const ON_THE_WAY: f64 = 0.1;

#[derive(Clone, Debug)]
struct Bucket {
    level: f64,
    at: Timestamp,
    /// When a window opened.
    opened: Timestamp,
    /// Nothing goes before: a 429 said so.
    closed_until: Timestamp,
    lines: [Line; 5],
    /// Of a window: what each namespace took of it.
    shares: Shares,
}

impl Bucket {
    fn of(level: f64, at: Timestamp) -> Self {
        let closed_until = Timestamp::UNIX_EPOCH;
        Bucket { level, at, opened: at, closed_until, lines: Default::default(), shares: Shares::default() }
    }

    fn refill(&mut self, class: Class, now: Timestamp) {
        let (size, refill) = class.rate();
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.level = (self.level + elapsed * refill).min(size);
        self.at = now;
    }

    fn has(&self, class: Class, calls: f64, priority: Priority, now: Timestamp) -> bool {
        self.closed_until <= now && self.level >= least(class, calls, priority)
    }
}

/// The level from which on so many calls leave what a priority must leave: of more than there ever are, all.
fn least(class: Class, calls: f64, priority: Priority) -> f64 {
    let size = class.rate().0;
    (size * priority.reserve(class) + calls).min(size)
}

/// What is about to be sent.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The first request.
    pub request: Request,
    /// Who wants it.
    pub priority: Priority,
    /// How many calls it is: the pages of a listing.
    pub calls: f64,
}

impl Wanted {
    /// A single call.
    pub fn one(request: Request, priority: Priority) -> Self {
        Wanted { request, priority, calls: 1.0 }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Whose bucket it is.
    pub access: &'a str,
    /// For whom: a window that is nearly used up is shared between namespaces.
    pub namespace: &'a str,
}

/// Whose bucket: the access, the scope and the class.
type Key = (String, String, Class);

/// The buckets, and what an earlier leader wrote down of those that were not asked for yet.
#[derive(Default)]
struct Buckets {
    all: BTreeMap<Key, Bucket>,
    noted: BTreeMap<String, (f64, Timestamp)>,
}

/// How a note of what is left of a daily limit begins; a hash of the vault and the class follows.
pub const SPENT: &str = "day ";

/// Whether a request counts against a daily limit of its vault.
pub fn is_daily(request: &Request) -> bool {
    Class::of(request).into_iter().any(Class::is_of_vault)
}

/// All buckets. Times are world times; the factor turns refills, which are wall rates, into world rates.
#[derive(Default)]
pub struct Budget {
    buckets: Mutex<Buckets>,
    expected: Mutex<Arc<Expected>>,
}

/// How many reads of a window are about to be asked for, by access and namespace.
pub type Expected = BTreeMap<String, BTreeMap<String, f64>>;

impl Budget {
    /// Takes a token of every class that the request counts against, or says when there will be one.
    ///
    /// # Errors
    /// The class that is spent and the world time at which to come back.
    pub fn take(&self, caller: Caller<'_>, request: &Request, priority: Priority, now: Timestamp) -> Result<(), (Class, Timestamp)> {
        let (expected, mut buckets) = (self.expected(), self.open());
        in_line(&mut buckets, &expected, caller, (request, 1.0, priority), now)?;
        for class in Class::of(request) {
            let bucket = bucket(&mut buckets, caller.access, request, class, now);
            bucket.level -= 1.0;
            if class.is_shared(0.0) {
                bucket.shares.take(caller.namespace, now);
            }
        }
        Ok(())
    }

    /// Gives back what was taken for a request that certainly did not leave.
    pub fn give_back(&self, access: &str, request: &Request, now: Timestamp) {
        let mut buckets = self.open();
        for class in Class::of(request) {
            let bucket = bucket(&mut buckets, access, request, class, now);
            bucket.level = (bucket.level + 1.0).min(class.rate().0);
        }
    }

    /// The same for all of these or none, and nothing is taken yet.
    ///
    /// # Errors
    /// The first class that is spent and the world time at which to come back.
    pub fn admits(&self, caller: Caller<'_>, wanted: &[Wanted], now: Timestamp) -> Result<(), (Class, Timestamp)> {
        let (expected, mut buckets) = (self.expected(), self.open());
        wanted.iter().try_for_each(|w| in_line(&mut buckets, &expected, caller, (&w.request, w.calls, w.priority), now))
    }

    /// Whether it could be taken now. Nobody stands in line for it.
    pub fn spares(&self, access: &str, request: &Request, priority: Priority, now: Timestamp) -> bool {
        let mut buckets = self.open();
        let has = |class: Class| bucket(&mut buckets, access, request, class, now).has(class, 1.0, priority, now);
        Class::of(request).into_iter().all(has)
    }

    /// What is about to be asked for from now on.
    pub fn expect(&self, expected: Expected) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(expected);
    }

    /// Whether anything is about to be asked for.
    pub fn expects(&self) -> bool {
        !self.expected().is_empty()
    }

    fn expected(&self) -> Arc<Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is left of the daily limits that were spent of, to be written down: thousandths of a call, and the second.
    pub fn spent(&self, now: Timestamp) -> BTreeMap<String, Vec<i64>> {
        let mut buckets = self.open();
        let Buckets { all, noted } = &mut *buckets;
        let of_vaults = all.iter_mut().filter(|((_, _, class), _)| class.is_of_vault());
        let lower = of_vaults.filter_map(|((_, scope, class), bucket)| {
            bucket.refill(*class, now);
            (bucket.level < class.rate().0).then(|| (name_of(scope, *class), (bucket.level, now)))
        });
        let all: BTreeMap<String, (f64, Timestamp)> = noted.iter().map(|(name, left)| (name.clone(), *left)).chain(lower).collect();
        let text = |(level, at): (f64, Timestamp)| vec![(level * 1000.0) as i64, at.as_second()];
        all.into_iter().filter(|(_, (_, at))| now.duration_since(*at) < DAY).map(|(name, left)| (name, text(left))).collect()
    }

    /// Takes over what an earlier leader wrote down: what was spent of a vault's day stays spent.
    pub fn recall(&self, spent: &BTreeMap<String, Vec<i64>>) {
        let read = |left: &Vec<i64>| Some((*left.first()? as f64 / 1000.0, Timestamp::from_second(*left.get(1)?).ok()?));
        let noted = spent.iter().filter_map(|(name, left)| Some((name.clone(), read(left)?)));
        self.open().noted.extend(noted);
    }

    fn open(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from an answer: what Azure says is left, and a 429's closing time (world seconds).
    pub fn learn(&self, access: &str, request: &Request, answer: &Answer, retry_after: Option<SignedDuration>, now: Timestamp) {
        let mut buckets = self.open();
        for class in Class::of(request) {
            let bucket = bucket(&mut buckets, access, request, class, now);
            if let Some(left) = remaining(class, answer) {
                // Far more than we reckoned with, and not for calls that are still on their way: Azure's window opened anew.
                if class.window().is_some() && left > bucket.level + class.rate().0 * ON_THE_WAY {
                    (bucket.level, bucket.opened, bucket.shares) = (left, now, Shares::default());
                }
                bucket.level = bucket.level.min(left);
            }
            // A refusal speaks of the narrowest class that the request counts against, not of every read of the scope.
            if answer.status == 429 && Class::of(request).last() == Some(&class) {
                if class.refills_soon() {
                    bucket.level = 0.0;
                }
                bucket.closed_until = now + retry_after.unwrap_or(SignedDuration::from_secs(60));
            }
        }
    }

    /// The lowest level of each class, as a share of its size: for metrics.
    pub fn levels(&self) -> BTreeMap<&'static str, f64> {
        let buckets = self.open();
        let mut levels = BTreeMap::new();
        for ((_, _, class), bucket) in &buckets.all {
            let share = bucket.level / class.rate().0;
            levels.entry(class.as_str()).and_modify(|l: &mut f64| *l = l.min(share)).or_insert(share);
        }
        levels
    }
}

/// Whether there is a token of every class; who comes when there is none is given a place in line.
fn in_line(
    buckets: &mut Buckets,
    expected: &Expected,
    caller: Caller<'_>,
    (request, calls, priority): (&Request, f64, Priority),
    now: Timestamp,
) -> Result<(), (Class, Timestamp)> {
    let nobody = BTreeMap::new();
    let expected = expected.get(caller.access).unwrap_or(&nobody);
    for class in Class::of(request) {
        let (size, refill) = class.rate();
        let bucket = bucket(buckets, caller.access, request, class, now);
        if bucket.has(class, calls, priority, now) {
            let left = bucket.level - size * priority.reserve(class);
            let (of, from, apart) = match class.window() {
                Some(_) => (Of::Window, now + AGAIN, APART),
                None => (Of::Flow, now + SignedDuration::from_secs(1), SignedDuration::from_secs_f64(1.0 / refill)),
            };
            let waits_for_nobody = !class.is_shared(bucket.level) || priority <= Priority::Debt;
            if waits_for_nobody || bucket.shares.admit(caller.namespace, of, left, now, expected) {
                continue;
            }
            return Err((class, bucket.lines[priority.line()].place(request, (now, from), apart)));
        }
        let seconds = |seconds: f64| SignedDuration::from_millis((seconds * 1000.0).ceil() as i64);
        let (from, apart) = match class.window() {
            _ if bucket.closed_until > now => (bucket.closed_until, APART),
            Some(window) => (bucket.opened + window, APART),
            None => (now + seconds((least(class, calls, priority) - bucket.level) / refill), seconds(calls / refill)),
        };
        return Err((class, bucket.lines[priority.line()].place(request, (now, from), apart)));
    }
    Ok(())
}

fn bucket<'a>(buckets: &'a mut Buckets, access: &str, request: &Request, class: Class, now: Timestamp) -> &'a mut Bucket {
    let size = class.rate().0;
    // What a vault takes in a day it takes from all who write to it.
    let whose = if class.is_of_vault() { "" } else { access };
    let key = (whose.to_owned(), class.scope(&request.path), class);
    let Buckets { all, noted } = buckets;
    let bucket = all.entry(key).or_insert_with_key(|(_, scope, class)| {
        let left = Some(noted).filter(|_| class.is_of_vault()).and_then(|noted| noted.remove(&name_of(scope, *class)));
        let (level, at) = left.map_or((size, now), |(level, at)| (level.clamp(0.0, size), at.min(now)));
        Bucket::of(level, at)
    });
    if class.window().is_some_and(|window| bucket.opened + window <= now) {
        (bucket.level, bucket.opened, bucket.shares) = (size, now, Shares::default());
    }
    bucket.refill(class, now);
    bucket
}

/// What Azure's header says is left for this class. The hourly legacy values (11999) are above our size and change nothing.
fn remaining(class: Class, answer: &Answer) -> Option<f64> {
    let names: &[&str] = match class {
        Class::Read => &["x-ms-ratelimit-remaining-subscription-reads"],
        Class::JobRead | Class::BackupRead => &["x-ms-ratelimit-remaining-subscription-resource-requests"],
        Class::Write => &["x-ms-ratelimit-remaining-subscription-writes"],
        Class::Delete => &["x-ms-ratelimit-remaining-subscription-deletes"],
        // Compute tells all of its policies in one: `Microsoft.Compute/HighCostGet3Min;239,Microsoft.Compute/...` (E.7).
        Class::DiskList => {
            let told = answer.header("x-ms-ratelimit-remaining-resource")?;
            return told.split(',').find_map(|policy| count(policy.trim().strip_prefix("Microsoft.Compute/HighCostGet3Min;")?));
        }
        Class::PolicyWrite | Class::ProtectionChange => &[],
    };
    names.iter().find_map(|n| count(answer.header(n)?))
}

/// What is left is a whole number from nought on: anything else in such a header says nothing.
fn count(text: &str) -> Option<f64> {
    text.parse::<u32>().ok().map(f64::from)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
