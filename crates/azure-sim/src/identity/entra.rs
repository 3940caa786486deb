//! Entra's endpoints, and Resource Manager's document about its cloud (design/real-clients.md).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    entropy::Entropy,
    identity::{
        directory::{Directory, Principal},
        federation::{self, KeyCache},
        tokens::{Signer, audience_is_arm},
    },
    wire::{Inbound, Reply},
};

/// A token refused, in Entra's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: u32,
    error: &'static str,
    message: String,
}

impl Refusal {
    /// `AADSTS{code}: {message}` under an OAuth error word.
    pub fn new(code: u32, error: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, error, message: message.into() }
    }

    /// The answer. The description has line breaks, as Entra's has; they have broken clients.
    pub fn reply(&self, entropy: &Entropy, wall: Timestamp) -> Reply {
        let (trace, correlation) = (entropy.guid(), entropy.guid());
        let time = wall.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let description =
            format!("AADSTS{}: {}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}", self.code, self.message);
        let status = if self.error == "invalid_client" { 401 } else { 400 };
        let body = json!({
            "error": self.error, "error_description": description, "error_codes": [self.code], "timestamp": time,
            "trace_id": trace, "correlation_id": correlation, "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        Reply::json(status, body)
    }
}

/// What an identity request may look at.
pub struct Desk<'a> {
    /// Who exists.
    pub directory: &'a Directory,
    /// The simulator's key.
    pub signer: &'a mut Signer,
    /// Other issuers' keys.
    pub keys: &'a KeyCache,
    /// The seeded generator.
    pub entropy: &'a Entropy,
    /// Tenants of the estate's subscriptions.
    pub tenants: Vec<String>,
    /// Wall time.
    pub wall: Timestamp,
    /// Seconds a token lives.
    pub lifetime: u64,
}

/// Whether a path belongs to Entra, IMDS or the cloud's metadata rather than to ARM.
pub fn owns(path: &[String]) -> bool {
    let is = |at: usize, word: &str| path.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
    let tenant_word = |at| is(at, "oauth2") || is(at, "v2.0") || is(at, ".well-known") || is(at, "discovery");
    is(0, "metadata") || (!is(0, "subscriptions") && !is(0, "providers") && tenant_word(1))
}

/// Whether a path is a token endpoint.
pub fn is_token_path(path: &[String]) -> bool {
    path.last().is_some_and(|last| last.eq_ignore_ascii_case("token"))
}

/// A form body as pairs.
pub fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The issuer whose keys must be fetched before this token request can be judged.
pub fn wanted_issuer(directory: &Directory, keys: &KeyCache, body: &[u8], wall: Timestamp) -> Option<String> {
    let form = form(body);
    let who = directory.by_client_id(form.get("client_id")?)?;
    let (issuer, key_id) = federation::trusted_issuer(who, form.get("client_assertion")?)?;
    keys.wants(&issuer, key_id.as_deref(), wall).then_some(issuer)
}

/// Answers a request that `owns` claimed; `body` is the raw form.
pub fn handle(desk: &mut Desk<'_>, req: &Inbound, body: &[u8]) -> Option<Reply> {
    let words: Vec<String> = req.path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let get = req.method == "GET";
    match words.as_slice() {
        ["metadata", "endpoints"] if get => Some(Reply::json(200, metadata(&req.origin))),
        ["metadata", "identity", "oauth2", "token"] if get => Some(imds(desk, req)),
        [tenant, "v2.0", ".well-known", "openid-configuration"] if get => Some(configuration(desk, req, tenant, true)),
        [tenant, ".well-known", "openid-configuration"] if get => Some(configuration(desk, req, tenant, false)),
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] if get => Some(Reply::json(200, desk.signer.key_set())),
        [_, "discovery", "instance"] if get => Some(instance(req)),
        [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"] if req.method == "POST" => {
            Some(match token(desk, tenant, &form(body)) {
                Ok(answer) => Reply::json(200, answer),
                Err(refusal) => refusal.reply(desk.entropy, desk.wall),
            })
        }
        _ => None,
    }
}

/// One object: a list crashes az.
fn metadata(origin: &str) -> Value {
    json!({
        "name": "azure-sim",
        "portal": origin,
        "authentication": {"loginEndpoint": origin, "audiences": [origin, format!("{origin}/"), "https://management.azure.com/"], "tenant": "common", "identityProvider": "AAD"},
        "resourceManager": origin,
        "graph": origin,
        "graphAudience": origin,
        "microsoftGraphResourceId": origin,
        "media": origin,
        "batch": origin,
        "gallery": origin,
        "activeDirectoryDataLake": origin,
        "suffixes": {"storage": "core.sim.invalid", "keyVaultDns": "vault.sim.invalid", "sqlServerHostname": "database.sim.invalid", "acrLoginServer": "azurecr.sim.invalid"},
    })
}

fn configuration(desk: &Desk<'_>, req: &Inbound, tenant: &str, v2: bool) -> Reply {
    if !knows_tenant(desk, tenant) {
        return unknown_tenant(tenant).reply(desk.entropy, desk.wall);
    }
    let base = format!("{}/{tenant}", req.origin);
    let (v, issuer) = if v2 { ("/v2.0", format!("{base}/v2.0")) } else { ("", format!("{base}/")) };
    Reply::json(
        200,
        json!({
            "token_endpoint": format!("{base}/oauth2{v}/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}/discovery{v}/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": issuer,
            "authorization_endpoint": format!("{base}/oauth2{v}/authorize"),
            "device_authorization_endpoint": format!("{base}/oauth2{v}/devicecode"),
            "end_session_endpoint": format!("{base}/oauth2{v}/logout"),
            "tenant_region_scope": "EU",
        }),
    )
}

fn instance(req: &Inbound) -> Reply {
    let host = req.origin.split("://").nth(1).unwrap_or_default();
    let metadata = json!([{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]);
    let endpoint = format!("{}/common/v2.0/.well-known/openid-configuration", req.origin);
    Reply::json(200, json!({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": metadata}))
}

fn knows_tenant(desk: &Desk<'_>, tenant: &str) -> bool {
    matches!(tenant, "common" | "organizations")
        || desk.directory.knows_tenant(tenant)
        || desk.tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant))
}

fn unknown_tenant(tenant: &str) -> Refusal {
    let message =
        format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.");
    Refusal::new(90002, "invalid_request", message)
}

fn token(desk: &mut Desk<'_>, tenant: &str, form: &BTreeMap<String, String>) -> Result<Value, Refusal> {
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let missing =
        |name: &str| Refusal::new(900_144, "invalid_request", format!("The request body must contain the following parameter: '{name}'."));
    if !knows_tenant(desk, tenant) {
        return Err(unknown_tenant(tenant));
    }
    let client_id = field("client_id").ok_or_else(|| missing("client_id"))?;
    match field("grant_type").ok_or_else(|| missing("grant_type"))? {
        "client_credentials" => {}
        other => {
            return Err(Refusal::new(70003, "unsupported_grant_type", format!("The app requested an unsupported grant type '{other}'.")));
        }
    }
    let who = desk.directory.by_client_id(client_id).filter(|who| who.tenant_id.eq_ignore_ascii_case(tenant)).cloned().ok_or_else(|| {
        let message = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the application has not \
             been installed by the administrator of the tenant or consented to by any user in the tenant."
        );
        Refusal::new(700_016, "unauthorized_client", message)
    })?;
    prove(desk, &who, field("client_secret"), field("client_assertion"))?;
    let audience = match (field("scope"), field("resource")) {
        (Some(scope), _) => scope.split(' ').find_map(|scope| scope.strip_suffix("/.default")).map(str::to_owned).ok_or_else(|| {
            let message = format!("The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.");
            Refusal::new(1_002_012, "invalid_scope", message)
        })?,
        (None, Some(resource)) => resource.to_owned(),
        (None, None) => return Err(missing("scope")),
    };
    if !audience_is_arm(&audience) {
        let message = format!("The resource principal named {audience} was not found in the tenant named {tenant}.");
        return Err(Refusal::new(500_011, "invalid_resource", message));
    }
    let lifetime = desk.lifetime;
    let access_token = desk.signer.issue(&who, &audience, desk.wall, lifetime);
    Ok(json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": access_token}))
}

fn prove(desk: &Desk<'_>, who: &Principal, secret: Option<&str>, assertion: Option<&str>) -> Result<(), Refusal> {
    match (secret, assertion) {
        (_, Some(assertion)) => federation::judge(who, assertion, desk.keys, desk.wall),
        (Some(secret), None) if who.secrets.iter().any(|known| known == secret) => Ok(()),
        (Some(_), None) => {
            let message = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret \
                 ID, for a secret added to app '{}'.",
                who.client_id
            );
            Err(Refusal::new(7_000_215, "invalid_client", message))
        }
        (None, None) => {
            let message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            Err(Refusal::new(7_000_218, "invalid_client", message))
        }
    }
}

/// The machine's own metadata service: `Metadata: true` is required, numbers are strings. An application host's, found by
/// `IDENTITY_ENDPOINT`, answers the same to the header `X-IDENTITY-HEADER` instead (App Service, api-version 2019-08-01).
fn imds(desk: &mut Desk<'_>, req: &Inbound) -> Reply {
    let bad = |error: &str, description: &str| Reply::json(400, json!({"error": error, "error_description": description}));
    let of_machine = req.headers.get("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !of_machine && req.headers.get("x-identity-header").is_none_or(|value| value.is_empty()) {
        return bad("bad_request_102", "Required metadata header not specified");
    }
    let query = |name: &str| req.query.get(name).map(String::as_str);
    let Some(resource) = query("resource").filter(|resource| audience_is_arm(resource)) else {
        return bad("invalid_resource", "AADSTS500011: The resource principal was not found in the tenant.");
    };
    let named = query("mi_res_id").or(query("msi_res_id"));
    let Some(who) = desk.directory.managed(query("client_id"), query("object_id"), named).cloned() else {
        return bad("invalid_request", "Identity not found");
    };
    let lifetime = desk.lifetime;
    let access_token = desk.signer.issue(&who, resource, desk.wall, lifetime);
    let now = desk.wall.as_second();
    Reply::json(
        200,
        json!({
            "access_token": access_token, "client_id": who.client_id, "expires_in": lifetime.to_string(),
            "expires_on": now.saturating_add_unsigned(lifetime).to_string(), "ext_expires_in": lifetime.to_string(),
            "not_before": now.to_string(), "resource": resource, "token_type": "Bearer",
        }),
    )
}
