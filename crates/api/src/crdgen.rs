//! The CustomResourceDefinitions, made from the types. `crds/` holds what this module makes; a test fails when it is
//! stale.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;

use crate::{Approval, AzureAccess, BackupPolicy, BackupRun, ProtectedMachine, RecoveryVault, RestoreRun};

/// The largest definition we ship, in bytes of YAML: beyond it `kubectl apply` and etcd begin to hurt.
pub const MAX_BYTES: usize = 64 * 1024;

/// All definitions, in the order in which people meet the kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        AzureAccess::crd(),
        Approval::crd(),
        RecoveryVault::crd(),
        BackupPolicy::crd(),
        ProtectedMachine::crd(),
        BackupRun::crd(),
        RestoreRun::crd(),
    ]
    .into_iter()
    .map(finished)
    .collect()
}

/// The files of `crds/`: (name, content), `kustomization.yaml` last.
pub fn crd_files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = crds()
        .iter()
        .map(|crd| {
            let yaml = serde_saphyr::to_string(crd).expect("a definition is plain data");
            (format!("{}.yaml", crd.spec.names.plural), format!("# Generated from crates/api: cargo dev crds\n{yaml}"))
        })
        .collect();
    let list: String = files.iter().map(|(name, _)| format!("  - {name}\n")).collect();
    let kustomization = format!(
        "# Generated from crates/api: cargo dev crds\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{list}"
    );
    files.push(("kustomization.yaml".to_owned(), kustomization));
    files
}

/// What the derive cannot say: `status` begins as "not looked at yet", and an explicit null is no value (the API server
/// then drops or refuses it, instead of storing what `has()` and serde disagree about).
fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else { continue };
        without_null(root);
        if let Some(status) = root.properties.as_mut().and_then(|p| p.get_mut("status")) {
            let unseen = serde_json::json!({ "observedGeneration": -1 });
            status.default = Some(serde_json::from_value(unseen).expect("any JSON is a default"));
        }
    }
    crd
}

fn without_null(schema: &mut JSONSchemaProps) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
    schema.nullable = None;
    schema.title = None;
    if let Some(words) = &mut schema.enum_ {
        words.retain(|word| !word.0.is_null());
    }
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(without_null);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => without_null(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        without_null(value);
    }
}
