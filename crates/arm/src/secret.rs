//! A text that is never shown.

use std::fmt;

/// A password, a script, a token. `Debug` and `Display` hide it, and it has no JSON form.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text: for whoever it is meant for, and for nothing that is logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_to_nobody_who_does_not_ask() {
        let secret = Secret::new("CANARY");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "(redacted) (redacted) Some((redacted))");
        assert_eq!(secret.reveal(), "CANARY");
    }
}
