//! What people do.

use super::*;

const MANIFEST: &str = "
apiVersion: test.example/v1
kind: Gadget
metadata: { name: g, namespace: team, labels: { colour: red } }
spec: { size: 2, place: here }
---
apiVersion: test.example/v1
kind: Gadget
metadata: { name: elsewhere }
spec: { size: 1 }
";

fn edited(spec: &Value) -> Value {
    gadget("g", spec)
}

#[test]
fn a_manifest_creates_every_document_in_it() {
    let (cluster, _) = cluster();
    let made = cluster.user().apply(MANIFEST).expect("valid");
    assert_eq!(made.len(), 2);
    assert_eq!(made[1].metadata.namespace.as_deref(), Some("default"), "kubectl's namespace, where none is named");
}

#[test]
fn applying_the_same_again_writes_nothing() {
    let (cluster, _) = cluster();
    cluster.user().apply(MANIFEST).expect("valid");
    let before = cluster.dump();
    cluster.user().apply(MANIFEST).expect("valid");
    assert_eq!(cluster.dump(), before);
}

#[test]
fn apply_changes_the_spec_counts_a_generation_and_leaves_the_status() {
    let (cluster, _) = cluster();
    let g = cluster.user().apply(MANIFEST).expect("valid").remove(0);
    ready(cluster.patch_status(&key("g"), &version(&g), &json!({"seen": ["a"]}), &|| true)).expect("current");
    let mut manifest = edited(&json!({"size": 3, "place": "here"}));
    manifest["status"] = json!({"seen": ["forged"]});
    let g = cluster.user().apply_object(&manifest).expect("valid");
    assert_eq!((&g.data["spec"]["size"], g.metadata.generation), (&json!(3), Some(2)));
    assert_eq!(g.data["status"]["seen"], json!(["a"]));
}

#[test]
fn apply_takes_out_what_it_put_in_and_leaves_what_others_put_in() {
    let (cluster, _) = cluster();
    let g = cluster.user().apply(MANIFEST).expect("valid").remove(0);
    ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"finalizers": ["a.b/c"], "labels": {"ours": "yes"}}), &|| true))
        .expect("current");
    cluster.user().patch(&key("g"), &json!({"spec": {"note": "by hand"}})).expect("valid");
    let mut manifest = edited(&json!({"size": 2}));
    manifest["metadata"]["labels"] = json!({});
    let g = cluster.user().apply_object(&manifest).expect("valid");
    assert_eq!(g.data["spec"], json!({"size": 2, "limit": 10, "note": "by hand", "options": {"speed": "Slow"}}));
    assert_eq!(g.metadata.finalizers.as_deref(), Some(["a.b/c".to_owned()].as_slice()));
    assert_eq!(g.metadata.labels.iter().flatten().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["ours"]);
}

/// So it is for custom resources, where kubectl makes a JSON merge patch: a map that is gone from the manifest is null in it.
#[test]
fn a_whole_map_that_is_gone_from_the_manifest_takes_what_others_put_in_along() {
    let (cluster, _) = cluster();
    cluster.user().apply(MANIFEST).expect("valid");
    cluster.user().patch(&key("g"), &json!({"metadata": {"labels": {"theirs": "yes"}}})).expect("valid");
    let g = cluster.user().apply_object(&edited(&json!({"size": 2, "place": "here"}))).expect("valid");
    assert_eq!(g.metadata.labels, None);
}

#[test]
fn a_field_that_does_not_exist_is_refused_to_a_person() {
    let (cluster, _) = cluster();
    let words = refusal(cluster.user().apply_object(&edited(&json!({"size": 1, "sizes": 2}))));
    assert_eq!(words, r#"Gadget: strict decoding error: unknown field "spec.sizes""#);
    assert_eq!(cluster.live_all("Gadget"), []);
}

#[test]
fn an_immutable_field_may_not_change_while_another_may() {
    let (cluster, _) = cluster();
    cluster.user().apply(MANIFEST).expect("valid");
    let words = refusal(cluster.user().apply_object(&edited(&json!({"size": 2, "place": "there"}))));
    assert!(words.ends_with("spec.place: Forbidden: place does not move"), "{words}");
    cluster.user().apply_object(&edited(&json!({"size": 4, "place": "here"}))).expect("another field may");
}

#[test]
fn a_manifest_with_an_old_version_in_it_conflicts() {
    let (cluster, g) = with_g();
    cluster.user().patch(&key("g"), &json!({"spec": {"size": 2}})).expect("valid");
    let mut manifest = edited(&json!({"size": 3}));
    manifest["metadata"]["resourceVersion"] = json!(version(&g));
    assert_eq!(cluster.user().apply_object(&manifest), Err(ClusterError::Conflict));
}

#[test]
fn an_annotation_is_no_new_generation() {
    let (cluster, _) = with_g();
    let g = cluster.user().annotate(&key("g"), "breakwater.dev/requested-at", Some("now")).expect("valid");
    assert_eq!(g.metadata.annotations.iter().flatten().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["now"]);
    assert_eq!(g.metadata.generation, Some(1));
    let g = cluster.user().annotate(&key("g"), "breakwater.dev/requested-at", None).expect("valid");
    assert_eq!(g.metadata.annotations, None);
}
