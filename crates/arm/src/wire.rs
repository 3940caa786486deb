//! One request to ARM and one answer from it, as values: what a plan holds, a journal shows and a port carries.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::redact::{Shown, shown_text};

/// The verbs of ARM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Create or replace.
    Put,
    /// Change some fields.
    Patch,
    /// Act.
    Post,
    /// Remove.
    Delete,
}

impl Method {
    /// `GET`, `PUT`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request. The path is decoded (`;` raw) and has no query; the port encodes each segment.
///
/// `Debug` hides what is secret in the body and the query of the link.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// A resource id, a collection below one, or an id followed by an action: begins with `/`.
    pub path: String,
    /// Query pairs in order, `api-version` among them.
    pub query: Vec<(String, String)>,
    /// The JSON body; `None` sends no body.
    pub body: Option<Value>,
    /// Sent as `x-ms-client-request-id` and `x-ms-correlation-request-id`.
    pub client_request_id: Option<Uuid>,
    /// A link that ARM gave (a next page, a signed poll URL): followed verbatim, on the client's own origin
    /// only, instead of `path` and `query`. Never stored.
    pub link: Option<String>,
}

impl Request {
    /// A request with nothing but a verb, a path and an api-version.
    pub fn new(method: Method, path: impl Into<String>, api_version: &str) -> Self {
        let query = vec![("api-version".to_owned(), api_version.to_owned())];
        Request { method, path: path.into(), query, body: None, client_request_id: None, link: None }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The same with one more query pair.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A GET of a link that ARM gave.
    pub fn follow(link: impl Into<String>) -> Self {
        Request {
            method: Method::Get,
            path: String::new(),
            query: Vec::new(),
            body: None,
            client_request_id: None,
            link: Some(link.into()),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, path, query, body, client_request_id, link } = self;
        f.debug_struct("Request")
            .field("method", method)
            .field("path", path)
            .field("query", query)
            .field("body", &body.as_ref().map(Shown))
            .field("client_request_id", client_request_id)
            .field("link", &link.as_deref().map(shown_text))
            .finish()
    }
}

/// One whole answer: any status, headers with lower-case names, the body parsed (`Null` when empty).
///
/// `Debug` hides what is secret in the body and the queries of links.
#[derive(Clone, Default, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header names are lower-case; of a repeated header the last value.
    pub headers: BTreeMap<String, String>,
    /// The parsed body, `Null` when there was none. A body that is no JSON is `{"raw": "first 2 kB"}`.
    pub body: Value,
}

impl Answer {
    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// True for a body that is no JSON: a page, perhaps of a proxy.
    pub fn is_page(&self) -> bool {
        self.body.get("raw").is_some()
    }

    /// One header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// `Retry-After` in whole seconds, as it stands on the wire; `None` when it is missing or no number.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: BTreeMap<&str, String> = self.headers.iter().map(|(name, value)| (name.as_str(), shown_text(value))).collect();
        f.debug_struct("Answer").field("status", &self.status).field("headers", &headers).field("body", &Shown(&self.body)).finish()
    }
}
