//! Tokens: one azure_identity credential per identity, and errors that name the AADSTS code and nothing secret.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::{Secret, TokenCredential},
    error::ErrorKind,
    http::{ClientMethodOptions, ClientOptions, HttpClient},
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use breakwater_arm::redacted;
use breakwater_engine::ports::{Credential, Identity, SendError};
use tokio::sync::Mutex;

use crate::{
    endpoints::{CloudEndpoints, Endpoints},
    transport::client_options,
};

/// What only the cluster can give: tokens of ServiceAccounts, and Secrets of the operator's namespace.
///
/// Errors are sentences for people; they must not hold what was asked for.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// A fresh token of a ServiceAccount in the operator's namespace, for the audience `api://AzureADTokenExchange`.
    async fn federated_token(&self, service_account: &str) -> Result<String, String>;
    /// The value of a key of a Secret in the operator's namespace.
    async fn client_secret(&self, name: &str, key: &str) -> Result<String, String>;
}

/// How long to wait for a token before giving up; the request itself has not left by then.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The credentials in use, by identity.
pub struct Tokens {
    endpoints: Endpoints,
    source: Arc<dyn CredentialSource>,
    http: Arc<dyn HttpClient>,
    credentials: Mutex<BTreeMap<Identity, Held>>,
}

#[derive(Clone)]
struct Held {
    credential: Arc<dyn TokenCredential>,
    /// Kept to keep it out of messages; its `Debug` shows nothing.
    secret: Option<Secret>,
}

/// Whether a credential was made for this call.
#[derive(Clone, Copy, PartialEq)]
enum Age {
    New,
    Kept,
}

impl Tokens {
    pub fn new(endpoints: Endpoints, source: Arc<dyn CredentialSource>, http: Arc<dyn HttpClient>) -> Self {
        Tokens { endpoints, source, http, credentials: Mutex::default() }
    }

    /// A token for ARM in the identity's cloud. azure_identity caches it until five minutes before its end.
    pub async fn get(&self, identity: &Identity) -> Result<Secret, SendError> {
        let work = self.get_or_renew(identity);
        match tokio::time::timeout(TOKEN_TIMEOUT, work).await {
            Ok(done) => done,
            Err(_) => Err(SendError::NotSent(format!("no token within {} s for {}", TOKEN_TIMEOUT.as_secs(), described(identity)))),
        }
    }

    /// Forgets a credential, with the token it caches: ARM did not take it, or it cannot be had.
    pub async fn forget(&self, identity: &Identity) {
        self.credentials.lock().await.remove(identity);
    }

    async fn get_or_renew(&self, identity: &Identity) -> Result<Secret, SendError> {
        let (held, age) = self.held(identity).await?;
        match self.token_of(identity, &held).await {
            Err(SendError::NoToken(why)) => {
                self.drop_if_held(identity, &held).await;
                // the Secret may have been rotated since it was read
                if held.secret.is_none() || age == Age::New {
                    return Err(SendError::NoToken(why));
                }
            }
            done => return done,
        }
        let (held, _) = self.held(identity).await?;
        let token = self.token_of(identity, &held).await;
        if matches!(token, Err(SendError::NoToken(_))) {
            self.drop_if_held(identity, &held).await;
        }
        token
    }

    /// The credential of an identity: one for all callers, so that its cache asks Entra once.
    async fn held(&self, identity: &Identity) -> Result<(Held, Age), SendError> {
        if let Some(held) = self.credentials.lock().await.get(identity) {
            return Ok((held.clone(), Age::Kept));
        }
        // outside the lock: a slow Secret must not hold up other identities
        let made = self.make(identity).await?;
        let mut credentials = self.credentials.lock().await;
        Ok((credentials.entry(identity.clone()).or_insert(made).clone(), Age::New))
    }

    /// A refused credential is made from a fresh Secret or file next time; one that somebody else renewed stays.
    async fn drop_if_held(&self, identity: &Identity, refused: &Held) {
        let mut credentials = self.credentials.lock().await;
        if credentials.get(identity).is_some_and(|held| Arc::ptr_eq(&held.credential, &refused.credential)) {
            credentials.remove(identity);
        }
    }

    async fn token_of(&self, identity: &Identity, held: &Held) -> Result<Secret, SendError> {
        let endpoints = self.endpoints.of(identity.cloud);
        match held.credential.get_token(&[endpoints.scope()], None).await {
            Ok(token) => Ok(token.token),
            Err(error) => Err(refusal(identity, held.secret.as_ref(), &error)),
        }
    }

    async fn make(&self, identity: &Identity) -> Result<Held, SendError> {
        let client_options = self.options(&self.endpoints.of(identity.cloud));
        let tenant_id = identity.tenant_id.clone();
        let mut secret = None;
        let made: azure_core::Result<Arc<dyn TokenCredential>> = match &identity.credential {
            Credential::Workload { client_id, service_account } => {
                let assertion = ServiceAccountToken { source: Arc::clone(&self.source), service_account: service_account.clone() };
                let options = ClientAssertionCredentialOptions { client_options };
                ClientAssertionCredential::new(tenant_id, client_id.clone(), assertion, Some(options)).map(|c| c as _)
            }
            Credential::Operator { client_id } => {
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions { client_options },
                    client_id: Some(client_id.clone()),
                    tenant_id: Some(tenant_id),
                    ..WorkloadIdentityCredentialOptions::default()
                };
                WorkloadIdentityCredential::new(Some(options)).map(|c| c as _)
            }
            Credential::Managed { client_id } => {
                let user_assigned_id = Some(UserAssignedId::ClientId(client_id.clone()));
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions { user_assigned_id, client_options })).map(|c| c as _)
            }
            Credential::ClientSecret { client_id, secret_name, secret_key } => {
                let read = self.source.client_secret(secret_name, secret_key).await;
                let value = read.map_err(|why| SendError::NoToken(format!("{}: {}", described(identity), redacted(&why, 300))))?;
                let value = Secret::new(value.trim().to_owned());
                secret = Some(value.clone());
                let options = ClientSecretCredentialOptions { client_options };
                ClientSecretCredential::new(&tenant_id, client_id.clone(), value, Some(options)).map(|c| c as _)
            }
        };
        match made {
            Ok(credential) => Ok(Held { credential, secret }),
            Err(error) => Err(refusal(identity, secret.as_ref(), &error)),
        }
    }

    fn options(&self, endpoints: &CloudEndpoints) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = endpoints.authority().as_str().to_owned();
        ClientOptions { cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))), ..client_options(&self.http) }
    }
}

/// The assertion of a workload identity: asked anew each time that Entra is asked.
struct ServiceAccountToken {
    source: Arc<dyn CredentialSource>,
    service_account: String,
}

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountToken").field("service_account", &self.service_account).finish_non_exhaustive()
    }
}

#[async_trait]
impl ClientAssertion for ServiceAccountToken {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let asked = self.source.federated_token(&self.service_account).await;
        asked.map_err(|why| azure_core::Error::with_message(ErrorKind::Credential, redacted(&why, 300)))
    }
}

/// Who was to be somebody: ids only.
fn described(identity: &Identity) -> String {
    let who = match &identity.credential {
        Credential::Workload { client_id, service_account } => format!("client {client_id} with ServiceAccount {service_account}"),
        Credential::Operator { client_id } => format!("client {client_id} with the operator's own token"),
        Credential::Managed { client_id } => format!("managed identity {client_id}"),
        Credential::ClientSecret { client_id, secret_name, secret_key } => {
            format!("client {client_id} with key {secret_key} of Secret {secret_name}")
        }
    };
    format!("{who} in tenant {} (AzureAccess {})", identity.tenant_id, identity.access)
}

/// What a failed token request means. The errors of azure_identity hide the cause in their sources (rust-stack.md,
/// traps 7 and 16): the whole chain is read.
fn refusal(identity: &Identity, secret: Option<&Secret>, error: &azure_core::Error) -> SendError {
    let (chain, passing) = chain_of(error);
    let mut detail = match chain.find("AADSTS") {
        Some(at) => chain[at..].split(['\r', '\n']).next().unwrap_or_default().replace("\\r\\n", " "),
        None => chain,
    };
    if let Some(secret) = secret.map(Secret::secret).filter(|s| !s.is_empty()) {
        detail = detail.replace(secret, "(redacted)");
    }
    let detail = detail.split(" Trace ID:").next().unwrap_or_default();
    let sentence = format!("{}: {}", described(identity), redacted(detail, 400));
    if passing { SendError::NotSent(format!("no token: {sentence}")) } else { SendError::NoToken(sentence) }
}

/// The texts of an error and all its sources, and whether it may pass by itself: no connection, or a 429 or 5xx.
fn chain_of(error: &azure_core::Error) -> (String, bool) {
    let mut texts: Vec<String> = Vec::new();
    let mut passing = false;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        match error.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind) {
            Some(ErrorKind::Connection | ErrorKind::Io) => passing = true,
            Some(ErrorKind::HttpResponse { status, .. }) => {
                let status = u16::from(*status);
                passing |= status == 429 || status >= 500;
            }
            _ => {}
        }
        next = error.source();
    }
    (texts.join(": "), passing)
}
