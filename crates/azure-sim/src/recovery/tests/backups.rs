//! Backups: schedules, consistency, expiry, failures, cancellation.

use serde_json::{Value, json};

use super::super::{Finding, HookError, Limits, Phase, Settings, Span, operation_id};
use super::lab::{Lab, VAULT, at, code, daily, default_policy, item, vm};

fn backup() -> Value {
    json!({"properties": {"objectType": "IaasVMBackupRequest"}})
}

fn prompt() -> Settings {
    let mut settings = Settings::default();
    settings.durations.schedule_jitter = Span::exactly(0);
    settings
}

/// Starts a backup and gives its job.
fn start(lab: &mut Lab, name: &str) -> String {
    let reply = lab.send("POST", &format!("{}/backup", item(name)), backup());
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    lab.state.job_of_operation(&operation_id(&reply).unwrap()).unwrap().to_owned()
}

#[test]
fn points_are_as_consistent_as_the_machine_allows() {
    let mut crash = daily("02:00", 30);
    crash["properties"]["policyType"] = json!("V2");
    crash["properties"]["snapshotConsistencyType"] = json!("OnlyCrashConsistent");
    crash["properties"]["schedulePolicy"] = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Daily", "dailySchedule": {"scheduleRunTimes": ["2024-01-01T02:00:00Z"]}});
    // machine, power, agent, policy, consistency
    let cases = [
        ("win", "running", true, "DefaultPolicy", "AppConsistent"),
        ("lin", "running", true, "DefaultPolicy", "FileSystemConsistent"),
        ("win", "deallocated", true, "DefaultPolicy", "CrashConsistent"),
        ("lin", "running", false, "DefaultPolicy", "CrashConsistent"),
        ("win", "running", true, "crash", "CrashConsistent"),
    ];
    for (name, power, agent, policy, consistency) in cases {
        let mut lab = Lab::new();
        assert_eq!(lab.put(&format!("{VAULT}/backupPolicies/crash"), crash.clone()).status, 200);
        lab.machine(name).power_state = power.to_owned();
        lab.machine(name).agent_ready = agent;
        lab.configure(name, json!({"policyId": format!("{VAULT}/backupPolicies/{policy}")}));
        lab.back_up(name);
        assert_eq!(lab.points(name)[0]["recoveryPointType"], consistency, "{name} {power} {agent} {policy}");
    }
}

#[test]
fn the_schedule_runs_in_the_policys_time_zone() {
    let mut lab = Lab::with(prompt());
    let mut policy = daily("02:30", 30);
    policy["properties"]["timeZone"] = json!("W. Europe Standard Time");
    lab.put(&format!("{VAULT}/backupPolicies/berlin"), policy);
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/berlin")}));
    lab.wait_days(90);
    let starts: Vec<String> = lab
        .rows(&format!("{VAULT}/backupJobs?$filter=operation eq 'Backup'"))
        .iter()
        .map(|job| job["properties"]["startTime"].as_str().unwrap().to_owned())
        .collect();
    assert!(starts.contains(&"2026-03-28T01:30:00Z".to_owned()), "{starts:?}");
    assert!(starts.contains(&"2026-03-30T00:30:00Z".to_owned()), "an hour earlier in UTC from the end of March");
    assert_eq!(starts.len(), 90, "one a day, the day of the change included");
}

#[test]
fn an_hourly_policy_backs_up_through_its_window() {
    let mut lab = Lab::with(prompt());
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/EnhancedPolicy")}));
    lab.now = at("2026-01-07T00:00:00Z");
    lab.wait(86_400);
    let times: Vec<String> =
        lab.points("win").iter().take(4).map(|point| point["recoveryPointTime"].as_str().unwrap()[..13].to_owned()).collect();
    assert_eq!(times, ["2026-01-07T20", "2026-01-07T16", "2026-01-07T12", "2026-01-07T08"]);
    assert_eq!(lab.points("win")[0]["createdWithPolicyType"], "V2");
}

#[test]
fn points_expire_by_the_longest_rule_or_by_request() {
    let mut lab = Lab::with(prompt());
    let mut policy = daily("02:00", 7);
    policy["properties"]["retentionPolicy"]["weeklySchedule"] = json!({"daysOfTheWeek": ["Sunday"], "retentionTimes": ["2024-01-01T02:00:00Z"], "retentionDuration": {"count": 4, "durationType": "Weeks"}});
    policy["properties"]["retentionPolicy"]["monthlySchedule"] = json!({"retentionScheduleFormatType": "Daily", "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 15, "isLast": false}]},
        "retentionTimes": ["2024-01-01T02:00:00Z"], "retentionDuration": {"count": 3, "durationType": "Months"}});
    lab.put(&format!("{VAULT}/backupPolicies/gfs"), policy);
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/gfs")}));
    lab.wait_days(30);
    let rule =
        |lab: &mut Lab, name: &str| lab.points("win").iter().filter(|point| point["recoveryPointProperties"]["ruleName"] == name).count();
    // 5 January plus thirty days: the 15th, Sundays 11, 18, 25 January and 1 February, and the last seven days without that Sunday.
    assert_eq!((rule(&mut lab, "Monthly"), rule(&mut lab, "Weekly"), rule(&mut lab, "Daily")), (1, 4, 6));
    let until = json!({"properties": {"objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": "2026-02-06T12:00:00.000Z"}});
    let before = lab.points("win").len();
    assert_eq!(lab.send("POST", &format!("{}/backup", item("win")), until).status, 202);
    lab.wait(2 * 3600);
    assert_eq!(lab.points("win").len(), before + 1);
    assert!(lab.points("win")[0].get("recoveryPointProperties").is_none(), "not on an on-demand point");
    let name = lab.rows(&format!("{}/recoveryPoints", item("win")))[0]["name"].as_str().unwrap().to_owned();
    lab.now = at("2026-02-06T11:59:00Z");
    lab.wait(1);
    assert_eq!(lab.get(&format!("{}/recoveryPoints/{name}", item("win"))).status, 200);
    lab.wait(60);
    assert_eq!(lab.get(&format!("{}/recoveryPoints/{name}", item("win"))).status, 404);
}

#[test]
fn an_on_demand_point_lives_thirty_days_unless_asked_otherwise() {
    let mut lab = Lab::with(prompt());
    lab.protect("win");
    lab.back_up("win");
    let name = lab.rows(&format!("{}/recoveryPoints", item("win")))[0]["name"].as_str().unwrap().to_owned();
    lab.wait_days(29);
    assert_eq!(lab.get(&format!("{}/recoveryPoints/{name}", item("win"))).status, 200);
    lab.wait_days(1);
    assert_eq!(lab.get(&format!("{}/recoveryPoints/{name}", item("win"))).status, 404);
}

#[test]
fn points_are_listed_newest_first_and_between_two_dates() {
    let mut lab = Lab::with(prompt());
    lab.protect("win");
    lab.wait_days(5);
    let list =
        format!("{}/recoveryPoints?$filter=startDate eq '2026-01-06 12:00:00 AM' and endDate eq '2026-01-08 11:00:00 PM'", item("win"));
    let days: Vec<String> =
        lab.rows(&list).iter().map(|point| point["properties"]["recoveryPointTime"].as_str().unwrap()[..10].to_owned()).collect();
    assert_eq!(days, ["2026-01-08", "2026-01-07", "2026-01-06"]);
    assert_eq!(
        code(&lab.get(&format!("{}/recoveryPoints?$filter=startDate eq 'soon'", item("win")))),
        (400, "BMSUserErrorInvalidInput".to_owned())
    );
}

#[test]
fn a_backup_of_a_machine_that_is_gone_fails_and_the_item_says_so() {
    let mut lab = Lab::with(Settings { error_state_after: 2, ..prompt() });
    lab.protect("win");
    lab.back_up("win");
    lab.world.machines.remove(&vm("win").to_lowercase());
    let job = start(&mut lab, "win");
    lab.wait(60);
    let failed = lab.job(&job);
    assert_eq!((&failed["status"], &failed["errorDetails"][0]["errorCode"]), (&json!("Failed"), &json!(320_001)));
    let seen = lab.item("win");
    assert_eq!(
        (&seen["healthStatus"], &seen["lastBackupStatus"], &seen["protectionState"]),
        (&json!("ActionRequired"), &json!("Failed"), &json!("Protected"))
    );
    lab.wait_days(1);
    assert_eq!(lab.item("win")["protectionState"], "ProtectionError", "after as many failures as the setting says");
    assert_eq!(lab.item("win")["protectionStatus"], "Unhealthy");
    assert_eq!(lab.points("win").len(), 1);
    lab.configure("win", json!({"policyId": "", "protectionState": "ProtectionStopped"}));
    assert_eq!(lab.item("win")["protectionState"], "ProtectionStopped", "stop with retain still works");
}

#[test]
fn a_backup_fails_at_the_phase_it_is_told_to() {
    // phase, status, points, health
    let cases =
        [(Phase::Snapshot, "Failed", 0), (Phase::Transfer, "CompletedWithWarnings", 1), (Phase::Validate, "CompletedWithWarnings", 1)];
    for (phase, status, points) in cases {
        let mut lab = Lab::new();
        lab.protect("win");
        let job = start(&mut lab, "win");
        lab.state.fail_job(&job, phase, Finding::new(400_349, "UserErrorCrpReportedUserError", "x")).unwrap();
        lab.wait(2 * 3600);
        assert_eq!(lab.job(&job)["status"], status, "{phase:?}");
        assert_eq!(lab.points("win").len(), points, "{phase:?}");
        assert_eq!(lab.item("win")["lastBackupStatus"], "Failed");
        assert_eq!(lab.item("win")["kpisHealths"]["BackupOperationStatusKPI"]["resourceHealthDetails"][0]["code"], 400_349);
        let again = lab.state.fail_job(&job, phase, Finding::new(1, "x", "x"));
        assert_eq!(again, Err(HookError::Ended(job)));
        lab.back_up("win");
        assert_eq!(
            (lab.item("win")["lastBackupStatus"].clone(), lab.item("win").get("kpisHealths").cloned()),
            (json!("Completed"), None),
            "a good backup heals"
        );
    }
}

#[test]
fn a_backup_is_cancelled_before_and_after_its_snapshot() {
    for (after, status, points) in [(60, "Cancelled", 0), (900, "CompletedWithWarnings", 1)] {
        let mut lab = Lab::new();
        lab.protect("win");
        let job = start(&mut lab, "win");
        lab.wait(after);
        let reply = lab.send("POST", &format!("{VAULT}/backupJobs/{job}/cancel"), Value::Null);
        assert_eq!(reply.status, 202);
        assert_eq!(lab.job(&job)["status"], "Cancelling");
        lab.wait(90);
        let ended = lab.job(&job);
        assert_eq!((&ended["status"], &ended["errorDetails"][0]["errorCode"]), (&json!(status), &json!(400_158)));
        assert_eq!(lab.points("win").len(), points);
        lab.wait(2 * 3600);
        assert_eq!(lab.job(&job), ended, "nothing of it comes back");
        assert_eq!(lab.send("POST", &format!("{VAULT}/backupJobs/{job}/cancel"), Value::Null).status, 400);
    }
    let mut lab = Lab::new();
    let configure = lab.protect("win");
    assert_eq!(lab.send("POST", &format!("{VAULT}/backupJobs/{configure}/cancel"), Value::Null).status, 400, "an ended one cannot be");
    let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"), "policyId": default_policy(VAULT)}});
    let operation = operation_id(&lab.put(&item("win"), body)).unwrap();
    let running = lab.state.job_of_operation(&operation).unwrap().to_owned();
    assert_eq!(lab.job(&running)["status"], "InProgress");
    assert_eq!(lab.send("POST", &format!("{VAULT}/backupJobs/{running}/cancel"), Value::Null).status, 400, "nor one that is no backup");
}

#[test]
fn one_backup_at_a_time_and_nine_on_demand_a_day() {
    let mut lab = Lab::with(Settings { limits: Limits { on_demand_backups: 2, ..Limits::default() }, ..Settings::default() });
    lab.protect("win");
    lab.back_up("win");
    start(&mut lab, "win");
    let url = format!("{}/backup", item("win"));
    assert_eq!(code(&lab.send("POST", &url, backup())), (400, "UserErrorBackupOperationInProgress".to_owned()));
    lab.wait(2 * 3600);
    assert_eq!(code(&lab.send("POST", &url, backup())), (400, "CloudDosTimeboudLimitReached".to_owned()));
    lab.wait_days(1);
    start(&mut lab, "win");
    assert_eq!(Limits::default().on_demand_backups, 9);
    assert_eq!(
        code(&lab.send("POST", &format!("{}/backup", item("lin")), backup())),
        (404, "BMSUserErrorDataSourceObjectNotFound".to_owned())
    );
    lab.protect("lin");
    assert_eq!(lab.send("POST", &format!("{}/backup", item("lin")), json!({})).status, 400);
}

#[test]
fn jobs_are_filtered_by_every_documented_term() {
    let mut lab = Lab::with(prompt());
    let configure = lab.protect("win");
    let backup = lab.back_up("win");
    lab.wait_days(2);
    let count = |lab: &mut Lab, filter: &str| lab.rows(&format!("{VAULT}/backupJobs?$filter={filter}")).len();
    let cases = [
        ("operation eq 'ConfigureBackup'".to_owned(), 1),
        ("operation eq 'Backup' and status eq 'Completed'".to_owned(), 3),
        ("status eq 'Failed'".to_owned(), 0),
        ("backupManagementType eq 'AzureIaasVM'".to_owned(), 4),
        (format!("jobId eq '{backup}'"), 1),
        (format!("jobId eq '{configure}' and operation eq 'Backup'"), 0),
        ("startTime eq '2026-01-05 12:00:00 AM' and endTime eq '2026-01-05 12:00:00 PM'".to_owned(), 2),
        ("startTime eq '2026-01-06 12:00:00 AM'".to_owned(), 1),
        ("startTime eq '2026-01-05 09:02:00 AM' and endTime eq '2026-01-05 09:02:00 AM'".to_owned(), 1),
    ];
    for (filter, wanted) in cases {
        assert_eq!(count(&mut lab, &filter), wanted, "{filter}");
    }
    assert_eq!(lab.get(&format!("{VAULT}/backupJobs?$filter=status ne 'Failed'")).status, 400);
}

#[test]
fn another_policy_means_another_schedule() {
    let mut lab = Lab::with(prompt());
    lab.put(&format!("{VAULT}/backupPolicies/night"), daily("03:00", 30));
    lab.protect("win");
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/night")}));
    lab.wait_days(2);
    lab.put(&format!("{VAULT}/backupPolicies/night"), daily("05:00", 30));
    lab.wait_days(2);
    let hours: Vec<String> =
        lab.points("win").iter().rev().map(|point| point["recoveryPointTime"].as_str().unwrap()[11..13].to_owned()).collect();
    assert_eq!(hours, ["03", "03", "05", "05"]);
    assert_ne!(lab.item("win")["policyId"], json!(default_policy(VAULT)));
}

#[test]
fn only_failures_in_a_row_make_an_error() {
    let mut lab = Lab::with(Settings { error_state_after: 2, ..Settings::default() });
    lab.protect("win");
    for (fails, state) in [(true, "IRPending"), (false, "Protected"), (true, "Protected"), (true, "ProtectionError"), (false, "Protected")]
    {
        let job = start(&mut lab, "win");
        if fails {
            lab.state.fail_job(&job, Phase::Snapshot, Finding::new(400_039, "GuestAgentSnapshotTaskStatusError", "x")).unwrap();
        }
        lab.wait(3600);
        assert_eq!(lab.item("win")["protectionState"], state);
    }
}

#[test]
fn a_deleted_items_backup_ends_and_never_reaches_its_successor() {
    for soft_delete in ["Enabled", "Disabled"] {
        let mut lab = Lab::new();
        lab.send("PATCH", &format!("{VAULT}/backupconfig/vaultconfig"), json!({"properties": {"softDeleteFeatureState": soft_delete}}));
        lab.protect("win");
        let job = start(&mut lab, "win");
        lab.settle("DELETE", &item("win"), Value::Null);
        if soft_delete == "Disabled" {
            lab.protect("win");
        }
        lab.wait(2 * 3600);
        assert_eq!(lab.job(&job)["status"], "Cancelled", "{soft_delete}");
        assert!(lab.points("win").is_empty(), "{soft_delete}");
    }
}

#[test]
fn a_full_vault_lives_through_its_days() {
    let mut lab = Lab::with(prompt());
    lab.put(&format!("{VAULT}/backupPolicies/week"), daily("02:00", 7));
    let policy = format!("{VAULT}/backupPolicies/week");
    for index in 0..1000 {
        let name = format!("m{index}");
        lab.add_machine(&name, "Linux");
        let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm(&name), "policyId": policy}});
        assert_eq!(lab.put(&item(&name), body).status, 202);
    }
    assert_eq!(lab.put(&item("win"), json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"), "policyId": policy}})).status, 400);
    lab.wait_days(9);
    let first = lab.read(&format!("{VAULT}/backupProtectedItems"));
    assert_eq!(first["value"].as_array().unwrap().len(), 200, "a page");
    assert_eq!(lab.points("m7").len(), 7, "as many as the policy keeps");
    assert_eq!(lab.read(&policy)["properties"]["protectedItemsCount"], 1000);
}
