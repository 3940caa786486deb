//! A restore in the region that the vault's region is paired with (backup.md §14): its points, what allows it, its job.

use breakwater_api::Reason;
use breakwater_arm::{
    bodies::{AadProperties, Job, RestoreBody, aad_properties_request, access_token_request, cross_region_request, crr_job_request},
    wire::Request,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    restore_source::{Paired, Source},
    runs,
};
use crate::{
    facts::{Facts, Fresh, Need},
    graph::{From, Hold},
    jobs::SeenJob,
};

/// The asks' names: the service's principal there, what allows the restore, and its job.
const PRINCIPAL: &str = "principal-in-region";
const ALLOWED: &str = "access-to-region";
const JOB: &str = "job-in-region";

/// How old what allows a restore may be when it is sent.
const ALLOWED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Between two looks at the job.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(2);

/// What Azure calls the job.
pub(super) fn operation(source: &Source) -> &'static str {
    if source.paired.is_some() { "CrossRegionRestore" } else { "Restore" }
}

/// What must be asked before it: who the service is there, and, for the chosen point, what allows the restore.
pub(super) fn needs(source: &Source, chosen: Option<&str>, known: &Facts) -> Vec<Need> {
    let Some(paired) = &source.paired else { return Vec::new() };
    let ask = |name: &str, request, within| Need::Ask { name: name.into(), request, fresh: Fresh::Within(within) };
    let mut needs = vec![ask(PRINCIPAL, aad_properties_request(&paired.location), SignedDuration::from_hours(1))];
    let principal = known.answer(PRINCIPAL).and_then(|asked| AadProperties::parse(asked.body.as_ref()?));
    if let (Some(principal), Some(point)) = (principal, chosen.and_then(|name| source.point(name))) {
        needs.push(ask(ALLOWED, access_token_request(&point, &principal), ALLOWED_WITHIN));
    }
    needs
}

/// Why the vault's points cannot be restored there.
pub(super) fn hold(source: &Source, facts: &Facts) -> Option<Hold> {
    let paired = source.paired.as_ref()?;
    let body: &Value = facts.read(&source.vault).into_present()?;
    let word = body.pointer("/properties/redundancySettings/crossRegionRestore").and_then(Value::as_str).unwrap_or("Disabled");
    (!word.eq_ignore_ascii_case("Enabled")).then(|| {
        let message = format!(
            "spec.from.recoveryPoint.region: {} does not allow restores in {} (crossRegionRestore: {word}); set spec.crossRegionRestore: true on its RecoveryVault, which cannot be taken back, and wait until its points are there",
            source.vault, paired.region
        );
        Hold::stuck(Reason::InvalidSpec, message)
    })
}

/// Whether it is allowed: asked for last, when all else is well.
pub(super) fn allowed(source: &Source, facts: &Facts) -> Option<Hold> {
    let paired = source.paired.as_ref()?;
    for name in [PRINCIPAL, ALLOWED] {
        let asked = facts.answer(name);
        if let Some(trouble) = asked.and_then(|a| a.trouble.as_ref()) {
            return Some(Hold::trouble(trouble, format!("what allows a restore in {}: {}", paired.region, trouble.message)));
        }
        if asked.is_none_or(|a| a.body.is_none()) {
            return Some(Hold::wait(Reason::NotYetObserved, format!("what allows a restore in {} is being asked for", paired.region)));
        }
    }
    None
}

/// The request, as far as it may be kept: what allows it is filled in when it is sent.
pub(super) fn request(paired: &Paired, body: &RestoreBody) -> Request {
    cross_region_request(&paired.location, Value::Null, body)
}

/// What is filled in: the whole of what the token's answer says, unknown fields included.
pub(super) fn filled(source: &Source) -> Vec<From> {
    let into = From { into: "/crossRegionRestoreAccessDetails".into(), ask: ALLOWED.into(), pointer: "/properties".into() };
    source.paired.iter().map(|_| into.clone()).collect()
}

/// The job there is asked for by its name, and not read by an id.
pub(super) fn job_need(source: &Source, name: &str, seen: Option<&SeenJob>) -> Option<Need> {
    let paired = source.paired.as_ref()?;
    let fresh = match seen {
        Some(job) if job.over => Fresh::Version(format!("{} {:?}", job.status, job.end)),
        _ => Fresh::Within(LOOK_EVERY),
    };
    Some(Need::Ask { name: JOB.into(), request: crr_job_request(&paired.location, &source.vault, name), fresh })
}

/// What was read of the job.
pub(super) fn job_read(source: &Source, name: &str, facts: &Facts) -> Option<Job> {
    match source.paired {
        None => runs::job_read(&source.vault, name, facts),
        Some(_) => Job::parse(answered(name, facts)?).ok(),
    }
}

/// The job as it answers to its name, where no list shows it.
pub(super) fn job_seen(source: &Source, name: &str, facts: &Facts) -> Option<SeenJob> {
    source.paired.as_ref()?;
    answered(name, facts).map(|body| SeenJob::read(name, body))
}

/// The body of the job of that name, and of no other.
fn answered<'f>(name: &str, facts: &'f Facts) -> Option<&'f Value> {
    let body: &Value = facts.answer(JOB)?.body.as_ref()?;
    let is_it = body.get("name").and_then(Value::as_str).is_some_and(|told| told.eq_ignore_ascii_case(name));
    is_it.then_some(body)
}
