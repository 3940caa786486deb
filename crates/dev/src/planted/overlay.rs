//! The copy of the workspace in which every bug is there, and none is on until its name is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::table::{Bug, Edit, TARGETS, Target, places};
use crate::workspace;

/// The variable that names the bug which is on.
pub const PLANTED: &str = "BREAKWATER_PLANTED";

/// What stands for the condition in the text of an edit.
const CONDITION: &str = "PLANTED";

/// Members lie below this folder of the copy: cargo names what it builds after the path below the root, and both workspaces
/// share one folder of what is built, for the sake of everything that comes from registries.
const MEMBERS: &str = "planted";

/// Crates that have no bug and use no other of ours lie where they lie in the workspace, as links: they are built once for both.
const SOUND: &str = "crates";

/// What the copy holds besides Cargo.toml and Cargo.lock.
const COPIED: [&str; 4] = ["crates", "crds", "deploy", "tests"];

/// The copy.
#[derive(Debug)]
pub struct Overlay {
    root: PathBuf,
}

impl Overlay {
    /// Copies the workspace at `from` to `to` with all bugs in it. What has not changed keeps its time, so that cargo builds
    /// only what has.
    ///
    /// # Errors
    /// A file that cannot be read or written, or an edit that does not fit.
    pub fn write(from: &Path, to: &Path, bugs: &[Bug]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in COPIED {
            read_all(from, Path::new(name), &mut files)?;
        }
        plant(&mut files, bugs)?;
        let sound = sound(&files, bugs);
        files.retain(|path, _| !sound.iter().any(|folder| path.starts_with(folder)));
        sync(&to.join(MEMBERS), &files)?;
        // A folder without a manifest would be taken for a member: one that was copied while it had a bug goes.
        for folder in sound.iter().map(|folder| to.join(MEMBERS).join(folder)).filter(|folder| folder.exists()) {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        link(from, to, &sound)?;
        let manifest = fs::read_to_string(from.join("Cargo.toml")).context("Cargo.toml")?;
        write_changed(&to.join("Cargo.toml"), moved(&manifest, &sound)?.as_bytes())?;
        write_changed(&to.join("Cargo.lock"), &fs::read(from.join("Cargo.lock")).context("Cargo.lock")?)?;
        Ok(Overlay { root: to.to_owned() })
    }

    /// The folder in which a target's tests run, as cargo would run them.
    pub fn package(&self, target: Target) -> PathBuf {
        self.root.join(MEMBERS).join(target.folder)
    }

    /// Builds the tests of all targets; answers their programs. What cargo says is kept in `folder`.
    ///
    /// # Errors
    /// It does not build: the end of cargo's words is in the error.
    pub fn build(&self, folder: &Path) -> Result<BTreeMap<Target, PathBuf>> {
        let log = folder.join("build.log");
        let said = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let mut cargo = workspace::cargo();
        cargo.current_dir(&self.root).args(["test", "--workspace", "--no-run", "--locked", "--message-format=json-render-diagnostics"]);
        // It has a target of the same name, and no bugs.
        cargo.args(["--exclude", "azure-sim"]);
        for target in TARGETS {
            cargo.args(["--test", target.name]);
        }
        // The programs go apart: `target/debug` holds those of the sound workspace.
        cargo.env("CARGO_TARGET_DIR", folder.join("out")).env("CARGO_BUILD_BUILD_DIR", workspace::build_dir()?);
        let output = cargo.stdin(Stdio::null()).stderr(said).output().context("running cargo")?;
        if !output.status.success() {
            let words = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = words.lines().collect();
            bail!("the copy with planted bugs does not build ({}):\n{}", log.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        programs(&String::from_utf8_lossy(&output.stdout))
    }
}

/// The test programs that cargo's messages name.
fn programs(messages: &str) -> Result<BTreeMap<Target, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(program), Some(package)) = (message["executable"].as_str(), message["manifest_path"].as_str()) else { continue };
        let is_of = |t: &&Target| {
            message["target"]["name"] == t.name
                && Path::new(package).parent().is_some_and(|p| p.ends_with(Path::new(MEMBERS).join(t.folder)))
        };
        if let Some(target) = TARGETS.iter().find(is_of).filter(|_| message["profile"]["test"] == true) {
            found.insert(*target, PathBuf::from(program));
        }
    }
    match TARGETS.iter().find(|target| !found.contains_key(target)) {
        None => Ok(found),
        Some(missing) => bail!("cargo built no test {} of {}", missing.name, missing.package),
    }
}

/// Every file below a folder, by its path below `root`.
fn read_all(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let full = root.join(folder);
    for entry in fs::read_dir(&full).with_context(|| full.display().to_string())? {
        let entry = entry.with_context(|| full.display().to_string())?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_all(root, &path, files)?;
        } else {
            let text = fs::read(entry.path()).with_context(|| path.display().to_string())?;
            files.insert(path, text);
        }
    }
    Ok(())
}

/// Rewrites the sources so that each bug may be on, and gives each crate that has one the means to ask.
fn plant(files: &mut BTreeMap<PathBuf, Vec<u8>>, bugs: &[Bug]) -> Result<()> {
    let mut by_file: BTreeMap<&Path, Vec<(&Bug, &Edit)>> = BTreeMap::new();
    for bug in bugs {
        for edit in &bug.at {
            by_file.entry(&edit.file).or_default().push((bug, edit));
        }
    }
    let mut crates = BTreeSet::new();
    for (path, edits) in by_file {
        let source = files.get_mut(path).with_context(|| format!("there is no {}", path.display()))?;
        let text = std::str::from_utf8(source).with_context(|| path.display().to_string())?;
        *source = rewritten(text, &edits).with_context(|| path.display().to_string())?.into_bytes();
        let lib = path.ancestors().find(|p| p.ends_with("src")).with_context(|| format!("{} is of no crate", path.display()))?;
        crates.insert(lib.join("lib.rs"));
    }
    for lib in crates {
        let source = files.get_mut(&lib).with_context(|| format!("there is no {}", lib.display()))?;
        source.extend_from_slice(asking().as_bytes());
    }
    Ok(())
}

/// One file with all its edits.
fn rewritten(text: &str, edits: &[(&Bug, &Edit)]) -> Result<String> {
    let mut all: BTreeMap<(usize, usize), String> = BTreeMap::new();
    for (bug, edit) in edits {
        let found = places(text, &edit.find);
        let [place] = found.as_slice() else { bail!("{}: {} times there: {}", bug.name, found.len(), edit.find) };
        // Two bugs may break one expression: the one chooses beside the other.
        let sound = all.get(&(place.start, place.end)).map_or(&text[place.clone()], String::as_str);
        let instead = choice(&bug.name, edit, sound);
        all.insert((place.start, place.end), instead);
    }
    let mut result = String::new();
    let mut done = 0;
    for ((start, end), instead) in all {
        let Some(before) = text.get(done..start) else { bail!("two edits overlap at: {}", &text[start..end]) };
        result.push_str(before);
        result.push_str(&instead);
        done = end;
    }
    Ok(result + &text[done..])
}

/// The text in place of the one that was found.
fn choice(bug: &str, edit: &Edit, sound: &str) -> String {
    let condition = format!("crate::planted::is({bug:?})");
    if edit.broken.contains(CONDITION) {
        edit.broken.replace(CONDITION, &condition)
    } else {
        format!("(if {condition} {{ {} }} else {{ {sound} }})", edit.broken)
    }
}

/// A module that knows which bug is on.
fn asking() -> String {
    format!(
        r#"
/// Which bug is planted.
#[doc(hidden)]
pub mod planted {{
    /// Whether it is this one.
    pub fn is(name: &str) -> bool {{
        static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        NAME.get_or_init(|| std::env::var("{PLANTED}").unwrap_or_default()) == name
    }}
}}
"#
    )
}

/// The folders of crates that have no bug and whose manifests name no other crate of ours.
fn sound(files: &BTreeMap<PathBuf, Vec<u8>>, bugs: &[Bug]) -> BTreeSet<PathBuf> {
    let folder = |path: &Path| path.starts_with(SOUND).then(|| path.iter().take(2).collect::<PathBuf>());
    let broken: BTreeSet<PathBuf> = bugs.iter().flat_map(|bug| &bug.at).filter_map(|edit| folder(&edit.file)).collect();
    let manifests = files.iter().filter(|(path, _)| path.ends_with("Cargo.toml") && path.iter().count() == 3);
    let names: Vec<String> = manifests.clone().filter_map(|(_, text)| package_name(text)).collect();
    let uses_ours = |text: &[u8]| {
        let named = |line: &str| names.iter().any(|name| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")));
        String::from_utf8_lossy(text).lines().any(named)
    };
    manifests.filter(|(_, text)| !uses_ours(text)).filter_map(|(path, _)| folder(path)).filter(|f| !broken.contains(f)).collect()
}

/// The name of a package, by its manifest.
fn package_name(manifest: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(manifest);
    let line = text.lines().find(|line| line.starts_with("name = "))?;
    Some(line.split('"').nth(1)?.to_owned())
}

/// Links to sound crates, and to no others.
fn link(from: &Path, to: &Path, sound: &BTreeSet<PathBuf>) -> Result<()> {
    let links = to.join(SOUND);
    if links.exists() {
        fs::remove_dir_all(&links).with_context(|| links.display().to_string())?;
    }
    fs::create_dir_all(&links).with_context(|| links.display().to_string())?;
    for folder in sound {
        std::os::unix::fs::symlink(from.join(folder), to.join(folder)).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// The root manifest, with the members one folder deeper but for the sound ones.
fn moved(manifest: &str, sound: &BTreeSet<PathBuf>) -> Result<String> {
    let members = r#"members = ["crates/*", "tests"]"#;
    if !manifest.contains(members) {
        bail!("Cargo.toml has other members than {members}");
    }
    let in_place: String = sound.iter().map(|folder| format!(", {:?}", folder.display().to_string())).collect();
    let deeper = format!(r#"members = ["{MEMBERS}/crates/*", "{MEMBERS}/tests"{in_place}]"#);
    let mut text = manifest.replace(members, &deeper).replace("path = \"crates/", &format!("path = \"{MEMBERS}/crates/"));
    for folder in sound {
        text = text.replace(&format!("path = \"{MEMBERS}/{}\"", folder.display()), &format!("path = \"{}\"", folder.display()));
    }
    Ok(text)
}

/// Writes a file that is not as it should be, and touches none that is.
fn write_changed(path: &Path, text: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// Makes a folder hold exactly these files, and touches none that is as it should be.
fn sync(to: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let mut there = BTreeMap::new();
    if to.exists() {
        read_all(to, Path::new(""), &mut there)?;
    }
    for path in there.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(to.join(path)).with_context(|| path.display().to_string())?;
    }
    for (path, text) in files.iter().filter(|(path, text)| there.get(*path) != Some(*text)) {
        let full = to.join(path);
        fs::create_dir_all(full.parent().unwrap_or(to)).with_context(|| path.display().to_string())?;
        fs::write(&full, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(name: &str, find: &str, broken: &str) -> Bug {
        let edit = Edit { file: "crates/a/src/b.rs".into(), find: find.to_owned(), broken: broken.to_owned() };
        Bug { name: name.to_owned(), rule: String::new(), at: vec![edit], tests: Vec::new(), says: None }
    }

    fn planted(bugs: &[Bug]) -> Result<String> {
        let mut files = BTreeMap::from([
            (PathBuf::from("crates/a/src/b.rs"), b"if one && two { three() }".to_vec()),
            (PathBuf::from("crates/a/src/lib.rs"), b"mod b;".to_vec()),
        ]);
        plant(&mut files, bugs)?;
        let text = |path: &str| String::from_utf8(files[Path::new(path)].clone()).expect("text");
        assert!(text("crates/a/src/lib.rs").starts_with("mod b;\n") && text("crates/a/src/lib.rs").contains("BREAKWATER_PLANTED"));
        Ok(text("crates/a/src/b.rs"))
    }

    #[test]
    fn each_bug_is_a_choice_at_run_time() {
        let all = [bug("late", "three()", "if !PLANTED { three() }"), bug("early", "one", "false")];
        let expected =
            r#"if (if crate::planted::is("early") { false } else { one }) && two { if !crate::planted::is("late") { three() } }"#;
        assert_eq!(planted(&all).expect("they fit"), expected);
    }

    #[test]
    fn two_bugs_may_break_one_expression() {
        let text = planted(&[bug("a", "one", "false"), bug("b", "one", "true")]).expect("they fit");
        let inner = r#"(if crate::planted::is("a") { false } else { one })"#;
        assert!(text.starts_with(&format!(r#"if (if crate::planted::is("b") {{ true }} else {{ {inner} }}) && two"#)), "{text}");
    }

    #[test]
    fn edits_that_overlap_or_fit_twice_are_refused() {
        assert!(planted(&[bug("a", "one && two", "true"), bug("b", "two", "true")]).is_err());
        assert!(planted(&[bug("a", "e", "true")]).is_err());
        assert!(planted(&[bug("a", "four", "true")]).is_err());
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_touched_and_one_that_is_gone_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = |all: &[(&str, &str)]| all.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
        sync(folder.path(), &files(&[("a/b", "1"), ("c", "1")])).expect("written");
        let time = || fs::metadata(folder.path().join("a/b")).and_then(|meta| meta.modified()).expect("it is there");
        let before = time();
        sync(folder.path(), &files(&[("a/b", "1"), ("d", "2")])).expect("written");
        assert_eq!(time(), before);
        assert!(!folder.path().join("c").exists() && folder.path().join("d").exists());
    }

    #[test]
    fn the_members_of_the_copy_lie_one_folder_deeper_but_for_the_sound() {
        let manifest = "members = [\"crates/*\", \"tests\"]\na = { path = \"crates/a\" }\nb = { path = \"crates/b\" }";
        assert_eq!(
            moved(manifest, &BTreeSet::from(["crates/b".into()])).expect("it has members"),
            "members = [\"planted/crates/*\", \"planted/tests\", \"crates/b\"]\n\
             a = { path = \"planted/crates/a\" }\nb = { path = \"crates/b\" }"
        );
        assert!(moved("members = []", &BTreeSet::new()).is_err());
    }

    #[test]
    fn sound_are_crates_without_a_bug_that_use_no_other_of_ours() {
        let manifest = |name: &str, uses: &str| format!("[package]\nname = \"{name}\"\n[dependencies]\nserde.workspace = true\n{uses}");
        let files = BTreeMap::from([
            (PathBuf::from("crates/a/Cargo.toml"), manifest("our-a", "").into_bytes()),
            (PathBuf::from("crates/b/Cargo.toml"), manifest("our-b", "").into_bytes()),
            (PathBuf::from("crates/c/Cargo.toml"), manifest("our-c", "our-b.workspace = true\n").into_bytes()),
            (PathBuf::from("tests/Cargo.toml"), manifest("our-tests", "").into_bytes()),
        ]);
        let mut broken = bug("late", "three()", "four()");
        broken.at[0].file = "crates/a/src/b.rs".into();
        assert_eq!(sound(&files, &[broken]), BTreeSet::from(["crates/b".into()]));
    }
}
