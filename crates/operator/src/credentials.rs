//! Where the secrets of an identity come from: tokens of ServiceAccounts and Secrets, both in the operator's namespace only.
//!
//! Nothing here prints a secret: errors name the object that was asked, and the type that holds a token has no `Debug`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use breakwater_arm_http::CredentialSource;
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::Instant;

/// Whom the token is for: what Entra asks of a federated credential.
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// How long a token is asked for. The API server may give less, or more.
const LIFE: Duration = Duration::from_secs(3600);
/// The part of its life after which a token is asked for anew, in percent.
const RENEW_AT_PERCENT: u32 = 80;

/// Kubernetes as the source of Azure credentials.
pub struct KubeCredentials {
    client: Client,
    namespace: String,
    tokens: Mutex<HashMap<String, Token>>,
}

struct Token {
    text: String,
    renew_at: Instant,
}

impl KubeCredentials {
    /// Asks through `client`, in the operator's own namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        KubeCredentials { client, namespace: namespace.to_owned(), tokens: Mutex::default() }
    }

    fn cached(&self, service_account: &str) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(service_account).filter(|token| Instant::now() < token.renew_at).map(|token| token.text.clone())
    }
}

/// Why there is no credential. Names what was asked, never what it held.
#[derive(Debug, thiserror::Error)]
pub enum NoCredential {
    /// The token of a ServiceAccount could not be had.
    #[error("no token of ServiceAccount {namespace}/{name}: {reason}")]
    Token {
        /// The operator's namespace.
        namespace: String,
        /// The ServiceAccount.
        name: String,
        /// The API server's words.
        reason: String,
    },
    /// A Secret could not be read.
    #[error("no Secret {namespace}/{name}: {reason}")]
    Secret {
        /// The operator's namespace.
        namespace: String,
        /// The Secret.
        name: String,
        /// The API server's words.
        reason: String,
    },
    /// The Secret is there and the key is not, or is no text.
    #[error("Secret {namespace}/{name} has no text under the key {key}")]
    Key {
        /// The operator's namespace.
        namespace: String,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
}

impl KubeCredentials {
    /// A token of a ServiceAccount that Entra accepts as a federated credential; the same one until 80 % of its life is over.
    ///
    /// # Errors
    /// When the API server gives none: no such ServiceAccount, or no right to `serviceaccounts/token` of it.
    pub async fn service_account_token(&self, service_account: &str) -> Result<String, NoCredential> {
        if let Some(token) = self.cached(service_account) {
            return Ok(token);
        }
        let asked = Instant::now();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: i64::try_from(LIFE.as_secs()).ok(),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let none = |reason: String| NoCredential::Token { namespace: self.namespace.clone(), name: service_account.to_owned(), reason };
        let answer = accounts.create_token_request(service_account, &PostParams::default(), &request).await.map_err(|e| none(words(&e)))?;
        let status = answer.status.ok_or_else(|| none("the answer has no status".to_owned()))?;
        let left = status.expiration_timestamp.0.duration_since(Timestamp::now());
        // The life is counted on the monotonic clock from before the question; a machine whose clock is off renews too early
        // or trusts the life it asked for, and never a token for longer than that.
        let life = Duration::try_from(left).unwrap_or_default().min(LIFE);
        let token = Token { text: status.token, renew_at: asked + life * RENEW_AT_PERCENT / 100 };
        let text = token.text.clone();
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(service_account.to_owned(), token);
        Ok(text)
    }

    /// The text under a key of a Secret, read anew each time: a rotated secret counts from the next token on.
    ///
    /// # Errors
    /// When the Secret cannot be read, or has no such key, or no text there.
    pub async fn secret_text(&self, name: &str, key: &str) -> Result<String, NoCredential> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let (namespace, name, key) = (self.namespace.clone(), name.to_owned(), key.to_owned());
        let mut secret = match secrets.get(&name).await {
            Ok(secret) => secret,
            Err(error) => return Err(NoCredential::Secret { namespace, name, reason: words(&error) }),
        };
        let bytes = secret.data.as_mut().and_then(|data| data.remove(&key)).map(|bytes| bytes.0);
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        text.filter(|text| !text.is_empty()).ok_or(NoCredential::Key { namespace, name, key })
    }
}

#[async_trait]
impl CredentialSource for KubeCredentials {
    async fn federated_token(&self, service_account: &str) -> Result<String, String> {
        self.service_account_token(service_account).await.map_err(|none| none.to_string())
    }

    async fn client_secret(&self, name: &str, key: &str) -> Result<String, String> {
        self.secret_text(name, key).await.map_err(|none| none.to_string())
    }
}

/// An error's words. An answer that could not be read is not quoted: it may hold what was asked for.
fn words(error: &kube::Error) -> String {
    match error {
        // What is granted by name (deploy/kustomize/access/role.yaml) says which list to add it to.
        kube::Error::Api(status) if status.code == 403 => {
            "the operator may not use it: add its name to the resourceNames of the Role breakwater-operator in the operator's namespace"
                .to_owned()
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => "the answer could not be read".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        Json, Router,
        routing::{get, post},
    };
    use serde_json::{Value, json};

    use super::*;

    fn cluster(asked: &Arc<AtomicUsize>) -> KubeCredentials {
        let asked = asked.clone();
        let app = Router::new()
            .route(
                "/api/v1/namespaces/breakwater/serviceaccounts/azure/token",
                post(move |Json(request): Json<Value>| async move {
                    let n = asked.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(request["spec"]["audiences"], json!(["api://AzureADTokenExchange"]));
                    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap();
                    let until = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
                    Json(json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": request["spec"],
                        "status": { "token": format!("token-{n}"), "expirationTimestamp": until.to_string() } }))
                }),
            )
            .route(
                "/api/v1/namespaces/breakwater/secrets/app",
                get(|| async {
                    Json(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "app" },
                        "data": { "secret": "aHVudGVyMgo=", "empty": "", "bytes": "/////w==" } }))
                }),
            );
        KubeCredentials::new(Client::new(app, "default"), "breakwater")
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_again_after_most_of_its_life() {
        let asked = Arc::default();
        let credentials = cluster(&asked);
        assert_eq!(credentials.service_account_token("azure").await.unwrap(), "token-0");
        tokio::time::advance(Duration::from_secs(47 * 60)).await;
        assert_eq!(credentials.service_account_token("azure").await.unwrap(), "token-0");
        tokio::time::advance(Duration::from_secs(2 * 60)).await;
        assert_eq!(credentials.service_account_token("azure").await.unwrap(), "token-1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_secret_is_its_text_without_the_newline_of_the_editor() {
        let credentials = cluster(&Arc::default());
        assert_eq!(credentials.secret_text("app", "secret").await.unwrap(), "hunter2");
    }

    #[tokio::test]
    async fn errors_name_what_was_asked_and_hold_no_secret() {
        let credentials = cluster(&Arc::default());
        let cases = [
            (credentials.secret_text("app", "other").await.unwrap_err(), "breakwater/app has no text under the key other"),
            (credentials.secret_text("app", "empty").await.unwrap_err(), "the key empty"),
            (credentials.secret_text("app", "bytes").await.unwrap_err(), "the key bytes"),
            (credentials.secret_text("missing", "secret").await.unwrap_err(), "no Secret breakwater/missing"),
            (credentials.service_account_token("missing").await.unwrap_err(), "ServiceAccount breakwater/missing"),
        ];
        for (error, told) in cases {
            let text = format!("{error} {error:?}");
            assert!(text.contains(told), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("aHVudGVy"), "{text}");
        }
    }
}
