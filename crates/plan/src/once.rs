//! Actions: deciding whether one happened, and sending it at most as often as it may be (architecture.md, rule 3).

use breakwater_api::{
    OperationRecord, Reason,
    operations::Outcome,
    questions::{HAPPENED, NOT_HAPPENED},
};
use breakwater_arm::{ResourceId, names};
use jiff::{SignedDuration, Timestamp};

use crate::{
    graph::{Acted, Counts, Handed, JobProof, Lent, Proof, Repeat},
    jobs::SeenJob,
    keys,
    planner::{Bounds, Decision, MOST_ATTEMPTS, Owed, Step, Verdict, World, Write, outcome_choice, retry_verdict, wait},
    questions::{Approved, Question, Stake},
};

/// An action's verdict.
pub(crate) fn acted(d: &Decision<'_>, acted: &Acted) -> Verdict {
    let record = d.world.operations.get(d.key);
    let said = d.world.choices.get(&outcome_choice(&acted.key)).is_some_and(|word| word == HAPPENED);
    match (record, &acted.proof) {
        (None, _) if acted.done || said => Verdict::Done,
        (Some(_), _) if said => Verdict::Do(Step::Forget),
        (Some(record), Proof::Job(proof)) => by_job(d, acted, proof, record),
        (Some(record), _) => by_target(d, acted, record),
        (None, proof) => first(d, acted, proof),
    }
}

/// What every sending needs, the first and any other: nothing holds it, what it comes after is met, and a read of this
/// turn shows its target.
fn may_send(d: &Decision<'_>) -> Result<(), Verdict> {
    if let Some(hold) = &d.node.hold {
        return Err(d.held(hold));
    }
    if let Some(deadline) = d.node.deadline.filter(|_| is_late(d)) {
        return Err(Verdict::Stuck {
            reason: Reason::Expired,
            message: format!("not begun by {deadline}: nothing is sent"),
            question: None,
        });
    }
    if !d.ready() {
        return Err(d.dependency());
    }
    let target = d.node.id().expect("actions are Azure's");
    match d.fresh(target)?.what {
        Some(_) => Ok(()),
        None => {
            Err(Verdict::Stuck { reason: Reason::Missing, message: format!("{target} does not exist: nothing to act on"), question: None })
        }
    }
}

/// Whether it is too late to begin it.
fn is_late(d: &Decision<'_>) -> bool {
    d.node.deadline.is_some_and(|at| d.world.now >= at)
}

/// Nothing on record: may it be sent?
fn first(d: &Decision<'_>, acted: &Acted, proof: &Proof) -> Verdict {
    // The target first: lists of jobs are the scarcest reads, and none is spent on what cannot be sent now.
    if let Err(verdict) = may_send(d) {
        return verdict;
    }
    let Proof::Job(proof) = proof else {
        return write(acted, 1, Vec::new(), false, None);
    };
    let jobs = match jobs_since(d, &proof.vault, fresh_enough(d, proof)) {
        Ok(jobs) => jobs,
        Err(verdict) => return verdict,
    };
    // A rebuilt cluster computes the same request ids: a job that carries one of them is this action.
    if let Some(job) = own_job(d, acted, &jobs) {
        return if job.over { Verdict::Done } else { Verdict::Do(Step::Adopt { job: job.name.clone() }) };
    }
    let known = fitting(proof, &jobs).map(|j| j.name.clone()).take(16).collect();
    write(acted, 1, known, witnessed(d, &jobs), None)
}

/// From when on a list of jobs says whether the action happened. Where anybody's job counts, only a list of this turn does.
/// Where only our own counts, nobody but this process can have begun it since a list that it has read itself a moment ago;
/// what it began on this item since then is looked for anew.
fn fresh_enough(d: &Decision<'_>, proof: &JobProof) -> Timestamp {
    if proof.counts == Counts::Anybodys {
        return d.world.fresh_since;
    }
    let item = d.node.id().and_then(|id| id.ancestor(names::PROTECTED_ITEM));
    let acted = item.and_then(|item| d.world.acted.get(&item)).map(|at| *at + SignedDuration::from_nanos(1));
    let lately = d.world.fresh_since - d.bounds.jobs_within;
    acted.map_or(lately, |acted| lately.max(acted))
}

/// On record, proven by a job.
fn by_job(d: &Decision<'_>, acted: &Acted, proof: &JobProof, record: &OperationRecord) -> Verdict {
    if let Some(job) = &record.job {
        return follow(d, proof, job);
    }
    // A list that somebody has read meanwhile may show our job already: it needs no poll, and says more than an operation
    // that failed.
    let known = d.world.jobs.get(&proof.vault).and_then(|l| l.last.as_ref()).filter(|l| l.at > record.intent_at);
    let known = known.map(|list| SeenJob::of(list, &proof.container));
    if let Some(job) = known.as_ref().and_then(|jobs| own_job(d, acted, jobs)) {
        return Verdict::Do(Step::Adopt { job: job.name.clone() });
    }
    if record.error.is_some() {
        return failed(d, acted, proof, record);
    }
    if record.handle.is_some() && record.ended_at.is_none() {
        return d.poll(d.node.id().expect("actions are Azure's"));
    }
    let jobs = match jobs_since(d, &proof.vault, record.intent_at + SignedDuration::from_nanos(1)) {
        Ok(jobs) => jobs,
        Err(verdict) => return verdict,
    };
    if let Some(verdict) = shown(d, acted, proof, record, &jobs) {
        return verdict;
    }
    if acted.done {
        return Verdict::Do(Step::Forget);
    }
    let settled = intended(record, d.world.azure_behind) + d.bounds.settle_once;
    if d.world.now < settled {
        return relist(d, proof, settled, record);
    }
    // The list that says "no job" must itself have been read after the settle time.
    if let Err(verdict) = jobs_since(d, &proof.vault, settled) {
        return verdict;
    }
    let reaches_back = jobs.iter().any(|j| j.start.is_some_and(|at| at < begun(record)));
    // Azure took it, though the handle may be lost since: a poll time or an end is only noted of what was taken.
    let accepted = record.handle.is_some() || record.next_poll.is_some() || record.ended_at.is_some();
    if !reaches_back || accepted || record.attempt >= MOST_ATTEMPTS {
        return unknown(d, acted, record, "no job of it can be found, and nothing proves that it was not accepted");
    }
    // It did not happen, and is not begun any more.
    if is_late(d) {
        return Verdict::Do(Step::Forget);
    }
    let looked = may_send(d).and_then(|()| jobs_since(d, &proof.vault, d.world.fresh_since));
    looked.map_or_else(|verdict| verdict, |_| write(acted, record.attempt + 1, record.known_jobs.clone(), record.witness, None))
}

/// What a list of jobs says of an action that is on record: its job, or one that may be.
fn shown(d: &Decision<'_>, acted: &Acted, proof: &JobProof, record: &OperationRecord, jobs: &[SeenJob]) -> Option<Verdict> {
    if let Some(job) = own_job(d, acted, jobs) {
        return Some(Verdict::Do(Step::Adopt { job: job.name.clone() }));
    }
    let job = fitting(proof, jobs).find(|j| !record.known_jobs.contains(&j.name) && is_later(j, begun(record)))?;
    match proof.counts {
        Counts::Anybodys => Some(Verdict::Do(Step::Adopt { job: job.name.clone() })),
        Counts::Ours if !record.witness => Some(unknown(d, acted, record, &format!("job {} fits and does not say whose it is", job.name))),
        Counts::Ours => None,
    }
}

/// Refused, or taken and its operation failed. Of what was taken a job may run all the same: a list that was read since says
/// whether one does.
fn failed(d: &Decision<'_>, acted: &Acted, proof: &JobProof, record: &OperationRecord) -> Verdict {
    if was_taken(record) {
        let jobs = match jobs_since(d, &proof.vault, record.ended_at.unwrap_or(record.intent_at)) {
            Ok(jobs) => jobs,
            Err(verdict) => return verdict,
        };
        if let Some(verdict) = shown(d, acted, proof, record, &jobs) {
            return verdict;
        }
    }
    refused(d, acted, record)
}

/// Whether Azure took what has failed by now.
fn was_taken(record: &OperationRecord) -> bool {
    matches!(record.outcome, Some(Outcome::Failed | Outcome::Cancelled))
}

fn relist(d: &Decision<'_>, proof: &JobProof, settled: Timestamp, record: &OperationRecord) -> Verdict {
    let at = d.world.jobs.get(&proof.vault).and_then(|l| l.last.as_ref()).map_or(d.world.now, |l| l.at);
    let due = (at + d.bounds.jobs_every).min(settled);
    if due <= d.world.now {
        return list(d, &proof.vault);
    }
    wait(due, Reason::Settling, format!("the answer to request {} was lost; looking for its job until {settled}", record.client_request_id))
}

/// Nobody knows whether it happened: a person is asked, and the answer decides.
fn unknown(d: &Decision<'_>, acted: &Acted, record: &OperationRecord, why: &str) -> Verdict {
    let asks = format!(
        "{} {} (request {} of {}) may or may not have happened: {why}. Look at the vault's jobs; it is never repeated by itself",
        record.method, record.target, record.client_request_id, record.intent_at
    );
    let by_job = matches!(acted.proof, Proof::Job(_));
    let mut answers = vec![HAPPENED.to_owned()];
    answers.extend((record.attempt < MOST_ATTEMPTS || is_late(d)).then(|| NOT_HAPPENED.to_owned()));
    answers.extend(by_job.then(|| "<job id>".to_owned()));
    let stake = Stake {
        ids: d.node.id().into_iter().cloned().collect(),
        field: "request".into(),
        from: record.client_request_id.clone(),
        to: record.intent_at.to_string(),
        loses_points: false,
    };
    let question = Question { id: format!("outcome-of-{}", d.key), asks: asks.clone(), answers, stake, up_to: 1 };
    let ask = |asks: String| {
        let message = format!("{asks}. Answer question {} of status.questions with an Approval", question.id);
        Verdict::Stuck { reason: Reason::OutcomeUnknown, message, question: Some(Box::new(question.clone())) }
    };
    let Some(given) = d.world.answers.to(&question, d.world.asker) else { return ask(asks) };
    let approved = Approved { question: question.clone(), given: given.clone() };
    match given.answer.as_str() {
        HAPPENED => Verdict::Do(Step::Conclude(Box::new(approved))),
        // It is not begun any more: the answer ends it.
        NOT_HAPPENED if is_late(d) => Verdict::Do(Step::Conclude(Box::new(approved))),
        // Nothing is sent a ninth time.
        NOT_HAPPENED if record.attempt >= MOST_ATTEMPTS => ask(asks),
        NOT_HAPPENED => {
            let jobs = match &acted.proof {
                Proof::Job(proof) => jobs_since(d, &proof.vault, d.world.fresh_since).map(drop),
                Proof::Field | Proof::Operation => Ok(()),
            };
            let again = || write(acted, record.attempt + 1, record.known_jobs.clone(), record.witness, Some(approved));
            may_send(d).and(jobs).map_or_else(|verdict| verdict, |()| again())
        }
        job => match &acted.proof {
            Proof::Job(proof) => match jobs_since(d, &proof.vault, d.world.fresh_since) {
                Err(verdict) => verdict,
                Ok(jobs) if fitting(proof, &jobs).any(|j| j.name.eq_ignore_ascii_case(job)) => {
                    Verdict::Do(Step::Named { job: job.to_owned(), approved: Box::new(approved) })
                }
                Ok(_) => ask(format!("{asks}; the vault's list has no {} job {job} of this machine", proof.operation)),
            },
            Proof::Field | Proof::Operation => ask(asks),
        },
    }
}

/// A known job is followed to its end.
fn follow(d: &Decision<'_>, proof: &JobProof, job: &str) -> Verdict {
    let listed = d.world.jobs.get(&proof.vault);
    let Some(last) = listed.and_then(|l| l.last.as_ref()) else {
        return trouble(d, &proof.vault).unwrap_or_else(|| list(d, &proof.vault));
    };
    match SeenJob::named(last, job) {
        Some(j) if j.over => Verdict::Do(Step::Forget),
        _ if last.at + d.bounds.jobs_every <= d.world.now => trouble(d, &proof.vault).unwrap_or_else(|| list(d, &proof.vault)),
        Some(_) => wait(last.at + d.bounds.jobs_every, Reason::OperationRunning, format!("job {job} is in progress")),
        None => wait(last.at + d.bounds.jobs_every, Reason::OperationRunning, format!("job {job} is not in the list yet")),
    }
}

/// A whole 4xx: it certainly did not happen.
fn refused(d: &Decision<'_>, acted: &Acted, record: &OperationRecord) -> Verdict {
    if acted.done || acted.key != record.key {
        return Verdict::Do(Step::Forget);
    }
    if let Some(hold) = &d.node.hold {
        return d.held(hold);
    }
    if let Some(verdict) = retry_verdict(record, d.world.now) {
        return verdict;
    }
    let again = || write(acted, (record.attempt + 1).min(MOST_ATTEMPTS), record.known_jobs.clone(), record.witness, None);
    may_send(d).map_or_else(|verdict| verdict, |()| again())
}

/// On record, proven by a field of the target or by the operation's end.
fn by_target(d: &Decision<'_>, acted: &Acted, record: &OperationRecord) -> Verdict {
    let target = d.node.id().expect("actions are Azure's");
    if record.error.is_some() {
        return refused(d, acted, record);
    }
    let settle = if acted.repeat == Repeat::Once { d.bounds.settle_once } else { d.bounds.settle };
    match (&record.handle, &record.ended_at) {
        (Some(_), None) => d.poll(target),
        // Its end is the only proof: it stays on record until the kind has noted it.
        (_, Some(_)) if acted.proof == Proof::Operation && acted.done => Verdict::Do(Step::Forget),
        (_, Some(_)) if acted.proof == Proof::Operation => {
            wait(d.world.now + d.bounds.read_every, Reason::Settling, format!("the end of the operation on {target} is being noted"))
        }
        (_, ended) => {
            let since = ended.unwrap_or(record.intent_at) + SignedDuration::from_nanos(1);
            match d.read_after(target, since) {
                Err(verdict) => verdict,
                Ok(_) if acted.done => Verdict::Do(Step::Forget),
                Ok(s) if d.world.now < since + settle => {
                    d.again(target, s, d.rarer(s, since), Reason::Settling, format!("waiting until {target} shows it"))
                }
                Ok(s) if s.at < since + settle => Verdict::Do(Step::Read { id: target.clone() }),
                Ok(_) if ended.is_some() && acted.repeat == Repeat::Safe => Verdict::Do(Step::Forget),
                Ok(_) if acted.repeat == Repeat::Once => unknown(d, acted, record, "the target does not show it"),
                Ok(_) => {
                    let again = || write(acted, (record.attempt + 1).min(MOST_ATTEMPTS), Vec::new(), false, None);
                    may_send(d).map_or_else(|verdict| verdict, |()| again())
                }
            }
        }
    }
}

/// Whether the record says that what is lent stands open: what comes after it may begin.
pub(crate) fn is_open(record: &OperationRecord) -> bool {
    record.debt.as_ref().is_some_and(|d| d.closing.is_none()) && record.outcome == Some(Outcome::Succeeded)
}

/// Something lent: opened once, closed by the engine from its record. What it hands out may get lost on the way: then it is
/// closed, and opened once more.
pub(crate) fn lent(d: &Decision<'_>, lent: &Lent) -> Verdict {
    let target = d.node.id().expect("what is lent is Azure's");
    let Some(record) = d.world.operations.get(d.key) else {
        if d.world.now >= lent.until {
            return Verdict::Done;
        }
        if let Some(hold) = &d.node.hold {
            return d.held(hold);
        }
        if lent.is_open {
            return Verdict::Stuck { reason: Reason::NotOurs, message: format!("{target} was opened by somebody else"), question: None };
        }
        return open(d, lent, 1);
    };
    if record.debt.is_none() {
        let lost = record.outcome == Some(Outcome::Lost);
        // Closed before its time: not opened a second time.
        return match &record.error {
            _ if d.world.now >= lent.until => Verdict::Do(Step::Forget),
            _ if lost && record.attempt < MOST_OPENINGS => open(d, lent, record.attempt + 1),
            Some(e) => {
                let reason = Reason::from_word(&e.reason).unwrap_or(Reason::RefusedByAzure);
                Verdict::Stuck { reason, message: format!("{target} was not opened: {}", e.message), question: None }
            }
            None => Verdict::Done,
        };
    }
    if record.handle.is_some() && record.ended_at.is_none() {
        return d.poll(target);
    }
    let retry = record.debt.as_ref().and_then(|debt| debt.retry_at);
    let (reason, message) = match &lent.handed {
        Some(_) if record.handle.is_none() && record.ended_at.is_none() => {
            (Reason::Settling, format!("the answer to request {} was lost: it is closed, and opened once more", record.client_request_id))
        }
        Some(Handed { secret }) if record.outcome == Some(Outcome::Succeeded) => {
            (Reason::DebtOpen, format!("open until {}: what opens it is in Secret {secret}, and goes with it", lent.until))
        }
        Some(_) => (Reason::DebtOpen, format!("{target} was not opened as it should be, and is being closed")),
        None => (Reason::DebtOpen, format!("{target} is open until {}", lent.until)),
    };
    wait(retry.map_or(lent.until, |at| at.max(lent.until)), reason, message)
}

/// How often something is opened at most whose scripts get lost.
pub(crate) const MOST_OPENINGS: i32 = 2;

fn open(d: &Decision<'_>, lent: &Lent, attempt: i32) -> Verdict {
    if let Err(verdict) = may_send(d) {
        return verdict;
    }
    Verdict::Do(Step::Write(Box::new(Write {
        request: lent.open.clone(),
        differences: vec![],
        attempt,
        key: lent.key.clone(),
        known_jobs: vec![],
        witness: false,
        once: true,
        debt: Some(Owed { close: lent.close.clone(), until: lent.until, secret: lent.handed.as_ref().map(|h| h.secret.clone()) }),
        approved: None,
    })))
}

fn write(acted: &Acted, attempt: i32, known_jobs: Vec<String>, witness: bool, approved: Option<Approved>) -> Verdict {
    let write = Write {
        request: acted.request.clone(),
        differences: Vec::new(),
        attempt,
        key: acted.key.clone(),
        known_jobs,
        witness,
        once: acted.repeat == Repeat::Once,
        debt: None,
        approved,
    };
    Verdict::Do(Step::Write(Box::new(write)))
}

/// The vault's jobs from a list not older than `since`, or the step that reads it.
fn jobs_since(d: &Decision<'_>, vault: &ResourceId, since: Timestamp) -> Result<Vec<SeenJob>, Verdict> {
    d.has_come(since)?;
    let last = d.world.jobs.get(vault).and_then(|l| l.last.as_ref()).filter(|l| l.at >= since);
    match last {
        Some(listing) => Ok(SeenJob::all(listing)),
        None => Err(trouble(d, vault).unwrap_or_else(|| list(d, vault))),
    }
}

fn trouble(d: &Decision<'_>, vault: &ResourceId) -> Option<Verdict> {
    let trouble = d.world.jobs.get(vault)?.trouble.as_ref().filter(|t| t.until > d.world.now)?;
    Some(wait(trouble.until, trouble.reason, format!("the job list of {vault}: {}", trouble.message)))
}

fn list(d: &Decision<'_>, vault: &ResourceId) -> Verdict {
    let earliest = d.world.operations.values().map(|o| o.intent_at).min().unwrap_or(d.world.now).min(d.world.now);
    Verdict::Do(Step::ListJobs { vault: vault.clone(), since: earliest - SignedDuration::from_hours(24) })
}

/// Jobs that could be this action: same operation, same container.
fn fitting<'a>(proof: &'a JobProof, jobs: &'a [SeenJob]) -> impl Iterator<Item = &'a SeenJob> {
    jobs.iter().filter(|j| j.operation.eq_ignore_ascii_case(&proof.operation) && j.container.eq_ignore_ascii_case(&proof.container))
}

fn own_job<'a>(d: &Decision<'_>, acted: &Acted, jobs: &'a [SeenJob]) -> Option<&'a SeenJob> {
    job_of(d.world.estate, &acted.key, d.key, jobs)
}

/// The job that carries one of an action's request ids in its `activityId` (backup.md §11.1): whoever computes the same ids
/// (another object with the same once-key, a rebuilt cluster) finds the same job.
pub(crate) fn job_of<'a>(estate: &str, key: &str, node: &str, jobs: &'a [SeenJob]) -> Option<&'a SeenJob> {
    let ids: Vec<String> = (1..=MOST_ATTEMPTS).map(|n| keys::request_id(estate, key, node, n).to_string()).collect();
    jobs.iter().find(|j| ids.iter().any(|id| j.activity.eq_ignore_ascii_case(id)))
}

/// Whether any job in this vault shows a request id that is certainly ours: version 5, which nobody's SDK mints.
fn witnessed(d: &Decision<'_>, jobs: &[SeenJob]) -> bool {
    let ours = d.world.operations.values().map(|o| o.client_request_id.to_ascii_lowercase()).collect::<Vec<_>>();
    jobs.iter().any(|j| ours.contains(&j.activity.to_ascii_lowercase()) || is_version_5(&j.activity))
}

fn is_version_5(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.get_version_num() == 5)
}

/// When the action was intended, by Azure's clock where that is known and behind ours: what Azure notes is compared with it.
fn begun(record: &OperationRecord) -> Timestamp {
    record.azure_date.map_or(record.intent_at, |azure| azure.min(record.intent_at))
}

/// When the action was intended at the latest, by this process's clock. Whoever saved the intent may have had another one that
/// was slow, and so may this one be fast: Azure's own time, which both saw, says how long ago it is.
fn intended(record: &OperationRecord, azure_behind: SignedDuration) -> Timestamp {
    let by_azure = record.azure_date.map_or(record.intent_at, |azure| azure + azure_behind.min(CLOCKS_DIFFER));
    record.intent_at.max(by_azure.min(record.intent_at + CLOCKS_DIFFER))
}

/// Clocks that differ by more are nobody's clocks.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_hours(1);

/// A job that began well before the intent is not its work, however late it comes to be listed. Clocks may differ a little.
fn is_later(job: &SeenJob, intent: Timestamp) -> bool {
    job.start.is_none_or(|at| at + SignedDuration::from_mins(5) >= intent)
}

/// An operation whose node is not desired any more, or cannot be told now: followed to its end, and its locks go then.
pub(crate) fn orphan(key: &str, record: &OperationRecord, world: &World<'_>, bounds: &Bounds) -> Verdict {
    if let Some(debt) = &record.debt {
        return wait(
            debt.retry_at.map_or(debt.until, |at| at.max(debt.until)),
            Reason::DebtOpen,
            format!("{} is open until {}", record.target, debt.until),
        );
    }
    let once = record.verb == "act";
    if (record.error.is_some() && !(once && was_taken(record))) || (record.ended_at.is_some() && !once) {
        return Verdict::Do(Step::Forget);
    }
    if record.handle.is_some() && record.ended_at.is_none() && record.job.is_none() {
        return match world.polls.get(key) {
            Some(due) if *due > world.now => wait(*due, Reason::OperationRunning, format!("an operation runs on {}", record.target)),
            _ => Verdict::Do(Step::Poll),
        };
    }
    let settled = intended(record, world.azure_behind) + bounds.settle_once;
    let named = record.jobs_of.as_ref().and_then(|id| id.parse::<ResourceId>().ok());
    let of_path = || record.target.rsplit_once('/').and_then(|(id, _)| id.parse::<ResourceId>().ok())?.ancestor(names::VAULT);
    let vault = named.or_else(of_path);
    let Some(vault) = vault.filter(|_| once) else {
        return if world.now >= settled { Verdict::Do(Step::Forget) } else { wait(settled, Reason::Settling, "an answer was lost".into()) };
    };
    // What happens once is let go only when its job is over, or when a list read after the settle time has none.
    let reaches = world.jobs_reach.get(&vault).is_none_or(|reach| *reach <= record.intent_at); // else it says nothing of this one
    let last = world.jobs.get(&vault).and_then(|l| l.last.as_ref()).filter(|_| reaches);
    let jobs = last.map(SeenJob::all).unwrap_or_default();
    let named = |j: &&SeenJob| {
        j.activity.eq_ignore_ascii_case(&record.client_request_id)
            || record.job.as_ref().is_some_and(|name| j.name.eq_ignore_ascii_case(name))
    };
    match (jobs.iter().find(named), last) {
        // By its name it stays known when the record has gone.
        (Some(job), _) if job.over && record.job.is_none() => Verdict::Do(Step::Adopt { job: job.name.clone() }),
        (Some(job), _) if job.over => Verdict::Do(Step::Forget),
        (None, Some(list)) if list.at >= settled => Verdict::Do(Step::Forget),
        (_, Some(list)) if list.at + bounds.jobs_every > world.now => wait(
            list.at + bounds.jobs_every,
            Reason::OperationRunning,
            format!("request {} is followed to its end", record.client_request_id),
        ),
        _ => Verdict::Do(Step::ListJobs { vault, since: record.intent_at - SignedDuration::from_hours(24) }),
    }
}
