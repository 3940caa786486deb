//! `Exists`, `Gone`, `Holds` and children: the table of situations.

use breakwater_api::Reason;
use breakwater_arm::wire::{Method, Request};
use breakwater_plan::{
    graph::{Desired, Goal, Hold, Node, Shared},
    planner::{Step, Verdict},
    sighting::How::{Listed, Read},
};
use serde_json::json;

use crate::world::*;

/// The answer about `a`, which should be there with size 4.
fn answer(scene: &Scene) -> String {
    scene.answer(&one("a", scene.ensure("a")), "a")
}

#[test]
fn every_situation_without_a_record_has_one_answer() {
    let now = |now| Scene::new(now, 100);
    #[rustfmt::skip]
    let cases = [
        // situation                              world                                                                   answer
        ("never seen",                            now(100),                                                               "read a"),
        ("listed as absent",                      now(100).look("a", 100, Listed, None),                                  "read a"),
        ("read as absent before this turn",       now(100).read("a", 99, None),                                           "read a"),
        ("read as absent",                        now(100).read("a", 100, None),                                          "PUT attempt 1"),
        ("present and equal by listing",          now(100).look("a", 3, Listed, Some(equal())),                           "done"),
        ("present and equal by a read",           now(100).read("a", 3, Some(equal())),                                   "done"),
        ("drifted by listing",                    now(100).look("a", 100, Listed, Some(thing("Succeeded", "9"))),         "read a"),
        ("drifted by an old read",                now(100).read("a", 99, Some(thing("Succeeded", "9"))),                  "read a"),
        ("drifted",                               now(100).read("a", 100, Some(thing("Succeeded", "9"))),                 "PUT attempt 1"),
        ("drifted, and failed at somebody's hand", now(100).read("a", 100, Some(thing("Failed", "9"))),                   "PUT attempt 1"),
        ("somebody's operation runs",             now(101).read("a", 100, Some(thing("Updating", "4"))),                  "wait until 130: OperationRunning"),
        ("it drifts while somebody's runs",       now(101).read("a", 100, Some(thing("Updating", "9"))),                  "wait until 130: OperationRunning"),
        ("somebody's operation ran when last read", now(130).read("a", 100, Some(thing("Updating", "4"))),                "read a"),
        ("a listing lies: it is there",           now(102).read("a", 100, Some(equal())).look("a", 101, Listed, None),    "wait until 105: Settling"),
        ("a listing still lies",                  now(106).read("a", 100, Some(equal())).look("a", 101, Listed, None),    "read a"),
        ("reading is refused",                    now(100).trouble("a", 160),                                             "wait until 160: AuthorizationFailed"),
        ("reading was refused",                   now(160).trouble("a", 160),                                             "read a"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(answer(&scene), expected, "{situation}");
    }
}

#[test]
fn every_situation_with_a_record_has_one_answer() {
    let now = |now| Scene::new(now, 200);
    let at_0 = |record| now(300).record(record);
    let with = |record, read, what| Scene::new(300, 300).record(record).read("a", read, what);
    let edited = || breakwater_api::OperationRecord { key: "another wish".into(), ..refused(intent("a", 0), 10, true, Some(900)) };
    #[rustfmt::skip]
    let cases = [
        // situation                              world                                                                           answer
        ("running",                               at_0(running(intent("a", 0))).poll_at("a", 310),                                "wait until 310: OperationRunning"),
        ("its intent is still to come",           at_0(intent("a", 400)).read("a", 300, None),                                    "wait until 400: Settling"),
        ("running, due",                          at_0(running(intent("a", 0))).poll_at("a", 300),                                "poll"),
        ("running since before a restart",        at_0(running(intent("a", 0))),                                                  "poll"),
        ("ended, not read since",                 at_0(ended(intent("a", 0), 290)).read("a", 289, None),                          "read a"),
        ("ended, not yet shown",                  at_0(ended(intent("a", 0), 290)).read("a", 298, None),                          "wait until 303: Settling"),
        ("ended, not shown when last read",       at_0(ended(intent("a", 0), 290)).read("a", 291, None),                          "read a"),
        ("ended and shown",                       at_0(ended(intent("a", 0), 290)).read("a", 291, Some(equal())),                 "forget"),
        ("ended, listed, not read since",         at_0(ended(intent("a", 0), 290)).look("a", 289, Listed, None),                  "confirm a"),
        ("ended, a read is dear",                 at_0(ended(intent("a", 0), 290)).look("a", 289, Listed, None).poll_at("a", 890), "wait until 890: Settling"),
        ("ended, listed since",                   at_0(ended(intent("a", 0), 290)).look("a", 291, Listed, Some(equal())),         "forget"),
        ("ended, listed at that moment",          at_0(ended(intent("a", 0), 290)).look("a", 290, Listed, Some(equal())),         "confirm a"),
        ("ended, listed since and absent",        at_0(ended(intent("a", 0), 290)).look("a", 291, Listed, None),                  "confirm a"),
        ("ended, listed since, still changing",   at_0(ended(intent("a", 0), 290)).look("a", 291, Listed, Some(thing("Updating", "4"))), "confirm a"),
        ("ended, a listing never agrees",         now(900).record(ended(intent("a", 0), 290)).look("a", 899, Listed, None).poll_at("a", 901), "read a"),
        ("ended, a listing agrees, a read not",   at_0(ended(intent("a", 0), 290)).look("a", 292, Listed, Some(equal())).read("a", 298, None), "wait until 303: Settling"),
        ("failed, listed as it should be",        at_0(refused(intent("a", 0), 290, true, Some(300))).look("a", 299, Listed, Some(equal())), "read a"),
        ("died before answer, listed",            at_0(intent("a", 290)).look("a", 299, Listed, Some(equal())),                   "read a"),
        ("ended and not shown for long",          at_0(ended(intent("a", 0), 240)).read("a", 299, None),                          "wait until 306: Settling"),
        ("ended and not shown for hours",         Scene::new(7500, 0).record(breakwater_api::OperationRecord { attempt: 8, ..ended(intent("a", 0), 300) }).read("a", 7500, None), "wait until 8400: Settling"),
        ("ended, not shown for twice as long",    with(ended(intent("a", 0), 180), 300, None),                                    "PUT attempt 2"),
        ("ended, not shown, edited meanwhile",    with(breakwater_api::OperationRecord { key: "another wish".into(), ..ended(intent("a", 0), 240) }, 300, None), "forget"),
        ("died before answer, not read since",    at_0(intent("a", 290)).read("a", 290, None),                                    "read a"),
        ("died before answer, absent",            at_0(intent("a", 290)).read("a", 298, None),                                    "wait until 303: Settling"),
        ("died before answer, present",           at_0(intent("a", 290)).read("a", 298, Some(equal())),                           "forget"),
        ("died before answer, in flight",         at_0(intent("a", 290)).read("a", 298, Some(thing("Creating", "4"))),            "wait until 303: OperationRunning"),
        ("died before answer, settled",           with(intent("a", 240), 300, None),                                              "PUT attempt 2"),
        ("died before answer, settled, old read", with(intent("a", 240), 299, None),                                              "read a"),
        ("died at the eighth attempt",            with(breakwater_api::OperationRecord { attempt: 8, ..intent("a", 240) }, 300, None), "wait until 307: Retrying"),
        ("no answer to eight, after an hour",     Scene::new(4080, 4080).record(breakwater_api::OperationRecord { attempt: 8, ..intent("a", 240) }).read("a", 4080, None), "PUT attempt 8"),
        ("died before answer, edited meanwhile",  with(breakwater_api::OperationRecord { key: "another wish".into(), ..intent("a", 240) }, 300, None), "forget"),
        ("failed: not read since",                with(refused(intent("a", 0), 10, true, Some(300)), 9, None),                    "read a"),
        ("failed: waits",                         with(refused(intent("a", 0), 10, true, Some(360)), 300, None),                  "wait until 360: Busy"),
        ("failed: waits, nobody knows how long",  with(refused(intent("a", 0), 10, true, None), 300, None),                       "wait until 3900: Busy"),
        ("failed: a person must move",            with(refused(intent("a", 0), 10, false, Some(360)), 300, None),                 "stuck: Busy"),
        ("failed: retries",                       with(refused(intent("a", 0), 10, true, Some(300)), 300, None),                  "PUT attempt 2"),
        ("failed: looks before it retries",       with(refused(intent("a", 0), 10, true, Some(300)), 299, None),                  "read a"),
        ("failed: edited meanwhile",              with(edited(), 300, None),                                                      "forget"),
        ("failed: done by somebody meanwhile",    with(refused(intent("a", 0), 10, true, Some(900)), 300, Some(equal())),         "forget"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(answer(&scene), expected, "{situation}");
    }
}

#[test]
fn what_is_held_is_never_written_and_a_person_hears_of_it_even_when_nothing_differs() {
    let (wait, stuck) = (Hold::wait(Reason::DependencyNotReady, "not yet"), Hold::stuck(Reason::NotOurs, "hands off"));
    let drifted = || Scene::new(100, 100).read("a", 100, Some(thing("Succeeded", "9")));
    let same = || Scene::new(100, 100).read("a", 100, Some(equal()));
    #[rustfmt::skip]
    let cases = [
        ("absent, waits",      Scene::new(100, 100).read("a", 100, None), &wait,  "wait until 130: DependencyNotReady"),
        ("absent, stuck",      Scene::new(100, 100).read("a", 100, None), &stuck, "stuck: NotOurs"),
        ("drifted, stuck",     drifted(),                                 &stuck, "stuck: NotOurs"),
        ("equal, waits",       same(),                                    &wait,  "done"),
        ("equal, stuck",       same(),                                    &stuck, "stuck: NotOurs"),
        ("lost, not settled",  drifted().record(intent("a", 50)),         &stuck, "wait until 106: Settling"),
        ("lost, stuck",        drifted().record(intent("a", 0)),          &stuck, "forget"),
        ("lost, waits",        drifted().record(intent("a", 0)),          &wait,  "wait until 130: DependencyNotReady"),
    ];
    for (situation, scene, hold, expected) in cases {
        let node = scene.ensure("a").held(Some(hold.clone()));
        assert_eq!(scene.answer(&one("a", node), "a"), expected, "{situation}");
    }
}

#[test]
fn a_node_waits_for_what_it_comes_after() {
    let scene = Scene::new(100, 100).read("b", 100, None);
    let graph = |scene: &Scene| {
        let mut desired = one("a", scene.ensure("a"));
        desired.node("b", scene.ensure("b").after(&["a"]));
        desired
    };
    let met = || scene.clone().read("a", 90, Some(equal()));
    #[rustfmt::skip]
    let cases = [
        ("never seen",              scene.clone(),                                             "wait until 700: DependencyNotReady"),
        ("absent",                  scene.clone().read("a", 100, None),                        "wait until 700: DependencyNotReady"),
        ("drifted",                 scene.clone().read("a", 100, Some(thing("Succeeded", "9"))), "wait until 700: DependencyNotReady"),
        ("in flight",               scene.clone().read("a", 100, Some(thing("Creating", "4"))), "wait until 700: DependencyNotReady"),
        ("met",                     met(),                                                     "PUT attempt 1"),
        ("met, its record open",    met().record(ended(intent("a", 0), 80)),                   "wait until 700: DependencyNotReady"),
        ("met, refused itself",     met().record(refused(intent("b", 0), 10, true, Some(50))), "PUT attempt 2"),
        ("drifted, refused itself", scene.clone().record(refused(intent("b", 0), 10, true, Some(50))), "wait until 700: DependencyNotReady"),
        ("drifted, lost itself",    scene.clone().record(intent("b", 0)),                      "wait until 700: DependencyNotReady"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(scene.answer(&graph(&scene), "b"), expected, "{situation}");
    }
    let mut lost = one("b", met().ensure("b").after(&["nobody"]));
    assert_eq!(met().answer(&lost, "b"), "wait until 700: DependencyNotReady", "a node that nobody declared is never ready");
    lost.node("nobody", scene.ensure("a").held(Some(Hold::wait(Reason::Busy, "held"))));
    assert_eq!(met().answer(&lost, "b"), "wait until 700: DependencyNotReady", "a held node is not met");
}

#[test]
fn two_nodes_on_one_target_take_turns() {
    let scene = Scene::new(100, 100).read("a", 100, None);
    let mut desired = one("first", scene.ensure("a"));
    desired.node("second", scene.ensure("A"));
    assert_eq!(scene.answer(&desired, "first"), "PUT attempt 1");
    assert_eq!(scene.answer(&desired, "second"), "wait until 105: Busy", "an id has no case");
    let open = scene.clone().record(running(intent("second", 90))).poll_at("second", 110);
    assert_eq!(open.answer(&desired, "first"), "wait until 105: Busy", "an open record comes first, whatever the order of names");
    assert_eq!(open.answer(&desired, "second"), "wait until 110: OperationRunning");
}

#[test]
fn what_was_seen_before_is_not_made_again() {
    let scene = Scene::new(100, 100).read("a", 100, None);
    let node = Node { goal: Goal::Exists { create: None, change: None }, ..scene.ensure("a") };
    assert_eq!(scene.answer(&one("a", node.clone()), "a"), "stuck: Missing");
    let listed = Scene::new(100, 100).look("a", 100, Listed, None);
    assert_eq!(listed.answer(&one("a", node), "a"), "read a", "a listing alone says nothing");
}

#[test]
fn gone_is_what_a_direct_read_says() {
    let now = || Scene::new(100, 100);
    #[rustfmt::skip]
    let cases = [
        ("never seen",                     now(),                                                   "read a"),
        ("listed as absent",               now().look("a", 100, Listed, None),                      "read a"),
        ("read as absent",                 now().read("a", 3, None),                                "done"),
        ("read as absent, listed so too",  now().read("a", 3, None).look("a", 9, Listed, None),     "done"),
        ("there",                          now().read("a", 100, Some(equal())),                     "DELETE attempt 1"),
        ("there by an old read",           now().read("a", 99, Some(equal())),                      "read a"),
        ("there by listing",               now().look("a", 100, Listed, Some(equal())),             "read a"),
        ("being deleted",                  now().read("a", 100, Some(thing("Deleting", "4"))),      "wait until 130: OperationRunning"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(scene.answer(&one("a", gone("a")), "a"), expected, "{situation}");
    }
}

#[test]
fn teardown_goes_on_when_a_listing_after_the_read_says_the_same() {
    let scene = Scene::new(100, 100).read("a", 50, None).look("a", 60, Listed, None).read("b", 100, Some(equal()));
    let mut desired = one("a", gone("a"));
    desired.node("b", gone("b").after(&["a"]));
    assert_eq!(scene.answer(&desired, "a"), "done");
    assert_eq!(scene.answer(&desired, "b"), "DELETE attempt 1");
}

/// A frame that many stand on; how it is made is as in `ensure`.
fn shared(wanted: bool, is_empty: Option<bool>) -> Desired {
    let remove = Request::new(Method::Delete, id("a").as_str(), "2026-01-01");
    let shared = Shared { create: put(&id("a")), remove: (!wanted).then_some(remove), is_empty };
    one("a", Node::arm(id("a"), Goal::Shared(shared), tagged()))
}

#[test]
fn what_is_shared_is_made_once_never_changed_and_removed_only_when_empty() {
    let read = |what| Scene::new(102, 100).read("a", 100, what);
    let other = || Some(thing("Succeeded", "9"));
    #[rustfmt::skip]
    let cases = [
        // situation                              world                                                  desired                     answer
        ("wanted, not seen",                      Scene::new(100, 100),                                  shared(true, None),         "read a"),
        ("wanted, listed as absent",              Scene::new(100, 100).look("a", 100, Listed, None),     shared(true, None),         "read a"),
        ("wanted, absent",                        read(None),                                            shared(true, None),         "PUT attempt 1"),
        ("wanted, there as somebody made it",     read(other()),                                         shared(true, None),         "done"),
        ("wanted, being made by somebody",        read(Some(thing("Creating", "4"))),                    shared(true, None),         "wait until 130: OperationRunning"),
        ("not wanted, absent",                    read(None),                                            shared(false, Some(true)),  "done"),
        ("not wanted, only listed as absent",     Scene::new(102, 100).look("a", 100, Listed, None),     shared(false, Some(true)),  "read a"),
        ("not wanted, others are in it",          read(other()),                                         shared(false, Some(false)), "done"),
        ("not wanted, not known what is in it",   read(other()),                                         shared(false, None),        "wait until 105: NotYetObserved"),
        ("not wanted, empty",                     read(other()),                                         shared(false, Some(true)),  "DELETE attempt 1"),
        ("not wanted, empty by an old read",      Scene::new(102, 101).read("a", 100, other()),          shared(false, Some(true)),  "read a"),
        ("removal taken, gone",                   Scene::new(300, 300).record(ended(intent("a", 0), 290)).read("a", 298, None), shared(false, Some(true)), "forget"),
        ("made by us, answer lost, there",        Scene::new(50, 50).record(intent("a", 0)).read("a", 40, other()), shared(true, None), "forget"),
    ];
    for (situation, scene, desired, expected) in cases {
        assert_eq!(scene.answer(&desired, "a"), expected, "{situation}");
    }
}

#[test]
fn children_are_created_once_and_after_what_they_need() {
    let child = |exists| Node::child("ProtectedMachine", "db", exists, json!({}));
    let scene = Scene::new(100, 100).read("a", 100, None);
    assert_eq!(scene.answer(&one("c", child(true)), "c"), "done");
    assert_eq!(scene.answer(&one("c", child(false)), "c"), "create");
    assert_eq!(scene.answer(&one("c", child(false).held(Some(Hold::stuck(Reason::Conflict, "")))), "c"), "stuck: Conflict");
    let mut desired = one("a", scene.ensure("a"));
    desired.node("c", child(false).after(&["a"]));
    assert_eq!(scene.answer(&desired, "c"), "wait until 700: DependencyNotReady");
}

#[test]
fn what_is_only_observed_is_never_written() {
    let holds = |met| Node::arm(id("a"), Goal::Holds { met }, tagged());
    let scene = Scene::new(100, 100).read("a", 100, None);
    assert_eq!(scene.answer(&one("a", holds(true)), "a"), "done");
    assert_eq!(scene.answer(&one("a", holds(false)), "a"), "wait until 105: Retrying");
    assert_eq!(scene.answer(&one("a", holds(false).held(Some(Hold::stuck(Reason::Missing, "")))), "a"), "stuck: Missing");
}

#[test]
fn a_plan_tells_its_steps_its_trouble_and_when_it_is_worth_another_look() {
    let scene = Scene::new(100, 100).read("a", 100, None).read("c", 100, Some(thing("Updating", "4")));
    let mut desired = one("a", scene.ensure("a"));
    desired.node("b", scene.ensure("b").held(Some(Hold::stuck(Reason::NotOurs, "hands off"))));
    desired.node("c", scene.ensure("c"));
    desired.node("d", scene.ensure("d").held(Some(Hold { until: Some(at(140)), ..Hold::wait(Reason::Busy, "later") })));
    let plan = scene.plan(&desired);
    assert!(!plan.converged());
    assert!(matches!(plan.steps().collect::<Vec<_>>()[..], [(key, Step::Write(_))] if key == "a"));
    assert_eq!(plan.stuck(), Some((Reason::NotOurs, "hands off")));
    assert_eq!(plan.waiting().map(|w| w.0), Some(Reason::OperationRunning));
    assert_eq!(plan.next(), Some(at(130)), "the earliest of 130 and 140");
    let nothing = scene.plan(&Desired::new());
    assert!(nothing.converged() && nothing.next().is_none() && nothing.stuck().is_none());
}

#[test]
fn a_write_carries_what_differs_and_a_key_of_what_it_asks_for() {
    let scene = Scene::new(100, 100).read("a", 100, Some(thing("Succeeded", "9")));
    let plan = scene.plan(&one("a", scene.ensure("a")));
    let Some(Verdict::Do(Step::Write(write))) = plan.verdicts.get("a") else { panic!("{plan:?}") };
    assert_eq!((write.differences[0].have.as_str(), write.differences[0].want.as_str()), ("9", "4"));
    assert_eq!(write.key, breakwater_plan::keys::safe_key(&put(&id("a"))));
    assert!(!write.once && write.debt.is_none());
    assert!(scene.seen[&id("a")].latest().is_some_and(|s| s.how == Read));
}
