//! `$filter` of the list of all resources, as far as documented (learn.microsoft.com, "Resources - List"): `eq` of six words,
//! `startswith(tagname, 'x')` and `substringof('x', name)`, joined by `and`. Anything else is not understood.

use std::collections::BTreeMap;

use crate::path::canonical_location;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// `word eq 'value'`, the word in lower case.
    Is(String, String),
    /// `startswith(tagname, 'x')`
    TagNameBegins(String),
    /// `substringof('x', name)`
    NameHolds(String),
}

/// What a filter looks at.
pub struct Seen<'a> {
    /// The resource's id.
    pub id: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// Its region.
    pub location: &'a str,
    /// Its tags, if it has any.
    pub tags: Option<&'a BTreeMap<String, String>>,
}

/// A filter that is understood; an empty one admits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Term>);

impl Filter {
    /// Reads a filter; `None` when a part of it is not understood, which `or` never is.
    pub fn read(text: &str) -> Option<Filter> {
        if text.trim().is_empty() {
            return Some(Filter::default());
        }
        let read = Filter(conjuncts(text).into_iter().map(term).collect::<Option<_>>()?);
        // A tag's value means nothing without its name.
        (read.is("tagvalue").is_none() || read.is("tagname").is_some()).then_some(read)
    }

    /// The value that a word, in lower case, must equal.
    pub fn is(&self, word: &str) -> Option<&str> {
        self.0.iter().find_map(|term| match term {
            Term::Is(known, value) if known == word => Some(value.as_str()),
            _ => None,
        })
    }

    /// Whether it lets a resource through.
    pub fn admits(&self, seen: &Seen<'_>) -> bool {
        self.0.iter().all(|term| self.holds(term, seen))
    }

    fn holds(&self, term: &Term, seen: &Seen<'_>) -> bool {
        let name = seen.id.rsplit('/').next().unwrap_or_default();
        let mut tags = seen.tags.into_iter().flatten();
        match term {
            Term::TagNameBegins(start) => tags.any(|(tag, _)| tag.to_lowercase().starts_with(&start.to_lowercase())),
            Term::NameHolds(part) => name.to_lowercase().contains(&part.to_lowercase()),
            Term::Is(word, value) => match word.as_str() {
                "resourcetype" => seen.kind.eq_ignore_ascii_case(value),
                "resourcegroup" => seen.id.split('/').nth(4).is_some_and(|group| group.eq_ignore_ascii_case(value)),
                "location" => canonical_location(seen.location) == canonical_location(value),
                "tagname" => tags
                    .find(|(tag, _)| tag.eq_ignore_ascii_case(value))
                    .is_some_and(|(_, held)| self.is("tagvalue").is_none_or(|wanted| held == wanted)),
                // Looked at with its name.
                "tagvalue" => true,
                _ => name.eq_ignore_ascii_case(value),
            },
        }
    }
}

/// The parts between `and`s that stand outside quotes.
fn conjuncts(text: &str) -> Vec<&str> {
    const AND: &str = " and ";
    let (mut parts, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '\'';
        if !quoted && at >= from && text[at..].starts_with(AND) {
            parts.push(&text[from..at]);
            from = at + AND.len();
        }
    }
    parts.push(&text[from..]);
    parts
}

fn term(text: &str) -> Option<Term> {
    const WORDS: [&str; 6] = ["resourcetype", "tagname", "tagvalue", "name", "resourcegroup", "location"];
    let text = text.trim();
    if let Some(inside) = arguments(text, "startswith") {
        let (word, start) = inside.split_once(',')?;
        return word.trim().eq_ignore_ascii_case("tagname").then_some(Term::TagNameBegins(value(start)?));
    }
    if let Some(inside) = arguments(text, "substringof") {
        let (part, word) = inside.rsplit_once(',')?;
        return word.trim().eq_ignore_ascii_case("name").then_some(Term::NameHolds(value(part)?));
    }
    let (word, right) = text.split_once(" eq ")?;
    let word = word.trim().to_ascii_lowercase();
    WORDS.contains(&word.as_str()).then_some(Term::Is(word, value(right)?))
}

/// What is between the parentheses of a call.
fn arguments<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (called, inside) = text.split_once('(')?;
    called.trim().eq_ignore_ascii_case(name).then(|| inside.strip_suffix(')'))?
}

/// A value in quotes, a quote in it doubled, or one word without.
fn value(text: &str) -> Option<String> {
    let text = text.trim();
    match text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inside) => (!inside.replace("''", "").contains('\'')).then(|| inside.replace("''", "'")),
        None => (!text.contains(['\'', ' '])).then(|| text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_understood_whole_or_not_at_all() {
        let tags = BTreeMap::from([("app".to_owned(), "this and that".to_owned())]);
        let seen =
            Seen { id: "/subscriptions/s/resourceGroups/g/providers/A/b/it's", kind: "A/b", location: "westeurope", tags: Some(&tags) };
        let cases = [
            ("", Some(true)),
            ("resourceType eq 'a/B' and location eq 'West Europe'", Some(true)),
            ("location eq 'northeurope'", Some(false)),
            ("tagName eq 'APP' and tagValue eq 'this and that'", Some(true)),
            ("tagName eq 'app' and tagValue eq 'this'", Some(false)),
            ("tagValue eq 'this'", None),
            ("startswith(tagname, 'Ap') and substringof('T''S', name)", Some(true)),
            ("startswith(tagname,'x')", Some(false)),
            ("startswith(name,'x')", None),
            ("name eq 'it''s'", Some(true)),
            ("name eq 'x' or name eq 'y'", None),
            ("substringof('x', name) or name eq 'y'", None),
            ("(name eq 'x')", None),
            ("plan/publisher eq 'x'", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Filter::read(text).map(|filter| filter.admits(&seen)), expected, "{text}");
        }
    }
}
