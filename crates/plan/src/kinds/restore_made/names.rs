//! How a disk tells that Azure Backup restored it: its name, the tag with the job's, and how it was made (recorded: Azure
//! PowerShell, TestAzureVMCRRWithDES.json).

use breakwater_arm::ResourceId;
use serde_json::Value;

/// The tag that Azure Backup puts on a disk that it restored: the name of the job.
const TAG_JOB: &str = "RSVaultBackup";

/// The job that a disk says it comes from.
pub(super) fn tagged(body: &Value) -> Option<&str> {
    body.get("tags")?.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(TAG_JOB))?.1.as_str()
}

/// Whether a disk looks like one that a restore of that machine, or into that machine, made.
pub(in super::super) fn looks_restored(disk: &ResourceId, body: &Value, machine: &str) -> bool {
    is_restored(body) && (tagged(body).is_some() || is_named_for(disk.name(), machine))
}

/// Names of disks that are longer than Azure takes lose the end of the machine's.
const CUT_FROM: usize = 40;

/// Whether a disk bears the name that restores give: the machine's letters and digits, `-osdisk` or `-datadisk`, and more.
pub(in super::super) fn is_named_for(disk: &str, machine: &str) -> bool {
    let machine = plain(machine);
    stem_of(disk).map(plain).is_some_and(|of| of == machine || (of.len() >= CUT_FROM && machine.starts_with(&of)))
}

/// A name as Azure Backup spells it in names of its own: letters and digits alone, in lower case (recorded: disks of
/// `iaasvm-pstest-vm` are called `iaasvmpstestvm-osdisk-…`).
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The machine's name in the name of a disk that a restore made; none where the name is of another make. A machine's own name may
/// hold the words that come after it.
pub(super) fn stem_of(disk: &str) -> Option<&str> {
    let lower = disk.to_ascii_lowercase();
    ["-osdisk", "-datadisk"].iter().filter_map(|word| lower.rfind(word)).max().map(|at| &disk[..at])
}

/// Whether a disk is of a kind that restores make: from a snapshot, from the vault, and from another region or by newer ways.
pub(super) fn is_restored(body: &Value) -> bool {
    made_by(body, &["Restore", "Import", "Upload"])
}

pub(super) fn made_by(body: &Value, options: &[&str]) -> bool {
    let option = body.pointer("/properties/creationData/createOption").and_then(Value::as_str).unwrap_or_default();
    options.iter().any(|known| option.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_disk_is_known_by_the_machines_letters_and_digits_and_by_the_last_of_azures_words() {
        let cases = [
            ("hiagacrrdesvm-osdisk-20230105-095022", "hiaga-crr-DES-vm", true),
            ("db1-datadisk-003-20230105-095022", "db-1", true),
            ("DB-1-osdisk-20230105-095022", "db-1", true),
            ("sqlosdisktest-osdisk-20230105-095022", "sql-osdisk-test", true),
            ("sql-osdisk-test-datadisk-000-20230105-095022", "sql-osdisk-test", true),
            ("sql-osdisk-test-osdisk-20230105-095022", "sql", false),
            ("db10-osdisk-20230105-095022", "db-1", false),
            ("db-1_OsDisk_1_0609f00733b045e7aa0e1838752309a1", "db-1", false),
        ];
        for (disk, machine, wanted) in cases {
            assert_eq!(is_named_for(disk, machine), wanted, "{disk} of {machine}");
        }
        let long = "a".repeat(60);
        assert!(is_named_for(&format!("{}-osdisk-20230105-095022", &long[..50]), &long), "what is too long is cut");
    }

    #[test]
    fn a_disk_that_says_which_job_made_it_needs_no_name() {
        let id = |name: &str| {
            format!("/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg/providers/Microsoft.Compute/disks/{name}")
        };
        let looks = |name: &str, option: &str, tags: Value| {
            let body = json!({ "tags": tags, "properties": { "creationData": { "createOption": option } } });
            looks_restored(&id(name).parse().unwrap(), &body, "db-1")
        };
        for option in ["Restore", "Import", "Upload"] {
            assert!(looks("other", option, json!({ "rsvaultbackup": "j" })) && looks("db1-osdisk-2", option, json!({})), "{option}");
            assert!(!looks("other", option, json!({ "breakwater-restore": "k" })), "{option}");
        }
        assert!(!looks("db1-osdisk-2", "Empty", json!({ "RSVaultBackup": "j" })), "made by hand");
    }
}
