//! The fields that a type knows, told by the type itself: its `Deserialize` is run without any input and asks for each
//! of them by name. No list of ours can be behind the types.

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::Error},
};

/// What a value must be to be of use, besides kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whatever its type takes.
    Any,
    /// An id, a URL of one, or empty.
    Id,
    /// A time, or a way to say "never".
    Time,
    /// A duration.
    Span,
}

/// One field: a JSON pointer in which `*` stands for every member of a list or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where it is.
    pub pattern: String,
    /// What it is.
    pub form: Form,
}

/// Every field of a type that holds a value, in the order of its declaration.
pub fn known<T: DeserializeOwned>() -> Vec<Known> {
    let mut found = Vec::new();
    let asked = T::deserialize(Asked { at: String::new(), form: Form::Any, found: &mut found });
    assert!(asked.is_ok(), "a body that takes every field missing and every word empty");
    found
}

/// Answers every question of a type with something empty and writes down where it was asked.
struct Asked<'a> {
    at: String,
    form: Form,
    found: &'a mut Vec<Known>,
}

impl Asked<'_> {
    fn note(self) {
        self.found.push(Known { pattern: self.at, form: self.form });
    }

    fn below(&mut self, name: &str) -> Asked<'_> {
        Asked { at: format!("{}/{name}", self.at), form: Form::Any, found: self.found }
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    /// A word, or anything.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_str("")
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_i64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_f64(0.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_bool(false)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    /// Ids, times and durations are types of their own and say so.
    fn deserialize_newtype_struct<V: Visitor<'de>>(mut self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.form = match name {
            "IdText" => Form::Id,
            "ArmTime" => Form::Time,
            "ArmDuration" => Form::Span,
            _ => Form::Any,
        };
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Members { holder: self, names: fields })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Members { holder: self, names: &["*"] })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Members { holder: self, names: &["*"] })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 u64 f32 char str bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

/// The members of an object or a list that are still to be asked for.
struct Members<'a> {
    holder: Asked<'a>,
    names: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.names.first().map(|name| seed.deserialize((*name).into_deserializer())).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, rest) = self.names.split_first().ok_or_else(|| de::Error::custom("a value without a key"))?;
        self.names = rest;
        seed.deserialize(self.holder.below(name))
    }
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((name, rest)) = self.names.split_first() else { return Ok(None) };
        self.names = rest;
        seed.deserialize(self.holder.below(name)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use breakwater_arm::{ArmDuration, ArmTime, IdText, Word};
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outer {
        #[serde(rename = "ID")]
        _id: Option<IdText>,
        inner: Option<Vec<Inner>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        when: Option<ArmTime>,
        spans: Option<BTreeMap<String, ArmDuration>>,
        word: Option<Word>,
        count: Option<i64>,
    }

    #[test]
    fn a_type_tells_its_fields_their_names_on_the_wire_and_their_forms() {
        let all: Vec<(String, Form)> = known::<Outer>().into_iter().map(|k| (k.pattern, k.form)).collect();
        let wanted = [
            ("/ID", Form::Id),
            ("/inner/*/when", Form::Time),
            ("/inner/*/spans/*", Form::Span),
            ("/inner/*/word", Form::Any),
            ("/inner/*/count", Form::Any),
        ];
        assert_eq!(all, wanted.map(|(at, form)| (at.to_owned(), form)));
        let inner = Inner { when: None, spans: None, word: None, count: None };
        assert!(inner.when.is_none() && inner.spans.is_none() && inner.word.is_none() && inner.count.is_none());
        assert!(Outer::default().inner.is_none());
    }
}
