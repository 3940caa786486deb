//! Checks folders of recordings: a line a file and a total; fails when one failed.

use std::{path::Path, process::ExitCode};

use breakwater_tests::contract::check_folder;

fn main() -> ExitCode {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.is_empty() {
        eprintln!("usage: breakwater-contract DIR...");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for folder in folders {
        match check_folder(Path::new(&folder)) {
            Ok(report) => {
                println!("{report}");
                if !report.failed().is_empty() || report.files.is_empty() {
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                eprintln!("{folder}: {error}");
                code = ExitCode::from(2);
            }
        }
    }
    code
}
