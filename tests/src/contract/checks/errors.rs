//! Errors: is what they say read?

use breakwater_arm::{ArmError, ResourceId, wire::Answer};
use serde_json::Value;

use super::Check;

impl Check<'_> {
    pub(super) fn error(&mut self) {
        let error = ArmError::from_answer(&self.exchange.answer);
        self.read_error(&error);
    }

    pub(super) fn read_error(&mut self, error: &ArmError) {
        let answer = &self.exchange.answer;
        let empty = answer.body.is_null() || answer.body.get("raw").is_some();
        if !empty {
            self.checked("/response/body");
        }
        // of an error that says nothing, nothing can be lost
        if !empty && error.code.is_empty() && error.message.is_empty() && says_something(&answer.body) {
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
            ("error" | "odata.error" | "details" | "innererror", inner) => codes_in(inner, found),
            _ => {}
        }
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(members) => members.iter().any(says_something),
        Value::Object(members) => members.values().any(says_something),
        _ => true,
    }
}

fn has_policy(answer: &Answer) -> bool {
    answer.body.to_string().contains("policyAssignmentName")
}
