//! Checks folders of recordings: a line a file and a total. Exits with 0 when none failed, 1 when one did, 2 when a folder
//! cannot be read or holds no recording.

use std::{path::Path, process::ExitCode};

use breakwater_tests::contract::check_folder;

fn main() -> ExitCode {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.is_empty() {
        eprintln!("usage: breakwater-contract DIR...");
        return ExitCode::from(2);
    }
    let worst = folders.iter().map(|folder| check(folder)).max().unwrap_or_default();
    ExitCode::from(worst)
}

fn check(folder: &str) -> u8 {
    match check_folder(Path::new(folder)) {
        Ok(report) if report.files.is_empty() => {
            eprintln!("{folder}: no recording in it (no *.json)");
            2
        }
        Ok(report) => {
            println!("{report}");
            u8::from(!report.failed().is_empty())
        }
        Err(error) => {
            eprintln!("{folder}: {error}");
            2
        }
    }
}
