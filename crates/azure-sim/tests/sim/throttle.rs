//! Limits.

use serde_json::Value;

use crate::wire::{Client, RG, SUB, code, header, small, with_settings};

fn spend(client: &mut Client, method: &str, url: &str) -> (u32, azure_sim::wire::WireReply) {
    for count in 0..10_000 {
        let reply = client.send(method, url, Value::Null);
        if reply.status == 429 {
            return (count, reply);
        }
    }
    panic!("never throttled");
}

#[test]
fn i07_arm_buckets_run_dry_per_principal_and_refill() {
    let mut client = small();
    let url = format!("{SUB}/resourcegroups");
    assert_eq!(header(&client.get(&url), "x-ms-ratelimit-remaining-subscription-reads"), "249");
    let (count, refused) = spend(&mut client, "GET", &url);
    assert_eq!((count, code(&refused).as_str(), header(&refused, "retry-after").as_str()), (249, "SubscriptionRequestsThrottled", "1"));
    assert!(client.azure.journal().entries().last().unwrap().throttled);
    client.caller = crate::wire::reader();
    assert_eq!(client.get(&url).status, 200, "another principal has a bucket of its own");
    client.caller = crate::wire::owner();
    client.wait(2);
    assert_eq!(spend(&mut client, "GET", &url).0, 50, "25 a second");
}

#[test]
fn i07_compute_refuses_in_its_own_shape_and_a_poll_can_be_throttled() {
    let mut client = small();
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let reply = client.send("POST", &format!("{vm}/deallocate"), Value::Null);
    let (count, refused) = spend(&mut client, "GET", &header(&reply, "azure-asyncoperation"));
    assert_eq!((count, code(&refused).as_str()), (45, "OperationNotAllowed"));
    assert_eq!(refused.json()["error"]["details"][0]["target"], "GetOperationResource");
    let shown = header(&client.get(&vm), "x-ms-ratelimit-remaining-resource");
    assert_eq!(shown, "Microsoft.Compute/LowCostGetResource;35,Microsoft.Compute/LowCostGetSubscriptionMaximum;23999");
}

#[test]
fn backup_job_reads_have_an_hourly_budget_told_in_the_message() {
    let mut client = with_settings("{ throttling: { backupJobReadsPerHour: 3 } }");
    let vault = format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one");
    let jobs = format!("{vault}/backupJobs/00000000-0000-4000-8000-000000000001");
    assert_eq!(header(&client.get(&jobs), "x-ms-ratelimit-remaining-subscription-resource-requests"), "2");
    client.wait(600);
    let (_, refused) = spend(&mut client, "GET", &jobs);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!((code(&refused).as_str(), header(&refused, "retry-after").as_str()), ("ResourceRequestsThrottled", "3000"));
    assert_eq!(
        message,
        "Number of requests for action 'Microsoft.RecoveryServices/vaults/backupJobs/read' exceeded the limit of '3' for time interval '01:00:00'. Please try again after '3000' seconds."
    );
    client.wait(3_000);
    assert_ne!(client.get(&jobs).status, 429);
}

#[test]
fn somebody_else_uses_up_what_a_subscription_shares() {
    let mut client = small();
    let mut spent = |what: &str, count: u32| {
        let edit = serde_json::json!({"method": "PATCH", "id": SUB, "body": {"spent": {what: count}}});
        azure_sim::edit::apply(&mut client.azure, serde_json::from_value(edit).unwrap()).map(drop)
    };
    spent("reads", 3_740).unwrap();
    spent("Microsoft.RecoveryServices/vaults/backupJobs/read", 449).unwrap();
    let (count, refused) = spend(&mut client, "GET", &format!("{SUB}/resourcegroups"));
    assert_eq!((count, code(&refused).as_str()), (10, "SubscriptionRequestsThrottled"), "3,750 are for all");
    client.wait(1);
    let jobs = format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one/backupJobs");
    assert_eq!(code(&client.get(&jobs)), "ResourceRequestsThrottled");
    client.wait(3_600);
    assert_ne!(client.get(&jobs).status, 429);
}

#[test]
fn counting_only_refuses_nothing() {
    let mut client = with_settings("{ throttling: { enforce: countOnly } }");
    let url = format!("{SUB}/resourcegroups");
    let last = (0..300).map(|_| client.get(&url)).last().unwrap();
    assert_eq!((last.status, header(&last, "x-ms-ratelimit-remaining-subscription-reads").as_str()), (200, "0"));
}
