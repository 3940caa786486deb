//! How Recovery Services spells ids, names and times, and how it reads filters (backup.md §1.3, §4.5).

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Type of a vault.
pub const VAULT_TYPE: &str = "Microsoft.RecoveryServices/vaults";
/// The only machine type of this model.
pub const VM_TYPE: &str = "Microsoft.Compute/virtualMachines";
/// What `protectedItemType` of a machine may say instead in a request: azure-powershell suspends backups with it [sdk].
pub const OLD_VM_TYPE: &str = "AzureIaaSVMProtectedItem";
/// `endTime` of what has not ended: no `Z`, and no RFC 3339 (§3.2).
pub const NO_TIME: &str = "0001-01-01T00:00:00";
/// `lastBackupTime` before the first backup (§8.4).
pub const NEVER: &str = "2001-01-01T00:00:00Z";

/// A lun in a request: a number, or its digits as a text. azure-cli, on an SDK that no longer turns one into the other, sends
/// texts; that the service reads them is inferred from that alone.
pub fn lun(value: &Value) -> Option<i32> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => i32::try_from(number.as_i64()?).ok(),
    }
}

/// A machine's name inside a vault, lower-cased: `iaasvmcontainerv2;{resource group};{vm}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey(String);

impl ItemKey {
    /// The key of a machine by its ARM id; `None` when the id is not a machine's.
    pub fn of_machine(id: &str) -> Option<Self> {
        let parts: Vec<&str> = id.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [subs, _, groups, group, providers, namespace, kind, name]
                if subs.eq_ignore_ascii_case("subscriptions")
                    && groups.eq_ignore_ascii_case("resourceGroups")
                    && providers.eq_ignore_ascii_case("providers")
                    && namespace.eq_ignore_ascii_case("Microsoft.Compute")
                    && kind.eq_ignore_ascii_case("virtualMachines") =>
            {
                Some(ItemKey(format!("iaasvmcontainerv2;{};{}", group.to_lowercase(), name.to_lowercase())))
            }
            _ => None,
        }
    }

    /// The key in a container name (`IaasVMContainer;…`) of any case.
    pub fn of_container(name: &str) -> Option<Self> {
        Self::after(name, "iaasvmcontainer;")
    }

    /// The key in an item name (`VM;…`) of any case.
    pub fn of_item(name: &str) -> Option<Self> {
        Self::after(name, "vm;")
    }

    fn after(name: &str, prefix: &str) -> Option<Self> {
        let lower = name.to_lowercase();
        let rest = lower.strip_prefix(prefix)?;
        let parts: Vec<&str> = rest.split(';').collect();
        matches!(parts.as_slice(), ["iaasvmcontainerv2", group, vm] if !group.is_empty() && !vm.is_empty())
            .then(|| ItemKey(rest.to_owned()))
    }

    /// `iaasvmcontainerv2;rg;vm`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `IaasVMContainer;…`
    pub fn container(&self) -> String {
        format!("IaasVMContainer;{}", self.0)
    }

    /// `VM;…`
    pub fn item(&self) -> String {
        format!("VM;{}", self.0)
    }
}

/// The last segment of an ARM id.
pub fn leaf(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or(id)
}

/// The resource group in an ARM id, as spelled there; empty when there is none.
pub fn group_of(id: &str) -> &str {
    id.split('/').filter(|part| !part.is_empty()).nth(3).unwrap_or("")
}

/// A region in canonical form: `West Europe` is `westeurope`.
pub fn canonical_location(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

/// Fraction of a second in ticks of 100 ns, the service's resolution.
fn ticks(time: Timestamp) -> i32 {
    time.subsec_nanosecond().rem_euclid(1_000_000_000) / 100
}

/// `2024-04-28T06:39:16.1055905Z`; the fraction without trailing zeros, as the service writes it.
pub fn time_text(time: Timestamp) -> String {
    let base = time.strftime("%Y-%m-%dT%H:%M:%S");
    match ticks(time) {
        0 => format!("{base}Z"),
        some => format!("{base}.{}Z", format!("{some:07}").trim_end_matches('0')),
    }
}

/// `2024-10-11T08:32:23.8465440`: seven digits and no zone, as `expiryTime` of a point (§12.1).
pub fn zoneless_text(time: Timestamp) -> String {
    format!("{}.{:07}", time.strftime("%Y-%m-%dT%H:%M:%S"), ticks(time))
}

/// `6/13/2024 12:00:00 AM`, as in property bags (§11.1).
pub fn us_text(time: Timestamp) -> String {
    time.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

/// `PT1H2M24.1198378S` (§11.1).
pub fn duration_text(duration: SignedDuration) -> String {
    let total = duration.as_secs().max(0);
    let ticks = duration.subsec_nanos().max(0) / 100;
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let mut text = "PT".to_owned();
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if ticks > 0 {
        text.push_str(&format!("{seconds}.{}S", format!("{ticks:07}").trim_end_matches('0')));
    } else if seconds > 0 || total == 0 {
        text.push_str(&format!("{seconds}S"));
    }
    text
}

/// `13.23:59:42.8656002`, a .NET TimeSpan (§9).
pub fn timespan_text(duration: SignedDuration) -> String {
    let total = duration.as_secs().max(0);
    let ticks = duration.subsec_nanos().max(0) / 100;
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    let days = if days > 0 { format!("{days}.") } else { String::new() };
    let fraction = if ticks > 0 { format!(".{ticks:07}") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// The terms of a `$filter`: `name eq 'value' and …`, names in lower case. `None` when it does not read so (§4.5).
pub fn filter_terms(filter: &str) -> Option<BTreeMap<String, String>> {
    let mut terms = BTreeMap::new();
    let mut rest = filter.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(char::is_whitespace)?;
        let after = after.trim_start();
        let after = after.strip_prefix("eq").or_else(|| after.strip_prefix("EQ"))?.trim_start().strip_prefix('\'')?;
        let (value, after) = after.split_once('\'')?;
        terms.insert(name.to_lowercase(), value.to_owned());
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
        rest = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("and")).and_then(|_| rest.get(3..))?.trim_start();
    }
    Some(terms)
}

/// A time in a filter: `2024-05-01 12:00:00 AM`, UTC (§4.5). An RFC 3339 time is read too.
pub fn filter_time(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y-%m-%d %I:%M:%S %p", text.trim()).ok();
    civil.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp()).or_else(|| text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_written_as_the_service_writes_them() {
        assert_eq!(time_text(at("2024-04-28T06:39:16.1055905Z")), "2024-04-28T06:39:16.1055905Z");
        assert_eq!(time_text(at("2024-10-09T08:32:23.8465440Z")), "2024-10-09T08:32:23.846544Z");
        assert_eq!(time_text(at("2024-04-28T16:30:00Z")), "2024-04-28T16:30:00Z");
        assert_eq!(zoneless_text(at("2024-10-11T08:32:23.846544Z")), "2024-10-11T08:32:23.8465440");
        assert_eq!(us_text(at("2024-06-13T00:00:00Z")), "6/13/2024 12:00:00 AM");
        assert_eq!(us_text(at("2024-02-23T10:41:20Z")), "2/23/2024 10:41:20 AM");
    }

    #[test]
    fn durations_are_written_as_the_service_writes_them() {
        let cases = [
            (SignedDuration::new(2471, 187_793_600), "PT41M11.1877936S"),
            (SignedDuration::new(3744, 119_837_800), "PT1H2M24.1198378S"),
            (SignedDuration::ZERO, "PT0S"),
            (SignedDuration::new(60, 0), "PT1M"),
        ];
        for (duration, text) in cases {
            assert_eq!(duration_text(duration), text);
        }
        assert_eq!(timespan_text(SignedDuration::new(14 * 86_400 - 18, 865_600_200)), "13.23:59:42.8656002");
        assert_eq!(timespan_text(SignedDuration::new(61, 0)), "00:01:01");
    }

    #[test]
    fn filters_are_conjunctions_of_equalities() {
        let terms = filter_terms("backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'").unwrap();
        assert_eq!(terms["backupmanagementtype"], "AzureIaasVM");
        assert_eq!(terms["itemtype"], "VM");
        assert_eq!(filter_terms("").unwrap().len(), 0);
        assert!(filter_terms("name ne 'x'").is_none());
        assert!(filter_terms("name eq 'x' or b eq 'y'").is_none());
        assert_eq!(filter_time("2024-05-01 12:00:00 AM"), Some(at("2024-05-01T00:00:00Z")));
        assert_eq!(filter_time("2024-05-01 01:30:00 PM"), Some(at("2024-05-01T13:30:00Z")));
        assert_eq!(filter_time("yesterday"), None);
    }

    #[test]
    fn keys_ignore_case_and_refuse_what_is_not_a_machine() {
        let key = ItemKey::of_machine("/subscriptions/s/resourceGroups/RG-A/providers/Microsoft.Compute/virtualMachines/Vm-1").unwrap();
        assert_eq!(key.container(), "IaasVMContainer;iaasvmcontainerv2;rg-a;vm-1");
        assert_eq!(ItemKey::of_item("vm;IaasVmContainerV2;RG-A;VM-1"), Some(key.clone()));
        assert_eq!(ItemKey::of_container("iaasvmcontainer;iaasvmcontainerv2;rg-a;vm-1"), Some(key));
        assert_eq!(ItemKey::of_item("VM;iaasvmcontainer;rg;vm"), None);
        assert_eq!(ItemKey::of_machine("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d"), None);
    }
}
