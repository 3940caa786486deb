//! Resource ids: strings from outside that become types at the door and stay types.

use std::{fmt, hash, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The full path of one ARM resource, resource group, or subscription.
///
/// Equality, order and hashing ignore ASCII case, because ARM's do (compute-and-arm.md E.8); `Display`
/// keeps the spelling received. Segments are held decoded: `%3B` becomes `;`.
#[derive(Clone)]
pub struct ResourceId(Arc<str>);

/// Why a text is no resource id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// It does not begin with `/subscriptions/{guid}`.
    #[error("{0:?} is not an ARM id: it must begin with /subscriptions/{{guid}}")]
    NoSubscription(String),
    /// A segment is empty, is `.` or `..`, or holds a character that no ARM name may hold.
    #[error("{id:?} is not an ARM id: the segment {segment:?} cannot be part of one")]
    BadSegment {
        /// The whole text.
        id: String,
        /// The segment at fault.
        segment: String,
    },
    /// Types and names do not alternate after `/providers/{namespace}`.
    #[error("{0:?} is not an ARM id: expected /resourceGroups/{{name}}/providers/{{namespace}}/{{type}}/{{name}}...")]
    BadShape(String),
}

impl ResourceId {
    /// The subscription's guid, as spelt.
    pub fn subscription_id(&self) -> &str {
        self.segments().nth(1).unwrap_or_default()
    }

    /// The resource group's name, where the id is inside one (or is one).
    pub fn resource_group(&self) -> Option<&str> {
        let mut segments = self.segments().skip(2);
        segments.next().filter(|s| s.eq_ignore_ascii_case("resourceGroups"))?;
        segments.next()
    }

    /// The id of the resource group that holds this resource.
    pub fn resource_group_id(&self) -> Option<ResourceId> {
        self.resource_group()?;
        Some(self.prefix(4))
    }

    /// The last provider namespace and the types under it: `Microsoft.RecoveryServices/vaults/backupPolicies`;
    /// `Microsoft.Resources/resourceGroups` and `Microsoft.Resources/subscriptions` for these two.
    pub fn resource_type(&self) -> ResourceType {
        let words: Vec<&str> = type_of(&self.segments().collect::<Vec<&str>>()).collect();
        ResourceType(words.join("/"))
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or_default()
    }

    /// The resource that this one is a child of: the vault of a policy, the group of a vault, the
    /// subscription of a group.
    pub fn parent(&self) -> Option<ResourceId> {
        above(&self.segments().collect::<Vec<&str>>()).map(|length| self.prefix(length))
    }

    /// The nearest ancestor (or itself) of that resource type.
    pub fn ancestor(&self, resource_type: &str) -> Option<ResourceId> {
        let all: Vec<&str> = self.segments().collect();
        let mut length = Some(all.len());
        while let Some(n) = length {
            let (mut mine, mut wanted) = (type_of(&all[..n]), resource_type.split('/'));
            if wanted.by_ref().all(|w| mine.next().is_some_and(|m| m.eq_ignore_ascii_case(w))) && mine.next().is_none() {
                return Some(if n == all.len() { self.clone() } else { self.prefix(n) });
            }
            length = above(&all[..n]);
        }
        None
    }

    /// A child of this resource: `vault.child("backupPolicies", "daily")`.
    ///
    /// # Errors
    /// When `kind` or `name` cannot be a segment of an id.
    pub fn child(&self, kind: &str, name: &str) -> Result<ResourceId, IdError> {
        let text = format!("{self}/{kind}/{name}");
        // Below a resource any two segments are a child's, and the rest was looked at before.
        let is_resource = self.segments().nth(5).is_some();
        let is_plain = |segment: &str| !segment.contains('/') && !is_bad(segment);
        if is_resource && is_plain(kind) && is_plain(name) && !kind.eq_ignore_ascii_case("providers") {
            return Ok(ResourceId(text.into()));
        }
        text.parse()
    }

    /// A resource of another provider below this scope: `group.resource("Microsoft.Compute/virtualMachines", "db")`.
    ///
    /// # Errors
    /// When a part cannot be a segment of an id.
    pub fn resource(&self, resource_type: &str, name: &str) -> Result<ResourceId, IdError> {
        format!("{self}/providers/{resource_type}/{name}").parse()
    }

    /// The resource group of that name in that subscription.
    ///
    /// # Errors
    /// When a part cannot be a segment of an id.
    pub fn group(subscription_id: &str, resource_group: &str) -> Result<ResourceId, IdError> {
        format!("/subscriptions/{subscription_id}/resourceGroups/{resource_group}").parse()
    }

    /// True when `self` is `scope` or lies below it.
    pub fn within(&self, scope: &ResourceId) -> bool {
        let mut mine = self.segments();
        scope.segments().all(|s| mine.next().is_some_and(|m| m.eq_ignore_ascii_case(s)))
    }

    /// The id in lower case: what hashes and caches are keyed by.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The id as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.strip_prefix('/').unwrap_or(&self.0).split('/')
    }

    fn prefix(&self, segments: usize) -> ResourceId {
        let end = self.0.match_indices('/').nth(segments).map_or(self.0.len(), |(at, _)| at);
        ResourceId(self.0[..end].into())
    }
}

/// The words of a type, of an id's segments.
fn type_of<'a>(segments: &[&'a str]) -> impl Iterator<Item = &'a str> {
    // Keys are at even places: a resource, or a group, may itself be called providers.
    let words = (2..segments.len()).step_by(2).rev().find(|at| segments[*at].eq_ignore_ascii_case("providers"));
    let (words, types) = match words {
        None if segments.len() >= 4 => (["Microsoft.Resources", "resourceGroups"], &[][..]),
        None => (["Microsoft.Resources", "subscriptions"], &[][..]),
        Some(at) => ([segments[at + 1], segments[at + 2]], &segments[at + 2..]),
    };
    words.into_iter().chain(types.iter().step_by(2).skip(1).copied())
}

/// How many of an id's segments are those of what it is a child of.
fn above(segments: &[&str]) -> Option<usize> {
    match segments.len() {
        0..=2 => None,
        n if n >= 4 && segments[n - 4].eq_ignore_ascii_case("providers") => Some(n - 4),
        n => Some(n - 2),
    }
}

/// Whether a segment cannot be part of an id.
fn is_bad(segment: &str) -> bool {
    let no_name = |c: char| matches!(c, '<' | '>' | '%' | '&' | '\\' | '?' | '#' | '"') || c.is_control();
    segment.is_empty() || segment == "." || segment == ".." || segment.len() > 260 || segment.contains(no_name)
}

impl FromStr for ResourceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let path = text.trim_end_matches('/');
        let decoded = match path.contains('%') {
            true => percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| IdError::NoSubscription(text.into()))?,
            false => path.into(),
        };
        let mut segments = Vec::with_capacity(20);
        segments.extend(decoded.split('/'));
        let is_guid = |s: &&&str| uuid::Uuid::try_parse(s).is_ok() && s.len() == 36;
        if segments.first() != Some(&"")
            || !segments.get(1).is_some_and(|s| s.eq_ignore_ascii_case("subscriptions"))
            || segments.get(2).filter(is_guid).is_none()
        {
            return Err(IdError::NoSubscription(text.into()));
        }
        if let Some(segment) = segments[1..].iter().copied().find(|segment| is_bad(segment)) {
            return Err(IdError::BadSegment { id: text.into(), segment: segment.into() });
        }
        check_shape(&segments[3..]).ok_or_else(|| IdError::BadShape(text.into()))?;
        Ok(ResourceId(decoded.into()))
    }
}

/// What may follow the subscription: a group, then any number of `/providers/{ns}(/{type}/{name})+`.
fn check_shape(mut rest: &[&str]) -> Option<()> {
    if rest.first().is_some_and(|s| s.eq_ignore_ascii_case("resourceGroups")) {
        rest = rest.get(2..)?;
    }
    while !rest.is_empty() {
        rest[0].eq_ignore_ascii_case("providers").then_some(())?;
        let body = rest.get(2..)?;
        let until = body.iter().step_by(2).position(|s| s.eq_ignore_ascii_case("providers")).map_or(body.len(), |pairs| pairs * 2);
        (until > 0 && until % 2 == 0).then_some(())?;
        rest = &body[until..];
    }
    Some(())
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Maps are ordered by ids, and those of one map begin alike: nothing is copied, and equal bytes are passed in chunks.
        let (mine, others) = (self.0.as_bytes(), other.0.as_bytes());
        let same = 16 * mine.chunks_exact(16).zip(others.chunks_exact(16)).take_while(|(a, b)| a == b).count();
        let (mine, others) = (mine[same..].iter(), others[same..].iter());
        mine.map(u8::to_ascii_lowercase).cmp(others.map(u8::to_ascii_lowercase))
    }
}

impl hash::Hash for ResourceId {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An id as an answer spells it: perhaps empty (`policyId: ""` means none), perhaps a full URL (`vaultId`,
/// backup.md §8.4). Kept as received; [`IdText::id`] says what it means.
///
/// In JSON a bare text. Not `transparent`: the contract checks know ids by the name that serde is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdText(pub String);

impl IdText {
    /// The id; `None` when the text is empty or no id.
    pub fn id(&self) -> Option<ResourceId> {
        self.path().parse().ok()
    }

    /// True when there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when this is an id, or nothing; false for garbage.
    pub fn is_readable(&self) -> bool {
        self.is_empty() || self.id().is_some()
    }

    /// Without scheme and host.
    fn path(&self) -> &str {
        let Some((scheme, rest)) = self.0.split_once("://") else { return &self.0 };
        match rest.find('/') {
            Some(at) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => &rest[at..],
            _ => &self.0,
        }
    }
}

/// A provider namespace with its types, compared without case.
#[derive(Clone, Debug)]
pub struct ResourceType(String);

impl ResourceType {
    /// As spelt in the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for ResourceType {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl PartialEq<str> for ResourceType {
    fn eq(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_an_answer_may_be_empty_or_a_url() {
        let vault = format!("{SUB}/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
        assert_eq!(IdText(format!("https://management.azure.com{vault}")).id(), vault.parse().ok());
        assert_eq!(IdText(vault.clone()).id(), vault.parse().ok());
        assert!(IdText(String::new()).is_readable() && IdText(String::new()).id().is_none());
        assert!(!IdText("nonsense".into()).is_readable());
    }

    const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

    fn id(rest: &str) -> ResourceId {
        format!("{SUB}{rest}").parse().unwrap()
    }

    #[test]
    fn an_id_is_compared_without_case_and_shown_as_received() {
        let a = id("/resourceGroups/Shop/providers/Microsoft.Compute/virtualMachines/DB-1");
        let b = id("/resourcegroups/SHOP/providers/microsoft.compute/virtualmachines/db-1");
        assert_eq!(a, b);
        assert_eq!(a.cmp(&b), std::cmp::Ordering::Equal);
        assert!(a.to_string().contains("Shop"));
        assert_eq!(a.key(), b.key());
    }

    #[test]
    fn what_is_called_providers_is_found_all_the_same() {
        let group = id("/resourceGroups/providers");
        assert_eq!(group.resource_type(), *"Microsoft.Resources/resourceGroups");
        let vault = group.resource("Microsoft.RecoveryServices/vaults", "providers").unwrap();
        assert_eq!(vault.resource_type(), *"Microsoft.RecoveryServices/vaults");
        let policy = vault.child("backupPolicies", "providers").unwrap();
        assert_eq!(policy.ancestor("microsoft.recoveryservices/VAULTS"), Some(vault.clone()));
        assert_eq!((policy.ancestor("Microsoft.Resources/resourceGroups"), policy.parent()), (Some(group), Some(vault)));
        assert_eq!(policy.ancestor("Microsoft.RecoveryServices"), None);
    }

    #[test]
    fn a_child_is_what_its_text_would_be() {
        let vault = id("/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v");
        for parent in [&vault, &id(""), &id("/resourceGroups/rg")] {
            for (kind, name) in [
                ("a", "b"),
                ("a", "b%3Bc"),
                ("a", "b/c/d"),
                ("a", ""),
                ("..", "b"),
                ("a", "b?"),
                ("providers", "b"),
                ("resourceGroups", "b"),
            ] {
                assert_eq!(parent.child(kind, name), format!("{parent}/{kind}/{name}").parse(), "{kind} {name}");
            }
        }
    }

    #[test]
    fn the_parts_of_an_item_id_are_found() {
        let item = id(
            "/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v/backupFabrics/Azure/protectionContainers/IaasVMContainer%3Biaasvmcontainerv2%3Brg%3Bdb/protectedItems/VM%3Biaasvmcontainerv2%3Brg%3Bdb",
        );
        assert_eq!(item.name(), "VM;iaasvmcontainerv2;rg;db");
        assert_eq!(item.resource_type(), *"microsoft.recoveryservices/vaults/backupFabrics/protectionContainers/protectedItems");
        assert_eq!(
            item.ancestor("Microsoft.RecoveryServices/vaults"),
            Some(id("/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v"))
        );
        let group = item.resource_group_id().unwrap();
        assert_eq!(group, id("/resourceGroups/RG"));
        assert_eq!(group.resource_type(), *"Microsoft.Resources/resourceGroups");
        assert_eq!(group.parent(), Some(id("")));
        assert!(item.within(&group) && !group.within(&item));
        assert!(!id("/resourceGroups/rg2").within(&group));
    }

    #[test]
    fn what_is_no_id_is_refused_with_its_reason() {
        for bad in ["", "db-1", "/subscriptions/abc", "https://management.azure.com/subscriptions/x"] {
            assert!(matches!(bad.parse::<ResourceId>(), Err(IdError::NoSubscription(_))), "{bad}");
        }
        for bad in ["/resourceGroups/rg/../other", "/resourceGroups//x", "/resourceGroups/a%2F..%2Fb", "/resourceGroups/a?b"] {
            assert!(matches!(format!("{SUB}{bad}").parse::<ResourceId>(), Err(IdError::BadSegment { .. })), "{bad}");
        }
        for bad in [
            "/resourceGroups",
            "/resourceGroups/rg/vaults/v",
            "/resourceGroups/rg/providers/M.C",
            "/resourceGroups/rg/providers/M.C/vms",
            "/resourceGroups/rg/providers/M.C/vms/a/b",
        ] {
            assert!(matches!(format!("{SUB}{bad}").parse::<ResourceId>(), Err(IdError::BadShape(_))), "{bad}");
        }
        let lock = id("/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/a/providers/Microsoft.Authorization/locks/l");
        assert_eq!(lock.resource_type(), *"Microsoft.Authorization/locks");
        assert_eq!(lock.parent(), Some(id("/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/a")));
    }
}
