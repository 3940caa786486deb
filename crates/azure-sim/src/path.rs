//! Reading request URLs: decoding, and the grammar of ARM paths (compute-and-arm.md E.8).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// A URL split into decoded segments and decoded query pairs with lower-case names.
pub fn split_url(url: &str) -> (Vec<String>, BTreeMap<String, String>) {
    // Only a scheme at the very start: a query may hold a whole URL.
    let rest = match url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) {
        Some((_, after)) => after.find('/').map_or("/", |at| &after[at..]),
        None => url,
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name).to_ascii_lowercase(), decode(&value.replace('+', " ")))
    });
    (segments, pairs.collect())
}

/// A region in canonical form: `West Europe` and `WestEurope` are `westeurope` (compute-and-arm.md E.8).
pub fn canonical_location(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// What a request addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Subscription id in the caller's spelling.
    pub subscription: Option<String>,
    /// Resource group name in the caller's spelling.
    pub group: Option<String>,
    /// The segments before the last `providers`: the scope an extension resource hangs on.
    pub scope: Vec<String>,
    /// The last provider namespace, if the path has one.
    pub namespace: Option<String>,
    /// Type segments after the namespace.
    pub types: Vec<String>,
    /// Name segments after the namespace: as many as `types` for one resource, one fewer for a collection or an action.
    pub names: Vec<String>,
    /// The verb of a POST.
    pub verb: Option<String>,
}

/// Whether a path means one resource or all of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One resource.
    Element,
    /// All of a type in a scope.
    Collection,
}

impl Target {
    /// Reads a path. A POST's last segment is its verb when the segments after the namespace come in an odd number.
    pub fn read(method: &str, path: &[String]) -> Target {
        let is = |at: usize, word: &str| path.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
        let mut target = Target::default();
        if is(0, "subscriptions") {
            target.subscription = path.get(1).cloned();
            if is(2, "resourceGroups") {
                target.group = path.get(3).cloned();
            }
        }
        let providers = (0..path.len()).rev().find(|at| is(*at, "providers") && path.len() > at + 1);
        let Some(at) = providers else {
            target.scope = path.to_vec();
            return target;
        };
        target.scope = path[..at].to_vec();
        target.namespace = Some(path[at + 1].clone());
        let mut rest = &path[at + 2..];
        if method == "POST"
            && rest.len() % 2 == 1
            && let Some((verb, before)) = rest.split_last()
        {
            target.verb = Some(verb.clone());
            rest = before;
        }
        target.types = rest.iter().step_by(2).cloned().collect();
        target.names = rest.iter().skip(1).step_by(2).cloned().collect();
        target
    }

    /// One resource or a collection.
    pub fn form(&self) -> Form {
        if self.names.len() == self.types.len() { Form::Element } else { Form::Collection }
    }

    /// `virtualMachines/extensions` in lower case.
    pub fn type_path(&self) -> String {
        self.types.join("/").to_ascii_lowercase()
    }

    /// Whether the last namespace is this one.
    pub fn in_namespace(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(namespace))
    }

    /// The scope before the last `providers`, as a path.
    pub fn scope_id(&self) -> String {
        joined(&self.scope)
    }

    /// The id of the addressed resource (an action's or collection's: of what it hangs on), in the caller's spelling.
    pub fn resource_id(&self) -> String {
        let Some(namespace) = &self.namespace else { return self.scope_id() };
        if self.names.is_empty() {
            return self.scope_id();
        }
        let pairs: String = self.types.iter().zip(&self.names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
        format!("{}/providers/{namespace}{pairs}", self.scope_id())
    }
}

/// Segments as an absolute path.
pub fn joined(segments: &[String]) -> String {
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, url: &str) -> Target {
        Target::read(method, &split_url(url).0)
    }

    #[test]
    fn paths_are_read_as_arm_reads_them() {
        let vm = read("GET", "/subscriptions/s/resourcegroups/RG/providers/Microsoft.Compute/virtualMachines/a?api-version=1");
        assert_eq!((vm.group.as_deref(), vm.form(), vm.type_path().as_str()), (Some("RG"), Form::Element, "virtualmachines"));
        let list = read("GET", "https://h:1/subscriptions/s/providers/Microsoft.Compute/disks");
        assert_eq!((list.form(), list.resource_id().as_str()), (Form::Collection, "/subscriptions/s"));
        let act = read("POST", "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/virtualMachines/a/start");
        assert_eq!((act.verb.as_deref(), act.names.last().map(String::as_str)), (Some("start"), Some("a")));
        let item = read(
            "PUT",
            "/subscriptions/s/resourceGroups/r/providers/M.R/vaults/v/backupFabrics/Azure/protectionContainers/c%3Bd/protectedItems/VM%3Be",
        );
        assert_eq!(item.names.last().map(String::as_str), Some("VM;e"));
        let tags = read("PATCH", "/subscriptions/s/resourceGroups/r/providers/M.C/disks/d/providers/Microsoft.Resources/tags/default");
        assert_eq!(tags.scope_id(), "/subscriptions/s/resourceGroups/r/providers/M.C/disks/d");
    }

    #[test]
    fn query_names_are_lower_case_and_values_decoded() {
        let (_, query) = split_url("/x?%24filter=resourceType%20eq%20'a%2Fb'&Api-Version=2024-01-01&monitor=true");
        assert_eq!(query["$filter"], "resourceType eq 'a/b'");
        assert_eq!(query["api-version"], "2024-01-01");
    }
}
