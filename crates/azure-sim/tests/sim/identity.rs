//! Tokens: secrets, federated assertions of an issuer of our own, managed identities, and what ARM says to bad ones.

use azure_sim::wire::{WireReply, WireRequest};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use crate::wire::{Client, SUB, TENANT, code, small};

const OWNER: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const READER: &str = "bbbbbbbb-0000-4000-8000-000000000001";

fn post(client: &mut Client, fields: &[(&str, &str)]) -> WireReply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
    let url = format!("/{TENANT}/oauth2/v2.0/token");
    let request = WireRequest { method: "POST".into(), url, body, origin: "https://localhost:1".into(), ..WireRequest::default() };
    client.azure.handle(client.now, request)
}

fn with_secret(client: &mut Client, id: &str, secret: &str) -> WireReply {
    let scope = "https://localhost:1//.default";
    post(client, &[("client_id", id), ("client_secret", secret), ("grant_type", "client_credentials"), ("scope", scope)])
}

fn bearer(client: &mut Client, url: &str, token: Option<&str>) -> WireReply {
    let mut request = crate::wire::request("GET", url, Value::Null);
    if let Some(token) = token {
        request.headers.insert("authorization".into(), format!("Bearer {token}"));
    }
    client.azure.handle(client.now, request)
}

fn number(reply: &WireReply) -> i64 {
    reply.json()["error_codes"][0].as_i64().unwrap_or_else(|| panic!("{}", reply.json()))
}

/// An issuer with a key of its own.
pub struct Issuer {
    key: EncodingKey,
}

impl Issuer {
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        Issuer { key: EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap() }
    }

    pub fn keys(&self) -> jsonwebtoken::jwk::JwkSet {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::RS256).unwrap();
        jwk.common.key_id = Some("k1".into());
        jsonwebtoken::jwk::JwkSet { keys: vec![jwk] }
    }

    pub fn assertion(&self, claims: Value) -> String {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

pub fn claims(now: Timestamp) -> Value {
    json!({"iss": "https://issuer.test", "sub": "system:serviceaccount:ns:sa", "aud": ["api://AzureADTokenExchange"], "exp": now.as_second() + 600})
}

fn with_assertion(client: &mut Client, id: &str, assertion: &str) -> WireReply {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let scope = "https://management.azure.com/.default";
    post(
        client,
        &[
            ("client_id", id),
            ("client_assertion", assertion),
            ("client_assertion_type", kind),
            ("grant_type", "client_credentials"),
            ("scope", scope),
        ],
    )
}

#[test]
fn a_secret_buys_a_token_that_arm_accepts() {
    let mut client = small();
    let reply = with_secret(&mut client, OWNER, "s3cret");
    assert_eq!(reply.status, 200, "{}", reply.json());
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(bearer(&mut client, SUB, Some(&token)).status, 200);
    assert_eq!(client.azure.journal().entries()[1].client, OWNER);
    let line = serde_json::to_string(&client.azure.journal().entries()).unwrap();
    assert!(!line.contains("s3cret") && !line.contains(&token), "no secrets in the journal");
}

#[test]
fn arm_refuses_missing_expired_and_invalid_tokens_in_its_own_words() {
    let mut client = small();
    let missing = bearer(&mut client, SUB, None);
    assert_eq!((missing.status, code(&missing).as_str()), (401, "AuthenticationFailed"));
    assert!(missing.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    assert_eq!(code(&bearer(&mut client, SUB, Some("a.b.c"))), "InvalidAuthenticationToken");
    let token = with_secret(&mut client, OWNER, "s3cret").json()["access_token"].as_str().unwrap().to_owned();
    let forged = format!("{}A", &token[..token.len() - 4]);
    assert_eq!(code(&bearer(&mut client, SUB, Some(&forged))), "InvalidAuthenticationToken");
    client.now += SignedDuration::from_hours(2);
    let expired = bearer(&mut client, SUB, Some(&token));
    assert_eq!((expired.status, code(&expired).as_str()), (401, "ExpiredAuthenticationToken"));
    assert!(expired.json()["error"]["message"].as_str().unwrap().contains("11/24/2026 10:00:00 AM"), "{}", expired.json());
}

#[test]
fn entra_refuses_with_its_numbers() {
    let mut client = small();
    let wrong = with_secret(&mut client, OWNER, "guess");
    assert_eq!((wrong.status, number(&wrong), wrong.json()["error"].as_str()), (401, 7_000_215, Some("invalid_client")));
    assert!(wrong.json()["error_description"].as_str().unwrap().starts_with("AADSTS7000215: Invalid client secret provided."));
    assert_eq!(number(&with_secret(&mut client, "dddddddd-0000-4000-8000-000000000001", "x")), 700_016);
    assert_eq!(number(&post(&mut client, &[("client_id", OWNER), ("grant_type", "password")])), 70_003);
    assert_eq!(
        number(&post(&mut client, &[("client_id", OWNER), ("grant_type", "client_credentials"), ("scope", "x/.default")])),
        7_000_218
    );
}

#[test]
fn an_assertion_is_checked_against_its_issuers_keys() {
    let mut client = small();
    let issuer = Issuer::new();
    let now = client.now;
    let good = issuer.assertion(claims(now));
    assert_eq!(number(&with_assertion(&mut client, READER, &good)), 90_061, "keys not fetched");
    client.azure.learn_keys("https://issuer.test", issuer.keys(), now);
    let reply = with_assertion(&mut client, READER, &good);
    assert_eq!(reply.status, 200, "{}", reply.json());
    let change = |name: &str, value: Value| {
        let mut claims = claims(now);
        claims[name] = value;
        claims
    };
    let cases = [
        ("subject", issuer.assertion(change("sub", json!("system:serviceaccount:ns:other"))), 700_213),
        ("issuer", issuer.assertion(change("iss", json!("https://evil.test"))), 700_211),
        ("audience", issuer.assertion(change("aud", json!("something"))), 700_212),
        ("expired", issuer.assertion(change("exp", json!(now.as_second() - 1))), 700_024),
        ("signature", Issuer::new().assertion(claims(now)), 50_027),
    ];
    for (what, assertion, expected) in cases {
        assert_eq!(number(&with_assertion(&mut client, READER, &assertion)), expected, "{what}");
    }
    assert_eq!(number(&with_assertion(&mut client, OWNER, &good)), 70_021, "an app without federated credentials");
}

#[test]
fn only_trusted_issuers_are_ever_fetched() {
    let client = small();
    let issuer = Issuer::new();
    let request = |claims: Value| {
        let assertion = issuer.assertion(claims);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("client_id", READER), ("client_assertion", &assertion)])
            .finish();
        WireRequest {
            method: "POST".into(),
            url: format!("/{TENANT}/oauth2/v2.0/token"),
            body: body.into_bytes(),
            ..WireRequest::default()
        }
    };
    assert_eq!(client.azure.wanted_issuer(&request(claims(client.now)), client.now).as_deref(), Some("https://issuer.test"));
    let mut other = claims(client.now);
    other["iss"] = json!("http://169.254.169.254");
    assert_eq!(client.azure.wanted_issuer(&request(other), client.now), None);
}

#[test]
fn tokens_are_refused_by_a_fault_rule_at_either_end() {
    use azure_sim::faults::{Fault, Rule};
    let mut client = small();
    client.azure.faults_mut().add(Rule::once("t", "POST", "*/token", Fault::TokenRefused));
    assert_eq!(number(&with_secret(&mut client, OWNER, "s3cret")), 7_000_222);
    let token = with_secret(&mut client, OWNER, "s3cret").json()["access_token"].as_str().unwrap().to_owned();
    client.azure.faults_mut().add(Rule::once("a", "GET", "/subscriptions/*", Fault::TokenRefused));
    assert_eq!(bearer(&mut client, SUB, Some(&token)).status, 401);
    assert_eq!(bearer(&mut client, SUB, Some(&token)).status, 200);
}

#[test]
fn the_cloud_describes_itself_in_one_object() {
    let mut client = small();
    let get = |client: &mut Client, url: &str| {
        client.azure.handle(
            client.now,
            WireRequest { method: "GET".into(), url: url.into(), origin: "https://localhost:1".into(), ..WireRequest::default() },
        )
    };
    let metadata = get(&mut client, "/metadata/endpoints?api-version=2022-09-01").json();
    assert_eq!(
        (metadata["resourceManager"].as_str(), metadata["authentication"]["identityProvider"].as_str()),
        (Some("https://localhost:1"), Some("AAD"))
    );
    let configuration = get(&mut client, &format!("/{TENANT}/v2.0/.well-known/openid-configuration")).json();
    for field in ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint", "issuer", "jwks_uri"] {
        assert!(configuration[field].as_str().unwrap().starts_with("https://localhost:1/"), "{field}");
    }
    let keys = get(&mut client, &format!("/{TENANT}/discovery/v2.0/keys")).json();
    assert_eq!((keys["keys"][0]["kty"].as_str(), keys["keys"][0]["kid"].as_str()), (Some("RSA"), Some("azure-sim-1")));
    let imds = get(&mut client, "/metadata/identity/oauth2/token?resource=https://management.azure.com/&api-version=2018-02-01");
    assert_eq!(imds.status, 400, "without Metadata: true");
}
