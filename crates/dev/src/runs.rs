//! Folders of runs that nobody stops by name: a demo, a test. Each has its own, and old ones are swept away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::workspace;

/// How long the folder of a finished run is kept for whoever wants to read its logs.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// A folder for `name` in `target/dev/GROUP/`, of this process alone. It is not created yet.
///
/// # Errors
/// Cargo does not say where it builds to.
pub fn folder(group: &str, name: &str) -> Result<PathBuf> {
    let group = workspace::target_dir()?.join("dev").join(group);
    sweep(&group);
    Ok(group.join(format!("{}-{name}", std::process::id())))
}

/// Removes folders of processes that are gone for a while.
fn sweep(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().unwrap_or_default();
        let over = pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists();
        let changed = entry.metadata().and_then(|meta| meta.modified());
        if over && changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT_FOR)) {
            // Another process may be removing it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
