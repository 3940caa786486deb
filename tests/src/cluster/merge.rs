//! JSON merge patch (RFC 7386), and what `kubectl apply` makes of it.

use serde_json::{Map, Value};

/// Applies a merge patch: objects merge key by key, null removes, anything else (lists too) replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { unreachable!("made an object just above") };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Takes out of `current` what `original` held and `modified` no longer does: the deletions of kubectl's three-way merge.
pub fn remove_dropped(current: &mut Value, original: &Value, modified: &Value) {
    let (Value::Object(current), Value::Object(original), Value::Object(modified)) = (current, original, modified) else { return };
    for (key, was) in original {
        match modified.get(key) {
            None => {
                current.remove(key);
            }
            Some(is) => {
                if let Some(current) = current.get_mut(key) {
                    remove_dropped(current, was, is);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7386_appendix_a_hold() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, expected) in cases {
            let before = target.to_string();
            merge(&mut target, &patch);
            assert_eq!(target, expected, "{before} with {patch}");
        }
    }

    #[test]
    fn only_what_was_applied_before_and_is_gone_now_is_removed() {
        let mut current = json!({"a": 1, "b": {"x": 1, "y": 2}, "theirs": 3});
        remove_dropped(&mut current, &json!({"a": 1, "b": {"x": 1}}), &json!({"b": {}}));
        assert_eq!(current, json!({"b": {"y": 2}, "theirs": 3}));
    }
}
