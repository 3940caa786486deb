//! What Site Recovery keeps of a vault, as far as Backup meets it: fabrics, one for each region that machines are replicated
//! from or to, and no vault is deleted under them (site-recovery.md §6).

use serde_json::{Value, json};

use super::state::State;
use super::vault::{Vault, VaultPath};
use crate::arm::subscriptions::region_name;
use crate::path::canonical_location;
use crate::wire::Reply;

/// A region of a vault whose machines Site Recovery keeps.
#[derive(Clone, Debug)]
pub(super) struct Fabric {
    /// Its name.
    pub name: String,
    /// Canonical region.
    pub location: String,
}

impl State {
    /// Gives a vault a fabric, as whoever set up replication in it did.
    pub fn add_fabric(&mut self, vault: &str, name: &str, location: &str) {
        if let Some(vault) = self.vault_mut(&vault.to_lowercase()) {
            vault.fabrics.push(Fabric { name: name.to_owned(), location: canonical_location(location) });
        }
    }

    /// `V/replicationFabrics`, as recorded.
    pub(super) fn list_fabrics(&self, path: &VaultPath) -> Reply {
        match self.vault(&path.key) {
            Some(vault) => {
                let value: Vec<Value> = vault.fabrics.iter().map(|fabric| show(vault, fabric)).collect();
                Reply::json(200, json!({"value": value, "nextLink": null}))
            }
            None => path.not_found(),
        }
    }

    /// GET of a fabric. A vault that never held any says so by a 400 (site-recovery.md §3).
    pub(super) fn get_fabric(&self, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        match vault.fabrics.iter().find(|fabric| fabric.name.eq_ignore_ascii_case(name)) {
            Some(fabric) => Reply::json(200, show(vault, fabric)),
            None if vault.fabrics.is_empty() => {
                let message = "The resource with ID 6917529027641081856 isn't registered with the service.";
                refusal(400, ("BadRequest", "SubscriptionIdNotRegisteredWithSrs"), message)
            }
            None => {
                refusal(404, ("NotFound", "ArmResourceDoesNotExist"), &format!("Specified resource with name '{name}' does not exist."))
            }
        }
    }
}

/// Site Recovery says what it means in the first of the details (site-recovery.md §3.1).
fn refusal(status: u16, (outer, inner): (&str, &str), message: &str) -> Reply {
    let detail = json!({
        "code": inner,
        "message": message,
        "possibleCauses": "Ensure correct resource name was specified.",
        "recommendedAction": "Verify ARM resource name details.",
    });
    Reply::json(status, json!({"error": {"code": outer, "message": message, "details": [detail]}}))
}

fn show(vault: &Vault, fabric: &Fabric) -> Value {
    let plain = json!({"kekState": "None", "kekCertThumbprint": null});
    let internal = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{} {}", vault.id, fabric.name).as_bytes());
    let mut shown = vault.child(
        "replicationFabrics",
        &fabric.name,
        json!({
            "friendlyName": region_name(&fabric.location),
            "encryptionDetails": plain,
            "rolloverEncryptionDetails": plain,
            "internalIdentifier": internal.to_string(),
            "bcdrState": "Valid",
            "customDetails": {"instanceType": "Azure", "location": fabric.location, "containerIds": null},
            "healthErrorDetails": [],
            "health": "Normal",
        }),
    );
    // Site Recovery writes the first word of its ids so.
    shown["id"] = json!(shown["id"].as_str().unwrap_or_default().replacen("/subscriptions/", "/Subscriptions/", 1));
    shown
}
