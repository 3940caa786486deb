//! From bytes to an [`Answer`], or to the reason why there is none.

use std::collections::BTreeMap;

use azure_core::http::{AsyncRawResponse, headers::Headers};
use breakwater_arm::wire::Answer;
use breakwater_engine::ports::SendError;
use futures::StreamExt;
use serde_json::{Value, json};

/// Largest answer that is read. ARM itself refuses more (compute-and-arm.md E.2).
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// How much of an answer that is no JSON is kept, in characters.
const KEPT_OF_RAW: usize = 2048;

/// Reads an answer to its end. Everything that goes wrong from here on happened after the request had left.
pub async fn read(response: AsyncRawResponse) -> Result<Answer, SendError> {
    let (status, headers, mut stream) = response.deconstruct();
    let headers = lower_case(&headers);
    let mut bytes: Vec<u8> = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| SendError::Unknown(format!("the answer ({status}) was cut short")))?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(SendError::Unknown(format!("the answer ({status}) is larger than 8 MB")));
        }
        bytes.extend_from_slice(&chunk);
    }
    let status = u16::from(status);
    let body = parse(status, &headers, &bytes)?;
    Ok(Answer { status, headers, body })
}

fn lower_case(headers: &Headers) -> BTreeMap<String, String> {
    headers.iter().map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str().to_owned())).collect()
}

fn parse(status: u16, headers: &BTreeMap<String, String>, bytes: &[u8]) -> Result<Value, SendError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        // an answer that calls itself JSON and is none was damaged on the way: it is not whole
        Err(_) if headers.get("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("json")) => {
            Err(SendError::Unknown(format!("the answer ({status}) is not readable as JSON")))
        }
        Err(_) => Ok(json!({"raw": String::from_utf8_lossy(bytes).chars().take(KEPT_OF_RAW).collect::<String>()})),
    }
}
