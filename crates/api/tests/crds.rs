//! The files in `crds/` are what the types say, small enough, and structural as the API server wants them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf};

use breakwater_api::crdgen::{MAX_BYTES, crd_files, crds};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

/// `cargo dev crds` writes through the same function; `BREAKWATER_WRITE_CRDS=1 cargo test -p breakwater-api --test crds` does too.
#[test]
fn the_files_in_crds_are_what_the_types_say() {
    let write = std::env::var_os("BREAKWATER_WRITE_CRDS").is_some();
    for (name, wanted) in crd_files() {
        let path = folder().join(&name);
        if write {
            fs::write(&path, &wanted).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "crds/{name} is stale: run `cargo dev crds` and commit what it writes");
    }
    let known: Vec<String> = crd_files().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "crds/{name} belongs to no kind: delete it");
    }
}

#[test]
fn every_definition_is_small_enough() {
    for (name, content) in crd_files() {
        assert!(content.len() <= MAX_BYTES, "{name} has {} bytes", content.len());
    }
}

/// Visits every schema below `schema`, with its path.
fn visit(path: &str, schema: &Value, see: &mut dyn FnMut(&str, &Value)) {
    see(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}.{name}"), property, see);
    }
    for (word, below) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[word].is_object() {
            visit(&format!("{path}{below}"), &schema[word], see);
        }
    }
}

fn every_schema(see: &mut dyn FnMut(&str, &Value)) {
    for crd in crds() {
        let value = serde_json::to_value(&crd).unwrap();
        let kind = value["spec"]["names"]["kind"].as_str().unwrap();
        visit(kind, &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"], see);
    }
}

#[test]
fn every_string_list_and_map_of_a_spec_is_bounded() {
    every_schema(&mut |path, schema| {
        // Kubernetes' own LabelSelector comes without bounds, and no rule of ours looks into it.
        if !path.contains(".spec.") || ["namespaces.selector", "allowedNamespaces.selector"].iter().any(|own| path.contains(own)) {
            return;
        }
        let bounded = match schema["type"].as_str() {
            Some("string") => schema["maxLength"].is_number() || schema["enum"].is_array() || schema["format"] == "date-time",
            Some("array") => schema["maxItems"].is_number(),
            Some("object") => schema["additionalProperties"].is_null() || schema["maxProperties"].is_number(),
            Some("integer") => schema["minimum"].is_number() && schema["maximum"].is_number(),
            _ => true,
        };
        assert!(bounded, "{path} has no bound: {schema}");
    });
}

#[test]
fn kubectl_explain_has_a_sentence_for_every_field() {
    every_schema(&mut |path, schema| {
        let inner = path.ends_with("[]") || path.ends_with("{}") || path.ends_with(".metadata");
        let described = schema["description"].as_str().is_some_and(|d| d.ends_with(['.', ',']) || d.len() > 10);
        assert!(inner || described, "{path} has no description");
    });
}

#[test]
fn no_schema_uses_what_the_api_server_refuses_or_ignores() {
    every_schema(&mut |path, schema| {
        for word in ["anyOf", "oneOf", "nullable", "$ref", "title"] {
            assert!(schema.get(word).is_none(), "{path} has {word}");
        }
        let format = schema["format"].as_str();
        assert!(matches!(format, None | Some("date-time" | "int32" | "int64")), "{path} has format {format:?}");
        let typed = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
        assert!(typed, "{path} has no type: {schema}");
    });
}

#[test]
fn an_object_begins_as_not_yet_observed() {
    for crd in crds() {
        let value = serde_json::to_value(&crd).unwrap();
        let status = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        if !status.is_null() {
            assert_eq!(status["default"], serde_json::json!({ "observedGeneration": -1 }));
            assert_eq!(status["properties"]["conditions"]["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
        }
    }
}
