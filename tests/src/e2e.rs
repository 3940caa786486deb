//! What the end-to-end tests share: the built binaries, folders of their own, and planes and stacks to run on.

use std::path::PathBuf;
use std::sync::OnceLock;

use breakwater_dev::plane::Plane;
use breakwater_dev::progress::Progress;
use breakwater_dev::stack::{Settings, Stack, Tools};
use breakwater_dev::workspace;

/// How many times faster than the wall the simulated world runs in these tests.
pub const CLOCK_FACTOR: u32 = 120;

/// Everything that was built, or is built now.
///
/// # Panics
/// A build fails.
pub fn tools() -> &'static Tools {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    TOOLS.get_or_init(|| Tools::find_or_build(&Progress::start()).expect("the binaries can be built"))
}

/// A folder of this run alone, for the test called `name`; it stays, so that the logs can be read.
///
/// # Panics
/// Cargo does not say where it builds to.
pub fn dir(name: &str) -> PathBuf {
    let e2e = workspace::target_dir().expect("cargo says where it builds to").join("dev").join("e2e");
    sweep(&e2e);
    e2e.join(format!("{}-{name}", std::process::id()))
}

/// A control plane with nothing installed.
///
/// # Panics
/// It does not start.
pub fn plane(name: &str) -> Plane {
    let tools = tools();
    Plane::start(&tools.control_plane, &tools.own.dev, &dir(name)).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

/// The shop's estate with a running operator, in which nobody has applied anything yet.
///
/// # Panics
/// It does not start.
pub fn stack(name: &str) -> Stack {
    let settings = Settings::shop(dir(name), CLOCK_FACTOR);
    Stack::start(tools(), &settings, &Progress::start()).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

/// The text of one of the shipped samples.
///
/// # Panics
/// There is no such sample.
pub fn sample(name: &str) -> String {
    let path = workspace::root().join("deploy/samples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Removes folders of runs that are over, except the newest ones, which somebody may be reading.
fn sweep(e2e: &std::path::Path) {
    let entries = std::fs::read_dir(e2e).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().unwrap_or_default();
        let over = !std::path::Path::new("/proc").join(pid).exists();
        let old = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT_FOR));
        if over && old {
            // Another test may be removing it as well.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// How long the folder of a finished run is kept for reading.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(3600);
