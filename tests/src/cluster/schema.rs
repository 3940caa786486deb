//! The CRDs of the pretend API server: defaults, pruning, validation, CEL with transition rules.
//!
//! kube-cel evaluates the rules. Two things are ours because kube-cel 0.8 differs from the server there: its `apply_defaults`
//! does not look inside a default that it just filled in, and does not drop nulls; it reports errors in the order of a
//! `HashMap`, so ours are sorted. Like it, we match old and new items of a list by index, which for `listType: map` is not
//! what the server does.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::{CompiledSchema, compile_schema, validate_compiled};
use serde_json::{Map, Value};

use super::openapi::{self, Patterns, child};

/// Whether objects of a kind live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

/// The kinds that have a CRD.
#[derive(Clone, Debug, Default)]
pub struct Schemas(std::sync::Arc<BTreeMap<String, KindSchema>>);

/// One kind, in the version that is stored.
#[derive(Debug)]
pub struct KindSchema {
    /// `group/version`.
    pub api_version: String,
    /// The API group.
    pub group: String,
    /// Where its objects live.
    pub scope: Scope,
    /// Whether `status` is a subresource, so that writes of the object leave it alone and the other way round.
    pub status_apart: bool,
    schema: Value,
    patterns: Patterns,
    rules: CompiledSchema,
    /// The rules that do not lie below `spec`.
    rules_beside_spec: Option<CompiledSchema>,
    /// The fields of status that these rules read; empty where that may be all of it.
    read_of_status: Vec<String>,
}

impl Schemas {
    /// Reads the CRDs and compiles their patterns and rules.
    ///
    /// # Errors
    /// When a CRD has no stored version or no schema, or a pattern or rule does not compile.
    pub fn new(crds: &[CustomResourceDefinition]) -> anyhow::Result<Self> {
        let kinds = crds.iter().map(|crd| {
            let kind = crd.spec.names.kind.clone();
            KindSchema::new(crd).with_context(|| format!("CRD of {kind}")).map(|schema| (kind, schema))
        });
        Ok(Self(std::sync::Arc::new(kinds.collect::<anyhow::Result<_>>()?)))
    }

    /// The schema of a kind; none when it has no CRD here.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<&KindSchema> {
        self.0.get(kind)
    }
}

impl KindSchema {
    fn new(crd: &CustomResourceDefinition) -> anyhow::Result<Self> {
        let version = crd.spec.versions.iter().find(|version| version.storage).ok_or_else(|| anyhow!("no version is stored"))?;
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).ok_or_else(|| anyhow!("no schema"))?;
        let schema = serde_json::to_value(schema)?;
        let (rules, rules_beside_spec) = (compile_schema(&schema), beside_spec(&schema).as_ref().map(compile_schema));
        let read_of_status = read_of_status(&schema);
        let broken: Vec<String> = rules_beside_spec.iter().chain([&rules]).flat_map(|rules| broken_rules(rules, "")).collect();
        if !broken.is_empty() {
            bail!("rules that do not compile: {}", broken.join("; "));
        }
        Ok(Self {
            api_version: format!("{}/{}", crd.spec.group, version.name),
            group: crd.spec.group.clone(),
            scope: if crd.spec.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
            status_apart: version.subresources.as_ref().is_some_and(|apart| apart.status.is_some()),
            patterns: Patterns::of(&schema)?,
            schema,
            rules,
            rules_beside_spec,
            read_of_status,
        })
    }

    /// What the server does to an object that it decodes: drops unknown fields (and names them here), drops nulls that the
    /// schema does not allow, fills in defaults, also inside defaults.
    #[must_use]
    pub fn prepare(&self, object: &mut Value) -> Vec<String> {
        let mut pruned = Vec::new();
        let mut kept = Map::new();
        if let Some(fields) = object.as_object_mut() {
            for name in ["apiVersion", "kind", "metadata"] {
                kept.extend(fields.remove_entry(name));
            }
        }
        prune(&self.schema, object, "", &mut pruned);
        default(&self.schema, object);
        if let Some(fields) = object.as_object_mut() {
            fields.extend(kept);
        }
        pruned
    }

    /// Checks bounds, then rules; `old` is the object as stored, for transition rules. What was wrong in it already and is
    /// still the same is let pass, as servers do since 1.33 (CRDValidationRatcheting).
    ///
    /// # Errors
    /// The server's sentence, with every field that is wrong.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Result<(), String> {
        let mut errors = openapi::errors(&self.patterns, &self.schema, object);
        if let Some(old) = old.filter(|_| !errors.is_empty()) {
            let before = openapi::errors(&self.patterns, &self.schema, old);
            errors.retain(|error| !before.contains(error));
            if errors.is_empty() {
                return Ok(());
            }
        }
        // What a rule says of a spec that stays as it is has been let pass before: most writes are of a status.
        let rules = match old {
            Some(old) if old["spec"] == object["spec"] => self.rules_beside_spec.as_ref().filter(|_| self.reads_what_differs(object, old)),
            _ => Some(&self.rules),
        };
        // The server evaluates no rule over values that break the schema.
        if errors.is_empty()
            && let Some(rules) = rules
            && let Err(broken) = validate_compiled(rules, object, old)
        {
            errors = broken
                .iter()
                .map(|rule| {
                    let what = match rule.reason.as_deref() {
                        Some("FieldValueForbidden") => "Forbidden",
                        Some("FieldValueRequired") => "Required value",
                        Some("FieldValueDuplicate") => "Duplicate value",
                        _ => "Invalid value",
                    };
                    let path = if rule.field_path.is_empty() { "<nil>" } else { &rule.field_path };
                    format!("{path}: {what}: {}", rule.message)
                })
                .collect();
            errors.sort();
        }
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(object, &errors)) }
    }

    fn reads_what_differs(&self, object: &Value, old: &Value) -> bool {
        let differs = |field: &String| object["status"].get(field) != old["status"].get(field);
        self.read_of_status.is_empty() || self.read_of_status.iter().any(differs)
    }

    fn invalid(&self, object: &Value, errors: &[String]) -> String {
        invalid(&self.group, object, errors)
    }
}

/// The schema with a spec of which nothing is known; none where no rule is left that could say something of a status.
fn beside_spec(schema: &Value) -> Option<Value> {
    let mut schema = schema.clone();
    if let Some(spec) = schema.pointer_mut("/properties/spec") {
        *spec = serde_json::json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    }
    let has_rules = |part: &Value| part.to_string().contains(RULES);
    let of_whole = schema.get(RULES).is_some_and(|rules| rules.to_string().contains("self.status"));
    (of_whole || schema.get("properties").is_some_and(has_rules)).then_some(schema)
}

/// The fields of status that the rules of the whole object name, where no other rule is left that could say something of it.
fn read_of_status(schema: &Value) -> Vec<String> {
    let apart = |(name, part): (&String, &Value)| name == "spec" || !part.to_string().contains(RULES);
    let is_root = schema["properties"].as_object().is_some_and(|parts| parts.iter().all(apart));
    let rules = schema.get(RULES).map(ToString::to_string).unwrap_or_default();
    let named = rules.split("self.status.").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
    if is_root { named.flatten().map(str::to_owned).collect() } else { Vec::new() }
}

/// Where a schema holds its rules in CEL.
const RULES: &str = "x-kubernetes-validations";

/// `Kind.group "name" is invalid: ...`, as the server says it.
pub(super) fn invalid(group: &str, object: &Value, errors: &[String]) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    let said = if errors.len() == 1 { errors[0].clone() } else { format!("[{}]", errors.join(", ")) };
    format!("{kind}{dot}{group} \"{name}\" is invalid: {said}")
}

fn broken_rules(rules: &CompiledSchema, path: &str) -> Vec<String> {
    let mut broken: Vec<String> = rules.compilation_errors().iter().map(|error| format!("{path}: {error:?}")).collect();
    let properties: BTreeMap<_, _> = rules.properties.iter().collect();
    broken.extend(properties.into_iter().flat_map(|(name, inner)| broken_rules(inner, &child(path, name))));
    let below = rules.items.iter().chain(rules.additional_properties.iter());
    broken.extend(below.flat_map(|inner| broken_rules(inner, &format!("{path}[]"))));
    broken
}

fn prune(schema: &Value, value: &mut Value, path: &str, pruned: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let keep_unknown = schema["x-kubernetes-preserve-unknown-fields"] == true || schema["additionalProperties"] == true;
            let every = schema.get("additionalProperties").filter(|every| every.is_object());
            fields.retain(|name, field| {
                let path = child(path, name);
                match schema["properties"].get(name).or(every) {
                    Some(property) => prune(property, field, &path, pruned),
                    None if keep_unknown => {}
                    None => {
                        pruned.push(path);
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter_mut().enumerate() {
                prune(&schema["items"], item, &format!("{path}[{index}]"), pruned);
            }
        }
        _ => {}
    }
}

fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let every = schema.get("additionalProperties").filter(|every| every.is_object());
            fields.retain(|name, field| {
                let property = schema["properties"].get(name).or(every);
                !(field.is_null() && property.is_some_and(|property| property["nullable"] != true))
            });
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(filled) = property.get("default").filter(|_| !fields.contains_key(name)) {
                    fields.insert(name.clone(), filled.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                if let Some(property) = schema["properties"].get(name).or(every) {
                    default(property, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| default(&schema["items"], item)),
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A kind with everything that the rules of this module speak of.
    pub(in crate::cluster) fn gadget_crd() -> CustomResourceDefinition {
        serde_json::from_value(json!({
            "metadata": {"name": "gadgets.test.example"},
            "spec": {
                "group": "test.example", "scope": "Namespaced",
                "names": {"kind": "Gadget", "plural": "gadgets"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "spec": {
                            "type": "object", "required": ["size"],
                            "x-kubernetes-validations": [{"rule": "self.size <= self.limit", "message": "size is at most limit"}],
                            "properties": {
                                "size": {"type": "integer", "minimum": 1},
                                "limit": {"type": "integer", "default": 10},
                                "place": {"type": "string", "x-kubernetes-validations": [
                                    {"rule": "self == oldSelf", "message": "place does not move", "reason": "FieldValueForbidden"}]},
                                "note": {"type": "string", "nullable": true},
                                "options": {"type": "object", "default": {}, "properties": {"speed": {"type": "string", "default": "Slow"}}},
                                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
                            }
                        },
                        "status": {
                            "type": "object", "default": {"observedGeneration": -1},
                            "properties": {
                                "observedGeneration": {"type": "integer", "default": -1},
                                "seen": {"type": "array", "items": {"type": "string"}},
                                "choices": {"type": "object", "additionalProperties": {"type": "string"}}
                            }
                        }
                    }
                }}}]
            }
        }))
        .expect("a CRD")
    }

    fn prepared(spec: Value) -> (Value, Vec<String>) {
        let schemas = Schemas::new(&[gadget_crd()]).expect("compiles");
        let mut object = json!({"apiVersion": "test.example/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": spec});
        let pruned = schemas.of("Gadget").expect("known").prepare(&mut object);
        (object, pruned)
    }

    fn verdict(spec: Value, old: Option<Value>) -> Result<(), String> {
        let schemas = Schemas::new(&[gadget_crd()]).expect("compiles");
        let old = old.map(|old| prepared(old).0);
        schemas.of("Gadget").expect("known").validate(&prepared(spec).0, old.as_ref())
    }

    #[test]
    fn defaults_fill_in_also_inside_defaults_and_replace_nulls() {
        let (object, _) = prepared(json!({"size": 1, "limit": null, "note": null, "place": null}));
        assert_eq!(object["spec"], json!({"size": 1, "limit": 10, "note": null, "options": {"speed": "Slow"}}));
        assert_eq!(object["status"], json!({"observedGeneration": -1}));
        assert_eq!(object["metadata"], json!({"name": "g"}));
    }

    #[test]
    fn unknown_fields_are_dropped_unless_the_schema_keeps_them() {
        let (object, pruned) = prepared(json!({"size": 1, "sizes": 2, "labels": {"any": "x"}, "free": {"any": {"at": "all"}}}));
        assert_eq!(pruned, ["spec.sizes"]);
        assert_eq!(object["spec"]["labels"], json!({"any": "x"}));
        assert_eq!(object["spec"]["free"], json!({"any": {"at": "all"}}));
    }

    #[test]
    fn a_rule_sees_defaults_and_its_message_is_passed_on() {
        assert_eq!(verdict(json!({"size": 10}), None), Ok(()));
        let refused = verdict(json!({"size": 11}), None).expect_err("too big");
        assert_eq!(refused, "Gadget.test.example \"g\" is invalid: spec: Invalid value: size is at most limit");
    }

    #[test]
    fn bounds_come_before_rules_and_all_broken_fields_are_named() {
        let refused = verdict(json!({"size": 0, "limit": -1, "note": 5}), None).expect_err("three wrongs");
        assert!(refused.contains("[spec.note: ") && refused.contains("spec.size: ") && !refused.contains("at most limit"), "{refused}");
    }

    #[test]
    fn a_transition_rule_speaks_only_of_changes() {
        assert_eq!(verdict(json!({"size": 1, "place": "here"}), None), Ok(()), "on create there is no old self");
        assert_eq!(verdict(json!({"size": 2, "place": "here"}), Some(json!({"size": 1, "place": "here"}))), Ok(()));
        let moved = verdict(json!({"size": 1, "place": "there"}), Some(json!({"size": 1, "place": "here"}))).expect_err("moved");
        assert!(moved.ends_with("spec.place: Forbidden: place does not move"), "{moved}");
    }

    #[test]
    fn a_spec_that_stays_as_it_is_passes_its_rules_and_not_those_of_the_whole_object() {
        let broken = json!({"size": 50, "limit": 10});
        verdict(broken.clone(), None).expect_err("it is new");
        verdict(broken.clone(), Some(broken)).expect("as servers ratchet");
        let mut crd = serde_json::to_value(gadget_crd()).expect("json");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
            json!([{"rule": "!has(self.status) || !has(self.status.seen) || self.spec.size < 5", "message": "too large to be seen"}]);
        let schemas = Schemas::new(&[serde_json::from_value(crd).expect("a CRD")]).expect("compiles");
        let old = prepared(json!({"size": 7})).0;
        let mut new = old.clone();
        new["status"]["seen"] = json!(["a"]);
        let told = schemas.of("Gadget").expect("known").validate(&new, Some(&old)).expect_err("too large");
        assert!(told.contains("too large to be seen"), "{told}");
    }

    #[test]
    fn a_rule_that_does_not_compile_is_told_at_the_start() {
        let mut crd = serde_json::to_value(gadget_crd()).expect("json");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"]["x-kubernetes-validations"] =
            json!([{"rule": "self >"}]);
        let error = Schemas::new(&[serde_json::from_value(crd).expect("a CRD")]).expect_err("broken");
        assert!(format!("{error:#}").contains("CRD of Gadget: rules that do not compile: spec.size"), "{error:#}");
    }
}
