//! The words of ARM: ids, requests and answers, operations, error codes, bodies, acts. Parses, never sends.

pub mod acts;
mod base64;
pub mod bodies;
pub mod error;
pub mod id;
pub mod names;
pub mod operation;
mod redact;
pub mod regions;
mod secret;
pub mod time;
pub mod versions;
pub mod wire;
pub mod word;

pub use acts::{Act, Classified, Effect, classify, ids_in};
pub use error::{ArmError, Remedy, Service, outcome_unknown, remedy, whole_refusal};
pub use id::{IdError, IdText, ResourceId, ResourceType};
pub use operation::{Accepted, Family, Handle, OperationState, OperationStatus};
pub use redact::{excerpt, redacted};
pub use secret::Secret;
pub use time::{ArmDuration, ArmTime};
pub use word::Word;
