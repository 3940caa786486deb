//! The table of planted bugs fits the sources: `cargo dev planted` plays it.

use breakwater_dev::planted::Table;
use breakwater_dev::workspace;

#[test]
fn every_planted_bug_finds_its_place_and_its_test() {
    let table = Table::read(workspace::root()).expect("the table can be read");
    let stale = table.stale(workspace::root()).expect("the sources can be read");
    assert!(stale.is_empty(), "tests/planted/bugs.yaml:\n{}", stale.join("\n"));
    assert!(table.bugs.len() >= 24, "{} bugs", table.bugs.len());
}
