//! The plan, printed: what a dry run, a status, a log and an audit record show. No times that move by themselves.

use std::fmt::Write as _;

use crate::{
    graph::{Desired, Target},
    planner::{Plan, Step, Verdict},
};

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
                write.differences.iter().try_for_each(|d| writeln!(text, "  {}: {} -> {}", d.field, d.have, d.want))
            }
            Verdict::Do(Step::Create) => writeln!(text, "{key}: create {target}"),
            Verdict::Do(Step::Read { id }) => writeln!(text, "{key}: read {id}"),
            Verdict::Do(Step::ListJobs { vault, .. }) => writeln!(text, "{key}: list the jobs of {vault}"),
            Verdict::Do(Step::Poll) => writeln!(text, "{key}: ask how the operation on {target} goes"),
            Verdict::Do(Step::Adopt { job }) => writeln!(text, "{key}: job {job} is it"),
            Verdict::Do(Step::Forget) => writeln!(text, "{key}: {target} shows the end of its operation"),
            Verdict::Wait { reason, message, .. } => writeln!(text, "{key}: wait, {reason}: {message}"),
            Verdict::Stuck { reason, message } => writeln!(text, "{key}: stuck, {reason}: {message}"),
        };
    }
    text
}
