//! Looking at Azure: GETs, whole listings, job lists and asks, one flight each, within the budget. Cannot write.

mod job_lists;
mod silence;

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::Reason;
use breakwater_arm::{
    Accepted, Effect, OperationState, OperationStatus, ResourceId, classify,
    error::{ArmError, Remedy, Service, remedy, says_absent, shows},
    ids_in,
    versions::api_version,
    wire::{Answer, Method, Request},
};
use breakwater_plan::{
    facts::{Asked, List},
    keys,
    kind::Grant,
    sighting::{How, Listed, Listing, Packed, Sample, Sighting, Trouble},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    budget::{Budget, Caller, Class, Priority, Wanted},
    memory::{Followed, Kept, Memory, Pages},
    ports::{Arm, Clock, Identity, ObjectKey, SendError},
    settle::reason_of,
    telemetry::Telemetry,
};

use self::silence::{Silence, subscription_of};

pub use job_lists::wanted_jobs;

/// Pages of one listing at most: a link that leads round in circles must come to an end.
const MOST_PAGES: usize = 2_000;

/// Who looks: an identity and what it may see.
#[derive(Clone, Debug)]
pub struct Looker {
    /// Who it is at Azure.
    pub identity: Identity,
    /// What the namespace was granted.
    pub grant: Arc<Grant>,
    /// Who may go first.
    pub priority: Priority,
    /// For whom; empty where it is for all.
    pub namespace: Arc<str>,
}

impl Looker {
    fn caller(&self) -> Caller<'_> {
        Caller { access: &self.identity.access, namespace: &self.namespace }
    }
}

/// The reading half of Azure.
pub struct Reader {
    arm: Arc<dyn Arm>,
    clock: Arc<dyn Clock>,
    /// What was seen.
    pub memory: Arc<Memory>,
    budget: Arc<Budget>,
    telemetry: Arc<dyn Telemetry>,
    silence: Silence,
}

impl Reader {
    /// A reader over a port.
    pub fn new(arm: Arc<dyn Arm>, clock: Arc<dyn Clock>, memory: Arc<Memory>, budget: Arc<Budget>, telemetry: Arc<dyn Telemetry>) -> Self {
        Reader { arm, clock, memory, budget, telemetry, silence: Silence::default() }
    }

    /// GETs a resource, unless somebody did so at or after `since`.
    pub async fn read(&self, by: &Looker, id: &ResourceId, since: Timestamp, version: &str) {
        let access = &by.identity.access;
        let flight = self.memory.flight(format!("{access} {}", id.key()));
        let _alone = flight.lock().await;
        let now = self.clock.now();
        if !self.is_read_due(by, id, since, version) {
            return;
        }
        let Some(request) = get(id) else {
            return self.note(access, id, trouble(Reason::InternalError, format!("no api-version is known for {id}"), now, HOUR));
        };
        match self.send(by, &request).await {
            Err(trouble) => self.note(access, id, trouble),
            Ok(answer) if answer.is_success() && !shows(&answer, id) => {
                let why = format!("the answer about {id} does not show it: it lacks its id or its properties, and may be a proxy's");
                self.note(access, id, trouble(Reason::Unreadable, why, now, self.soon()));
            }
            Ok(answer) if says_absent(&answer) || answer.is_success() => {
                let what = answer.is_success().then(|| Arc::new(answer.body));
                let sighting = Sighting { at: self.clock.now(), how: How::Read, what };
                self.memory.see(access, id, now, |kept| {
                    kept.value.read = Some(sighting);
                    kept.value.trouble = None;
                    kept.version = version.to_owned();
                });
            }
            Ok(answer) => self.note(access, id, self.refusal(&request, &answer)),
        }
    }

    fn is_read_due(&self, by: &Looker, id: &ResourceId, since: Timestamp, version: &str) -> bool {
        let now = self.clock.now();
        let Some((read, trouble, under)) = self.memory.read_at(&by.identity.access, id, now) else { return true };
        let fresh = read.is_some_and(|at| at >= since) && (version.is_empty() || under == version);
        let troubled = trouble.is_some_and(|t| t.until > now && t.at >= since && !is_mended(by, &t, id));
        !fresh && !troubled
    }

    /// GETs a resource where Azure admits far more than was used. False when it does not: nothing was asked or noted.
    pub async fn read_if_spare(&self, by: &Looker, id: &ResourceId, since: Timestamp, version: &str) -> bool {
        let by = Looker { priority: Priority::Spare, ..by.clone() };
        let spares = get(id).is_some_and(|request| self.spares(&by, &request));
        if spares {
            self.read(&by, id, since, version).await;
        }
        spares
    }

    /// Whether the budget admits a call now.
    pub fn spares(&self, by: &Looker, request: &Request) -> bool {
        self.budget.spares(&by.identity.access, request, by.priority, self.clock.now())
    }

    /// What is asked together with a question is of use only with its answer, and the other way round: when the budget
    /// lacks for one of them, that is noted for all and nothing leaves.
    pub fn together(&self, by: &Looker, object: &ObjectKey, reads: &[(&ResourceId, Timestamp, &str)], asks: &[Due<'_>]) {
        let (access, now) = (&by.identity.access, self.clock.now());
        let reads: Vec<_> = reads.iter().filter(|(id, since, version)| self.is_read_due(by, id, *since, version)).collect();
        let asks: Vec<_> = asks.iter().filter(|ask| self.is_ask_due(object, ask)).collect();
        let of_reads = reads.iter().filter_map(|(id, ..)| Some(Wanted::one(get(id)?, by.priority)));
        let of_asks = asks.iter().map(|ask| Wanted::one(ask.request.clone(), asking(by)));
        let Err(spent) = self.budget.admits(by.caller(), &of_reads.chain(of_asks).collect::<Vec<_>>(), now) else { return };
        let trouble = throttled(spent, now);
        reads.iter().for_each(|(id, ..)| self.note(access, id, trouble.clone()));
        for ask in asks {
            let asked = Asked { at: now, body: None, trouble: Some(trouble.clone()) };
            self.memory.see_asked(object, ask.name, Kept { value: asked, version: ask.token(), wanted: Some(now) });
        }
    }

    fn note(&self, access: &str, id: &ResourceId, trouble: Trouble) {
        self.memory.see(access, id, trouble.at, |kept| kept.value.trouble = Some(trouble));
    }

    /// Lists a collection to its end, unless somebody did so at or after `since`. Answers the ids whose items changed.
    pub async fn list(&self, by: &Looker, list: &List, since: Timestamp, version: &str) -> Vec<ResourceId> {
        let access = &by.identity.access;
        let flight = self.memory.flight(format!("{access} {list:?}"));
        let _alone = flight.lock().await;
        let now = self.clock.now();
        let kept = self.memory.list(access, list, now);
        let fresh = kept.value.last.as_ref().is_some_and(|l| l.at >= since) && (version.is_empty() || kept.version == version);
        if fresh || self.keeps(by, Wanted::one(list.request(), by.priority), kept.value.trouble.as_ref(), since) {
            return Vec::new();
        }
        // What was cut short for want of budget goes on where it stopped: begun anew, a long list would never come to its end.
        let under_way = self.memory.take_under_way(access, list);
        let under_way = under_way.filter(|p| p.began >= since && p.began + LINKS_LAST > now && p.version == version);
        let mut pages = under_way.unwrap_or_else(|| Pages::of(list.request(), now, version, sample_of(&kept.value)));
        let began = pages.began;
        match self.pages(by, list.request(), &mut pages).await {
            Err(trouble) => {
                if trouble.reason == Reason::Throttled {
                    self.memory.keep_under_way(access, list, pages);
                }
                self.memory.see_list(access, list, |kept| {
                    kept.value.trouble = Some(trouble);
                    kept.wanted = Some(now);
                });
                Vec::new()
            }
            Ok(()) => {
                let items = pages.items;
                let is_first = kept.value.last.is_none();
                let before = kept.value.last.map(|l| l.items).unwrap_or_default();
                let changed = differing(&before, &items);
                // Unchanged items keep their old allocation: an inventory at rest costs nothing.
                let items = items.into_iter().map(|(id, v)| match before.get(&id) {
                    Some(old) if *old == v => (id, old.clone()),
                    _ => (id, v),
                });
                let listing = Listing { at: began, items: Arc::new(items.collect()) };
                self.memory.see_list(access, list, |kept| {
                    *kept = Kept { value: Listed { last: Some(listing), trouble: None }, version: version.to_owned(), wanted: Some(now) };
                });
                // Nobody has seen an earlier one than the first.
                if !is_first {
                    self.memory.note_changed(access, list, &changed);
                }
                changed
            }
        }
    }

    /// A listing's trouble as it is to who asks. A budget that was spent for somebody who must leave more of it may admit this one, or sooner;
    /// what Azure itself refused is closed to all.
    pub fn to(&self, by: &Looker, wanted: Wanted, trouble: Trouble) -> Option<Trouble> {
        if trouble.reason != Reason::Throttled {
            return Some(trouble);
        }
        let spent = self.budget.admits(by.caller(), &[wanted], self.clock.now()).err()?;
        Some(Trouble { until: trouble.until.min(spent.1), ..trouble })
    }

    /// Whether a trouble still keeps who asks from asking.
    fn keeps(&self, by: &Looker, wanted: Wanted, trouble: Option<&Trouble>, since: Timestamp) -> bool {
        let now = self.clock.now();
        let mended = |t: &Trouble| t.reason == Reason::AccessDenied && self.admits(by, &wanted.request).is_ok();
        let trouble = trouble.filter(|t| t.until > now && t.at >= since && !mended(t)).cloned();
        trouble.and_then(|t| self.to(by, wanted, t)).is_some_and(|t| t.until > now)
    }

    /// Asks a question that is a POST and yet a read by the table, unless it was answered at or after `since`.
    pub async fn ask(&self, by: &Looker, object: &ObjectKey, ask: &Due<'_>) {
        let question = keys::safe_key(ask.request);
        if let Some(followed) = self.memory.followed(object, ask.name).filter(|f| f.question == question) {
            return self.follow(by, object, ask, followed).await;
        }
        if !self.is_ask_due(object, ask) {
            return;
        }
        let result = self.send(&Looker { priority: asking(by), ..by.clone() }, ask.request).await;
        // A question may be long: then its answer is at the link, when there is one (backup.md §13, "Validate first").
        if let Ok(answer) = &result
            && answer.status == 202
            && let Some(link) = Accepted::from_answer(answer).and_then(|taken| taken.poll)
        {
            let next_poll = self.clock.now() + self.asked_to_wait(answer).unwrap_or(self.soon());
            return self.memory.follow(object, ask.name, Some(Followed { question, link, next_poll }));
        }
        self.answered(object, ask, result);
    }

    /// Asks how a question goes that Azure works on.
    async fn follow(&self, by: &Looker, object: &ObjectKey, ask: &Due<'_>, followed: Followed) {
        if followed.next_poll > self.clock.now() {
            return;
        }
        let result = self.send(by, &Request::follow(&followed.link)).await;
        let state = result.as_ref().ok().and_then(|answer| Some((OperationStatus::parse(answer).ok()?, answer)));
        let over = match &state {
            Some((status, answer)) if status.state == OperationState::InProgress => {
                let link = status.next_poll.clone().unwrap_or(followed.link);
                let next_poll = self.clock.now() + self.asked_to_wait(answer).unwrap_or(self.soon());
                return self.memory.follow(object, ask.name, Some(Followed { link, next_poll, ..followed }));
            }
            Some((OperationStatus { state: OperationState::Failed { code, message }, .. }, _)) => {
                let now = self.clock.now();
                Err(trouble(Reason::RefusedByAzure, format!("{code} {message}"), now, MINUTES))
            }
            // What passes by itself and says nothing of it is no end of it: to ask anew would begin it anew.
            None if passes(&result) => {
                let until = match &result {
                    Err(trouble) => trouble.until,
                    Ok(answer) => self.refusal(ask.request, answer).until,
                };
                let next_poll = until.max(self.clock.now() + self.soon());
                return self.memory.follow(object, ask.name, Some(Followed { next_poll, ..followed }));
            }
            _ => result,
        };
        self.memory.follow(object, ask.name, None);
        self.answered(object, ask, over);
    }

    fn answered(&self, object: &ObjectKey, ask: &Due<'_>, result: Result<Answer, Trouble>) {
        let now = self.clock.now();
        let asked = match result {
            Err(trouble) => Asked { at: now, body: None, trouble: Some(trouble) },
            Ok(answer) if answer.is_success() => Asked { at: now, body: Some(Arc::new(answer.body)), trouble: None },
            Ok(answer) => Asked { at: now, body: None, trouble: Some(self.refusal(ask.request, &answer)) },
        };
        self.memory.see_asked(object, ask.name, Kept { value: asked, version: ask.token(), wanted: Some(now) });
    }

    fn is_ask_due(&self, object: &ObjectKey, ask: &Due<'_>) -> bool {
        let Some(kept) = self.memory.asked(object, ask.name) else { return true };
        // The answer to another question of the same name is no answer.
        let same = kept.version == ask.token();
        let answered = kept.value.at >= ask.since && same;
        let troubled = same && kept.value.trouble.as_ref().is_some_and(|t| t.until > self.clock.now());
        !troubled && (!answered || kept.value.trouble.is_some())
    }

    /// Polls: a read whose whole answer the caller wants.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn poll(&self, by: &Looker, request: &Request) -> Result<Answer, Trouble> {
        self.send(by, request).await
    }

    /// Reads a listing on from where it is, to its end.
    async fn pages(&self, by: &Looker, first: Request, pages: &mut Pages) -> Result<(), Trouble> {
        for _ in 0..MOST_PAGES {
            if !self.page(by, &first, pages).await? {
                return Ok(());
            }
        }
        Err(trouble(Reason::Unreadable, format!("{} has more than {MOST_PAGES} pages", first.path), self.clock.now(), HOUR))
    }

    /// Reads one page more; whether there is another one.
    async fn page(&self, by: &Looker, first: &Request, pages: &mut Pages) -> Result<bool, Trouble> {
        let answer = self.send(by, &pages.next).await?;
        pages.count += 1;
        if !answer.is_success() {
            return Err(self.refusal(first, &answer));
        }
        // A page that is no page must not pass for an empty one: what is not in it would look absent.
        let Some(page) = answer.body.get("value").and_then(Value::as_array) else {
            return Err(trouble(Reason::Unreadable, format!("a page of {} holds no list", first.path), self.clock.now(), self.soon()));
        };
        for item in page {
            let Some(id) = item.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok()) else {
                if is_foreign(first, item) {
                    continue;
                }
                return Err(trouble(Reason::Unreadable, format!("an item of {} has no id", first.path), self.clock.now(), MINUTES));
            };
            pages.items.insert(id, Packed::among(item, &mut pages.sample));
        }
        let link = answer.body.get("nextLink").and_then(Value::as_str).filter(|l| !l.is_empty());
        if let Some(link) = link {
            pages.next = Request { path: first.path.clone(), ..Request::follow(link) };
        }
        Ok(link.is_some())
    }

    /// One read, once. Whatever is no read by the table does not leave.
    async fn send(&self, by: &Looker, request: &Request) -> Result<Answer, Trouble> {
        let now = self.clock.now();
        self.admits(by, request).map_err(|why| trouble(Reason::AccessDenied, why, now, HOUR))?;
        self.budget.take(by.caller(), request, by.priority, now).map_err(|spent| throttled(spent, now))?;
        let began = self.clock.wall();
        let whom = (by.identity.access.clone(), subscription_of(&request.path));
        self.silence.admits(&whom, began).map_err(|until| self.silent(&whom, request, until.saturating_sub(began)))?;
        let result = self.arm.call(&by.identity, request).await;
        let now = self.clock.now();
        self.heard(whom, &result, began);
        self.telemetry.arm_call(request, &result);
        match result {
            Ok(answer) => {
                self.learn(by, request, &answer);
                Ok(answer)
            }
            Err(SendError::NoToken(why)) => {
                self.budget.give_back(&by.identity.access, request, now);
                Err(trouble(Reason::TokenRefused, why, now, MINUTES))
            }
            Err(SendError::NotSent(why)) => {
                self.budget.give_back(&by.identity.access, request, now);
                Err(trouble(Reason::Unreadable, why, now, self.soon()))
            }
            Err(SendError::BadLink(why)) => {
                self.budget.give_back(&by.identity.access, request, now);
                Err(trouble(Reason::RefusedByAzure, why, now, MINUTES))
            }
            Err(SendError::Unknown(why)) => Err(trouble(Reason::Unreadable, why, now, self.soon())),
        }
    }

    /// What every answer teaches: Azure's own time, and how much is left.
    pub fn learn(&self, by: &Looker, request: &Request, answer: &Answer) {
        let now = self.clock.now();
        if let Some(date) = answer.header("date").and_then(|d| jiff::fmt::rfc2822::parse(d).ok()) {
            self.memory.learn_date(date.timestamp(), now);
        }
        self.budget.learn(&by.identity.access, request, answer, self.asked_to_wait(answer), now);
    }

    /// `Retry-After` in world time.
    pub fn asked_to_wait(&self, answer: &Answer) -> Option<SignedDuration> {
        let wire = answer.retry_after().or_else(|| ArmError::from_answer(answer).retry_after.filter(|_| answer.status == 429))?;
        let world = wire.as_secs_f64() * self.clock.factor().max(1.0);
        Some(SignedDuration::from_secs_f64(world.min(LONGEST_WAIT)))
    }

    fn admits(&self, by: &Looker, request: &Request) -> Result<(), String> {
        if request.link.is_some() {
            return Ok(()); // ARM's own link, on ARM's own origin: held by the port
        }
        let class = classify(request.method, &request.path, request.body.as_ref())
            .filter(|c| c.effect == Effect::Read)
            .ok_or_else(|| format!("{} {} is no read that the table knows", request.method, request.path))?;
        let ids = ids_in(&request.path, request.body.as_ref()).map_err(|e| e.to_string())?;
        // What hands out data, or the key to it, needs the act that it is for; the rest of the ids must be readable.
        let act = class.act.to_string();
        let need = |id: &ResourceId| if *id == class.target { act.as_str() } else { "Read" };
        let refused = ids.iter().chain([&class.target]).find(|id| !by.grant.admits(need(id), id));
        refused.map_or(Ok(()), |id| {
            Err(format!("AzureAccess {} does not allow {} on {id}: add it to spec.allow, or leave it out", by.grant.name, need(id)))
        })
    }

    /// Five seconds of world time, or one of wall time where that is longer.
    fn soon(&self) -> SignedDuration {
        SignedDuration::from_secs_f64(10.0_f64.max(self.clock.factor()))
    }

    /// What a whole answer that is no success means for reading.
    pub fn refusal(&self, request: &Request, answer: &Answer) -> Trouble {
        let error = ArmError::from_answer(answer);
        let service = request.path.parse::<ResourceId>().map_or(Service::Other, |id| Service::of(&id.resource_type()));
        let now = self.clock.now();
        let (reason, wait) = match (answer.status, remedy(service, request.method, &error)) {
            (429, _) => (Reason::Throttled, self.asked_to_wait(answer).unwrap_or(SignedDuration::from_secs(60))),
            (401 | 403, _) => (reason_of(&error), MINUTES),
            (_, Remedy::Retry { .. }) => (Reason::Unreadable, self.asked_to_wait(answer).unwrap_or(self.soon())),
            (_, Remedy::RetrySlowly) => (Reason::Unreadable, MINUTES),
            (_, Remedy::AwaitEdit | Remedy::AwaitHuman) => match reason_of(&error) {
                Reason::Busy => (Reason::RefusedByAzure, MINUTES),
                reason => (reason, MINUTES),
            },
        };
        Trouble { at: now, reason, message: error.to_string(), until: now + wait }
    }
}

/// Whether an item of a listing of whatever there is is of a type that nobody here looks at: such an id may have any form.
fn is_foreign(first: &Request, item: &Value) -> bool {
    let text = |field: &str| item.get(field).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let ours = ["microsoft.compute/", "microsoft.network/", "microsoft.recoveryservices/"];
    let is_foreign = text("type").is_some_and(|kind| !ours.iter().any(|of| kind.starts_with(of)));
    is_foreign && text("id").is_some() && first.path.to_ascii_lowercase().ends_with("/resources")
}

/// Whether it is asked again later, without a word to anybody: throttled, cut, or out of order for now.
fn passes(result: &Result<Answer, Trouble>) -> bool {
    match result {
        Err(trouble) => matches!(trouble.reason, Reason::Throttled | Reason::Unreadable),
        Ok(answer) => matches!(answer.status, 408 | 429 | 500..=599),
    }
}

/// A day, in seconds: whatever a header says.
const LONGEST_WAIT: f64 = 86_400.0;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long the link to a next page is good for: a guess, far below what a token of ARM lives.
const LINKS_LAST: SignedDuration = SignedDuration::from_mins(15);
const MINUTES: SignedDuration = SignedDuration::from_mins(2);

/// A question that is due.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// Names the answer.
    pub name: &'a str,
    /// The POST.
    pub request: &'a Request,
    /// How new the answer must be.
    pub since: Timestamp,
    /// The token of `Fresh::Version`.
    pub version: &'a str,
}

impl Due<'_> {
    /// What an answer is kept under: the version, and the question itself.
    pub fn token(&self) -> String {
        format!("{} {}", self.version, keys::safe_key(self.request))
    }
}

/// Questions count as writes at Azure, and give way to writes.
fn asking(by: &Looker) -> Priority {
    by.priority.max(Priority::Sweep)
}

fn get(id: &ResourceId) -> Option<Request> {
    api_version(&id.resource_type()).map(|api| Request::new(Method::Get, id.as_str(), api))
}

/// Whether our own refusal is none any more: the grant was widened since.
pub(crate) fn is_mended(by: &Looker, trouble: &Trouble, id: &ResourceId) -> bool {
    trouble.reason == Reason::AccessDenied && by.grant.admits("Read", id)
}

fn throttled((class, until): (Class, Timestamp), now: Timestamp) -> Trouble {
    Trouble { at: now, reason: Reason::Throttled, message: format!("the budget of {} calls is spent", class.as_str()), until }
}

fn trouble(reason: Reason, message: String, now: Timestamp, wait: SignedDuration) -> Trouble {
    Trouble { at: now, reason, message, until: now + wait }
}

/// What items of a listing are packed by: what those before were, so that the same item is the same bytes.
fn sample_of(listed: &Listed) -> Option<Sample> {
    listed.last.as_ref()?.items.values().next()?.sample()
}

fn differing(a: &BTreeMap<ResourceId, Packed>, b: &BTreeMap<ResourceId, Packed>) -> Vec<ResourceId> {
    let gone = a.keys().filter(|id| !b.contains_key(*id));
    let new = b.iter().filter(|(id, v)| a.get(*id) != Some(*v)).map(|(id, _)| id);
    gone.chain(new).cloned().collect()
}
