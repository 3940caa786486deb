//! Faults by request: rules that match requests and say what goes wrong.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::wire::{Inbound, Reply};

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name; the journal shows it. Made up when empty.
    #[serde(default)]
    pub id: String,
    /// Which requests it plays on.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// A rule for one method and path glob, played on the first match only.
    pub fn once(id: &str, method: &str, path: &str, fault: Fault) -> Self {
        let matches = Match { method: Some(method.to_owned()), path: Some(path.to_owned()), count: Some(1), ..Match::default() };
        Rule { id: id.to_owned(), matches, fault }
    }
}

/// Which requests a rule plays on. An empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    /// The method, without case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A glob over the decoded path, without case: `*` stands for any characters, slashes included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Play from the n-th match on, counting from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
    /// Play this many times, then never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Not before this world time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The connection is cut; nothing happened.
    DropBeforeApply,
    /// It happened; the connection is cut before the answer.
    DropAfterApply,
    /// The answer comes late, by world time.
    Delay {
        /// World seconds.
        seconds: f64,
    },
    /// A status instead of the answer.
    Status {
        /// 429, 500, 503, ...
        status: u16,
        /// `Retry-After` in world seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// What the body looks like.
        #[serde(default)]
        body: Shape,
        /// `error.code`; a usual one for the status when missing.
        #[serde(default)]
        code: Option<String>,
        /// `error.message`
        #[serde(default)]
        message: Option<String>,
        /// Whether the request is carried out all the same.
        #[serde(default)]
        when: When,
    },
    /// The connection is cut in the middle of the body.
    CutBody,
    /// The body is not JSON.
    MalformedBody,
    /// The operation that the request starts (or, on a poll, asks for) never ends.
    OperationStuck,
    /// The operation's record is gone: polls answer 404; what it does still happens.
    OperationExpired,
    /// The operation ends `Failed`.
    OperationFailed {
        /// `error.code`
        code: String,
        /// `error.message`
        #[serde(default)]
        message: String,
    },
    /// The job that the request starts fails after the 202.
    JobFailed {
        /// The error code of the job.
        code: String,
    },
    /// What becomes of the restore that the request starts.
    RestoreFate {
        /// How it goes.
        how: Ending,
        /// The error code of the job, by number or name; that of a failed restore when missing.
        #[serde(default)]
        code: Option<String>,
    },
    /// A list answers as of earlier, though not from before the rule.
    ListLag {
        /// World seconds.
        seconds: f64,
    },
    /// A token request is refused (AADSTS7000222), or an ARM request's token is.
    TokenRefused,
}

/// How a restore goes, by a fault rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It fails in the transfer: nothing is made.
    FailsInTransfer,
    /// It fails at its very end, and leaves what it made.
    FailsLate,
    /// `CompletedWithWarnings`, all done.
    Warns,
    /// `CompletedWithWarnings`, and nothing came of it but disks.
    WarnsUndone,
    /// It never ends.
    Sticks,
}

/// What the body of a `Status` fault looks like (compute-and-arm.md E.4, backup.md §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// ARM's envelope.
    #[default]
    Standard,
    /// No body.
    Empty,
    /// A page for people.
    Html,
    /// `{"ErrorCode": …}`, as Backup's cross-region calls answer.
    NonArm,
}

/// Whether a `Status` fault comes before or after the request was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Nothing happened.
    #[default]
    BeforeApply,
    /// It happened; the answer does not show it.
    AfterApply,
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<(Rule, Counts)>,
    made: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    seen: u32,
    played: u32,
}

impl Faults {
    /// Adds a rule and gives back its id. A rule of the same id is replaced.
    pub fn add(&mut self, mut rule: Rule) -> String {
        self.made += 1;
        if rule.id.is_empty() {
            rule.id = format!("fault-{}", self.made);
        }
        self.rules.retain(|(held, _)| held.id != rule.id);
        let id = rule.id.clone();
        self.rules.push((rule, Counts::default()));
        id
    }

    /// Removes a rule; says whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(rule, _)| rule.id != id);
        before != self.rules.len()
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// All rules with how often each was played.
    pub fn list(&self) -> Vec<(Rule, u32)> {
        self.rules.iter().map(|(rule, counts)| (rule.clone(), counts.played)).collect()
    }

    /// How often a rule was played.
    pub fn played(&self, id: &str) -> u32 {
        self.rules.iter().find(|(rule, _)| rule.id == id).map_or(0, |(_, counts)| counts.played)
    }

    /// The longest lag any rule asks for, in seconds.
    pub fn longest_lag(&self) -> Option<f64> {
        let lags = self.rules.iter().filter_map(|(rule, _)| if let Fault::ListLag { seconds } = rule.fault { Some(seconds) } else { None });
        lags.reduce(f64::max)
    }

    /// Counts a request and gives the faults that play on it, in the order of the rules.
    pub fn fire(&mut self, req: &Inbound, is_list: bool) -> Vec<(String, Fault)> {
        let mut firing = Vec::new();
        let path = req.raw_path();
        for (rule, counts) in &mut self.rules {
            let wanted = &rule.matches;
            let matched = wanted.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&req.method))
                && wanted.path.as_ref().is_none_or(|glob| crate::identity::authorise::matches(glob, &path))
                && wanted.after.is_none_or(|after| req.now >= after)
                && (is_list || !matches!(rule.fault, Fault::ListLag { .. }));
            if !matched {
                continue;
            }
            counts.seen += 1;
            let due = counts.seen >= wanted.nth.unwrap_or(1) && wanted.count.is_none_or(|count| counts.played < count);
            if due {
                counts.played += 1;
                firing.push((rule.id.clone(), rule.fault.clone()));
            }
        }
        firing
    }
}

/// The answer of a `Status` fault, and bytes when it is no JSON.
pub fn status_answer(fault: &Fault, operation_id: &str) -> Option<(Reply, Option<Vec<u8>>)> {
    let Fault::Status { status, retry_after, body, code, message, .. } = fault else { return None };
    let (usual, words) = usual(*status);
    let code = code.as_deref().unwrap_or(usual);
    let message = message.as_deref().unwrap_or(words);
    let (mut reply, bytes) = match body {
        Shape::Standard => (Reply::error(*status, code, message).with_header("x-ms-failure-cause", "gateway"), None),
        Shape::Empty => (Reply::empty(*status), None),
        Shape::Html => {
            let page = format!(
                "<!DOCTYPE html>\r\n<html><head><title>{status}</title></head><body><h1>Server Error</h1><p>{message}</p></body></html>\r\n"
            );
            (Reply::empty(*status).with_header("content-type", "text/html"), Some(page.into_bytes()))
        }
        Shape::NonArm => {
            let value: Value = json!({"ErrorCode": code, "Message": {"Language": "en-US", "Value": message}, "Values": [{"Key": "OperationId", "Value": operation_id}]});
            (Reply::json(*status, value), None)
        }
    };
    if let Some(seconds) = retry_after {
        reply = reply.with_header("retry-after", seconds.to_string());
    }
    Some((reply, bytes))
}

fn usual(status: u16) -> (&'static str, &'static str) {
    match status {
        408 => ("RequestTimeout", "The request timed out."),
        409 => ("Conflict", "The request failed due to conflict with a concurrent request."),
        429 => ("TooManyRequests", "Too many requests. Please try again later."),
        500 => ("InternalServerError", "Encountered internal server error."),
        502 => ("BadGatewayConnection", "The network connectivity issue encountered; cannot fulfill the request."),
        503 => ("ServerTimeout", "The request timed out."),
        504 => ("GatewayTimeout", "The gateway did not receive a response within the specified time period."),
        _ => ("SimulatedFault", "A fault rule answered this request."),
    }
}
