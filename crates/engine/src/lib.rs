//! The shell: one turn for every kind. Observe, act, publish; inventory; the gate; the ports.

pub mod ports;
