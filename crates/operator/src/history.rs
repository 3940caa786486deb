//! Whether the stores show what the API server shows, and whether its history is the one that they were told.
//!
//! A new leader asks before its first turn: an intent that the old one saved last must be known before anything else is begun,
//! and nothing is begun by what a restored etcd has forgotten.

use std::time::Duration;

use kube::{Api, Client, Resource, api::ListParams, core::DynamicObject};

use crate::{
    kinds::Role,
    watch::{Watched, Watches},
};

/// Objects a page when stores are compared with the API server.
const PAGE: u32 = 500;
/// Between two comparisons.
const COMPARE: Duration = Duration::from_millis(250);

/// Why stores could not be compared with the API server.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// It could not be read: ask again.
    #[error(transparent)]
    Unread(#[from] kube::Error),
    /// There is nothing to compare with.
    #[error(transparent)]
    Backwards(#[from] WentBackwards),
}

/// The API server shows a time before one that it showed already. What the stores hold may never have been, and watches that go on
/// from there tell nothing: only a new process, with new lists, knows what is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API server's history went backwards (was etcd restored?): {kind} was seen at version {seen} and is at {live} now; \
     this process ends to start anew from what is there"
)]
pub struct WentBackwards {
    kind: &'static str,
    seen: u64,
    live: u64,
}

impl Watches {
    /// Waits until the stores of kinds with turns show everything that the API server shows now.
    ///
    /// # Errors
    /// When the API server cannot be read, or its history went backwards.
    pub async fn caught_up(&self, client: &Client) -> Result<(), NotCompared> {
        for watched in self.all().filter(|w| w.kind.role == Role::Turned) {
            while !caught_up(watched, client).await? {
                tokio::time::sleep(COMPARE).await;
            }
        }
        Ok(())
    }
}

async fn caught_up(watched: &Watched, client: &Client) -> Result<bool, NotCompared> {
    let backwards = |(seen, live)| WentBackwards { kind: watched.kind.kind, seen, live };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &watched.resource);
    // Before the list is asked for: while it is on its way, a watch may tell of something newer.
    let seen = newest(watched);
    let (mut page, mut at) = (ListParams::default().limit(PAGE), None);
    loop {
        let listed = api.list_metadata(&page).await?;
        // Every page shows what was when the first one was asked for.
        at = at.or_else(|| number(listed.metadata.resource_version.as_deref()));
        if let Some(versions) = seen.zip(at).filter(|(seen, at)| at < seen) {
            return Err(backwards(versions).into());
        }
        let mut shown = true;
        for object in &listed.items {
            let (namespace, name) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref());
            let cached = watched.store.get(&watched.reference(namespace.unwrap_or_default(), name.unwrap_or_default()));
            let cached = cached.as_ref().and_then(|kept| kept.meta().resource_version.as_deref());
            let live = object.metadata.resource_version.as_deref();
            if let Some(versions) = of_another_history(cached, live, at) {
                return Err(backwards(versions).into());
            }
            shown &= !older(cached, live);
        }
        if !shown {
            return Ok(false);
        }
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(true),
        }
    }
}

/// The highest version in a store.
fn newest(watched: &Watched) -> Option<u64> {
    watched.store.state().iter().filter_map(|kept| number(kept.meta().resource_version.as_deref())).max()
}

/// Versions of one kind are comparable numbers (KEP-5504).
fn number(version: Option<&str>) -> Option<u64> {
    version.and_then(|text| text.parse().ok())
}

/// Whether the first version is older than the second. Where they are not numbers, other is older, which costs a wait and never a
/// mistake.
fn older(cached: Option<&str>, live: Option<&str>) -> bool {
    match (number(cached), number(live)) {
        (Some(cached), Some(live)) => cached < live,
        _ => cached != live,
    }
}

/// The two versions, where the list of `at` shows the object older than it was by then. A copy that is newer than the list came
/// while that was on its way.
fn of_another_history(cached: Option<&str>, live: Option<&str>, at: Option<u64>) -> Option<(u64, u64)> {
    let (cached, live, at) = (number(cached)?, number(live)?, at?);
    (live < cached && cached <= at).then_some((cached, live))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::{metrics::Metrics, watch, wire::ApiServer};

    fn vault(location: &str) -> Value {
        json!({ "spec": { "location": location } })
    }

    /// Stores of a server with a vault of version 1.
    async fn running() -> (ApiServer, Arc<Watches>, Vec<JoinHandle<()>>) {
        let server = ApiServer::new();
        server.apply("RecoveryVault", "shop", "main", vault("westeurope"));
        let (watches, feeds) = watch::unread();
        let tasks = feeds.into_iter().map(|feed| tokio::spawn(feed.run(server.client(), Metrics::default()))).collect();
        watches.synced().await.unwrap();
        (server, watches, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_waits_until_its_stores_show_the_last_write() {
        let (server, watches, tasks) = running().await;
        watches.caught_up(&server.client()).await.unwrap();

        tasks.iter().for_each(JoinHandle::abort);
        server.apply("RecoveryVault", "shop", "main", vault("northeurope"));
        let waited = tokio::time::timeout(Duration::from_secs(5), watches.caught_up(&server.client())).await;
        assert!(waited.is_err(), "a store that lags is not caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_that_went_backwards_is_told_also_once_its_versions_are_as_high_again() {
        let (server, watches, _tasks) = running().await;
        let backup = server.backup();
        server.apply("RecoveryVault", "shop", "main", vault("northeurope"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.restore(backup);
        let told = watches.caught_up(&server.client()).await.unwrap_err().to_string();
        assert!(told.contains("history went backwards") && told.contains("etcd"), "{told}");

        for name in ["a", "b", "c"] {
            server.apply("BackupPolicy", "shop", name, json!({ "spec": {} }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = watches.caught_up(&server.client()).await.unwrap_err().to_string();
        assert!(told.contains("RecoveryVault was seen at version 2 and is at 1 now"), "{told}");
    }

    #[test]
    fn a_copy_is_of_another_history_only_when_the_list_should_have_shown_it() {
        let cases = [
            ("the same", Some("9"), Some("9"), Some(9), None),
            ("it lags", Some("8"), Some("9"), Some(9), None),
            ("it came while the list was on its way", Some("11"), Some("9"), Some(10), None),
            ("the list should show it", Some("10"), Some("9"), Some(10), Some((10, 9))),
            ("it is not there yet", None, Some("9"), Some(10), None),
            ("no numbers", Some("b"), Some("a"), Some(10), None),
            ("a list without version", Some("10"), Some("9"), None, None),
        ];
        for (situation, cached, live, at, told) in cases {
            assert_eq!(of_another_history(cached, live, at), told, "{situation}");
        }
    }

    #[test]
    fn versions_compare_as_numbers_and_otherwise_by_equality() {
        assert!(older(Some("9"), Some("10")));
        assert!(!older(Some("10"), Some("10")));
        assert!(!older(Some("11"), Some("10")));
        assert!(older(Some("a"), Some("b")));
        assert!(!older(Some("a"), Some("a")));
        assert!(older(None, Some("1")));
    }
}
