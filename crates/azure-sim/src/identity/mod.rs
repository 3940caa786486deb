//! Who calls, and what they may do: Entra's endpoints, tokens, role assignments.

pub mod actions;
pub mod authorise;
pub mod directory;
pub mod entra;
pub mod federation;
pub mod tokens;
