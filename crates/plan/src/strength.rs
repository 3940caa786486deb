//! How strong a defence is: the published order for each field that Breakwater manages and never lowers.
//!
//! | defence | weakest to strongest |
//! |---|---|
//! | soft delete | Disabled, Enabled, AlwaysOn |
//! | soft delete retention | fewer days, more days |
//! | immutability | Disabled, Unlocked, Locked |
//! | cross-region restore | off, on |
//! | public network access | Enabled, Disabled |
//! | redundancy | LocallyRedundant, ZoneRedundant, GeoRedundant |

use std::{cmp::Ordering, fmt};

use serde_json::Value;

/// A field of a vault that defends what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defence {
    /// `softDelete.state`
    SoftDelete,
    /// `softDelete.retentionDays`, a whole number
    SoftDeleteDays,
    /// `immutability`
    Immutability,
    /// `crossRegionRestore`, `true`/`false` or Azure's `Enabled`/`Disabled`
    CrossRegionRestore,
    /// `publicNetworkAccess`
    PublicNetworkAccess,
    /// `redundancy`
    Redundancy,
}

impl Defence {
    /// All of them.
    pub const ALL: [Defence; 6] = [
        Defence::SoftDelete,
        Defence::SoftDeleteDays,
        Defence::Immutability,
        Defence::CrossRegionRestore,
        Defence::PublicNetworkAccess,
        Defence::Redundancy,
    ];

    /// The field in a RecoveryVault's spec.
    pub fn field(self) -> &'static str {
        match self {
            Defence::SoftDelete => "softDelete.state",
            Defence::SoftDeleteDays => "softDelete.retentionDays",
            Defence::Immutability => "immutability",
            Defence::CrossRegionRestore => "crossRegionRestore",
            Defence::PublicNetworkAccess => "publicNetworkAccess",
            Defence::Redundancy => "redundancy",
        }
    }

    /// The field as one word of small letters, for names of nodes and questions.
    pub fn kebab(self) -> &'static str {
        match self {
            Defence::SoftDelete => "soft-delete",
            Defence::SoftDeleteDays => "soft-delete-days",
            Defence::Immutability => "immutability",
            Defence::CrossRegionRestore => "cross-region-restore",
            Defence::PublicNetworkAccess => "public-network-access",
            Defence::Redundancy => "redundancy",
        }
    }

    /// Where bodies show it: the vault's (backup.md §5.1), then vaultconfig's or the storage config's (§6).
    fn pointers(self) -> &'static [&'static str] {
        match self {
            Defence::SoftDelete => {
                &["/properties/securitySettings/softDeleteSettings/softDeleteState", "/properties/softDeleteFeatureState"]
            }
            Defence::SoftDeleteDays => &[
                "/properties/securitySettings/softDeleteSettings/softDeleteRetentionPeriodInDays",
                "/properties/softDeleteRetentionPeriodInDays",
            ],
            Defence::Immutability => &["/properties/securitySettings/immutabilitySettings/state"],
            Defence::CrossRegionRestore => &["/properties/redundancySettings/crossRegionRestore", "/properties/crossRegionRestoreFlag"],
            Defence::PublicNetworkAccess => &["/properties/publicNetworkAccess"],
            Defence::Redundancy => &["/properties/redundancySettings/standardTierStorageRedundancy", "/properties/storageModelType"],
        }
    }

    /// The words of each rank, weakest first; empty for a number.
    fn ranks(self) -> &'static [&'static [&'static str]] {
        match self {
            Defence::SoftDelete => &[&["Disabled"], &["Enabled"], &["AlwaysOn"]],
            Defence::SoftDeleteDays => &[],
            Defence::Immutability => &[&["Disabled"], &["Unlocked"], &["Locked"]],
            Defence::CrossRegionRestore => &[&["Disabled", "false"], &["Enabled", "true"]],
            Defence::PublicNetworkAccess => &[&["Enabled"], &["Disabled"]],
            Defence::Redundancy => &[&["LocallyRedundant"], &["ZoneRedundant"], &["GeoRedundant"]],
        }
    }

    fn rank(self, word: &str) -> Option<i64> {
        if self == Defence::SoftDeleteDays {
            return word.trim().parse().ok();
        }
        let at = self.ranks().iter().position(|words| words.iter().any(|w| w.eq_ignore_ascii_case(word)))?;
        i64::try_from(at).ok()
    }
}

/// How `have` compares to `want` in strength; `None` when a word is not known and the two are not the same.
pub fn compare(defence: Defence, have: &str, want: &str) -> Option<Ordering> {
    match (defence.rank(have), defence.rank(want)) {
        (Some(have), Some(want)) => Some(have.cmp(&want)),
        _ => have.eq_ignore_ascii_case(want).then_some(Ordering::Equal),
    }
}

/// True when what Azure has is certainly as strong as what is wanted. A word that is not known is not.
pub fn at_least(defence: Defence, have: &str, want: &str) -> bool {
    compare(defence, have, want).is_some_and(Ordering::is_ge)
}

/// True when writing `want` over `have` would lower the defence, or might: a word that is not known counts as stronger.
pub fn weaker(defence: Defence, have: &str, want: &str) -> bool {
    compare(defence, have, want).is_none_or(Ordering::is_gt)
}

/// A defence that a write would lower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// Which.
    pub defence: Defence,
    /// As it is.
    pub from: String,
    /// As it would be.
    pub to: String,
}

impl fmt::Display for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would go from {} to {}", self.defence.field(), self.from, self.to)
    }
}

/// The defences that a body for a vault, its vaultconfig or its storage config would lower. A defence that the new body
/// does not speak of stays as it is; one that the old body does not show was not there.
pub fn lowered(before: &Value, after: &Value) -> Vec<Lowered> {
    let word = |value: &Value| match value {
        Value::String(word) => Some(word.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let shown = |body: &Value, pointer: &str| body.pointer(pointer).and_then(word);
    let one = |defence: Defence, pointer: &str| {
        let (from, to) = (shown(before, pointer)?, shown(after, pointer)?);
        weaker(defence, &from, &to).then_some(Lowered { defence, from, to })
    };
    Defence::ALL.into_iter().flat_map(|d| d.pointers().iter().filter_map(move |p| one(d, p))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_lowers_a_defence_is_told_by_field() {
        let vault = |soft: &str, days: i64, redundancy: &str| {
            serde_json::json!({ "properties": { "publicNetworkAccess": "Enabled", "redundancySettings": { "standardTierStorageRedundancy": redundancy },
                "securitySettings": { "softDeleteSettings": { "softDeleteState": soft, "softDeleteRetentionPeriodInDays": days }, "immutabilitySettings": null } } })
        };
        let strong = vault("AlwaysON", 30, "GeoRedundant");
        assert_eq!(lowered(&strong, &strong), []);
        assert_eq!(lowered(&vault("Enabled", 14, "LocallyRedundant"), &strong), []);
        let told: Vec<_> = lowered(&strong, &vault("Enabled", 14, "LocallyRedundant")).iter().map(ToString::to_string).collect();
        let wanted = [
            "softDelete.state would go from AlwaysON to Enabled",
            "softDelete.retentionDays would go from 30 to 14",
            "redundancy would go from GeoRedundant to LocallyRedundant",
        ];
        assert_eq!(told, wanted);
        assert_eq!(lowered(&strong, &serde_json::json!({ "properties": {} })), []);
        let config = |state: &str| serde_json::json!({ "properties": { "softDeleteFeatureState": state } });
        assert_eq!(lowered(&config("Enabled"), &config("Disabled")).len(), 1);
    }

    #[test]
    fn each_defence_has_one_order() {
        for (defence, order) in [
            (Defence::SoftDelete, vec!["Disabled", "Enabled", "AlwaysON"]),
            (Defence::SoftDeleteDays, vec!["14", "15", "180"]),
            (Defence::Immutability, vec!["Disabled", "Unlocked", "Locked"]),
            (Defence::CrossRegionRestore, vec!["false", "Enabled"]),
            (Defence::PublicNetworkAccess, vec!["Enabled", "Disabled"]),
            (Defence::Redundancy, vec!["LocallyRedundant", "ZoneRedundant", "GeoRedundant"]),
        ] {
            for (i, have) in order.iter().enumerate() {
                for (j, want) in order.iter().enumerate() {
                    assert_eq!(at_least(defence, have, want), i >= j, "{defence:?}: {have} for {want}");
                    assert_eq!(weaker(defence, have, want), i > j, "{defence:?}: {want} over {have}");
                }
            }
        }
    }

    #[test]
    fn a_word_that_is_not_known_is_neither_enough_nor_safe_to_replace() {
        for defence in Defence::ALL {
            assert!(!at_least(defence, "Fortified", "Enabled"));
            assert!(weaker(defence, "Fortified", "Enabled"));
            assert!(at_least(defence, "Fortified", "fortified") && !weaker(defence, "Fortified", "fortified"));
        }
    }

    #[test]
    fn azures_spelling_of_a_boolean_is_understood() {
        assert!(at_least(Defence::CrossRegionRestore, "Enabled", "true"));
        assert!(!at_least(Defence::CrossRegionRestore, "Disabled", "true"));
    }
}
