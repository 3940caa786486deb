//! The lists of planted bugs fit the sources: `cargo dev planted` plays them.

use breakwater_dev::planted::Table;
use breakwater_dev::workspace;

#[test]
fn every_planted_bug_finds_its_place_and_its_test() {
    let table = Table::read(workspace::root()).expect("the lists can be read");
    let stale = table.stale(workspace::root()).expect("the sources can be read");
    assert!(stale.is_empty(), "tests/planted:\n{}", stale.join("\n"));
    assert!(table.bugs.len() >= 24, "{} bugs", table.bugs.len());
}
