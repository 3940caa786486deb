//! Lists: filters, lag and pages (backup.md §4.5).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::names::{filter_terms, filter_time};
use super::state::{State, backup_error};
use super::vault::{Vault, VaultPath};
use crate::wire::{Inbound, Reply};

/// The terms of a request's filter.
pub(super) fn terms_of(req: &Inbound) -> Result<BTreeMap<String, String>, Box<Reply>> {
    let unreadable = "Input provided for the call is invalid. The filter cannot be read.";
    let terms = filter_terms(req.query.get("$filter").map_or("", String::as_str));
    terms.ok_or_else(|| Box::new(backup_error(400, "BMSUserErrorInvalidInput", unreadable)))
}

/// Whether a moment lies between those of two terms of a filter, either of which may be missing.
pub(super) fn span_of(
    terms: &BTreeMap<String, String>,
    (first, last): (&str, &str),
) -> Result<impl Fn(Timestamp) -> bool + use<>, Box<Reply>> {
    let moment = |term: &str| match terms.get(term) {
        None => Ok(None),
        Some(text) => filter_time(text)
            .map(Some)
            .ok_or_else(|| Box::new(backup_error(400, "BMSUserErrorInvalidInput", format!("'{text}' is not a time.")))),
    };
    let (from, to) = (moment(first)?, moment(last)?);
    Ok(move |time| from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to))
}

impl State {
    /// A list under a vault, as of a while ago when lists lag. `rows` gets the vault, the filter's terms and the moment
    /// shown, and finds what is listed; `show` is asked for what is on the page alone.
    pub(super) fn list<'a, T>(
        &'a self,
        req: &Inbound,
        path: &VaultPath,
        rows: impl FnOnce(&'a Vault, &BTreeMap<String, String>, Timestamp) -> Result<Vec<T>, Box<Reply>>,
        show: impl Fn((&'a Vault, Timestamp), T) -> Value,
    ) -> Reply {
        if self.vault(&path.key).is_none() {
            return path.not_found();
        }
        let terms = match terms_of(req) {
            Ok(terms) => terms,
            Err(refusal) => return *refusal,
        };
        let view = self.listed();
        let Some(vault) = view.vault_in_world(&path.key) else { return self.page(req, Vec::new(), |row: Value| row) };
        match rows(vault, &terms, view.now) {
            Ok(rows) => self.page(req, rows, |row| show((vault, view.now), row)),
            Err(refusal) => *refusal,
        }
    }

    /// One page of a list, with `nextLink` when there is more. The token is the number of rows before the page.
    pub(super) fn page<T>(&self, req: &Inbound, rows: Vec<T>, show: impl Fn(T) -> Value) -> Reply {
        let token = req
            .query
            .get("$skiptoken")
            .map(|token| URL_SAFE_NO_PAD.decode(token).ok().and_then(|text| String::from_utf8(text).ok()?.parse::<usize>().ok()));
        let Some(start) = token.unwrap_or(Some(0)) else {
            return backup_error(400, "BMSUserErrorInvalidInput", "Input provided for the call is invalid. The skip token cannot be read.");
        };
        let (size, total) = (if self.settings.page_size == 0 { usize::MAX } else { self.settings.page_size }, rows.len());
        let page: Vec<Value> = rows.into_iter().skip(start).take(size).map(show).collect();
        let next = start.saturating_add(page.len());
        let mut body = json!({"value": page});
        if next < total {
            let token = URL_SAFE_NO_PAD.encode(next.to_string());
            let kept = req.query.iter().filter(|(name, _)| name.as_str() != "$skiptoken");
            let query: Vec<String> =
                kept.map(|(name, value)| format!("{}={}", name, utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
            body["nextLink"] = json!(format!("{}{}?{}&$skiptoken={token}", req.origin, req.raw_path(), query.join("&")));
        }
        Reply::json(200, body)
    }
}
