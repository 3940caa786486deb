//! Unmodified clients of Azure work with azure-sim as it is shipped: a process, over HTTPS, with its own authority.

use std::net::TcpListener;
use std::process::Command;

use breakwater_dev::progress::Progress;
use breakwater_dev::simulator::{Settings, Simulator};
use breakwater_dev::workspace::{self, OwnBinaries};
use breakwater_dev::{go_client, runs};

/// How many times faster than the wall the simulated world runs: a backup of forty minutes takes a few seconds.
const CLOCK_FACTOR: u32 = 600;

/// Where the Go program will be an issuer of tokens: a port that is free now.
fn issuer() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port");
    format!("http://{free}")
}

#[test]
fn the_official_go_sdk_runs_the_whole_flow_against_azure_sim() {
    let progress = Progress::start();
    let own = OwnBinaries::find_or_build(&progress).expect("the binaries can be built");
    let program = go_client::build(&progress).expect("the Go client can be built");
    let issuer = issuer();
    let settings = Settings {
        dir: runs::folder("contract", "go-client").expect("cargo says where it builds to"),
        estate: workspace::root().join("crates/azure-sim/estates/shop.yaml"),
        values: vec![("ISSUER".to_owned(), issuer.clone())],
        clock_factor: CLOCK_FACTOR,
        clock_origin: "2026-11-24T08:00:00Z".to_owned(),
        seed: 1,
        trust_ca: None,
    };
    let azure = Simulator::start(&own.azure_sim, &own.dev, &settings).expect("azure-sim starts");
    let output = Command::new(&program)
        .args(["-origin", azure.https(), "-ca"])
        .arg(azure.ca())
        .args(["-subscription", "50b50000-0000-4000-8000-000000000001", "-tenant", "72f988bf-0000-4000-8000-00000000000a"])
        .args(["-admin", "c11e0000-0000-4000-8000-000000000002", "-operator", "c11e0000-0000-4000-8000-000000000001"])
        .args(["-issuer", &issuer, "-subject", "system:serviceaccount:breakwater-system:azure-shop"])
        .env("CLIENT_SECRET", "azure-sim-admin-secret")
        .output()
        .expect("the Go client runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 18, "every step was made: {said}");
    azure.stop().expect("azure-sim ends when asked");
}
