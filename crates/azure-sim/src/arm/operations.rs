//! Long-running operations of Compute, Network, Storage and resource groups (compute-and-arm.md E.3): signed-looking URLs of
//! three kilobytes, two forms of them, polls, ends. Recovery Services keeps its own.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    arm::errors,
    compute::machines::Power,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// How long an ended operation can be asked for; unverified (compute-and-arm.md E.3: "CLI issues mention 24 h").
const RECORD_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Which endpoint tells about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `Microsoft.Compute/locations/{l}/DiskOperations/{id}`
    Disk,
    /// `Microsoft.Compute/locations/{l}/operations/{id}`
    Compute,
    /// `Microsoft.Network/locations/{l}/operations/{id}`
    Network,
    /// `Microsoft.Storage/locations/{l}/asyncoperations/{id}`
    Storage,
    /// `/subscriptions/{s}/operationresults/{id}`
    Group,
}

/// What the end of an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The resource becomes `Succeeded`.
    Settle,
    /// The resource goes.
    Remove,
    /// The machine's power state changes.
    Power(Power),
    /// The group goes with all that is in it.
    RemoveGroup,
    /// Resources go to another group.
    Move {
        /// Their ids.
        ids: Vec<String>,
        /// The group's id.
        into: String,
    },
    /// Nothing: it was only asked whether.
    Nothing,
}

/// Something wrong with an operation, by a fault rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rig {
    /// It never ends.
    Stuck,
    /// Its record is gone: polls answer 404. What it does still happens.
    Expired,
    /// It ends `Failed`.
    Failed {
        /// `error.code`
        code: String,
        /// `error.message`
        message: String,
    },
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its GUID.
    pub id: String,
    /// Its endpoint.
    pub family: Family,
    /// The subscription's id.
    pub subscription: String,
    /// Canonical region.
    pub location: String,
    /// What it works on.
    pub subject: String,
    /// What its end does.
    pub effect: Effect,
    /// When it was accepted.
    pub started: Timestamp,
    /// When it ends.
    pub due: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Whether the end shows the resource in `properties.output`.
    pub output: Option<Value>,
    /// How it failed.
    pub error: Option<(String, String)>,
    /// What a fault did to it.
    pub rig: Option<Rig>,
    /// How often it was asked for.
    pub polls: u32,
}

impl Operation {
    /// When it ends, unless it has or never will.
    pub fn next_event(&self) -> Option<Timestamp> {
        (self.ended.is_none() && self.rig != Some(Rig::Stuck)).then_some(self.due)
    }
}

/// A time as Compute prints it: seven decimals and an offset.
pub fn long_time(time: Timestamp) -> String {
    format!("{}.{:07}+00:00", time.strftime("%Y-%m-%dT%H:%M:%S"), time.subsec_nanosecond().max(0) / 100)
}

/// Which headers announce an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// `Azure-AsyncOperation` alone: VM PUT and PATCH.
    Status,
    /// `Azure-AsyncOperation` and `Location`.
    Both,
    /// `Location` alone: resource groups.
    Location,
}

/// An operation to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its endpoint.
    pub family: Family,
    /// Canonical region.
    pub location: String,
    /// The id it works on.
    pub subject: String,
    /// What its end does.
    pub effect: Effect,
    /// How long it takes, before scaling.
    pub seconds: f64,
}

impl World {
    /// Accepts an operation and marks its subject as pending. An operation already pending there is superseded
    /// (compute-and-arm.md E.4, `OperationPreempted`).
    pub fn start_operation(&mut self, subscription: &str, start: Start) -> String {
        let id = self.entropy.guid();
        let due = self.later(start.seconds);
        let operation = Operation {
            id: id.clone(),
            family: start.family,
            subscription: subscription.to_owned(),
            location: start.location,
            subject: start.subject.clone(),
            effect: start.effect,
            started: self.now,
            due,
            ended: None,
            output: None,
            error: None,
            rig: None,
            polls: 0,
        };
        let now = self.now;
        let before = self.resource_mut(&start.subject).and_then(|resource| {
            resource.changed = now;
            resource.pending.replace(id.clone())
        });
        if let Some(old) = before.and_then(|old| self.operations.get_mut(&old))
            && old.ended.is_none()
        {
            old.ended = Some(now);
            self.ended.insert((now, old.id.clone()));
            let message = "Operation execution has been preempted by a more recent operation.";
            old.error = Some(("OperationPreempted".to_owned(), message.to_owned()));
        }
        self.agenda.insert((due, id.clone()));
        self.operations.insert(id.clone(), operation);
        id
    }

    /// The signed URL of an operation; `monitor` is the `Location` form.
    pub fn operation_url(&self, id: &str, req: &Inbound, monitor: bool) -> String {
        let Some(operation) = self.operations.get(id) else { return String::new() };
        let subscription = &operation.subscription;
        let (namespace, collection) = match operation.family {
            Family::Disk => ("Microsoft.Compute", "DiskOperations"),
            Family::Compute => ("Microsoft.Compute", "operations"),
            Family::Network => ("Microsoft.Network", "operations"),
            Family::Storage => ("Microsoft.Storage", "asyncoperations"),
            Family::Group => return self.group_url(operation, req),
        };
        let partition = match operation.family {
            Family::Network | Family::Storage => String::new(),
            _ => format!("p={}&", self.subscription(subscription).map_or("", |s| s.partition.as_str())),
        };
        let form = if monitor { "monitor=true&" } else { "" };
        let place = format!("/subscriptions/{subscription}/providers/{namespace}/locations/{}/{collection}/{id}", operation.location);
        format!("{}{place}?{partition}{form}api-version={}&{}", req.origin, req.api_version(), self.signature())
    }

    fn group_url(&self, operation: &Operation, req: &Inbound) -> String {
        // The word for a move is a guess.
        let word = if operation.effect == Effect::RemoveGroup { "RESOURCEGROUPDELETIONJOB" } else { "MOVERESOURCESJOB" };
        let job = json!({"jobId": format!("{word}-{}", operation.id.to_ascii_uppercase()), "jobLocation": operation.location});
        let id = STANDARD.encode(job.to_string()).trim_end_matches('=').to_owned();
        format!(
            "{}/subscriptions/{}/operationresults/{id}?api-version={}&{}",
            req.origin,
            operation.subscription,
            req.api_version(),
            self.signature()
        )
    }

    /// `t`, `c`, `s` and `h`: ticks, a certificate, a signature and a hash, in the recorded lengths; none is checked.
    pub fn signature(&self) -> String {
        let ticks = self.now.as_nanosecond() / 100 + 621_355_968_000_000_000;
        format!("t={ticks}&c={}&s={}&h={}", self.certificate, self.entropy.text(342), self.entropy.text(43))
    }

    /// The same reply with an operation's headers.
    pub fn announce(&self, reply: Reply, id: &str, req: &Inbound, how: Announce) -> Reply {
        let mut reply = reply.with_header("x-ms-request-id", id);
        if how != Announce::Location {
            reply = reply.with_header("azure-asyncoperation", self.operation_url(id, req, false));
            reply = reply.with_header("azure-asyncnotification", "Enabled");
        }
        if how != Announce::Status {
            reply = reply.with_header("location", self.operation_url(id, req, true));
        }
        reply
    }

    /// Answers a poll of Compute, Network or Storage.
    pub fn poll(&mut self, req: &Inbound, target: &Target) -> Reply {
        let id = target.names.get(1).map_or("", String::as_str).to_ascii_lowercase();
        let family = match (target.in_namespace("Microsoft.Network"), target.type_path().as_str()) {
            (true, _) => Family::Network,
            (false, "locations/asyncoperations") => Family::Storage,
            (false, "locations/diskoperations") => Family::Disk,
            (false, _) => Family::Compute,
        };
        let monitor = req.query.get("monitor").is_some_and(|value| value == "true");
        let Some(operation) = self.operations.get_mut(&id).filter(|op| op.family == family && op.rig != Some(Rig::Expired)) else {
            return Reply::error(404, "NotFound", format!("The operation '{id}' was not found."));
        };
        operation.polls += 1;
        let operation = operation.clone();
        if monitor { self.monitor_answer(&operation, req) } else { status_answer(&operation) }
    }

    fn monitor_answer(&self, operation: &Operation, req: &Inbound) -> Reply {
        match (&operation.ended, &operation.error) {
            (None, _) => Reply::empty(202).with_header("location", self.operation_url(&operation.id, req, true)),
            (Some(_), Some((code, message))) => Reply::error(409, code, message),
            (Some(_), None) => match &operation.output {
                Some(output) => Reply::json(200, output.clone()),
                None => Reply::empty(200),
            },
        }
    }

    /// Answers a poll of a group's deletion.
    pub fn poll_group(&mut self, req: &Inbound) -> Reply {
        let id = req.path.get(3).and_then(|encoded| group_job(encoded)).unwrap_or_default();
        let Some(operation) = self.operations.get_mut(&id).filter(|op| op.family == Family::Group && op.rig != Some(Rig::Expired)) else {
            return errors::gateway(404, "NotFound", "The operation result was not found.");
        };
        operation.polls += 1;
        let operation = operation.clone();
        match (&operation.ended, &operation.error) {
            (None, _) => self.announce(Reply::empty(202).with_header("retry-after", "15"), &id, req, Announce::Location),
            (Some(_), Some((code, message))) => {
                Reply::json(409, json!({"Error": {"Code": code, "Target": null, "Message": message, "Details": []}}))
            }
            (Some(_), None) => Reply::empty(if operation.effect == Effect::RemoveGroup { 200 } else { 204 }),
        }
    }

    /// Ends every operation that is due until the world's present time, in order of time.
    pub fn settle_operations(&mut self) {
        let now = self.now;
        while let Some(entry) = self.agenda.iter().find(|(at, id)| *at > now || !self.is_stuck(id)).filter(|(at, _)| *at <= now).cloned() {
            self.agenda.remove(&entry);
            if self.operations.get(&entry.1).is_some_and(|operation| operation.ended.is_none()) {
                self.end_operation(&entry.1);
            }
        }
        self.retired.retain(|_, until| *until > now);
        while let Some((at, id)) = self.ended.first().filter(|(at, _)| now.duration_since(*at) >= RECORD_LIFETIME).cloned() {
            self.operations.remove(&id);
            self.ended.remove(&(at, id));
        }
    }

    fn is_stuck(&self, id: &str) -> bool {
        self.operations.get(id).is_some_and(|operation| operation.ended.is_none() && operation.rig == Some(Rig::Stuck))
    }

    /// Forgets every operation.
    pub fn clear_operations(&mut self) {
        self.operations.clear();
        self.agenda.clear();
        self.ended.clear();
    }

    fn end_operation(&mut self, id: &str) {
        let Some(operation) = self.operations.get_mut(id) else { return };
        operation.ended = Some(operation.due);
        self.ended.insert((operation.due, operation.id.clone()));
        if let Some(Rig::Failed { code, message }) = &operation.rig {
            operation.error = Some((code.clone(), message.clone()));
        }
        let operation = operation.clone();
        if operation.error.is_some() {
            self.fail_subject(&operation);
        } else {
            self.apply_effect(&operation);
        }
        let shown = matches!(operation.family, Family::Disk | Family::Storage) && operation.effect == Effect::Settle;
        if shown && operation.error.is_none() {
            let output = self.resource(&operation.subject).map(|resource| self.show(resource));
            if let Some(operation) = self.operations.get_mut(id) {
                operation.output = output;
            }
        }
    }

    fn fail_subject(&mut self, operation: &Operation) {
        let failed = if operation.effect == Effect::Settle { "Failed" } else { "Succeeded" };
        if let Some(resource) = self.resource_mut(&operation.subject) {
            resource.pending = None;
            resource.set_state(failed);
        }
        for group in self.groups.values_mut().filter(|group| group.deleting.as_deref() == Some(operation.id.as_str())) {
            group.deleting = None;
        }
    }

    fn apply_effect(&mut self, operation: &Operation) {
        match &operation.effect {
            Effect::Settle => self.settle(&operation.subject),
            Effect::Remove => self.remove_with_dependents(&operation.subject),
            Effect::Power(power) => self.set_power(&operation.subject, *power),
            Effect::RemoveGroup => self.remove_group(&operation.subject),
            Effect::Move { ids, into } => ids.iter().for_each(|id| drop(self.move_to_group(id, into))),
            Effect::Nothing => {}
        }
    }
}

/// The id of a group's deletion from its poll URL, which holds it in a base64 object.
fn group_job(encoded: &str) -> Option<String> {
    let padded = format!("{encoded}{}", "=".repeat((4 - encoded.len() % 4) % 4));
    let job: Value = serde_json::from_slice(&STANDARD.decode(padded).ok()?).ok()?;
    Some(job["jobId"].as_str()?.split_once('-')?.1.to_ascii_lowercase())
}

/// The operation that a URL asks about, whoever keeps it: polls and results of every family end in the operation's id
/// (compute-and-arm.md E.3, backup.md §3). Anything else is a resource, a list or an action.
pub fn operation_asked(path: &[String]) -> Option<String> {
    const WORDS: [&str; 8] = [
        "operations",
        "diskoperations",
        "asyncoperations",
        "operationresults",
        "operationstatus",
        "operationsstatus",
        "backupoperations",
        "backupoperationresults",
    ];
    let [.., word, id] = path else { return None };
    WORDS.contains(&word.to_ascii_lowercase().as_str()).then(|| group_job(id).unwrap_or_else(|| id.clone()))
}

/// The body of an `Azure-AsyncOperation` URL: always 200 (compute-and-arm.md E.3).
fn status_answer(operation: &Operation) -> Reply {
    let word = match (&operation.ended, &operation.error) {
        (None, _) => "InProgress",
        (Some(_), Some(_)) => "Failed",
        (Some(_), None) => "Succeeded",
    };
    let mut body = json!({"status": word});
    if operation.family != Family::Network {
        body["startTime"] = json!(long_time(operation.started));
        body["name"] = json!(operation.id);
        if let Some(ended) = operation.ended {
            body["endTime"] = json!(long_time(ended));
        }
        if let Some(output) = &operation.output {
            body["properties"] = json!({"output": output});
        }
    }
    if let Some((code, message)) = &operation.error {
        body["error"] = json!({"code": code, "message": message});
    }
    let reply = Reply::json(200, body);
    match operation.family {
        _ if operation.ended.is_some() => reply,
        Family::Compute if operation.polls <= 2 => reply.with_header("retry-after", "35"),
        // A guess: no running poll of Network is recorded. Without it an SDK waits half a minute of the wall.
        Family::Network => reply.with_header("retry-after", "10"),
        _ => reply,
    }
}
