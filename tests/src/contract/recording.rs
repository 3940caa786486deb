//! From a file's JSON to exchanges.

use std::collections::BTreeMap;

use breakwater_arm::wire::{Answer, Method};
use serde_json::{Value, json};

/// One request and its answer, as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The verb.
    pub method: Method,
    /// `https://management.azure.com`
    pub origin: String,
    /// Decoded, as in a [`breakwater_arm::wire::Request`].
    pub path: String,
    /// As it stands in the URL, without the `?`.
    pub query: String,
    /// What was sent.
    pub body: Option<Value>,
    /// What came back.
    pub answer: Answer,
    /// Where the exchange is in its file: a JSON pointer.
    pub pointer: String,
    /// The answer's header names as the file spells them, by their lower-case names.
    pub spelt: BTreeMap<String, String>,
}

impl Exchange {
    /// True when the query has a pair of that name and value.
    pub fn has_query(&self, name: &str, value: &str) -> bool {
        self.query.split('&').any(|pair| pair.split_once('=') == Some((name, value)))
    }

    /// True when the query has that name.
    pub fn names_query(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair.split('=').next().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }
}

/// The exchanges of a recording; those with verbs that ARM's API does not have (HEAD, OPTIONS) are left out.
///
/// # Errors
/// What is wrong with its form.
pub fn exchanges(recording: &Value) -> Result<Vec<Exchange>, String> {
    match recording.get("sequence") {
        Some(Value::Array(all)) if !all.is_empty() => {
            all.iter().enumerate().filter_map(|(at, one)| exchange(one, format!("/sequence/{at}")).transpose()).collect()
        }
        Some(_) => Err("`sequence` is no list of exchanges".into()),
        None => Ok(exchange(recording, String::new())?.into_iter().collect()),
    }
}

fn exchange(value: &Value, pointer: String) -> Result<Option<Exchange>, String> {
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).ok_or_else(|| format!("{pointer}{at} is no text"));
    let verb = text("/request/method")?;
    if ["HEAD", "OPTIONS"].contains(&verb.to_ascii_uppercase().as_str()) {
        return Ok(None);
    }
    let method = method(verb)?;
    let (origin, path, query) = split_url(text("/request/url")?)?;
    let body = value.pointer("/request/body").filter(|b| !b.is_null()).map(parsed);
    let status = value.pointer("/response/status").and_then(Value::as_u64).filter(|s| (100..600).contains(s));
    let status = status.ok_or_else(|| format!("{pointer}/response/status is no HTTP status"))?;
    let headers =
        value.pointer("/response/headers").and_then(Value::as_object).ok_or_else(|| format!("{pointer}/response/headers is no object"))?;
    let header = |(name, value): (&String, &Value)| match header_text(value) {
        Some(text) => Ok((name.to_ascii_lowercase(), text)),
        None => Err(format!("{pointer}/response/headers/{name} is no header")),
    };
    let spelt = headers.keys().map(|name| (name.to_ascii_lowercase(), name.clone())).collect();
    let headers = headers.iter().map(header).collect::<Result<_, _>>()?;
    let body_of_answer = value.pointer("/response/body").map_or(Value::Null, answered);
    let status = u16::try_from(status).map_err(|_| "status".to_owned())?;
    let answer = Answer { status, headers, body: body_of_answer };
    Ok(Some(Exchange { method, origin, path, query, body, answer, pointer, spelt }))
}

/// Of a repeated header the last value, as [`Answer`] has it.
fn header_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) => header_text(values.last()?),
        _ => None,
    }
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::Get, Method::Put, Method::Patch, Method::Post, Method::Delete];
    known.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| format!("{text:?} is no verb of ARM"))
}

pub(super) fn split_url(url: &str) -> Result<(String, String, String), String> {
    let host_at = url.find("://").map(|at| at + 3).ok_or_else(|| format!("{url:?} is no URL"))?;
    let path_at = url[host_at..].find('/').map(|at| at + host_at).ok_or_else(|| format!("{url:?} has no path"))?;
    let (path, query) = url[path_at..].split_once('?').unwrap_or((&url[path_at..], ""));
    // some clients double the first slash; ARM does not mind
    let path = format!("/{}", path.trim_start_matches('/'));
    Ok((url[..path_at].to_owned(), decoded(&path)?, query.to_owned()))
}

/// Percent-decoded once.
fn decoded(path: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{path:?} is not UTF-8"))
}

/// A body that a recorder kept as text is read as JSON where it is JSON; a byte order mark is no part of it.
fn parsed(body: &Value) -> Value {
    match body {
        Value::String(text) => serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_else(|_| body.clone()),
        other => other.clone(),
    }
}

/// As the client would have it: no JSON becomes `{"raw": ...}`, nothing becomes null.
fn answered(body: &Value) -> Value {
    match parsed(body) {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => json!({"raw": text}),
        other => other,
    }
}
