//! Plane, simulator and operator together: what `up`, `demo` and the end-to-end tests run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::kubectl::Kubectl;
use crate::operator::{self, Operator};
use crate::plane::Plane;
use crate::progress::Progress;
use crate::simulator::{self, Simulator};
use crate::workspace::{self, OwnBinaries};

/// The operator's namespace, as shipped in deploy/kustomize.
pub const NAMESPACE: &str = "breakwater-system";

/// The operator's ServiceAccount, as shipped.
pub const ACCOUNT: &str = "breakwater-operator";

/// The value in an estate file that stands for the issuer of ServiceAccount tokens: its port is known only when
/// the plane runs.
const ISSUER: &str = "ISSUER";

/// The world begins this many days ago, so that its times do not lie in the future of kubectl, which shows those as
/// `<invalid>`: at 120 times our speed it takes six hours to catch up.
const WORLD_BEGINS_DAYS_BEFORE: i64 = 30;

/// And at this hour (UTC): after the nightly backups, so that what is told of first backups is the same at any time of our day.
const WORLD_BEGINS_AT: i64 = 3;

/// World time at the start.
fn world_begins(now: jiff::Timestamp) -> jiff::Timestamp {
    let midnight = now.as_second().div_euclid(24 * 3600) * 24 * 3600;
    let seconds = midnight - WORLD_BEGINS_DAYS_BEFORE * 24 * 3600 + WORLD_BEGINS_AT * 3600;
    jiff::Timestamp::from_second(seconds).unwrap_or(now)
}

/// Every binary that a stack needs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// etcd, kube-apiserver, kube-controller-manager, kubectl.
    pub control_plane: Binaries,
    /// dev, breakwater-operator, azure-sim.
    pub own: OwnBinaries,
}

impl Tools {
    /// Finds everything, and builds what is missing.
    ///
    /// # Errors
    /// A build that fails.
    pub fn find_or_build(progress: &Progress) -> Result<Self> {
        Ok(Self { control_plane: Binaries::find_or_build(progress)?, own: OwnBinaries::find_or_build(progress)? })
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the whole stack. What an earlier one left there is removed.
    pub dir: PathBuf,
    /// The simulator's estate file.
    pub estate_file: PathBuf,
    /// The operator's `--estate`.
    pub estate: String,
    /// How many times faster than the wall the simulated world runs.
    pub clock_factor: u32,
    /// The simulator's seed.
    pub seed: u64,
    /// What the operator logs, as tracing directives.
    pub log_filter: String,
}

impl Settings {
    /// The demo's estate in `dir`, at `clock_factor`.
    pub fn shop(dir: PathBuf, clock_factor: u32) -> Self {
        let estate_file = workspace::root().join("crates/azure-sim/estates/shop.yaml");
        Self { dir, estate_file, estate: "shop-demo".into(), clock_factor, seed: 1, log_filter: "info".into() }
    }
}

/// A running stack. Dropping it kills its processes; the folder stays for whoever wants to read the logs.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order.
    operator: Option<Operator>,
    simulator: Simulator,
    plane: Plane,
    tools: Tools,
    settings: Settings,
    operator_kubeconfig: PathBuf,
}

impl Stack {
    /// Starts the plane, the simulator and the operator, with the definitions and the shipped RBAC applied.
    ///
    /// # Errors
    /// Names the part that did not start, with the tail of its log.
    pub fn start(tools: &Tools, settings: &Settings, progress: &Progress) -> Result<Self> {
        let mut stack = Self::start_without_operator(tools, settings, progress)?;
        stack.start_operator(&[])?;
        progress.step(format!("operator: running as {NAMESPACE}/{ACCOUNT}, {}", stack.operator().health()));
        Ok(stack)
    }

    /// As [`Stack::start`], without the operator: for tests that begin before it does.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_without_operator(tools: &Tools, settings: &Settings, progress: &Progress) -> Result<Self> {
        if settings.dir.exists() {
            fs::remove_dir_all(&settings.dir).with_context(|| format!("removing {}", settings.dir.display()))?;
        }
        fs::create_dir_all(&settings.dir).with_context(|| format!("creating {}", settings.dir.display()))?;
        let settings = Settings { dir: settings.dir.canonicalize().context("the stack's folder")?, ..settings.clone() };

        progress.step("control plane: starting etcd, kube-apiserver and kube-controller-manager");
        let plane = Plane::start(&tools.control_plane, &tools.own.dev, &settings.dir.join("plane"))?;
        progress.step(format!("control plane: ready at {}", plane.server()));

        let simulator = start_simulator(tools, &settings, &plane)?;
        progress.step(format!("azure-sim: Azure at {}, its admin door at {}", simulator.https(), simulator.admin()));

        install(&plane.kubectl())?;
        progress.step("kubectl: definitions, namespace, ServiceAccounts and RBAC applied");
        let operator_kubeconfig = plane.service_account_kubeconfig(NAMESPACE, ACCOUNT)?;
        Ok(Self { operator: None, simulator, plane, tools: tools.clone(), settings, operator_kubeconfig })
    }

    /// Starts the operator, with `more` flags beside the usual ones. One that runs is killed first.
    ///
    /// # Errors
    /// It ends at once; with the tail of its log.
    pub fn start_operator(&mut self, more: &[&str]) -> Result<()> {
        self.start_operator_in(&[], more)
    }

    /// As [`Stack::start_operator`], in an environment as a pod's platform makes it.
    ///
    /// # Errors
    /// As [`Stack::start_operator`].
    pub fn start_operator_in(&mut self, env: &[(&str, &str)], more: &[&str]) -> Result<()> {
        self.operator = None;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = operator::Settings { env, ..self.operator_settings("operator", more)? };
        self.operator = Some(Operator::start(&self.tools.own.operator, &self.tools.own.dev, &settings)?);
        Ok(())
    }

    /// Starts an operator beside the stack's own, as a second replica is, with its logs in the folder `name`.
    ///
    /// # Errors
    /// As [`Stack::start_operator`].
    pub fn another_operator(&self, name: &str, more: &[&str]) -> Result<Operator> {
        Operator::start(&self.tools.own.operator, &self.tools.own.dev, &self.operator_settings(name, more)?)
    }

    fn operator_settings(&self, name: &str, more: &[&str]) -> Result<operator::Settings> {
        Ok(operator::Settings {
            dir: self.settings.dir.join(name),
            estate: self.settings.estate.clone(),
            kubeconfig: self.operator_kubeconfig.clone(),
            azure: operator::Azure {
                endpoint: self.simulator.https().to_owned(),
                ca: self.simulator.ca().to_owned(),
                world_origin: self.simulator.world_origin()?,
                world_factor: self.settings.clock_factor,
            },
            log_filter: self.settings.log_filter.clone(),
            more: more.iter().map(|flag| (*flag).to_owned()).collect(),
            env: Vec::new(),
        })
    }

    /// Takes the operator out of the stack, to stop, kill or freeze it.
    ///
    /// # Panics
    /// No operator runs.
    pub fn take_operator(&mut self) -> Operator {
        self.operator.take().expect("an operator was started")
    }

    /// The operator.
    ///
    /// # Panics
    /// No operator runs.
    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("an operator was started")
    }

    /// The control plane.
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// The control plane, to restart a part of it.
    pub fn plane_mut(&mut self) -> &mut Plane {
        &mut self.plane
    }

    /// The simulator.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// kubectl as the admin.
    pub fn kubectl(&self) -> Kubectl {
        self.plane.kubectl()
    }

    /// The stack's folder.
    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// Fails when a process of the stack has ended by itself.
    ///
    /// # Errors
    /// Names it, with the tail of its log.
    pub fn must_run(&mut self) -> Result<()> {
        self.plane.must_run()?;
        self.simulator.child().must_run()?;
        self.operator.as_mut().map_or(Ok(()), |operator| operator.child().must_run())
    }

    /// Ends everything: the operator first, so that it can finish its saves.
    ///
    /// # Errors
    /// The system refuses to say whether a process ended.
    pub fn stop(self) -> Result<()> {
        if let Some(operator) = self.operator {
            operator.stop()?;
        }
        self.simulator.stop()?;
        self.plane.stop()
    }
}

fn start_simulator(tools: &Tools, settings: &Settings, plane: &Plane) -> Result<Simulator> {
    let simulator = simulator::Settings {
        dir: settings.dir.join("azure-sim"),
        estate: settings.estate_file.clone(),
        values: vec![(ISSUER.to_owned(), plane.server())],
        clock_factor: settings.clock_factor,
        clock_origin: world_begins(jiff::Timestamp::now()).to_string(),
        seed: settings.seed,
        trust_ca: Some(plane.ca().to_owned()),
    };
    Simulator::start(&tools.own.azure_sim, &tools.own.dev, &simulator)
}

/// As a leader gives it back. Where there is none, the operator waits for one that may have led by it; on a new plane none has.
const GIVEN_BACK: &str = "
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: breakwater-operator, namespace: breakwater-system}
spec: {holderIdentity: ''}
";

/// Applies the definitions and the operator's own account and rights, as shipped.
fn install(kubectl: &Kubectl) -> Result<()> {
    let path = |relative: &str| workspace::root().join(relative).display().to_string();
    kubectl.run(&["apply", "-k", &path("crds")]).context("applying crds/")?;
    let established = "--for=condition=Established";
    kubectl.run(&["wait", established, "--timeout=60s", "crd", "--all"]).context("waiting for the definitions")?;
    kubectl.run(&["apply", "-k", &path("deploy/kustomize/access")]).context("applying deploy/kustomize/access")?;
    kubectl.apply(GIVEN_BACK).context("making the lease")?;
    Ok(())
}
