//! Versions, generations, deletion, owners.

use std::time::Duration;

use super::*;

#[test]
fn a_created_object_has_what_the_server_gives_it() {
    let (cluster, clock) = cluster();
    clock.advance(Duration::from_millis(90_400));
    let body = gadget("g", &json!({"size": 1}));
    let g = ready(cluster.create(&key("g"), &body, &|| true)).expect("valid");
    assert_eq!(g.metadata.generation, Some(1));
    assert_eq!(version(&g), "2");
    assert_eq!(g.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()), Some("2026-03-01T00:01:30Z".to_owned()));
    assert_eq!(g.data["spec"], json!({"size": 1, "limit": 10, "options": {"speed": "Slow"}}));
    assert_eq!(g.data["status"], json!({"observedGeneration": -1}), "the default of status shows from the first read");
    assert_eq!(ready(cluster.get(&key("g"))), Ok(Some(g)));
}

#[test]
fn a_status_in_what_is_created_is_dropped() {
    let (cluster, _) = cluster();
    let mut body = gadget("g", &json!({"size": 1}));
    body["status"] = json!({"seen": ["forged"]});
    let g = ready(cluster.create(&key("g"), &body, &|| true)).expect("valid");
    assert_eq!(g.data["status"], json!({"observedGeneration": -1}));
}

#[test]
fn creating_twice_says_that_it_exists_and_changes_nothing() {
    let (cluster, g) = with_g();
    assert_eq!(ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 2})), &|| true)), Err(ClusterError::Exists));
    assert_eq!(cluster.live(&key("g")).as_deref(), Some(&g));
}

#[test]
fn an_object_that_breaks_its_schema_is_refused_in_the_servers_words() {
    let (cluster, _) = cluster();
    let words = refusal(ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 99})), &|| true)));
    assert_eq!(words, "Gadget.test.example \"g\" is invalid: spec: Invalid value: size is at most limit");
    assert_eq!((cluster.live(&key("g")), cluster.version()), (None, 1));
}

#[test]
fn a_request_must_fit_its_url_and_its_scope() {
    let (cluster, _) = cluster();
    let body = gadget("g", &json!({"size": 1}));
    assert!(refusal(ready(cluster.create(&key("h"), &body, &|| true))).contains("/metadata/name"));
    let nowhere = ObjectKey { namespace: String::new(), ..key("g") };
    let mut body = body;
    body["metadata"]["namespace"] = Value::Null;
    assert!(refusal(ready(cluster.create(&nowhere, &body, &|| true))).contains("an empty namespace"));
    body["apiVersion"] = json!("test.example/v2");
    assert!(refusal(ready(cluster.create(&key("g"), &body, &|| true))).contains("no matches for kind"));
}

#[test]
fn the_same_name_created_again_is_another_object() {
    let (cluster, first) = with_g();
    ready(cluster.delete(&key("g"), &uid(&first), &|| true)).expect("there");
    let second = ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 1})), &|| true)).expect("valid");
    assert_ne!(uid(&first), uid(&second));
    assert_eq!(
        ready(cluster.delete(&key("g"), &uid(&first), &|| true)),
        Err(ClusterError::Conflict),
        "a delete with the old uid misses it"
    );
    assert!(cluster.live(&key("g")).is_some());
}

#[test]
fn uids_follow_from_the_seed() {
    let clock = Arc::new(VirtualClock::new(START.parse().expect("a timestamp")));
    let born = |seed| {
        let cluster = MemoryCluster::new(clock.clone(), &[gadget_crd()], seed).expect("compiles");
        uid(&ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 1})), &|| true)).expect("valid"))
    };
    assert_eq!(born(1), born(1));
    assert_ne!(born(1), born(2), "a rebuilt cluster has other uids");
}

#[test]
fn a_status_patch_changes_only_the_status_and_not_the_generation() {
    let (cluster, g) = with_g();
    let patched =
        ready(cluster.patch_status(&key("g"), &version(&g), &json!({"observedGeneration": 1, "seen": ["a"]}), &|| true)).expect("current");
    assert_eq!(patched.data["status"], json!({"observedGeneration": 1, "seen": ["a"]}));
    assert_eq!(patched.metadata.generation, Some(1));
    assert_eq!(version(&patched), "3");
    assert_eq!(patched.data["spec"], g.data["spec"]);
}

#[test]
fn a_status_patch_merges_and_null_removes() {
    let (cluster, g) = with_g();
    let g = ready(cluster.patch_status(&key("g"), &version(&g), &json!({"choices": {"a": "1", "b": "2"}}), &|| true)).expect("current");
    let g = ready(cluster.patch_status(&key("g"), &version(&g), &json!({"choices": {"a": null, "c": "3"}}), &|| true)).expect("current");
    assert_eq!(g.data["status"]["choices"], json!({"b": "2", "c": "3"}));
}

#[test]
fn a_patch_made_from_an_old_version_conflicts_and_changes_nothing() {
    let (cluster, g) = with_g();
    cluster.user().patch_status(&key("g"), &json!({"seen": ["theirs"]})).expect("valid");
    assert_eq!(ready(cluster.patch_status(&key("g"), &version(&g), &json!({"seen": ["ours"]}), &|| true)), Err(ClusterError::Conflict));
    assert_eq!(
        ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"finalizers": ["a.b/c"]}), &|| true)),
        Err(ClusterError::Conflict)
    );
    assert_eq!(cluster.live(&key("g")).expect("there").data["status"]["seen"], json!(["theirs"]));
}

#[test]
fn a_patch_that_changes_nothing_keeps_the_version() {
    let (cluster, g) = with_g();
    let same = ready(cluster.patch_status(&key("g"), &version(&g), &json!({"observedGeneration": -1}), &|| true)).expect("current");
    assert_eq!(same, g);
    let same = ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"finalizers": []}), &|| true)).expect("current");
    assert_eq!((same, cluster.version()), (g, 2));
    assert_eq!(cluster.write_log(1).iter().map(|write| write.outcome.clone()).collect::<Vec<_>>(), [Outcome::NoChange, Outcome::NoChange]);
}

#[test]
fn a_status_outside_its_schema_is_refused_and_unknown_fields_of_it_are_dropped_and_told() {
    let (cluster, g) = with_g();
    assert!(refusal(ready(cluster.patch_status(&key("g"), &version(&g), &json!({"seen": [1]}), &|| true))).contains("status.seen[0]"));
    let g =
        ready(cluster.patch_status(&key("g"), &version(&g), &json!({"seen": ["a"], "sen": ["b"]}), &|| true)).expect("the rest is fine");
    assert_eq!(g.data["status"], json!({"observedGeneration": -1, "seen": ["a"]}));
    assert_eq!(cluster.write_log(2)[0].pruned, ["status.sen"]);
}

#[test]
fn a_metadata_patch_touches_neither_spec_nor_status_nor_generation() {
    let (cluster, g) = with_g();
    let patch = json!({"finalizers": ["breakwater.dev/hold"], "annotations": {"a": "b"}, "generation": 7, "deletionTimestamp": START});
    let patched = ready(cluster.patch_metadata(&key("g"), &version(&g), &patch, &|| true)).expect("current");
    assert_eq!(patched.metadata.finalizers, Some(vec!["breakwater.dev/hold".to_owned()]));
    assert_eq!((patched.metadata.generation, patched.metadata.deletion_timestamp), (Some(1), None));
    assert_eq!(patched.data, g.data);
}

#[test]
fn names_and_uids_do_not_change() {
    let (cluster, g) = with_g();
    assert!(refusal(ready(cluster.patch_metadata(&key("g"), "", &json!({"name": "h"}), &|| true))).contains("immutable"));
    assert_eq!(ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"uid": "other"}), &|| true)), Err(ClusterError::Conflict));
}

#[test]
fn writing_to_what_is_not_there_says_so() {
    let (cluster, _) = cluster();
    assert_eq!(ready(cluster.patch_status(&key("g"), "1", &json!({}), &|| true)), Err(ClusterError::NotFound));
    assert_eq!(ready(cluster.patch_metadata(&key("g"), "1", &json!({}), &|| true)), Err(ClusterError::NotFound));
    assert_eq!(ready(cluster.delete(&key("g"), "uid", &|| true)), Err(ClusterError::NotFound));
    assert_eq!(ready(cluster.get(&key("g"))), Ok(None));
}

#[test]
fn finalizers_turn_a_delete_into_a_mark_and_the_last_one_taken_off_ends_it() {
    let (cluster, g) = with_g();
    let g =
        ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"finalizers": ["a.b/one", "a.b/two"]}), &|| true)).expect("current");
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("there");
    let marked = cluster.live(&key("g")).expect("held");
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2), "the mark counts as a change of what is wanted");
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("asking again is fine");
    assert_eq!(cluster.live(&key("g")), Some(marked.clone()), "and changes nothing");
    let one = ready(cluster.patch_metadata(&key("g"), &version(&marked), &json!({"finalizers": ["a.b/two"]}), &|| true)).expect("current");
    assert!(cluster.live(&key("g")).is_some());
    ready(cluster.patch_metadata(&key("g"), &version(&one), &json!({"finalizers": null}), &|| true)).expect("current");
    assert_eq!(cluster.live(&key("g")), None);
}

#[test]
fn no_finalizer_can_be_added_after_deletion_began_but_status_can_be_written() {
    let (cluster, g) = with_g();
    let g = ready(cluster.patch_metadata(&key("g"), &version(&g), &json!({"finalizers": ["a.b/one"]}), &|| true)).expect("current");
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("there");
    let words = refusal(ready(cluster.patch_metadata(&key("g"), "", &json!({"finalizers": ["a.b/one", "a.b/two"]}), &|| true)));
    assert!(words.contains("no new finalizers can be added if the object is being deleted"), "{words}");
    ready(cluster.patch_status(&key("g"), "", &json!({"seen": ["closing"]}), &|| true)).expect("still there");
}

fn owned(name: &str, owners: &[&DynamicObject]) -> Value {
    let mut body = gadget(name, &json!({"size": 1}));
    body["metadata"]["ownerReferences"] = owners
        .iter()
        .map(|owner| json!({"apiVersion": "test.example/v1", "kind": "Gadget", "name": owner.metadata.name, "uid": owner.metadata.uid}))
        .collect();
    body
}

#[test]
fn what_is_owned_goes_with_its_last_owner_also_through_generations() {
    let (cluster, g) = with_g();
    let h = ready(cluster.create(&key("h"), &gadget("h", &json!({"size": 1})), &|| true)).expect("valid");
    let child = ready(cluster.create(&key("child"), &owned("child", &[&g, &h]), &|| true)).expect("valid");
    ready(cluster.create(&key("grandchild"), &owned("grandchild", &[&child]), &|| true)).expect("valid");
    cluster.user().delete(&key("g")).expect("there");
    let left = cluster.live(&key("child")).expect("one owner is left");
    assert_eq!(left.metadata.owner_references.as_ref().map(Vec::len), Some(1), "the reference to the other is taken off");
    cluster.user().delete(&key("h")).expect("there");
    assert_eq!(cluster.live_all("Gadget"), []);
    assert_eq!(cluster.write_log(0).iter().filter(|write| write.writer == Writer::Garbage).count(), 3);
}

#[test]
fn an_owner_of_the_same_name_but_another_uid_is_no_owner() {
    let (cluster, g) = with_g();
    cluster.set_garbage_collection(GarbageCollection::OnDemand);
    ready(cluster.create(&key("child"), &owned("child", &[&g]), &|| true)).expect("valid");
    cluster.user().delete(&key("g")).expect("there");
    ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 1})), &|| true)).expect("valid");
    assert!(cluster.live(&key("child")).is_some(), "the collector has not come by yet");
    cluster.collect_garbage();
    assert!(cluster.live(&key("child")).is_none());
    assert!(cluster.live(&key("g")).is_some());
}

#[test]
fn a_dependent_with_a_finalizer_is_marked_and_waits() {
    let (cluster, g) = with_g();
    let mut body = owned("child", &[&g]);
    body["metadata"]["finalizers"] = json!(["a.b/hold"]);
    ready(cluster.create(&key("child"), &body, &|| true)).expect("valid");
    cluster.user().delete(&key("g")).expect("there");
    assert!(cluster.live(&key("child")).expect("held").metadata.deletion_timestamp.is_some());
}

#[test]
fn kinds_without_a_crd_are_taken_as_they_come() {
    let (cluster, _) = cluster();
    let secret = ObjectKey { kind: "Secret".to_owned(), namespace: "team".to_owned(), name: "s".to_owned() };
    let made =
        ready(cluster.create(&secret, &json!({"apiVersion": "v1", "kind": "Secret", "data": {"k": "dg=="}}), &|| true)).expect("any");
    assert_eq!((made.metadata.generation, &made.data["data"]["k"]), (None, &json!("dg==")));
}
