//! Pages of lists, with an absolute `nextLink` that already holds the query of the first request (compute-and-arm.md C.6).

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::wire::{Inbound, Reply};

/// The page that `$skiptoken` asks for, of at most `size` items (fewer with `$top`). `items` are in order of their ids
/// without case; the token is the last id of the page before, so what is made or deleted meanwhile shifts nothing.
pub fn page(items: Vec<Value>, req: &Inbound, size: usize) -> Reply {
    let size = size.max(1);
    let from =
        req.query.get("$skiptoken").and_then(|token| STANDARD_NO_PAD.decode(token).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let top = req.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(size).clamp(1, size);
    let start = from.map_or(0, |last| items.partition_point(|item| key(item) <= last));
    let value: Vec<Value> = items.iter().skip(start).take(top).cloned().collect();
    let mut body = json!({"value": value});
    if start + value.len() < items.len()
        && let Some(last) = value.last()
    {
        let token = STANDARD_NO_PAD.encode(key(last));
        let kept = req.query.iter().filter(|(name, _)| *name != "$skiptoken");
        let pairs: String = kept.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect();
        body["nextLink"] = json!(format!("{}{}?{pairs}%24skiptoken={}", req.origin, req.raw_path(), encoded(&token)));
    }
    Reply::json(200, body)
}

fn key(item: &Value) -> String {
    item["id"].as_str().unwrap_or_default().to_ascii_lowercase()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2D", "-")
}
