//! ARM's errors: read in every shape that was seen (backup.md §4.1, compute-and-arm.md E.4), and what they ask of us.

use std::{fmt, time::Duration};

use serde_json::Value;

use crate::{
    id::{ResourceId, ResourceType},
    redact::redacted,
    wire::{Answer, Method},
    word::Word,
};

/// A refusal, or a failed operation's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ArmError {
    /// The HTTP status of the answer that carried it.
    pub status: u16,
    /// The code; empty when none was given.
    pub code: String,
    /// The message in one line, without anything secret; empty when none was given.
    pub message: String,
    /// What it is about, in the service's words.
    pub target: Option<String>,
    /// The errors inside, outermost first.
    pub details: Vec<ErrorDetail>,
    /// How long the service asks to wait: the header, else the seconds in a throttling message.
    pub retry_after: Option<Duration>,
    /// True when ARM itself refused, before the service saw the request.
    pub gateway: bool,
    /// The policy assignment that forbade it (`RequestDisallowedByPolicy`).
    pub policy_assignment: Option<String>,
}

/// One error inside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDetail {
    /// Its code; empty when none was given.
    pub code: String,
    /// Its message; empty when none was given.
    pub message: String,
}

/// Longest message kept, in bytes.
const MAX_MESSAGE: usize = 2000;
/// Longest sentence shown, in bytes.
const MAX_SENTENCE: usize = 500;
/// Most inner errors kept.
const MAX_DETAILS: usize = 16;

impl ArmError {
    /// Reads the error of an answer. Always succeeds: with nothing readable, code and message are empty.
    pub fn from_answer(answer: &Answer) -> ArmError {
        let envelope = envelope(&answer.body);
        // `{"error": "in words"}`; RFC 9457's problem details say it under other names
        let names = ["message", "error", "detail", "title"];
        let message = names.iter().map(|name| text(envelope, name)).find(|message| !message.is_empty()).unwrap_or_default();
        let mut details = Vec::new();
        collect_details(envelope, &mut details, 0);
        ArmError {
            status: answer.status,
            code: redacted(&code_of(envelope), 200),
            retry_after: answer.retry_after().or_else(|| seconds_in(&message).filter(|_| answer.status == 429)),
            message: redacted(&message, MAX_MESSAGE),
            target: Some(text(envelope, "target")).filter(|t| !t.is_empty()).map(|t| redacted(&t, 300)),
            details,
            gateway: answer.header("x-ms-failure-cause").is_some_and(|c| c.eq_ignore_ascii_case("gateway")),
            policy_assignment: policy_assignment(envelope),
        }
    }

    /// True when the code, or the code of an error inside, is that word.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code) || self.details.iter().any(|d| d.code.eq_ignore_ascii_case(code))
    }

    /// The scopes whose lock stands in the way (`ScopeLocked`).
    pub fn locked_scopes(&self) -> Vec<&str> {
        if !self.has_code("ScopeLocked") {
            return Vec::new();
        }
        let after = self.message.find("locked:").map_or("", |at| &self.message[at..]);
        quoted(after).flat_map(|list| list.split(',')).map(str::trim).filter(|s| !s.is_empty()).collect()
    }

    /// The action and the scope that a right is missing for (`AuthorizationFailed`, `LinkedAuthorizationFailed`).
    pub fn missing_right(&self) -> Option<(&str, &str)> {
        let part = |before: &str| quoted(&self.message[self.message.find(before)? + before.len()..]).next();
        if self.has_code("LinkedAuthorizationFailed") {
            let right = part("not have permission to perform").zip(part("linked scope"));
            // of another tenant nothing more is told than the subscription
            return right.or_else(|| part("perform action").zip(part("linked subscription")));
        }
        if self.has_code("AuthorizationFailed") { Some((part("perform action")?, part("over scope")?)) } else { None }
    }
}

/// One sentence, fit for a condition: bounded, one line, nothing secret.
impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() { "an error without a code" } else { &self.code };
        let mut sentence = format!("Azure answered {} {code}", self.status);
        if let Some(name) = &self.policy_assignment {
            sentence.push_str(&format!(" (policy assignment {name})"));
        }
        match self.message.as_str() {
            "" => {}
            message => sentence.push_str(&format!(": {message}")),
        }
        if let Some(inner) = self.details.iter().find(|d| !d.message.is_empty() && d.message != self.message) {
            sentence.push_str(&format!(" [{}: {}]", inner.code, inner.message));
        }
        f.write_str(&redacted(&sentence, MAX_SENTENCE))
    }
}

/// Where code and message are: below `error`, below OData's name for it, in the first of a list, or at the top.
fn envelope(body: &Value) -> &Value {
    let body = body.as_array().and_then(|all| all.first()).unwrap_or(body);
    let inside = ["error", "odata.error"].iter().find_map(|name| field(body, name).filter(|e| e.is_object()));
    inside.unwrap_or(body)
}

/// A field in either of the spellings seen: `code`, `Code`.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, v)| key.eq_ignore_ascii_case(name) && !v.is_null()).map(|(_, v)| v)
}

/// A field's text: a string, a number, or `{"Value": ...}`.
fn text(value: &Value, name: &str) -> String {
    match field(value, name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(inner @ Value::Object(_)) => field(inner, "value").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn code_of(envelope: &Value) -> String {
    match text(envelope, "code") {
        code if code.is_empty() => text(envelope, "errorCode"),
        code => code,
    }
}

/// Inner errors lie under `details` (a list, an object or a text) and `innererror`, some of them deep.
fn collect_details(envelope: &Value, found: &mut Vec<ErrorDetail>, depth: usize) {
    if depth > 4 {
        return;
    }
    let inner = ["details", "innererror"].iter().filter_map(|name| field(envelope, name));
    for value in inner.flat_map(|v| v.as_array().map_or_else(|| vec![v], |list| list.iter().collect())) {
        if found.len() >= MAX_DETAILS {
            return;
        }
        let detail = match value {
            Value::String(text) => ErrorDetail { code: String::new(), message: redacted(text, MAX_MESSAGE) },
            _ => ErrorDetail { code: redacted(&code_of(value), 200), message: redacted(&text(value, "message"), MAX_MESSAGE) },
        };
        if !detail.code.is_empty() || !detail.message.is_empty() {
            found.push(detail);
        }
        collect_details(value, found, depth + 1);
    }
}

fn policy_assignment(envelope: &Value) -> Option<String> {
    let infos = field(envelope, "additionalInfo")?.as_array()?;
    infos.iter().find_map(|info| {
        let info = field(info, "info")?;
        let name = [text(info, "policyAssignmentDisplayName"), text(info, "policyAssignmentName")].into_iter().find(|n| !n.is_empty())?;
        Some(redacted(&name, 200))
    })
}

/// "Please try again after '324' seconds."
fn seconds_in(message: &str) -> Option<Duration> {
    let at = message.find("again after")?;
    quoted(&message[at..]).next()?.trim().parse().ok().map(Duration::from_secs)
}

/// The parts of a text between single quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('\'').skip(1).step_by(2)
}

/// Which service an answer comes from: the same status means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// ARM itself: groups, tags, locks, the resource list.
    Resources,
    /// Microsoft.Compute.
    Compute,
    /// Microsoft.Network.
    Network,
    /// Vaults, Backup, Site Recovery.
    RecoveryServices,
    /// Any other.
    Other,
}

impl Service {
    /// The service of a resource type.
    pub fn of(resource_type: &ResourceType) -> Service {
        let namespace = Word::from(resource_type.as_str().split('/').next().unwrap_or_default());
        let known = [
            ("Microsoft.RecoveryServices", Service::RecoveryServices),
            ("Microsoft.Compute", Service::Compute),
            ("Microsoft.Network", Service::Network),
            ("Microsoft.Resources", Service::Resources),
            ("Microsoft.Authorization", Service::Resources),
        ];
        known.iter().find(|(name, _)| namespace.is(name)).map_or(Service::Other, |(_, service)| *service)
    }

    /// 400s that mean "not now": the request was right.
    fn means_wait(self) -> &'static [&'static str] {
        match self {
            Service::Network => {
                &["NicInUse", "InUseSubnetCannotBeDeleted", "PublicIPAddressCannotBeDeleted", "InUseNetworkSecurityGroupCannotBeDeleted"]
            }
            Service::RecoveryServices => &[
                "ServiceResourceNotEmptyWithBackendMessage",
                "ServiceResourceNotEmptyWithContainerDetails",
                "UserErrorVmNotInDesirableState",
                "UserErrorBackupOperationInProgress",
                "CloudDosTimeboudLimitReached",
                "BMSUserErrorDataSourceObjectNotFound",
            ],
            Service::Compute => &["Conflict"],
            Service::Resources | Service::Other => &["PrincipalNotFound"],
        }
    }
}

/// What an error asks of us (house-style.md, "Errors").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Send it again, after that time or a backoff.
    Retry {
        /// What the service asked for.
        after: Option<Duration>,
    },
    /// It will pass, but not soon: minutes.
    RetrySlowly,
    /// Only a change of the spec helps.
    AwaitEdit,
    /// Only a person in Azure helps.
    AwaitHuman,
}

/// Codes that say what is needed whatever the status, and the sooner the better.
const NEEDS_A_PERSON: [&str; 13] = [
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
    "ScopeLocked",
    "RequestDisallowedByPolicy",
    "UserErrorRequestDisallowedByPolicy",
    "MissingSubscriptionRegistration",
    "QuotaExceeded",
    "SkuNotAvailable",
    "CloudDosAbsoluteLimitReached",
    "UserErrorCoreCountSubscriptionQuotaReached",
    "SubscriptionNotFound",
    "ReadOnlyDisabledSubscription",
    "ResourceGroupNotFound",
];

/// Conditions that pass in minutes.
const PASSES_SLOWLY: [&str; 7] = [
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "ParentResourceNotFound",
    "PrincipalNotFound",
    "InUseSubnetCannotBeDeleted",
    "CloudDosTimeboudLimitReached",
];

/// What an error asks of us. For an action that must not be repeated, [`outcome_unknown`] comes first.
pub fn remedy(service: Service, method: Method, error: &ArmError) -> Remedy {
    let any = |codes: &[&str]| codes.iter().any(|code| error.has_code(code));
    let quota = error.has_code("OperationNotAllowed") && error.message.to_ascii_lowercase().contains("quota");
    match error.status {
        408 | 429 | 500.. => Remedy::Retry { after: error.retry_after },
        401 if error.has_code("ExpiredAuthenticationToken") => Remedy::Retry { after: None },
        401 | 403 => Remedy::AwaitHuman,
        _ if quota || any(&NEEDS_A_PERSON) => Remedy::AwaitHuman,
        400 if any(service.means_wait()) || any(&PASSES_SLOWLY) => Remedy::RetrySlowly,
        400 if error.has_code("NoRegisteredProviderFound") => Remedy::AwaitHuman,
        400 => Remedy::AwaitEdit,
        404 if method == Method::Delete => Remedy::Retry { after: None },
        404 => Remedy::RetrySlowly,
        409 if error.has_code("PropertyChangeNotAllowed") => Remedy::AwaitEdit,
        409 if error.has_code("OperationNotAllowed") || any(&PASSES_SLOWLY) => Remedy::RetrySlowly,
        409 | 412 => Remedy::Retry { after: error.retry_after },
        // 405, 413, 415, ...: a version or a body that Azure does not know; nothing in the spec mends it
        _ => Remedy::AwaitHuman,
    }
}

/// True when an answer says that the resource itself is not there. A 404 may speak of something else: of a subscription that this
/// identity cannot see, of a type or a version that the gateway does not know, or of nothing, as a proxy's page does.
pub fn says_absent(answer: &Answer) -> bool {
    const OF_SOMETHING_ELSE: [&str; 10] = [
        "SubscriptionNotFound",
        "InvalidSubscriptionId",
        "InvalidResourceType",
        "InvalidResourceNamespace",
        "NoRegisteredProviderFound",
        "MissingSubscriptionRegistration",
        "InvalidApiVersionParameter",
        "AuthorizationFailed",
        "InvalidAuthenticationTokenTenant",
        "TenantNotFound",
    ];
    let error = ArmError::from_answer(answer);
    // `ResourceNotFound` as well, and of the machine behind a backup whose points still stand (backup.md §4.2, recorded).
    let of_machine = error.message.contains("VM no longer exists");
    answer.status == 404 && !error.code.is_empty() && !of_machine && !OF_SOMETHING_ELSE.iter().any(|code| error.has_code(code))
}

/// True when an answer is the resource of that id: it has the id, and properties, as every recorded one does but a subscription.
/// What is missing in one that is cut short, or a proxy's, must not be taken for what Azure has by default.
pub fn shows(answer: &Answer, id: &ResourceId) -> bool {
    let named = answer.body.get("id").and_then(Value::as_str).and_then(|text| text.parse::<ResourceId>().ok());
    // Services write names in lower case, and not only those of ASCII.
    let is_same = |named: &ResourceId| named == id || named.as_str().to_lowercase() == id.as_str().to_lowercase();
    named.as_ref().is_some_and(is_same) && (id.parent().is_none() || answer.body.get("properties").is_some_and(Value::is_object))
}

/// True when the request certainly did not take effect: a whole 4xx answer other than 408. Only then may an action
/// that happens once be sent again (architecture.md, rule 3).
pub fn whole_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 408
}

/// True when the request may or may not have taken effect.
pub fn outcome_unknown(status: u16) -> bool {
    status == 408 || status >= 500
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
