//! Fetching the keys of other token issuers: `{issuer}/.well-known/openid-configuration`, then its `jwks_uri`.

use anyhow::{Context, Result, ensure};
use jsonwebtoken::jwk::JwkSet;
use serde_json::Value;

/// A client for issuers.
#[derive(Clone)]
pub struct Issuers(reqwest::Client);

impl Issuers {
    /// A client that trusts the system's authorities and these PEM certificates.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new(extra_authorities: &[Vec<u8>]) -> Result<Self> {
        let mut builder = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none());
        let mut authorities = Vec::new();
        for pem in extra_authorities {
            authorities.extend(reqwest::Certificate::from_pem_bundle(pem).context("reading an authority of --trust-ca")?);
        }
        builder = if authorities.is_empty() { builder } else { builder.tls_certs_merge(authorities) };
        Ok(Issuers(builder.build().context("building the client for issuers")?))
    }

    /// The keys of an issuer.
    ///
    /// # Errors
    /// When either document cannot be fetched or read, or when the issuer calls itself something else.
    pub async fn keys(&self, issuer: &str) -> Result<JwkSet> {
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let configuration: Value = self.get(&document).await?.json().await.with_context(|| format!("reading {document}"))?;
        ensure!(configuration["issuer"] == issuer, "{document} speaks for '{}'", configuration["issuer"]);
        let keys = configuration["jwks_uri"].as_str().with_context(|| format!("{document} has no jwks_uri"))?;
        self.get(keys).await?.json().await.with_context(|| format!("reading {keys}"))
    }

    async fn get(&self, url: &str) -> Result<reqwest::Response> {
        let answer = self.0.get(url).send().await.with_context(|| format!("fetching {url}"))?;
        answer.error_for_status().with_context(|| format!("fetching {url}"))
    }
}
