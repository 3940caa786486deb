//! Architecture rule 3: an action is sent again only after a whole 4xx, or on proof that no attempt happened.

use std::slice::from_ref;

use breakwater_api::{OperationRecord, Reason, operations::Outcome};
use breakwater_plan::graph::{Acted, Counts, Desired, Hold};
use serde_json::Value;

use crate::world::*;

fn answer(scene: &Scene, counts: Counts) -> String {
    scene.answer(&one("a", act("a", backup("a", counts))), "a")
}

/// The answer was lost after an intent at 1000; now it is `now`, the target was read and the jobs were listed at `listed`.
fn lost(now: i64, listed: i64, jobs: &[Value]) -> Scene {
    Scene::new(now, now).record(acting("a", 1000)).read("a", now, Some(equal())).jobs(listed, jobs)
}

fn older() -> Value {
    job("older", "c;b", SOMEBODYS, 900, "Completed")
}

#[test]
fn a_lost_answer_is_looked_for_in_the_jobs() {
    let own = job("own", "c;a", &our_id("a", 1), 1001, "InProgress");
    let theirs = job("theirs", "c;a", SOMEBODYS, 1001, "InProgress");
    let of_b = job("of-b", "c;b", SOMEBODYS, 1001, "InProgress");
    let (ours, anybodys) = (Counts::Ours, Counts::Anybodys);
    let none: &[Value] = &[];
    #[rustfmt::skip]
    let cases = [
        // situation                                   world                                            counts    answer
        ("jobs listed only before the intent",         lost(1010, 1000, std::slice::from_ref(&own)),    ours,     "list the jobs of v"),
        ("own job",                                    lost(1010, 1009, std::slice::from_ref(&own)),    ours,     "adopt own"),
        ("own job beside somebody's",                  lost(1010, 1009, &[theirs.clone(), own.clone()]), anybodys, "adopt own"),
        ("somebody's job, and anybody's counts",       lost(1010, 1009, std::slice::from_ref(&theirs)), anybodys, "adopt theirs"),
        ("somebody's job, and nobody says whose",      lost(1010, 1009, std::slice::from_ref(&theirs)), ours,     "stuck: OutcomeUnknown"),
        ("another machine's job",                      lost(1010, 1009, &[of_b]),                       anybodys, "wait until 1069: Settling"),
        ("none, not settled",                          lost(1010, 1009, none),                          ours,     "wait until 1069: Settling"),
        ("none, not settled, time to look",            lost(1069, 1009, none),                          ours,     "list the jobs of v"),
        ("none, soon settled",                         lost(1290, 1280, none),                          ours,     "wait until 1300: Settling"),
        ("none, settled, listed before that",          lost(1300, 1299, &[older()]),                    ours,     "list the jobs of v"),
        ("none, settled, an older job in the list",    lost(1300, 1300, &[older()]),                    ours,     "POST attempt 2"),
        ("none, settled, an empty list",               lost(1300, 1300, none),                          ours,     "stuck: OutcomeUnknown"),
    ];
    for (situation, scene, counts, expected) in cases {
        assert_eq!(answer(&scene, counts), expected, "{situation}");
    }
}

/// Whoever saved the intent had a slow clock, or whoever decides has a fast one: Azure's own tells them apart.
#[test]
fn a_lost_answer_settles_by_azures_clock_too() {
    let older = [older()];
    let by = |seen_at: i64, azure_behind: i64, now: i64| {
        let record = OperationRecord { azure_date: Some(at(seen_at)), ..acting("a", 1000) };
        answer(&Scene { azure_behind, ..lost(now, now, &older).record(record) }, Counts::Ours)
    };
    assert_eq!(by(1000, 0, 1300), "POST attempt 2");
    assert_eq!(by(1300, 0, 1320), "wait until 1380: Settling", "the intent was saved by a clock 300 s behind");
    assert_eq!(by(1000, 300, 1320), "wait until 1380: Settling", "this clock is 300 s ahead");
    assert_eq!(by(1000, 300, 1600), "POST attempt 2");
    assert_eq!(by(90_000, 0, 5000), "POST attempt 2", "a forged time holds it up for an hour at most");
}

#[test]
fn with_a_witness_somebodys_job_is_not_ours() {
    let theirs = job("theirs", "c;a", SOMEBODYS, 1001, "InProgress");
    let witnessed = |scene: Scene| scene.record(OperationRecord { witness: true, ..acting("a", 1000) });
    assert_eq!(answer(&witnessed(lost(1010, 1009, std::slice::from_ref(&theirs))), Counts::Ours), "wait until 1069: Settling");
    assert_eq!(answer(&witnessed(lost(1300, 1300, &[theirs.clone(), older()])), Counts::Ours), "POST attempt 2");
}

#[test]
fn a_job_that_was_there_before_the_intent_is_not_it() {
    let before = job("before", "c;a", SOMEBODYS, 990, "InProgress");
    let scene = lost(1010, 1009, &[before]).record(OperationRecord { known_jobs: vec!["before".into()], ..acting("a", 1000) });
    for counts in [Counts::Ours, Counts::Anybodys] {
        assert_eq!(answer(&scene, counts), "wait until 1069: Settling");
    }
}

#[test]
fn nothing_is_sent_again_without_a_look_in_this_turn() {
    let resend = lost(1400, 1400, &[older()]);
    assert_eq!(answer(&resend, Counts::Ours), "POST attempt 2");
    let old_read = resend.clone().read("a", 1399, Some(equal()));
    assert_eq!(answer(&old_read, Counts::Ours), "read a");
    assert_eq!(answer(&lost(1400, 1399, &[older()]), Counts::Ours), "list the jobs of v", "the list is read live");
    assert_eq!(answer(&resend.clone().read("a", 1400, None), Counts::Ours), "stuck: Missing");
    let held = act("a", backup("a", Counts::Ours)).held(Some(Hold::stuck(Reason::NotOurs, "hands off")));
    assert_eq!(resend.answer(&one("a", held), "a"), "stuck: NotOurs");
    let after = act("a", backup("a", Counts::Ours)).after(&["nobody"]);
    assert_eq!(resend.answer(&one("a", after), "a"), "wait until 2000: DependencyNotReady");
}

#[test]
fn what_azure_accepted_is_never_sent_again() {
    let accepted = lost(1400, 1400, &[older()]).record(ended(acting("a", 1000), 1020));
    assert_eq!(answer(&accepted, Counts::Ours), "stuck: OutcomeUnknown");
    let waits = lost(1030, 1029, &[older()]).record(ended(acting("a", 1000), 1020));
    assert_eq!(answer(&waits, Counts::Ours), "wait until 1089: Settling");
    let running = lost(1400, 1400, &[older()]).record(running(acting("a", 1000)));
    assert_eq!(answer(&running, Counts::Ours), "poll");
}

#[test]
fn the_eighth_attempt_is_the_last() {
    let attempt = |n| lost(1300, 1300, &[older()]).record(OperationRecord { attempt: n, ..acting("a", 1000) });
    assert_eq!(answer(&attempt(7), Counts::Ours), "POST attempt 8");
    assert_eq!(answer(&attempt(8), Counts::Ours), "stuck: OutcomeUnknown");
}

#[test]
fn a_lost_answer_is_forgotten_when_the_facts_show_the_action() {
    let done = Acted { done: true, ..backup("a", Counts::Ours) };
    assert_eq!(lost(1010, 1009, &[]).answer(&one("a", act("a", done)), "a"), "forget");
}

#[test]
fn of_what_nobody_wants_any_more_the_job_is_named_before_its_record_goes() {
    let own = job("own", "c;a", &our_id("a", 1), 1001, "Completed");
    let record = OperationRecord { verb: "act".into(), jobs_of: Some(vault().to_string()), ..acting("a", 1000) };
    let scene = lost(1400, 1400, from_ref(&own)).record(record.clone());
    assert_eq!(scene.answer(&Desired::new(), "a"), "adopt own");
    let named = scene.record(OperationRecord { job: Some("own".into()), ..record });
    assert_eq!(named.answer(&Desired::new(), "a"), "forget");
}

#[test]
fn of_what_nobody_wants_any_more_a_list_that_begins_after_it_says_nothing() {
    let record = OperationRecord { verb: "act".into(), jobs_of: Some(vault().to_string()), job: Some("own".into()), ..acting("a", 1000) };
    let mut scene = lost(1400, 1400, &[]).record(record);
    assert_eq!(scene.answer(&Desired::new(), "a"), "forget", "it is over so long that its job is in no list");
    scene.jobs_reach.insert(vault(), at(1001));
    assert_eq!(scene.answer(&Desired::new(), "a"), "list the jobs of v");
    scene.jobs_reach.insert(vault(), at(1000));
    assert_eq!(scene.answer(&Desired::new(), "a"), "forget");
}

#[test]
fn of_jobs_that_may_each_be_it_a_person_names_one_and_no_other_is_taken() {
    const FIRST: &str = "0b1ec700-0000-4000-8000-00000000000a";
    const SECOND: &str = "0b1ec700-0000-4000-8000-00000000000b";
    let jobs = [FIRST, SECOND].map(|name| job(name, "c;a", SOMEBODYS, 1001, "InProgress"));
    let scene = lost(1010, 1009, &jobs).read("a", 1010, Some(equal()));
    let wanted = one("a", act("a", backup("a", Counts::Ours)));
    assert_eq!(scene.answer(&wanted, "a"), "stuck: OutcomeUnknown");
    let named = |answer: &str| {
        let scene = Scene { began: 1009, ..scene.clone() };
        scene.answered(&wanted, "a", answer).answer(&wanted, "a")
    };
    assert_eq!(named(SECOND), format!("named {SECOND}"));
    assert_eq!(named("0b1ec700-0000-4000-8000-00000000000c"), "stuck: OutcomeUnknown", "no such job of this machine");
    assert_eq!(named("hapened"), "stuck: OutcomeUnknown", "a job is named by a GUID");
    assert_eq!(named("happened"), "conclude");
    // By a list from before this turn nothing is named.
    let stale = lost(1010, 1009, &jobs).answered(&wanted, "a", SECOND);
    assert_eq!(stale.answer(&wanted, "a"), "list the jobs of v");
}

#[test]
fn a_known_job_is_followed_to_its_end() {
    let follow = |now, listed, jobs: &[Value]| {
        let record = OperationRecord { job: Some("J".into()), ..running(acting("a", 0)) };
        Scene::new(now, now).record(record).jobs(listed, jobs)
    };
    let own = |status: &str| job("j", "c;a", &our_id("a", 1), 1, status);
    #[rustfmt::skip]
    let cases = [
        ("runs",                          follow(100, 60, &[own("InProgress")]),  "wait until 120: OperationRunning"),
        ("runs, time to look",            follow(120, 60, &[own("InProgress")]),  "list the jobs of v"),
        ("a word that nobody knows",      follow(100, 60, &[own("Pondering")]),   "wait until 120: OperationRunning"),
        ("completed",                     follow(100, 60, &[own("Completed")]),   "forget"),
        ("failed",                        follow(100, 60, &[own("Failed")]),      "forget"),
        ("not in the list yet",           follow(100, 60, &[]),                   "wait until 120: OperationRunning"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(answer(&scene, Counts::Ours), expected, "{situation}");
    }
    let unlisted = Scene::new(9, 9).record(OperationRecord { job: Some("j".into()), ..acting("a", 0) });
    assert_eq!(answer(&unlisted, Counts::Ours), "list the jobs of v");
}

#[test]
fn a_whole_refusal_is_sent_again_in_its_time() {
    let after = |retry| Scene::new(200, 200).record(refused(acting("a", 0), 1, true, retry)).read("a", 200, Some(equal()));
    let person = Scene::new(200, 200).record(refused(acting("a", 0), 1, false, None));
    let edited = Scene::new(200, 200).record(OperationRecord { key: "another".into(), ..refused(acting("a", 0), 1, true, None) });
    #[rustfmt::skip]
    let cases = [
        ("waits",                        after(Some(230)),                                "wait until 230: Busy"),
        ("its time has come",            after(Some(200)),                                "POST attempt 2"),
        ("its time has come, old read",  after(Some(200)).read("a", 199, Some(equal())),  "read a"),
        ("its target is gone",           after(Some(200)).read("a", 200, None),           "stuck: Missing"),
        ("a person must move",           person,                                          "stuck: Busy"),
        ("the wish changed",             edited,                                          "forget"),
    ];
    for (situation, scene, expected) in cases {
        assert_eq!(answer(&scene, Counts::Ours), expected, "{situation}");
    }
    let done = Acted { done: true, ..backup("a", Counts::Ours) };
    assert_eq!(after(Some(230)).answer(&one("a", act("a", done)), "a"), "forget", "done meanwhile");
    let held = act("a", backup("a", Counts::Ours)).held(Some(Hold::stuck(Reason::NotOurs, "hands off")));
    assert_eq!(after(Some(200)).answer(&one("a", held), "a"), "stuck: NotOurs");
}

#[test]
fn what_azure_took_and_failed_is_believed_only_with_a_list_of_jobs_that_shows_none() {
    let target = format!("{}/backupFabrics/Azure/protectionContainers/c;a/protectedItems/a/backup", vault());
    let of_item = || OperationRecord { verb: "act".into(), target: target.clone(), ..acting("a", 1000) };
    let failed = || OperationRecord { outcome: Some(Outcome::Failed), ..refused(running(of_item()), 1020, false, None) };
    let own = job("own", "c;a", &our_id("a", 1), 1001, "InProgress");
    let theirs = job("theirs", "c;a", SOMEBODYS, 1001, "InProgress");
    let seen = |now, listed, jobs: &[Value]| lost(now, listed, jobs).record(failed());
    #[rustfmt::skip]
    let cases = [
        ("listed before its end",              seen(1030, 1019, &[older()]),         "list the jobs of v", "wait until 1079: OperationRunning"),
        ("its job runs all the same",          seen(1030, 1029, from_ref(&own)),     "adopt own",          "wait until 1089: OperationRunning"),
        ("a job, and nobody says whose",       seen(1030, 1029, &[theirs]),          "stuck: OutcomeUnknown", "wait until 1089: OperationRunning"),
        ("no job of it",                       seen(1030, 1029, &[older()]),         "stuck: Busy",        "wait until 1089: OperationRunning"),
        ("no job of it, and settled",          seen(1310, 1305, &[older()]),         "stuck: Busy",        "forget"),
    ];
    for (situation, scene, wanted, unwanted) in cases {
        assert_eq!(answer(&scene, Counts::Ours), wanted, "{situation}");
        assert_eq!(told(&scene.plan(&Desired::new()).verdicts["a"]), unwanted, "{situation}, and nothing wants it any more");
    }
}
