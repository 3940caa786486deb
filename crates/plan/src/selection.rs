//! Which machines a policy's entries mean.

use std::collections::BTreeMap;

use breakwater_api::{
    Reason,
    selector::{Disks, MachineEntry, MachineSelector, TagSelector},
};
use breakwater_arm::ResourceId;

/// A machine as the inventory lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its ARM id.
    pub id: ResourceId,
    /// Its region, as Azure spells it.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// How a machine came to be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chosen {
    /// By its id. Wins over selectors.
    ById,
    /// By the first selector that matches.
    BySelector,
}

/// One machine that an entry means.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// Its ARM id, as the inventory spells it.
    pub id: ResourceId,
    /// By which kind of entry.
    pub chosen: Chosen,
    /// The index of that entry in `machines`.
    pub entry: usize,
    /// That entry's disks.
    pub disks: Option<Disks>,
    /// Why it is left out all the same.
    pub excluded: Option<Reason>,
}

/// The machines that the entries mean, in the order of their ids, each once: an explicit id before any selector, then the
/// first entry. Machines outside the vault's region carry the reason why they are left out, and so do those in the groups
/// that Azure Backup makes for itself, unless they are named by id.
pub fn select(entries: &[MachineEntry], machines: &[Candidate], vault_location: &str) -> Vec<Matched> {
    let mut found: Vec<Matched> = machines.iter().filter_map(|machine| matched(entries, machine, vault_location)).collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    found
}

fn matched(entries: &[MachineEntry], machine: &Candidate, vault_location: &str) -> Option<Matched> {
    let by_id = entries.iter().position(|entry| names(entry, &machine.id));
    let by_selector = || entries.iter().position(|e| e.selector.as_ref().is_some_and(|s| selects(s, machine)));
    let (entry, chosen) = match by_id {
        Some(at) => (at, Chosen::ById),
        None => (by_selector()?, Chosen::BySelector),
    };
    let excluded = if !same_location(&machine.location, vault_location) {
        Some(Reason::LocationMismatch)
    } else if chosen == Chosen::BySelector && is_azures_own_group(&machine.id) {
        Some(Reason::Unsupported)
    } else {
        None
    };
    Some(Matched { id: machine.id.clone(), chosen, entry, disks: entries[entry].disks.clone(), excluded })
}

/// Whether an entry names the machine by its id.
pub fn is_named(entries: &[MachineEntry], machine: &ResourceId) -> bool {
    entries.iter().any(|entry| names(entry, machine))
}

fn names(entry: &MachineEntry, id: &ResourceId) -> bool {
    entry.id.as_ref().and_then(|text| text.parse::<ResourceId>().ok()).is_some_and(|named| named == *id)
}

/// True when the selector means the machine: where it is, and how it is tagged.
pub fn selects(selector: &MachineSelector, machine: &Candidate) -> bool {
    in_scope(selector, machine) && selector.tags.as_ref().is_none_or(|tags| tags_match(tags, &machine.tags))
}

/// True when the machine is where the selector looks, whatever its tags: what coverage is counted over.
pub fn in_scope(selector: &MachineSelector, machine: &Candidate) -> bool {
    is_where(selector, &machine.id, &machine.location)
}

/// The same, before tags were looked at.
pub fn is_where(selector: &MachineSelector, id: &ResourceId, location: &str) -> bool {
    let group = id.resource_group().unwrap_or_default();
    id.subscription_id().eq_ignore_ascii_case(&selector.subscription_id)
        && (selector.resource_groups.is_empty() || selector.resource_groups.iter().any(|glob| glob_matches(glob, group)))
        && (selector.locations.is_empty() || selector.locations.iter().any(|l| same_location(l, location)))
}

/// Tag keys are compared without case and values with it, as Azure does (compute-and-arm.md E).
fn tags_match(wanted: &TagSelector, tags: &BTreeMap<String, String>) -> bool {
    let has = |key: &str, values: &[String]| tags.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && values.contains(v));
    wanted.all.iter().all(|(key, values)| has(key, values))
        && (wanted.any.is_empty() || wanted.any.iter().any(|(key, values)| has(key, values)))
        && !wanted.not.iter().any(|(key, values)| has(key, values))
}

/// True when `*` in the pattern, standing for any run of characters, makes it the text; without case.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    if pattern.is_ascii() && !pattern.contains('*') {
        return pattern.eq_ignore_ascii_case(text);
    }
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// True when both name one region: "West Europe" is "westeurope".
pub fn same_location(a: &str, b: &str) -> bool {
    let short = |text: &str| text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>();
    short(a) == short(b)
}

/// Azure Backup keeps its snapshots in groups of its own, and copies tags to them (backup.md §1.3).
fn is_azures_own_group(id: &ResourceId) -> bool {
    id.resource_group().is_some_and(|group| glob_matches("AzureBackupRG_*", group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "11111111-1111-1111-1111-111111111111";

    fn machine(group: &str, name: &str, location: &str, tags: &[(&str, &str)]) -> Candidate {
        Candidate {
            id: format!("/subscriptions/{SUB}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}").parse().unwrap(),
            location: location.into(),
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    fn entries(json: serde_json::Value) -> Vec<MachineEntry> {
        serde_json::from_value(json).unwrap()
    }

    fn selector(json: serde_json::Value) -> MachineSelector {
        let mut whole = serde_json::json!({ "subscriptionId": SUB });
        whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_selector_means_machines_by_place_and_tags() {
        let web = machine("rg-Shop-Web", "web-1", "West Europe", &[("App", "shop"), ("tier", "web")]);
        let cases = [
            // selector                                                              web-1?
            (serde_json::json!({}), true),
            (serde_json::json!({ "subscriptionId": "22222222-2222-2222-2222-222222222222" }), false),
            (serde_json::json!({ "resourceGroups": ["RG-shop-*"] }), true),
            (serde_json::json!({ "resourceGroups": ["rg-shop"] }), false),
            (serde_json::json!({ "resourceGroups": ["other", "*-web"] }), true),
            (serde_json::json!({ "locations": ["northeurope", "westeurope"] }), true),
            (serde_json::json!({ "locations": ["northeurope"] }), false),
            (serde_json::json!({ "tags": { "all": { "app": ["shop"] } } }), true),
            (serde_json::json!({ "tags": { "all": { "app": ["Shop"] } } }), false),
            (serde_json::json!({ "tags": { "all": { "app": ["shop"], "backup": ["on"] } } }), false),
            (serde_json::json!({ "tags": { "any": { "tier": ["api", "web"] } } }), true),
            (serde_json::json!({ "tags": { "any": { "tier": ["api"], "APP": ["shop"] } } }), true),
            (serde_json::json!({ "tags": { "any": { "tier": ["api"] } } }), false),
            (serde_json::json!({ "tags": { "not": { "backup": ["off"] } } }), true),
            (serde_json::json!({ "tags": { "not": { "TIER": ["web"] } } }), false),
            (serde_json::json!({ "tags": { "all": { "app": ["shop"] }, "not": { "tier": ["web"] } } }), false),
        ];
        for (json, means) in cases {
            assert_eq!(selects(&selector(json.clone()), &web), means, "{json}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, matches) in [
            ("rg", "RG", true),
            ("rg", "rg2", false),
            ("*", "", true),
            ("rg-*", "rg-", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b", "ab-b", true),
            ("a*a", "a", false),
            ("*b*a", "ab", false),
            ("rg.(x)", "rgy(x)", false),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn an_explicit_id_wins_over_selectors_and_brings_its_own_disks() {
        let db = machine("rg", "db-1", "westeurope", &[]);
        let all = entries(serde_json::json!([
            { "selector": { "subscriptionId": SUB } },
            { "id": db.id.to_string().to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"), "disks": { "osOnly": true } },
        ]));
        let found = select(&all, &[machine("rg", "app-1", "westeurope", &[]), db], "westeurope");
        let told: Vec<_> = found.iter().map(|m| (m.id.name(), m.chosen, m.entry, m.disks.is_some())).collect();
        assert_eq!(told, [("app-1", Chosen::BySelector, 0, false), ("db-1", Chosen::ById, 1, true)]);
    }

    #[test]
    fn a_machine_that_is_left_out_says_why() {
        let here = machine("rg", "a", "West Europe", &[]);
        let far = machine("rg", "b", "northeurope", &[]);
        let own = machine("AzureBackupRG_westeurope_1", "c", "westeurope", &[]);
        let all = entries(serde_json::json!([{ "selector": { "subscriptionId": SUB } }]));
        let found = select(&all, &[own.clone(), far, here], "westeurope");
        let told: Vec<_> = found.iter().map(|m| (m.id.name(), m.excluded)).collect();
        assert_eq!(told, [("c", Some(Reason::Unsupported)), ("a", None), ("b", Some(Reason::LocationMismatch))]);
        let named = entries(serde_json::json!([{ "id": own.id.to_string() }]));
        assert_eq!(select(&named, &[own], "westeurope")[0].excluded, None);
    }

    #[test]
    fn a_machine_that_is_listed_twice_is_selected_once() {
        let twice = [machine("RG", "a", "westeurope", &[]), machine("rg", "A", "westeurope", &[])];
        assert_eq!(select(&entries(serde_json::json!([{ "selector": { "subscriptionId": SUB } }])), &twice, "westeurope").len(), 1);
    }
}
