//! Actions that nothing is on record of, and those that a field or the operation's end proves.

use breakwater_api::{OperationRecord, Reason};
use breakwater_plan::{
    graph::{Counts, Hold, Node, Proof, Repeat, Target},
    planner::{Step, Verdict, Write},
};
use serde_json::Value;

use crate::world::*;

fn write(scene: &Scene, counts: Counts) -> Write {
    let plan = scene.plan(&one("a", act("a", backup("a", counts))));
    match plan.verdicts.get("a") {
        Some(Verdict::Do(Step::Write(write))) => (**write).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_sending_of_an_action_looks_at_target_and_jobs_first() {
    let there = || Scene::new(100, 100).read("a", 100, Some(equal()));
    let own = |attempt, status: &str| job("j1", "c;a", &our_id("a", attempt), 50, status);
    let theirs = |container: &str| job("j2", container, SOMEBODYS, 50, "InProgress");
    #[rustfmt::skip]
    let cases: Vec<(&str, Scene, &str)> = vec![
        ("target never read",                    Scene::new(100, 100),                                          "read a"),
        ("target read before this turn",         Scene::new(100, 100).read("a", 99, Some(equal())),             "read a"),
        ("target absent",                        Scene::new(100, 100).read("a", 100, None),                     "stuck: Missing"),
        ("jobs never listed",                    there(),                                                       "list the jobs of v"),
        ("jobs listed long before this turn",    there().jobs(84, &[]),                                         "list the jobs of v"),
        ("jobs listed a moment before",          there().jobs(85, &[]),                                         "POST attempt 1"),
        ("no job",                               there().jobs(100, &[]),                                        "POST attempt 1"),
        ("rebuilt cluster: own job runs",        there().jobs(100, &[own(1, "InProgress")]),                    "adopt j1"),
        ("rebuilt cluster: of a later attempt",  there().jobs(100, &[own(8, "InProgress")]),                    "adopt j1"),
        ("rebuilt cluster: own job is over",     there().jobs(100, &[own(1, "Failed")]),                        "done"),
        ("somebody's job was there before",      there().jobs(100, &[theirs("c;a")]),                           "POST attempt 1"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(scene.answer(&one("a", act("a", backup("a", Counts::Ours))), "a"), expected, "{situation}");
    }
}

#[test]
fn a_list_of_jobs_from_a_moment_ago_does_not_do_where_anybody_may_have_begun_it() {
    let scene = Scene::new(100, 100).read("a", 100, Some(equal())).jobs(99, &[]);
    assert_eq!(scene.answer(&one("a", act("a", backup("a", Counts::Anybodys))), "a"), "list the jobs of v");
}

#[test]
fn what_was_begun_on_an_item_is_looked_for_in_a_list_that_is_younger() {
    let container =
        "backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg;m/protectedItems/VM;iaasvmcontainerv2;rg;m";
    let item: breakwater_arm::ResourceId = format!("{}/{container}", vault()).parse().unwrap();
    let node = || Node { target: Target::Arm(item.clone()), ..act("a", backup("a", Counts::Ours)) };
    let scene = |listed: i64, acted: Option<i64>| {
        let mut scene = Scene::new(100, 100).jobs(listed, &[]);
        scene.seen.insert(item.clone(), Scene::new(100, 100).read("a", 100, Some(equal())).seen[&id("a")].clone());
        scene.acted.extend(acted.map(|acted| (item.clone(), at(acted))));
        scene.answer(&one("a", node()), "a")
    };
    assert_eq!(scene(90, None), "POST attempt 1");
    assert_eq!(scene(90, Some(89)), "POST attempt 1");
    for acted in [90, 95, 100] {
        assert_eq!(scene(90, Some(acted)), "list the jobs of v", "begun {acted}");
    }
}

#[test]
fn an_action_that_happened_is_done_whatever_holds_it() {
    let done = || breakwater_plan::graph::Acted { done: true, ..backup("a", Counts::Anybodys) };
    let scene = Scene::new(100, 100);
    assert_eq!(scene.answer(&one("a", act("a", done())), "a"), "done");
    let hold = Some(Hold::stuck(Reason::NotOurs, "hands off"));
    assert_eq!(scene.answer(&one("a", act("a", done()).held(hold.clone())), "a"), "done");
    assert_eq!(scene.answer(&one("a", act("a", backup("a", Counts::Ours)).held(hold)), "a"), "stuck: NotOurs");
    let after = one("a", act("a", backup("a", Counts::Ours)).after(&["nobody"]));
    assert_eq!(scene.answer(&after, "a"), "wait until 700: DependencyNotReady");
}

#[test]
fn an_intent_remembers_the_jobs_that_fit_before_it() {
    let jobs = [job("fits", "C;A", SOMEBODYS, 50, "Completed"), job("another-machine", "c;b", SOMEBODYS, 50, "Completed"), {
        let mut restore = job("restore", "c;a", SOMEBODYS, 50, "Completed");
        restore["properties"]["operation"] = "Restore".into();
        restore
    }];
    let sent = write(&Scene::new(100, 100).read("a", 100, Some(equal())).jobs(100, &jobs), Counts::Ours);
    assert_eq!(sent.known_jobs, ["fits"]);
    assert!(sent.once && !sent.witness, "nobody's job shows a request id of ours");
    assert_eq!((sent.key.as_str(), sent.attempt), ("once", 1));
}

#[test]
fn a_job_of_ours_in_the_vault_is_a_witness_that_jobs_show_our_ids() {
    let there = |jobs: &[Value]| Scene::new(100, 100).read("a", 100, Some(equal())).jobs(100, jobs);
    let version_5 = job("configured", "c;b", &our_id("protection", 1), 50, "Completed");
    assert!(write(&there(&[version_5]), Counts::Ours).witness, "only we mint ids of version 5");
    let other = OperationRecord { client_request_id: SOMEBODYS.to_uppercase(), ..intent("protection", 40) };
    let known = there(&[job("configured", "c;b", SOMEBODYS, 50, "Completed")]).record(other);
    assert!(write(&known, Counts::Ours).witness, "an open record of this object names the id");
    assert!(!write(&there(&[]), Counts::Ours).witness);
}

#[test]
fn a_list_that_cannot_be_read_is_a_wait_and_never_no_job() {
    let mut scene = Scene::new(100, 100).read("a", 100, Some(equal())).jobs(50, &[]);
    scene.jobs.get_mut(&vault()).unwrap().trouble = Some(trouble(160));
    let desired = one("a", act("a", backup("a", Counts::Ours)));
    assert_eq!(scene.answer(&desired, "a"), "wait until 160: AuthorizationFailed");
    scene.now = 160;
    assert_eq!(scene.answer(&desired, "a"), "list the jobs of v");
}

#[test]
fn a_list_of_jobs_reaches_back_a_day_before_the_oldest_open_intent() {
    let scene = Scene::new(9000, 9000).record(acting("a", 1000));
    let plan = scene.plan(&one("a", act("a", backup("a", Counts::Ours))));
    assert_eq!(plan.verdicts["a"], Verdict::Do(Step::ListJobs { vault: vault(), since: at(1000 - 86_400) }));
}

#[test]
fn an_action_proven_by_a_field_follows_its_target() {
    let scene = |now| Scene::new(now, now);
    let read = |now, when, record| scene(now).record(record).read("a", when, Some(equal()));
    use Repeat::{Once, Safe};
    #[rustfmt::skip]
    let cases = [
        // situation                               world                                               repeat  done   answer
        ("never sent",                             scene(0).read("a", 0, Some(equal())),                Once,  false, "POST attempt 1"),
        ("happened",                               scene(0),                                            Once,  true,  "done"),
        ("running",                                scene(9).record(running(acting("a", 0))),            Once,  false, "poll"),
        ("lost, not read since",                   read(9, 0, acting("a", 0)),                          Once,  false, "read a"),
        ("lost, and the field shows it",           read(9, 9, acting("a", 0)),                          Once,  true,  "forget"),
        ("lost, not shown yet",                    read(9, 8, acting("a", 0)),                          Once,  false, "wait until 13: Settling"),
        ("lost, settled, read too early",          read(301, 299, acting("a", 0)),                      Once,  false, "read a"),
        ("lost, settled, never shown",             read(302, 301, acting("a", 0)),                      Once,  false, "stuck: OutcomeUnknown"),
        ("safe, lost, settled, never shown",       read(62, 62, acting("a", 0)),                        Safe,  false, "POST attempt 2"),
        ("safe, lost, settled, read before",       read(99, 62, acting("a", 0)),                        Safe,  false, "read a"),
        ("ended, not shown yet",                   read(59, 55, ended(acting("a", 0), 50)),             Once,  false, "wait until 60: Settling"),
        ("ended, never shown",                     read(352, 351, ended(acting("a", 0), 50)),           Once,  false, "stuck: OutcomeUnknown"),
        ("safe, ended, never shown",               read(352, 351, ended(acting("a", 0), 50)),           Safe,  false, "forget"),
        ("refused, waits",                         read(60, 60, refused(acting("a", 0), 1, true, Some(90))), Once, false, "wait until 90: Busy"),
        ("refused, its time has come",             read(90, 90, refused(acting("a", 0), 1, true, Some(90))), Once, false, "POST attempt 2"),
        ("refused, shown all the same",            read(60, 60, refused(acting("a", 0), 1, true, Some(90))), Once, true,  "forget"),
    ];
    for (situation, scene, repeat, done, expected) in cases {
        let acted = breakwater_plan::graph::Acted { done, ..action("a", Proof::Field, repeat) };
        assert_eq!(scene.answer(&one("a", act("a", acted)), "a"), expected, "{situation}");
    }
}

#[test]
fn an_action_proven_by_its_operation_is_over_with_it() {
    let desired = one("a", act("a", action("a", Proof::Operation, Repeat::Safe)));
    let scene = |record| Scene::new(200, 200).record(record).read("a", 200, Some(equal()));
    assert_eq!(Scene::new(9, 9).read("a", 9, Some(equal())).answer(&desired, "a"), "POST attempt 1");
    assert_eq!(scene(running(acting("a", 0))).answer(&desired, "a"), "poll");
    assert_eq!(scene(ended(acting("a", 0), 90)).answer(&desired, "a"), "wait until 205: Settling", "the kind has not noted it yet");
    let noted = breakwater_plan::graph::Acted { done: true, ..action("a", Proof::Operation, Repeat::Safe) };
    assert_eq!(scene(ended(acting("a", 0), 90)).answer(&one("a", act("a", noted)), "a"), "forget");
    assert_eq!(scene(acting("a", 0)).answer(&desired, "a"), "POST attempt 2", "lost and settled: safe to repeat");
}
