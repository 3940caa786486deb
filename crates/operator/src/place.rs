//! Who and where this process is: its namespace, the writer it signs vaults as, and a name no other process has.

use std::path::Path;

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

/// Where the kubelet writes a pod's namespace.
const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The operator's own namespace: the flag, else `$POD_NAMESPACE`, else the in-cluster file, else the client's default.
pub fn namespace(flag: Option<&str>, client_default: &str) -> String {
    first_namespace(flag, std::env::var("POD_NAMESPACE").ok().as_deref(), Path::new(IN_CLUSTER), client_default)
}

fn first_namespace(flag: Option<&str>, pod: Option<&str>, file: &Path, client_default: &str) -> String {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
    let from_file = || std::fs::read_to_string(file).ok().as_deref().and_then(given);
    flag.and_then(given).or_else(|| pod.and_then(given)).or_else(from_file).unwrap_or_else(|| client_default.to_owned())
}

/// Who writes: the flag, else the uid of kube-system (api.md, "Whose is it?").
///
/// # Errors
/// When the namespace cannot be read; the text says which flag to set instead.
pub async fn writer(flag: Option<&str>, client: &Client) -> anyhow::Result<String> {
    if let Some(given) = flag {
        return Ok(given.to_owned());
    }
    let system = Api::<Namespace>::all(client.clone()).get("kube-system").await;
    let system = system.context(
        "cannot read the namespace kube-system, whose uid signs this cluster's vaults: check the connection and RBAC, or state --writer",
    )?;
    system.metadata.uid.context("the namespace kube-system has no uid: state --writer")
}

/// The name this process signs its Lease with: the flag or the host's name, and a random suffix, because two processes
/// of one name would both believe that the lease is theirs.
pub fn identity(flag: Option<&str>) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|h| h.trim().to_owned()).filter(|h| !h.is_empty());
    let name = flag.map(str::to_owned).or_else(host).unwrap_or_else(|| "breakwater-operator".to_owned());
    let mut name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    name.push('_');
    name.push_str(&uuid::Uuid::new_v4().simple().to_string());
    name
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nearest_statement_of_the_namespace_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("namespace");
        let missing = folder.path().join("missing");
        std::fs::write(&file, "from-file\n").unwrap();
        assert_eq!(first_namespace(Some("flag"), Some("pod"), &file, "default"), "flag");
        assert_eq!(first_namespace(None, Some("pod"), &file, "default"), "pod");
        assert_eq!(first_namespace(None, Some(""), &file, "default"), "from-file");
        assert_eq!(first_namespace(None, None, &missing, "default"), "default");
    }

    #[test]
    fn two_processes_never_share_an_identity() {
        let (one, two) = (identity(Some("pod-1")), identity(Some("pod-1")));
        assert!(one.starts_with("pod-1_") && two.starts_with("pod-1_"));
        assert_ne!(one, two);
        assert!(identity(Some(&"x".repeat(500))).len() <= 128);
    }

    #[tokio::test]
    async fn the_writer_is_the_uid_of_kube_system_unless_stated() {
        let app = Router::new().route(
            "/api/v1/namespaces/kube-system",
            get(|| async { Json(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "8d3f"}})) }),
        );
        let client = Client::new(app, "default");
        assert_eq!(writer(None, &client).await.unwrap(), "8d3f");
        assert_eq!(writer(Some("other"), &client).await.unwrap(), "other");
        let error = writer(None, &Client::new(Router::new(), "default")).await.unwrap_err();
        assert!(error.to_string().contains("--writer"), "{error}");
    }
}
