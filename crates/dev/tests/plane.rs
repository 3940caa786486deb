//! The control plane itself: real, private, and gone when its owner is.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails on the line that did")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use breakwater_dev::binaries::Binaries;
use breakwater_dev::child::{Child, Program};
use breakwater_dev::plane::Plane;
use breakwater_dev::progress::Progress;

const DEV: &str = env!("CARGO_BIN_EXE_dev");

fn plane(dir: &Path) -> Plane {
    let binaries = Binaries::find_or_build(&Progress::start()).unwrap();
    Plane::start(&binaries, Path::new(DEV), dir).unwrap()
}

#[test]
fn two_planes_live_side_by_side_and_one_survives_a_restart_of_its_api_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = plane(&dir.path().join("one"));
    let two = plane(&dir.path().join("two"));
    assert_ne!(one.server(), two.server());

    one.kubectl().run(&["create", "namespace", "shop"]).unwrap();
    let version = one.kubectl().json(&["version"]).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], "v1.36.3");
    let named = |plane: &Plane| plane.kubectl().run(&["get", "namespace", "shop"]);
    assert!(named(&two).unwrap_err().to_string().contains("not found"));

    let (server, etcd) = (one.server(), one.pids()[0]);
    one.restart_api_server().unwrap();
    assert_eq!((one.server(), one.pids()[0]), (server, etcd));
    named(&one).unwrap();

    let edit = one.kubectl().json(&["get", "clusterrole", "edit"]).unwrap();
    assert!(edit["rules"].as_array().is_some_and(|rules| !rules.is_empty()), "aggregated roles are filled");
    one.stop().unwrap();
    two.stop().unwrap();
}

#[test]
fn rbac_is_on_and_the_issuers_keys_are_open_to_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let plane = plane(&dir.path().join("plane"));
    let kubeconfig = plane.service_account_kubeconfig("default", "default").unwrap();
    let refusal = plane.kubectl_as(&kubeconfig).run(&["get", "secrets"]).unwrap_err().to_string();
    assert!(refusal.contains("system:serviceaccount:default:default"), "{refusal}");

    let discovery: serde_json::Value = serde_json::from_str(&as_nobody(&plane, "/.well-known/openid-configuration")).unwrap();
    assert_eq!(discovery["issuer"], plane.server());
    let keys = as_nobody(&plane, "/openid/v1/jwks");
    assert!(keys.contains("\"alg\":\"RS256\""), "{keys}");
}

#[test]
fn a_component_that_cannot_start_is_named_with_the_tail_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut binaries = Binaries::find_or_build(&Progress::start()).unwrap();
    let broken = dir.path().join("broken-etcd");
    fs::write(&broken, "#!/bin/sh\necho no room on this disk >&2\nexit 3\n").unwrap();
    Command::new("chmod").arg("+x").arg(&broken).status().unwrap();
    binaries.etcd = broken;
    let error = format!("{:#}", Plane::start(&binaries, Path::new(DEV), &dir.path().join("plane")).unwrap_err());
    assert!(error.contains("etcd ended: exit code 3"), "{error}");
    assert!(error.contains("no room on this disk"), "{error}");
}

#[test]
fn a_child_dies_with_its_parent_though_the_parent_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    // A parent of its own, which starts a sleeper as we do and then waits.
    let script = format!("{DEV} __run-child $$ /bin/sleep 300 & echo $! > child.pid; wait");
    let program = Program {
        name: "parent".into(),
        path: "/bin/bash".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("BASH_ENV".into(), String::new())],
        logs: dir.path().join("logs"),
    };
    let old = std::env::current_dir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    let mut parent = Child::start(Path::new(DEV), program).unwrap();
    let pid_file: PathBuf = dir.path().join("child.pid");
    let pid = eventually("the child's id", || fs::read_to_string(&pid_file).ok().filter(|text| text.ends_with('\n')));
    std::env::set_current_dir(old).unwrap();
    let alive = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    eventually("the sleeper", || {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.trim())).ok()?;
        (name.trim() == "sleep").then_some(())
    });
    assert!(alive(&pid));
    parent.kill().unwrap();
    eventually("the child's end", || (!alive(&pid)).then_some(()));
}

#[test]
fn a_child_outlives_the_thread_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().to_owned();
    let mut child = thread::spawn(move || {
        let args = vec!["300".into()];
        let program = Program { name: "sleeper".into(), path: "/bin/sleep".into(), args, env: Vec::new(), logs };
        Child::start(Path::new(DEV), program).unwrap()
    })
    .join()
    .unwrap();
    thread::sleep(Duration::from_millis(300));
    child.must_run().unwrap();
}

fn as_nobody(plane: &Plane, path: &str) -> String {
    let ca = reqwest::Certificate::from_pem(&fs::read(plane.ca()).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("{}{path}", plane.server());
    runtime.block_on(async { client.get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap() })
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(20));
    }
}
