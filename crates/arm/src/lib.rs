//! The words of ARM: ids, requests and answers, operations, error codes, bodies, acts. Parses, never sends.

pub mod id;
pub mod wire;

pub use id::{IdError, ResourceId, ResourceType};
