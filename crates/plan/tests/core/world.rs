//! A small world to decide about: seconds since an epoch, things with a size, jobs, records.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{Act, OperationRecord, Reason, operations::Handle};
use breakwater_arm::{
    ResourceId,
    wire::{Method, Request},
};
use breakwater_plan::{
    graph::{Acted, Change, Counts, Desired, Difference, Goal, JobProof, Node, Ownership, Proof, Repeat},
    keys,
    planner::{Bounds, Plan, Step, Verdict, World, plan},
    questions::{Answers, Asker, Given},
    sighting::{How, Listed, Listing, Packed, Seen, Sighting, Trouble},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const BOUNDS: Bounds = Bounds {
    read_every: SignedDuration::from_secs(5),
    jobs_every: SignedDuration::from_secs(60),
    jobs_within: SignedDuration::from_secs(15),
    settle: SignedDuration::from_secs(60),
    settle_once: SignedDuration::from_secs(300),
    listed_within: SignedDuration::from_secs(600),
};
pub const ESTATE: &str = "acme";
const EPOCH: i64 = 1_770_000_000;
pub const GROUP: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg";

/// So many seconds after the epoch of the tests.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + seconds).unwrap()
}

fn seconds(at: Timestamp) -> i64 {
    at.as_second() - EPOCH
}

pub fn id(name: &str) -> ResourceId {
    format!("{GROUP}/providers/Microsoft.Test/things/{name}").parse().unwrap()
}

pub fn vault() -> ResourceId {
    format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/v").parse().unwrap()
}

pub fn thing(state: &str, size: &str) -> Value {
    json!({ "properties": { "provisioningState": state, "size": size } })
}

/// As wanted: size 4, nothing going on.
pub fn equal() -> Value {
    thing("Succeeded", "4")
}

pub fn put(id: &ResourceId) -> Request {
    Request::new(Method::Put, id.as_str(), "2026-01-01").with_body(json!({ "size": "4" }))
}

pub fn asker() -> Asker {
    Asker { uid: "uid".into(), generation: 1 }
}

/// Everything that a decision looks at.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub now: i64,
    pub began: i64,
    pub seen: BTreeMap<ResourceId, Seen>,
    pub jobs: BTreeMap<ResourceId, Listed>,
    pub jobs_reach: BTreeMap<ResourceId, Timestamp>,
    pub operations: BTreeMap<String, OperationRecord>,
    pub polls: BTreeMap<String, Timestamp>,
    pub acted: BTreeMap<ResourceId, Timestamp>,
    pub answers: Answers,
    pub azure_behind: i64,
}

impl Scene {
    pub fn new(now: i64, began: i64) -> Scene {
        Scene { now, began, ..Scene::default() }
    }

    pub fn look(mut self, name: &str, seconds: i64, how: How, what: Option<Value>) -> Scene {
        let seen = self.seen.entry(id(name)).or_default();
        let sighting = Some(Sighting { at: at(seconds), how, what: what.map(Arc::new) });
        match how {
            How::Listed => seen.listed = sighting,
            How::Read => seen.read = sighting,
        }
        self
    }

    pub fn read(self, name: &str, seconds: i64, what: Option<Value>) -> Scene {
        self.look(name, seconds, How::Read, what)
    }

    pub fn trouble(mut self, name: &str, until: i64) -> Scene {
        self.seen.entry(id(name)).or_default().trouble = Some(trouble(until));
        self
    }

    pub fn record(mut self, record: OperationRecord) -> Scene {
        self.operations.insert(record.node.clone(), record);
        self
    }

    pub fn poll_at(mut self, node: &str, seconds: i64) -> Scene {
        self.polls.insert(node.to_owned(), at(seconds));
        self
    }

    pub fn jobs(mut self, seconds: i64, jobs: &[Value]) -> Scene {
        let name = |job: &Value| vault().child("backupJobs", job["name"].as_str().unwrap()).unwrap();
        let items = jobs.iter().map(|job| (name(job), Packed::of(job))).collect();
        self.jobs.entry(vault()).or_default().last = Some(Listing { at: at(seconds), items: Arc::new(items) });
        self
    }

    /// A person's answer to what a node asks now.
    pub fn answered(mut self, desired: &Desired, node: &str, answer: &str) -> Scene {
        let plan = self.plan(desired);
        let Verdict::Stuck { question: Some(question), .. } = &plan.verdicts[node] else { panic!("nothing is asked: {plan:?}") };
        let (name, digest) = (question.id.clone(), question.digest(&asker()));
        let (answer, by, expires) = (answer.to_owned(), "ann".to_owned(), at(self.now + 3600));
        self.answers.given = vec![Given { approval: name.clone(), name: name.clone(), question: name, digest, answer, by, expires }];
        self
    }

    pub fn plan(&self, desired: &Desired) -> Plan {
        let world = World {
            now: at(self.now),
            fresh_since: at(self.began),
            seen: &self.seen,
            jobs: &self.jobs,
            jobs_reach: &self.jobs_reach,
            operations: &self.operations,
            polls: &self.polls,
            estate: ESTATE,
            asker: &asker(),
            answers: &self.answers,
            acted: &self.acted,
            choices: &BTreeMap::new(),
            azure_behind: SignedDuration::from_secs(self.azure_behind),
        };
        plan(desired, &world, &BOUNDS)
    }

    /// The answer for one node, in words.
    pub fn answer(&self, desired: &Desired, node: &str) -> String {
        told(&self.plan(desired).verdicts[node])
    }

    fn latest(&self, name: &str) -> Option<&Value> {
        self.seen.get(&id(name))?.latest()?.what.as_deref()
    }

    /// "It is there, with size 4", as a kind says it: what differs is told from the newest sighting.
    pub fn ensure(&self, name: &str) -> Node {
        let (id, request) = (id(name), put(&id(name)));
        let have = self.latest(name).map(|body| body["properties"]["size"].as_str().unwrap_or_default().to_owned());
        let change = have.filter(|have| have != "4").map(|have| Change {
            differences: vec![Difference { field: "size".into(), have, want: "4".into() }],
            request: request.clone(),
        });
        Node::arm(id, Goal::Exists { create: Some(request), change }, tagged())
    }
}

pub fn trouble(until: i64) -> Trouble {
    Trouble { at: at(0), reason: Reason::AuthorizationFailed, message: "no".into(), until: at(until) }
}

pub fn tagged() -> Ownership {
    Ownership::Tagged { owner: "o".into() }
}

pub fn gone(name: &str) -> Node {
    Node::arm(id(name), Goal::Gone { request: Request::new(Method::Delete, id(name).as_str(), "2026-01-01") }, tagged())
}

/// A backup of a thing, proven by a job of the vault, never to be sent twice.
pub fn backup(name: &str, counts: Counts) -> Acted {
    let proof = JobProof { vault: vault(), operation: "Backup".into(), container: format!("c;{name}"), counts };
    action(name, Proof::Job(proof), Repeat::Once)
}

pub fn action(name: &str, proof: Proof, repeat: Repeat) -> Acted {
    let request = Request::new(Method::Post, format!("{}/backup", id(name)), "2026-01-01");
    Acted { request, proof, repeat, key: "once".into(), done: false, from: Vec::new() }
}

pub fn act(name: &str, acted: Acted) -> Node {
    Node::arm(id(name), Goal::Acted(acted), tagged())
}

pub fn one(key: &str, node: Node) -> Desired {
    let mut desired = Desired::new();
    desired.node(key, node);
    desired
}

/// The request id of an attempt of the backup.
pub fn our_id(node: &str, attempt: i32) -> String {
    keys::request_id(ESTATE, "once", node, attempt).to_string()
}

pub const SOMEBODYS: &str = "6f1c7d2e-8a43-4c0e-9a31-52b1a8d0e7aa";

/// A job as a list shows it.
pub fn job(name: &str, container: &str, activity: &str, start: i64, status: &str) -> Value {
    json!({ "name": name, "properties": {
        "jobType": "AzureIaaSVMJob", "operation": "Backup", "status": status, "containerName": container,
        "startTime": at(start).to_string(), "activityId": activity,
    }})
}

/// An intent that was saved at that second, and no more.
pub fn intent(node: &str, seconds: i64) -> OperationRecord {
    OperationRecord {
        node: node.into(),
        verb: "ensure".into(),
        method: "PUT".into(),
        target: id(node).to_string(),
        act: Act::from("Protect"),
        intent_at: at(seconds),
        azure_date: None,
        attempt: 1,
        key: keys::safe_key(&put(&id(node))),
        client_request_id: our_id(node, 1),
        known_jobs: Vec::new(),
        handle: None,
        next_poll: None,
        percent: None,
        job: None,
        ended_at: None,
        outcome: None,
        error: None,
        witness: false,
        jobs_of: None,
        locks: Vec::new(),
        brake: None,
        approvals: Vec::new(),
        debt: None,
    }
}

/// The same for an action: its key is the once-key.
pub fn acting(node: &str, seconds: i64) -> OperationRecord {
    OperationRecord { key: "once".into(), ..intent(node, seconds) }
}

pub fn running(record: OperationRecord) -> OperationRecord {
    OperationRecord { handle: Some(Handle { family: "Backup".into(), id: "op".into() }), ..record }
}

pub fn ended(record: OperationRecord, seconds: i64) -> OperationRecord {
    OperationRecord { ended_at: Some(at(seconds)), ..running(record) }
}

/// A whole refusal by Azure.
pub fn refused(record: OperationRecord, seconds: i64, waits: bool, retry: Option<i64>) -> OperationRecord {
    let error = json!({ "reason": "Busy", "code": "Conflict", "message": "later", "waits": waits, "retryAt": retry.map(at) });
    OperationRecord { ended_at: Some(at(seconds)), error: Some(serde_json::from_value(error).unwrap()), ..record }
}

/// A verdict in a word or two, as the tables write it.
pub fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done => "done".into(),
        Verdict::Do(Step::Read { id }) => format!("read {}", id.name()),
        Verdict::Do(Step::Write(write)) => format!("{} attempt {}", write.request.method, write.attempt),
        Verdict::Do(Step::ListJobs { vault, .. }) => format!("list the jobs of {}", vault.name()),
        Verdict::Do(Step::Confirm { id }) => format!("confirm {}", id.name()),
        Verdict::Do(Step::Poll) => "poll".into(),
        Verdict::Do(Step::Adopt { job }) => format!("adopt {job}"),
        Verdict::Do(Step::Forget) => "forget".into(),
        Verdict::Do(Step::Conclude(_)) => "conclude".into(),
        Verdict::Do(Step::Named { job, .. }) => format!("named {job}"),
        Verdict::Do(Step::Create) => "create".into(),
        Verdict::Wait { until, reason, .. } => format!("wait until {}: {reason}", seconds(*until)),
        Verdict::Stuck { reason, .. } => format!("stuck: {reason}"),
    }
}
