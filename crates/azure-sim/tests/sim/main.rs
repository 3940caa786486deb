//! azure-sim in process: one file per part of it. Tests named `iNN_…` are the points of compute-and-arm.md §I.

mod arm;
mod compute;
mod faults;
mod identity;
mod shop;
mod throttle;
mod wire;
