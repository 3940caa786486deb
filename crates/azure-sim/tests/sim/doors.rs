//! The doors: real sockets, real TLS, an issuer fetched over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, Router, routing::get};
use azure_sim::{
    Azure, Estate, Options,
    doors::{Shared, WorldClock, admin, http, issuers::Issuers, tls},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    identity::Issuer,
    wire::{SMALL, SUB, TENANT},
};

struct Doors {
    http: String,
    https: String,
    admin: String,
    client: reqwest::Client,
}

/// Opens all doors over the small estate, whose reader trusts `issuer`.
async fn open(issuer: &str, factor: f64) -> Doors {
    let estate = Estate::parse(&SMALL.replace("https://issuer.test", issuer), &BTreeMap::new()).unwrap();
    let azure = Azure::new(estate, Options::default()).unwrap();
    let clock = WorldClock::new(Timestamp::now(), azure.now(), factor);
    let shared = Shared::new(azure, clock, Issuers::new(&[]).unwrap(), None);
    let authority = Arc::new(tls::Authority::new().unwrap());
    let trusted = reqwest::Certificate::from_pem(authority.ca_pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let (plain, plain_at) = tls::bind(0).await.unwrap();
    let (secure, secure_at) = tls::bind(0).await.unwrap();
    let (control, control_at) = tls::bind(0).await.unwrap();
    tokio::spawn(tls::serve(plain, http::router(shared.clone(), "http"), None));
    tokio::spawn(tls::serve(secure, http::router(shared.clone(), "https"), Some(authority)));
    tokio::spawn(tls::serve(control, admin::router(shared), None));
    Doors {
        http: format!("http://{plain_at}"),
        https: format!("https://localhost:{}", secure_at.port()),
        admin: format!("http://{control_at}"),
        client,
    }
}

impl Doors {
    async fn token(&self, proof: (&str, &str), id: &str) -> Value {
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.https);
        let scope = format!("{}/.default", self.https);
        let form = [("client_id", id), ("grant_type", "client_credentials"), ("scope", scope.as_str()), proof];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn admin(&self, method: reqwest::Method, path: &str, body: Value) -> reqwest::Response {
        self.client.request(method, format!("{}{path}", self.admin)).json(&body).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_federated_token_is_checked_against_keys_fetched_from_its_issuer() {
    let issuer = Issuer::new();
    let (listener, address) = tls::bind(0).await.unwrap();
    let name = format!("http://{address}");
    let configuration = json!({"issuer": name, "jwks_uri": format!("{name}/keys")});
    let keys = serde_json::to_value(issuer.keys()).unwrap();
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(move || async { Json(configuration) }))
        .route("/keys", get(move || async { Json(keys) }));
    tokio::spawn(tls::serve(listener, router, None));
    let doors = open(&name, 1.0).await;
    let mut claims = crate::identity::claims(Timestamp::now());
    claims["iss"] = json!(name);
    let reader = "bbbbbbbb-0000-4000-8000-000000000001";
    let answer = doors.token(("client_assertion", &issuer.assertion(claims.clone())), reader).await;
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let group = format!("{}{SUB}/resourceGroups/rg-one?api-version=2024-11-01", doors.https);
    assert_eq!(doors.client.get(group).bearer_auth(token).send().await.unwrap().status(), 200);
    claims["exp"] = json!(Timestamp::now().as_second() - 5);
    let expired = doors.token(("client_assertion", &issuer.assertion(claims)), reader).await;
    assert_eq!(expired["error_codes"][0], 700_024, "assertions live by the wall clock");
}

#[tokio::test]
async fn faults_reach_the_wire_and_the_journal_is_read_at_the_admin_door() {
    let doors = open("http://127.0.0.1:9", 60.0).await;
    let owner = "aaaaaaaa-0000-4000-8000-000000000001";
    let answer = doors.token(("client_secret", "s3cret"), owner).await;
    let token = answer["access_token"].as_str().unwrap().to_owned();
    let url = format!("{}{SUB}?api-version=2022-12-01", doors.http);
    let ask = || doors.client.get(&url).bearer_auth(&token).send();
    for fault in ["dropBeforeApply", "dropAfterApply"] {
        let made = doors.admin(reqwest::Method::POST, "/faults", json!({"match": {"count": 1}, "fault": fault})).await;
        assert_eq!(made.status(), 201);
        assert!(ask().await.is_err(), "{fault}");
    }
    doors.admin(reqwest::Method::POST, "/faults", json!({"match": {"count": 1}, "fault": "cutBody"})).await;
    let cut = ask().await.unwrap();
    assert_eq!(cut.status(), 200, "the head arrives");
    assert!(cut.bytes().await.is_err(), "the body does not");
    let slow = json!([{"match": {"count": 1}, "fault": {"status": {"status": 429, "retryAfter": 90, "body": "empty"}}}]);
    doors.admin(reqwest::Method::POST, "/faults", slow).await;
    let throttled = ask().await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), throttled.headers()["retry-after"].to_str().unwrap()),
        (429, "2"),
        "90 s at sixty times the pace"
    );
    assert_eq!(ask().await.unwrap().status(), 200);
    let lines = doors.client.get(format!("{}/journal?since=1", doors.admin)).send().await.unwrap().text().await.unwrap();
    let statuses: Vec<u64> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [0, 200, 200, 429, 200]);
    let refused = doors.admin(reqwest::Method::POST, "/faults", json!({"fault": "catchFire"})).await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn the_clock_is_turned_at_the_admin_door_and_shows_in_date() {
    let doors = open("http://127.0.0.1:9", 0.0).await;
    let turned: Value = doors.admin(reqwest::Method::POST, "/clock", json!({"advance": "PT36H"})).await.json().await.unwrap();
    assert_eq!(turned["now"], "2026-11-25T20:00:00Z");
    let metadata = doors.client.get(format!("{}/metadata/endpoints", doors.https)).send().await.unwrap();
    assert_eq!(metadata.headers()["date"], "Wed, 25 Nov 2026 20:00:00 GMT");
    let state: Value = doors.client.get(format!("{}/state", doors.admin)).send().await.unwrap().json().await.unwrap();
    assert!(state["resources"].as_array().unwrap().iter().any(|resource| resource["name"] == "vm-a"));
    let edit = json!({"method": "DELETE", "id": format!("{SUB}/resourceGroups/rg-one/providers/Microsoft.Compute/virtualMachines/vm-a")});
    assert_eq!(doors.admin(reqwest::Method::POST, "/edit", edit.clone()).await.status(), 200);
    assert_eq!(doors.admin(reqwest::Method::POST, "/edit", edit).await.status(), 400, "it is gone");
}
