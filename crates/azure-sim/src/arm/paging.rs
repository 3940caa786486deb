//! Pages of lists, with an absolute `nextLink` that already holds the query of the first request (compute-and-arm.md C.6).
//! A page costs what is on it: what comes after is not looked at.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::wire::{Inbound, Reply};

/// The last id, in lower case, of the page before the one that `$skiptoken` asks for.
pub fn after(req: &Inbound) -> Option<String> {
    let token = req.query.get("$skiptoken")?;
    STANDARD_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The first page of at most `size` items (fewer with `$top`) of what comes in order of id without case and begins
/// [`after`] the token: the last id of the page before, so that what is made or deleted meanwhile shifts nothing.
pub fn page_of<T>(found: impl IntoIterator<Item = T>, req: &Inbound, size: usize, show: impl Fn(T) -> Value) -> Reply {
    let size = size.max(1);
    let top = req.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(size).clamp(1, size);
    let mut found = found.into_iter();
    let value: Vec<Value> = found.by_ref().take(top).map(show).collect();
    let last = value.last().filter(|_| found.next().is_some()).map(|item| item["id"].as_str().unwrap_or_default().to_ascii_lowercase());
    let mut body = json!({"value": value});
    if let Some(last) = last {
        let token = STANDARD_NO_PAD.encode(last);
        let kept = req.query.iter().filter(|(name, _)| *name != "$skiptoken");
        let pairs: String = kept.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect();
        body["nextLink"] = json!(format!("{}{}?{pairs}%24skiptoken={}", req.origin, req.raw_path(), encoded(&token)));
    }
    Reply::json(200, body)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2D", "-")
}
