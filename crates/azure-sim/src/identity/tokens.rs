//! Access tokens: signed with the simulator's own key, verified on every ARM request. Their times are wall times.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, jwk::Jwk};
use serde_json::{Value, json};

use crate::{
    arm::errors,
    identity::directory::Principal,
    wire::{Caller, Reply},
};

/// The simulator's signing key. Made when first needed: RSA keys come from the operating system's randomness, not from
/// the seed, and a run in process needs none.
#[derive(Clone, Default)]
pub struct Signer(Option<Keys>);

#[derive(Clone)]
struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwk: Value,
}

/// The `kid` of the only key.
const KEY_ID: &str = "azure-sim-1";

impl Signer {
    fn keys(&mut self) -> &Keys {
        self.0.get_or_insert_with(|| {
            let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .expect("aws-lc makes 2048-bit RSA keys");
            let encoding = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a PKCS#8 key just made is readable");
            let jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).expect("an RSA key has a JWK form");
            let decoding = DecodingKey::from_jwk(&jwk).expect("a JWK just made is readable");
            let mut jwk = serde_json::to_value(&jwk).expect("a JWK is JSON");
            jwk["kid"] = json!(KEY_ID);
            jwk["use"] = json!("sig");
            Keys { encoding, decoding, jwk }
        })
    }

    /// The JSON Web Key Set.
    pub fn key_set(&mut self) -> Value {
        json!({"keys": [self.keys().jwk]})
    }

    /// A token for a principal; `lifetime` in seconds.
    pub fn issue(&mut self, who: &Principal, audience: &str, wall: Timestamp, lifetime: u64) -> String {
        let now = wall.as_second();
        let claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", who.tenant_id),
            "iat": now, "nbf": now, "exp": now.saturating_add_unsigned(lifetime),
            "appid": who.client_id, "appidacr": if who.federated.is_empty() { "1" } else { "2" },
            "idp": format!("https://sts.windows.net/{}/", who.tenant_id), "idtyp": "app",
            "oid": who.object_id, "sub": who.object_id, "tid": who.tenant_id, "ver": "1.0",
        });
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.keys().encoding).expect("claims are JSON and the key is ours")
    }

    /// The caller behind an `Authorization` header, or the 401 that ARM answers (compute-and-arm.md E.1).
    pub fn verify(&mut self, authorization: Option<&str>, wall: Timestamp, challenge: &Challenge<'_>) -> Result<Caller, Reply> {
        let Some(header) = authorization else {
            let description = "The authentication failed because of missing 'Authorization' header.";
            return Err(challenge.refuse(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                description,
            ));
        };
        let invalid =
            || challenge.refuse("InvalidAuthenticationToken", "The access token is invalid.", "Could not find identity for access token.");
        let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")).ok_or_else(invalid)?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let claims: Value = jsonwebtoken::decode(token, &self.keys().decoding, &rules).map_err(|_| invalid())?.claims;
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        let expiry = claims["exp"].as_i64().and_then(|at| Timestamp::from_second(at).ok()).ok_or_else(invalid)?;
        if expiry <= wall {
            let message =
                format!("The access token expiry UTC time '{}' is earlier than current UTC time '{}'.", american(expiry), american(wall));
            return Err(challenge.refuse("ExpiredAuthenticationToken", &message, "The access token has expired."));
        }
        if !audience_is_arm(&text("aud")) {
            let message = format!("The access token has been obtained for wrong audience or resource '{}'.", text("aud"));
            return Err(challenge.refuse("InvalidAuthenticationTokenAudience", &message, "The access token has a wrong audience."));
        }
        let caller = Caller { object_id: text("oid"), client_id: text("appid"), tenant_id: text("tid") };
        if challenge.tenant.is_some_and(|tenant| !tenant.eq_ignore_ascii_case(&caller.tenant_id)) {
            let message = format!(
                "The access token is from the wrong issuer '{}'. It must match the tenant '{}' associated with this subscription.",
                text("iss"),
                challenge.tenant.unwrap_or_default()
            );
            return Err(challenge.refuse("InvalidAuthenticationTokenTenant", &message, "The access token is from the wrong tenant."));
        }
        Ok(caller)
    }
}

/// What a 401 tells its reader to do.
pub struct Challenge<'a> {
    /// How the caller addressed us.
    pub origin: &'a str,
    /// The tenant of the addressed subscription.
    pub tenant: Option<&'a str>,
}

impl Challenge<'_> {
    fn refuse(&self, code: &str, message: &str, description: &str) -> Reply {
        let tenant = self.tenant.unwrap_or("common");
        let header =
            format!("Bearer authorization_uri=\"{}/{tenant}\", error=\"invalid_token\", error_description=\"{description}\"", self.origin);
        errors::gateway(401, code, message).with_header("www-authenticate", header)
    }
}

/// A time as .NET prints it for Americans, which is how ARM prints it in this one message.
fn american(time: Timestamp) -> String {
    time.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

/// Resources that mean Resource Manager: the real clouds' and our own doors' (any port of loopback).
pub fn audience_is_arm(audience: &str) -> bool {
    const REAL: [&str; 7] = [
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    ];
    let trimmed = audience.trim_end_matches('/');
    let host = url::Url::parse(trimmed).ok().and_then(|url| url.host_str().map(str::to_owned));
    REAL.contains(&trimmed) || host.is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1"))
}
