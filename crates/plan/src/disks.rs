//! Which disks of a machine a protected item covers (backup.md §8.3), and whether a change drops one.

use std::collections::BTreeSet;

use breakwater_api::selector::Disks;
use serde_json::{Value, json};

/// Where Azure keeps it in a protected item's body.
const POINTER: &str = "/properties/extendedProperties/diskExclusionProperties";

/// The data disks that are covered; the OS disk always is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All, those attached later too.
    All,
    /// These LUNs only; none is the OS disk alone.
    Only(BTreeSet<i64>),
    /// All but these.
    AllBut(BTreeSet<i64>),
}

impl Coverage {
    /// What a spec declares; nothing declared is all.
    pub fn declared(disks: Option<&Disks>) -> Coverage {
        let set = |luns: &[i32]| luns.iter().map(|l| i64::from(*l)).collect();
        match disks {
            None => Coverage::All,
            Some(Disks { include: Some(luns), .. }) => Coverage::Only(set(luns)),
            Some(Disks { exclude: Some(luns), .. }) => Coverage::AllBut(set(luns)),
            Some(Disks { os_only: Some(true), .. }) => Coverage::Only(BTreeSet::new()),
            Some(_) => Coverage::All,
        }
    }

    /// What an item's body shows. An empty exclusion is all.
    pub fn of_item(body: &Value) -> Coverage {
        let Some(seen) = body.pointer(POINTER) else { return Coverage::All };
        let luns: BTreeSet<i64> =
            seen.get("diskLunList").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64).collect();
        match seen.get("isInclusionList").and_then(Value::as_bool) {
            Some(true) => Coverage::Only(luns),
            _ if luns.is_empty() => Coverage::All,
            _ => Coverage::AllBut(luns),
        }
    }

    /// `extendedProperties` of a PUT. All is sent as an empty exclusion, which resets (backup.md §8.3).
    pub fn extended_properties(&self) -> Value {
        let (luns, inclusion): (Vec<i64>, bool) = match self {
            Coverage::All => (Vec::new(), false),
            Coverage::Only(luns) => (luns.iter().copied().collect(), true),
            Coverage::AllBut(luns) => (luns.iter().copied().collect(), false),
        };
        json!({ "diskExclusionProperties": { "diskLunList": luns, "isInclusionList": inclusion } })
    }

    /// Whether the disk at that LUN is covered; -1 is the OS disk.
    pub fn covers(&self, lun: i64) -> bool {
        lun < 0
            || match self {
                Coverage::All => true,
                Coverage::Only(luns) => luns.contains(&lun),
                Coverage::AllBut(luns) => !luns.contains(&lun),
            }
    }

    /// Whether some disk that `self` covers is not covered by `next`: LUNs are 0 to 63.
    pub fn loses_by(&self, next: &Coverage) -> bool {
        (0..64).any(|lun| self.covers(lun) && !next.covers(lun))
    }

    /// In words.
    pub fn show(&self) -> String {
        let list = |luns: &BTreeSet<i64>| luns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Coverage::All => "all".into(),
            Coverage::Only(luns) if luns.is_empty() => "OS disk only".into(),
            Coverage::Only(luns) => format!("OS disk and LUNs {}", list(luns)),
            Coverage::AllBut(luns) => format!("all but LUNs {}", list(luns)),
        }
    }
}

/// Whether a PUT of an item drops a disk that is covered now. Properties left out are kept by Azure (backup.md §8.3), so
/// they drop nothing.
pub fn loses(before: &Value, after: &Value) -> bool {
    let next = after.pointer(POINTER).map(|_| Coverage::of_item(after));
    next.is_some_and(|next| Coverage::of_item(before).loses_by(&next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(luns: &[i64], inclusion: bool) -> Value {
        json!({"properties": {"extendedProperties": {"diskExclusionProperties": {"diskLunList": luns, "isInclusionList": inclusion}}}})
    }

    #[test]
    fn coverage_is_read_as_azure_writes_it() {
        assert_eq!(Coverage::of_item(&json!({"properties": {}})), Coverage::All);
        assert_eq!(Coverage::of_item(&item(&[], false)), Coverage::All);
        assert_eq!(Coverage::of_item(&item(&[], true)), Coverage::Only(BTreeSet::new()));
        assert!(Coverage::of_item(&item(&[0, 1], true)).covers(1) && !Coverage::of_item(&item(&[0, 1], true)).covers(2));
        assert!(Coverage::of_item(&item(&[2], false)).covers(1) && !Coverage::of_item(&item(&[2], false)).covers(2));
        assert!(Coverage::of_item(&item(&[], true)).covers(-1));
    }

    #[test]
    fn a_change_that_drops_a_disk_is_seen_and_one_that_adds_is_not() {
        let cases = [
            // before               after              drops
            (item(&[], false), item(&[2], false), true),
            (item(&[2], false), item(&[], false), false),
            (item(&[0, 1], true), item(&[0], true), true),
            (item(&[0], true), item(&[0, 1], true), false),
            (item(&[], false), item(&[0, 1], true), true),
            (item(&[], true), item(&[], false), false),
        ];
        for (before, after, drops) in cases {
            assert_eq!(loses(&before, &after), drops, "{before} -> {after}");
        }
        assert!(!loses(&item(&[0], true), &json!({"properties": {"policyId": "/x"}})));
    }
}
