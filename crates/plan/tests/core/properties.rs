//! Over random graphs, sightings, jobs and records: what a plan never does.

use std::collections::BTreeSet;

use breakwater_api::{OperationRecord, Reason};
use breakwater_plan::{
    graph::{Acted, Counts, Desired, Goal, Hold, HoldKind, Node, Proof, Repeat},
    planner::{MOST_ATTEMPTS, Step, Verdict, Write},
    sighting::{How, in_flight},
};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::Value;

use crate::world::*;

/// The decision is made at this second; the turn began ten seconds before.
const NOW: i64 = 1000;
const BEGAN: i64 = 990;

/// One node in numbers: each is read as far as it goes.
#[derive(Clone, Debug)]
struct Draft {
    goal: u8,
    after: Vec<bool>,
    target: usize,
    hold: u8,
    done: bool,
    read: Option<(i64, u8)>,
    listed: Option<(i64, u8)>,
    record: u8,
    intent: i64,
    attempt: i32,
    refused_until: Option<i64>,
    witness: bool,
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![0..NOW, BEGAN - 3..=NOW, NOW - 320..NOW - 280]
}

fn draft() -> impl Strategy<Value = Draft> {
    let look = || prop::option::weighted(0.8, (time(), 0..4u8));
    let node = (0..6u8, prop::collection::vec(prop::bool::weighted(0.3), 5), 0..5usize, 0..8u8, prop::bool::weighted(0.2));
    let record = (0..8u8, time(), 1..=8i32, prop::option::of(NOW - 50..NOW + 50), any::<bool>());
    (node, look(), look(), record).prop_map(
        |((goal, after, target, hold, done), read, listed, (record, intent, attempt, refused_until, witness))| Draft {
            goal,
            after,
            target,
            hold,
            done,
            read,
            listed,
            record,
            intent,
            attempt,
            refused_until,
            witness,
        },
    )
}

/// Who started a job, on which container, when, and whether it is over.
type JobDraft = (u8, usize, i64, bool);

fn scenes() -> impl Strategy<Value = (Vec<Draft>, Option<(i64, Vec<JobDraft>)>)> {
    let jobs = prop::collection::vec((0..4u8, 0..5usize, time(), any::<bool>()), 0..5);
    (prop::collection::vec(draft(), 1..6), prop::option::weighted(0.9, (time(), jobs)))
}

fn body(kind: u8) -> Option<Value> {
    [None, Some(equal()), Some(thing("Succeeded", "9")), Some(thing("Updating", "4"))][usize::from(kind)].clone()
}

fn record_of(node: &str, draft: &Draft) -> Option<OperationRecord> {
    let of_action = matches!(draft.goal, 2..=5);
    let base = if of_action { acting(node, draft.intent) } else { intent(node, draft.intent) };
    let base = OperationRecord { attempt: draft.attempt, witness: draft.witness, target: target(draft), ..base };
    let base =
        if of_action { base } else { OperationRecord { key: breakwater_plan::keys::safe_key(&put(&id(&thing_name(draft)))), ..base } };
    let end = (draft.intent + 20).min(NOW);
    match draft.record {
        0 => Some(base),
        1 => Some(running(base)),
        2 => Some(ended(base, end)),
        3 => Some(refused(base, end, draft.witness, draft.refused_until)),
        4 if of_action => Some(OperationRecord { job: Some("job-0".into()), ..running(base) }),
        _ => None,
    }
}

fn thing_name(draft: &Draft) -> String {
    format!("t{}", draft.target)
}

fn target(draft: &Draft) -> String {
    id(&thing_name(draft)).to_string()
}

fn node_of(scene: &Scene, draft: &Draft) -> Node {
    let name = thing_name(draft);
    let acted = |acted: Acted| act(&name, Acted { done: draft.done, ..acted });
    let node = match draft.goal {
        0 => scene.ensure(&name),
        1 => gone(&name),
        2 => acted(backup(&name, Counts::Ours)),
        3 => acted(backup(&name, Counts::Anybodys)),
        4 => acted(action(&name, Proof::Field, Repeat::Once)),
        _ => acted(action(&name, Proof::Operation, Repeat::Safe)),
    };
    match draft.hold {
        0 => node.held(Some(Hold::stuck(Reason::NotOurs, "hands off"))),
        1 => node.held(Some(Hold::wait(Reason::Busy, "later"))),
        _ => node,
    }
}

fn build((drafts, jobs): &(Vec<Draft>, Option<(i64, Vec<JobDraft>)>)) -> (Scene, Desired) {
    let mut scene = Scene::new(NOW, BEGAN);
    for (i, draft) in drafts.iter().enumerate() {
        if let Some((at, kind)) = draft.read {
            scene = scene.read(&thing_name(draft), at, body(kind));
        }
        if let Some((at, kind)) = draft.listed {
            scene = scene.look(&thing_name(draft), at, How::Listed, body(kind));
        }
        if let Some(record) = record_of(&format!("n{i}"), draft) {
            scene = scene.record(record);
        }
    }
    if let Some((at, jobs)) = jobs {
        let one = |(i, (who, what, start, over)): (usize, &JobDraft)| {
            let activity = if *who == 0 { our_id(&format!("n{}", i % 3), 1 + i as i32) } else { SOMEBODYS.to_owned() };
            job(&format!("job-{i}"), &format!("c;t{what}"), &activity, (*start).min(*at), if *over { "Completed" } else { "InProgress" })
        };
        scene = scene.jobs(*at, &jobs.iter().enumerate().map(one).collect::<Vec<_>>());
    }
    let mut desired = Desired::new();
    for (i, draft) in drafts.iter().enumerate() {
        let mut node = node_of(&scene, draft);
        node.after = (0..i).filter(|j| draft.after[*j]).map(|j| format!("n{j}")).collect();
        desired.node(&format!("n{i}"), node);
    }
    (scene, desired)
}

fn writes(plan: &breakwater_plan::planner::Plan) -> impl Iterator<Item = (&str, &Write)> {
    plan.steps().filter_map(|(key, step)| if let Step::Write(write) = step { Some((key.as_str(), &**write)) } else { None })
}

/// What "met" means, told apart from the planner's own words: by evidence, and nothing open, and nothing held.
fn is_met(scene: &Scene, desired: &Desired, key: &str) -> bool {
    let node = &desired.nodes[key];
    let seen = scene.seen.get(node.id().unwrap());
    let there = seen.and_then(|s| s.latest()).and_then(|s| s.what.as_deref());
    let gone = || seen.and_then(|s| s.read.as_ref()).is_some_and(|s| s.what.is_none());
    let met = match &node.goal {
        Goal::Exists { .. } => there.is_some_and(|b| !in_flight(b) && b["properties"]["size"] == "4"),
        Goal::Gone { .. } => gone(),
        Goal::Acted(acted) => acted.done,
        _ => false,
    };
    met && node.hold.is_none() && !scene.operations.contains_key(key)
}

/// Whether a resending of a `Once` is one of the two that may be: after a whole refusal, or after the settle time with a
/// list of jobs read in this turn that shows none.
fn may_send_again(scene: &Scene, node: &Node, record: &OperationRecord) -> bool {
    if record.error.is_some() {
        return true;
    }
    let settled = record.intent_at + BOUNDS.settle_once;
    let list = scene.jobs.get(&vault()).and_then(|l| l.last.as_ref());
    let by_job = matches!(&node.goal, Goal::Acted(acted) if matches!(acted.proof, Proof::Job(_)));
    by_job && record.handle.is_none() && record.job.is_none() && list.is_some_and(|l| l.at >= settled && l.at >= at(BEGAN))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_inputs_give_the_same_plan_and_a_converged_one_has_no_step(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        prop_assert_eq!(&plan, &scene.clone().plan(&desired.clone()));
        prop_assert_eq!(plan.verdicts.keys().collect::<Vec<_>>(), desired.nodes.keys().collect::<Vec<_>>(), "one verdict a node");
        if plan.converged() {
            prop_assert_eq!(plan.steps().count(), 0);
            prop_assert!(scene.operations.keys().all(|key| !desired.nodes.contains_key(key)), "no record is left behind");
        }
    }

    #[test]
    fn nothing_is_written_without_a_read_of_its_target_in_this_turn(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        for (key, write) in writes(&plan) {
            let read = scene.seen.get(desired.nodes[key].id().unwrap()).and_then(|s| s.read.as_ref());
            prop_assert!(read.is_some_and(|s| s.at >= at(BEGAN)), "{key}: {write:?} on {read:?}");
            prop_assert!((1..=MOST_ATTEMPTS).contains(&write.attempt));
            if matches!(desired.nodes[key].goal, Goal::Exists { .. } | Goal::Gone { .. }) {
                let flies = read.and_then(|s| s.what.as_deref()).is_some_and(in_flight);
                prop_assert!(!flies || scene.operations.contains_key(key), "{key} is written while somebody's operation runs");
            }
        }
    }

    #[test]
    fn nothing_is_written_before_what_it_comes_after_or_while_it_is_held(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        for (key, write) in writes(&plan) {
            let node = &desired.nodes[key];
            prop_assert!(node.hold.is_none(), "{key} is held: {write:?}");
            for dependency in &node.after {
                prop_assert!(is_met(&scene, &desired, dependency), "{key} is written before {dependency}: {write:?}");
            }
        }
    }

    #[test]
    fn one_target_has_one_open_operation(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        let mut targets = BTreeSet::new();
        for (key, _) in writes(&plan) {
            let id = desired.nodes[key].id().unwrap();
            prop_assert!(targets.insert(id.clone()), "{id} is written twice");
            // One that ended with an error is not open: nothing of it runs any more.
            let open = |k: &String| scene.operations[k].ended_at.is_none() || scene.operations[k].error.is_none();
            let others = scene.operations.keys().filter(|k| *k != key && open(k) && desired.nodes[*k].id() == Some(id)).count();
            prop_assert!(others == 0 || scene.operations.contains_key(key), "{key} is written beside an open operation on {id}");
        }
    }

    #[test]
    fn an_action_that_may_have_happened_is_never_sent_again(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        for (key, write) in writes(&plan).filter(|(_, w)| w.once) {
            if let Some(record) = scene.operations.get(key) {
                prop_assert!(may_send_again(&scene, &desired.nodes[key], record), "{key}: {write:?} after {record:?}");
                prop_assert!(record.error.is_some() || write.attempt == record.attempt + 1, "another attempt has another request id");
            }
        }
    }

    #[test]
    fn every_wait_ends_and_a_stuck_hold_is_always_told(inputs in scenes()) {
        let (scene, desired) = build(&inputs);
        let plan = scene.plan(&desired);
        for (key, verdict) in &plan.verdicts {
            if let Verdict::Wait { until, .. } = verdict {
                prop_assert!(*until > at(NOW) && *until <= at(NOW) + SignedDuration::from_hours(1), "{key}: {verdict:?}");
            }
            let node = &desired.nodes[key];
            if let (Goal::Exists { .. }, Some(hold), false) = (&node.goal, &node.hold, scene.operations.contains_key(key))
                && hold.kind == HoldKind::Stuck
            {
                prop_assert!(matches!(verdict, Verdict::Stuck { .. }), "{key}: {verdict:?}");
            }
        }
    }
}
