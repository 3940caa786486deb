//! Views that lag.

use super::{
    super::view::Seen::{self, Applied, Deleted},
    *,
};

fn size(cluster: &MemoryCluster) -> Option<i64> {
    cluster.cached(&key("g")).and_then(|g| g.data["spec"]["size"].as_i64())
}

fn resize(cluster: &MemoryCluster, size: i64) {
    cluster.user().patch(&key("g"), &json!({"spec": {"size": size}})).expect("valid");
}

fn news(cluster: &MemoryCluster, cursor: &mut Cursor) -> Vec<(String, Seen)> {
    cluster.changes_since(cursor).into_iter().map(|change| (change.key.name, change.seen)).collect()
}

#[test]
fn a_watch_without_lag_shows_what_is() {
    let (cluster, _) = with_g();
    resize(&cluster, 2);
    assert_eq!(size(&cluster), Some(2));
}

#[test]
fn a_held_watch_shows_what_was_while_a_live_read_shows_what_is() {
    let (cluster, g) = with_g();
    cluster.hold_watch();
    resize(&cluster, 2);
    assert_eq!((size(&cluster), cluster.behind()), (Some(1), 1));
    assert_eq!(ready(cluster.get(&key("g"))).expect("up").expect("there").data["spec"]["size"], json!(2));
    assert_eq!(
        ready(cluster.patch_status(&key("g"), &version(&cluster.cached(&key("g")).expect("seen")), &json!({"seen": ["a"]}), &|| true)),
        Err(ClusterError::Conflict),
        "a write made from the stale copy loses the race"
    );
    cluster.release_watch();
    assert_eq!((size(&cluster), cluster.behind()), (Some(2), 0));
    assert_ne!(version(&g), version(&cluster.cached(&key("g")).expect("seen")));
}

#[test]
fn one_kind_may_lag_while_another_does_not() {
    let (cluster, _) = with_g();
    cluster.set_lag_of("Gadget", Lag::Held);
    let config = ObjectKey { kind: "ConfigMap".to_owned(), namespace: "team".to_owned(), name: "c".to_owned() };
    ready(cluster.create(&config, &json!({"apiVersion": "v1", "kind": "ConfigMap"}), &|| true)).expect("valid");
    assert!(cluster.cached(&config).is_some());
    assert_eq!(size(&cluster), None, "held before it was ever looked at");
}

#[test]
fn a_watch_that_trails_by_versions_shows_a_change_once_others_followed() {
    let (cluster, _) = with_g();
    cluster.set_lag(Lag::Versions(2));
    for wanted in 2..=5 {
        resize(&cluster, wanted);
    }
    assert_eq!((size(&cluster), cluster.behind()), (Some(3), 2));
}

#[test]
fn a_randomly_late_watch_never_goes_backwards_and_comes_through_in_the_end() {
    let run = |seed| {
        let (cluster, _) = with_g();
        let late = cluster.another_process(seed);
        late.set_lag(Lag::Random { stall: 0.6 });
        let (mut seen, mut late_once) = (Vec::new(), false);
        for wanted in 2..=10 {
            resize(&cluster, wanted);
            seen.extend(size(&late));
            late_once |= late.behind() > 0;
        }
        assert!(late_once, "it is late at times");
        while late.behind() > 0 {
            seen.extend(size(&late));
        }
        assert_eq!(seen.last(), Some(&10));
        assert!(seen.is_sorted(), "{seen:?}");
        seen
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn changes_are_told_once_in_order_and_only_when_they_are_seen() {
    let (cluster, g) = with_g();
    let mut cursor = Cursor::default();
    assert_eq!(news(&cluster, &mut cursor), [("g".to_owned(), Applied)]);
    assert_eq!(news(&cluster, &mut cursor), []);
    cluster.hold_watch();
    ready(cluster.create(&key("a"), &gadget("a", &json!({"size": 1})), &|| true)).expect("valid");
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("there");
    assert_eq!(news(&cluster, &mut cursor), []);
    cluster.release_watch();
    assert_eq!(news(&cluster, &mut cursor), [("a".to_owned(), Applied), ("g".to_owned(), Deleted)]);
}

#[test]
fn a_change_that_a_read_of_the_cache_brought_in_is_told_too() {
    let (cluster, _) = with_g();
    let mut cursor = Cursor::default();
    news(&cluster, &mut cursor);
    resize(&cluster, 2);
    assert_eq!(size(&cluster), Some(2));
    assert_eq!(news(&cluster, &mut cursor), [("g".to_owned(), Applied)]);
}

#[test]
fn after_a_new_list_everything_is_told_again_and_what_vanished_meanwhile_is_not() {
    let (cluster, g) = with_g();
    ready(cluster.create(&key("a"), &gadget("a", &json!({"size": 1})), &|| true)).expect("valid");
    let mut cursor = Cursor::default();
    news(&cluster, &mut cursor);
    cluster.hold_watch();
    ready(cluster.delete(&key("g"), &uid(&g), &|| true)).expect("there");
    cluster.restart_watch();
    assert_eq!(news(&cluster, &mut cursor), [("a".to_owned(), Applied)]);
    assert_eq!(size(&cluster), None);
}

#[test]
fn a_list_from_an_old_cache_goes_backwards_and_the_watch_then_catches_up() {
    let (cluster, _) = with_g();
    resize(&cluster, 2);
    resize(&cluster, 3);
    assert_eq!(size(&cluster), Some(3));
    cluster.hold_watch();
    cluster.restart_watch_from_old_list(2);
    assert_eq!(size(&cluster), Some(1));
    cluster.release_watch();
    assert_eq!(size(&cluster), Some(3));
}

#[test]
fn two_processes_see_the_same_cluster_each_with_its_own_lag() {
    let (leader, _) = with_g();
    let standby = leader.another_process(2);
    standby.hold_watch();
    resize(&leader, 2);
    assert_eq!((size(&leader), size(&standby)), (Some(2), Some(1)));
}

#[test]
fn all_of_a_kind_come_in_key_order_from_one_namespace_or_everywhere() {
    let (cluster, _) = cluster();
    for (namespace, name) in [("b", "y"), ("a", "z"), ("b", "x")] {
        let key = ObjectKey { namespace: namespace.to_owned(), ..key(name) };
        let mut body = gadget(name, &json!({"size": 1}));
        body["metadata"]["namespace"] = json!(namespace);
        ready(cluster.create(&key, &body, &|| true)).expect("valid");
    }
    let names = |namespace: Option<&str>| {
        cluster.cached_all("Gadget", namespace).filter_map(|object| object.metadata.name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((names(None), names(Some("b")), names(Some("c"))), ("z x y".to_owned(), "x y".to_owned(), String::new()));
    assert_eq!(cluster.cached_all("Widget", None).count(), 0);
}

#[test]
fn what_a_process_was_shown_and_what_is_still_to_come_can_be_asked_without_a_look() {
    let (cluster, g) = with_g();
    let mut cursor = Cursor::default();
    assert!(cluster.is_pending(&key("g"), &cursor), "nobody has looked");
    news(&cluster, &mut cursor);
    assert!(!cluster.is_pending(&key("g"), &cursor) && cluster.shown(&key("g")).is_some());
    cluster.hold_watch();
    resize(&cluster, 2);
    assert_eq!(cluster.handed(&key("g")), None, "nobody has asked for it");
    assert_eq!(size(&cluster), Some(1));
    assert_eq!(cluster.handed(&key("g")), Some(version(&g)));
    assert!(cluster.is_pending(&key("g"), &cursor) && cluster.is_lagging());
    let live = ready(cluster.get(&key("g"))).expect("up").expect("there");
    assert_eq!(cluster.take_got(), [(key("g"), version(&live))]);
    assert!(cluster.take_got().is_empty() && cluster.handed(&key("g")) == Some(version(&g)));
}

#[test]
fn a_record_holds_the_version_that_the_write_carried() {
    let (cluster, g) = with_g();
    ready(cluster.patch_status(&key("g"), &version(&g), &json!({"seen": ["a"]}), &|| true)).expect("current");
    ready(cluster.patch_status(&key("g"), "", &json!({"seen": ["b"]}), &|| true)).expect("no condition");
    let conditions: Vec<Option<String>> = cluster.write_log(1).into_iter().map(|write| write.condition).collect();
    assert_eq!(conditions, [Some(version(&g)), None]);
    assert_eq!(cluster.written(), 3);
}
