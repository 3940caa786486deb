//! One exchange: is the request understood, the answer's body kept, its error or operation read?

mod errors;
mod operations;

use breakwater_arm::{
    Accepted, ArmDuration, ArmTime, Classified, Effect, IdText, ResourceId, Service, bodies::Page, classify, ids_in, time::parse_http_date,
    wire::Method,
};
use serde_json::Value;

use super::{
    fields::{Kind, Need, misspelt, places},
    known::Form,
    recording::Exchange,
};

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Findings {
    /// Sentences.
    pub failures: Vec<String>,
    /// JSON pointers of the values that were read.
    pub checked: Vec<String>,
}

/// Whether an exchange concerns us.
pub enum Whose {
    /// A request of the table, an operation, an error.
    Ours,
    /// Its method and type.
    NotOurs(String),
}

/// What is read of a list, beside its members.
const PAGE: [&str; 2] = ["/value", "/nextLink"];

/// Failures and values of one exchange, with its place in the file.
struct Check<'a> {
    exchange: &'a Exchange,
    findings: &'a mut Findings,
}

/// Checks one exchange.
pub fn check(exchange: &Exchange, findings: &mut Findings) -> Whose {
    if !super::is_arm(&exchange.path) {
        return Whose::NotOurs(format!("{} {}", exchange.method, exchange.origin));
    }
    if !concerns_us(&exchange.path) {
        // errors have the same shapes everywhere: one that we could not read is worth knowing of
        let mut of_others = Findings::default();
        if !exchange.answer.is_success() {
            Check { exchange, findings: &mut of_others }.error();
        }
        findings.failures.append(&mut of_others.failures);
        return Whose::NotOurs(format!("{} {}", exchange.method, type_of(&exchange.path)));
    }
    let mut check = Check { exchange, findings };
    check.headers();
    if let Some(word) = is_operation(&exchange.path).filter(|_| exchange.method == Method::Get) {
        check.operation(word);
        return Whose::Ours;
    }
    if !exchange.answer.is_success() {
        check.error();
        return Whose::Ours;
    }
    let Some(request) = classify(exchange.method, exchange.path.trim_end_matches('/'), exchange.body.as_ref()) else {
        return check.of_others();
    };
    check.request(&request);
    check.answer(&request);
    Whose::Ours
}

/// Whether anything of ours is about that: ARM's own resources and the services that we act on. Site Recovery's types
/// share the vault's namespace and have no kind of ours yet.
pub fn concerns_us(path: &str) -> bool {
    let Some((_, tail)) = path.rsplit_once("/providers/") else { return true };
    let mut words = tail.split('/');
    let namespace = words.next().unwrap_or_default();
    let service = format!("/subscriptions/{}/providers/{namespace}/x/x", uuid::Uuid::nil()).parse::<ResourceId>();
    service.is_ok_and(|id| Service::of(&id.resource_type()) != Service::Other)
        && !words.any(|word| word.to_ascii_lowercase().starts_with("replication"))
}

/// The word before the id, when the path is one of an operation.
fn is_operation(path: &str) -> Option<&str> {
    const WORDS: [&str; 8] = [
        "operations",
        "DiskOperations",
        "operationsStatus",
        "operationStatus",
        "operationResults",
        "backupOperations",
        "backupOperationResults",
        "backupCrrOperationsStatus",
    ];
    let word = path.trim_end_matches('/').rsplit('/').nth(1)?;
    WORDS.iter().any(|w| w.eq_ignore_ascii_case(word)).then_some(word)
}

fn kind_of(path: &str) -> Option<Kind> {
    Kind::of(path.trim_end_matches('/').parse::<ResourceId>().ok()?.resource_type().as_str())
}

/// The type that a path is about, or the path itself where it is no ARM id: a recorder's placeholder, a collection.
fn type_of(path: &str) -> String {
    let path = path.trim_end_matches('/');
    if path.eq_ignore_ascii_case("/subscriptions") {
        return "Microsoft.Resources/subscriptions".to_owned();
    }
    match (path.parse::<ResourceId>(), path.rsplit_once("/providers/")) {
        (Ok(id), _) => id.resource_type().to_string(),
        (Err(_), Some((scope, tail))) if scope.parse::<ResourceId>().is_ok() || !scope.contains("/subscriptions/") => {
            let mut words = tail.split('/');
            let namespace = words.next().unwrap_or_default().to_owned();
            words.step_by(2).fold(namespace, |all, word| format!("{all}/{word}"))
        }
        (Err(_), _) => format!("{path:?} (no ARM id)"),
    }
}

impl Check<'_> {
    fn fail(&mut self, why: impl std::fmt::Display) {
        let place = self.exchange.pointer.trim_start_matches('/').replace('/', " ");
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        self.findings.failures.push(format!("{place}{why}"));
    }

    fn checked(&mut self, pointer: &str) {
        self.findings.checked.push(format!("{}{pointer}", self.exchange.pointer));
    }

    /// A header's name as the file has it.
    fn header_as_spelt(&self, name: &str) -> String {
        self.exchange.spelt.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn headers(&mut self) {
        let answer = &self.exchange.answer;
        if let Some(date) = answer.header("date") {
            self.checked(&format!("/response/headers/{}", self.header_as_spelt("date")));
            if parse_http_date(date).is_none() {
                self.fail(format!("the date {date:?} is no time"));
            }
        }
        if let Some(wait) = answer.header("retry-after") {
            self.checked(&format!("/response/headers/{}", self.header_as_spelt("retry-after")));
            if answer.retry_after().is_none() && parse_http_date(wait).is_none() {
                self.fail(format!("retry-after {wait:?} is neither seconds nor a date"));
            }
        }
        let is_json = answer.header("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("json"));
        if is_json && answer.body.get("raw").is_some_and(Value::is_string) {
            self.fail("the body says it is JSON and is none");
        }
    }

    fn request(&mut self, request: &Classified) {
        match ids_in(self.exchange.path.trim_end_matches('/'), self.exchange.body.as_ref()) {
            Ok(ids) if ids.first() == Some(&request.target) => {}
            Ok(ids) => self.fail(format!("the path's id is read as {:?} and as {}", ids.first(), request.target)),
            Err(error) => self.fail(format!("the request: {error}")),
        }
        if !self.exchange.names_query("api-version") {
            self.fail("the request has no api-version");
        }
    }

    fn answer(&mut self, request: &Classified) {
        let exchange = self.exchange;
        let body = &exchange.answer.body;
        if request.effect == Effect::Write {
            self.accepted(request);
        }
        let kind = Kind::of(&request.resource_type);
        let is_list = body.get("value").is_some() && kind != Some(Kind::Tags);
        let one = exchange.path.trim_end_matches('/').parse::<ResourceId>().is_ok();
        match (&request.action, exchange.method) {
            (Some(action), _) if action == "backupStatus" => self.body(Kind::BackupStatus, "/response/body", body),
            (Some(action), _) if action == "recoveryPointsRecommendedForMove" => self.list(Some(Kind::Point), body),
            (Some(_), _) | (_, Method::Delete) => {}
            // its path looks like a list's
            (None, Method::Get) if kind == Some(Kind::InstanceView) => self.one(kind, body),
            (None, Method::Get) if request.resource_type.ends_with("/backupAadProperties") => self.one(kind, body),
            (None, Method::Get) if !one => self.list(kind, body),
            (None, Method::Get) if is_list => self.fail("a list where one resource was asked for"),
            (None, Method::Get) => self.one(kind, body),
            // 202 and 204 have no body, and neither have some 200s (backup.md §2)
            (None, _) if body.is_null() => {}
            (None, _) => self.one(kind, body),
        }
    }

    fn one(&mut self, kind: Option<Kind>, body: &Value) {
        match kind {
            Some(kind) => self.body(kind, "/response/body", body),
            None if body.is_null() => self.fail("an answer to a GET without a body"),
            None => {}
        }
    }

    fn list(&mut self, kind: Option<Kind>, body: &Value) {
        self.checked("/response/body/value");
        self.spelling("/response/body", body, &PAGE);
        let page = match Page::<Value>::parse(body) {
            Ok(page) => page,
            Err(error) => return self.fail(error),
        };
        if let Some(link) = &page.next_link {
            self.checked("/response/body/nextLink");
            if !link.is_empty() && !link.starts_with("https://") && !link.starts_with("http://") {
                self.fail(format!("nextLink {link:?} is no URL"));
            }
        }
        for (at, member) in page.value.iter().enumerate() {
            let place = format!("/response/body/value/{at}");
            match kind {
                Some(kind) => self.body(kind, &place, member),
                None if member.is_object() => {}
                None => self.fail(format!("{place} is no resource")),
            }
        }
    }

    /// What we never send, and so have no row for. Whatever it is about: what a write leaves to poll must be readable,
    /// and what answers with a body of ours must be kept.
    fn of_others(&mut self) -> Whose {
        let exchange = self.exchange;
        if exchange.method != Method::Get && Accepted::from_answer(&exchange.answer).is_some_and(|a| a.poll.is_some()) {
            self.link();
        }
        match kind_of(&exchange.path).filter(|_| exchange.method != Method::Delete && exchange.answer.body.is_object()) {
            Some(kind) => {
                self.one(Some(kind), &exchange.answer.body);
                Whose::Ours
            }
            None => Whose::NotOurs(format!("{} {}", exchange.method, type_of(&exchange.path))),
        }
    }

    /// Through our types and back: nothing that they know may differ.
    fn body(&mut self, kind: Kind, place: &str, body: &Value) {
        let typed = match kind.through_types(body) {
            Ok(typed) => typed,
            Err(error) => {
                self.checked(place);
                return self.fail(format!("{place} is no {kind:?}: {error}"));
            }
        };
        // other workloads' policies, items, jobs and points share our lists: they must parse, no more
        if is_foreign(kind, body) {
            return;
        }
        for known in kind.known() {
            for (at, raw) in places(body, &known.pattern) {
                self.kept(kind, place, &at, (raw, typed.pointer(&at)), known.form);
            }
        }
        let known: Vec<&str> = kind.known().iter().map(|known| known.pattern.as_str()).collect();
        self.spelling(place, body, &known);
        for (pattern, need) in kind.demands() {
            self.demand(kind, place, body, pattern, *need);
        }
    }

    /// A name in another case than ours is no name of ours: what it holds would be passed over.
    fn spelling(&mut self, place: &str, body: &Value, known: &[&str]) {
        for (at, ours) in misspelt(body, known) {
            self.fail(format!("{place}{at} is passed over: our field is {ours:?}"));
        }
    }

    /// One value, as it was and as our types have it.
    fn kept(&mut self, kind: Kind, place: &str, at: &str, (raw, kept): (&Value, Option<&Value>), form: Form) {
        // what our types take as it comes is not read, only handed on
        if !raw.is_object() && !raw.is_array() {
            self.checked(&format!("{place}{at}"));
        }
        match kept {
            Some(kept) if same(raw, kept) => {}
            Some(kept) => self.fail(format!("{place}{at} of a {kind:?}: {raw} became {kept}")),
            None => self.fail(format!("{place}{at} of a {kind:?}: {raw} is lost")),
        }
        if !has_form(raw, form) {
            self.fail(format!("{place}{at} of a {kind:?}: {raw} is no {form:?}"));
        }
    }

    fn demand(&mut self, kind: Kind, place: &str, body: &Value, pattern: &str, need: Need) {
        let found = places(body, pattern);
        let in_list = place.contains("/value/");
        if found.is_empty() && (matches!(need, Need::Must | Need::Guid) || need == Need::Alone && !in_list) {
            self.fail(format!("{place}{pattern} of a {kind:?} is missing"));
        }
        for (at, raw) in found {
            if raw.as_str().is_some_and(str::is_empty) {
                self.fail(format!("{place}{at} of a {kind:?} is empty"));
            } else if need == Need::Guid && raw.as_str().is_none_or(|t| uuid::Uuid::parse_str(t).is_err()) {
                self.fail(format!("{place}{at} of a {kind:?}: {raw} is no guid"));
            }
        }
    }
}

fn is_foreign(kind: Kind, body: &Value) -> bool {
    let other = |pointer: &str, ours: &str| body.pointer(pointer).and_then(Value::as_str).is_some_and(|t| !t.eq_ignore_ascii_case(ours));
    other("/properties/backupManagementType", "AzureIaasVM")
        || kind == Kind::Point && other("/properties/objectType", "IaasVMRecoveryPoint")
}

/// Equal, or a number that became a word.
fn same(raw: &Value, kept: &Value) -> bool {
    match (raw, kept) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(a), Value::String(b)) => a.to_string() == *b,
        _ => raw == kept,
    }
}

fn has_form(raw: &Value, form: Form) -> bool {
    let text = raw.as_str();
    match form {
        Form::Any => true,
        Form::Id => text.is_some_and(|t| IdText(t.to_owned()).is_readable()),
        Form::Time => text.is_some_and(|t| ArmTime(t.to_owned()).is_readable()),
        Form::Span => text.is_some_and(|t| t.is_empty() || ArmDuration(t.to_owned()).duration().is_some()),
    }
}
