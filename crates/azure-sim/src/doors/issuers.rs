//! Fetching the keys of other token issuers: `{issuer}/.well-known/openid-configuration`, then its `jwks_uri`.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use reqwest::{Certificate, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::doors::DoorError;

/// A client for issuers. It never goes through a proxy: the issuers of a simulated world stand beside it.
#[derive(Clone)]
pub struct Issuers(Client);

impl Issuers {
    /// A client that trusts the system's authorities and these PEM certificates.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new(extra_authorities: &[Vec<u8>]) -> Result<Self, DoorError> {
        let mut authorities: Vec<Certificate> = Vec::new();
        for pem in extra_authorities {
            authorities.extend(Certificate::from_pem_bundle(pem).map_err(DoorError::Authority)?);
        }
        let builder = || Client::builder().no_proxy().timeout(Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none());
        let merged = builder().tls_certs_merge(authorities.clone()).build();
        // An image without any authority of its own: those given are all there are.
        let client = merged.or_else(|_| builder().tls_certs_only(authorities).build()).map_err(DoorError::Authority)?;
        Ok(Issuers(client))
    }

    /// The keys of an issuer.
    ///
    /// # Errors
    /// When either document cannot be fetched or read, or when the issuer calls itself something else.
    pub async fn keys(&self, issuer: &str) -> Result<JwkSet, DoorError> {
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let configuration: Value = self.get(&document).await?;
        let text = |field: &str| configuration[field].as_str().unwrap_or_default().to_owned();
        let (named, keys) = (text("issuer"), text("jwks_uri"));
        if named != issuer || keys.is_empty() {
            return Err(DoorError::Configuration { document, issuer: named, keys });
        }
        self.get(&keys).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, DoorError> {
        let failed = |source| DoorError::Fetch { url: url.to_owned(), source };
        let answer = self.0.get(url).send().await.map_err(failed)?;
        answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
    }
}
