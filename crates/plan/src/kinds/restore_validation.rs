//! Azure's own look at a restore before it is sent (backup.md §13, "Validate first").

use breakwater_api::{Reason, restore_run::Finding, restore_run::Validation};
use breakwater_arm::{bodies::ValidationResults, redacted, wire::Request};
use jiff::SignedDuration;

use super::seconds;
use crate::{
    facts::{Facts, Fresh, Need},
    graph::Hold,
};

/// The asks' names: the look before a machine is stopped, and the one that counts for the restore.
const BEFORE_STOP: &str = "validation-before-stop";
const VALIDATION: &str = "validation";

/// How long what Azure found is good for: what it found missing may be mended meanwhile.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// The same where it found nothing: of many runs that wait for their turn each would ask again and again, and what they ask for
/// is what they wait for.
const CLEAN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// At most so many findings are told.
const MOST_FINDINGS: usize = 16;

fn name(stops: bool) -> &'static str {
    if stops { BEFORE_STOP } else { VALIDATION }
}

/// Asks Azure. A machine is stopped only for a restore that Azure would carry out, and looked at again when it is.
pub(super) fn need(request: Request, stops: bool, known: &Facts) -> Need {
    let found = told(known, stops).is_some_and(|validation| !validation.findings.is_empty());
    let within = if found || stops { GOOD_FOR } else { CLEAN_FOR };
    Need::Ask { name: name(stops).into(), request, fresh: Fresh::Within(within) }
}

/// That the machine runs stands in the way of nothing where it is to be stopped. Azure's codes for it were never recorded: its
/// words are gone by.
fn is_of_power(finding: &Finding) -> bool {
    let words = format!("{} {}", finding.code, finding.message).to_ascii_lowercase();
    ["deallocat", "shutdown", "shut down", "powered off", "is running", "powerstate"].iter().any(|word| words.contains(word))
}

fn cut(text: &str) -> String {
    redacted(text, 500)
}

/// What Azure found; `None` while it looks.
pub(super) fn found(facts: &Facts) -> Option<Validation> {
    told(facts, false).or_else(|| told(facts, true))
}

fn told(facts: &Facts, stops: bool) -> Option<Validation> {
    let asked = facts.answer(name(stops))?;
    let results = ValidationResults::parse(asked.body.as_ref()?)?;
    let findings = results.0.iter().take(MOST_FINDINGS).map(|found| Finding {
        code: redacted(found.code.as_deref().unwrap_or_default(), 120),
        message: cut(found.message.as_deref().unwrap_or_default()),
        recommendation: found.recommendations.iter().flatten().next().map(|r| cut(r)),
    });
    Some(Validation { at: seconds(asked.at), findings: findings.collect() })
}

/// Nothing is restored until Azure finds nothing in its way.
pub(super) fn hold(facts: &Facts, stops: bool) -> Option<Hold> {
    if let Some(trouble) = facts.answer(name(stops)).and_then(|a| a.trouble.as_ref()) {
        return Some(Hold::trouble(trouble, format!("Azure was asked whether the restore can be done: {}", trouble.message)));
    }
    let Some(validation) = told(facts, stops) else {
        return Some(Hold::wait(Reason::NotYetObserved, "Azure looks whether the restore can be done"));
    };
    let findings: Vec<&Finding> = validation.findings.iter().filter(|found| !(stops && is_of_power(found))).collect();
    let first = findings.first()?;
    let more = match findings.len() {
        1 => String::new(),
        n => format!(" (and {} more in status.validation)", n - 1),
    };
    let advice = first.recommendation.as_ref().map_or(String::new(), |r| format!(" {r}"));
    let message =
        format!("Azure would refuse the restore: {}: {}{advice}{more}; it is asked again every ten minutes", first.code, first.message);
    Some(Hold::stuck(Reason::ValidationFailed, message))
}
