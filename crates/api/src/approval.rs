//! `Approval`: one person's answer to one question that an object asks.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{ids, status::SharedStatus, times};

/// One answer to one question: who said what to which question of which object, until when.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "Approval",
    namespaced,
    doc = "One person's answer to one question that an object of this namespace asks in status.questions. Immutable; good for one use, for that object as it was declared when it asked.",
    status = "ApprovalStatus",
    shortname = "appr",
    category = "breakwater",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetRef.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(name = "Question", type_ = "string", json_path = ".spec.question"),
    printcolumn(name = "Answer", type_ = "string", json_path = ".spec.answer"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.approvedBy"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("an Approval is immutable: delete it and make a new one")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// The object that asks, in this namespace.
    pub target_ref: TargetReference,
    /// That object's metadata.uid: an object that is made anew under the same name asks anew.
    #[schemars(length(min = 1, max = 64))]
    pub target_uid: String,
    /// The question's id, from the object's status.questions.
    #[schemars(length(min = 1, max = 128))]
    pub question: String,
    /// The question's digest, from the object's status.questions: the answer is good for exactly that question.
    #[schemars(length(min = 64, max = 64), regex(pattern = ids::DIGEST))]
    pub digest: String,
    /// One of the question's answers.
    #[schemars(length(min = 1, max = 128))]
    pub answer: String,
    /// Who answers: the name under which the API server knows you (kubectl auth whoami). Another name is refused.
    #[schemars(length(min = 1, max = 512))]
    pub approved_by: String,
    /// Until when the answer may be used.
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Timestamp,
}

/// An object of this namespace, by kind and name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReference {
    /// Its kind: RecoveryVault, BackupPolicy, ProtectedMachine, ...
    #[schemars(length(min = 1, max = 63), regex(pattern = ids::KIND))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub name: String,
}

/// Whether the answer counts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
}
