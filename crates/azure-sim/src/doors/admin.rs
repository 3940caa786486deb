//! The admin door: journal, faults, clock, edits behind everybody's back. No authentication; loopback only.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    doors::Shared,
    edit::{Edit, apply},
    faults::Rule,
};

/// The router of the admin door.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/journal", get(journal))
        .route("/faults", get(list_faults).post(add_faults).delete(remove_faults))
        .route("/clock", get(read_clock).post(turn_clock))
        .route("/edit", axum::routing::post(edit))
        .route("/state", get(state))
        .with_state(shared)
}

fn refuse(message: impl Into<String>) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": message.into()}))).into_response()
}

async fn journal(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let since = match query.get("since").map_or(Ok(0), |text| text.parse::<u64>()) {
        Ok(since) => since,
        Err(_) => return refuse("since must be the seq of an entry"),
    };
    let lines = shared.with(|azure| {
        let entries = azure.journal().since(since);
        entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()).map(|line| line + "\n").collect::<String>()
    });
    ([("content-type", "application/x-ndjson")], lines).into_response()
}

async fn list_faults(State(shared): State<Shared>) -> Response {
    let rules = shared.with(|azure| azure.faults_mut().list());
    let shown: Vec<Value> = rules
        .into_iter()
        .map(|(rule, played)| {
            let mut shown = serde_json::to_value(rule).unwrap_or_default();
            shown["played"] = json!(played);
            shown
        })
        .collect();
    Json(json!(shown)).into_response()
}

/// One rule or a list of rules.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Many(Vec<Rule>),
    One(Box<Rule>),
}

async fn add_faults(State(shared): State<Shared>, body: String) -> Response {
    let rules = match serde_json::from_str::<Value>(&body) {
        Ok(Value::Array(items)) => items.into_iter().map(serde_json::from_value::<Rule>).collect::<Result<Vec<_>, _>>().map(Rules::Many),
        Ok(value) => serde_json::from_value::<Rule>(value).map(|rule| Rules::One(Box::new(rule))),
        Err(error) => Err(error),
    };
    let rules = match rules {
        Ok(Rules::Many(rules)) => rules,
        Ok(Rules::One(rule)) => vec![*rule],
        Err(error) => return refuse(format!("not a fault rule: {error}")),
    };
    let ids: Vec<String> = shared.with(|azure| rules.into_iter().map(|rule| azure.faults_mut().add(rule)).collect());
    (StatusCode::CREATED, Json(json!({"ids": ids}))).into_response()
}

async fn remove_faults(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let removed = shared.with(|azure| match query.get("id") {
        Some(id) => azure.faults_mut().remove(id),
        None => {
            azure.faults_mut().clear();
            true
        }
    });
    if removed { StatusCode::NO_CONTENT.into_response() } else { StatusCode::NOT_FOUND.into_response() }
}

async fn read_clock(State(shared): State<Shared>) -> Response {
    let (now, factor) = shared.clock();
    let next = shared.with(|azure| azure.next_event());
    Json(json!({"now": now, "factor": factor, "nextEvent": next})).into_response()
}

/// What a POST to `/clock` may ask.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Turn {
    /// A duration of world time: `PT3H`, `90m`.
    #[serde(default)]
    advance: Option<SignedDuration>,
    #[serde(default)]
    factor: Option<f64>,
}

async fn turn_clock(State(shared): State<Shared>, body: String) -> Response {
    let turn: Turn = match serde_json::from_str(&body) {
        Ok(turn) => turn,
        Err(error) => return refuse(format!("not a turn of the clock: {error}")),
    };
    let now = shared.turn_clock(turn.advance, turn.factor);
    Json(json!({"now": now, "factor": shared.clock().1})).into_response()
}

async fn edit(State(shared): State<Shared>, body: String) -> Response {
    let edit: Edit = match serde_json::from_str(&body) {
        Ok(edit) => edit,
        Err(error) => return refuse(format!("not an edit: {error}")),
    };
    match shared.with(|azure| apply(azure, edit)) {
        Ok(shown) => Json(shown).into_response(),
        Err(message) => refuse(message),
    }
}

async fn state(State(shared): State<Shared>) -> Response {
    Json(shared.with(|azure| crate::edit::summary(azure))).into_response()
}
