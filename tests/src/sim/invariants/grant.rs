//! No act outside the grant: read from the `AzureAccess` objects anew, for every id in the URL and the body of every
//! request, reads as well.

use std::collections::BTreeMap;

use breakwater_api::AzureAccessSpec;
use breakwater_arm::{Effect, ResourceId, classify, ids_in, wire::Request};
use serde::Deserialize;

use super::{Call, Verdict, meant::matches, truth::text};

/// Whether one of these versions of its access admits the request, and its namespace. There are two where the watch is behind.
/// What closes a debt goes through, whatever the access admits by now.
///
/// # Errors
/// The id and the act that no version admits.
pub fn check(call: &Call, versions: &[AzureAccessSpec], labels: &BTreeMap<String, String>) -> Verdict {
    if call.holder.as_ref().is_some_and(|holder| holder.is_debt) {
        return Ok(());
    }
    let mut told = Err(format!("{} under {}, which does not exist", call.line(), call.access));
    for access in versions {
        told = admits(call, access, labels);
        if told.is_ok() {
            return told;
        }
    }
    told
}

fn admits(call: &Call, access: &AzureAccessSpec, labels: &BTreeMap<String, String>) -> Verdict {
    if let Some(holder) = &call.holder
        && !access.namespaces.admits(&holder.key.namespace, labels)
    {
        return Err(format!("{} of namespace {} under {}", call.line(), holder.key.namespace, call.access));
    }
    let Request { method, path, body, link, .. } = &call.request;
    if let Some(link) = link {
        // A page or a poll of what was asked for before: its signed path may be no id; its subscription is plain.
        let words: Vec<&str> = link.split(['?', '#']).next().unwrap_or_default().split('/').collect();
        let at = words.iter().position(|word| word.eq_ignore_ascii_case("subscriptions"));
        let subscription = at.and_then(|at| words.get(at + 1)).copied().unwrap_or_default();
        let known = access.allow.iter().any(|scope| scope.subscription_id.eq_ignore_ascii_case(subscription));
        return if known { Ok(()) } else { Err(format!("a link into subscription {subscription}: {}", call.line())) };
    }
    let class = classify(*method, path, body.as_ref()).ok_or_else(|| format!("{} is in no table", call.line()))?;
    if (class.effect == Effect::Write) != call.is_write {
        return Err(format!("{} passed for what it is not", call.line()));
    }
    // What is acted on beside the target: the machine that an item is of, and where a restore makes something.
    let fields = [
        "/properties/sourceResourceId",
        "/properties/targetResourceGroupId",
        "/properties/targetVirtualMachineId",
        "/restoreRequest/sourceResourceId",
        "/restoreRequest/targetResourceGroupId",
        "/restoreRequest/targetVirtualMachineId",
    ];
    let named: Vec<&str> = body.iter().flat_map(|body| fields.iter().map(|field| text(body, field))).filter(|id| !id.is_empty()).collect();
    let ids = ids_in(path, body.as_ref()).map_err(|error| format!("{}: {error}", call.line()))?;
    // What is asked of a region is asked for a vault, which what allows it names in three parts.
    let of_region = path.contains("/locations/") && call.is_write;
    let part = |field: &str| body.as_ref().map(|body| text(body, &format!("/crossRegionRestoreAccessDetails/{field}"))).unwrap_or_default();
    let vault = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.RecoveryServices/vaults/{}",
        part("subscriptionId"),
        part("resourceGroupName"),
        part("resourceName")
    );
    let vault = if of_region { Some(vault.parse::<ResourceId>().map_err(|error| format!("{}: {error}", call.line()))?) } else { None };
    for id in ids.iter().chain([&class.target]).chain(&vault) {
        let target = *id == class.target && !of_region;
        let acted_on = target || vault.as_ref() == Some(id) || named.iter().any(|named| id.as_str().eq_ignore_ascii_case(named));
        let act = if acted_on { format!("{:?}", class.act) } else { "Read".to_owned() };
        if !access.allow.iter().any(|scope| allows(scope, &act, id)) {
            return Err(format!("{}: {} does not allow {act} on {id}", call.line(), call.access));
        }
    }
    Ok(())
}

fn allows(scope: &breakwater_api::azure_access::Grant, act: &str, id: &ResourceId) -> bool {
    let words: Vec<&str> = id.as_str().split('/').collect();
    let subscription = words.get(2).copied().unwrap_or_default();
    let group = words.get(3).filter(|word| word.eq_ignore_ascii_case("resourceGroups")).and(words.get(4));
    scope.subscription_id.eq_ignore_ascii_case(subscription)
        && scope.acts.iter().any(|allowed| allowed.to_string() == act)
        && match group {
            // A listing of the subscription shows what its groups hold; roles in Azure bound it.
            None => act == "Read",
            Some(group) => scope.resource_groups.iter().any(|pattern| matches(&pattern.to_lowercase(), &group.to_lowercase())),
        }
}

/// What an `AzureAccess` grants, as the store holds it.
pub fn parse(object: &kube::core::DynamicObject) -> Option<AzureAccessSpec> {
    AzureAccessSpec::deserialize(object.data.get("spec")?).ok()
}

#[cfg(test)]
mod tests {
    use breakwater_arm::wire::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::sim::invariants::call::Holder;

    const SUB: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
    const VAULT: &str = "providers/Microsoft.RecoveryServices/vaults/v";
    const MACHINE: &str = "providers/Microsoft.Compute/virtualMachines/m";

    fn access() -> AzureAccessSpec {
        let spec = json!({
            "tenantId": "72f988bf-0000-4000-8000-00000000000a",
            "identity": { "workload": { "clientId": "c11e0000-0000-4000-8000-000000000001", "serviceAccount": "a" } },
            "namespaces": { "names": ["shop"] },
            "allow": [
                { "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["rg-b*"], "acts": ["Read", "Protect"] },
                { "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["rg-look"], "acts": ["Read"] },
            ],
        });
        serde_json::from_value(spec).expect("an access")
    }

    fn said(namespace: &str, method: Method, path: &str, body: Value) -> String {
        let mut request = Request::new(method, format!("{SUB}/{path}"), "2024-04-01");
        request.body = Some(body).filter(|body| !body.is_null());
        let is_write = method != Method::Get;
        let call = Call { holder: is_write.then(|| Holder::planted(namespace)), ..Call::planted(request, is_write) };
        check(&call, &[access()], &BTreeMap::new()).err().unwrap_or_default()
    }

    #[test]
    fn what_the_grant_names_passes() {
        assert_eq!(said("shop", Method::Put, &format!("resourceGroups/RG-Backup/{VAULT}"), json!({})), "");
        assert_eq!(said("shop", Method::Get, &format!("resourceGroups/rg-look/{MACHINE}"), Value::Null), "");
        assert_eq!(said("shop", Method::Get, "resources", Value::Null), "");
    }

    #[test]
    fn what_the_grant_does_not_name_is_told_in_url_and_body_and_for_reads_too() {
        let put = |body: Value| said("shop", Method::Put, &format!("resourceGroups/rg-b/{VAULT}"), body);
        assert!(said("shop", Method::Put, &format!("resourceGroups/rg-look/{VAULT}"), json!({})).contains("does not allow Protect"));
        assert!(said("shop", Method::Get, &format!("resourceGroups/rg-other/{VAULT}"), Value::Null).contains("does not allow Read"));
        assert!(put(json!({"deep": [format!("{SUB}/resourceGroups/rg-other/{MACHINE}")]})).contains("does not allow Read"));
        assert!(put(json!({"properties": {"sourceResourceId": format!("{SUB}/resourceGroups/rg-look/{MACHINE}")}})).contains("Protect on"));
        assert!(said("other", Method::Put, &format!("resourceGroups/rg-b/{VAULT}"), json!({})).contains("of namespace other"));
        assert!(said("shop", Method::Post, &format!("resourceGroups/rg-b/{MACHINE}/generalize"), Value::Null).contains("in no table"));
    }

    #[test]
    fn a_link_into_another_subscription_is_told() {
        let link = |subscription: &str| {
            let request = Request::follow(format!("https://management.azure.com/subscriptions/{subscription}/resources?x=1"));
            check(&Call::planted(request, false), &[access()], &BTreeMap::new()).err().unwrap_or_default()
        };
        assert_eq!(link("50b50000-0000-4000-8000-000000000001"), "");
        assert!(link("50b50000-0000-4000-8000-000000000002").contains("a link into"));
    }

    #[test]
    fn an_access_that_is_not_there_admits_nothing() {
        let request = Request::new(Method::Get, SUB, "2022-12-01");
        assert!(check(&Call::planted(request, false), &[], &BTreeMap::new()).is_err());
    }
}
