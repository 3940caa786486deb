//! The shell: one turn for every kind. Observe, act, publish; inventory; the gate; the ports.

pub mod access;
mod act;
mod answers;
mod brake;
pub mod budget;
pub mod calm;
mod children;
mod debts;
mod demand;
pub mod engine;
pub mod gate;
mod going;
mod handed;
mod held;
mod holding;
mod line;
pub mod locks;
mod look;
pub mod memory;
pub mod object;
mod order;
mod owned;
mod payer;
pub mod ports;
mod publish;
pub mod reader;
pub mod resolve;
mod settle;
mod shares;
pub mod telemetry;
mod tell;
mod turn;
mod unreadable;
mod views;

pub use debts::FINALIZER;
pub use engine::{Engine, Next, Outside};
