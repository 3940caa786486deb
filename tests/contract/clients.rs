//! Unmodified clients of Azure work with azure-sim as it is shipped: a process, over HTTPS, with its own authority.

use std::net::TcpListener;
use std::process::Command;

use breakwater_dev::progress::Progress;
use breakwater_dev::simulator::{Settings, Simulator};
use breakwater_dev::workspace::{self, OwnBinaries};
use breakwater_dev::{go_client, runs};

/// How many times faster than the wall the simulated world runs: a backup of forty minutes takes a few seconds.
const CLOCK_FACTOR: u32 = 600;

/// Who the client is, and where.
const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";
const TENANT: &str = "72f988bf-0000-4000-8000-00000000000a";
const ADMIN: &str = "c11e0000-0000-4000-8000-000000000002";
const SECRET: &str = "azure-sim-admin-secret";

/// Where the Go program will be an issuer of tokens: a port that is free now.
fn issuer() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port");
    format!("http://{free}")
}

/// azure-sim in a folder of its own, with an estate of this repository.
fn azure(name: &str, estate: &str, issuer: &str, own: &OwnBinaries) -> Simulator {
    let settings = Settings {
        dir: runs::folder("contract", name).expect("cargo says where it builds to"),
        estate: workspace::root().join(estate),
        values: vec![("ISSUER".to_owned(), issuer.to_owned())],
        clock_factor: CLOCK_FACTOR,
        clock_origin: "2026-11-24T08:00:00Z".to_owned(),
        seed: 1,
        trust_ca: None,
    };
    Simulator::start(&own.azure_sim, &own.dev, &settings).expect("azure-sim starts")
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
    let azure = azure("go-client", "crates/azure-sim/estates/shop.yaml", &issuer, &own);
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
