//! What this process has seen. Nothing here is needed for correctness: it may be lost at any moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_api::{Reason, operations::Handle};
use breakwater_arm::{ResourceId, wire::Request};
use breakwater_plan::{
    facts::{Asked, List, NewSecret},
    sighting::{How, Listed, Packed, Sample, Seen, Sighting, Trouble},
};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;

use crate::{
    object,
    ports::{Identity, ObjectKey},
};

/// Something keyed by the access that saw it.
pub type By<T> = (String, T);

/// A sighting and the version token that it was asked under.
#[derive(Clone, Debug, Default)]
pub struct Kept<T> {
    /// What was seen.
    pub value: T,
    /// The token of `Fresh::Version`.
    pub version: String,
    /// When somebody last wanted it: what nobody wants is dropped.
    pub wanted: Option<Timestamp>,
}

type StoredSighting = (Timestamp, How, Option<Packed>);

/// What is known of a resource, its bodies packed.
#[derive(Default)]
struct Stored {
    listed: Option<StoredSighting>,
    read: Option<StoredSighting>,
    trouble: Option<Trouble>,
}

impl Stored {
    fn of(seen: &Seen, sample: &mut Option<Sample>) -> Self {
        let mut pack = |s: &Sighting| (s.at, s.how, s.what.as_deref().map(|body| Packed::among(body, sample)));
        let (listed, read) = (seen.listed.as_ref().map(&mut pack), seen.read.as_ref().map(&mut pack));
        Stored { listed, read, trouble: seen.trouble.clone() }
    }

    fn open(&self) -> Seen {
        let open =
            |(at, how, what): &StoredSighting| Sighting { at: *at, how: *how, what: what.as_ref().map(|body| Arc::new(body.open())) };
        Seen { listed: self.listed.as_ref().map(open), read: self.read.as_ref().map(open), trouble: self.trouble.clone() }
    }
}

/// Progress of an operation between two saves of its record.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When to ask again.
    pub next_poll: Option<Timestamp>,
    /// The signed poll link, never stored.
    pub link: Option<String>,
    /// By what it is followed, where no save of its record has held that yet.
    pub handle: Option<Handle>,
    /// The job that the operation named.
    pub job: Option<String>,
    /// Percent, where Azure says.
    pub percent: Option<i32>,
    /// Set when the operation cannot be asked any more (404): the target is followed instead.
    pub lost: bool,
}

/// A listing on its way: the pages that came, and the request for the next one.
pub struct Pages {
    /// World time at which its first page was asked for.
    pub began: Timestamp,
    /// The version that it was asked for under.
    pub version: String,
    /// What to ask next: the link in it stays in memory.
    pub next: Request,
    /// What came so far.
    pub items: BTreeMap<ResourceId, Packed>,
    /// What items are packed by.
    pub sample: Option<Sample>,
    /// How many pages came.
    pub count: u32,
}

/// A vault's job list.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// What was listed.
    pub listed: Listed,
    /// How far back it reaches.
    pub reach: Timestamp,
    /// How many pages it had.
    pub pages: u32,
}

impl Pages {
    /// None yet.
    pub fn of(first: Request, began: Timestamp, version: &str, sample: Option<Sample>) -> Self {
        Pages { began, version: version.to_owned(), next: first, items: BTreeMap::new(), sample, count: 0 }
    }
}

/// A question that Azure works on.
#[derive(Clone)]
pub struct Followed {
    /// What was asked: [`breakwater_plan::keys::safe_key`] of it.
    pub question: String,
    /// Where to ask how it goes; never stored.
    pub link: String,
    /// World time at which to ask next.
    pub next_poll: Timestamp,
}

/// Why a node is not tried again for now, where no record of it is left to say so.
#[derive(Clone, Debug)]
pub struct PutOff {
    /// Of which generation of the object that is true.
    pub generation: i64,
    /// For the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// World time at which it is tried again.
    pub until: Timestamp,
}

/// Everything seen, behind one lock a part.
#[derive(Default)]
pub struct Memory {
    seen: Mutex<BTreeMap<By<ResourceId>, Kept<Stored>>>,
    samples: Mutex<BTreeMap<By<String>, Option<Sample>>>,
    lists: Mutex<BTreeMap<By<List>, Kept<Listed>>>,
    /// What changed in a listing since those who watch it were woken last.
    changed: Mutex<BTreeMap<By<List>, BTreeSet<ResourceId>>>,
    under_way: Mutex<BTreeMap<By<List>, Pages>>,
    jobs: Mutex<BTreeMap<By<ResourceId>, Jobs>>,
    asked: Mutex<BTreeMap<(ObjectKey, String), Kept<Asked>>>,
    followed: Mutex<BTreeMap<(ObjectKey, String), Followed>>,
    new_secrets: Mutex<BTreeMap<(ObjectKey, String), (Timestamp, NewSecret)>>,
    acted: Mutex<BTreeMap<ResourceId, Timestamp>>,
    /// By the object too: a status may name the request of another one.
    progress: Mutex<BTreeMap<ObjectKey, BTreeMap<String, Progress>>>,
    put_off: Mutex<BTreeMap<(ObjectKey, String), PutOff>>,
    identities: Mutex<BTreeMap<String, Identity>>,
    written: Mutex<BTreeMap<ObjectKey, Packed>>,
    flights: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    azure_date: Mutex<Option<Timestamp>>,
    /// How far Azure's clock was behind this process's when it answered last.
    azure_behind: Mutex<SignedDuration>,
}

/// How long something that nobody asks for is remembered, in world time.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(3);

fn open<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// What was seen as somebody else is not known any more: another identity may read more, or less.
    pub fn stands_as(&self, identity: &Identity) {
        let before = open(&self.identities).insert(identity.access.clone(), identity.clone());
        if before.is_none_or(|before| before == *identity) {
            return;
        }
        let access = &identity.access;
        open(&self.seen).retain(|(by, _), _| by != access);
        open(&self.lists).retain(|(by, _), _| by != access);
        open(&self.changed).retain(|(by, _), _| by != access);
        open(&self.under_way).retain(|(by, _), _| by != access);
        open(&self.jobs).retain(|(by, _), _| by != access);
    }

    /// Notes that a node of an object is not tried again before a time.
    pub fn put_off(&self, object: &ObjectKey, node: &str, put_off: PutOff) {
        open(&self.put_off).insert((object.clone(), node.to_owned()), put_off);
    }

    /// Why a node is not tried for now.
    pub fn is_put_off(&self, object: &ObjectKey, node: &str, generation: i64, now: Timestamp) -> Option<PutOff> {
        let put_off = open(&self.put_off).get(&(object.clone(), node.to_owned())).cloned();
        put_off.filter(|off| off.generation == generation && off.until > now)
    }

    /// What is known of a resource, and the version it was read under.
    pub fn seen(&self, access: &str, id: &ResourceId, now: Timestamp) -> Kept<Seen> {
        let mut seen = open(&self.seen);
        match seen.get_mut(&(access.to_owned(), id.clone())) {
            None => Kept::default(),
            Some(kept) => {
                kept.wanted = Some(now);
                Kept { value: kept.value.open(), version: kept.version.clone(), wanted: kept.wanted }
            }
        }
    }

    /// When a resource was last read, why not since, and under which version; none where nobody tried.
    pub fn read_at(&self, access: &str, id: &ResourceId, now: Timestamp) -> Option<(Option<Timestamp>, Option<Trouble>, String)> {
        let mut seen = open(&self.seen);
        let kept = seen.get_mut(&(access.to_owned(), id.clone()))?;
        kept.wanted = Some(now);
        Some((kept.value.read.as_ref().map(|(at, ..)| *at), kept.value.trouble.clone(), kept.version.clone()))
    }

    /// Changes what is known of a resource.
    pub fn see(&self, access: &str, id: &ResourceId, now: Timestamp, change: impl FnOnce(&mut Kept<Seen>)) {
        let mut seen = open(&self.seen);
        let kept = seen.entry((access.to_owned(), id.clone())).or_default();
        let mut opened = Kept { value: kept.value.open(), version: std::mem::take(&mut kept.version), wanted: Some(now) };
        change(&mut opened);
        let mut samples = open(&self.samples);
        let sample = samples.entry((access.to_owned(), id.resource_type().as_str().to_ascii_lowercase())).or_default();
        *kept = Kept { value: Stored::of(&opened.value, sample), version: opened.version, wanted: opened.wanted };
    }

    /// What is known of a collection.
    pub fn list(&self, access: &str, list: &List, now: Timestamp) -> Kept<Listed> {
        let mut lists = open(&self.lists);
        match lists.get_mut(&(access.to_owned(), list.clone())) {
            None => Kept::default(),
            Some(kept) => {
                kept.wanted = Some(now);
                kept.clone()
            }
        }
    }

    /// Changes what is known of a collection.
    pub fn see_list(&self, access: &str, list: &List, change: impl FnOnce(&mut Kept<Listed>)) {
        change(open(&self.lists).entry((access.to_owned(), list.clone())).or_default());
    }

    /// When a collection was last listed.
    pub fn listed_at(&self, access: &str, list: &List) -> Option<Timestamp> {
        let lists = open(&self.lists);
        lists.get(&(access.to_owned(), list.clone()))?.value.last.as_ref().map(|last| last.at)
    }

    /// Notes which items differ from the listing before, whoever listed.
    pub fn note_changed(&self, access: &str, list: &List, changed: &[ResourceId]) {
        if !changed.is_empty() {
            open(&self.changed).entry((access.to_owned(), list.clone())).or_default().extend(changed.iter().cloned());
        }
    }

    /// What changed since this was asked last.
    pub fn take_changed(&self) -> BTreeMap<By<List>, BTreeSet<ResourceId>> {
        std::mem::take(&mut *open(&self.changed))
    }

    /// A listing that was cut short, if one was.
    pub fn take_under_way(&self, access: &str, list: &List) -> Option<Pages> {
        open(&self.under_way).remove(&(access.to_owned(), list.clone()))
    }

    /// Keeps a listing that was cut short.
    pub fn keep_under_way(&self, access: &str, list: &List, pages: Pages) {
        open(&self.under_way).insert((access.to_owned(), list.clone()), pages);
    }

    /// A vault's job list.
    pub fn jobs(&self, access: &str, vault: &ResourceId) -> Option<Jobs> {
        open(&self.jobs).get(&(access.to_owned(), vault.clone())).cloned()
    }

    /// Keeps a vault's job list.
    pub fn see_jobs(&self, access: &str, vault: &ResourceId, jobs: Jobs) {
        open(&self.jobs).insert((access.to_owned(), vault.clone()), jobs);
    }

    /// An answer to an object's ask.
    pub fn asked(&self, object: &ObjectKey, name: &str) -> Option<Kept<Asked>> {
        open(&self.asked).get(&(object.clone(), name.to_owned())).cloned()
    }

    /// Keeps an answer to an object's ask.
    pub fn see_asked(&self, object: &ObjectKey, name: &str, kept: Kept<Asked>) {
        open(&self.asked).insert((object.clone(), name.to_owned()), kept);
    }

    /// Notes that the intent of an action on an item is saved.
    pub fn note_act(&self, item: &ResourceId, at: Timestamp) {
        let mut acted = open(&self.acted);
        // What is older than any list that counts need not be known.
        acted.retain(|_, before| *before + FORGET_AFTER > at);
        acted.insert(item.clone(), at);
    }

    /// When the intent of an action on an item was last saved by this process.
    pub fn acted(&self, item: &ResourceId) -> Option<Timestamp> {
        open(&self.acted).get(item).copied()
    }

    /// A question of an object that Azure still works on.
    pub fn followed(&self, object: &ObjectKey, name: &str) -> Option<Followed> {
        open(&self.followed).get(&(object.clone(), name.to_owned())).cloned()
    }

    /// Follows a question, or no more.
    pub fn follow(&self, object: &ObjectKey, name: &str, followed: Option<Followed>) {
        let at = (object.clone(), name.to_owned());
        match followed {
            Some(followed) => drop(open(&self.followed).insert(at, followed)),
            None => drop(open(&self.followed).remove(&at)),
        }
    }

    /// Progress of the operation that was sent for an object under this request id.
    pub fn progress(&self, object: &ObjectKey, request_id: &str) -> Progress {
        open(&self.progress).get(object).and_then(|of| of.get(request_id)).cloned().unwrap_or_default()
    }

    /// Changes the progress of an operation.
    pub fn advance(&self, object: &ObjectKey, request_id: &str, change: impl FnOnce(&mut Progress)) {
        change(open(&self.progress).entry(object.clone()).or_default().entry(request_id.to_owned()).or_default());
    }

    /// Drops the progress of an operation that is over.
    pub fn drop_progress(&self, object: &ObjectKey, request_id: &str) {
        self.retain_progress(object, |id| id != request_id);
    }

    /// Drops the progress of what an object does not do any more. What closes something is named after it, with a word behind.
    pub fn keep_progress(&self, object: &ObjectKey, does: impl Fn(&str) -> bool) {
        self.retain_progress(object, |id| does(id.split_once(' ').map_or(id, |(request_id, _)| request_id)));
    }

    fn retain_progress(&self, object: &ObjectKey, keep: impl Fn(&str) -> bool) {
        let mut progress = open(&self.progress);
        let Some(of) = progress.get_mut(object) else { return };
        of.retain(|id, _| keep(id));
        if of.is_empty() {
            progress.remove(object);
        }
    }

    /// The object as our own last write answered it, which the watch may not have shown yet.
    pub fn written(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        open(&self.written).get(key).map(|packed| Arc::new(object::opened(packed)))
    }

    /// Remembers what our write answered.
    pub fn write(&self, key: &ObjectKey, written: &DynamicObject) {
        let mut samples = open(&self.samples);
        let sample = samples.entry((String::new(), key.kind.clone())).or_default();
        open(&self.written).insert(key.clone(), object::packed(written, sample));
    }

    /// The watch has caught up, or the object is gone.
    pub fn caught_up(&self, key: &ObjectKey) {
        open(&self.written).remove(key);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.caught_up(key);
        open(&self.asked).retain(|(object, _), _| object != key);
        open(&self.followed).retain(|(object, _), _| object != key);
        open(&self.new_secrets).retain(|(object, _), _| object != key);
        open(&self.progress).remove(key);
        open(&self.put_off).retain(|(object, _), _| object != key);
    }

    /// Whether a Secret could be made for an object, as it was tried at or after `since`.
    pub fn new_secret(&self, object: &ObjectKey, name: &str, since: Timestamp) -> Option<NewSecret> {
        let tried = open(&self.new_secrets).get(&(object.clone(), name.to_owned())).cloned();
        tried.filter(|(at, _)| *at >= since).map(|(_, found)| found)
    }

    /// Keeps what a try came to.
    pub fn see_new_secret(&self, object: &ObjectKey, name: &str, at: Timestamp, found: NewSecret) {
        open(&self.new_secrets).insert((object.clone(), name.to_owned()), (at, found));
    }

    /// One request at a time for one thing: the second finds the first one's answer.
    pub fn flight(&self, what: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = open(&self.flights);
        if flights.len() > 4096 {
            flights.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        flights.entry(what).or_default().clone()
    }

    /// Azure's own `Date`, as last seen.
    pub fn azure_date(&self) -> Option<Timestamp> {
        *open(&self.azure_date)
    }

    /// How far Azure's clock was behind this process's when it answered last, in whole quarters of a minute: an answer takes its
    /// time, and what is told by this must not differ from turn to turn. Nought before that, and where it was ahead.
    pub fn azure_behind(&self) -> SignedDuration {
        let behind = open(&self.azure_behind).as_secs();
        SignedDuration::from_secs(behind - behind % 15)
    }

    /// Learns Azure's own `Date`, of an answer that came at `now`.
    pub fn learn_date(&self, date: Timestamp, now: Timestamp) {
        *open(&self.azure_behind) = now.duration_since(date).max(SignedDuration::ZERO);
        let mut kept = open(&self.azure_date);
        if kept.is_none_or(|k| date > k) {
            *kept = Some(date);
        }
    }

    /// Collections that somebody wanted lately, with the time of their last whole listing.
    pub fn wanted_lists(&self, now: Timestamp) -> Vec<(By<List>, Option<Timestamp>, Option<Timestamp>)> {
        let mut lists = open(&self.lists);
        lists.retain(|_, kept| kept.wanted.is_none_or(|at| at + FORGET_AFTER > now));
        let due = |kept: &Kept<Listed>| kept.value.trouble.as_ref().map(|t| t.until);
        lists.iter().map(|(key, kept)| (key.clone(), kept.value.last.as_ref().map(|l| l.at), due(kept))).collect()
    }

    /// Drops what nobody has asked for in a while.
    pub fn prune(&self, now: Timestamp) {
        open(&self.seen).retain(|_, kept| kept.wanted.is_none_or(|at| at + FORGET_AFTER > now));
        open(&self.under_way).retain(|_, pages| pages.began + FORGET_AFTER > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> ObjectKey {
        ObjectKey { kind: "BackupRun".into(), namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn how_far_azures_clock_is_behind_is_told_in_quarters_of_a_minute() {
        let (memory, date): (_, Timestamp) = (Memory::default(), "2026-06-10T12:00:00Z".parse().unwrap());
        let behind = |seconds: i64| {
            memory.learn_date(date, date + SignedDuration::from_secs(seconds));
            memory.azure_behind().as_secs()
        };
        assert_eq!([0, 2, 14, 16, 300, -300].map(behind), [0, 0, 0, 15, 300, 0]);
    }

    #[test]
    fn what_was_seen_as_somebody_else_is_not_known_any_more() {
        let memory = Memory::default();
        let (now, id): (Timestamp, ResourceId) =
            (Timestamp::UNIX_EPOCH, "/subscriptions/50b50000-0000-4000-8000-000000000001".parse().unwrap());
        let identity = |access: &str, client: &str| Identity {
            access: access.into(),
            cloud: crate::ports::Cloud::AzurePublic,
            tenant_id: "tenant".into(),
            credential: crate::ports::Credential::Operator { client_id: client.into() },
        };
        let read = |access: &str| memory.seen(access, &id, now).value.read.is_some();
        memory.stands_as(&identity("one", "a"));
        for access in ["one", "two"] {
            memory.see(access, &id, now, |kept| kept.value.read = Some(Sighting { at: now, how: How::Read, what: None }));
        }
        memory.stands_as(&identity("one", "a"));
        assert!(read("one") && read("two"), "the same identity");
        memory.stands_as(&identity("one", "b"));
        assert_eq!((read("one"), read("two")), (false, true));
    }

    #[test]
    fn how_an_operation_goes_is_known_of_its_own_object_only() {
        let memory = Memory::default();
        let (mine, other) = (run("mine"), run("other"));
        memory.advance(&other, "one", |p| p.lost = true);
        assert!(!memory.progress(&mine, "one").lost, "a status may name the request of another object");
        for id in ["one", "one close", "before", "before close"] {
            memory.advance(&mine, id, |p| p.job = Some("job".into()));
        }
        memory.keep_progress(&mine, |id| id == "one");
        let known = |id: &str| memory.progress(&mine, id).job.is_some();
        assert_eq!(["one", "one close", "before", "before close"].map(known), [true, true, false, false]);
        memory.forget(&mine);
        assert!(!known("one") && memory.progress(&other, "one").lost);
    }
}
