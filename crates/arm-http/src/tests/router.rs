//! The doors to a pretend Azure: an axum router behind a socket, and one behind azure_core's `HttpClient`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::State, response::Response};
use azure_core::http::{AsyncRawResponse, HttpClient, Request as HttpRequest, headers::Headers};
use breakwater_engine::ports::{Cloud, Credential, Identity};

use crate::{ArmHttp, CloudEndpoints, CredentialSource, Endpoints};

pub const TENANT: &str = "33333333-3333-3333-3333-333333333333";
pub const CLIENT: &str = "44444444-4444-4444-4444-444444444444";
pub const SECRET_CANARY: &str = "CANARY~secret~value~0123456789";
pub const TOKEN_CANARY: &str = "eyJCANARYTOKENCANARYTOKENCANARYTOKENCANARYTOKEN.abc.def";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Status, content type, body.
type Scripted = (u16, &'static str, String);

/// What the pretend Azure answers, in order; the last one again and again.
#[derive(Clone, Default)]
pub struct Script {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    answers: Arc<Mutex<VecDeque<Scripted>>>,
}

impl Script {
    pub fn of(answers: &[(u16, &'static str, &str)]) -> Self {
        let answers = answers.iter().map(|(status, kind, body)| (*status, *kind, (*body).to_owned())).collect();
        Script { seen: Arc::default(), answers: Arc::new(Mutex::new(answers)) }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn nth(&self, at: usize) -> Seen {
        self.seen.lock().unwrap()[at].clone()
    }

    fn answer(&self, seen: Seen) -> Scripted {
        self.seen.lock().unwrap().push(seen);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers.front().cloned().unwrap_or((200, "application/json", "{}".into()))
        }
    }

    pub fn router(&self) -> Router {
        Router::new().fallback(respond).with_state(self.clone())
    }

    /// Serves on a loopback port until the test ends.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }
}

async fn respond(State(script): State<Script>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let seen = Seen { line: format!("{} {}", parts.method, parts.uri), headers, body: String::from_utf8_lossy(&body).into_owned() };
    let (status, kind, body) = script.answer(seen);
    let mut response = Response::builder().status(status).header("content-type", kind);
    if status == 429 {
        response = response.header("Retry-After", "3600");
    }
    response.body(Body::from(body)).unwrap()
}

/// The in-process door: login hosts get one script, everything else the other.
#[derive(Clone)]
pub struct InProcess {
    pub login: Script,
    pub arm: Script,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl HttpClient for InProcess {
    async fn execute_request(&self, request: &HttpRequest) -> azure_core::Result<AsyncRawResponse> {
        let url = request.url();
        let is_login = url.host_str().is_some_and(|h| h.contains("login"));
        let body = match request.body() {
            azure_core::http::Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let headers = request.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.as_str().to_owned())).collect();
        let seen = Seen { line: format!("{:?} {url}", request.method()), headers, body };
        let (status, kind, body) = if is_login { self.login.answer(seen) } else { self.arm.answer(seen) };
        let mut headers = Headers::new();
        headers.insert("content-type", kind);
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }
}

/// The cluster's side: counts what it is asked.
#[derive(Default)]
pub struct Source {
    pub asked: Mutex<Vec<String>>,
    pub secrets: Mutex<VecDeque<Result<String, String>>>,
}

#[async_trait]
impl CredentialSource for Source {
    async fn federated_token(&self, service_account: &str) -> Result<String, String> {
        self.asked.lock().unwrap().push(service_account.to_owned());
        self.secrets.lock().unwrap().pop_front().unwrap_or_else(|| Ok(TOKEN_CANARY.to_owned()))
    }

    async fn client_secret(&self, name: &str, key: &str) -> Result<String, String> {
        self.asked.lock().unwrap().push(format!("{name}/{key}"));
        self.secrets.lock().unwrap().pop_front().unwrap_or_else(|| Ok(SECRET_CANARY.to_owned()))
    }
}

pub fn identity(credential: Credential) -> Identity {
    Identity { access: "production".into(), cloud: Cloud::AzurePublic, tenant_id: TENANT.into(), credential }
}

pub fn with_secret() -> Identity {
    identity(Credential::ClientSecret { client_id: CLIENT.into(), secret_name: "azure".into(), secret_key: "key".into() })
}

pub const TOKEN_ANSWER: &str = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"eyJCANARYTOKENCANARYTOKENCANARYTOKENCANARYTOKEN.abc.def"}"#;

pub fn login_ok() -> Script {
    Script::of(&[(200, "application/json", TOKEN_ANSWER)])
}

/// A client whose ARM is a URL and whose login is in process.
pub struct ThroughSocket(pub InProcess, pub reqwest::Client);

impl std::fmt::Debug for ThroughSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ThroughSocket")
    }
}

#[async_trait]
impl HttpClient for ThroughSocket {
    async fn execute_request(&self, request: &HttpRequest) -> azure_core::Result<AsyncRawResponse> {
        if request.url().host_str() == Some("login.example") {
            self.0.execute_request(request).await
        } else {
            self.1.execute_request(request).await
        }
    }
}

pub fn client_to(arm: &str) -> ArmHttp {
    let custom = CloudEndpoints::custom(arm, "https://management.azure.com/.default", "https://login.example").unwrap();
    let doors = InProcess { login: login_ok(), arm: Script::default() };
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let endpoints = Endpoints { custom: Some(custom), extra_root_ca: None };
    ArmHttp::with_http_client(endpoints, Arc::new(Source::default()), Arc::new(ThroughSocket(doors, http)))
}
