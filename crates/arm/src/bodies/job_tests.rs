//! What jobs tell, as recorded.

use serde_json::{Value, json};

use super::*;

fn job(operation: &str, status: &str, extended: Value) -> JobProperties {
    Job::parse(&json!({"properties": {"operation": operation, "status": status, "extendedInfo": extended}})).unwrap().properties
}

/// backup_trigger__202_poll_job_to_completed.json
fn backup() -> JobProperties {
    let extended = json!({
        "tasksList": [
            {"taskId": "Take Snapshot", "startTime": "2024-05-14T08:49:42.431146Z", "endTime": "2024-05-14T08:57:19.3193068Z",
             "duration": "PT7M36.8881608S", "status": "Completed", "taskType": "Normal"},
            {"taskId": "Transfer data to vault", "startTime": "2024-05-14T08:57:19.5067712Z",
             "endTime": "2024-05-14T09:30:51.7729362Z", "duration": "PT33M32.266165S", "status": "Completed", "taskType": "Normal"}
        ],
        "propertyBag": {
            "VM Name": "clitest-vm000004", "Recovery Point Expiry Time in UTC": "6/13/2024 12:00:00 AM", "Backup Size": "11390 MB"
        },
        "internalPropertyBag": {"IsInstantRpJob": "True"}
    });
    job("Backup", "Completed", extended)
}

/// restore_disks_lun_subset__202_poll_job.json
fn disks() -> JobProperties {
    let extended = json!({
        "tasksList": [{"taskId": "Transfer data from vault", "duration": "PT0S", "status": "Completed", "taskType": "Normal"}],
        "propertyBag": {
            "Job Type": "Recover disks", "Target VM Name": "vmName", "Target Storage Account Name": "clitest000004",
            "Recovery point time ": "5/15/2024 7:52:53 AM",
            "Config Blob Name": "config-clitestvm2me4c-5fdb13cf-21f3-4e92-9827-941fc75f8ca9.json",
            "Config Blob Container Name": "clitestvm2me4c-8df6a83f8f0e44628543b0eaa734ff8e",
            "Config Blob Uri": "https://clitest000004.blob.core.windows.net/c/config.json", "Target resource group": "clitest.rg000001",
            "Template Blob Uri": "https://clitest000004.blob.core.windows.net/c/azuredeploy.json",
            "Restored disk(s)": "clitest-vm000003_OsDisk_1_b8de46f3d2004f71a538856550aeb727",
            "Backed-up disk(s)": "clitest-vm000003_OsDisk_1_b8de46f3d2004f71a538856550aeb727; mydisk1; mydisk3"
        },
        "internalPropertyBag": {"restoreLocationType": "RestoreDisks"}, "progressPercentage": 100.0, "estimatedRemainingDuration": "PT0S"
    });
    job("Restore", "Completed", extended)
}

#[test]
fn a_backup_tells_its_size_its_tasks_and_how_long_its_point_lives() {
    let job = backup();
    assert_eq!(job.backup_size_bytes(), Some(11_390 * 1024 * 1024));
    assert_eq!(job.expiry(), "2024-06-13T00:00:00Z".parse().ok());
    let tasks: Vec<_> = job.tasks().map(|(name, status)| format!("{name}: {status}")).collect();
    assert_eq!(tasks, ["Take Snapshot: Completed", "Transfer data to vault: Completed"]);
    assert_eq!((job.percent(), job.point_time(), job.restored()), (None, None, Restored::default()));
}

#[test]
fn sizes_are_read_in_their_units_or_not_at_all() {
    let size = |text: &str| job("Backup", "Completed", json!({"propertyBag": {"Backup Size": text}})).backup_size_bytes();
    let cases = [
        ("0 MB", Some(0)),
        ("1 KB", Some(1024)),
        ("2 gb", Some(2 << 30)),
        ("3 TB", Some(3 << 40)),
        ("11390", None),
        ("1.5 GB", None),
        ("-1 MB", None),
        ("7 PB", None),
        ("18446744073709551615 MB", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(size(text), wanted, "{text}");
    }
}

#[test]
fn a_restore_tells_where_it_wrote_what_it_made() {
    let job = disks();
    assert_eq!(job.point_time(), "2024-05-15T07:52:53Z".parse().ok());
    let told = job.restored();
    assert_eq!(told.job_type, Some("Recover disks"));
    assert_eq!(told.target_machine, None, "disks alone: the service writes vmName");
    assert_eq!((told.target_group, told.target_account), (Some("clitest.rg000001"), Some("clitest000004")));
    assert_eq!(told.config_blob_name, Some("config-clitestvm2me4c-5fdb13cf-21f3-4e92-9827-941fc75f8ca9.json"));
    assert_eq!(told.config_blob_container, Some("clitestvm2me4c-8df6a83f8f0e44628543b0eaa734ff8e"));
    assert!(told.config_blob_uri.unwrap().ends_with("/config.json"));
    assert!(told.template_blob_uri.unwrap().ends_with("/azuredeploy.json"));
    assert_eq!(told.disks, Some(vec!["clitest-vm000003_OsDisk_1_b8de46f3d2004f71a538856550aeb727"]));
    // restore_cross_subscription_alternate_location__202_poll_job.json
    let bag = json!({
        "Job Type": "Recover VM to an alternate location", "Original VM Name": "clitest-vm000003", "Target VM Name": "vmName",
        "Target Subscription ID": "da364f0f-307b-41c9-9d47-b7413ec45535",
        "Target VNet Name": "Group clitest-iaasvm-rg-donotuse clitest-vnet000006"
    });
    let job = self::job("Restore", "Completed", json!({"propertyBag": bag}));
    let told = job.restored();
    assert_eq!(told.target_machine, Some("vmName"), "a machine may be called so");
    assert_eq!(told.target_network, Some("Group clitest-iaasvm-rg-donotuse clitest-vnet000006"));
    assert_eq!(told.target_subscription, Some("da364f0f-307b-41c9-9d47-b7413ec45535"));
}

#[test]
fn a_fact_is_found_by_its_name_and_null_is_none() {
    let bag = json!({"Recovery point time ": null, " job TYPE": " Replace disks ", "Policy Name": "", "Iso": "2024-05-15T07:52:53.5Z"});
    let job = job("Restore", "InProgress", json!({"propertyBag": bag}));
    assert_eq!(job.fact("Job Type"), Some("Replace disks"));
    assert_eq!((job.fact("Recovery point time"), job.fact("Policy Name"), job.fact("Missing")), (None, None, None));
    assert_eq!(job.time("iso"), "2024-05-15T07:52:53.5Z".parse().ok());
    assert_eq!(job.time("Job Type"), None);
}

#[test]
fn a_hundred_percent_and_a_completed_task_are_no_end() {
    let extended = json!({
        "tasksList": [
            {"taskId": "Transfer data from vault", "status": "Completed"}, {"taskId": "Update the virtual machine", "status": "InProgress"},
            {"taskId": null, "status": "Completed"}, {"taskId": "Nameless"}
        ],
        "progressPercentage": 100.0, "dynamicErrorMessage": ""
    });
    let running = job("Restore", "InProgress", extended);
    assert_eq!((running.percent(), running.is_over(), running.tasks().count()), (Some(100.0), false, 2));
    let odd = job("Restore", "InProgress", json!({"progressPercentage": -3}));
    assert_eq!(odd.percent(), Some(0.0));
    assert_eq!(job("Restore", "InProgress", Value::Null).percent(), None);
}
