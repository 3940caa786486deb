//! Operations: what a write leaves to wait for, and what asking about it says.

use breakwater_arm::{Accepted, Classified, Effect, Family, OperationState, OperationStatus, classify, operation::poll_request};
use serde_json::Value;

use super::{Check, has_form};
use crate::contract::known::Form;

/// What is read of an operation that is asked about.
const STATUS: [&str; 7] =
    ["/status", "/startTime", "/endTime", "/error/code", "/error/message", "/properties/jobId", "/properties/objectType"];

impl Check<'_> {
    /// What a write left to wait for.
    pub(super) fn accepted(&mut self, request: &Classified) {
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
            "microsoft.recoveryservices/locations" => Family::CrossRegion,
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
    pub(super) fn link(&mut self) {
        let answer = &self.exchange.answer;
        let name = if answer.header("azure-asyncoperation").is_some() { "azure-asyncoperation" } else { "location" };
        self.checked(&format!("/response/headers/{}", self.header_as_spelt(name)));
        let link = answer.header(name).unwrap_or_default();
        let handle = Accepted::from_answer(answer).and_then(|a| a.handle);
        // a bare path is below the endpoint, as arm-http follows it (RFC 9110, "Location")
        let is_url = ["https://", "http://", "/subscriptions/"].iter().any(|begin| starts_with(link, begin));
        // a group's delete has an id that is too long to keep (compute-and-arm.md E.3): the group is followed instead
        let followed = link.to_ascii_lowercase().contains("/operationresults/") && !link.to_ascii_lowercase().contains("/providers/");
        if !is_url || (handle.is_none() && !followed) {
            self.fail(format!("no operation can be read from {name} {:?}", link.chars().take(120).collect::<String>()));
        }
    }

    pub(super) fn operation(&mut self, word: &str) {
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
        self.spelling("/response/body", &answer.body, &STATUS);
        self.checked("/response/body/status");
        if answer.body.get("status").and_then(Value::as_str).is_none_or(str::is_empty) {
            self.fail("an operation without a status");
        }
        for name in ["startTime", "endTime"] {
            if let Some(time) = answer.body.get(name).filter(|t| !t.is_null()) {
                self.checked(&format!("/response/body/{name}"));
                if !has_form(time, Form::Time) {
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
}

fn starts_with(text: &str, begin: &str) -> bool {
    text.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
}
