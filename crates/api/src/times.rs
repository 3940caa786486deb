//! Schema of points in time: RFC 3339, as `jiff::Timestamp` reads and writes them.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The schema of a `Timestamp` or an `Option` of one.
pub fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}
