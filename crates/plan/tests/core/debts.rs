//! What is lent: opened once, a debt from the intent on.

use breakwater_api::{
    OperationRecord, Reason,
    operations::{Debt, Outcome, RecordedError},
};
use breakwater_arm::wire::{Method, Request};
use breakwater_plan::{
    graph::{Goal, Hold, Lent, Node},
    planner::{Owed, Step, Verdict},
};

use crate::world::*;

fn request(verb: &str) -> Request {
    Request::new(Method::Post, format!("{}/{verb}", id("a")), "2026-01-01")
}

fn lent(is_open: bool) -> Node {
    let lent = Lent { open: request("open"), close: request("close"), until: at(500), is_open, key: "lend".into(), handed: None };
    Node::arm(id("a"), Goal::Lent(lent), tagged())
}

/// What it handed out got lost, and it was closed again.
fn lost(attempt: i32) -> OperationRecord {
    let error = RecordedError {
        reason: Reason::ScriptsLost.to_string(),
        code: String::new(),
        message: "lost".into(),
        waits: false,
        retry_at: None,
    };
    OperationRecord { outcome: Some(Outcome::Lost), error: Some(error), attempt, ..closed() }
}

/// A record of the opening, with its debt.
fn lending(seconds: i64) -> OperationRecord {
    let debt = Debt {
        secret: None,
        trouble: None,
        retry_at: None,
        method: "POST".into(),
        path: request("close").path,
        api_version: "2026-01-01".into(),
        body: None,
        until: at(500),
        access: "shop".into(),
        attempts: 0,
        closing: None,
    };
    OperationRecord { debt: Some(debt), ..acting("a", seconds) }
}

/// Azure said that it stands open.
fn opened() -> OperationRecord {
    OperationRecord { outcome: Some(Outcome::Succeeded), ..ended(lending(90), 95) }
}

/// The same, closed before its time.
fn closed() -> OperationRecord {
    OperationRecord { debt: None, ..ended(lending(90), 95) }
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
        ("its dependency is not met",    now(100),                                                      lent(false).after(&["b"]),   "wait until 700: DependencyNotReady"),
        ("already open by another",      now(100),                                                      lent(true),                  "stuck: NotOurs"),
        ("its time is over",             now(500),                                                      lent(false),                 "done"),
        ("being opened",                 now(100).record(running(lending(90))).poll_at("a", 110),   lent(false),                 "wait until 110: OperationRunning"),
        ("being opened, due",            now(100).record(running(lending(90))),                     lent(false),                 "poll"),
        ("intended, answer lost",        now(100).record(lending(90)),                              lent(false),                 "wait until 500: DebtOpen"),
        ("open",                         now(100).record(ended(lending(90), 95)),                   lent(true),                  "wait until 500: DebtOpen"),
        ("open beyond its time",         now(600).record(ended(lending(90), 95)),                   lent(true),                  "wait until 500: DebtOpen"),
        ("closed before its time",       now(100).record(closed()),                                     lent(false),                 "done"),
        ("closed, and its time is over", now(500).record(closed()),                                     lent(false),                 "forget"),
        ("its scripts lost, closed",     now(100).record(lost(1)),                                      lent(false),                 "POST attempt 2"),
        ("lost a second time",           now(100).record(lost(2)),                                      lent(false),                 "stuck: ScriptsLost"),
        ("lost, and its time is over",   now(500).record(lost(1)),                                      lent(false),                 "forget"),
    ];
    for (situation, scene, node, expected) in cases {
        assert_eq!(scene.answer(&one("a", node), "a"), expected, "{situation}");
    }
}

#[test]
fn what_comes_after_something_lent_waits_until_it_stands_open() {
    let second = |scene: &Scene| {
        let mut graph = one("a", lent(true));
        graph.node("b", scene.ensure("b").after(&["a"]));
        scene.answer(&graph, "b")
    };
    let now = |now| Scene::new(now, now).read("a", now, Some(equal())).read("b", now, None);
    assert_eq!(second(&now(100).record(running(lending(90)))), "wait until 700: DependencyNotReady");
    assert_eq!(second(&now(100).record(opened())), "PUT attempt 1");
    assert_eq!(second(&now(500).record(opened())), "wait until 1100: DependencyNotReady");
    assert_eq!(second(&now(100).record(closed())), "wait until 700: DependencyNotReady");
}

#[test]
fn opening_carries_the_request_that_closes_it_and_when() {
    let scene = Scene::new(100, 100).read("a", 100, Some(equal()));
    let plan = scene.plan(&one("a", lent(false)));
    let Verdict::Do(Step::Write(write)) = &plan.verdicts["a"] else { panic!("{plan:?}") };
    assert_eq!(write.request, request("open"));
    assert_eq!(write.debt, Some(Owed { close: request("close"), until: at(500), secret: None }));
    assert_eq!((write.key.as_str(), write.attempt), ("lend", 1));
}
