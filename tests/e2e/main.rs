//! End to end: the shipped binary, a real API server, azure-sim over HTTPS, and kubectl as a user. One file per
//! capability.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails on the line that did")]

mod access;
mod approval;
mod canaries;
mod crash;
mod deletion;
mod dev_commands;
mod drift;
mod explain;
mod files;
mod granted;
mod identities;
mod identity;
mod install;
mod kills;
mod leadership;
mod load;
mod observe;
mod older_schema;
mod outage;
mod policy_edit;
mod protection;
mod replicas;
mod restore_choices;
mod runs;
mod samples;
mod schema;
mod suspend;
mod ways_back;

use std::sync::OnceLock;

use breakwater_dev::plane::Plane;

/// A plane with everything of deploy/kustomize applied, shared by the tests that need no operator.
fn installed() -> &'static Plane {
    static PLANE: OnceLock<Plane> = OnceLock::new();
    PLANE.get_or_init(|| {
        let plane = breakwater_tests::e2e::plane("installed");
        install::everything(&plane);
        plane
    })
}
