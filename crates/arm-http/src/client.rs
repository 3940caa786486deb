//! The client: one request, one answer.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    error::ErrorKind,
    http::{Context, HttpClient, Method as HttpMethod, Pipeline, PipelineStreamOptions, Request as HttpRequest},
};
use breakwater_arm::{
    redacted,
    wire::{Answer, Method, Request},
};
use breakwater_engine::ports::{Arm, Identity, SendError, TOO_LATE};
use uuid::Uuid;

use crate::{
    answers,
    endpoints::Endpoints,
    tokens::{CredentialSource, Tokens},
    transport::{TransportError, client_options, http_client},
    urls::url_of,
};

/// From the first byte out to the last byte in. Azure answers within 60 s or with a 504 (compute-and-arm.md E.2).
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Azure Resource Manager over HTTP.
pub struct ArmHttp {
    endpoints: Endpoints,
    tokens: Tokens,
    pipeline: Pipeline,
}

impl fmt::Debug for ArmHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmHttp").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl ArmHttp {
    /// A client of these endpoints.
    ///
    /// # Errors
    /// When the certificates cannot be read or no TLS client can be made of them.
    pub fn new(endpoints: Endpoints, source: Arc<dyn CredentialSource>) -> Result<Self, TransportError> {
        let http = http_client(&endpoints)?;
        Ok(Self::with_http_client(endpoints, source, http))
    }

    /// The same over another HTTP client: in tests, the simulator in the same process.
    pub fn with_http_client(endpoints: Endpoints, source: Arc<dyn CredentialSource>, http: Arc<dyn HttpClient>) -> Self {
        let (name, version) = (option_env!("CARGO_PKG_NAME"), option_env!("CARGO_PKG_VERSION"));
        // tokens are put on by `call`, before the pipeline: only so a refused token and a lost request can be told
        // apart, and loopback http works (the stock bearer policy refuses it: rust-stack.md, trap 9)
        let pipeline = Pipeline::new(name, version, client_options(&http), vec![], vec![], None);
        let tokens = Tokens::new(endpoints.clone(), source, http);
        ArmHttp { endpoints, tokens, pipeline }
    }

    async fn send(&self, mut request: HttpRequest) -> Result<Answer, SendError> {
        let options = PipelineStreamOptions { skip_checks: true, ..PipelineStreamOptions::default() };
        let response = self.pipeline.stream(&Context::new(), &mut request, Some(options)).await.map_err(|error| lost(&error))?;
        answers::read(response).await
    }
}

#[async_trait]
impl Arm for ArmHttp {
    async fn ready(&self, identity: &Identity) -> Result<(), SendError> {
        self.tokens.get(identity).await.map(drop)
    }

    async fn call(&self, identity: &Identity, request: &Request) -> Result<Answer, SendError> {
        self.call_if(identity, request, &|| true).await
    }

    async fn call_if(
        &self,
        identity: &Identity,
        request: &Request,
        may_leave: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Answer, SendError> {
        let endpoints = self.endpoints.of(identity.cloud);
        let wrong = if request.link.is_some() { SendError::BadLink } else { SendError::NotSent };
        let url = url_of(endpoints.arm(), request).map_err(wrong)?;
        let mut http = HttpRequest::new(url, method_of(request.method));
        fill(&mut http, request)?;
        let token = self.tokens.get(identity).await?;
        http.insert_header("authorization", format!("Bearer {}", token.secret()));
        if !may_leave() {
            return Err(SendError::NotSent(TOO_LATE.to_owned()));
        }
        let answer = match tokio::time::timeout(SEND_TIMEOUT, self.send(http)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(SendError::Unknown(format!("no whole answer within {} s", SEND_TIMEOUT.as_secs()))),
        };
        tracing::debug!(
            method = %request.method,
            path = request.path,
            status = answer.status,
            azure_request_id = answer.header("x-ms-request-id"),
            "arm answered"
        );
        if answer.status == 401 {
            self.tokens.forget(identity).await;
        }
        Ok(answer)
    }
}

fn method_of(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Post => HttpMethod::Post,
        Method::Delete => HttpMethod::Delete,
    }
}

/// Headers and body. The token comes last, in `call`.
fn fill(http: &mut HttpRequest, request: &Request) -> Result<(), SendError> {
    http.insert_header("accept", "application/json");
    let id = request.client_request_id.unwrap_or_else(Uuid::new_v4).to_string();
    http.insert_header("x-ms-client-request-id", id.clone());
    http.insert_header("x-ms-correlation-request-id", id);
    http.insert_header("x-ms-return-client-request-id", "true");
    match &request.body {
        Some(body) => {
            http.insert_header("content-type", "application/json");
            http.set_json(body).map_err(|error| SendError::NotSent(format!("the body cannot be written as JSON: {error}")))?;
        }
        // some front ends answer 411 to a bodiless POST without it
        None if matches!(request.method, Method::Put | Method::Patch | Method::Post) => http.insert_header("content-length", "0"),
        None => {}
    }
    Ok(())
}

/// Only a connection that was never made proves that nothing left.
fn lost(error: &azure_core::Error) -> SendError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    let text = redacted(&text, 400);
    match error.kind() {
        ErrorKind::Connection => SendError::NotSent(text),
        _ => SendError::Unknown(text),
    }
}
