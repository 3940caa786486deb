//! A request's URL: built so that every segment arrives as it is meant, or taken verbatim from ARM on its own origin.

use breakwater_arm::wire::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What RFC 3986 calls unreserved stays; all else is encoded, `;` and `=` included.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of a request.
///
/// # Errors
/// Why it must not be sent: no ARM path, or a link to somewhere else.
pub fn url_of(endpoint: &Url, request: &Request) -> Result<Url, String> {
    match &request.link {
        Some(link) if request.method == Method::Get => followed(endpoint, link),
        Some(_) => Err("only a GET may follow a link".into()),
        None => built(endpoint, request),
    }
}

fn built(endpoint: &Url, request: &Request) -> Result<Url, String> {
    let path = request.path.strip_prefix('/').ok_or_else(|| format!("the path {:?} does not begin with /", request.path))?;
    let mut text = endpoint.as_str().trim_end_matches('/').to_owned();
    for segment in path.trim_end_matches('/').split('/') {
        // `.` and `..` would climb, encoded or not
        if matches!(segment, "" | "." | "..") {
            return Err(format!("the path {:?} has a segment {segment:?}", request.path));
        }
        text.push('/');
        text.extend(utf8_percent_encode(segment, ENCODED));
    }
    for (at, (name, value)) in request.query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.extend(utf8_percent_encode(name, ENCODED));
        text.push('=');
        text.extend(utf8_percent_encode(value, ENCODED));
    }
    Url::parse(&text).map_err(|error| format!("no URL can be made of {:?}: {error}", request.path))
}

/// Links carry our token: they are followed on the client's own origin only, byte for byte.
fn followed(endpoint: &Url, link: &str) -> Result<Url, String> {
    let url = endpoint.join(link).map_err(|error| format!("ARM gave a link that is no URL: {error}"))?;
    if url.origin() != endpoint.origin() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("ARM gave a link to {}, which is not {}: not followed", url.origin().ascii_serialization(), endpoint));
    }
    Ok(url)
}
