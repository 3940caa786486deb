//! What a restore hands to infrastructure code: Terraform `import` blocks of what it made.

use std::collections::BTreeSet;

use breakwater_api::{restore_run::Made, status::MAX_STATUS};
use breakwater_arm::ResourceId;

/// The longest text that is handed off, in bytes.
const MOST: usize = 16_000;

/// What is left for the last words of a run, in bytes: conditions and what every status has.
const LAST_WORDS: usize = 6 * 1024;

/// How long the text may be in a status that is so long without it, in bytes of JSON.
pub(super) fn room(status: usize) -> usize {
    MAX_STATUS.saturating_sub(status + LAST_WORDS)
}

/// One block a resource, in order, as many as the room takes; what has no resource type of the azurerm provider here is left out.
pub(super) fn terraform(made: &[Made], room: usize) -> String {
    // Line ends and quotation marks take two bytes each in JSON.
    let in_json = |text: &str| text.len() + text.matches(['\n', '"']).count();
    let mut names = BTreeSet::new();
    let mut text = String::new();
    let all: Vec<ResourceId> = made.iter().filter_map(|m| m.id.parse::<ResourceId>().ok()).collect();
    for (nth, id) in all.iter().enumerate() {
        let Some(kind) = kind_of(id) else { continue };
        let block = format!("import {{\n  to = {kind}.{}\n  id = \"{id}\"\n}}\n", unique(label(id.name()), kind, &mut names));
        if text.len() + block.len() > MOST || in_json(&text) + in_json(&block) > room {
            let left = all[nth..].iter().filter(|id| kind_of(id).is_some()).count();
            text.push_str(&format!("# {left} more are in status.made\n"));
            break;
        }
        text.push_str(&block);
    }
    text
}

/// The azurerm provider's name of a type (registry.terraform.io, hashicorp/azurerm). A machine's depends on its operating
/// system, which an id does not tell: `azurerm_virtual_machine` imports either.
fn kind_of(id: &ResourceId) -> Option<&'static str> {
    let kind = id.resource_type();
    let is = |wanted: &str| kind.as_str().eq_ignore_ascii_case(wanted);
    match () {
        () if is("Microsoft.Compute/disks") => Some("azurerm_managed_disk"),
        () if is("Microsoft.Compute/virtualMachines") => Some("azurerm_virtual_machine"),
        () if is("Microsoft.Network/networkInterfaces") => Some("azurerm_network_interface"),
        () => None,
    }
}

/// A name as an identifier of Terraform: letters, digits and underscores, not beginning with a digit.
fn label(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_lowercase()) { clean } else { format!("r_{clean}") }
}

fn unique(label: String, kind: &str, names: &mut BTreeSet<String>) -> String {
    let mut free = std::iter::once(label.clone()).chain((2..).map(|n| format!("{label}_{n}")));
    free.find(|name| names.insert(format!("{kind}.{name}"))).unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_imported_under_names_of_its_own() {
        let group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers";
        let made = |id: &str| Made { id: format!("{group}/{id}"), lun: None };
        let all = [
            made("Microsoft.Compute/disks/db-1.os"),
            made("Microsoft.Compute/disks/db_1_os"),
            made("Microsoft.Compute/virtualMachines/1db"),
            made("Microsoft.Web/sites/other"),
        ];
        let text = terraform(&all, MAX_STATUS);
        let parsed: hcl::Body = hcl::from_str(&text).expect("it is HCL");
        assert_eq!(parsed.blocks().filter(|block| block.identifier() == "import").count(), 3);
        for line in ["to = azurerm_managed_disk.db_1_os\n", "to = azurerm_managed_disk.db_1_os_2\n", "to = azurerm_virtual_machine.r_1db\n"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said_and_the_rest_parses() {
        let group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers";
        let all: Vec<Made> =
            (0..80).map(|n| Made { id: format!("{group}/Microsoft.Compute/disks/db-1-datadisk-{n:060}"), lun: Some(n) }).collect();
        let text = terraform(&all, MAX_STATUS);
        let parsed: hcl::Body = hcl::from_str(&text).expect("it is HCL");
        let blocks = parsed.blocks().count();
        assert!(blocks < 80 && text.ends_with(&format!("# {} more are in status.made\n", 80 - blocks)), "{blocks}: {text}");
        // A long status leaves less room, or none.
        let short = terraform(&all, room(MAX_STATUS - 10 * 1024));
        let in_json = serde_json::Value::from(short.as_str()).to_string().len();
        assert!((1..blocks).contains(&short.matches("import {").count()) && in_json < 4 * 1024 + 64, "{in_json}: {short}");
        assert_eq!(terraform(&all, room(MAX_STATUS)), "# 80 more are in status.made\n");
    }
}
