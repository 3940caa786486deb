//! Which machines the entries of a policy mean, read anew from what people wrote.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether some entry means a machine that is there and tagged so: by its id, or by every part of a selector.
pub fn is_meant(entries: &Value, id: &str, location: &str, tags: &BTreeMap<String, String>) -> bool {
    let mut all = entries.as_array().into_iter().flatten();
    all.any(|entry| match entry["id"].as_str() {
        Some(named) => named.eq_ignore_ascii_case(id),
        None => is_selected(&entry["selector"], id, location, tags),
    })
}

fn is_selected(selector: &Value, id: &str, location: &str, tags: &BTreeMap<String, String>) -> bool {
    let words: Vec<&str> = id.split('/').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let list = |field: &str| selector[field].as_array().cloned().unwrap_or_default();
    let any = |field: &str, fits: &dyn Fn(&str) -> bool| {
        let all = list(field);
        all.is_empty() || all.iter().filter_map(Value::as_str).any(fits)
    };
    let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
    let group = word(4).to_ascii_lowercase();
    selector["subscriptionId"].as_str().is_some_and(|wanted| wanted.eq_ignore_ascii_case(word(2)))
        && any("resourceGroups", &|glob| matches(&glob.to_ascii_lowercase(), &group))
        && any("locations", &|wanted| plain(wanted) == plain(location))
        && are_tagged(&selector["tags"], tags)
}

fn are_tagged(wanted: &Value, tags: &BTreeMap<String, String>) -> bool {
    let has = |(key, values): (&String, &Value)| {
        let all: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        tags.iter().any(|(name, value)| name.eq_ignore_ascii_case(key) && all.contains(&value.as_str()))
    };
    let part = |name: &str| wanted[name].as_object().cloned().unwrap_or_default();
    let (all, any, not) = (part("all"), part("any"), part("not"));
    all.iter().all(has) && (any.is_empty() || any.iter().any(has)) && !not.iter().any(has)
}

/// `*` is any run of characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_means_a_machine_by_its_id_or_by_every_part_of_a_selector() {
        let id = "/subscriptions/S/resourceGroups/rg-Shop/providers/Microsoft.Compute/virtualMachines/m";
        let tags = BTreeMap::from([("App".to_owned(), "shop".to_owned()), ("tier".to_owned(), "web".to_owned())]);
        let cases = [
            (json!({ "id": id.to_ascii_uppercase() }), true),
            (json!({ "id": format!("{id}2") }), false),
            (json!({ "selector": { "subscriptionId": "s" } }), true),
            (json!({ "selector": { "subscriptionId": "t" } }), false),
            (json!({ "selector": { "subscriptionId": "s", "resourceGroups": ["x", "RG-*"] } }), true),
            (json!({ "selector": { "subscriptionId": "s", "resourceGroups": ["rg"] } }), false),
            (json!({ "selector": { "subscriptionId": "s", "locations": ["West Europe"] } }), true),
            (json!({ "selector": { "subscriptionId": "s", "locations": ["northeurope"] } }), false),
            (
                json!({ "selector": { "subscriptionId": "s", "tags": { "all": { "app": ["shop"] }, "any": { "tier": ["api", "web"] } } } }),
                true,
            ),
            (json!({ "selector": { "subscriptionId": "s", "tags": { "all": { "app": ["Shop"] } } } }), false),
            (json!({ "selector": { "subscriptionId": "s", "tags": { "any": { "tier": ["api"] } } } }), false),
            (json!({ "selector": { "subscriptionId": "s", "tags": { "not": { "TIER": ["web"] } } } }), false),
        ];
        for (entry, meant) in cases {
            assert_eq!(is_meant(&json!([entry.clone()]), id, "westeurope", &tags), meant, "{entry}");
        }
        assert!(!is_meant(&Value::Null, id, "westeurope", &tags), "no entry means nothing");
    }
}
