//! Writes that fail, and the record of them.

use super::{super::fault::Strike, *};

fn hit_next(cluster: &MemoryCluster, fault: WriteFault) {
    cluster.plan_faults(FaultPlan::default().with(Strike::Nth(1), fault));
}

fn patch(cluster: &MemoryCluster) -> Result<DynamicObject, ClusterError> {
    ready(cluster.patch_status(&key("g"), "", &json!({"seen": ["a"]}), &|| true))
}

fn patched(cluster: &MemoryCluster) -> bool {
    cluster.live(&key("g")).expect("there").data["status"]["seen"] == json!(["a"])
}

#[test]
fn a_write_that_never_arrived_and_one_whose_answer_is_lost_look_alike() {
    let (cluster, _) = with_g();
    hit_next(&cluster, WriteFault::NeverSent);
    assert!(matches!(patch(&cluster), Err(ClusterError::Unknown(_))));
    assert!(!patched(&cluster));
    hit_next(&cluster, WriteFault::AppliedAnswerLost);
    assert!(matches!(patch(&cluster), Err(ClusterError::Unknown(_))));
    assert!(patched(&cluster));
    let log = cluster.write_log(1);
    assert_eq!((&log[0].outcome, &log[0].after), (&Outcome::NotSent, &None));
    assert_eq!((&log[1].outcome, &log[1].fault), (&Outcome::Applied, &Some(WriteFault::AppliedAnswerLost)));
}

#[test]
fn conflicts_and_refusals_can_be_asked_for_and_the_next_write_goes_through() {
    let (cluster, _) = with_g();
    hit_next(&cluster, WriteFault::Conflict);
    assert_eq!(patch(&cluster), Err(ClusterError::Conflict));
    hit_next(&cluster, WriteFault::Refused("quota".to_owned()));
    assert_eq!(refusal(patch(&cluster)), "quota");
    assert!(!patched(&cluster));
    patch(&cluster).expect("the plan is used up");
    assert!(patched(&cluster));
}

#[test]
fn a_write_in_which_the_process_dies_never_returns() {
    for (fault, applied) in [(WriteFault::DiesBefore, false), (WriteFault::DiesAfter, true)] {
        let (cluster, _) = with_g();
        hit_next(&cluster, fault);
        assert!(poll(cluster.patch_status(&key("g"), "", &json!({"seen": ["a"]}), &|| true)).is_pending());
        assert_eq!((cluster.deaths(), patched(&cluster)), (1, applied));
    }
}

#[test]
fn a_lost_answer_to_a_write_that_was_invalid_stays_without_effect() {
    let (cluster, _) = with_g();
    hit_next(&cluster, WriteFault::AppliedAnswerLost);
    let answer = ready(cluster.patch_status(&key("g"), "", &json!({"seen": [1]}), &|| true));
    assert!(matches!(answer, Err(ClusterError::Unknown(_))));
    assert!(matches!(cluster.write_log(1)[0].outcome, Outcome::Failed(ClusterError::Refused(_))));
}

#[test]
fn a_server_out_of_reach_answers_neither_reads_nor_writes_but_the_cache_still_does() {
    let (cluster, _) = with_g();
    cluster.set_reach(Reach::Down);
    assert!(matches!(ready(cluster.get(&key("g"))), Err(ClusterError::Unknown(_))));
    assert!(matches!(patch(&cluster), Err(ClusterError::Unknown(_))));
    assert!(cluster.cached(&key("g")).is_some());
    cluster.set_reach(Reach::Up);
    assert!(!patched(&cluster));
    patch(&cluster).expect("up again");
}

#[test]
fn people_are_not_hit_by_the_operators_faults() {
    let (cluster, _) = with_g();
    hit_next(&cluster, WriteFault::NeverSent);
    cluster.set_reach(Reach::Down);
    cluster.user().patch_status(&key("g"), &json!({"seen": ["a"]})).expect("valid");
    assert!(patched(&cluster));
}

#[test]
fn the_operators_writes_are_counted_by_verb_and_kind_and_all_writes_are_kept() {
    let (cluster, g) = with_g();
    patch(&cluster).expect("valid");
    patch(&cluster).expect("a write that changes nothing is a write");
    cluster.user().annotate(&key("g"), "a", Some("b")).expect("valid");
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("there");
    assert_eq!((cluster.writes(), cluster.writes_of(Verb::PatchStatus, "Gadget"), cluster.writes_of(Verb::Update, "Gadget")), (4, 2, 0));
    let log = cluster.write_log(0);
    let told: Vec<_> = log.iter().map(|write| (write.writer, write.verb, write.outcome.clone())).collect();
    assert_eq!(
        told,
        [
            (Writer::Operator, Verb::Create, Outcome::Applied),
            (Writer::Operator, Verb::PatchStatus, Outcome::Applied),
            (Writer::Operator, Verb::PatchStatus, Outcome::NoChange),
            (Writer::User, Verb::Update, Outcome::Applied),
            (Writer::Operator, Verb::Delete, Outcome::Applied),
        ]
    );
    assert_eq!(log[1].body, json!({"seen": ["a"]}));
    let status = |stored: &Option<Arc<store::Stored>>| stored.as_ref().map(|stored| stored.value["status"].clone());
    assert_eq!(status(&log[1].before), Some(json!({"observedGeneration": -1})));
    assert_eq!(status(&log[1].after), Some(json!({"observedGeneration": -1, "seen": ["a"]})));
    assert_eq!(log[4].after, None);
}

#[test]
fn events_are_kept_with_whom_they_are_about() {
    let (cluster, g) = with_g();
    let event = Event { warning: true, reason: "Drifted".to_owned(), action: "Observe".to_owned(), note: "A note.".to_owned() };
    ready(cluster.event(&g, &event));
    let events = cluster.events();
    assert_eq!((&events[0].about, &events[0].uid, &events[0].event, events.len()), (&key("g"), &uid(&g), &event, 1));
    assert_eq!(events[0].at.to_string(), START);
}

#[test]
fn a_record_reads_as_a_line_of_a_story() {
    let (cluster, _) = with_g();
    hit_next(&cluster, WriteFault::AppliedAnswerLost);
    patch(&cluster).expect_err("lost");
    hit_next(&cluster, WriteFault::Conflict);
    patch(&cluster).expect_err("conflict");
    let story: Vec<String> = cluster.write_log(1).iter().map(ToString::to_string).collect();
    assert_eq!(
        story,
        [
            "2026-03-01T00:00:00Z Operator PatchStatus Gadget team/g: Applied, 2 -> 3 (AppliedAnswerLost)",
            "2026-03-01T00:00:00Z Operator PatchStatus Gadget team/g: the object changed since it was read (Conflict)",
        ]
    );
}
