//! File recovery: a point's disks mounted by a script (backup.md §15).

use std::fmt;

use serde_json::{Value, json};

use crate::{
    base64,
    id::ResourceId,
    redact::redacted,
    secret::Secret,
    versions::{RECOVERY_SERVICES, RECOVERY_SERVICES_SCRIPTS},
    wire::{Method, Request},
    word::Word,
};

/// The body of `POST {point}/provisionInstantItemRecovery`. `renew` where the point has `isInstantIlrSessionActive`;
/// `initiator` is shown to people in Azure.
pub fn provision_body(point: &ResourceId, vm: &ResourceId, initiator: Option<&str>, renew: bool) -> Value {
    let mut properties = json!({
        "objectType": "IaasVMILRRegistrationRequest",
        "recoveryPointId": point.name(),
        "virtualMachineId": vm,
        "renewExistingRegistration": renew,
    });
    if let Some(initiator) = initiator {
        properties["initiatorName"] = json!(initiator);
    }
    json!({"properties": properties})
}

/// Mounts a point's disks: 202, and an operation whose end carries the scripts. Always to be revoked.
pub fn provision_request(point: &ResourceId, vm: &ResourceId, initiator: Option<&str>, renew: bool) -> Request {
    Request::new(Method::Post, format!("{point}/provisionInstantItemRecovery"), RECOVERY_SERVICES)
        .with_body(provision_body(point, vm, initiator, renew))
}

/// Gives back what was mounted: 202, and an operation that ends without a job.
pub fn revoke_request(point: &ResourceId) -> Request {
    Request::new(Method::Post, format!("{point}/revokeInstantItemRecovery"), RECOVERY_SERVICES)
}

/// Asks for the scripts of a mount by the operation that made it.
pub fn scripts_request(point: &ResourceId, provision_operation: &str) -> Request {
    Request::new(Method::Post, format!("{point}/listInstantItemRecoveryOperationResult"), RECOVERY_SERVICES_SCRIPTS)
        .with_body(json!({"provisionInstantItemRecoveryOperationId": provision_operation}))
}

/// One script of a mount. `Debug` shows neither what is in it nor its name's end, which has the password in it.
#[derive(Clone, PartialEq)]
pub struct ClientScript {
    /// `Windows` or `Linux`; `None` when not told.
    pub os_type: Option<Word>,
    /// `.py`, `.exe`, `.txt`; `None` when not told.
    pub extension: Option<String>,
    /// Where to get the program from, where the content is none. Windows has one.
    pub url: Option<String>,
    content: Option<Secret>,
    name_suffix: Option<Secret>,
}

/// In the last part of a script's name the password stands after the target's GUID: azure-cli counts 33 from the
/// underscore before it (custom_help, `_remove_password_from_suffix`).
const PASSWORD_AT: usize = 32;
const PASSWORD_LENGTH: usize = 15;

impl ClientScript {
    /// The scripts of an answer: of the provision operation's status, of its properties, or of
    /// `listInstantItemRecoveryOperationResult`. `None` when the answer has no list of them: nothing is known then.
    pub fn list(body: &Value) -> Option<Vec<ClientScript>> {
        let places = ["/properties/recoveryTarget/clientScripts", "/recoveryTarget/clientScripts", "/clientScripts"];
        let scripts = places.iter().find_map(|place| body.pointer(place)?.as_array())?;
        Some(scripts.iter().map(ClientScript::read).collect())
    }

    fn read(script: &Value) -> ClientScript {
        let text = |name: &str| script.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        ClientScript {
            os_type: text("osType").map(Word::from),
            extension: text("scriptExtension"),
            url: text("url"),
            content: text("scriptContent").map(Secret::new),
            name_suffix: text("scriptNameSuffix").map(Secret::new),
        }
    }

    /// The script itself, decoded. `None` where there is none (the program is at `url`), and for what is no text in base64.
    pub fn content(&self) -> Option<Secret> {
        let bytes = base64::decode(self.content.as_ref()?.reveal())?;
        String::from_utf8(bytes).ok().filter(|text| text != "NA").map(Secret::new)
    }

    /// What the script asks for when it is run. `None` when its name has no place for one.
    pub fn password(&self) -> Option<Secret> {
        Some(Secret::new(self.name_parts()?[1]))
    }

    /// What its file must be called for it to find its target: its name without the password. `None` when that is no plain
    /// file name.
    pub fn file_name(&self) -> Option<String> {
        let [before, _, after] = self.name_parts()?;
        let name = format!("{before}{after}{}", self.extension.as_deref().unwrap_or_default());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && !name.starts_with('.');
        plain.then_some(name)
    }

    /// Its name before the password, the password, and its name after it.
    fn name_parts(&self) -> Option<[&str; 3]> {
        let suffix = self.name_suffix.as_ref()?.reveal();
        let from = suffix.rfind('_')? + 1 + PASSWORD_AT;
        let to = from + PASSWORD_LENGTH;
        Some([suffix.get(..from)?, suffix.get(from..to)?, suffix.get(to..)?])
    }
}

impl fmt::Debug for ClientScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_deref().map(|url| redacted(url, 200));
        f.debug_struct("ClientScript")
            .field("os_type", &self.os_type)
            .field("extension", &self.extension)
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Answer;

    /// As recorded (ilr_provision_windows__202_poll_scripts.json), with canaries for the secrets.
    fn windows() -> Value {
        let suffix = "pstestvmdb29b0_1_sea_8187975472077927940_813387693329_ab2d9a78d4644bcba16049154e5ba0a0CANARY-PASSWORDfe4e03659dfab3";
        let script = |extension: &str, content: &str| json!({"scriptContent": content, "scriptExtension": extension, "osType": "Windows", "scriptNameSuffix": suffix});
        let mut program = script(".exe", "TkE=");
        program["url"] = json!("https://download.microsoft.com/download/E/IaaSVMILRExeForWindows.exe");
        json!([script(".txt", "Q0FOQVJZLUNPTlRFTlQ="), program])
    }

    fn status() -> Value {
        let target = json!({"clientScripts": windows()});
        let properties = json!({"objectType": "OperationStatusProvisionILRExtendedInfo", "recoveryTarget": target});
        json!({"id": "o", "name": "o", "status": "Succeeded", "endTime": "2022-02-24T22:32:21.8396329Z", "properties": properties})
    }

    #[test]
    fn scripts_are_found_in_each_answer_that_has_them() {
        let wanted = ClientScript::list(&status()).unwrap();
        assert_eq!(wanted.len(), 2);
        assert_eq!(ClientScript::list(&status()["properties"]), Some(wanted.clone()));
        assert_eq!(ClientScript::list(&status()["properties"]["recoveryTarget"]), Some(wanted));
        assert_eq!(ClientScript::list(&json!({"status": "Succeeded", "properties": {}})), None);
        assert_eq!(ClientScript::list(&json!({"clientScripts": []})), Some(Vec::new()));
    }

    #[test]
    fn the_password_is_cut_out_of_the_name() {
        let scripts = ClientScript::list(&status()).unwrap();
        let [text, program] = scripts.as_slice() else { panic!("{scripts:?}") };
        assert_eq!(text.content(), Some(Secret::new("CANARY-CONTENT")));
        assert_eq!((program.content(), program.url.is_some(), program.os_type.clone()), (None, true, Some("windows".into())));
        assert_eq!(program.password(), Some(Secret::new("CANARY-PASSWORD")));
        let name = "pstestvmdb29b0_1_sea_8187975472077927940_813387693329_ab2d9a78d4644bcba16049154e5ba0a0fe4e03659dfab3.exe";
        assert_eq!(program.file_name().as_deref(), Some(name));
    }

    #[test]
    fn a_recorded_name_gives_what_azure_cli_makes_of_it() {
        let recorded =
            "pstestvmdb29b0_1_sea_8187975472077927940_813387693329_ab2d9a78d4644bcba16049154e5ba0a0b7562086f77e98f4e03659dfab332";
        let script = ClientScript::read(&json!({"scriptNameSuffix": recorded, "scriptExtension": ".py"}));
        assert_eq!(script.password(), Some(Secret::new("b7562086f77e98f")));
        assert!(script.file_name().unwrap().ends_with("_ab2d9a78d4644bcba16049154e5ba0a04e03659dfab332.py"));
    }

    #[test]
    fn a_name_of_another_form_has_no_password_and_no_file_is_called_like_a_path() {
        let part = "0".repeat(47);
        for suffix in ["", "short", "m_1_short", "none-at-all", &format!("m_{}", "é".repeat(40))] {
            let script = ClientScript::read(&json!({"scriptNameSuffix": suffix}));
            assert_eq!((script.password(), script.file_name()), (None, None), "{suffix}");
        }
        for suffix in [format!("../m_{part}"), format!("m/_{part}"), format!(".m_{part}")] {
            let script = ClientScript::read(&json!({"scriptNameSuffix": suffix, "scriptExtension": ".py"}));
            assert!(script.password().is_some() && script.file_name().is_none(), "{suffix}");
        }
        let odd = ClientScript::read(&json!({"scriptContent": 1, "osType": [], "url": ""}));
        assert_eq!((odd.content(), odd.os_type, odd.url), (None, None, None));
    }

    #[test]
    fn nothing_that_is_printed_has_a_secret_in_it() {
        let canaries = ["CANARY", "Q0FOQVJZ"];
        let answer = Answer { status: 200, body: status(), ..Answer::default() };
        let parsed = crate::OperationStatus::parse(&answer).unwrap();
        let vm: ResourceId = "/subscriptions/11111111-1111-1111-1111-111111111111".parse().unwrap();
        let token = json!({"accessTokenString": "CANARY", "tokenExtendedInformation": "<a>CANARY</a>", "bMSActiveRegion": "x"});
        let given = Answer { status: 200, body: json!({"properties": token}), ..Answer::default() };
        let restore = super::super::RestoreBody::new(super::super::RecoveryType::RestoreDisks);
        let sent = super::super::cross_region_request(&vm, token.clone(), &restore);
        let link = "https://h/subscriptions/x/providers/p/operations/o?t=1&c=CANARY".to_owned();
        let headers = [("azure-asyncoperation".to_owned(), link.clone()), ("location".to_owned(), link.clone())].into();
        let running = Answer { status: 202, headers, body: Value::Null };
        let refused = Answer { status: 400, body: json!({"error": {"code": "x", "message": status().to_string()}}), ..Answer::default() };
        let printed = [
            format!("{:?}", ClientScript::list(&status())),
            format!("{answer:?} {parsed:?} {given:?} {sent:?}"),
            format!("{running:?} {:?} {:?}", crate::Accepted::from_answer(&running), crate::OperationStatus::parse(&running)),
            format!("{:?}", Request::follow(link)),
            format!("{0} {0:?}", crate::ArmError::from_answer(&refused)),
            redacted(&serde_json::to_string_pretty(&status()).unwrap(), 5000),
            redacted(&json!({"properties": {"accessTokenString": "CANARY"}}).to_string(), 5000),
        ];
        for text in printed {
            assert!(!canaries.iter().any(|canary| text.contains(canary)), "{text}");
            assert!(text.contains("https://") || text.contains("redacted"), "{text}");
        }
    }
}
