//! Open words: enumerations that ARM or a later version of ours may extend (rust-stack.md, "Open words"). An unknown
//! word is kept and written back as it came; known ones are read without regard to case. Their schema is a plain
//! string, because an `anyOf` is not structural.

/// Makes an enum of known words with a last variant `Other(String)`, its conversions, serde and schema.
macro_rules! open_words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$doc])* $word,)+
            /// A word that this version does not know, as received.
            Other(String),
        }

        impl $name {
            /// The known words, in the order of the declaration.
            pub const KNOWN: &'static [&'static str] = &[$(stringify!($word)),+];

            /// The word as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$word => stringify!($word),)+
                    $name::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                $(if word.eq_ignore_ascii_case(stringify!($word)) { return $name::$word; })+
                $name::Other(word)
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                $name::from(word.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "maxLength": 64 })
            }
        }
    };
}

pub(crate) use open_words;

#[cfg(test)]
mod tests {
    use crate::protected_machine::Protection;

    #[test]
    fn a_word_of_tomorrow_is_kept_and_written_back() {
        let word: Protection = serde_json::from_str("\"Frozen\"").unwrap();
        assert_eq!(word, Protection::Other("Frozen".into()));
        assert_eq!(serde_json::to_string(&word).unwrap(), "\"Frozen\"");
    }

    #[test]
    fn a_known_word_is_read_without_regard_to_case() {
        assert_eq!(Protection::from("softdeleted"), Protection::SoftDeleted);
        assert_eq!(Protection::SoftDeleted.to_string(), "SoftDeleted");
    }
}
