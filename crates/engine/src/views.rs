//! What kinds see of watched objects, kept from turn to turn: the machines of a vault all look at the same vault and policies.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use breakwater_plan::facts::AnyObject;
use kube::core::DynamicObject;

use crate::{
    object,
    ports::ObjectKey,
    resolve::{FEW, Parser},
};

/// So many views are kept.
const MOST: usize = FEW * 4;

/// Views by object, each of the version that it was last seen in.
#[derive(Default)]
pub struct Views(Mutex<State>);

#[derive(Default)]
struct State {
    kept: BTreeMap<ObjectKey, Kept>,
    asked: u64,
}

struct Kept {
    /// Its uid and `resourceVersion`: of one version there is one view.
    version: (String, String),
    view: Option<AnyObject>,
    /// How many were asked for before, the last time that it was.
    used: u64,
}

impl Views {
    /// The view of an object of that kind; none where it cannot be read.
    pub fn of(&self, kind: &str, object: &DynamicObject, parse: Parser) -> Option<AnyObject> {
        let (Some(uid), Some(version)) = (object.metadata.uid.clone(), object.metadata.resource_version.clone()) else {
            return parse(object);
        };
        let (key, version) = (object::key(kind, object), (uid, version));
        if let Some(view) = self.kept(&key, &version) {
            return view;
        }
        let view = parse(object);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = state.asked;
        state.kept.insert(key, Kept { version, view: view.clone(), used });
        if state.kept.len() > MOST
            && let Some(oldest) = state.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
        {
            state.kept.remove(&oldest);
        }
        view
    }

    fn kept(&self, key: &ObjectKey, version: &(String, String)) -> Option<Option<AnyObject>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let asked = state.asked;
        let kept = state.kept.get_mut(key).filter(|kept| kept.version == *version)?;
        kept.used = asked;
        Some(kept.view.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn object(name: &str, version: u64, word: &str) -> DynamicObject {
        let metadata = json!({ "name": name, "namespace": "shop", "uid": format!("of {name}"), "resourceVersion": version.to_string() });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "word": word } })).expect("an object")
    }

    fn words(object: &DynamicObject) -> Option<AnyObject> {
        Some(Arc::new(object.data["spec"]["word"].as_str()?.to_owned()))
    }

    fn seen(views: &Views, object: &DynamicObject) -> Option<String> {
        views.of("Vault", object, words).and_then(|view| view.downcast_ref::<String>().cloned())
    }

    #[test]
    fn a_view_is_of_the_version_that_was_asked_for() {
        let views = Views::default();
        assert_eq!(seen(&views, &object("a", 1, "old")).as_deref(), Some("old"));
        // One version is read once.
        assert_eq!(seen(&views, &object("a", 1, "not read")).as_deref(), Some("old"));
        assert_eq!(seen(&views, &object("a", 2, "new")).as_deref(), Some("new"));
        // A cache may be behind what was seen before.
        assert_eq!(seen(&views, &object("a", 1, "old")).as_deref(), Some("old"));
        let mut another = object("a", 1, "made anew");
        another.metadata.uid = Some("another".into());
        assert_eq!(seen(&views, &another).as_deref(), Some("made anew"));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_number_of_views_is_bounded() {
        let views = Views::default();
        for n in 0..MOST * 3 {
            seen(&views, &object(&format!("machine-{n}"), 1, "one of many"));
            assert_eq!(seen(&views, &object("vault", 1, if n == 0 { "first" } else { "not read" })).as_deref(), Some("first"));
        }
        assert_eq!(views.0.lock().expect("not poisoned").kept.len(), MOST);
    }
}
