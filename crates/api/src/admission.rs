//! Who may answer a question: the in-tree ValidatingAdmissionPolicy and its binding that we ship, and whether the ones that
//! a cluster has are these. While they are not in force, no Approval counts (api.md, "Approval").

use serde_json::{Value, json};

/// The name of the policy, of its binding and of the ClusterRole of those who may answer.
pub const APPROVALS: &str = "breakwater-approvals";

/// How long policy and binding must have stood before an Approval was made, in seconds: API servers take a while to notice.
pub const STANDS_FOR: i64 = 30;

/// `spec` of the shipped ValidatingAdmissionPolicy, with what the API server would default written out.
pub fn policy_spec() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{
                "apiGroups": ["breakwater.io"],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["approvals"],
                "scope": "*",
            }],
        },
        "validations": [
            {
                "expression": "request.operation != 'CREATE' || object.spec.approvedBy == request.userInfo.username",
                "messageExpression": "'spec.approvedBy must be the one who answers: you are ' + request.userInfo.username",
                "message": "spec.approvedBy must be the one who answers",
                "reason": "Forbidden",
            },
            {
                "expression": "request.operation != 'UPDATE' || object.spec == oldObject.spec",
                "message": "an Approval is immutable: delete it and make a new one",
                "reason": "Invalid",
            },
        ],
    })
}

/// `spec` of its binding.
pub fn binding_spec() -> Value {
    json!({ "policyName": APPROVALS, "validationActions": ["Deny"] })
}

/// What brings the rule into force.
pub fn remedy() -> String {
    format!("apply deploy/kustomize/access, and answer anew {STANDS_FOR} s later")
}

/// Why the rule that approvedBy is the requesting user is not in force, by the policy and the binding as they are live, and
/// what to do; `None` when it is.
pub fn not_in_force(policy: Option<&Value>, binding: Option<&Value>) -> Option<String> {
    let parts = [("ValidatingAdmissionPolicy", policy, policy_spec()), ("ValidatingAdmissionPolicyBinding", binding, binding_spec())];
    parts.into_iter().find_map(|(kind, live, shipped)| {
        let why = match live {
            None => "does not exist",
            Some(live) if live.pointer("/metadata/deletionTimestamp").is_some() => "is being deleted",
            Some(live) if live.get("spec") != Some(&shipped) => "is not the one that Breakwater ships",
            Some(_) => return None,
        };
        Some(format!("{kind} {APPROVALS} {why}: {}", remedy()))
    })
}

/// When a policy or binding was last changed, RFC 3339: its creation or the newest write of anything but its status.
pub fn last_changed(live: &Value) -> Option<jiff::Timestamp> {
    let time = |v: &Value| v.as_str()?.parse::<jiff::Timestamp>().ok();
    let fields = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let written = fields.into_iter().flatten().filter(|f| f["subresource"] != "status").filter_map(|f| time(&f["time"]));
    written.chain(live.pointer("/metadata/creationTimestamp").and_then(time)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(spec: Value) -> Value {
        json!({ "metadata": { "name": APPROVALS, "creationTimestamp": "2026-11-24T08:00:00Z" }, "spec": spec })
    }

    #[test]
    fn only_the_shipped_rule_is_in_force() {
        let (policy, binding) = (live(policy_spec()), live(binding_spec()));
        assert_eq!(not_in_force(Some(&policy), Some(&binding)), None);
        assert!(not_in_force(None, Some(&binding)).unwrap().contains("ValidatingAdmissionPolicy"));
        assert!(not_in_force(Some(&policy), None).unwrap().contains("Binding"));
        for (pointer, weaker) in [
            ("/spec/failurePolicy", json!("Ignore")),
            ("/spec/validations/0/expression", json!("true")),
            ("/spec/matchConstraints/namespaceSelector", json!({ "matchLabels": { "a": "b" } })),
            ("/spec/matchConstraints/resourceRules/0/operations", json!(["UPDATE"])),
        ] {
            let mut other = policy.clone();
            *other.pointer_mut(pointer).unwrap() = weaker;
            assert!(not_in_force(Some(&other), Some(&binding)).is_some(), "{pointer}");
        }
        let mut conditional = policy.clone();
        conditional["spec"]["matchConditions"] = json!([{ "name": "never", "expression": "false" }]);
        assert!(not_in_force(Some(&conditional), Some(&binding)).is_some());
        for weaker in [
            json!({ "policyName": APPROVALS, "validationActions": ["Warn"] }),
            json!({ "policyName": "other", "validationActions": ["Deny"] }),
        ] {
            assert!(not_in_force(Some(&policy), Some(&live(weaker))).is_some());
        }
        let mut going = policy;
        going["metadata"]["deletionTimestamp"] = json!("2026-11-24T09:00:00Z");
        assert!(not_in_force(Some(&going), Some(&binding)).is_some());
    }

    #[test]
    fn a_write_of_the_status_is_no_change() {
        let mut policy = live(policy_spec());
        assert_eq!(last_changed(&policy).unwrap().to_string(), "2026-11-24T08:00:00Z");
        policy["metadata"]["managedFields"] = json!([
            { "time": "2026-11-24T08:30:00Z" }, { "time": "2026-11-24T09:30:00Z", "subresource": "status" }
        ]);
        assert_eq!(last_changed(&policy).unwrap().to_string(), "2026-11-24T08:30:00Z");
    }

    #[test]
    fn the_manifest_we_ship_holds_exactly_this() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/access/approvals.yaml");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
        let of = |kind: &str| documents.iter().find(|d| d["kind"] == kind).unwrap();
        let (policy, binding) = (of("ValidatingAdmissionPolicy"), of("ValidatingAdmissionPolicyBinding"));
        assert_eq!(not_in_force(Some(policy), Some(binding)), None);
        let role = documents.iter().find(|d| d["kind"] == "ClusterRole" && d["metadata"]["name"] == APPROVALS).unwrap();
        assert_eq!(role["metadata"].get("labels"), None, "the role of those who answer is no part of edit or admin");
    }
}
