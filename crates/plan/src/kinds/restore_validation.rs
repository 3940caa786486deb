//! Azure's own look at a restore before it is sent (backup.md §13, "Validate first").

use breakwater_api::{Reason, restore_run::Finding, restore_run::Validation};
use breakwater_arm::{bodies::ValidationResults, wire::Request};
use jiff::SignedDuration;

use super::seconds;
use crate::{
    facts::{Facts, Fresh, Need},
    graph::Hold,
};

/// The ask's name.
const VALIDATION: &str = "validation";

/// How long what Azure found is good for: what it found missing may be mended meanwhile.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// At most so many findings are told.
const MOST_FINDINGS: usize = 16;

/// Asks Azure.
pub(super) fn need(request: Request) -> Need {
    Need::Ask { name: VALIDATION.into(), request, fresh: Fresh::Within(GOOD_FOR) }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(480).collect()
}

/// What Azure found; `None` while it looks.
pub(super) fn found(facts: &Facts) -> Option<Validation> {
    let asked = facts.answer(VALIDATION)?;
    let results = ValidationResults::parse(asked.body.as_ref()?)?;
    let findings = results.0.iter().take(MOST_FINDINGS).map(|found| Finding {
        code: found.code.clone().unwrap_or_default().chars().take(120).collect(),
        message: cut(found.message.as_deref().unwrap_or_default()),
        recommendation: found.recommendations.iter().flatten().next().map(|r| cut(r)),
    });
    Some(Validation { at: seconds(asked.at), findings: findings.collect() })
}

/// Nothing is restored until Azure finds nothing in its way.
pub(super) fn hold(facts: &Facts) -> Option<Hold> {
    if let Some(trouble) = facts.answer(VALIDATION).and_then(|a| a.trouble.as_ref()) {
        return Some(Hold::trouble(trouble, format!("Azure was asked whether the restore can be done: {}", trouble.message)));
    }
    let Some(validation) = found(facts) else {
        return Some(Hold::wait(Reason::NotYetObserved, "Azure looks whether the restore can be done"));
    };
    let first = validation.findings.first()?;
    let more = match validation.findings.len() {
        1 => String::new(),
        n => format!(" (and {} more in status.validation)", n - 1),
    };
    let advice = first.recommendation.as_ref().map_or(String::new(), |r| format!(" {r}"));
    let message =
        format!("Azure would refuse the restore: {}: {}{advice}{more}; it is asked again every ten minutes", first.code, first.message);
    Some(Hold::stuck(Reason::ValidationFailed, message))
}
