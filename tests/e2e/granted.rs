//! The shipped roles hold what is used and nothing else: one story asks for every right in them, by the audit log of a real
//! API server. (What is used is granted: RBAC is on.)

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use breakwater_dev::stack::{ACCOUNT, Stack};
use breakwater_dev::workspace;
use breakwater_tests::e2e::{self, NAMESPACE, OpenOperations, SUBSCRIPTION, condition};
use serde_json::{Value, json};

/// A right: group, resource with its subresource, verb.
type Right = (String, String, String);

/// The rights of the roles that are bound to the operator.
fn granted() -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for file in ["cluster-role.yaml", "role.yaml", "approvals.yaml"] {
        let text = fs::read_to_string(workspace::root().join("deploy/kustomize/access").join(file)).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let roles = documents.iter().filter(|d| d["kind"] == "ClusterRole" || d["kind"] == "Role");
        for role in roles.filter(|role| role["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("breakwater-operator"))) {
            for rule in role["rules"].as_array().unwrap() {
                let words =
                    |field: &str| rule[field].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect::<Vec<_>>();
                for group in words("apiGroups") {
                    for resource in words("resources") {
                        all.extend(words("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                    }
                }
            }
        }
    }
    all
}

/// What the operator was let do.
fn used(stack: &Stack) -> BTreeSet<Right> {
    let who = format!("system:serviceaccount:{}:{ACCOUNT}", breakwater_dev::stack::NAMESPACE);
    let lines = stack.plane().audit().unwrap();
    let ours = lines.iter().filter(|line| line["user"]["username"] == who.as_str());
    let allowed = ours.filter(|line| line["annotations"]["authorization.k8s.io/decision"] == "allow");
    let right = |line: &Value| {
        let at = &line["objectRef"];
        let word = |field: &str| at[field].as_str().unwrap_or_default().to_owned();
        let sub = at["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
        (word("apiGroup"), format!("{}{sub}", word("resource")), line["verb"].as_str().unwrap_or_default().to_owned())
    };
    allowed.map(right).collect()
}

/// A backup whose object somebody touches while Azure answers, and disks that are replaced: both go by themselves when done.
fn runs(stack: &Stack, machine: &str) {
    let kubectl = stack.kubectl();
    let object = |kind: &str, spec: &Value| {
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": "one", "namespace": NAMESPACE }, "spec": spec })
            .to_string()
    };
    let held = json!({ "id": "held", "match": { "method": "POST", "path": "*/protectedItems/*/backup", "count": 1 }, "fault": { "delay": { "seconds": 300 } } });
    stack.simulator().tell("/faults", &held).unwrap();
    let mut watch = OpenOperations::of(stack, "brun");
    kubectl.apply(&object("BackupRun", &json!({ "protectedMachineRef": { "name": machine } }))).unwrap();
    watch.until("an intent", |operation| operation["node"] == "backup");
    kubectl.run(&["annotate", "brun/one", "-n", NAMESPACE, "example.com/touched=yes"]).unwrap();
    let account = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.Storage/storageAccounts/shopstage");
    let spec = json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": machine }, "point": { "latest": {} } } },
        "to": { "replaceDisks": { "confirm": "web-01", "stopMachine": true } }, "staging": { "storageAccountId": account },
        "expiresAt": e2e::world_in(stack, 20) });
    kubectl.apply(&object("RestoreRun", &spec)).unwrap();
    for run in ["brun/one", "rrun/one"] {
        kubectl.run(&["wait", "--for=condition=Ready", "--timeout=180s", "-n", NAMESPACE, run]).unwrap();
        kubectl.run(&["patch", run, "-n", NAMESPACE, "--type=merge", "-p", r#"{"spec":{"ttlSecondsAfterFinished":0}}"#]).unwrap();
        kubectl.run(&["wait", "--for=delete", "--timeout=60s", "-n", NAMESPACE, run]).unwrap();
    }
}

/// Waits until the object asks, and answers as somebody who may.
fn answer(stack: &Stack, kind: &str, object: &str, began: Instant) {
    let kubectl = stack.kubectl();
    let (_, name) = object.split_once('/').unwrap();
    let asks = |object: &Value| Some((object["metadata"]["uid"].clone(), object["status"]["questions"].get(0)?.clone()));
    let (uid, question) = kubectl.wait_until("a question", Duration::from_secs(90), &["get", object, "-n", NAMESPACE], asks).unwrap();
    // The rule of who may answer must have stood for half a minute.
    thread::sleep(Duration::from_secs(32).saturating_sub(began.elapsed()));
    let spec = json!({ "targetRef": { "kind": kind, "name": name }, "targetUid": uid, "question": question["id"],
        "digest": question["digest"], "answer": "approve", "approvedBy": "ann", "expiresAt": "2036-01-01T00:00:00Z" });
    let meta = json!({ "name": kind.to_lowercase(), "namespace": NAMESPACE });
    let approval = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Approval", "metadata": meta, "spec": spec });
    kubectl.run_with(&["create", "--as", "ann", "-f", "-"], &approval.to_string()).unwrap();
    let told = |approval: &Value| (condition(approval, "Ready")["reason"] == "AnswerUsed").then_some(());
    let get = ["get", "appr", &kind.to_lowercase(), "-n", NAMESPACE];
    kubectl.wait_until("the answer is used", Duration::from_secs(90), &get, told).unwrap();
}

#[test]
fn the_operators_roles_hold_what_is_used_and_nothing_else() {
    let (stack, began) = (e2e::stack("granted"), Instant::now());
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    // Who leads makes its Lease anew.
    kubectl.run(&["delete", "lease", "breakwater-operator", "-n", breakwater_dev::stack::NAMESPACE]).unwrap();
    // A client secret, a first backup, finalizers on all that can have one.
    let secret = "--from-literal=key=azure-sim-admin-secret";
    kubectl.run(&["create", "secret", "generic", "azure-client-secret", "-n", breakwater_dev::stack::NAMESPACE, secret]).unwrap();
    let identity = json!({ "clientSecret": { "clientId": "c11e0000-0000-4000-8000-000000000002", "secretRef": { "name": "azure-client-secret", "key": "key" } } });
    let access = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": "other" }, "spec": {
        "tenantId": "72f988bf-0000-4000-8000-00000000000a", "identity": identity, "namespaces": { "names": ["other"] },
        "allow": [{ "subscriptionId": SUBSCRIPTION, "resourceGroups": ["rg-shop"], "acts": ["Read"] }] } });
    kubectl.apply(&access.to_string()).unwrap();
    kubectl.apply(&e2e::policy("web-01", "30d", "Now", "  deletionPolicy: Delete\n")).unwrap();
    let machine = format!("pmach/{}", e2e::protected(&stack)["metadata"]["name"].as_str().unwrap());
    // What cannot be taken back, once of each kind: it is asked about, answered, and looked at live before it is sent.
    kubectl.run(&["create", "rolebinding", "ann", "-n", NAMESPACE, "--clusterrole", "breakwater-approvals", "--user", "ann"]).unwrap();
    let more = r#"[{"op":"add","path":"/spec/allow/0/acts/-","value":"Delete"}]"#;
    kubectl.run(&["patch", "azaccess/shop", "--type=json", "-p", more]).unwrap();
    let has_points = |machine: &Value| (machine["status"]["recoveryPoints"]["count"].as_i64()? > 0).then_some(());
    kubectl.wait_until("a point", Duration::from_secs(120), &["get", &machine, "-n", NAMESPACE], has_points).unwrap();
    runs(&stack, machine.trim_start_matches("pmach/"));
    for (kind, object, spec) in [
        ("BackupPolicy", "bpol/one", r#"{"spec":{"retention":{"daily":{"keep":"20d"}}}}"#),
        ("RecoveryVault", "rvault/main", r#"{"spec":{"deletionPolicy":"Delete","immutability":"Locked"}}"#),
        ("ProtectedMachine", &machine, r#"{"spec":{"protection":"Stopped"}}"#),
    ] {
        kubectl.run(&["patch", object, "-n", NAMESPACE, "--type=merge", "-p", spec]).unwrap();
        answer(&stack, kind, object, began);
    }

    let granted = granted();
    let idle = || granted.difference(&used(&stack)).cloned().collect::<Vec<Right>>();
    e2e::until(Duration::from_secs(60), || idle().is_empty().then_some(()))
        .unwrap_or_else(|_| panic!("granted and not used: {:#?}", idle()));
}
