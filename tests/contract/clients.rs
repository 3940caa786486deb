//! Unmodified clients of Azure work with azure-sim as it is shipped: a process, over HTTPS, with its own authority.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use breakwater_dev::progress::Progress;
use breakwater_dev::simulator::{Settings, Simulator};
use breakwater_dev::workspace::{self, OwnBinaries};
use breakwater_dev::{go_client, runs};

/// How many times faster than the wall the simulated world runs: a backup of forty minutes takes a few seconds.
const CLOCK_FACTOR: u32 = 600;

/// Who the clients are, and where: both estates have it so.
const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";
const TENANT: &str = "72f988bf-0000-4000-8000-00000000000a";
const ADMIN: &str = "c11e0000-0000-4000-8000-000000000002";
const SECRET: &str = "azure-sim-admin-secret";

/// The estate with a paired region to restore into.
const RESTORES: &str = "tests/contract/clients/restores.yaml";

/// Where the Go program will be an issuer of tokens: a port that is free now.
fn issuer() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port");
    format!("http://{free}")
}

/// azure-sim in a folder of its own, with an estate of this repository.
fn azure(name: &str, estate: &str, issuer: &str, own: &OwnBinaries) -> (Simulator, PathBuf) {
    let dir = runs::folder("contract", name).expect("cargo says where it builds to");
    let settings = Settings {
        dir: dir.clone(),
        estate: workspace::root().join(estate),
        values: vec![("ISSUER".to_owned(), issuer.to_owned())],
        clock_factor: CLOCK_FACTOR,
        clock_origin: "2026-11-24T08:00:00Z".to_owned(),
        seed: 1,
        trust_ca: None,
    };
    (Simulator::start(&own.azure_sim, &own.dev, &settings).expect("azure-sim starts"), dir)
}

/// Runs a client to its end: it went well and made so many steps, a line each.
fn makes_steps(client: &mut Command, steps: usize) {
    let output = client.env("CLIENT_SECRET", SECRET).output().expect("the client runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), steps, "every step was made: {said}");
}

#[test]
fn the_official_go_sdk_runs_the_whole_flow_against_azure_sim() {
    let progress = Progress::start();
    let own = OwnBinaries::find_or_build(&progress).expect("the binaries can be built");
    let program = go_client::build(&progress).expect("the Go client can be built");
    let issuer = issuer();
    let (azure, _) = azure("go-client", "crates/azure-sim/estates/shop.yaml", &issuer, &own);
    let mut client = Command::new(&program);
    client
        .args(["-origin", azure.https(), "-admin-door", azure.admin(), "-ca"])
        .arg(azure.ca())
        .args(["-subscription", SUBSCRIPTION, "-tenant", TENANT])
        .args(["-admin", ADMIN, "-operator", "c11e0000-0000-4000-8000-000000000001"])
        .args(["-issuer", &issuer, "-subject", "system:serviceaccount:breakwater-system:azure-shop"]);
    makes_steps(&mut client, 29);
    azure.stop().expect("azure-sim ends when asked");
}

#[test]
#[ignore = "needs Python and a package registry: by hand"]
fn the_official_python_sdk_restores_in_every_way_that_azure_sim_knows() {
    let own = OwnBinaries::find_or_build(&Progress::start()).expect("the binaries can be built");
    let python = environment("python").join("python");
    let (azure, _) = azure("python", RESTORES, &issuer(), &own);
    let mut client = Command::new(python);
    client
        .arg("-B")
        .arg(clients().join("python/tour.py"))
        .args(["--origin", azure.https(), "--admin-door", azure.admin(), "--ca"])
        .arg(azure.ca())
        .args(["--subscription", SUBSCRIPTION, "--tenant", TENANT, "--client", ADMIN]);
    makes_steps(&mut client, 29);
    azure.stop().expect("azure-sim ends when asked");
}

#[test]
#[ignore = "needs Python and a package registry: by hand"]
fn az_restores_in_every_way_that_azure_sim_knows() {
    let own = OwnBinaries::find_or_build(&Progress::start()).expect("the binaries can be built");
    let az = environment("az").join("az");
    let (azure, dir) = azure("az", RESTORES, &issuer(), &own);
    let mut client = Command::new("bash");
    client
        .arg(clients().join("az/tour.sh"))
        .env("AZ", az)
        // Never the folder of whoever runs this.
        .env("AZURE_CONFIG_DIR", dir.join("config"))
        .env("ORIGIN", azure.https())
        .env("ADMIN_DOOR", azure.admin())
        .env("CA", azure.ca())
        .envs([("SUBSCRIPTION", SUBSCRIPTION), ("TENANT", TENANT), ("CLIENT_ID", ADMIN)]);
    makes_steps(&mut client, 26);
    azure.stop().expect("azure-sim ends when asked");
}

fn clients() -> PathBuf {
    workspace::root().join("tests/contract/clients")
}

/// The programs of a virtual environment with the packages that the client's `requirements.txt` names: made under cargo's
/// target folder, once.
fn environment(client: &str) -> PathBuf {
    let place = workspace::target_dir().expect("cargo says where it builds to").join("dev/venv").join(client);
    let programs = place.join("bin");
    let run = |command: &mut Command| {
        let status = command.status().expect("Python runs");
        assert!(status.success(), "{command:?}: {status}");
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&place));
    let wanted = clients().join(client).join("requirements.txt");
    run(Command::new(programs.join("python")).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(wanted));
    programs
}
