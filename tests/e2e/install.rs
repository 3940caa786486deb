//! Installing: everything in deploy/kustomize goes through a real API server, and gives the operator what it needs
//! and no more.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use breakwater_dev::plane::Plane;
use breakwater_dev::stack::{ACCOUNT, NAMESPACE};
use breakwater_dev::workspace;
use breakwater_tests::e2e;
use serde_json::{Value, json};

/// Applies deploy/kustomize as a cluster's admin does, with the server checking every field.
pub fn everything(plane: &Plane) {
    let base = workspace::root().join("deploy/kustomize").display().to_string();
    let kubectl = plane.kubectl();
    // The definitions are in the same set as nothing of their kinds, so one apply is enough.
    kubectl.run(&["apply", "--validate=strict", "-k", &base]).unwrap();
    kubectl.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).unwrap();
}

#[test]
fn kustomize_installs_everything_and_changes_nothing_the_second_time() {
    let plane = super::installed();
    let kubectl = plane.kubectl();
    let base = workspace::root().join("deploy/kustomize").display().to_string();
    let versions = || {
        let objects = kubectl.items(&["-k", &base]).unwrap();
        let version = |object: &serde_json::Value| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        objects.iter().map(|object| (object["metadata"]["name"].clone(), version(object))).collect::<Vec<_>>()
    };
    let before = versions();
    kubectl.run(&["apply", "-k", &base]).unwrap();
    assert_eq!(versions(), before, "a second apply changes nothing");

    let names = kubectl.run(&["get", "crd", "-o", "name"]).unwrap();
    for kind in ["azureaccesses", "recoveryvaults", "backuppolicies", "protectedmachines", "approvals", "backupruns", "restoreruns"] {
        assert!(names.contains(&format!("/{kind}.breakwater.io")), "{names}");
    }
    let deployment = kubectl.json(&["get", "deployment", "breakwater-operator", "-n", NAMESPACE]).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    kubectl.run(&["get", "poddisruptionbudget,networkpolicy", "breakwater-operator", "-n", NAMESPACE]).unwrap();
}

#[test]
fn the_operators_rights_are_what_it_needs_and_no_more() {
    let plane = super::installed();
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, ACCOUNT).unwrap();
    let kubectl = plane.kubectl_as(&kubeconfig);
    let may = |question: &[&str]| {
        let answer = kubectl.command(&[&["auth", "can-i"], question].concat()).output().unwrap();
        String::from_utf8(answer.stdout).unwrap().trim() == "yes"
    };
    let cases: &[(&[&str], bool)] = &[
        (&["list", "backuppolicies", "-A"], true),
        (&["watch", "azureaccesses"], true),
        (&["patch", "recoveryvaults", "--subresource=status", "-n", "shop"], true),
        (&["patch", "protectedmachines", "-n", "shop"], true),
        (&["create", "protectedmachines", "-n", "shop"], true),
        (&["create", "events.events.k8s.io", "-n", "shop"], true),
        (&["get", "namespaces/kube-system"], true),
        (&["create", "leases.coordination.k8s.io", "-n", NAMESPACE], true),
        (&["update", "leases.coordination.k8s.io/breakwater-operator", "-n", NAMESPACE], true),
        (&["create", "serviceaccounts/azure-shop", "--subresource=token", "-n", NAMESPACE], true),
        (&["get", "secrets/azure-client-secret", "-n", NAMESPACE], true),
        // No more than that.
        (&["delete", "protectedmachines", "-n", "shop"], false),
        (&["delete", "recoveryvaults", "-n", "shop"], false),
        (&["patch", "azureaccesses"], false),
        (&["create", "backuppolicies", "-n", "shop"], false),
        (&["get", "secrets", "-n", "shop"], false),
        (&["list", "secrets", "-n", NAMESPACE], false),
        (&["get", "secrets/another", "-n", NAMESPACE], false),
        (&["create", "serviceaccounts/default", "--subresource=token", "-n", NAMESPACE], false),
        (&["create", "serviceaccounts/azure-shop", "--subresource=token", "-n", "shop"], false),
        (&["update", "leases.coordination.k8s.io/another", "-n", NAMESPACE], false),
        (&["get", "pods", "-A"], false),
        (&["update", "namespaces/shop"], false),
        (&["create", "clusterrolebindings"], false),
    ];
    for (question, expected) in cases {
        assert_eq!(may(question), *expected, "kubectl auth can-i {}", question.join(" "));
    }
}

/// What a user may do with Breakwater's resources in a namespace, by the API server's own answer: resource and verb.
fn rights(plane: &Plane, namespace: &str, who: &str) -> BTreeSet<(String, String)> {
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": namespace } });
    // A review is no stored kind: to check its fields kubectl would list the definitions, which users may not.
    let ask = ["create", "--as", who, "--validate=false", "-o", "json", "-f", "-"];
    let answer = plane.kubectl().run_with(&ask, &review.to_string()).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let rules = answer["status"]["resourceRules"].as_array().unwrap();
    let ours = rules.iter().filter(|rule| words(rule, "apiGroups").iter().any(|group| ["breakwater.io", "*"].contains(&group.as_str())));
    let pairs = |rule: &Value| {
        let verbs = words(rule, "verbs");
        words(rule, "resources").into_iter().flat_map(move |resource| verbs.clone().into_iter().map(move |verb| (resource.clone(), verb)))
    };
    ours.flat_map(pairs).collect()
}

#[test]
fn view_edit_and_admin_hold_what_users_need_and_answer_nothing() {
    let plane = super::installed();
    let kubectl = plane.kubectl();
    kubectl.run(&["create", "namespace", "users"]).unwrap();
    let pairs = |resources: &[&str], verbs: &[&str]| -> BTreeSet<(String, String)> {
        resources.iter().flat_map(|resource| verbs.iter().map(|verb| ((*resource).to_owned(), (*verb).to_owned()))).collect()
    };
    let declared = ["recoveryvaults", "backuppolicies", "protectedmachines", "backupruns", "restoreruns"];
    let view = &pairs(&declared, &["get", "list", "watch"]) | &pairs(&["approvals"], &["get", "list", "watch"]);
    let edit = &view | &pairs(&declared, &["create", "update", "patch", "delete"]);
    let answer = &view | &pairs(&["approvals"], &["create", "delete"]);
    for (role, expected) in [("view", &view), ("edit", &edit), ("admin", &edit), ("breakwater-approvals", &answer)] {
        kubectl.run(&["create", "rolebinding", role, "-n", "users", "--clusterrole", role, "--user", role]).unwrap();
        // The controller that fills the first three takes a moment. No status, no AzureAccess, and to answer is for those who may.
        let held = || rights(plane, "users", role);
        e2e::until(Duration::from_secs(30), || (held() == *expected).then_some(()))
            .unwrap_or_else(|_| panic!("{role} holds {:#?}", held()));
    }
}

#[test]
fn the_deployment_runs_the_flags_and_ports_that_the_operator_has() {
    let help = std::process::Command::new(&e2e::tools().own.operator).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let manifest = fs::read_to_string(workspace::root().join("deploy/kustomize/operator/deployment.yaml")).unwrap();
    let variables = manifest.lines().filter_map(|line| line.trim().strip_prefix("- name: BREAKWATER_"));
    for variable in variables {
        assert!(help.contains(&format!("[env: BREAKWATER_{variable}=")), "BREAKWATER_{variable} is not an operator flag");
    }
    assert!(manifest.contains("containerPort: 8080") && help.contains("[default: 8080]"), "the health port");
}
