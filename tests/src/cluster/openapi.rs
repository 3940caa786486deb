//! What an API server checks of a structural schema before it runs any CEL rule: types, bounds, enums, patterns, formats.
//! kube's `cel` feature evaluates only the rules. Messages are worded as kube-apiserver words them.
//!
//! Not checked: formats other than date-time, date, uuid, int32 and int64; embedded resources.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// The patterns of a schema, compiled once. RE2 (the server's) and `regex` read the same language, up to look-around, which
/// neither has.
#[derive(Debug, Default)]
pub struct Patterns(BTreeMap<String, Regex>);

impl Patterns {
    /// Compiles every `pattern` below `schema`.
    ///
    /// # Errors
    /// When one is no regular expression.
    pub fn of(schema: &Value) -> Result<Self, regex::Error> {
        let mut patterns = Self::default();
        patterns.gather(schema)?;
        Ok(patterns)
    }

    fn gather(&mut self, schema: &Value) -> Result<(), regex::Error> {
        match schema {
            Value::Object(fields) => {
                if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
                    self.0.insert(pattern.to_owned(), Regex::new(pattern)?);
                }
                fields.values().try_for_each(|field| self.gather(field))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.gather(item)),
            _ => Ok(()),
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        self.0.get(pattern).is_some_and(|regex| regex.is_match(text))
    }
}

/// Everything that `value` breaks of `schema`, as `path: what`, in a fixed order; empty when it is valid.
#[must_use]
pub fn errors(patterns: &Patterns, schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check { patterns, errors: Vec::new() };
    check.node(schema, value, "");
    check.errors
}

struct Check<'a> {
    patterns: &'a Patterns,
    errors: Vec<String>,
}

impl Check<'_> {
    fn node(&mut self, schema: &Value, value: &Value, path: &str) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if !self.type_of(schema, value, path) {
            return;
        }
        self.enumeration(schema, value, path);
        match value {
            Value::String(text) => self.string(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Array(items) => self.array(schema, items, path),
            Value::Object(_) => self.object(schema, value, path),
            Value::Null | Value::Bool(_) => {}
        }
        self.junctors(schema, value, path);
    }

    fn invalid(&mut self, path: &str, value: &Value, says: &str) {
        self.errors.push(format!("{path}: Invalid value: {value}: {path} in body {says}"));
    }

    /// False when the type is wrong: nothing else about the value is worth saying then.
    fn type_of(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        if schema["x-kubernetes-int-or-string"] == true {
            return value.is_string() || value.is_i64() || value.is_u64();
        }
        let Some(wanted) = schema["type"].as_str() else { return true };
        let (is, fits) = match value {
            Value::Null => ("null", false),
            Value::Bool(_) => ("boolean", wanted == "boolean"),
            Value::String(_) => ("string", wanted == "string"),
            Value::Array(_) => ("array", wanted == "array"),
            Value::Object(_) => ("object", wanted == "object"),
            Value::Number(number) if is_whole(number) => ("integer", wanted == "integer" || wanted == "number"),
            Value::Number(_) => ("number", wanted == "number"),
        };
        if !fits {
            self.errors.push(format!("{path}: Invalid value: \"{is}\": {path} in body must be of type {wanted}: \"{is}\""));
        }
        fits
    }

    fn enumeration(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(words) = schema["enum"].as_array() else { return };
        if !words.contains(value) {
            let words = words.iter().filter(|word| !word.is_null()).map(Value::to_string).collect::<Vec<_>>().join(", ");
            self.errors.push(format!("{path}: Unsupported value: {value}: supported values: {words}"));
        }
    }

    fn string(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        let value = Value::from(text);
        if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
            self.invalid(path, &value, &format!("should be at least {least} chars long"));
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            self.errors.push(format!("{path}: Too long: may not be more than {most} bytes"));
        }
        if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| !self.patterns.matches(pattern, text)) {
            self.invalid(path, &value, &format!("should match '{pattern}'"));
        }
        let fits = match schema["format"].as_str() {
            Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
            Some("date") => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Some("uuid") => uuid::Uuid::parse_str(text).is_ok() && !text.contains(['{', ':']),
            _ => true,
        };
        if !fits {
            self.invalid(path, &value, &format!("must be of type {}: {value}", schema["format"].as_str().unwrap_or_default()));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str) {
        let value = if number.fract() == 0.0 { Value::from(number as i64) } else { Value::from(number) };
        if let Some(least) = schema["minimum"].as_f64() {
            let beyond = schema["exclusiveMinimum"] == true;
            if number < least || (beyond && number <= least) {
                self.invalid(path, &value, &format!("should be greater than {}{least}", if beyond { "" } else { "or equal to " }));
            }
        }
        if let Some(most) = schema["maximum"].as_f64() {
            let beyond = schema["exclusiveMaximum"] == true;
            if number > most || (beyond && number >= most) {
                self.invalid(path, &value, &format!("should be less than {}{most}", if beyond { "" } else { "or equal to " }));
            }
        }
        if let Some(step) = schema["multipleOf"].as_f64().filter(|step| (number / step).fract() != 0.0) {
            self.invalid(path, &value, &format!("should be a multiple of {step}"));
        }
        if schema["format"] == "int32" && (number < f64::from(i32::MIN) || number > f64::from(i32::MAX)) {
            self.invalid(path, &value, "should be a(n) int32");
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], path: &str) {
        let length = items.len() as u64;
        if let Some(least) = schema["minItems"].as_u64().filter(|least| length < *least) {
            self.errors.push(format!("{path}: Invalid value: {length}: {path} in body should have at least {least} items"));
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| length > *most) {
            self.errors.push(format!("{path}: Too many: {length}: must have at most {most} items"));
        }
        self.duplicates(schema, items, path);
        if schema["items"].is_object() {
            for (index, item) in items.iter().enumerate() {
                self.node(&schema["items"], item, &format!("{path}[{index}]"));
            }
        }
    }

    /// `listType: set` and `map` hold no two items with the same value, or key.
    fn duplicates(&mut self, schema: &Value, items: &[Value], path: &str) {
        let keys: Vec<Value> = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => items.to_vec(),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().map(Vec::as_slice).unwrap_or_default();
                let names = keys.iter().filter_map(Value::as_str);
                items.iter().map(|item| names.clone().map(|name| (name.to_owned(), item[name].clone())).collect()).collect()
            }
            _ => return,
        };
        for (index, key) in keys.iter().enumerate().filter(|(index, key)| keys[..*index].contains(key)) {
            self.errors.push(format!("{path}[{index}]: Duplicate value: {key}"));
        }
    }

    fn object(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(fields) = value.as_object() else { return };
        let count = fields.len() as u64;
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.errors.push(format!("{}: Required value", child(path, name)));
            }
        }
        if let Some(least) = schema["minProperties"].as_u64().filter(|least| count < *least) {
            self.errors.push(format!("{path}: Invalid value: {count}: {path} in body should have at least {least} properties"));
        }
        if let Some(most) = schema["maxProperties"].as_u64().filter(|most| count > *most) {
            self.errors.push(format!("{path}: Too many: {count}: must have at most {most} items"));
        }
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(property) => self.node(property, field, &child(path, name)),
                None if schema["additionalProperties"].is_object() => {
                    self.node(&schema["additionalProperties"], field, &child(path, name));
                }
                None => {}
            }
        }
    }

    fn junctors(&mut self, schema: &Value, value: &Value, path: &str) {
        for branch in schema["allOf"].as_array().into_iter().flatten() {
            self.node(branch, value, path);
        }
        let valid = |branches: &Value| branches.as_array().map(|all| all.iter().filter(|one| self.accepts(one, value)).count());
        let (any, one) = (valid(&schema["anyOf"]), valid(&schema["oneOf"]));
        if any == Some(0) {
            self.errors.push(format!("{path}: Invalid value: \"{path}\" must validate at least one schema (anyOf)"));
        }
        if let Some(found) = one.filter(|found| *found != 1) {
            let found = if found == 0 { "none".to_owned() } else { found.to_string() };
            self.errors
                .push(format!("{path}: Invalid value: \"{path}\" must validate one and only one schema (oneOf). Found {found} valid"));
        }
        if schema["not"].is_object() && self.accepts(&schema["not"], value) {
            self.errors.push(format!("{path}: Invalid value: \"{path}\" must not validate the schema (not)"));
        }
    }

    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        errors(self.patterns, schema, value).is_empty()
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// `path.name`, or `name` at the root.
pub(super) fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(schema: Value, value: Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"x": schema}});
        errors(&Patterns::of(&schema).expect("patterns"), &schema, &json!({"x": value}))
    }

    #[test]
    fn every_kind_of_bound_refuses_what_is_outside_and_admits_what_is_inside() {
        let cases = [
            (
                json!({"type": "integer"}),
                json!("a"),
                json!(1),
                r#"x: Invalid value: "string": x in body must be of type integer: "string""#,
            ),
            (
                json!({"type": "integer"}),
                json!(1.5),
                json!(2.0),
                r#"x: Invalid value: "number": x in body must be of type integer: "number""#,
            ),
            (
                json!({"type": "string", "enum": ["A", "B"]}),
                json!("C"),
                json!("A"),
                r#"x: Unsupported value: "C": supported values: "A", "B""#,
            ),
            (
                json!({"type": "integer", "minimum": 1.0}),
                json!(0),
                json!(1),
                "x: Invalid value: 0: x in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "integer", "maximum": 5.0}),
                json!(6),
                json!(5),
                "x: Invalid value: 6: x in body should be less than or equal to 5",
            ),
            (
                json!({"type": "integer", "multipleOf": 5.0}),
                json!(6),
                json!(10),
                "x: Invalid value: 6: x in body should be a multiple of 5",
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("é"),
                json!("éé"),
                r#"x: Invalid value: "é": x in body should be at least 2 chars long"#,
            ),
            (json!({"type": "string", "maxLength": 2}), json!("abc"), json!("éé"), "x: Too long: may not be more than 2 bytes"),
            (
                json!({"type": "string", "pattern": "^a+$"}),
                json!("b"),
                json!("aa"),
                r#"x: Invalid value: "b": x in body should match '^a+$'"#,
            ),
            (json!({"type": "array", "maxItems": 1}), json!([1, 2]), json!([1]), "x: Too many: 2: must have at most 1 items"),
            (json!({"type": "array", "minItems": 1}), json!([]), json!([1]), "x: Invalid value: 0: x in body should have at least 1 items"),
            (json!({"type": "array", "x-kubernetes-list-type": "set"}), json!([1, 1]), json!([1, 2]), "x[1]: Duplicate value: 1"),
            (json!({"type": "object", "required": ["y"]}), json!({}), json!({"y": 1}), "x.y: Required value"),
            (
                json!({"type": "object", "maxProperties": 1}),
                json!({"a": 1, "b": 2}),
                json!({"a": 1}),
                "x: Too many: 2: must have at most 1 items",
            ),
            (
                json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({}),
                json!({"b": 1}),
                r#"x: Invalid value: "x" must validate at least one schema (anyOf)"#,
            ),
            (
                json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({"a": 1, "b": 1}),
                json!({"b": 1}),
                r#"x: Invalid value: "x" must validate one and only one schema (oneOf). Found 2 valid"#,
            ),
            (
                json!({"not": {"required": ["a"]}}),
                json!({"a": 1}),
                json!({}),
                r#"x: Invalid value: "x" must not validate the schema (not)"#,
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("noon"),
                json!("2026-03-01T00:00:00Z"),
                r#"x: Invalid value: "noon": x in body must be of type date-time: "noon""#,
            ),
            (json!({"type": "string"}), json!(null), json!(""), r#"x: Invalid value: "null": x in body must be of type string: "null""#),
        ];
        for (schema, bad, good, message) in cases {
            assert_eq!(says(schema.clone(), bad.clone()), [message], "{bad} under {schema}");
            assert_eq!(says(schema.clone(), good.clone()), [""; 0], "{good} under {schema}");
        }
    }

    #[test]
    fn two_items_of_a_map_list_may_not_share_their_key() {
        let schema = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]});
        assert_eq!(says(schema.clone(), json!([{"type": "A", "n": 1}, {"type": "A", "n": 2}])), [r#"x[1]: Duplicate value: {"type":"A"}"#]);
        assert_eq!(says(schema, json!([{"type": "A"}, {"type": "B"}])), [""; 0]);
    }

    #[test]
    fn errors_are_found_inside_lists_and_maps() {
        let schema = json!({"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}});
        assert_eq!(
            says(schema, json!([{}, {"k": "v"}])),
            [r#"x[1].k: Invalid value: "string": x[1].k in body must be of type integer: "string""#]
        );
    }
}
