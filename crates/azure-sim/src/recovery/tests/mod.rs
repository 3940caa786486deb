//! Tests of the model: shapes against recordings, the checklist of backup.md §17, and behaviour by subject.

mod backups;
mod checklist;
mod deletes;
mod guards;
mod items;
mod keys;
mod lab;
mod policies;
mod restore_shapes;
mod shapes;
mod sides;
mod vaults;
