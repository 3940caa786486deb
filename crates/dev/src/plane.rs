//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, with RBAC on and
//! certificates of its own. Ready in about three seconds; many run side by side.
//!
//! The flags, and what was seen to work with them: design/control-plane.md.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::child::{Child, Program};
use crate::kubectl::Kubectl;
use crate::pki::{Identity, Pki};

/// How long the API server may take to become ready. Three seconds on an idle machine; builds may run beside it.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long each component may take to end when asked.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often a start is tried again when somebody else took a port between our choosing and our using it.
const ATTEMPTS: u32 = 3;

/// kubectl's discovery cache, in the plane's folder.
const KUBECTL_CACHE: &str = "kubectl-cache";

/// The controllers that the tests and the operator lean on. Without the aggregation controller the roles
/// `admin`, `edit` and `view` are empty, and a test that says "not in `edit`" passes for nothing.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
                           serviceaccount-token-controller,root-ca-certificate-publisher-controller,\
                           ttl-after-finished-controller,clusterrole-aggregation-controller";

/// Anybody may read the issuer's discovery document and keys, as Entra does when it checks a federated token.
const PUBLIC_ISSUER: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: service-account-issuer-discovery-for-everybody }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:service-account-issuer-discovery' }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:unauthenticated' }]
";

/// Ports on loopback, free when chosen.
#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
    controller_manager: u16,
}

/// A running control plane. Dropping it kills its processes; the folder stays.
#[derive(Debug)]
pub struct Plane {
    controller_manager: Child,
    api_server: Child,
    etcd: Child,
    binaries: Binaries,
    launcher: PathBuf,
    dir: PathBuf,
    ports: Ports,
    pki: Pki,
    kubeconfig: PathBuf,
}

/// What the ServiceAccounts of the operator's namespace ask of the API server is written down, without bodies.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ['system:serviceaccounts:breakwater-system']
  - level: None
";

const AUDIT_LOG: &str = "audit.log";

impl Plane {
    /// Starts a control plane that keeps everything in `dir`, and waits until it is ready.
    ///
    /// `launcher` is the `dev` binary (see `child`). What an earlier plane left in `dir` is removed.
    ///
    /// # Errors
    /// A component that ends or does not become ready in time, with the tail of its log.
    pub fn start(binaries: &Binaries, launcher: &Path, dir: &Path) -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::start_once(binaries, launcher, dir) {
                Ok(plane) => return Ok(plane),
                Err(error) if format!("{error:#}").contains("address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.expect("at least one attempt was made"))
    }

    fn start_once(binaries: &Binaries, launcher: &Path, dir: &Path) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        let pki_dir = dir.join("pki");
        fs::create_dir_all(&pki_dir).with_context(|| format!("creating {}", pki_dir.display()))?;
        let dir = dir.canonicalize().context("the plane's folder")?;
        let pki = Pki::create(&dir.join("pki"))?;
        let ports = free_ports()?;
        let server = format!("https://127.0.0.1:{}", ports.api_server);
        let kubeconfig = dir.join("kubeconfig");
        write_kubeconfig(&kubeconfig, &server, &pki.ca, &client_certificate(&pki.admin))?;
        let for_controllers = dir.join("controller-manager.kubeconfig");
        write_kubeconfig(&for_controllers, &server, &pki.ca, &client_certificate(&pki.controller_manager))?;

        fs::write(dir.join("audit-policy.yaml"), AUDIT_POLICY).context("writing the audit policy")?;
        let start = |name: &str, path: &Path, args: Vec<OsString>| Child::start(launcher, program(&dir, name, path, args));
        let mut etcd = start("etcd", &binaries.etcd, etcd_args(&dir, ports))?;
        let mut api_server = start("kube-apiserver", &binaries.kube_apiserver, api_server_args(&dir, ports, &pki))?;
        until_ready(&mut etcd, &mut api_server, &Kubectl::new(&binaries.kubectl, &kubeconfig, &dir.join(KUBECTL_CACHE)))?;
        // Not earlier: it gives up when the API server has not yet written the roles that let it read.
        let controllers = controller_manager_args(ports, &pki, &for_controllers);
        let controller_manager = start("kube-controller-manager", &binaries.kube_controller_manager, controllers)?;
        let (binaries, launcher) = (binaries.clone(), launcher.to_owned());
        let mut plane = Self { controller_manager, api_server, etcd, binaries, launcher, dir, ports, pki, kubeconfig };
        plane.kubectl().apply(PUBLIC_ISSUER).context("opening the issuer's keys to everybody")?;
        plane.until_controllers_work()?;
        Ok(plane)
    }

    /// The address of the API server, which is also the issuer of ServiceAccount tokens.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The CA that signed the API server's certificate.
    pub fn ca(&self) -> &Path {
        &self.pki.ca
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The plane's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the ServiceAccounts of the operator's namespace asked for so far, as the API server wrote it down.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit(&self) -> Result<Vec<serde_json::Value>> {
        let text = fs::read_to_string(self.dir.join(AUDIT_LOG)).context("the API server's audit log")?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// kubectl as the admin.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.binaries.kubectl, &self.kubeconfig, &self.dir.join(KUBECTL_CACHE))
    }

    /// kubectl as whoever `kubeconfig` says.
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl::new(&self.binaries.kubectl, kubeconfig, &self.dir.join(KUBECTL_CACHE))
    }

    /// Process ids of etcd, kube-apiserver and kube-controller-manager.
    pub fn pids(&self) -> [u32; 3] {
        [self.etcd.pid(), self.api_server.pid(), self.controller_manager.pid()]
    }

    /// Writes a kubeconfig that acts as a ServiceAccount, with a token good for thirty days.
    ///
    /// # Errors
    /// The account does not exist.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.kubectl().run(&["create", "token", name, "-n", namespace, "--duration", "720h"])?;
        let token_file = self.dir.join(format!("{namespace}.{name}.token"));
        fs::write(&token_file, token.trim()).with_context(|| format!("writing {}", token_file.display()))?;
        let path = self.dir.join(format!("{namespace}.{name}.kubeconfig"));
        write_kubeconfig(&path, &self.server(), &self.pki.ca, &format!("tokenFile: '{}'", token_file.display()))?;
        Ok(path)
    }

    /// Stops the API server and starts it again on the same port; etcd and the controllers stay.
    ///
    /// # Errors
    /// As [`Plane::start`].
    pub fn restart_api_server(&mut self) -> Result<()> {
        self.api_server.stop(STOP_WITHIN)?;
        let args = api_server_args(&self.dir, self.ports, &self.pki);
        let server = program(&self.dir, "kube-apiserver", &self.binaries.kube_apiserver, args);
        self.api_server = Child::start(&self.launcher, server)?;
        let kubectl = self.kubectl();
        until_ready(&mut self.etcd, &mut self.api_server, &kubectl)
    }

    /// Fails when a component has ended by itself.
    ///
    /// # Errors
    /// Names the component, with the tail of its log.
    pub fn must_run(&mut self) -> Result<()> {
        self.etcd.must_run()?;
        self.api_server.must_run()?;
        self.controller_manager.must_run()
    }

    /// Ends everything in order: the controller manager, the API server, then etcd.
    ///
    /// # Errors
    /// The system refuses to say whether a component ended.
    pub fn stop(mut self) -> Result<()> {
        self.controller_manager.stop(STOP_WITHIN)?;
        self.api_server.stop(STOP_WITHIN)?;
        self.etcd.stop(STOP_WITHIN)?;
        Ok(())
    }

    /// The first visible work of the controllers is the `default` ServiceAccount.
    fn until_controllers_work(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let kubectl = self.kubectl();
        while let Err(error) = kubectl.run(&["get", "serviceaccount", "default", "-n", "default"]) {
            self.must_run()?;
            if Instant::now() >= deadline {
                bail!("kube-controller-manager does no work: {error:#}\n{}", self.controller_manager.log_tail(20));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // In this order, and nothing is left to be told of a failure: what is gone already is as good.
        let _ = self.controller_manager.kill();
        let _ = self.api_server.kill();
        let _ = self.etcd.kill();
        // 130 MB that nobody reads; the logs stay.
        let _ = fs::remove_dir_all(self.dir.join("etcd"));
    }
}

fn until_ready(etcd: &mut Child, api_server: &mut Child, kubectl: &Kubectl) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        etcd.must_run()?;
        api_server.must_run()?;
        match kubectl.run(&["get", "--raw", "/readyz"]) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                let (seconds, tail) = (READY_WITHIN.as_secs(), api_server.log_tail(20));
                bail!("kube-apiserver was not ready within {seconds} s: {error:#}\n{tail}");
            }
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn program(dir: &Path, name: &str, path: &Path, args: Vec<OsString>) -> Program {
    Program { name: name.to_owned(), path: path.to_owned(), args, env: Vec::new(), logs: dir.join("logs") }
}

/// All four are held open until the last is known, so that no two are the same.
fn free_ports() -> Result<Ports> {
    let listeners = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>().context("a free port")?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<Vec<_>>>()?;
    Ok(Ports { etcd: ports[0], etcd_peer: ports[1], api_server: ports[2], controller_manager: ports[3] })
}

fn etcd_args(dir: &Path, ports: Ports) -> Vec<OsString> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    let mut args = vec!["--data-dir".into(), dir.join("etcd").into_os_string()];
    args.extend(["--listen-client-urls", &client, "--advertise-client-urls", &client].map(OsString::from));
    args.extend(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer].map(OsString::from));
    args.extend(["--initial-cluster".into(), format!("default={peer}").into(), "--unsafe-no-fsync".into()]);
    args
}

fn api_server_args(dir: &Path, ports: Ports, pki: &Pki) -> Vec<OsString> {
    let issuer = format!("https://127.0.0.1:{}", ports.api_server);
    let mut args: Vec<OsString> = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd).into(),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={}", ports.api_server).into(),
        format!("--service-account-issuer={issuer}").into(),
        format!("--service-account-jwks-uri={issuer}/openid/v1/jwks").into(),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--endpoint-reconciler-type=none".into(),
    ];
    args.push(flag("--audit-policy-file", &dir.join("audit-policy.yaml")));
    args.push(flag("--audit-log-path", &dir.join(AUDIT_LOG)));
    args.push(flag("--client-ca-file", &pki.ca));
    args.push(flag("--tls-cert-file", &pki.server.cert));
    args.push(flag("--tls-private-key-file", &pki.server.key));
    args.push(flag("--service-account-key-file", &pki.service_accounts.cert));
    args.push(flag("--service-account-signing-key-file", &pki.service_accounts.key));
    args
}

fn controller_manager_args(ports: Ports, pki: &Pki, kubeconfig: &Path) -> Vec<OsString> {
    vec![
        flag("--kubeconfig", kubeconfig),
        flag("--authentication-kubeconfig", kubeconfig),
        flag("--authorization-kubeconfig", kubeconfig),
        flag("--service-account-private-key-file", &pki.service_accounts.key),
        flag("--root-ca-file", &pki.ca),
        "--use-service-account-credentials".into(),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", ports.controller_manager).into(),
        "--leader-elect=false".into(),
        format!("--controllers={CONTROLLERS}").into(),
    ]
}

fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push("=");
    flag.push(value);
    flag
}

fn client_certificate(identity: &Identity) -> String {
    format!("client-certificate: '{}', client-key: '{}'", identity.cert.display(), identity.key.display())
}

fn write_kubeconfig(path: &Path, server: &str, ca: &Path, user: &str) -> Result<()> {
    let ca = ca.display();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: plane\n\
         clusters: [{{ name: plane, cluster: {{ server: '{server}', certificate-authority: '{ca}' }} }}]\n\
         users: [{{ name: me, user: {{ {user} }} }}]\n\
         contexts: [{{ name: plane, context: {{ cluster: plane, user: me }} }}]\n"
    );
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
