//! Resource Manager's own: groups, tags, locks, lists, versions, access.

use serde_json::{Value, json};

use crate::wire::{RG, SUB, code, header, reader, small, with_more};

fn vm() -> String {
    format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a")
}

#[test]
fn i01_deleting_a_group_is_a_chain_of_locations() {
    let mut client = small();
    let group = format!("{SUB}/resourceGroups/rg-two");
    let reply = client.send("DELETE", &group, Value::Null);
    assert_eq!((reply.status, header(&reply, "retry-after").as_str(), reply.header("azure-asyncoperation")), (202, "15", None));
    let first = header(&reply, "location");
    assert!(first.contains("/operationresults/"));
    let poll = client.get(&first);
    assert_eq!((poll.status, header(&poll, "location") != first), (202, true), "every poll has a new Location");
    assert_eq!(client.read(&group)["properties"]["provisioningState"], "Deleting");
    client.wait(120);
    let done = client.get(&first);
    assert_eq!((done.status, done.body.len(), client.get(&group).status), (200, 0, 404));
}

#[test]
fn i10_locks_of_ones_own_and_inherited_forbid_what_they_say() {
    let mut client = small();
    let lock = |scope: &str, name: &str| format!("{scope}/providers/Microsoft.Authorization/locks/{name}?api-version=2016-09-01");
    let level = |level: &str| json!({"properties": {"level": level}});
    assert_eq!(client.send("PUT", &lock(RG, "keep"), level("CanNotDelete")).status, 201);
    let refused = client.send("DELETE", &vm(), Value::Null);
    assert_eq!((refused.status, code(&refused).as_str(), refused.header("x-ms-failure-cause")), (409, "ScopeLocked", Some("gateway")));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("cannot perform delete operation"));
    assert_eq!(client.send("PATCH", &vm(), json!({"tags": {"a": "b"}})).status, 200);
    client.wait(60);
    assert_eq!(client.send("PUT", &lock(RG, "keep"), level("ReadOnly")).status, 200);
    for (method, url) in
        [("PATCH", vm()), ("POST", format!("{}/start", vm())), ("PATCH", format!("{}/providers/Microsoft.Resources/tags/default", vm()))]
    {
        let refused = client.send(method, &url, json!({"operation": "Merge", "properties": {"tags": {}}}));
        assert_eq!(code(&refused), "ScopeLocked", "{method} {url}");
    }
    let listed = client.read(&lock(&vm(), "").replace("locks/?", "locks?"));
    assert_eq!(listed["value"][0]["name"], "keep", "a resource shows the locks above it");
    assert_eq!(client.send("DELETE", &lock(RG, "keep"), Value::Null).status, 200);
    assert_eq!(client.send("DELETE", &lock(RG, "keep"), Value::Null).status, 204);
    client.send("PUT", &lock(&vm(), "below"), level("CanNotDelete"));
    let whole = client.send("DELETE", RG, Value::Null);
    assert_eq!(code(&whole), "ScopeLocked", "a lock below forbids deleting the group");
}

#[test]
fn i10_a_policy_denies_with_its_assignment_in_additional_info() {
    let deny = |tag: &str| {
        format!(
            "policyAssignments:\n  - {{ name: only-tagged, displayName: Vaults carry a tag, scope: {SUB}, deny: Microsoft.RecoveryServices/vaults{tag} }}\n"
        )
    };
    let vault = |name: &str| format!("{RG}/providers/Microsoft.RecoveryServices/vaults/{name}?api-version=2024-04-01");
    let body = |tags: Value| json!({"location": "westeurope", "tags": tags, "sku": {"name": "RS0", "tier": "Standard"}, "properties": {}});
    let mut client = with_more(&deny(", withoutTag: team"));
    let refused = client.send("PUT", &vault("v1"), body(json!({})));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "RequestDisallowedByPolicy"));
    let error = &refused.json()["error"];
    assert_eq!((&error["target"], &error["additionalInfo"][0]["type"]), (&json!("v1"), &json!("PolicyViolation")));
    let info = &error["additionalInfo"][0]["info"];
    assert_eq!((&info["policyAssignmentName"], &info["policyDefinitionEffect"]), (&json!("only-tagged"), &json!("deny")));
    assert_eq!(client.get(&vault("v1")).status, 404, "nothing was made");
    assert!(client.send("PUT", &vault("v1"), body(json!({"Team": "shop"}))).status < 300, "a tag's name has no case");
    client.wait(120);
    assert!(client.send("PATCH", &vault("v1"), json!({"properties": {}})).status < 300, "what is not sent stays");
    assert_eq!(code(&client.send("PATCH", &vault("v1"), json!({"tags": {}}))), "RequestDisallowedByPolicy");
    let mut closed = with_more(&deny(""));
    assert_eq!(code(&closed.send("PUT", &vault("v1"), body(json!({"team": "shop"})))), "RequestDisallowedByPolicy");
    let group = format!("{RG}?api-version=2024-11-01");
    assert_eq!(closed.send("PATCH", &group, json!({"tags": {"a": "b"}})).status, 200, "of another type nothing is said");
}

#[test]
fn i10_a_body_is_checked_for_rights_on_the_ids_in_it() {
    let mut client = small();
    let contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let assignment =
        format!("{SUB}/resourceGroups/rg-two/providers/Microsoft.Authorization/roleAssignments/cccccccc-0000-4000-8000-000000000001");
    let body = json!({"properties": {"principalId": reader().object_id, "principalType": "ServicePrincipal",
        "roleDefinitionId": format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{contributor}")}});
    assert_eq!(client.send("PUT", &assignment, body.clone()).status, 201);
    assert_eq!(client.send("PUT", &assignment, body).status, 200);
    client.caller = reader();
    let subnet = format!("{RG}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    let nic = format!("{SUB}/resourceGroups/rg-two/providers/Microsoft.Network/networkInterfaces/n");
    let body =
        json!({"location": "westeurope", "properties": {"ipConfigurations": [{"name": "i", "properties": {"subnet": {"id": subnet}}}]}});
    let refused = client.send("PUT", &nic, body);
    assert_eq!((refused.status, code(&refused).as_str()), (403, "LinkedAuthorizationFailed"));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("Microsoft.Network/virtualNetworks/subnets/join/action"));
}

#[test]
fn a_refusal_names_client_action_and_scope() {
    let mut client = small();
    client.caller = reader();
    assert_eq!(client.get(&vm()).status, 200);
    let refused = client.send("POST", &format!("{}/start", vm()), Value::Null);
    assert_eq!(
        (refused.status, code(&refused).as_str(), refused.header("x-ms-failure-cause")),
        (403, "AuthorizationFailed", Some("gateway"))
    );
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    for word in
        [&reader().client_id, &reader().object_id, "'Microsoft.Compute/virtualMachines/start/action'", &format!("over scope '{}'", vm())]
    {
        assert!(message.contains(word), "{word} in {message}");
    }
    assert!(!client.azure.journal().entries().last().unwrap().applied);
}

#[test]
fn lists_show_what_the_caller_may_read() {
    let mut client = small();
    let all = client.read(&format!("{SUB}/resourcegroups"))["value"].as_array().unwrap().len();
    client.caller = reader();
    let mine = client.read(&format!("{SUB}/resourcegroups"));
    assert_eq!((all, mine["value"].as_array().unwrap().len(), mine["value"][0]["name"].as_str()), (2, 1, Some("rg-one")));
    assert_eq!(client.read("/subscriptions")["value"].as_array().unwrap().len(), 1);
    client.caller = azure_sim::wire::Caller { object_id: "nobody".into(), ..reader() };
    assert_eq!(client.read("/subscriptions")["value"].as_array().unwrap().len(), 0);
    let hidden = client.get(SUB);
    assert_eq!((hidden.status, code(&hidden).as_str()), (404, "SubscriptionNotFound"));
    assert_eq!(code(&client.get(&format!("{SUB}/resources"))), "AuthorizationFailed");
}

#[test]
fn the_list_of_all_resources_filters_and_pages() {
    let mut client = small();
    let url = format!(
        "{SUB}/resources?$filter=resourceType eq 'Microsoft.Compute/virtualMachines'&$expand=createdTime,changedTime,provisioningState"
    );
    let listed = client.read(&url);
    let first = &listed["value"][0];
    assert_eq!(
        (listed["value"].as_array().unwrap().len(), first["id"].as_str(), first["tags"]["app"].as_str()),
        (2, Some(vm().as_str()), Some("x"))
    );
    assert!(first["createdTime"].is_string() && first["changedTime"].is_string() && first.get("properties").is_none());
    let tagged = client.read(&format!("{SUB}/resources?$filter=tagName eq 'APP' and tagValue eq 'x'"));
    assert_eq!(tagged["value"].as_array().unwrap().len(), 1);
    let (mut seen, mut next) = (Vec::new(), Some(format!("{SUB}/resources?$top=3&api-version=2022-09-01")));
    while let Some(url) = next {
        let page = client.read(&url);
        seen.extend(page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    let whole = client.read(&format!("{RG}/resources"));
    let ids: Vec<String> = whole["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, ids);
}

#[test]
fn tags_merge_replace_delete_and_keep_their_bounds() {
    let mut client = small();
    let url = format!("{}/providers/Microsoft.Resources/tags/default", vm());
    let patch = |operation: &str, tags: Value| json!({"operation": operation, "properties": {"tags": tags}});
    let merged = client.send("PATCH", &url, patch("Merge", json!({"APP": "y", "new": "1"})));
    assert_eq!(merged.json()["properties"]["tags"], json!({"app": "y", "new": "1"}), "names are compared without case");
    assert_eq!(client.send("PATCH", &url, patch("Delete", json!({"new": "1"}))).json()["properties"]["tags"], json!({"app": "y"}));
    assert_eq!(client.send("PATCH", &url, patch("Replace", json!({"z": ""}))).json()["properties"]["tags"], json!({"z": ""}));
    assert_eq!(client.read(&vm())["tags"], json!({"z": ""}));
    let many: serde_json::Map<String, Value> = (0..51).map(|n| (format!("t{n}"), json!("v"))).collect();
    for bad in [Value::Object(many), json!({"a/b": "1"}), json!({"n".repeat(513): "1"}), json!({"a": "v".repeat(257)})] {
        assert_eq!(client.send("PATCH", &url, patch("Merge", bad)).status, 400);
    }
    assert_eq!(code(&client.get(&url.replace("vm-a", "vm-none"))), "ResourceNotFound");
}

#[test]
fn versions_registrations_and_unknown_paths_answer_in_arms_words() {
    let mut client = small();
    assert_eq!(code(&client.get(&format!("{SUB}?api-version="))), "MissingApiVersionParameter");
    assert_eq!(code(&client.get(&format!("{SUB}?api-version=latest"))), "InvalidApiVersionParameter");
    assert_eq!(client.get(&format!("{SUB}?api-version=2031-01-01-preview")).status, 200);
    let unknown = client.get(&format!("{RG}/providers/Microsoft.Compute/snapshots"));
    assert_eq!((unknown.status, code(&unknown).as_str()), (501, "SimulatorNotImplemented"));
    assert!(unknown.json()["error"]["message"].as_str().unwrap().contains("/providers/Microsoft.Compute/snapshots"));
    let text = crate::wire::SMALL.replace("displayName: One", "displayName: One\n    unregistered: [Microsoft.RecoveryServices]");
    let estate = azure_sim::Estate::parse(&text, &Default::default()).unwrap();
    client.azure = azure_sim::Azure::new(estate, azure_sim::Options::default()).unwrap();
    let vault = format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one");
    let body = json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": {}});
    let refused = client.send("PUT", &vault, body.clone());
    assert_eq!((refused.status, code(&refused).as_str()), (409, "MissingSubscriptionRegistration"));
    assert_eq!(client.send("POST", &format!("{SUB}/providers/Microsoft.RecoveryServices/register"), Value::Null).status, 200);
    assert_eq!(client.send("PUT", &vault, body).status, 201);
}

#[test]
fn an_estate_with_a_mistake_names_its_field() {
    let broken = |from: &str, to: &str| {
        let text = crate::wire::SMALL.replace(from, to);
        azure_sim::Estate::parse(&text, &Default::default())
            .and_then(|e| azure_sim::Azure::new(e, azure_sim::Options::default()))
            .err()
            .map(|e| e.to_string())
            .unwrap()
    };
    assert!(broken("principal: reader", "principal: nobody").starts_with("roleAssignments[1].principal: "));
    assert!(broken("os: Windows", "os: Plan9").contains("Plan9"));
    assert!(broken("dataDisks: [64]", "dataDisk: [64]").contains("dataDisk"));
    assert!(broken("name: vm-b", "name: vm-a").starts_with("subscriptions[0].resourceGroups[0].machines[1].name: "));
    assert!(broken("role: Owner", "role: Emperor").contains("Contributor"), "the roles there are");
}

#[test]
fn groups_are_in_any_public_region_and_what_a_filter_means_is_known_or_refused() {
    let mut client = small();
    for (region, status) in
        [("eastus2euap", 201), ("South Central US", 201), ("Poland Central", 201), ("chinaeast", 400), ("atlantis", 400)]
    {
        let reply = client.send("PUT", &format!("{SUB}/resourcegroups/rg-{status}-{}", region.len()), json!({"location": region}));
        assert_eq!(reply.status, status, "{region}: {}", reply.json());
    }
    let known = client.read(&format!("{SUB}/locations"))["value"].as_array().unwrap().clone();
    let mut names: Vec<&str> = known.iter().map(|region| region["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), names.contains(&"italynorth")), (known.len(), true), "no region twice");
    let either = "resourceType eq 'Microsoft.Compute/disks' or resourceType eq 'Microsoft.Compute/virtualMachines'";
    assert_eq!(client.get(&format!("{SUB}/resources?$filter={either}")).status, 501);
    assert_eq!(client.get(&format!("{SUB}/resources?$filter=name eq 'this or that'")).status, 200, "a name may hold the word");
    let mut found = |filter: &str| client.read(&format!("{SUB}/resources?$filter={filter}"))["value"].as_array().unwrap().len();
    let machines = "resourceType eq 'Microsoft.Compute/virtualMachines'";
    assert_eq!(found(&format!("{machines} and location eq 'West Europe'")), 2);
    assert_eq!(found(&format!("location eq 'northeurope' and {machines}")), 0);
    assert_eq!((found("startswith(tagname,'AP')"), found("startswith(tagname,'x')")), (1, 0));
    assert_eq!(found("substringof('VM-A', name) and resourceType eq 'Microsoft.Network/networkInterfaces'"), 1);
}

#[test]
fn nothing_is_put_into_a_group_that_is_being_deleted() {
    let mut client = small();
    let group = format!("{SUB}/resourceGroups/rg-two");
    client.send("DELETE", &group, Value::Null);
    let disk = format!("{group}/providers/Microsoft.Compute/disks/d");
    let body = json!({"location": "northeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}});
    for url in [&group, &disk, &format!("{group}/providers/Microsoft.RecoveryServices/vaults/v")] {
        let refused = client.send("PUT", url, body.clone());
        assert_eq!((refused.status, code(&refused).as_str()), (409, "ResourceGroupBeingDeleted"), "{url}");
        let words = "The resource group 'rg-two' is in deprovisioning state and cannot perform this operation.";
        assert_eq!(refused.json()["error"]["message"], words);
    }
    assert_eq!((client.get(&disk).status, client.get(&group).status), (404, 200));
    client.wait(120);
    assert_eq!(code(&client.send("PUT", &disk, body.clone())), "ResourceGroupNotFound");
    assert_eq!(client.send("PUT", &group, json!({"location": "northeurope"})).status, 201);
    assert_eq!(client.send("PUT", &disk, body).status, 202);
}

#[test]
fn a_role_assignment_does_not_become_another() {
    let mut client = small();
    let name = "cccccccc-0000-4000-8000-000000000001";
    let url = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let (contributor, viewer) = ("b24988ac-6180-42a0-ab88-20f7382dd24c", "acdd72a7-3385-48ef-bd42-f606fba81ae7");
    let body = |role: &str, who: &str| {
        let definition = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{role}");
        json!({"properties": {"principalId": who, "principalType": "ServicePrincipal", "roleDefinitionId": definition}})
    };
    let (two, who, other) = (format!("{SUB}/resourceGroups/rg-two"), reader().object_id, crate::wire::owner().object_id);
    assert_eq!(client.send("PUT", &url(&two), body(contributor, &who)).status, 201);
    assert_eq!(client.send("PUT", &url(&two), body(contributor, &who.to_uppercase())).status, 200);
    for (scope, role, who) in [(&two, viewer, &who), (&two, contributor, &other), (&RG.to_owned(), contributor, &who)] {
        let refused = client.send("PUT", &url(scope), body(role, who));
        assert_eq!((refused.status, code(&refused).as_str()), (400, "RoleAssignmentUpdateNotPermitted"), "{scope} {role} {who}");
    }
    let kept = client.read(&url(&two))["properties"].clone();
    assert_eq!((&kept["principalId"], kept["roleDefinitionId"].as_str().unwrap().ends_with(contributor)), (&json!(who), true));
}

#[test]
fn a_principal_that_nobody_knows_gets_no_role_unless_its_type_is_told() {
    let mut client = small();
    let url = format!("{RG}/providers/Microsoft.Authorization/roleAssignments/cccccccc-0000-4000-8000-000000000002");
    let definition = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c");
    let mut body = json!({"properties": {"principalId": "dddddddd-0000-4000-8000-00000000000d", "roleDefinitionId": definition}});
    let refused = client.send("PUT", &url, body.clone());
    assert_eq!((refused.status, code(&refused).as_str()), (400, "PrincipalNotFound"));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    let start = format!("Principal dddddddd00004000800000000000000d does not exist in the directory {}. Check", crate::wire::TENANT);
    assert!(message.starts_with(&start), "{message}");
    body["properties"]["principalType"] = json!("ServicePrincipal");
    assert_eq!(client.send("PUT", &url, body.clone()).status, 201);
    client.send("DELETE", &url, Value::Null);
    client.send("PATCH", &vm(), json!({"identity": {"type": "SystemAssigned"}}));
    body["properties"] = json!({"principalId": client.read(&vm())["identity"]["principalId"], "roleDefinitionId": definition});
    assert_eq!(client.send("PUT", &url, body).status, 201, "a machine is known");
}
