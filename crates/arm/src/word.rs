//! Open words: ARM's enumerations, which may say tomorrow what nobody knew yesterday.

use std::{cmp, fmt, hash};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One word of ARM (a state, a kind, a name of a place), compared without ASCII case and kept as received.
///
/// A number is read as its digits: old versions of some answers send numbers where newer ones send words
/// (backup.md §12.1).
#[derive(Clone, Default)]
pub struct Word(String);

impl Word {
    /// As received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it is that word, whatever the case.
    pub fn is(&self, word: &str) -> bool {
        self.0.eq_ignore_ascii_case(word)
    }

    /// True when it is one of these words, whatever the case.
    pub fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.is(w))
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word(text.to_owned())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Word(text)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Word {}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.is(other)
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.is(other)
    }
}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.0.to_ascii_lowercase().cmp(&other.0.to_ascii_lowercase())
    }
}

impl hash::Hash for Word {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        d.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_ignores_case_and_keeps_its_spelling() {
        let word: Word = serde_json::from_str("\"AlwaysON\"").unwrap();
        assert_eq!(word, "alwaysOn");
        assert!(word.is_any(&["Enabled", "ALWAYSON"]));
        assert_eq!(serde_json::to_string(&word).unwrap(), "\"AlwaysON\"");
    }

    #[test]
    fn a_number_is_read_as_a_word_and_an_object_is_not() {
        assert_eq!(serde_json::from_str::<Word>("2").unwrap(), "2");
        assert!(serde_json::from_str::<Word>("{}").is_err());
    }
}
