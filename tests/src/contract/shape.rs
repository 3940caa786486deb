//! What an answer looks like apart from its values: every key path with the JSON types found there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Maps whose keys are people's own words, not fields.
const FREE_MAPS: [&str; 2] = ["/tags", "/userAssignedIdentities"];

/// A type of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JsonType {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl JsonType {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Bool,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::Text,
            Value::Array(_) => JsonType::List,
            Value::Object(_) => JsonType::Object,
        }
    }
}

/// Key paths and their types. `[]` stands for every element of a list, `*` for every key of a free map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape(BTreeMap<String, BTreeSet<JsonType>>);

impl Shape {
    /// The shape of a value; the value itself is at the path ``.
    pub fn of(value: &Value) -> Self {
        let mut shape = Shape::default();
        shape.add(value, String::new());
        shape
    }

    fn add(&mut self, value: &Value, at: String) {
        match value {
            Value::Object(fields) => {
                let free = FREE_MAPS.iter().any(|map| at.ends_with(map));
                for (name, inner) in fields {
                    self.add(inner, format!("{at}/{}", if free { "*" } else { name }));
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.add(element, format!("{at}[]"))),
            _ => {}
        }
        self.0.entry(at).or_default().insert(JsonType::of(value));
    }

    /// Adds another shape of the same thing.
    pub fn join(&mut self, other: Shape) {
        for (path, types) in other.0 {
            self.0.entry(path).or_default().extend(types);
        }
    }

    /// Whether nothing but `null` stands there.
    pub fn is_null(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|types| types.iter().all(|kind| *kind == JsonType::Null))
    }

    /// All key paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Key paths of `other` that this shape lacks or never shows with that type, each with a sentence. Below a lacking
    /// path nothing more is said. What is `null` in `other` may have any type here.
    pub fn lacking(&self, other: &Shape) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (path, wanted) in &other.0 {
            let below = |(known, _): &(String, String)| path.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with(['/', '[']));
            if found.iter().any(below) {
                continue;
            }
            match self.0.get(path) {
                None => found.push((path.clone(), format!("{path} is missing"))),
                Some(ours) => {
                    let other_types: Vec<_> = wanted.iter().filter(|kind| **kind != JsonType::Null && !ours.contains(kind)).collect();
                    if !other_types.is_empty() {
                        found.push((path.clone(), format!("{path} is {ours:?}, recorded as {other_types:?}")));
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_lacks_what_is_absent_or_of_another_type_and_says_it_once() {
        let mut ours = Shape::of(&json!({"a": 1, "list": [{"x": "1"}], "tags": {"mine": "y"}, "n": null}));
        ours.join(Shape::of(&json!({"list": [{"y": true}]})));
        let theirs = json!({"a": "1", "list": [{"x": "2", "y": false, "z": {"w": 1}}], "tags": {"theirs": "y"}, "b": null, "n": 3});
        let lacking: Vec<String> = ours.lacking(&Shape::of(&theirs)).into_iter().map(|(path, _)| path).collect();
        assert_eq!(lacking, ["/a", "/b", "/list[]/z", "/n"]);
        assert!(ours.lacking(&Shape::of(&json!({"a": null, "list": []}))).is_empty());
    }
}
