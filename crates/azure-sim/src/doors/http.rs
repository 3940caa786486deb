//! The axum router that puts the simulator on a wire.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures::StreamExt;
use http::{HeaderName, HeaderValue, header};

use crate::{
    doors::{Shared, clock::wire_retry_after},
    wire::{Disposition, WireReply, WireRequest},
};

/// The largest body that is read: ARM's own limit (compute-and-arm.md E.2).
const LARGEST_BODY: usize = 4 << 20;

/// How a door addresses itself in links when a client sends no `Host`.
#[derive(Clone)]
struct Door {
    shared: Shared,
    scheme: &'static str,
}

/// The router of a door; `scheme` is `http` or `https`.
pub fn router(shared: Shared, scheme: &'static str) -> Router {
    Router::new().fallback(answer).with_state(Door { shared, scheme })
}

async fn answer(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, LARGEST_BODY).await {
        Ok(body) => body.to_vec(),
        Err(_) => return plain(413, "the request body is larger than 4 MiB or was cut"),
    };
    let headers = parts.headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let headers: std::collections::BTreeMap<String, String> = headers.collect();
    let host =
        headers.get("host").cloned().or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_else(|| "localhost".to_owned());
    let url = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let wire = WireRequest { method: parts.method.as_str().to_owned(), url, headers, body, origin: format!("{}://{host}", door.scheme) };
    let (reply, factor) = door.shared.answer(wire).await;
    let wait = if factor > 0.0 { reply.delay.div_f64(factor) } else { reply.delay };
    if wait > Duration::ZERO {
        tokio::time::sleep(wait).await;
    }
    respond(reply, factor)
}

fn plain(status: u16, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    response
}

fn respond(reply: WireReply, factor: f64) -> Response {
    let mut response = Response::new(match reply.disposition {
        Disposition::Deliver => Body::from(reply.body),
        // An error in the body's stream makes hyper close the connection: without a byte of it, or in its middle.
        Disposition::DropConnection => cut(Bytes::new()),
        Disposition::CutBody => cut(Bytes::from(reply.body)),
    });
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::OK);
    for (name, value) in &reply.headers {
        let value = match (name.as_str(), value.parse::<u64>()) {
            ("retry-after", Ok(seconds)) => wire_retry_after(seconds, factor).to_string(),
            _ => value.clone(),
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    if reply.disposition == Disposition::DropConnection {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
        response.extensions_mut().insert(Cut);
    }
    response
}

/// Marks an answer of which not even the head may go out.
#[derive(Clone, Copy)]
pub(super) struct Cut;

fn cut(first: Bytes) -> Body {
    let broken = futures::stream::once(async { Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by a fault rule")) });
    let start = futures::stream::iter((!first.is_empty()).then_some(Ok(first)));
    // The pause lets what was written before the cut reach the client, so that it sees a cut body and not a cut head.
    let pause = futures::stream::once(tokio::time::sleep(Duration::from_millis(20))).filter_map(|()| async { None });
    Body::from_stream(start.chain(pause).chain(broken))
}
