//! `cargo dev crds`: the definitions in `crds/`, generated from the types.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use breakwater_api::crdgen;

use crate::workspace;

/// Files of `crds/` that are not what the types say, by name; extra and missing ones too.
///
/// # Errors
/// The folder cannot be read.
pub fn stale() -> Result<Vec<String>> {
    let dir = workspace::root().join("crds");
    let wanted = crdgen::crd_files();
    let mut stale: Vec<String> = wanted
        .iter()
        .filter(|(name, content)| fs::read_to_string(dir.join(name)).ok().as_ref() != Some(content))
        .map(|(name, _)| name.clone())
        .collect();
    stale.extend(present(&dir)?.into_iter().filter(|name| !wanted.iter().any(|(wanted, _)| wanted == name)));
    Ok(stale)
}

/// Writes `crds/` anew and removes what no type stands behind. Returns the names of what changed.
///
/// # Errors
/// The folder cannot be written.
pub fn write() -> Result<Vec<String>> {
    let dir = workspace::root().join("crds");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let changed = stale()?;
    let wanted = crdgen::crd_files();
    for name in &changed {
        let path = dir.join(name);
        match wanted.iter().find(|(wanted, _)| wanted == name) {
            Some((_, content)) => fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?,
            None => fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?,
        }
    }
    Ok(changed)
}

fn present(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", dir.display())),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<std::io::Result<_>>().with_context(|| format!("reading {}", dir.display()))?;
    Ok(names.into_iter().filter(|name| name.ends_with(".yaml")).collect())
}
