//! `cargo dev` as a person uses it: the demo tells its story; what `up` starts, `down` ends, to the last process.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use breakwater_dev::supervisor::{self, State};
use breakwater_tests::e2e;

fn dev(args: &[&str]) -> Output {
    let own = &e2e::tools().own;
    let bins = own.dev.parent().unwrap();
    Command::new(&own.dev).args(args).env(breakwater_dev::workspace::BIN_DIR, bins).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_tells_its_story_and_ends_with_success() {
    let output = dev(&["demo", "--once"]);
    let (told, shown) = (text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "{told}\n{shown}");
    for part in [
        "vault created: rv-shop-weu",
        "policy created: shop-daily",
        "nine machines found by tag",
        "application consistent",
        "left alone: legacy-01",
    ] {
        assert!(told.contains(part), "{part:?} was not told:\n{told}");
    }
    for part in ["$ kubectl get protectedmachines -A", "export KUBECONFIG=", "Requests to Azure:"] {
        assert!(shown.contains(part), "{part:?} was not shown:\n{shown}");
    }
    assert!(!shown.contains("<invalid>"), "times lie in the past of kubectl:\n{shown}");
}

#[test]
fn what_up_starts_down_ends_to_the_last_process() {
    let name = format!("e2e-{}", std::process::id());
    let up = dev(&["up", "--name", &name]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    let state_file = supervisor::dir(&name).unwrap().join("state.json");
    let state: State = serde_json::from_slice(&std::fs::read(&state_file).unwrap()).unwrap();
    let children = children_of(state.supervisor);
    assert_eq!(children.len(), 5, "etcd, the API server, the controllers, azure-sim, the operator: {children:?}");
    let again = dev(&["up", "--name", &name]);
    assert!(!again.status.success() && text(&again.stderr).contains("is up already"), "{}", text(&again.stderr));

    let down = dev(&["down", "--name", &name]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    let deadline = Instant::now() + Duration::from_secs(10);
    while children.iter().any(|pid| std::path::Path::new("/proc").join(pid).exists()) {
        assert!(Instant::now() < deadline, "some are left of {children:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!state_file.exists());
    std::fs::remove_dir_all(supervisor::dir(&name).unwrap()).unwrap();
}

/// From /proc: the fourth field of `stat`, after the name in parentheses, is the parent.
fn children_of(parent: u32) -> Vec<String> {
    let is_child = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    let names = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(is_child).collect()
}
