//! The lists of bugs: what each breaks, where, and which test must notice.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Where the lists of bugs are, below the workspace's root.
const FOLDER: &str = "tests/planted";

/// All bugs.
#[derive(Clone, Debug)]
pub struct Table {
    /// In the order in which they are told.
    pub bugs: Vec<Bug>,
}

/// A rule broken on purpose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bug {
    /// Unique, lower case with hyphens: the value of the variable that plants it.
    pub name: String,
    /// The rule that it breaks, as a sentence that is true of the sound product.
    pub rule: String,
    /// What is rewritten; several places where a rule is held more than once.
    pub at: Vec<Edit>,
    /// The tests of which each must fail.
    pub tests: Vec<NamedTest>,
    /// What the failing test must say, where another failure of it would prove nothing.
    #[serde(default)]
    pub says: Option<String>,
}

/// One place in the sources.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Below the workspace's root, in a library crate.
    pub file: PathBuf,
    /// A text that the file holds exactly once, whatever its whitespace.
    pub find: String,
    /// The expression that is used instead of `find` when the bug is planted; or, where it holds the word `PLANTED`, the
    /// text that takes the place of `find`, with `PLANTED` for the condition.
    pub broken: String,
}

/// A test by its target and its path in there: `sim gate::a_removal_leaves_only_after_a_last_look`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct NamedTest {
    /// Where it is built.
    pub target: Target,
    /// Its modules and its name.
    pub path: String,
}

/// An integration test of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The target's name.
    pub name: &'static str,
    /// The package's name.
    pub package: &'static str,
    /// The package's folder below the workspace's root.
    pub folder: &'static str,
    /// The target's folder below that.
    pub sources: &'static str,
}

/// The targets that tests are named from.
pub const TARGETS: [Target; 4] = [
    Target { name: "sim", package: "breakwater-tests", folder: "tests", sources: "sim" },
    Target { name: "bench", package: "breakwater-tests", folder: "tests", sources: "bench" },
    Target { name: "core", package: "breakwater-plan", folder: "crates/plan", sources: "tests/core" },
    Target { name: "kinds", package: "breakwater-plan", folder: "crates/plan", sources: "tests/kinds" },
];

impl TryFrom<String> for NamedTest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (target, path) = text.split_once(' ').ok_or_else(|| format!("{text}: a test is a target and a path"))?;
        let target = TARGETS.into_iter().find(|t| t.name == target).ok_or_else(|| format!("{text}: {target} is no target"))?;
        Ok(NamedTest { target, path: path.to_owned() })
    }
}

impl fmt::Display for NamedTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target.name, self.path)
    }
}

impl NamedTest {
    /// Whether the sources hold it.
    ///
    /// # Errors
    /// The file that should is not there.
    fn exists(&self, root: &Path) -> Result<bool> {
        let folder = root.join(self.target.folder).join(self.target.sources);
        let (modules, name) = self.path.rsplit_once("::").unwrap_or(("main", &self.path));
        let file = folder.join(format!("{}.rs", modules.replace("::", "/")));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let start = format!("fn {name}(");
        let is_test = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| *line == "#[test]");
        Ok(lines.iter().enumerate().any(|(at, line)| line.starts_with(&start) && is_test(at)))
    }
}

impl Table {
    /// Reads all lists of the workspace at `root`, in the order of their names.
    ///
    /// # Errors
    /// A file that cannot be read or is no list of bugs.
    pub fn read(root: &Path) -> Result<Table> {
        let folder = root.join(FOLDER);
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
        files.sort();
        let mut bugs = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            bugs.extend(serde_saphyr::from_str::<Vec<Bug>>(&text).with_context(|| file.display().to_string())?);
        }
        Ok(Table { bugs })
    }

    /// What does not fit the sources any more, a line each: a text that is not there exactly once, a test that is gone.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn stale(&self, root: &Path) -> Result<Vec<String>> {
        let mut stale = Vec::new();
        let mut names = BTreeSet::new();
        for bug in &self.bugs {
            if !names.insert(&bug.name) {
                stale.push(format!("{}: another bug has that name", bug.name));
            }
            if bug.at.is_empty() || bug.tests.is_empty() {
                stale.push(format!("{}: breaks nothing, or names no test", bug.name));
            }
            for edit in &bug.at {
                let file = root.join(&edit.file);
                let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let count = places(&text, &edit.find).len();
                if count != 1 {
                    stale.push(format!("{}: {} times in {}: {}", bug.name, count, edit.file.display(), edit.find));
                }
            }
            for test in &bug.tests {
                if !test.exists(root).unwrap_or(false) {
                    stale.push(format!("{}: there is no test {test}", bug.name));
                }
            }
        }
        Ok(stale)
    }
}

/// Where a text stands in another, whatever the whitespace in both: rustfmt may break its lines at any time.
pub(super) fn places(text: &str, find: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect::<Vec<_>>();
    let (text, find) = (dense(text), dense(find));
    let fits = |window: &&[(usize, char)]| window.iter().zip(&find).all(|(a, b)| a.1 == b.1);
    let range = |window: &[(usize, char)]| {
        let (first, last) = (window[0], window[window.len() - 1]);
        first.0..last.0 + last.1.len_utf8()
    };
    text.windows(find.len().max(1)).filter(fits).filter(|_| !find.is_empty()).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_its_lines_are_broken() {
        let text = "let a = one\n    .two(x)\n    .three();";
        let found = places(text, "one.two(x) .three()");
        assert_eq!(found.len(), 1);
        assert_eq!(&text[found[0].clone()], "one\n    .two(x)\n    .three()");
        assert_eq!(places("a a a", "a").len(), 3);
        assert!(places("a", "ab").is_empty() && places("a", " ").is_empty());
    }

    #[test]
    fn a_test_is_a_known_target_and_a_path() {
        let test = NamedTest::try_from("kinds vault::it_holds".to_owned()).expect("a target and a path");
        assert_eq!(
            (test.target.package, test.path.as_str(), test.to_string().as_str()),
            ("breakwater-plan", "vault::it_holds", "kinds vault::it_holds")
        );
        assert!(NamedTest::try_from("vault::it_holds".to_owned()).is_err());
        assert!(NamedTest::try_from("nowhere vault::it_holds".to_owned()).is_err());
    }

    #[test]
    fn a_table_that_does_not_fit_the_sources_is_told_line_by_line() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        };
        write("crates/plan/src/lib.rs", "fn f() -> bool { g(1) && g(2) }");
        write("tests/sim/main.rs", "#[test]\nfn holds() {}\nfn helps() {}");
        let bug = |find: &str, test: &str| Bug {
            name: format!("{find} {test}"),
            rule: "g is asked".to_owned(),
            at: vec![Edit { file: "crates/plan/src/lib.rs".into(), find: find.to_owned(), broken: "true".to_owned() }],
            tests: vec![NamedTest::try_from(format!("sim {test}")).expect("a target and a path")],
            says: None,
        };
        let stale = |bugs: Vec<Bug>| Table { bugs }.stale(root.path()).expect("all files are there");
        assert_eq!(stale(vec![bug("g(1)", "holds")]), Vec::<String>::new());
        assert!(stale(vec![bug("g(", "holds")])[0].contains("2 times"));
        assert!(stale(vec![bug("g(3)", "holds")])[0].contains("0 times"));
        for gone in ["helps", "is_gone", "other::holds"] {
            assert!(stale(vec![bug("g(1)", gone)])[0].contains("there is no test"), "{gone}");
        }
        assert!(stale(vec![bug("g(1)", "holds"), bug("g(1)", "holds")])[0].contains("another bug"));
    }
}
