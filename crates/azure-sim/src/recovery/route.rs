//! Which request is what (backup.md §2).

use serde_json::{Value, json};

use super::files::has_call_for_scripts;
use super::operations::{Asked, Family};
use super::secondary::PASSIVE_VERSIONS;
use super::state::{State, backup_error};
use super::vault::{VaultPath, VaultState};
use crate::wire::{Inbound, Neighbours, Reply};

/// The refusal of everything that is not modelled.
pub(super) fn not_modelled(req: &Inbound) -> Reply {
    unmodelled(&format!("{} {}", req.method, req.raw_path()))
}

/// The same of what a request asks for.
pub(super) fn unmodelled(what: &str) -> Reply {
    Reply::json(501, json!({"error": {"code": "SimulatorNotImplemented", "message": format!("azure-sim does not model {what}")}}))
}

impl State {
    /// Answers any request whose path contains `providers/Microsoft.RecoveryServices`. First lets time pass until the
    /// request's arrival.
    pub fn handle(&mut self, n: &dyn Neighbours, req: &Inbound) -> Reply {
        self.advance(n, req.now);
        let reply = self.route(n, req);
        if req.method != "GET" {
            self.remember();
        }
        reply
    }

    fn route(&mut self, n: &dyn Neighbours, req: &Inbound) -> Reply {
        let words: Vec<String> = req.path.iter().map(|word| word.to_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let method = req.method.as_str();
        match words.as_slice() {
            ["subscriptions", subscription, "providers", "microsoft.recoveryservices", rest @ ..] => match (method, rest) {
                ("GET", ["vaults"]) => self.list_vaults(n, req, subscription, None),
                ("POST", ["locations", location, "backupstatus"]) => self.backup_status(req, location),
                (_, ["locations", location, rest @ ..]) if self.is_secondary_call(method, rest) => {
                    self.route_secondary(n, req, (subscription, location), rest)
                }
                ("POST", ["locations", location, "backupprevalidateprotection"]) => self.prevalidate(n, req, location),
                ("POST", ["locations", _, "backupvalidatefeatures"]) => self.validate_features(req),
                ("GET", ["locations", location, "deletedvaults"]) => self.deleted_vaults(req, subscription, location, None),
                ("GET", ["locations", location, "deletedvaults", name]) => self.deleted_vaults(req, subscription, location, Some(name)),
                ("POST", ["locations", location, "deletedvaults", name, "undelete"]) => {
                    self.undelete_vault(n, req, (subscription, location), name)
                }
                ("GET", ["locations", _, "deletedvaults", name, "operations", _]) => {
                    self.poll_undelete(req, name, req.path.last().map_or("", String::as_str), Asked::Status)
                }
                ("GET", ["locations", _, "deletedvaults", name, "operationresults", _]) => {
                    self.poll_undelete(req, name, req.path.last().map_or("", String::as_str), Asked::Result)
                }
                _ => not_modelled(req),
            },
            ["subscriptions", subscription, "resourcegroups", group, "providers", "microsoft.recoveryservices", rest @ ..] => {
                match (method, rest) {
                    ("GET", ["vaults"]) => self.list_vaults(n, req, subscription, Some(group)),
                    (_, ["vaults", _, rest @ ..]) => self.route_vault(n, req, &vault_path(req), rest),
                    _ => not_modelled(req),
                }
            }
            _ => not_modelled(req),
        }
    }

    fn route_vault(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, rest: &[&str]) -> Reply {
        // The last segment in the caller's spelling: names of new things, and base64 ids, keep their case.
        let last = req.path.last().map_or("", String::as_str);
        let leaving = self.vault(&path.key).is_some_and(|vault| vault.provisioning == VaultState::Deleting);
        if leaving && !matches!(req.method.as_str(), "GET" | "DELETE") {
            // What Azure says here is not recorded: the code is a guess.
            return backup_error(409, "ResourceBeingDeleted", format!("The vault '{}' is being deleted.", path.name));
        }
        match (req.method.as_str(), rest) {
            ("GET", []) => self.get_vault(n, req, path),
            ("PUT", []) => self.put_vault(n, req, path),
            ("PATCH", []) => self.patch_vault(n, req, path),
            ("DELETE", []) => self.delete_vault(n, req, path),
            ("GET", ["operationstatus", _]) => self.poll_vault_operation(req, path, last, Asked::Status),
            ("GET", ["operationresults", _]) => self.poll_vault_operation(req, path, last, Asked::Result),
            ("GET", ["usages"]) => self.usages(path),
            ("GET", ["backupusagesummaries"]) => self.usage_summaries(req, path),
            ("GET", ["backupconfig", "vaultconfig"]) => self.get_config(path),
            ("PUT" | "PATCH", ["backupconfig", "vaultconfig"]) => self.write_config(n, req, path),
            ("GET", ["backupstorageconfig", "vaultstorageconfig"]) => self.get_storage(path),
            ("PUT" | "PATCH", ["backupstorageconfig", "vaultstorageconfig"]) => self.write_storage(req, path),
            ("GET", ["backupencryptionconfigs", "backupresourceencryptionconfig"]) => self.get_encryption(path),
            ("PUT" | "PATCH", ["backupencryptionconfigs", "backupresourceencryptionconfig"]) => self.write_encryption(n, req, path),
            ("POST", ["backupsecuritypin"]) => self.security_pin(n, req, path),
            ("GET", ["backupresourceguardproxies"]) => self.list_guards(n, path),
            ("GET", ["backupresourceguardproxies", _]) => self.get_guard(n, path, last),
            ("PUT", ["backupresourceguardproxies", _]) => self.put_guard(n, req, path, last),
            ("DELETE", ["backupresourceguardproxies", "vaultproxy"]) => self.delete_guard(n, path),
            ("POST", ["backupresourceguardproxies", "vaultproxy", "unlockdelete"]) => self.unlock_delete(n, req, path),
            ("GET", ["replicationvaultsettings", "default"]) => self.get_replication_settings(path),
            ("GET", ["replicationfabrics"]) => self.list_fabrics(path),
            ("GET", ["replicationfabrics", name]) => self.get_fabric(path, name),
            ("GET", ["backuppolicies"]) => self.list_policies(req, path),
            ("GET", ["backuppolicies", _]) => self.get_policy(req, path, last),
            ("PUT", ["backuppolicies", _]) => self.put_policy(n, req, path, last),
            ("DELETE", ["backuppolicies", _]) => self.delete_policy(path, last),
            ("GET", ["backuppolicies", policy, "operations" | "operationresults", _]) => self.poll_policy_operation(path, policy, last),
            // Of vaults with other workloads, or that somebody enabled in the portal, alone.
            ("GET", ["backupprotectionintents" | "backupengines"]) => self.list(req, path, |_, _, _| Ok(Vec::<Value>::new()), |_, row| row),
            ("GET", ["backupprotectableitems"]) => self.list_protectable(n, req, path),
            ("GET", ["backupprotectioncontainers"]) => self.list_containers(req, path),
            ("GET", ["backupdeletedprotectioncontainers"]) => self.list_deleted_containers(req, path),
            ("GET", ["backupprotecteditems"]) if is_passive(req) => self.list_secondary_items(req, path),
            ("GET", ["backupprotecteditems"]) => self.list_items(req, path),
            ("POST", ["backuptriggervalidateoperation"]) => self.trigger_validation(n, req, path),
            ("GET", ["backupvalidateoperationsstatuses", _]) => {
                self.poll_backup_operation(req, path, last, Some(&Family::Validation), Asked::Status)
            }
            ("GET", ["backupvalidateoperationresults", _]) => self.validation_result(req, path, last),
            ("GET", ["backupoperations", _]) => self.poll_backup_operation(req, path, last, None, Asked::Status),
            ("GET", ["backupoperationresults", _]) => self.poll_backup_operation(req, path, last, None, Asked::Result),
            ("GET", ["backupjobs"]) => self.list_jobs(req, path),
            ("POST", ["backupjobsexport"]) => self.export_jobs(n, req, path),
            ("GET", ["backupjobs", "operationresults", _]) => self.export_result(req, path, last),
            ("GET", ["backupjobs", _]) => self.get_job(path, last),
            ("POST", ["backupjobs", job, "cancel"]) => self.cancel_job(n, req, path, job),
            ("GET", ["backupjobs", job, "operationsstatus", _]) => self.poll_job_operation(req, path, job, last, Asked::Status),
            ("GET", ["backupjobs", job, "operationresults", _]) => self.poll_job_operation(req, path, job, last, Asked::Result),
            (_, ["backupfabrics", "azure", rest @ ..]) => self.route_fabric(n, req, path, rest),
            _ => not_modelled(req),
        }
    }

    fn route_fabric(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, rest: &[&str]) -> Reply {
        match (req.method.as_str(), rest) {
            ("POST", ["refreshcontainers"]) => self.refresh(n, req, path),
            ("GET", ["operationsstatus", id]) => self.poll_refresh(req, path, id, Asked::Status),
            ("GET", ["operationresults", id]) => self.poll_refresh(req, path, id, Asked::Result),
            // Containers of other workloads that could be registered.
            ("GET", ["protectablecontainers"]) => self.list(req, path, |_, _, _| Ok(Vec::<Value>::new()), |_, row| row),
            ("GET", ["protectioncontainers", container]) => self.get_container(path, container),
            ("GET", ["protectioncontainers", container, "protecteditems", item]) => self.get_item(req, path, container, item),
            ("PUT", ["protectioncontainers", container, "protecteditems", item]) => self.put_item(n, req, path, container, item),
            ("DELETE", ["protectioncontainers", container, "protecteditems", item]) => self.delete_item(n, req, path, container, item),
            ("POST", ["protectioncontainers", container, "protecteditems", item, "backup"]) => {
                self.post_backup(n, req, path, container, item)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "operationsstatus", id]) => {
                self.poll_item_operation(req, path, (container, item), id, Asked::Status)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "operationresults", id]) => {
                self.poll_item_operation(req, path, (container, item), id, Asked::Result)
            }
            ("POST", ["protectioncontainers", container, "protecteditems", item, "recoverypointsrecommendedformove"]) => {
                self.recommended(req, path, container, item)
            }
            ("POST", ["protectioncontainers", container, "protecteditems", item, "recoverypoints", name, verb]) => {
                self.route_point(n, req, path, (container, item, name), verb)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "recoverypoints"]) if is_passive(req) => {
                self.list_secondary_points(req, path, container, item)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "recoverypoints"]) => {
                self.list_points(req, path, container, item)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "recoverypoints", name]) if is_passive(req) => {
                self.get_secondary_point(path, container, item, name)
            }
            ("GET", ["protectioncontainers", container, "protecteditems", item, "recoverypoints", name]) => {
                self.get_point(path, container, item, name)
            }
            _ => not_modelled(req),
        }
    }

    /// What is done to one recovery point.
    fn route_point(
        &mut self,
        n: &dyn Neighbours,
        req: &Inbound,
        path: &VaultPath,
        (container, item, name): (&str, &str, &str),
        verb: &str,
    ) -> Reply {
        let known = match verb {
            "restore" | "move" | "provisioninstantitemrecovery" | "revokeinstantitemrecovery" => true,
            "listinstantitemrecoveryoperationresult" => has_call_for_scripts(req),
            "accesstoken" => is_passive(req),
            _ => false,
        };
        let named = match self.named_point(path, container, item, name) {
            _ if !known => return not_modelled(req),
            Ok(named) => named,
            Err(refusal) => return *refusal,
        };
        match verb {
            "restore" => self.post_restore(n, req, &named),
            "move" => self.move_point(n, req, &named),
            "provisioninstantitemrecovery" => self.mount(n, req, &named),
            "revokeinstantitemrecovery" => self.unmount(n, req, &named),
            "accesstoken" => self.access_token(n, req, &named),
            _ => self.mount_scripts(req, &named),
        }
    }
}

/// Whether the request is one of the passive stamp: told apart by its api-version alone (§14).
fn is_passive(req: &Inbound) -> bool {
    PASSIVE_VERSIONS.contains(&req.api_version())
}

/// The vault of a path that has one: `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.RecoveryServices/vaults/{v}`.
fn vault_path(req: &Inbound) -> VaultPath {
    let raw = format!("/{}", req.path[..8].join("/"));
    VaultPath { subscription: req.path[1].clone(), group: req.path[3].clone(), name: req.path[7].clone(), key: raw.to_lowercase(), raw }
}
