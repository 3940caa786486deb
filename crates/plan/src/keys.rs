//! Names, hashes and request ids that derive from who we are: a rebuilt cluster computes the same ones.

use breakwater_arm::wire::Request;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The namespace of our version-5 UUIDs.
const REQUEST_IDS: Uuid = Uuid::from_u128(0x6272_6561_6b77_6174_6572_2e69_6f2f_7631);

/// SHA-256 over NUL-joined parts, in lower-case hex (api.md, "Whose is it?").
pub fn hash(parts: &[&str]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    Sha256::digest(parts.join("\0").as_bytes()).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Eight hex digits, for names.
pub fn hash8(parts: &[&str]) -> String {
    hash(parts)[..8].to_owned()
}

/// Thirty-two hex digits, for tags: who owns what (estate, namespace, kind, name) made.
pub fn owner_hash(estate: &str, namespace: &str, kind: &str, name: &str) -> String {
    hash(&[estate, namespace, kind, name])[..32].to_owned()
}

/// `x-ms-client-request-id` of one attempt: UUIDv5(estate, once-key, node, attempt) (architecture.md, rule 2).
pub fn request_id(estate: &str, key: &str, node: &str, attempt: i32) -> Uuid {
    Uuid::new_v5(&REQUEST_IDS, [estate, key, node, &attempt.to_string()].join("\0").as_bytes())
}

/// The key of a request that may be repeated: what it asks for. Another body is another key, so that Azure
/// never takes a new wish for a repeat of an old one.
pub fn safe_key(request: &Request) -> String {
    let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
    hash(&[request.method.as_str(), &request.path.to_ascii_lowercase(), &body])[..16].to_owned()
}

/// A Kubernetes name from a text that may hold anything: lower case, `-` for the rest, cut, with a hash of `identity` behind.
pub fn object_name(text: &str, identity: &[&str]) -> String {
    let mut clean: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(52).collect();
    clean = clean.trim_matches('-').to_owned();
    if clean.is_empty() {
        clean.push('m');
    }
    format!("{clean}-{}", hash8(identity))
}
