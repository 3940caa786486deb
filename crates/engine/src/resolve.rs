//! Needs to facts: the engine asks until nothing new is asked. An unmet need is unknown, never absent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_arm::{ResourceId, wire::Request};
use breakwater_plan::{
    facts::{AnyObject, Facts, Fresh, List, Need, NewSecret, ObjectRef, SharedView},
    kind::{Kind, Subject},
    sighting::{How, Sighting},
};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;

use crate::{
    access,
    budget::Wanted,
    handed,
    memory::Memory,
    object,
    ports::{Cluster, ObjectKey},
    reader::{Due, Looker, Reader, is_mended, wanted_jobs},
    views::Views,
};

/// How a watched object becomes what kinds see.
pub type Parser = fn(&DynamicObject) -> Option<AnyObject>;

/// How old the answer may be whether a Secret could be made.
const TRIED_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// Of so many objects of a collection the views are kept, and of none where there are more.
pub(crate) const FEW: usize = 64;

/// Rounds of asking at most in one turn.
const MOST_ROUNDS: usize = 8;

/// What resolving needs besides the reader.
pub struct Resolver<'a> {
    /// Looks at Azure.
    pub reader: &'a Reader,
    /// Looks at Kubernetes.
    pub cluster: &'a dyn Cluster,
    /// One parser a kind.
    pub parsers: &'a BTreeMap<&'static str, Parser>,
    /// Views of earlier turns.
    pub views: &'a Views,
    /// Who looks; `None` when the access is not resolved: nothing of Azure is known then.
    pub looker: Option<&'a Looker>,
    /// The object of this turn.
    pub key: &'a ObjectKey,
    /// When this turn began.
    pub began: Timestamp,
    /// How old shared listings may be.
    pub interval: SignedDuration,
    /// Somebody asked for this turn: nothing remembered from before it is good enough.
    pub forced: bool,
}

/// The facts of a turn, with what was asked for.
#[derive(Clone, Default)]
pub struct Resolved {
    /// What is known.
    pub facts: Facts,
    /// Shared listings and the items of interest in them: `None` is all.
    pub watched: Vec<(List, Option<Vec<ResourceId>>)>,
}

impl Resolver<'_> {
    /// Asks until nothing new is asked.
    pub async fn resolve<K: Kind>(&self, subject: &Subject<K>) -> Resolved {
        let mut resolved = Resolved::default();
        let mut asked: Vec<Need> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let new: Vec<Need> = K::needs(subject, &resolved.facts).into_iter().filter(|n| !asked.contains(n)).collect();
            if new.is_empty() {
                return resolved;
            }
            self.together(&new);
            for need in new {
                self.answer(&need, &mut resolved).await;
                asked.push(need);
            }
        }
        tracing::warn!(kind = K::NAME, "a kind asks without end");
        resolved
    }

    /// Reads and questions of one round go together or not at all.
    fn together(&self, round: &[Need]) {
        let asks = round.iter().filter_map(|need| match need {
            Need::Ask { name, request, fresh } => Some(self.due(name, request, fresh)),
            _ => None,
        });
        let asks: Vec<Due<'_>> = asks.collect();
        let reads = round.iter().filter_map(|need| match need {
            Need::Read { fresh: Fresh::Known | Fresh::Spare(_) | Fresh::SpareVersion(_), .. } => None,
            Need::Read { id, fresh } => {
                let (since, version) = self.since(fresh);
                Some((id, since, version))
            }
            _ => None,
        });
        if let Some(by) = self.looker.filter(|_| !asks.is_empty()) {
            self.reader.together(by, self.key, &reads.collect::<Vec<_>>(), &asks);
        }
    }

    fn due<'n>(&self, name: &'n str, request: &'n Request, fresh: &'n Fresh) -> Due<'n> {
        let (since, version) = self.since(fresh);
        Due { name, request, since, version }
    }

    async fn answer(&self, need: &Need, resolved: &mut Resolved) {
        let facts = &mut resolved.facts;
        match need {
            Need::Object(at) => {
                let found = self.cluster.cached(&key_of(at)).and_then(|o| self.parse(at.kind, &o));
                facts.objects.insert(at.clone(), found);
            }
            Need::Made { kind, node } => self.made(kind, node, facts),
            Need::Objects { kind, namespace, naming } => self.collect(kind, namespace, naming.as_deref(), facts),
            Need::Namespace(name) => {
                let key = ObjectKey { kind: "Namespace".into(), namespace: String::new(), name: name.clone() };
                let labels = self.cluster.cached(&key).map(|n| n.metadata.labels.clone().unwrap_or_default());
                facts.namespaces.extend(labels.map(|labels| (name.clone(), labels)));
            }
            Need::Shared { kind, namespace, name } => {
                let key = ObjectKey { kind: kind.clone(), namespace: namespace.clone(), name: name.clone() };
                if let Some(object) = self.cluster.cached(&key)
                    && let Ok(status) = object::shared(&object)
                {
                    let uid = object.metadata.uid.clone().unwrap_or_default();
                    facts.shared.insert((key.kind, key.namespace, key.name), SharedView { uid, status });
                }
            }
            Need::Inventory { list, watch } => {
                resolved.watched.push((list.clone(), watch.clone()));
                if let Some(by) = self.looker {
                    // The sweep keeps it young; a turn that finds it older than that by an interval does not wait for it.
                    let since = if self.forced { self.began } else { self.began - self.interval * (list.intervals() + 1) };
                    self.reader.list(by, list, since, "").await;
                    self.take_list(by, list, watch.as_deref(), facts);
                }
            }
            Need::ListUnder { list, fresh } => {
                if let Some(by) = self.looker {
                    let (since, version) = self.since(fresh);
                    self.reader.list(by, list, since, version).await;
                    self.take_list(by, list, Some(&[]), facts);
                }
            }
            Need::Read { id, fresh } => {
                if let Some(by) = self.looker {
                    let (since, version) = self.since(fresh);
                    match fresh {
                        Fresh::Known => {}
                        Fresh::Spare(_) | Fresh::SpareVersion(_) => drop(self.reader.read_if_spare(by, id, since, version).await),
                        _ => self.reader.read(by, id, since, version).await,
                    }
                    self.take(by, id, facts);
                }
            }
            Need::Jobs { vault, since, fresh } => {
                if let Some(by) = self.looker {
                    self.reader.jobs(by, vault, *since, self.since(fresh).0).await;
                    self.take_jobs_since(by, vault, *since, facts);
                }
            }
            Need::NewSecret { name } => {
                let found = self.new_secret(name).await;
                facts.new_secrets.insert(name.clone(), found);
            }
            Need::Ask { name, request, fresh } => {
                if let Some(by) = self.looker {
                    let due = self.due(name, request, fresh);
                    self.reader.ask(by, self.key, &due).await;
                    if let Some(kept) = self.reader.memory.asked(self.key, name).filter(|kept| kept.version == due.token()) {
                        facts.asked.insert(name.clone(), kept.value);
                    }
                }
            }
        }
    }

    /// The objects of a kind: those that are meant, looked into, and the names of the others.
    fn collect(&self, kind: &'static str, namespace: &str, naming: Option<&[(&'static str, String)]>, facts: &mut Facts) {
        let within = (!namespace.is_empty()).then_some(namespace);
        let is_meant = |object: &DynamicObject| naming.is_none_or(|all| all.iter().any(|by| names(object, by)));
        let (mut meant, mut others) = (Vec::new(), BTreeSet::new());
        // What is not meant is not held: there may be ten thousand.
        for object in self.cluster.cached_all(kind, within) {
            match is_meant(&object) {
                true => meant.push(object),
                false => others.extend(object.metadata.name.clone()),
            }
        }
        // A thousand views would crowd out those that others come back to.
        let parse = |object: &Arc<DynamicObject>| match meant.len() > FEW {
            true => self.parsers.get(kind).and_then(|parse| parse(object)),
            false => self.parse(kind, object),
        };
        let found = meant.iter().filter_map(parse).collect();
        facts.collections.insert((kind, namespace.to_owned()), found);
        facts.others.insert((kind, namespace.to_owned()), others);
    }

    /// What the objects of a kind made by a node of theirs, or are making.
    fn made(&self, kind: &str, node: &str, facts: &mut Facts) {
        for object in self.cluster.cached_all(kind, None) {
            let Some((id, since)) = made_by(&object, node).filter(|_| self.may_speak(&object)) else { continue };
            facts.made.entry(id).and_modify(|at| *at = since.min(*at)).or_insert(since);
        }
    }

    /// Whether what an object says of the target that its status names counts here. Of another namespace's it does where that
    /// namespace's own access reaches the target: a status may be a tenant's own writing.
    fn may_speak(&self, object: &DynamicObject) -> bool {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let target = object.data.pointer("/status/targetId").and_then(|id| id.as_str());
        let Some(target) = target.filter(|_| namespace != self.key.namespace) else { return true };
        let pinned = object::shared(object).unwrap_or_default().access;
        let named = object.data.pointer("/spec/accessRef/name").and_then(|name| name.as_str());
        let access = access::resolve(self.cluster, namespace, pinned.as_ref(), named);
        target.parse::<ResourceId>().is_ok_and(|target| access.is_ok_and(|access| access.grant.admits("Restore", &target)))
    }

    /// Takes a vault's job list into the facts: one that reaches less far back than it was asked for says nothing of what came
    /// before.
    fn take_jobs_since(&self, by: &Looker, vault: &ResourceId, since: Timestamp, facts: &mut Facts) {
        // It was asked for anew: what an earlier need took may reach less far back.
        facts.jobs.remove(vault);
        self.take_jobs(by, vault, facts);
        let reach = self.memory().jobs(&by.identity.access, vault).map(|jobs| jobs.reach);
        if let Some(listed) = facts.jobs.get_mut(vault).filter(|_| reach.is_some_and(|reach| reach > since)) {
            listed.last = None;
        }
    }

    /// Whether a Secret of that name could be made, tried a moment ago or now.
    async fn new_secret(&self, name: &str) -> NewSecret {
        let since = if self.forced { self.began } else { self.began - TRIED_WITHIN };
        if let Some(found) = self.memory().new_secret(self.key, name, since) {
            return found;
        }
        let found = handed::could_be_made(self.cluster, &self.key.namespace, name).await;
        self.memory().see_new_secret(self.key, name, self.began, found.clone());
        found
    }

    fn since<'f>(&self, fresh: &'f Fresh) -> (Timestamp, &'f str) {
        match fresh {
            Fresh::Within(_) | Fresh::Spare(_) if self.forced => (self.began, ""),
            Fresh::Within(age) | Fresh::Spare(age) => (self.began - *age, ""),
            Fresh::After(at) => (*at, ""),
            Fresh::Known => (Timestamp::MIN, ""),
            Fresh::Version(token) | Fresh::SpareVersion(token) => (Timestamp::MIN, token),
        }
    }

    fn parse(&self, kind: &str, object: &DynamicObject) -> Option<AnyObject> {
        self.views.of(kind, object, *self.parsers.get(kind)?)
    }

    /// Takes what memory holds of a resource into the facts.
    pub fn take(&self, by: &Looker, id: &ResourceId, facts: &mut Facts) {
        let listed = facts.seen.get(id).and_then(|s| s.listed.clone());
        let mut seen = self.memory().seen(&by.identity.access, id, self.began).value;
        seen.listed = listed.or(seen.listed);
        seen.trouble = seen.trouble.filter(|trouble| !is_mended(by, trouble, id));
        facts.seen.insert(id.clone(), seen);
    }

    /// Takes a vault's job list into the facts.
    pub fn take_jobs(&self, by: &Looker, vault: &ResourceId, facts: &mut Facts) {
        if let Some(jobs) = self.memory().jobs(&by.identity.access, vault) {
            let wanted = wanted_jobs(by, vault, Some(&jobs));
            let mut listed = jobs.listed;
            listed.trouble = listed.trouble.and_then(|trouble| self.reader.to(by, wanted, trouble));
            facts.jobs_reach.insert(vault.clone(), jobs.reach);
            facts.jobs.entry(vault.clone()).or_insert(listed);
        }
    }

    /// Takes a listing into the facts, and what it says of the items of interest.
    fn take_list(&self, by: &Looker, list: &List, watch: Option<&[ResourceId]>, facts: &mut Facts) {
        let mut listed = self.memory().list(&by.identity.access, list, self.began).value;
        listed.trouble = listed.trouble.and_then(|trouble| self.reader.to(by, Wanted::one(list.request(), by.priority), trouble));
        for id in watch.into_iter().flatten().filter(|_| !list.partial) {
            self.take(by, id, facts);
            if let Some(last) = &listed.last {
                let sighting = Sighting { at: last.at, how: How::Listed, what: last.items.get(id).map(|body| Arc::new(body.open())) };
                facts.seen.entry(id.clone()).or_default().listed = Some(sighting);
            }
        }
        facts.lists.insert(list.clone(), listed);
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.reader.memory
    }
}

/// What an object says that it made, and since when it may be there: since Azure's job began, or since it was asked for. A status
/// may be anybody's writing: nothing was made before its object was.
fn made_by(object: &DynamicObject, node: &str) -> Option<(ResourceId, Timestamp)> {
    let time = |at: &serde_json::Value| at.as_str()?.parse::<Timestamp>().ok();
    let id = object.data.pointer("/status/targetId")?.as_str()?.parse().ok()?;
    let of_job = object.data.pointer("/status/job/startedAt").and_then(time);
    let asked_for = || {
        let all = object.data.pointer("/status/operations")?.as_array()?;
        time(all.iter().find(|record| record["node"] == node)?.get("intentAt")?)
    };
    let created = object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    Some((id, of_job.or_else(asked_for)?.max(created)))
}

/// Whether a reference in an object's spec has that name, or an id there is that one.
fn names(object: &DynamicObject, (field, wanted): &(&str, String)) -> bool {
    // A run's source names what it is restored from.
    let holders = ["/spec", "/spec/from/recoveryPoint"].iter().filter_map(|at| object.data.pointer(at));
    let named = |holder: &serde_json::Value| {
        let found = holder.get(field)?;
        let id = || found.as_str().map(|id| id.eq_ignore_ascii_case(wanted));
        found.get("name").and_then(|name| name.as_str()).map(|name| name == wanted.as_str()).or_else(id)
    };
    holders.filter_map(named).any(|is_it| is_it)
}

/// The key of an object that a kind refers to.
pub fn key_of(at: &ObjectRef) -> ObjectKey {
    ObjectKey { kind: at.kind.to_owned(), namespace: at.namespace.clone(), name: at.name.clone() }
}
