//! The client against a router: over loopback sockets where the wire matters, in process where tokens do.

mod router;
mod sending;
mod tls;
mod tokens;
