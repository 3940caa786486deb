//! The plan, printed: what a dry run, a status, a log and an audit record show. No times that move by themselves.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    graph::{Desired, Target},
    planner::{Plan, Step, Verdict},
};

/// Fields of one body that are shown at most.
const MOST_FIELDS: usize = 60;

/// The fields of a body by their path, where nothing was there to compare it with.
fn leaves(body: &Value) -> impl Iterator<Item = (String, String)> {
    fn walk(at: &str, value: &Value, all: &mut Vec<(String, String)>) {
        let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, v)| walk(&below(name), v, all)),
            Value::Array(items) if items.iter().any(|v| v.is_object() || v.is_array()) => {
                items.iter().enumerate().for_each(|(n, v)| walk(&format!("{at}[{n}]"), v, all));
            }
            Value::Null => {}
            Value::String(text) => all.push((at.to_owned(), text.clone())),
            other => all.push((at.to_owned(), other.to_string())),
        }
    }
    let mut all = Vec::new();
    walk("", body, &mut all);
    all.into_iter().take(MOST_FIELDS)
}

/// One block a node that is not as wanted; empty when all are.
pub fn show(desired: &Desired, plan: &Plan) -> String {
    let mut text = String::new();
    for (key, verdict) in &plan.verdicts {
        let Some(node) = desired.nodes.get(key) else { continue };
        let target = match &node.target {
            Target::Arm(id) => id.to_string(),
            Target::Kube { kind, name } => format!("{kind}/{name}"),
        };
        let _ = match verdict {
            Verdict::Done => Ok(()),
            Verdict::Do(Step::Write(write)) => {
                let again = if write.attempt > 1 { format!(" (attempt {})", write.attempt) } else { String::new() };
                let _ = writeln!(text, "{key}: {} {}{again}", write.request.method, write.request.path);
                let _ = write.differences.iter().try_for_each(|d| writeln!(text, "  {}: {} -> {}", d.field, d.have, d.want));
                let body = write.request.body.as_ref().filter(|_| write.differences.is_empty());
                body.map_or(Ok(()), |body| leaves(body).try_for_each(|(field, value)| writeln!(text, "  {field}: {value}")))
            }
            Verdict::Do(Step::Create) => writeln!(text, "{key}: create {target}"),
            Verdict::Do(Step::Read { id }) => writeln!(text, "{key}: read {id}"),
            Verdict::Do(Step::Confirm { id }) => writeln!(text, "{key}: see how {id} looks now that its operation has ended"),
            Verdict::Do(Step::ListJobs { vault, .. }) => writeln!(text, "{key}: list the jobs of {vault}"),
            Verdict::Do(Step::Poll) => writeln!(text, "{key}: ask how the operation on {target} goes"),
            Verdict::Do(Step::Adopt { job }) => writeln!(text, "{key}: job {job} is it"),
            Verdict::Do(Step::Forget) => writeln!(text, "{key}: {target} shows the end of its operation"),
            Verdict::Do(Step::Conclude(by)) => writeln!(text, "{key}: {} says: {}", by.given.by, by.given.answer),
            Verdict::Do(Step::Named { job, approved }) => writeln!(text, "{key}: {} says that job {job} is it", approved.given.by),
            Verdict::Wait { reason, message, .. } => writeln!(text, "{key}: wait, {reason}: {message}"),
            Verdict::Stuck { reason, message, .. } => writeln!(text, "{key}: stuck, {reason}: {message}"),
        };
    }
    text
}
