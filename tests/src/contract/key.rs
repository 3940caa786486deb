//! Which recorded answer is to be held against which simulated one: method, operation, status and state.

use std::fmt;

use serde_json::{Value, json};

use super::recording::Exchange;

/// What two comparable answers have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The verb; `LIST` for an element of a list.
    pub method: &'static str,
    /// Resource type or action in lower case: `microsoft.compute/disks`, `microsoft.compute/virtualmachines/start`;
    /// a collection ends in `[]`.
    pub operation: String,
    /// The HTTP status.
    pub status: u16,
    /// The state that the body is in, as far as its fields depend on it; of an error its code.
    pub state: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.operation, self.status)?;
        if self.state.is_empty() { Ok(()) } else { write!(f, " {}", self.state) }
    }
}

/// A part of an answer's body that is compared by itself: the whole, or one element of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is.
    pub key: Key,
    /// Its value; a list without its elements.
    pub value: Value,
}

/// The whole answer first, then the elements of a list.
pub fn documents(exchange: &Exchange) -> Vec<Document> {
    let operation = operation(exchange);
    let (status, body) = (exchange.answer.status, &exchange.answer.body);
    let method = exchange.method.as_str();
    let elements = body.get("value").and_then(Value::as_array).filter(|_| operation.ends_with("[]"));
    let Some(elements) = elements else {
        let state = state(&operation, status, body);
        return vec![Document { key: Key { method, operation, status, state }, value: body.clone() }];
    };
    let mut envelope = body.clone();
    envelope["value"] = json!([]);
    let whole = Document { key: Key { method, operation: operation.clone(), status, state: String::new() }, value: envelope };
    let inner = elements.iter().map(|element| {
        let key = Key { method: "LIST", operation: operation.clone(), status, state: state(&operation, status, element) };
        Document { key, value: element.clone() }
    });
    std::iter::once(whole).chain(inner).collect()
}

/// The resource type of an operation, without verb or `[]`, as lists of differences name it.
pub fn type_of(operation: &str) -> &str {
    operation.trim_end_matches("[]").trim_end_matches("?instanceview")
}

fn operation(exchange: &Exchange) -> String {
    let lower = exchange.path.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').filter(|segment| !segment.is_empty()).collect();
    let (namespace, rest) = match segments.iter().rposition(|segment| *segment == "providers").filter(|at| at + 1 < segments.len()) {
        Some(at) => (format!("{}/", segments[at + 1]), &segments[at + 2..]),
        None => (String::new(), &segments[..]),
    };
    let words: Vec<&str> = rest.iter().step_by(2).copied().collect();
    let collection = rest.len() % 2 == 1 && exchange.method.as_str() == "GET";
    let expanded = exchange.query.to_ascii_lowercase().contains("expand=instanceview");
    let monitor = exchange.has_query("monitor", "true");
    format!(
        "{namespace}{}{}{}{}",
        words.join("/"),
        if expanded { "?instanceview" } else { "" },
        if monitor { "?monitor" } else { "" },
        if collection { "[]" } else { "" }
    )
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What decides which fields a body has, by its type.
fn state(operation: &str, status: u16, body: &Value) -> String {
    if status >= 400 {
        return error_code(body);
    }
    let kind = type_of(operation).trim_end_matches("?monitor");
    let words = match kind.rsplit('/').next().unwrap_or_default() {
        word if is_operation(word) => vec![
            text(body, "/status").to_owned(),
            text(body, "/properties/objectType").to_owned(),
            error_code(body),
            output_type(body),
            if body.is_null() { String::new() } else { resource_type(text(body, "/id")) },
        ],
        "protecteditems" | "backupprotecteditems" => vec![
            foreign(text(body, "/properties/protectedItemType"), "Microsoft.Compute/virtualMachines"),
            text(body, "/properties/protectionState").to_owned(),
            if body.pointer("/properties/isScheduledForDeferredDelete").is_some_and(|is| is == true) {
                "deleted".into()
            } else {
                "".into()
            },
        ],
        "backupjobs" | "backupcrrjob" => vec![
            foreign(text(body, "/properties/backupManagementType"), "AzureIaasVM"),
            text(body, "/properties/operation").to_owned(),
            text(body, "/properties/status").to_owned(),
        ],
        "recoverypoints" => vec![text(body, "/properties/objectType").into(), text(body, "/properties/recoveryPointType").into()],
        "backuppolicies" => {
            vec![foreign(text(body, "/properties/backupManagementType"), "AzureIaasVM"), schedule(body)]
        }
        "backupprotectableitems" => vec![text(body, "/properties/protectableItemType").into()],
        "backupprotectioncontainers" | "backupdeletedprotectioncontainers" => vec![text(body, "/properties/containerType").into()],
        "backupresourceencryptionconfig" | "backupencryptionconfigs" => vec![text(body, "/properties/encryptionAtRestType").into()],
        "vaults" | "virtualmachines" => vec![text(body, "/properties/provisioningState").into()],
        "disks" => vec![text(body, "/properties/creationData/createOption").into(), text(body, "/properties/diskState").into()],
        _ => Vec::new(),
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn foreign(found: &str, ours: &str) -> String {
    if found.eq_ignore_ascii_case(ours) { String::new() } else { found.to_owned() }
}

fn schedule(body: &Value) -> String {
    let kind = text(body, "/properties/schedulePolicy/schedulePolicyType");
    format!("{kind} {}", text(body, "/properties/schedulePolicy/scheduleRunFrequency"))
}

/// Whether this is the word before an operation's id.
pub fn is_operation(word: &str) -> bool {
    const WORDS: [&str; 10] = [
        "operations",
        "diskoperations",
        "operationsstatus",
        "operationstatus",
        "operationresults",
        "backupoperations",
        "backupoperationresults",
        "backupcrroperationsstatus",
        "backupcrroperationresults",
        "backupvalidateoperationsstatuses",
    ];
    WORDS.contains(&word)
}

fn output_type(body: &Value) -> String {
    match body.pointer("/properties/output") {
        None if body.get("accessSAS").is_some() => "of a link".to_owned(),
        None => String::new(),
        Some(output) if output.get("id").is_some() => format!("of {}", resource_type(text(output, "/id"))),
        Some(_) => "of a link".to_owned(),
    }
}

/// `microsoft.compute/disks` of an id, nothing of what is no resource's id.
fn resource_type(id: &str) -> String {
    let lower = id.to_ascii_lowercase();
    let Some((_, tail)) = lower.rsplit_once("/providers/") else { return String::new() };
    let segments: Vec<&str> = tail.split('/').collect();
    let words: Vec<&str> = segments.iter().skip(1).step_by(2).copied().collect();
    if words.last().is_none_or(|word| is_operation(word)) { String::new() } else { format!("{}/{}", segments[0], words.join("/")) }
}

fn error_code(body: &Value) -> String {
    let places = ["/error/code", "/Error/Code", "/code", "/ErrorCode"];
    let found = places.iter().find_map(|at| body.pointer(at).and_then(Value::as_str)).unwrap_or_default();
    match body {
        Value::Null => String::new(),
        body if body.get("raw").is_some() => "a page".to_owned(),
        _ => found.to_owned(),
    }
}
