//! Questions and answers on a real API server: who may answer, for what, and what then happens once.

use std::thread;
use std::time::{Duration, Instant};

use breakwater_dev::kubectl::Kubectl;
use breakwater_tests::e2e::{self, NAMESPACE};
use serde_json::Value;

/// An Approval of that question of the vault by somebody.
fn approval(name: &str, uid: &str, question: &Value, by: &str) -> String {
    approval_of(("RecoveryVault", "main"), name, uid, question, by)
}

/// An Approval of that question of an object by somebody.
pub fn approval_of(target: (&str, &str), name: &str, uid: &str, question: &Value, by: &str) -> String {
    let (kind, target) = target;
    let text = |field: &str| question[field].as_str().unwrap_or_default().to_owned();
    format!(
        "apiVersion: breakwater.io/v1alpha1\nkind: Approval\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\nspec:\n  \
         targetRef: {{ kind: {kind}, name: {target} }}\n  targetUid: {uid}\n  question: {}\n  digest: {}\n  answer: approve\n  \
         approvedBy: {by}\n  expiresAt: '2036-01-01T00:00:00Z'\n",
        text("id"),
        text("digest")
    )
}

pub fn put(kubectl: &Kubectl, manifest: &str, who: &str) -> anyhow::Result<String> {
    kubectl.run_with(&["create", "--as", who, "-f", "-"], manifest)
}

#[test]
fn a_one_way_door_opens_once_for_somebody_who_may_answer_and_for_nobody_else() {
    let stack = e2e::stack("approval");
    let began = Instant::now();
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    for (who, role) in [("pipeline", "edit"), ("ann", "breakwater-approvals")] {
        kubectl.run(&["create", "rolebinding", who, "-n", NAMESPACE, "--clusterrole", role, "--user", who]).unwrap();
    }
    // Who edits manifests causes the question.
    let patch = r#"{"spec":{"immutability":"Locked"}}"#;
    kubectl.run(&["patch", "rvault/main", "-n", NAMESPACE, "--type=merge", "-p", patch, "--as", "pipeline"]).unwrap();
    let get = ["get", "rvault", "main", "-n", NAMESPACE];
    let asks = |vault: &Value| {
        let question = vault["status"]["questions"].get(0)?.clone();
        Some((vault["metadata"]["uid"].as_str()?.to_owned(), question))
    };
    let (uid, question) = kubectl.wait_until("a question", Duration::from_secs(60), &get, asks).unwrap();
    assert_eq!(question["id"], "one-way-immutability", "{question:#}");
    let before = stack.simulator().journal().writes().unwrap().len();

    // And may not answer it; who may answer reads what asks, and does it in his own name; nobody changes what was said.
    for kind in ["rvault", "bpol", "pmach", "brun", "rrun"] {
        kubectl.run(&["get", kind, "-n", NAMESPACE, "--as", "ann"]).unwrap_or_else(|error| panic!("{kind}: {error:#}"));
    }
    let refused = |manifest: &str, who: &str| put(&kubectl, manifest, who).err().map(|e| format!("{e:#}")).unwrap_or_default();
    let said = refused(&approval("pipelines", &uid, &question, "pipeline"), "pipeline");
    assert!(said.contains("cannot create resource \"approvals\""), "edit may answer: {said}");
    let forged = refused(&approval("forged", &uid, &question, "boss"), "ann");
    assert!(forged.contains("spec.approvedBy must be the one who answers: you are ann"), "{forged}");

    // A run names nobody else as the one who asks.
    let run = |name: &str, by: &str| {
        format!(
            "apiVersion: breakwater.io/v1alpha1\nkind: BackupRun\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\n\
             spec: {{ protectedMachineRef: {{ name: none-such }}, requestedBy: {by} }}"
        )
    };
    let blamed = refused(&run("blamed", "boss"), "pipeline");
    assert!(blamed.contains("spec.requestedBy must be the one who makes the run: you are pipeline"), "{blamed}");
    put(&kubectl, &run("own", "pipeline"), "pipeline").unwrap();

    // The rule must have stood for half a minute.
    thread::sleep(Duration::from_secs(32).saturating_sub(began.elapsed()));
    put(&kubectl, &approval("anns", &uid, &question, "ann"), "ann").unwrap();
    let edit = r#"{"spec":{"answer":"no"}}"#;
    let edited = kubectl.run(&["patch", "appr/anns", "-n", NAMESPACE, "--type=merge", "-p", edit]).unwrap_err();
    assert!(format!("{edited:#}").contains("immutable"), "{edited:#}");

    e2e::ready(&stack, &["rvault/main"]);
    let vault = kubectl.json(&get).unwrap();
    assert_eq!(vault["status"]["vault"]["immutability"], "Locked", "{:#}", vault["status"]);
    assert_eq!(vault["status"]["answered"][0]["by"], "ann", "{:#}", vault["status"]);
    let since = stack.simulator().journal().writes().unwrap().split_off(before);
    assert_eq!(since.len(), 1, "{since:#?}");
    let used = |approval: &Value| (e2e::condition(approval, "Ready")["reason"] == "AnswerUsed").then_some(());
    kubectl.wait_until("the answer is told to be used", Duration::from_secs(60), &["get", "appr", "anns", "-n", NAMESPACE], used).unwrap();
    let shown = kubectl.run(&["get", "appr", "-n", NAMESPACE]).unwrap();
    assert!(shown.contains("one-way-immutability") && shown.contains("ann"), "{shown}");
}
