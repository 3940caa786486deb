//! What the end-to-end tests share: the built binaries, folders of their own, and planes and stacks to run on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use breakwater_dev::plane::Plane;
use breakwater_dev::progress::Progress;
use breakwater_dev::runs;
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
    runs::folder("e2e", name).expect("cargo says where it builds to")
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

/// The subscription of the shop, in crates/azure-sim/estates/shop.yaml and in the samples.
pub const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";

/// The namespace that the sample AzureAccess admits.
pub const NAMESPACE: &str = "shop";

/// The ARM id of one of the shop's machines.
pub fn machine(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/{name}")
}

/// Applies the samples up to the vault, and waits until it stands.
///
/// # Panics
/// It does not within two minutes.
pub fn vault(stack: &Stack) {
    let kubectl = stack.kubectl();
    for name in ["00-namespace.yaml", "10-azure-access.yaml", "20-recovery-vault.yaml"] {
        kubectl.apply(&sample(name)).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    ready(stack, &["rvault/main"]);
}

/// `kubectl wait --for=condition=Ready` in the shop's namespace.
///
/// # Panics
/// It does not come within two minutes: what the objects say then is in the message.
pub fn ready(stack: &Stack, what: &[&str]) {
    let kubectl = stack.kubectl();
    let args = [&["wait", "--for=condition=Ready", "--timeout=120s", "-n", NAMESPACE], what].concat();
    if let Err(error) = kubectl.run(&args) {
        let seen = kubectl.run(&[&["get", "-n", NAMESPACE, "-o", "yaml"], what].concat()).unwrap_or_default();
        panic!("{error:#}\n{seen}\noperator: {}", stack.operator().log_tail(30));
    }
}

/// A policy of one machine, with `keep` for daily points, `first_backup` (`Now` or `OnSchedule`), and `more` lines.
pub fn policy(machine_name: &str, keep: &str, first_backup: &str, more: &str) -> String {
    format!(
        "apiVersion: breakwater.io/v1alpha1\nkind: BackupPolicy\nmetadata: {{ name: one, namespace: {NAMESPACE} }}\nspec:\n  \
         vaultRef: {{ name: main }}\n  tier: Enhanced\n  schedule: {{ daily: {{ at: '02:00' }} }}\n  timeZone: Europe/Amsterdam\n  \
         retention: {{ instantRestoreDays: 2, daily: {{ keep: {keep} }} }}\n  firstBackup: {first_backup}\n  machines: [{{ id: {} }}]\n{more}",
        machine(machine_name)
    )
}

/// The one ProtectedMachine that [`policy`] leads to, once it says `Protected` or `InitialBackupPending`.
///
/// # Panics
/// It does not within two minutes.
pub fn protected(stack: &Stack) -> serde_json::Value {
    let args = ["get", "pmach", "-n", NAMESPACE];
    let seen = stack.kubectl().wait_until("a protected machine", Duration::from_secs(120), &args, |list| {
        let items = list["items"].as_array().filter(|items| items.len() == 1)?;
        let stands = matches!(items[0]["status"]["protection"].as_str(), Some("Protected" | "InitialBackupPending"));
        stands.then(|| items[0].clone())
    });
    seen.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)))
}

/// The world's time, so many hours on.
///
/// # Panics
/// The simulator does not tell it.
pub fn world_in(stack: &Stack, hours: i64) -> String {
    let clock = stack.simulator().ask("/clock").expect("the simulator answers");
    let now: jiff::Timestamp = clock["now"].as_str().and_then(|now| now.parse().ok()).expect("a time");
    (now + jiff::SignedDuration::from_hours(hours)).to_string()
}

/// The condition of that type, `Null` when there is none.
pub fn condition<'a>(object: &'a serde_json::Value, kind: &str) -> &'a serde_json::Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.and_then(|all| all.iter().find(|one| one["type"] == kind)).unwrap_or(&serde_json::Value::Null)
}

/// A watch of what is open: one line for each change of an object of a kind in the shop's namespace.
#[derive(Debug)]
pub struct OpenOperations {
    kubectl: Child,
    lines: mpsc::Receiver<String>,
}

impl OpenOperations {
    /// Watches `kind` from now on; what is there already comes first.
    ///
    /// # Panics
    /// kubectl does not start.
    pub fn of(stack: &Stack, kind: &str) -> Self {
        let format = "jsonpath={.status.operations}{\"\\n\"}";
        let mut command = stack.kubectl().command(&["get", kind, "-n", NAMESPACE, "--watch", "-o", format]);
        let mut kubectl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl starts");
        let output = BufReader::new(kubectl.stdout.take().expect("its output is piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        OpenOperations { kubectl, lines }
    }

    /// Waits for a change that shows an operation of which this holds.
    ///
    /// # Panics
    /// There is none within two minutes, or the watch ends: kubectl ends it when the API server does.
    pub fn until(&mut self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let (deadline, mut seen) = (Instant::now() + Duration::from_secs(120), Vec::new());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: {error}; seen: {seen:#?}"));
            let operations: Vec<serde_json::Value> = serde_json::from_str(&line).unwrap_or_default();
            if let Some(found) = operations.into_iter().find(&holds) {
                return found;
            }
            seen.push(line);
        }
    }
}

impl Drop for OpenOperations {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// There is none within `patience`.
pub fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(format!("not within {} s", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
