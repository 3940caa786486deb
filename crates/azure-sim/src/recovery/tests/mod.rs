//! Tests of the model: shapes against recordings, the checklist of backup.md §17, and behaviour by subject.

mod backups;
mod checklist;
mod items;
mod lab;
mod policies;
mod shapes;
mod vaults;
