//! What a restore would find wrong, as a validation says it (backup.md §13).

use serde_json::Value;

body! {
    /// One thing that is wrong.
    ValidationResult {
        /// The error code.
        code: String,
        /// In words.
        message: String,
        /// What to do.
        recommendations: Vec<String>,
    }
}

/// What a validation found; empty when the restore would go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidationResults(pub Vec<ValidationResult>);

impl ValidationResults {
    /// Reads the answer of `backupValidateOperationsStatuses`, its properties, or the answer of
    /// `backupValidateOperationResults`. `None` when it tells nothing: a validation that is not at its end, or that failed.
    ///
    /// Nobody recorded one: names are the SDK's. A response without a list, or with null for one, is taken for "nothing is
    /// wrong", as .NET writes an empty list that it leaves out. A result of another form is one without words.
    pub fn parse(body: &Value) -> Option<Self> {
        let places = ["/properties/validateOperationResponse", "/validateOperationResponse"];
        let response = places.iter().find_map(|place| body.pointer(place)).filter(|response| response.is_object())?;
        match response.get("validationResults") {
            None | Some(Value::Null) => Some(ValidationResults::default()),
            Some(Value::Array(all)) => Some(ValidationResults(all.iter().map(read).collect())),
            Some(_) => None,
        }
    }

    /// True when the restore would go.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Field by field: what one of them lacks does not hide the others.
fn read(result: &Value) -> ValidationResult {
    let text = |name: &str| match result.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let recommendations = result.get("recommendations").and_then(Value::as_array);
    ValidationResult {
        code: text("code"),
        message: text("message"),
        recommendations: recommendations.map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{OperationState, OperationStatus, wire::Answer};

    fn status(response: Value) -> Value {
        let properties = json!({"objectType": "OperationStatusValidateOperationExtendedInfo", "validateOperationResponse": response});
        json!({"id": "o", "name": "o", "status": "Succeeded", "endTime": "2024-04-28T07:28:38Z", "properties": properties})
    }

    #[test]
    fn findings_are_read_wherever_they_are_told() {
        let response = json!({"validationResults": [
            {"code": "UserErrorTargetExists", "message": "m", "recommendations": ["r", 1]}, {"code": 400048}, null
        ]});
        let told = ValidationResult {
            code: Some("UserErrorTargetExists".into()),
            message: Some("m".into()),
            recommendations: Some(vec!["r".into()]),
        };
        let numbered = ValidationResult { code: Some("400048".into()), ..ValidationResult::default() };
        let wanted = ValidationResults(vec![told, numbered, ValidationResult::default()]);
        let answer = Answer { status: 200, body: status(response.clone()), ..Answer::default() };
        let operation = OperationStatus::parse(&answer).unwrap();
        assert_eq!(operation.state, OperationState::Succeeded);
        assert_eq!(ValidationResults::parse(&answer.body), Some(wanted.clone()));
        assert_eq!(ValidationResults::parse(&operation.properties), Some(wanted.clone()));
        assert_eq!(ValidationResults::parse(&json!({"validateOperationResponse": response})), Some(wanted));
    }

    #[test]
    fn no_finding_is_told_apart_from_no_answer() {
        for nothing_wrong in [json!({"validationResults": []}), json!({"validationResults": null}), json!({})] {
            assert!(ValidationResults::parse(&status(nothing_wrong.clone())).unwrap().is_empty(), "{nothing_wrong}");
        }
        for unknown in [Value::Null, json!({"status": "Succeeded"}), status(Value::Null), status(json!({"validationResults": "x"}))] {
            assert_eq!(ValidationResults::parse(&unknown), None, "{unknown}");
        }
    }
}
