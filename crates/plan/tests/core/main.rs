//! The core decides: every situation has one answer, and over random graphs some things never happen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod actions;
mod debts;
mod lost_answers;
mod planner;
mod properties;
mod words;
mod world;
