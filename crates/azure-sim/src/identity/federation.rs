//! Federated credentials: an assertion of another issuer, checked against that issuer's published keys.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::Value;

use crate::identity::{directory::Principal, entra::Refusal};

/// Keys of issuers, with the wall time they were fetched.
#[derive(Clone, Debug, Default)]
pub struct KeyCache(BTreeMap<String, (JwkSet, Timestamp)>);

/// How long fetched keys are used before they are fetched again, wall time.
pub const KEY_LIFETIME: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

impl KeyCache {
    /// Remembers the keys of an issuer.
    pub fn learn(&mut self, issuer: &str, keys: JwkSet, wall: Timestamp) {
        self.0.insert(issuer.to_owned(), (keys, wall));
    }

    /// Whether the keys of an issuer must be fetched before an assertion with that key id can be judged.
    pub fn wants(&self, issuer: &str, key_id: Option<&str>, wall: Timestamp) -> bool {
        match self.0.get(issuer) {
            None => true,
            Some((keys, fetched)) => wall.duration_since(*fetched) > KEY_LIFETIME || key_id.is_some_and(|id| keys.find(id).is_none()),
        }
    }

    fn keys(&self, issuer: &str) -> Option<&JwkSet> {
        self.0.get(issuer).map(|(keys, _)| keys)
    }
}

/// The claims of a token, unverified.
pub fn peek(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// The issuer of an assertion, if this principal trusts it at all, and the assertion's key id.
pub fn trusted_issuer(who: &Principal, assertion: &str) -> Option<(String, Option<String>)> {
    let issuer = peek(assertion)?["iss"].as_str()?.to_owned();
    let key_id = jsonwebtoken::decode_header(assertion).ok()?.kid;
    who.federated.iter().any(|credential| credential.issuer == issuer).then_some((issuer, key_id))
}

/// Judges an assertion as Entra does: the credential first, then the signature, then the time.
pub fn judge(who: &Principal, assertion: &str, keys: &KeyCache, wall: Timestamp) -> Result<(), Refusal> {
    let malformed = || Refusal::new(50027, "invalid_request", "JWT token is invalid or malformed.");
    let claims = peek(assertion).ok_or_else(malformed)?;
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let audiences: Vec<String> = match &claims["aud"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect(),
    };
    let (issuer, subject) = (text("iss"), text("sub"));
    if who.federated.is_empty() {
        let message = format!(
            "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion Subject: '{subject}'. \
             Assertion Audience: '{}'.",
            audiences.join(",")
        );
        return Err(Refusal::new(70021, "invalid_client", message));
    }
    let advice = "Please check your federated identity credential Subject, Audience and Issuer against the presented assertion.";
    let no_match = |code: u32, word: &str, value: &str| {
        Refusal::new(
            code,
            "invalid_client",
            format!("No matching federated identity record found for presented assertion {word} '{value}'. {advice}"),
        )
    };
    let by_issuer: Vec<_> = who.federated.iter().filter(|credential| credential.issuer == issuer).collect();
    if by_issuer.is_empty() {
        return Err(no_match(700211, "issuer", &issuer));
    }
    let by_subject: Vec<_> = by_issuer.into_iter().filter(|credential| credential.subject == subject).collect();
    if by_subject.is_empty() {
        return Err(no_match(700213, "subject", &subject));
    }
    if !by_subject.iter().any(|credential| audiences.contains(&credential.audience)) {
        return Err(no_match(700212, "audience", &audiences.join(",")));
    }
    signature(assertion, keys.keys(&issuer), &issuer)?;
    in_time(&claims, wall)
}

fn signature(assertion: &str, keys: Option<&JwkSet>, issuer: &str) -> Result<(), Refusal> {
    let bad = || {
        Refusal::new(
            50027,
            "invalid_client",
            "JWT token is invalid or malformed: the signature could not be verified with the issuer's keys.",
        )
    };
    let Some(keys) = keys else {
        return Err(Refusal::new(
            90061,
            "invalid_request",
            format!("Request to External OIDC endpoint failed: the keys of '{issuer}' could not be read."),
        ));
    };
    let header = jsonwebtoken::decode_header(assertion).map_err(|_| bad())?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::ES256 | Algorithm::ES384) {
        return Err(bad());
    }
    let key = match &header.kid {
        Some(id) => keys.find(id),
        None => keys.keys.first(),
    };
    let decoding = DecodingKey::from_jwk(key.ok_or_else(bad)?).map_err(|_| bad())?;
    let mut rules = Validation::new(header.alg);
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    jsonwebtoken::decode::<Value>(assertion, &decoding, &rules).map(drop).map_err(|_| bad())
}

/// `exp` and `nbf` by the wall clock, with Entra's five minutes of grace for a clock ahead of ours.
fn in_time(claims: &Value, wall: Timestamp) -> Result<(), Refusal> {
    let at = |name: &str| claims[name].as_i64();
    let now = wall.as_second();
    let expired = at("exp").is_none_or(|expiry| expiry <= now);
    let early = at("nbf").is_some_and(|from| from > now + 300);
    if !(expired || early) {
        return Ok(());
    }
    let shown = |seconds: Option<i64>| seconds.and_then(|s| Timestamp::from_second(s).ok()).map(|t| t.to_string()).unwrap_or_default();
    let message = format!(
        "Client assertion is not within its valid time range. Current time: {wall}, assertion valid from {}, expiry time of assertion {}.",
        shown(at("nbf")),
        shown(at("exp"))
    );
    Err(Refusal::new(700024, "invalid_client", message))
}
