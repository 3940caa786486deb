//! A small blocking HTTP client for loopback: azure-sim's doors and the operator's health port.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;

/// No answer on loopback takes longer, unless a test holds it on purpose.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that needs no async caller.
#[derive(Debug)]
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Http {
    /// A client without proxies.
    ///
    /// # Errors
    /// The system gives no runtime or no sockets.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime for HTTP")?;
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().context("an HTTP client")?;
        Ok(Self { runtime, client })
    }

    /// One request: status and body, whatever the status is.
    ///
    /// # Errors
    /// Transport only.
    pub fn call(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
        let what = || format!("{method} {url}");
        let verb: Method = method.parse().with_context(what)?;
        let mut request = self.client.request(verb, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
        };
        self.runtime.block_on(answer).with_context(what)
    }

    /// GET without headers.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub fn get(&self, url: &str) -> Result<(u16, String)> {
        self.call("GET", url, &[], "")
    }
}
