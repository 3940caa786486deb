//! What is lent: opened once, a debt from the intent on.

use breakwater_api::Reason;
use breakwater_arm::wire::{Method, Request};
use breakwater_plan::{
    graph::{Goal, Hold, Lent, Node},
    planner::{Step, Verdict},
};

use crate::world::*;

fn request(verb: &str) -> Request {
    Request::new(Method::Post, format!("{}/{verb}", id("a")), "2026-01-01")
}

fn lent(is_open: bool) -> Node {
    let lent = Lent { open: request("open"), close: request("close"), until: at(500), is_open, key: "lend".into() };
    Node::arm(id("a"), Goal::Lent(lent), tagged())
}

#[test]
fn what_is_lent_is_opened_once_and_open_until_its_time() {
    let now = |now| Scene::new(now, now).read("a", now, Some(equal()));
    let hold = Some(Hold::stuck(Reason::NotOurs, "hands off"));
    #[rustfmt::skip]
    let cases = [
        // situation                     world                                                          node                         answer
        ("not open",                     now(100),                                                      lent(false),                 "POST attempt 1"),
        ("not open, not read",           Scene::new(100, 100),                                          lent(false),                 "read a"),
        ("held",                         now(100),                                                      lent(false).held(hold),      "stuck: NotOurs"),
        ("its dependency is not met",    now(100),                                                      lent(false).after(&["b"]),   "wait until 105: DependencyNotReady"),
        ("already open by another",      now(100),                                                      lent(true),                  "stuck: NotOurs"),
        ("its time is over",             now(500),                                                      lent(false),                 "done"),
        ("being opened",                 now(100).record(running(acting("a", 90))).poll_at("a", 110),   lent(false),                 "wait until 110: OperationRunning"),
        ("being opened, due",            now(100).record(running(acting("a", 90))),                     lent(false),                 "poll"),
        ("intended, answer lost",        now(100).record(acting("a", 90)),                              lent(false),                 "wait until 500: DebtOpen"),
        ("open",                         now(100).record(ended(acting("a", 90), 95)),                   lent(true),                  "wait until 500: DebtOpen"),
        ("open beyond its time",         now(600).record(ended(acting("a", 90), 95)),                   lent(true),                  "wait until 500: DebtOpen"),
    ];
    for (situation, scene, node, expected) in cases {
        assert_eq!(scene.answer(&one("a", node), "a"), expected, "{situation}");
    }
}

#[test]
fn opening_carries_the_request_that_closes_it_and_when() {
    let scene = Scene::new(100, 100).read("a", 100, Some(equal()));
    let plan = scene.plan(&one("a", lent(false)));
    let Verdict::Do(Step::Write(write)) = &plan.verdicts["a"] else { panic!("{plan:?}") };
    assert_eq!(write.request, request("open"));
    assert_eq!(write.debt, Some((request("close"), at(500))));
    assert_eq!((write.key.as_str(), write.attempt), ("lend", 1));
}
