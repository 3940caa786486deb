//! What a budget admits, to whom and when.

use serde_json::json;

use super::*;
use crate::line::LONGEST_LINE;

/// Somebody, for whom it does not matter.
const A: Caller = Caller { access: "a", namespace: "" };
const B: Caller = Caller { access: "b", namespace: "" };

const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + s).unwrap()
}

#[test]
fn thirty_percent_is_left_for_people_and_the_rest_refills() {
    let budget = Budget::default();
    let get = Request::new(Method::Get, format!("{SUB}/resources"), "1");
    let taken = (0..250).take_while(|_| budget.take(A, &get, Priority::UserChange, at(0)).is_ok()).count();
    assert_eq!(taken, 175);
    assert!(budget.take(A, &get, Priority::Sweep, at(0)).is_err());
    budget.take(A, &get, Priority::Failover, at(0)).unwrap();
    budget.take(B, &get, Priority::Sweep, at(0)).unwrap();
    let (_, when) = budget.take(A, &get, Priority::UserChange, at(0)).unwrap_err();
    assert!(when > at(0) && when <= at(1));
    budget.take(A, &get, Priority::UserChange, at(2)).unwrap();
}

#[test]
fn a_window_is_shared_between_namespaces_and_what_was_opened_is_closed_all_the_same() {
    let budget = Budget::default();
    let vault = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
    let get = Request::new(Method::Get, format!("{vault}/backupFabrics/Azure/protectionContainers/c/protectedItems/i"), "1");
    let of = |namespace: &'static str| Caller { access: "a", namespace };
    let takes = |namespace: &'static str, most: usize, priority: Priority, second: i64| {
        (0..most).take_while(|n| budget.take(of(namespace), &get, priority, at(second + *n as i64 / 10)).is_ok()).count()
    };
    assert_eq!((takes("one", 250, Priority::Restore, 0), takes("two", 250, Priority::Restore, 25)), (250, 250));
    // 1,044 of 1,099 are for restores: the other is left as many as it took lately.
    assert_eq!(takes("one", 600, Priority::Restore, 60), 294);
    let (_, when) = budget.take(of("one"), &get, Priority::Restore, at(90)).expect_err("the rest is the other's");
    assert!(when >= at(150) && when < at(160), "{when}");
    assert_eq!(takes("one", 1, Priority::Debt, 90), 1);
    assert_eq!(takes("two", 600, Priority::Restore, 91), 249);
}

#[test]
fn a_429_closes_the_bucket_until_its_time() {
    let budget = Budget::default();
    let get = Request::new(Method::Get, format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupJobs"), "1");
    let refused = Answer { status: 429, ..Answer::default() };
    budget.learn("a", &get, &refused, Some(SignedDuration::from_secs(324)), at(0));
    assert_eq!(budget.take(A, &get, Priority::Failover, at(10)).unwrap_err().1, at(324));
}

#[test]
fn a_429_is_good_for_as_long_as_it_says_and_no_longer() {
    let vault = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
    let item = format!("{vault}/backupFabrics/Azure/protectionContainers/c/protectedItems/i");
    let asked = [
        (Method::Put, item.clone()),
        (Method::Put, format!("{vault}/backupPolicies/p")),
        (Method::Get, item),
        (Method::Get, format!("{vault}/backupJobs")),
        (Method::Get, format!("{SUB}/resources")),
    ];
    for (method, path) in asked {
        let (budget, request) = (Budget::default(), Request::new(method, path, "1"));
        budget.learn("a", &request, &Answer { status: 429, ..Answer::default() }, Some(SignedDuration::from_secs(20)), at(0));
        let (class, _) = budget.take(A, &request, Priority::Failover, at(19)).expect_err("not before");
        budget.take(A, &request, Priority::Sweep, at(24)).unwrap_or_else(|(_, when)| panic!("{class:?}: not before {when}"));
    }
}

#[test]
fn reads_of_backups_are_counted_by_action_and_hour_and_stop_nothing_else() {
    let budget = Budget::default();
    let vault = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
    let item = Request::new(Method::Get, format!("{vault}/backupFabrics/Azure/protectionContainers/c/protectedItems/i"), "1");
    // Slowly, so that ARM's own bucket of reads never empties.
    let takes = |from: i64| (from..from + 1_100).take_while(|n| budget.take(A, &item, Priority::UserChange, at(*n)).is_ok()).count();
    assert_eq!(takes(0), 769);
    let (class, when) = budget.take(A, &item, Priority::UserChange, at(2_000)).unwrap_err();
    assert!(class == Class::BackupRead && when >= at(3_600) && when <= at(3_601), "{class:?} {when}");
    budget.take(A, &Request::new(Method::Get, format!("{vault}/backupPolicies/p"), "1"), Priority::Sweep, at(2_000)).unwrap();
    budget.take(A, &Request::new(Method::Get, vault.clone(), "1"), Priority::Sweep, at(2_000)).unwrap();
    let refused = Answer { status: 429, ..Answer::default() };
    budget.learn("a", &item, &refused, Some(SignedDuration::from_secs(900)), at(2_000));
    budget.take(A, &Request::new(Method::Get, vault, "1"), Priority::Sweep, at(2_001)).unwrap();
    assert_eq!(takes(3_600), 769, "a new window");
    let left = |n: &str| Answer {
        status: 200,
        headers: [("x-ms-ratelimit-remaining-subscription-resource-requests".into(), n.into())].into(),
        ..Answer::default()
    };
    budget.learn("a", &item, &left("390"), None, at(5_000));
    budget.take(A, &item, Priority::UserChange, at(5_000)).unwrap_err();
    budget.learn("a", &item, &left("1098"), None, at(5_000));
    budget.take(A, &item, Priority::UserChange, at(5_000)).unwrap();
    assert_eq!(takes(5_001), 767, "Azure's window opened before ours");
}

#[test]
fn who_comes_too_late_is_told_a_time_of_his_own_and_a_person_stands_in_a_shorter_line() {
    let budget = Budget::default();
    let policies = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies");
    let one = |n: i64| Request::new(Method::Get, format!("{policies}/p{n}"), "1");
    let item = one(0);
    (0..769).for_each(|n| budget.take(A, &item, Priority::Backup, at(n)).unwrap());
    let told: Vec<Timestamp> = (0..100).map(|n| budget.take(A, &one(n), Priority::Backup, at(800)).unwrap_err().1).collect();
    assert!(told.windows(2).all(|two| two[0] < two[1]), "nobody at the same moment");
    assert_eq!((told[0], told[99]), (at(3_600), at(3_609) + APART * 9));
    assert_eq!(budget.take(A, &one(7), Priority::Backup, at(900)).unwrap_err().1, told[7], "who asks again keeps its place");
    assert_eq!(budget.take(A, &one(100), Priority::Backup, at(900)).unwrap_err().1, told[99] + APART, "and nobody else's moves");
    assert_eq!(budget.take(A, &item, Priority::UserChange, at(800)).unwrap_err().1, at(3_600), "not behind the fleet");
    let write = |n: i64| Request::new(Method::Post, format!("{SUB}/resourceGroups/rg"), "1").with_body(json!({ "n": n }));
    (0..140).for_each(|n| budget.take(A, &write(n), Priority::Backup, at(0)).unwrap());
    let told: Vec<Timestamp> = (0..9_000).map(|n| budget.take(A, &write(n), Priority::Backup, at(0)).unwrap_err().1).collect();
    assert_eq!(told[..3], [at(0) + APART, at(0) + APART * 2, at(0) + APART * 3], "as fast as it refills");
    assert!(told.iter().all(|when| *when <= at(0) + LONGEST_LINE + APART), "a line does not reach beyond ten minutes");
}

#[test]
fn a_listing_of_many_pages_is_begun_where_all_of_them_may_come() {
    let budget = Budget::default();
    let jobs = Request::new(Method::Get, format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupJobs"), "1");
    let taken = (0..200).take_while(|_| budget.take(A, &jobs, Priority::Restore, at(0)).is_ok()).count();
    assert_eq!(taken, 142, "7.5 of 150 are left to debts and failovers");
    let wanted = |calls: f64| [Wanted { calls, ..Wanted::one(jobs.clone(), Priority::Restore) }];
    let (class, one) = budget.admits(A, &wanted(1.0), at(0)).unwrap_err();
    assert_eq!((class, one), (Class::JobRead, at(12)), "half a token is missing, of one in 24 s");
    budget.admits(A, &wanted(1.0), at(12)).expect("one page");
    let (_, three) = budget.admits(A, &wanted(3.0), at(12)).unwrap_err();
    assert_eq!(three, at(12 + 72), "behind the one before it, as long as three take to come");
    budget.admits(A, &wanted(3.0), three).expect("three pages");
    let most = budget.admits(A, &wanted(1_000.0), at(60)).unwrap_err().1;
    budget.admits(A, &wanted(1_000.0), most.max(at(3_700))).expect("more pages than there ever are reads wait for all, and no longer");
}

#[test]
fn all_or_none_and_what_is_spare_is_taken_from_plenty_only() {
    let budget = Budget::default();
    let vault = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
    let item = Request::new(Method::Get, format!("{vault}/backupFabrics/Azure/protectionContainers/c/protectedItems/i"), "1");
    let question = Request::new(Method::Post, format!("{SUB}/providers/Microsoft.RecoveryServices/locations/l/backupStatus"), "1");
    let both = [Wanted::one(item.clone(), Priority::Backup), Wanted::one(question.clone(), Priority::Sweep)];
    budget.admits(A, &both, at(0)).unwrap();
    let asked = (0..200).take_while(|_| budget.take(A, &question, Priority::Sweep, at(0)).is_ok()).count();
    assert_eq!(asked, 130);
    assert_eq!(budget.admits(A, &both, at(0)).unwrap_err().0, Class::Write);
    budget.take(A, &question, Priority::Backup, at(0)).expect("a question gives way to the write that it is for");
    let spare =
        (0..100).take_while(|_| budget.spares("a", &item, Priority::Spare, at(0)) && budget.take(A, &item, Priority::Spare, at(0)).is_ok());
    assert_eq!(spare.count(), 32);
    budget.take(A, &item, Priority::Backup, at(0)).unwrap();
}

#[test]
fn policy_writes_are_counted_by_vault_and_day() {
    let budget = Budget::default();
    let put = |vault: &str| {
        Request::new(
            Method::Put,
            format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/{vault}/backupPolicies/p"),
            "1",
        )
    };
    let taken = (0..50).take_while(|n| budget.take(A, &put("v"), Priority::UserChange, at(*n)).is_ok()).count();
    assert_eq!(taken, 35);
    budget.take(A, &put("other"), Priority::UserChange, at(50)).unwrap();
    assert_eq!(budget.take(A, &put("v"), Priority::UserChange, at(50)).unwrap_err().0, Class::PolicyWrite);
    assert_eq!(
        budget.take(B, &put("v"), Priority::UserChange, at(50)).unwrap_err().0,
        Class::PolicyWrite,
        "another's grant is no other vault"
    );
}

#[test]
fn what_was_spent_of_a_vaults_day_stays_spent_for_the_next_leader() {
    let first = Budget::default();
    let put = Request::new(
        Method::Put,
        format!(
            "{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupFabrics/Azure/protectionContainers/c/protectedItems/i"
        ),
        "1",
    );
    let taken =
        |budget: &Budget, from: i64| (0..2_000).take_while(|n| budget.take(A, &put, Priority::Backup, at(from + n)).is_ok()).count();
    let spent = (0..500).take_while(|_| first.take(A, &put, Priority::Backup, at(0)).is_ok()).count();
    assert!(is_daily(&put) && spent == 140, "what the bucket of writes lets through at once: {spent}");
    assert_eq!(first.spent(at(0)).len(), 1);
    let next = Budget::default();
    next.recall(&first.spent(at(0)));
    assert_eq!(next.spent(at(60)), first.spent(at(0)), "who has not used it yet hands it on");
    let (forgotten, known) = (taken(&Budget::default(), 100), taken(&next, 100));
    assert!((138..=143).contains(&(forgotten - known)), "{forgotten} {known}");
    assert!(next.spent(at(100) + SignedDuration::from_hours(48)).is_empty(), "it is whole again");
    next.recall(&[("day x".to_owned(), vec![]), ("day y".to_owned(), vec![i64::MAX, i64::MAX])].into());
}

#[test]
fn lists_of_disks_are_counted_as_compute_counts_them() {
    let (budget, group) = (Budget::default(), format!("{SUB}/resourceGroups/rg/providers/Microsoft.Compute"));
    let list = Request::new(Method::Get, format!("{group}/disks"), "1");
    let taken = (0..250).take_while(|_| budget.take(A, &list, Priority::Restore, at(0)).is_ok()).count();
    assert_eq!(taken, 228, "of 240, all but the share that is left to failovers");
    budget.take(A, &Request::new(Method::Get, format!("{group}/disks/d"), "1"), Priority::Restore, at(0)).unwrap();
    let told = "Microsoft.Compute/HighCostGet30Min;1900,Microsoft.Compute/HighCostGet3Min;3";
    let headers = [("x-ms-ratelimit-remaining-resource".to_owned(), told.to_owned())].into();
    budget.learn("a", &list, &Answer { status: 200, headers, ..Answer::default() }, None, at(170));
    budget.take(A, &list, Priority::Restore, at(171)).expect_err("Azure knows of others who list");
}

#[test]
fn what_certainly_did_not_leave_costs_nothing_and_gives_no_more_than_there_was() {
    let budget = Budget::default();
    let put =
        Request::new(Method::Put, format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/p"), "1");
    let spent = |budget: &Budget| (0..10_000).take_while(|_| budget.take(A, &put, Priority::UserChange, at(0)).is_ok()).count();
    let all = spent(&budget);
    assert!(budget.take(A, &put, Priority::UserChange, at(0)).is_err());
    budget.give_back("a", &put, at(0));
    assert_eq!(spent(&budget), 1);
    let fresh = Budget::default();
    fresh.give_back("a", &put, at(0));
    assert_eq!(spent(&fresh), all, "never more than the bucket holds");
}

#[test]
fn a_header_that_is_no_count_says_nothing() {
    let budget = Budget::default();
    let get = Request::new(Method::Get, format!("{SUB}/resources"), "1");
    for odd in ["-1e300", "-1000000", "NaN", "inf", "1e9", "", "many"] {
        let headers = [("x-ms-ratelimit-remaining-subscription-reads".to_owned(), odd.to_owned())].into();
        budget.learn("a", &get, &Answer { status: 200, headers, ..Answer::default() }, None, at(0));
        budget.take(A, &get, Priority::Sweep, at(0)).unwrap_or_else(|refused| panic!("{odd}: {refused:?}"));
    }
}
