//! The demo's story: what the objects say, told once each, in the order in which it comes true.
//!
//! Pure: objects in, lines out.

use std::collections::BTreeSet;

use serde_json::Value;

/// What has been told already.
#[derive(Debug, Default)]
pub struct Story {
    told: BTreeSet<String>,
}

impl Story {
    /// The lines that `objects` (all kinds, as kubectl lists them) allow and that were not told before.
    pub fn news(&mut self, objects: &[Value]) -> Vec<String> {
        let lines = objects.iter().flat_map(lines_of);
        lines.filter(|line| self.told.insert(line.clone())).collect()
    }

    /// Why the story is not complete: empty when the vault and the policy stand, the selector found machines, and
    /// every machine that was found and that nobody else protects has a recovery point, its first backup being over.
    pub fn missing(objects: &[Value]) -> Vec<String> {
        let mut missing = Vec::new();
        for kind in ["RecoveryVault", "BackupPolicy"] {
            let mut of_kind = objects.iter().filter(|object| text(object, "/kind") == kind).peekable();
            if of_kind.peek().is_none() {
                missing.push(format!("no {kind} was applied"));
            }
            missing.extend(of_kind.filter(|object| !is_ready(object)).map(not_ready));
        }
        let machines: Vec<&Value> = objects.iter().filter(|object| text(object, "/kind") == "ProtectedMachine").collect();
        let matched: i64 = objects.iter().map(|object| number(object, "/status/matched")).sum();
        let (left_alone, ours): (Vec<&Value>, Vec<&Value>) = machines.into_iter().partition(|machine| is_left_alone(machine));
        if matched == 0 || ours.len() as i64 != matched {
            let (ours, left_alone) = (ours.len(), left_alone.len());
            missing.push(format!(
                "the policies count {matched} machines; {ours} ProtectedMachines are to be protected, {left_alone} left alone"
            ));
        }
        // One operation at a time on a machine: what runs on it would only keep others waiting.
        let is_backed_up = |machine: &&Value| {
            let over = machine.pointer("/status/firstBackup/job").is_none() || machine.pointer("/status/firstBackup/result").is_some();
            number(machine, "/status/recoveryPoints/count") > 0 && over
        };
        missing.extend(ours.into_iter().filter(|machine| !is_backed_up(machine)).map(not_ready));
        missing
    }
}

impl Story {
    /// Why the second part is not complete: empty when runs were applied and all of them are done.
    pub fn runs_missing(objects: &[Value]) -> Vec<String> {
        let runs: Vec<&Value> = objects.iter().filter(|object| matches!(text(object, "/kind"), "BackupRun" | "RestoreRun")).collect();
        let mut missing: Vec<String> = runs.iter().filter(|run| !is_ready(run)).map(|run| not_ready(run)).collect();
        if runs.is_empty() {
            missing.push("no run was applied".to_owned());
        }
        missing
    }
}

fn lines_of(object: &Value) -> Vec<String> {
    match text(object, "/kind") {
        "RecoveryVault" => vault(object),
        "BackupPolicy" => policy(object),
        "ProtectedMachine" => machine(object),
        "BackupRun" => backup_run(object),
        "RestoreRun" => restore_run(object),
        _ => Vec::new(),
    }
}

fn vault(object: &Value) -> Vec<String> {
    let status = &object["status"]["vault"];
    if !is_ready(object) || status.is_null() {
        return stalled(object);
    }
    let days = number(status, "/softDelete/retentionDays");
    vec![format!(
        "vault created: {} in {}, {}, soft delete {} for {days} days, immutability {}",
        last_segment(text(status, "/id")),
        text(status, "/location"),
        text(status, "/redundancy"),
        text(status, "/softDelete/state"),
        text(status, "/immutability"),
    )]
}

fn policy(object: &Value) -> Vec<String> {
    let mut lines = stalled(object);
    let (name, status) = (text(object, "/metadata/name"), &object["status"]);
    if let Some(id) = status["policyId"].as_str() {
        lines.push(format!("policy created: {name} stands in Azure as {}", last_segment(id)));
    }
    let left_out: Vec<&Value> = status["excluded"].as_array().into_iter().flatten().collect();
    if let Some(matched) = status["matched"].as_i64().filter(|matched| *matched > 0) {
        // A machine that proves to be somebody else's is no longer counted as matched, and was found all the same.
        let found = matched + left_out.iter().filter(|machine| text(machine, "/reason") != "TagsDoNotMatch").count() as i64;
        lines.push(format!("{} found by tag for {name}", machines(found)));
    }
    for left_out in left_out {
        let machine = last_segment(text(left_out, "/machine"));
        lines.push(format!("left alone: {machine}, because {}", why(text(left_out, "/reason"))));
    }
    lines
}

fn machine(object: &Value) -> Vec<String> {
    let mut lines = stalled(object);
    let (name, status) = (last_segment(text(object, "/spec/machineId")), &object["status"]);
    if matches!(text(status, "/protection"), "InitialBackupPending" | "Protected") {
        lines.push(format!("{name} is protected"));
    }
    if let Some(job) = status["firstBackup"]["job"].as_str() {
        lines.push(format!("{name}: first backup runs as job {}", job.get(..8).unwrap_or(job)));
    }
    if let Some(result) = status["firstBackup"]["result"].as_str() {
        lines.push(format!("{name}: first backup {result}"));
    }
    let latest = &status["recoveryPoints"]["latest"];
    if !latest.is_null() {
        let tiers: Vec<&str> = latest["tiers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (at, consistency) = (whole_seconds(text(latest, "/at")), words(text(latest, "/consistency")));
        lines.push(format!("{name} can be recovered to {at}: {consistency}, in {}", tiers.join(" and ")));
    }
    lines
}

fn backup_run(object: &Value) -> Vec<String> {
    let mut lines = stalled(object);
    let (name, status) = (text(object, "/metadata/name"), &object["status"]);
    if let Some(job) = status["job"]["name"].as_str() {
        lines.push(format!("backup {name} runs as job {}", job.get(..8).unwrap_or(job)));
    }
    if text(status, "/phase") == "Succeeded" {
        let (at, consistency) = (whole_seconds(text(status, "/recoveryPoint/at")), words(text(status, "/recoveryPoint/consistency")));
        lines.push(format!(
            "backup {name} is done: recovery point of {at}, {consistency}, kept until {}",
            text(status, "/recoveryPoint/expires")
        ));
    }
    lines
}

fn restore_run(object: &Value) -> Vec<String> {
    let mut lines = stalled(object);
    let (name, status) = (text(object, "/metadata/name"), &object["status"]);
    let point = &status["point"];
    if !point.is_null() {
        let (at, consistency) = (whole_seconds(text(point, "/at")), words(text(point, "/consistency")));
        lines.push(format!("restore {name} to {} from the point of {at}, {consistency}", text(status, "/target")));
    }
    if !status["validation"].is_null() && status["validation"]["findings"].is_null() {
        lines.push(format!("restore {name}: Azure finds nothing in its way"));
    }
    if let Some(job) = status["job"]["name"].as_str() {
        lines.push(format!("restore {name} runs as job {}", job.get(..8).unwrap_or(job)));
    }
    if text(status, "/phase") == "Succeeded" {
        let made: Vec<&str> = status["made"].as_array().into_iter().flatten().map(|made| last_segment(text(made, "/id"))).collect();
        lines.push(format!("restore {name} is done; it made {}", made.join(", ")));
    }
    lines
}

/// What stops an object until somebody does something; nothing when it is not stopped.
fn stalled(object: &Value) -> Vec<String> {
    match condition(object, "Stalled") {
        Some(stalled) if stalled["status"] == "True" => vec![format!(
            "{} {} is stopped: {} ({})",
            text(object, "/kind"),
            text(object, "/metadata/name"),
            text(stalled, "/message"),
            text(stalled, "/reason")
        )],
        _ => Vec::new(),
    }
}

fn not_ready(object: &Value) -> String {
    let ready = condition(object, "Ready").unwrap_or(&Value::Null);
    let (reason, message) = (text(ready, "/reason"), text(ready, "/message"));
    format!("{} {}: {reason} {message}", text(object, "/kind"), text(object, "/metadata/name"))
}

fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Somebody else protects it: there is nothing for us to do.
fn is_left_alone(machine: &Value) -> bool {
    matches!(text(machine, "/status/protection"), "ElsewhereProtected" | "ForeignPolicy")
}

fn why(reason: &str) -> String {
    match reason {
        "ElsewhereProtected" => "another vault protects it already (ElsewhereProtected)".to_owned(),
        "ForeignPolicy" => "a policy that is not ours protects it (ForeignPolicy)".to_owned(),
        "TagsDoNotMatch" => "its tags do not ask for it (TagsDoNotMatch)".to_owned(),
        reason => format!("of {reason}"),
    }
}

fn machines(count: i64) -> String {
    match count {
        1 => "one machine".to_owned(),
        2..=12 => {
            let words = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
            format!("{} machines", usize::try_from(count - 2).map_or("many", |at| words[at]))
        }
        _ => format!("{count} machines"),
    }
}

/// `ApplicationConsistent` as people say it.
fn words(camel: &str) -> String {
    let mut words = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// Azure gives seven digits after the seconds; nobody reads them.
fn whole_seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ready(kind: &str, status: Value) -> Value {
        let mut status = status;
        status["conditions"] = json!([{ "type": "Ready", "status": "True", "reason": "AsDeclared", "message": "" }]);
        json!({ "kind": kind, "metadata": { "name": "it" }, "spec": { "machineId": "/subscriptions/s/virtualMachines/web-1" }, "status": status })
    }

    fn complete() -> Vec<Value> {
        let point = json!({ "at": "2026-11-24T10:00:00.1234567Z", "consistency": "ApplicationConsistent", "tiers": ["Snapshot", "Vault"] });
        vec![
            ready("RecoveryVault", json!({ "vault": { "id": "/subscriptions/s/vaults/rv", "location": "westeurope" } })),
            ready("BackupPolicy", json!({ "matched": 1, "excluded": [{ "machine": "/x/old-1", "reason": "ElsewhereProtected" }] })),
            ready("ProtectedMachine", json!({ "protection": "Protected", "recoveryPoints": { "count": 1, "latest": point } })),
        ]
    }

    #[test]
    fn each_thing_is_told_once() {
        let mut story = Story::default();
        let first = story.news(&complete());
        assert!(
            first.iter().any(|line| line == "left alone: old-1, because another vault protects it already (ElsewhereProtected)"),
            "{first:#?}"
        );
        assert!(first.iter().any(|line| line == "two machines found by tag for it"), "{first:#?}");
        let told = "web-1 can be recovered to 2026-11-24T10:00:00Z: application consistent, in Snapshot and Vault";
        assert!(first.iter().any(|line| line == told), "{first:#?}");
        assert_eq!(story.news(&complete()), Vec::<String>::new());
    }

    #[test]
    fn runs_are_told_and_missing_until_all_of_them_are_done() {
        assert!(!Story::runs_missing(&complete()).is_empty(), "none was applied");
        let point = json!({ "at": "2026-11-24T10:00:00Z", "consistency": "FileSystemConsistent", "expires": "2027-01-31T00:00:00Z" });
        let done = json!({ "phase": "Succeeded", "target": "machine b in rg", "point": point, "validation": { "at": "2026-11-24T10:00:00Z" },
            "recoveryPoint": point, "job": { "name": "0123456789" }, "made": [{ "id": "/x/b" }] });
        let mut runs = vec![ready("BackupRun", done.clone()), ready("RestoreRun", done)];
        assert_eq!(Story::runs_missing(&runs), Vec::<String>::new());
        let told = Story::default().news(&runs);
        let lines = ["kept until 2027-01-31T00:00:00Z", "restore it to machine b in rg", "Azure finds nothing in its way", "it made b"];
        lines.iter().for_each(|line| assert!(told.iter().any(|t| t.contains(line)), "{line}: {told:#?}"));
        runs[1]["status"]["conditions"][0]["status"] = json!("False");
        assert_eq!(Story::runs_missing(&runs).len(), 1);
    }

    #[test]
    fn the_story_is_complete_only_when_nothing_is_missing() {
        assert_eq!(Story::missing(&complete()), Vec::<String>::new());
        let without = |at: usize| {
            let mut objects = complete();
            objects.remove(at);
            objects
        };
        for at in 0..3 {
            assert!(!Story::missing(&without(at)).is_empty(), "without object {at}");
        }
        let mut no_point = complete();
        no_point[2]["status"]["recoveryPoints"]["count"] = json!(0);
        assert_eq!(Story::missing(&no_point), ["ProtectedMachine it: AsDeclared "]);
        let mut backup_runs = complete();
        backup_runs[2]["status"]["firstBackup"] = json!({ "job": "j" });
        assert_eq!(Story::missing(&backup_runs).len(), 1, "its first backup is not over");
        backup_runs[2]["status"]["firstBackup"]["result"] = json!("Completed");
        assert_eq!(Story::missing(&backup_runs), Vec::<String>::new());
        no_point[2]["status"]["protection"] = json!("ElsewhereProtected");
        assert!(!Story::missing(&no_point).is_empty(), "the policy still counts it");
        no_point[2]["status"]["protection"] = json!("Protected");
        let mut with_one_left_alone = complete();
        with_one_left_alone.push(ready("ProtectedMachine", json!({ "protection": "ElsewhereProtected" })));
        assert_eq!(Story::missing(&with_one_left_alone), Vec::<String>::new());
        assert!(!Story::missing(&[]).is_empty());
    }

    #[test]
    fn what_stops_an_object_is_told_with_its_reason() {
        let mut object = ready("RecoveryVault", json!({}));
        object["status"]["conditions"] =
            json!([{ "type": "Stalled", "status": "True", "reason": "NoAccess", "message": "no AzureAccess admits shop." }]);
        assert_eq!(Story::default().news(&[object]), ["RecoveryVault it is stopped: no AzureAccess admits shop. (NoAccess)"]);
    }
}
