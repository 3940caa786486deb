//! One exchange: is the request understood, the answer's body kept, its error or operation read?

use breakwater_arm::{
    Accepted, ArmDuration, ArmError, ArmTime, Classified, Effect, Family, IdText, OperationState, OperationStatus, ResourceId,
    bodies::Page,
    classify, ids_in,
    operation::poll_request,
    time::parse_http_date,
    wire::{Answer, Method},
};
use serde_json::Value;

use super::{
    fields::{Field, Form, Kind, Need, places},
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

/// Failures and values of one exchange, with its place in the file.
struct Check<'a> {
    exchange: &'a Exchange,
    findings: &'a mut Findings,
}

/// Checks one exchange.
pub fn check(exchange: &Exchange, findings: &mut Findings) -> Whose {
    let mut check = Check { exchange, findings };
    check.headers();
    let poll = is_operation(&exchange.path);
    if exchange.method == Method::Get && poll.is_some() {
        check.operation(poll.unwrap_or_default());
        return Whose::Ours;
    }
    if !super::is_arm(&exchange.path) {
        return Whose::NotOurs(format!("{} {}", exchange.method, exchange.origin));
    }
    if !exchange.answer.is_success() {
        check.error();
        return Whose::Ours;
    }
    match classify(exchange.method, exchange.path.trim_end_matches('/'), exchange.body.as_ref()) {
        Some(request) => {
            check.request(&request);
            check.answer(&request);
            Whose::Ours
        }
        None => {
            // whatever it is about: what a write leaves to poll must be readable
            if exchange.method != Method::Get && Accepted::from_answer(&exchange.answer).is_some_and(|a| a.poll.is_some()) {
                check.link();
            }
            // nor do we send it: but what it answers is a body of ours
            if let Some(kind) = kind_of(&exchange.path).filter(|_| exchange.method != Method::Delete && exchange.answer.body.is_object()) {
                check.one(Some(kind), &exchange.answer.body);
                return Whose::Ours;
            }
            Whose::NotOurs(format!("{} {}", exchange.method, type_of(&exchange.path)))
        }
    }
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

fn type_of(path: &str) -> String {
    match path.trim_end_matches('/').parse::<ResourceId>() {
        Ok(id) => id.resource_type().to_string(),
        Err(_) => path.rsplit("/providers/").next().unwrap_or_default().to_owned(),
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

    fn headers(&mut self) {
        let answer = &self.exchange.answer;
        if let Some(date) = answer.header("date") {
            self.checked("/response/headers/date");
            if parse_http_date(date).is_none() {
                self.fail(format!("the date {date:?} is no time"));
            }
        }
        if let Some(wait) = answer.header("retry-after") {
            self.checked("/response/headers/retry-after");
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
        if request.resource_type.ends_with("/instanceView") {
            return;
        }
        let kind = Kind::of(&request.resource_type);
        let is_list = body.get("value").is_some() && kind != Some(Kind::Tags);
        let one = exchange.path.trim_end_matches('/').parse::<ResourceId>().is_ok();
        match (&request.action, exchange.method) {
            (Some(action), _) if action == "backupStatus" => self.body(Kind::BackupStatus, "/response/body", body),
            (Some(action), _) if action == "recoveryPointsRecommendedForMove" => self.list(Some(Kind::Point), body),
            (Some(_), _) | (_, Method::Delete) => {}
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
        let page = match Page::<Value>::parse(body) {
            Ok(page) => page,
            Err(error) => return self.fail(error),
        };
        if let Some(link) = &page.next_link {
            self.checked("/response/body/nextLink");
            if !link.starts_with("https://") && !link.starts_with("http://") {
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

    /// Through our types and back: nothing in use may differ.
    fn body(&mut self, kind: Kind, place: &str, body: &Value) {
        let typed = match kind.through_types(body) {
            Ok(typed) => typed,
            Err(error) => {
                self.checked(place);
                return self.fail(format!("{place} is no {kind:?}: {error}"));
            }
        };
        // other workloads' policies, items, jobs and points share our lists: they must parse, no more
        let fields = if is_foreign(kind, body) { &[] } else { kind.fields() };
        for field in fields {
            self.field(kind, place, body, &typed, *field);
        }
    }

    fn field(&mut self, kind: Kind, place: &str, body: &Value, typed: &Value, (pattern, form, need): Field) {
        let found = places(body, pattern);
        let in_list = place.contains("/value/");
        if found.is_empty() && (need == Need::Must || need == Need::Alone && !in_list) {
            self.fail(format!("{place}{pattern} of a {kind:?} is missing"));
        }
        for (at, raw) in found {
            self.checked(&format!("{place}{at}"));
            match typed.pointer(&at) {
                Some(kept) if same(raw, kept) => {}
                Some(kept) => self.fail(format!("{place}{at} of a {kind:?}: {raw} became {kept}")),
                None => self.fail(format!("{place}{at} of a {kind:?}: {raw} is lost")),
            }
            if !has_form(raw, form, need) {
                self.fail(format!("{place}{at} of a {kind:?}: {raw} is no {form:?}"));
            }
        }
    }

    /// What a write left to wait for.
    fn accepted(&mut self, request: &Classified) {
        let answer = &self.exchange.answer;
        let Some(accepted) = Accepted::from_answer(answer) else {
            if answer.status == 202 {
                self.fail("202 is read as done");
            }
            return;
        };
        if accepted.poll.is_none() {
            if answer.status == 202 {
                self.fail("202 with nothing to ask");
            }
            return;
        }
        self.link();
        let Some(handle) = accepted.handle else { return };
        let lower = request.resource_type.to_ascii_lowercase();
        let wanted = match lower.as_str() {
            "microsoft.recoveryservices/vaults" => Family::Vault,
            _ if lower.starts_with("microsoft.recoveryservices/") => Family::Backup,
            _ => Family::Arm,
        };
        if handle.family() != wanted {
            self.fail(format!("the operation is read as one of {:?}, not {wanted:?}", handle.family()));
        }
        match poll_request(&handle, &request.target) {
            None if wanted == Family::Arm => {}
            Some(poll) if classify(poll.method, &poll.path, None).is_some_and(|c| c.effect == Effect::Read) => {}
            Some(poll) => self.fail(format!("the poll {} is not in the table of acts", poll.path)),
            None => self.fail("the operation cannot be asked about after a restart"),
        }
    }

    /// The link that a write left: it has an id that fits in a status.
    fn link(&mut self) {
        let answer = &self.exchange.answer;
        let name = if answer.header("azure-asyncoperation").is_some() { "azure-asyncoperation" } else { "location" };
        self.checked(&format!("/response/headers/{name}"));
        let link = answer.header(name).unwrap_or_default();
        let handle = Accepted::from_answer(answer).and_then(|a| a.handle);
        let is_url = link.starts_with("https://") || link.starts_with("http://");
        // a group's delete has an id that is too long to keep (compute-and-arm.md E.3): the group is followed instead
        let followed = link.to_ascii_lowercase().contains("/operationresults/") && !link.to_ascii_lowercase().contains("/providers/");
        if !is_url || (handle.is_none() && !followed) {
            self.fail(format!("no operation can be read from {name} {:?}", link.chars().take(120).collect::<String>()));
        }
    }

    fn operation(&mut self, word: &str) {
        let answer = &self.exchange.answer;
        self.checked("/response/status");
        let status = match OperationStatus::parse(answer) {
            Ok(status) => status,
            Err(error) => return self.read_error(&error),
        };
        if let OperationState::Failed { code, message } = &status.state {
            if code.is_empty() && message.is_empty() {
                self.fail("a failed operation without code and message");
            }
            return;
        }
        let is_result = word.to_ascii_lowercase().ends_with("results") || self.exchange.has_query("monitor", "true");
        // a `Location` of another service may answer with nothing, or with the resource itself
        let is_end = answer.body.is_null() && !word.to_ascii_lowercase().contains("backup") || answer.body.get("type").is_some();
        if !answer.is_success() || is_result || is_end {
            return;
        }
        self.checked("/response/body/status");
        if answer.body.get("status").and_then(Value::as_str).is_none_or(str::is_empty) {
            self.fail("an operation without a status");
        }
        for name in ["startTime", "endTime"] {
            if let Some(time) = answer.body.get(name).filter(|t| !t.is_null()) {
                self.checked(&format!("/response/body/{name}"));
                if !has_form(time, Form::Time, Need::May) {
                    self.fail(format!("{name} {time} of an operation is no time"));
                }
            }
        }
        let has_job = status.properties.get("objectType").and_then(Value::as_str) == Some("OperationStatusJobExtendedInfo");
        if has_job && status.state == OperationState::Succeeded {
            self.checked("/response/body/properties/jobId");
            if status.job_id.is_none() {
                self.fail("the operation's job cannot be read");
            }
        }
    }

    fn error(&mut self) {
        let error = ArmError::from_answer(&self.exchange.answer);
        self.read_error(&error);
    }

    fn read_error(&mut self, error: &ArmError) {
        let answer = &self.exchange.answer;
        let empty = answer.body.is_null() || answer.body.get("raw").is_some();
        if !empty {
            self.checked("/response/body");
        }
        if !empty && error.code.is_empty() && error.message.is_empty() {
            self.fail("an error without code and message");
        }
        let mut codes = Vec::new();
        codes_in(&answer.body, &mut codes);
        if let Some(lost) = codes.iter().take(16).find(|code| !error.has_code(code)) {
            self.fail(format!("the error code {lost:?} is lost"));
        }
        let sentence = error.to_string();
        if sentence.len() > 1024 || sentence.chars().any(char::is_control) {
            self.fail("the error makes no sentence for a condition");
        }
        if error.has_code("ScopeLocked")
            && !error.locked_scopes().iter().all(|s| s.parse::<ResourceId>().is_ok()) | error.locked_scopes().is_empty()
        {
            self.fail("the locked scopes cannot be read");
        }
        let denied = error.code.eq_ignore_ascii_case("AuthorizationFailed") || error.code.eq_ignore_ascii_case("LinkedAuthorizationFailed");
        if denied && error.missing_right().is_none() {
            self.fail("the missing right cannot be read");
        }
        if error.status == 429 && error.message.contains("again after '") && error.retry_after.is_none() {
            self.fail("the seconds to wait cannot be read");
        }
        if error.has_code("RequestDisallowedByPolicy") && has_policy(answer) && error.policy_assignment.is_none() {
            self.fail("the policy assignment cannot be read");
        }
    }
}

/// The codes of an error and of those inside it, in any spelling that was seen.
fn codes_in(value: &Value, found: &mut Vec<String>) {
    let Some(fields) = value.as_object() else {
        value.as_array().into_iter().flatten().for_each(|v| codes_in(v, found));
        return;
    };
    for (key, inner) in fields {
        match (key.to_ascii_lowercase().as_str(), inner) {
            ("code" | "errorcode", Value::String(code)) if !code.is_empty() => found.push(code.clone()),
            ("code" | "errorcode", Value::Number(code)) => found.push(code.to_string()),
            ("error" | "details" | "innererror", inner) => codes_in(inner, found),
            _ => {}
        }
    }
}

fn is_foreign(kind: Kind, body: &Value) -> bool {
    let other = |pointer: &str, ours: &str| body.pointer(pointer).and_then(Value::as_str).is_some_and(|t| !t.eq_ignore_ascii_case(ours));
    other("/properties/backupManagementType", "AzureIaasVM")
        || kind == Kind::Point && other("/properties/objectType", "IaasVMRecoveryPoint")
}

fn has_policy(answer: &Answer) -> bool {
    answer.body.to_string().contains("policyAssignmentName")
}

/// Equal, or a number that became a word.
fn same(raw: &Value, kept: &Value) -> bool {
    match (raw, kept) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(a), Value::String(b)) => a.to_string() == *b,
        _ => raw == kept,
    }
}

fn has_form(raw: &Value, form: Form, need: Need) -> bool {
    let text = raw.as_str();
    match form {
        Form::Any => true,
        Form::Word => text.is_none_or(|t| !t.is_empty()) && !raw.is_object() && !raw.is_array(),
        Form::Id => text.is_some_and(|t| IdText(t.to_owned()).is_readable() && (need == Need::May || !t.is_empty())),
        Form::Time => text.is_some_and(|t| ArmTime(t.to_owned()).is_readable()),
        Form::Span => text.is_some_and(|t| ArmDuration(t.to_owned()).duration().is_some()),
        Form::Guid => text.is_some_and(|t| uuid::Uuid::parse_str(t).is_ok()),
    }
}
