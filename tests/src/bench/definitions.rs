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

/// What the definitions add to an API server's resident memory, one after the other on one that has none yet.
///
/// # Errors
/// The control plane does not start, or refuses a definition.
pub fn growth(tools: &Tools) -> Result<Vec<Row>> {
    Progress::start().step("control plane: weighing the definitions, a minute and a half");
    let plane = Plane::start(&tools.control_plane, &tools.own.dev, &runs::folder("bench", "definitions")?)?;
    let [_, api_server, _] = plane.pids();
    let weigh = || {
        thread::sleep(CALM);
        resident_kib(api_server).map(|kib| kib as i64).context("the API server is gone")
    };
    let first = weigh()?;
    let (mut before, mut steps) = (first, Vec::new());
    let files: Vec<(String, String)> = crd_files().into_iter().filter(|(name, _)| name != "kustomization.yaml").collect();
    for (name, yaml) in &files {
        plane.kubectl().apply(yaml)?;
        plane.kubectl().run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
        let now = weigh()?;
        steps.push(format!("{name} {:+.1} MiB", (now - before) as f64 / 1024.0));
        before = now;
    }
    plane.stop()?;
    let each = (before - first) / files.len() as i64;
    Ok(vec![Row::new(
        format!("growth of the API server for each of {} definitions", files.len()),
        "<= 3 MiB",
        format!("{:.1} MiB", each as f64 / 1024.0),
        Verdict::of(each <= GROWTH_GOAL_KIB),
        format!("{:.0} MiB before the first; {}; the garbage of Go's heap is in it", first as f64 / 1024.0, steps.join(", ")),
    )])
}
