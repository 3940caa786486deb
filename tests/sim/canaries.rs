//! Canary secrets: texts that look like tokens, client secrets and signed URLs are planted in everything that Azure answers,
//! and none of them comes out: not in logs, status, events, nor in the audit record.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::manifests::SMALL;

/// What no text that leaves the operator may hold.
const CANARY: &str = "CANARY";

/// More writes to Kubernetes than any of these runs has reason for.
const MOST_WRITES: u64 = 400;

/// The shapes in which secrets stand in texts of Azure's: after a name, in a signed URL, as a token.
fn texts() -> [String; 7] {
    let token = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ{CANARY}{}.sig", "a".repeat(40));
    [
        format!("The request carried Authorization: Bearer {token} and was refused."),
        format!("Could not validate the token {token}."),
        format!("Cannot reach https://store.blob.core.windows.net/vhds/os.vhd?sv=2022-11-02&sr=b&sig={CANARY}%2Bx&se=2027-01-01 now."),
        format!("The SAS sv=2022-11-02&sig={CANARY}%3D has expired."),
        format!("grant_type=client_credentials&client_secret={CANARY}8Q~abcdef is not valid."),
        format!("Connection DefaultEndpointsProtocol=https;AccountName=a;AccountKey={CANARY}abcdef== failed."),
        format!("{{\"access_token\":\"{CANARY}abcdef\"}} cannot be used."),
    ]
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Page;

    fn make_writer(&'a self) -> Page {
        self.clone()
    }
}

/// Where Azure says something, and how; each place says another one of the texts, from the given one on.
fn rules(first: usize) -> Vec<Rule> {
    let said = std::cell::Cell::new(first);
    let text = || texts()[said.replace(said.get() + 1) % texts().len()].clone();
    let status = |status, body, when| Fault::Status {
        status,
        retry_after: None,
        body,
        code: Some("UserErrorSomething".into()),
        message: Some(text()),
        when,
    };
    let failed = || Fault::OperationFailed { code: "UserErrorSomething".into(), message: text() };
    let places = [
        ("GET", "*/vaults/*", status(400, Shape::Standard, When::BeforeApply)),
        ("GET", "*/resources", status(500, Shape::Standard, When::BeforeApply)),
        ("GET", "*/backupJobs", status(403, Shape::NonArm, When::BeforeApply)),
        ("GET", "*/backupProtectedItems", status(502, Shape::Html, When::BeforeApply)),
        ("PUT", "*/vaults/*", status(409, Shape::Standard, When::BeforeApply)),
        ("PUT", "*/backupPolicies/*", status(400, Shape::Standard, When::BeforeApply)),
        ("PATCH", "*", status(503, Shape::Html, When::AfterApply)),
        ("PUT", "*/protectedItems/*", failed()),
        ("POST", "*/backup", status(400, Shape::NonArm, When::BeforeApply)),
        ("POST", "*/backup", failed()),
    ];
    let rule = |(nth, (method, path, fault)): (usize, (&str, &str, Fault))| {
        let matches = Match { method: Some(method.into()), path: Some(path.into()), count: Some(2), ..Match::default() };
        Rule { id: format!("canary {nth}"), matches, fault }
    };
    places.into_iter().enumerate().map(rule).collect()
}

/// Tags are read with everything, and a person may write anything into them.
fn tag(sim: &mut Simulation, text: &str) {
    let machine = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines";
    let tags = json!({ "app": "shop", "note": text.chars().take(256).collect::<String>() });
    let edits = ["web-1", "win-1"].map(|name| json!({ "method": "PATCH", "id": format!("{machine}/{name}"), "body": { "tags": tags } }));
    sim.behind_our_back(&edits);
}

/// A run in which Azure says one of the texts wherever it can.
fn play(first: usize) -> Simulation {
    let mut sim = Simulation::new(Options::default());
    tag(&mut sim, &texts()[first % texts().len()]);
    for rule in rules(first) {
        sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
    }
    sim.apply(SMALL);
    sim
}

/// Where a canary sits in a text.
fn found(what: &str, text: &str) -> Option<String> {
    let at = text.find(CANARY)?;
    let around: String = text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(300).collect();
    Some(format!("{what}: …{around}…"))
}

/// Everything that the operator says: what was logged since this was asked last, and all that is kept.
fn said(sim: &Simulation, page: &Page) -> Vec<String> {
    let log = std::mem::take(&mut *page.0.lock().unwrap_or_else(PoisonError::into_inner));
    let log = String::from_utf8_lossy(&log).into_owned();
    let audit: String = sim.audit.lines().iter().map(|line| format!("{line}\n")).collect();
    let events: String = sim.cluster.events().iter().map(|event| format!("{:?}\n", event.event)).collect();
    let mut told: Vec<String> = [("a log", log), ("the audit record", audit), ("an event", events)]
        .into_iter()
        .filter_map(|(what, text)| found(what, &text))
        .collect();
    // What the tags hold of Azure's own is nobody's to show either.
    told.extend(found("an object", &sim.cluster.dump()));
    told
}

#[test]
fn no_secret_in_an_answer_of_azure_comes_out_of_the_operator() {
    let mut leaks = Vec::new();
    for first in [0, 2, 5] {
        let page = Page::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(page.clone()).finish();
        let (sim, logged) = tracing::subscriber::with_default(subscriber, || {
            let (mut sim, mut logged) = (play(first), 0);
            // What is said in between may be gone in the end.
            for _ in 0..800 {
                sim.run_for(SignedDuration::from_secs(15));
                logged += page.0.lock().unwrap_or_else(PoisonError::into_inner).len();
                let tail: Vec<String> = sim.cluster.write_log(0).iter().rev().take(6).map(|w| format!("{w} {:?}", w.body)).collect();
                assert!(sim.cluster.writes() < MOST_WRITES, "a storm: {tail:#?}\n{}", sim.tell());
                leaks.extend(said(&sim, &page));
            }
            (sim, logged)
        });
        let played = sim.requests().iter().filter(|line| line.contains("canary")).count();
        assert!(played >= 8 && logged > 0, "Azure said it {played} times, {logged} bytes were logged");
    }
    leaks.dedup();
    assert!(leaks.is_empty(), "{}", leaks.into_iter().take(8).collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_secret_of_azures_is_in_the_text_of_a_refusal_or_of_a_panic() {
    for text in texts() {
        for body in [
            json!({ "error": { "code": "X", "message": text } }),
            json!({ "ErrorCode": 1, "Message": { "Value": text } }),
            json!({ "raw": text }),
        ] {
            let answer = breakwater_arm::wire::Answer { status: 400, body, ..Default::default() };
            let error = breakwater_arm::error::ArmError::from_answer(&answer);
            let said = format!("{error} {error:?}");
            assert!(!said.contains(CANARY), "{said}");
        }
    }
}
