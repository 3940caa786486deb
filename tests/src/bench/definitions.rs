//! The weight of the custom resource definitions: as YAML, and in the memory of a real API server.

use std::{thread, time::Duration};

use anyhow::{Context, Result};
use breakwater_api::crdgen::{MAX_BYTES, crd_files};
use breakwater_dev::{plane::Plane, progress::Progress, runs, stack::Tools};

use super::{
    processes::resident_kib,
    table::{Row, Verdict},
};

/// What a definition may add to the API server's memory, in KiB.
const GROWTH_GOAL_KIB: i64 = 3 * 1024;

/// How long an API server is left alone before it is weighed: it rebuilds its OpenAPI documents, and collects garbage.
const CALM: Duration = Duration::from_secs(20);

/// Each definition's file and its size in bytes.
pub fn weights() -> Vec<(String, usize)> {
    crd_files().into_iter().filter(|(name, _)| name != "kustomization.yaml").map(|(name, yaml)| (name, yaml.len())).collect()
}

/// Rows that need no process.
pub fn rows() -> Vec<Row> {
    let row = |(name, bytes): (String, usize)| {
        let measured = format!("{:.1} KiB", bytes as f64 / 1024.0);
        Row::new(format!("weight of crds/{name}"), "<= 64 KiB of YAML", measured, Verdict::of(bytes <= MAX_BYTES), "")
    };
    weights().into_iter().map(row).collect()
}

/// What an API server holds, in KiB.
#[derive(Clone, Copy, Debug)]
struct Weight {
    /// Pages in memory, garbage of Go's heap among them.
    resident: i64,
    /// What is in use on its heap, right after a collection.
    live: i64,
}

/// What the profile of Go's heap says in its text form (net/http/pprof, `heap?gc=1&debug=1`: it collects first), in KiB.
fn live_kib(profile: &str) -> Option<i64> {
    let bytes: i64 = profile.lines().find_map(|line| line.strip_prefix("# HeapAlloc = "))?.trim().parse().ok()?;
    Some(bytes / 1024)
}

/// What the definitions add to an API server's memory, one after the other on one that has none yet.
///
/// # Errors
/// The control plane does not start, or refuses a definition.
pub fn growth(tools: &Tools) -> Result<Vec<Row>> {
    Progress::start().step("control plane: weighing the definitions, a minute and a half");
    let plane = Plane::start(&tools.control_plane, &tools.own.dev, &runs::folder("bench", "definitions")?)?;
    let [_, api_server, _] = plane.pids();
    let weigh = || -> Result<Weight> {
        thread::sleep(CALM);
        let profile = plane.kubectl().run(&["get", "--raw", "/debug/pprof/heap?gc=1&debug=1"])?;
        let live = live_kib(&profile).context("the API server's profile tells no HeapAlloc")?;
        Ok(Weight { resident: resident_kib(api_server).context("the API server is gone")? as i64, live })
    };
    let first = weigh()?;
    let (mut before, mut steps) = (first, Vec::new());
    let files: Vec<(String, String)> = crd_files().into_iter().filter(|(name, _)| name != "kustomization.yaml").collect();
    for (name, yaml) in &files {
        plane.kubectl().apply(yaml)?;
        plane.kubectl().run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
        let now = weigh()?;
        steps.push((name, Weight { resident: now.resident - before.resident, live: now.live - before.live }));
        before = now;
    }
    plane.stop()?;
    let row = |memory: &str, of: &dyn Fn(&Weight) -> i64, because: &str| {
        let each = (of(&before) - of(&first)) / files.len() as i64;
        let steps: Vec<String> = steps.iter().map(|(name, step)| format!("{name} {:+.1} MiB", of(step) as f64 / 1024.0)).collect();
        Row::new(
            format!("growth of the API server for each of {} definitions, {memory}", files.len()),
            "<= 3 MiB",
            format!("{:.1} MiB", each as f64 / 1024.0),
            Verdict::of(each <= GROWTH_GOAL_KIB),
            format!("{:.0} MiB before the first; {}; {because}", of(&first) as f64 / 1024.0, steps.join(", ")),
        )
    };
    Ok(vec![
        row("in use on its heap", &|weight| weight.live, "right after a collection"),
        row("resident", &|weight| weight.resident, "the garbage of Go's heap is in it"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_in_use_is_read_from_its_profile() {
        let profile = "heap profile: 1: 2 [3: 4] @ heap/1048576\n\n# runtime.MemStats\n# Alloc = 9\n# HeapAlloc = 3145728\n# HeapSys = 5\n";
        assert_eq!(live_kib(profile), Some(3072));
        assert_eq!(live_kib("heap profile: 0"), None);
    }
}
