//! What may be shown to people: no tokens, no signatures, no scripts, no control characters, no novels.

use std::fmt;

use serde_json::Value;

/// The text in one line of at most `max` bytes, without control characters, queries of URLs, tokens, signatures
/// or secrets that it may carry.
pub fn redacted(text: &str, max: usize) -> String {
    excerpt(&words_of(text).join(" "), max)
}

/// The text in at most `max` bytes, without control characters. What is too much is left out of its middle: Azure says what
/// failed at the beginning of a sentence, and for want of what at its end.
pub fn excerpt(text: &str, max: usize) -> String {
    const GAP: &str = " ... ";
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    if line.len() <= max {
        return line;
    }
    let room = max.saturating_sub(GAP.len());
    let (head, tail) = (line.floor_char_boundary(room / 3), line.ceil_char_boundary(line.len() - (room - room / 3)));
    format!("{}{GAP}{}", &line[..head], &line[tail..])
}

/// Pairs whose value is never shown; compared without case. A quote stands for the end of a name in JSON, which may be
/// escaped.
const SECRET_PAIRS: [&str; 12] = [
    "sig=",
    "client_secret=",
    "client_assertion=",
    "accountkey=",
    "sharedaccesssignature",
    "access_token\"",
    "accesssas\"",
    "password=",
    "scriptcontent\"",
    "scriptnamesuffix\"",
    "accesstokenstring\"",
    "secretdata\"",
];

/// Fields of answers and requests whose value is never shown: scripts with the passwords in their names (backup.md §15.4),
/// access tokens and what comes with them (§14.3), addresses of disks, keys. Compared without case.
const SECRET_FIELDS: [&str; 8] = [
    "scriptContent",
    "scriptNameSuffix",
    "accessTokenString",
    "tokenExtendedInformation",
    "accessSAS",
    "securityDataAccessSAS",
    "secretData",
    "keyBackupData",
];

const HIDDEN: &str = "(redacted)";

fn words_of(text: &str) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut hide = false;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        let after_bearer = kept.last().is_some_and(|w| w.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case("bearer"));
        if hide || after_bearer && word.len() > 20 {
            kept.push(HIDDEN.into());
            hide = false;
        } else {
            let (shown, goes_on) = redacted_word(word);
            kept.push(shown);
            hide = goes_on;
        }
    }
    kept
}

/// The word as it may be shown, and whether the next one is the value of its pair.
fn redacted_word(word: &str) -> (String, bool) {
    let lower = word.to_ascii_lowercase();
    if let Some(at) = lower.find("://")
        && let Some(query) = word[at..].find('?')
    {
        return (format!("{}?{HIDDEN}", &word[..at + query]), false);
    }
    if let Some((at, value)) = SECRET_PAIRS.iter().filter_map(|pair| find_pair(&lower, pair)).min() {
        let pending = value.chars().all(|c| "\\\":=".contains(c)) && lower[at..].contains([':', '=']);
        return (format!("{}{HIDDEN}", &word[..at]), pending);
    }
    // a JSON web token: three base64url parts, the first of which begins with `{"`
    match word.find("eyJ") {
        Some(at) if word[at..].len() > 40 => (format!("{}{HIDDEN}", &word[..at]), false),
        _ => (word.to_owned(), false),
    }
}

/// Where a pair begins, and what follows its name.
fn find_pair<'a>(lower: &'a str, pair: &str) -> Option<(usize, &'a str)> {
    let (name, quoted) = pair.strip_suffix('"').map_or((pair, false), |name| (name, true));
    lower.match_indices(name).find_map(|(at, _)| {
        let rest = &lower[at + name.len()..];
        (!quoted || rest.trim_start_matches('\\').starts_with('"')).then_some((at, rest))
    })
}

/// A body in `Debug`: without secret fields, and with its texts redacted.
pub(crate) struct Shown<'a>(pub &'a Value);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&shown(self.0), f)
    }
}

fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(shown_text(text)),
        Value::Array(values) => values.iter().map(shown).collect(),
        Value::Object(fields) => {
            let is_secret = |name: &str| SECRET_FIELDS.iter().any(|secret| secret.eq_ignore_ascii_case(name));
            let field = |(name, v): (&String, &Value)| {
                let hidden = is_secret(name) && !v.is_null();
                (name.clone(), if hidden { Value::String(HIDDEN.into()) } else { shown(v) })
            };
            fields.iter().map(field).collect()
        }
        other => other.clone(),
    }
}

/// The text itself where nothing in it is secret: its lines and blanks stay.
pub(crate) fn shown_text(text: &str) -> String {
    let words = words_of(text);
    let same = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).eq(words.iter());
    if same { text.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_signatures_and_secrets_are_left_out() {
        let token = format!("eyJ{}.eyJ{}.sig", "a".repeat(30), "b".repeat(30));
        let cases = [
            (format!("got Authorization: Bearer {token}!"), "got Authorization: Bearer (redacted)"),
            (format!("token={token} refused"), "token=(redacted) refused"),
            (
                "see https://a.blob.core.windows.net/c/b?sv=1&sig=CANARY for it".into(),
                "see https://a.blob.core.windows.net/c/b?(redacted) for it",
            ),
            ("client_secret=CANARY&x".into(), "(redacted)"),
            (r#"{"scriptContent":"CANARY","osType":"Linux"}"#.into(), r#"{"(redacted)"#),
            ("{\r\n  \"scriptNameSuffix\": \"CANARY\",\r\n  \"osType\": 1\r\n}".into(), "{ \"(redacted) (redacted) \"osType\": 1 }"),
            (r#"got \"accessTokenString\": \"CANARY\" there"#.into(), r#"got \"(redacted) (redacted) there"#),
            (
                "the accessTokenString is no token, \"scriptContent\" is empty".into(),
                "the accessTokenString is no token, \"(redacted) is empty",
            ),
            ("SharedAccessSignature is wrong".into(), "(redacted) is wrong"),
            ("a\r\n\tb\u{0}c".into(), "a b c"),
        ];
        for (text, wanted) in cases {
            assert_eq!(redacted(&text, 500), wanted);
        }
    }

    #[test]
    fn a_long_text_loses_its_middle_between_two_characters() {
        for max in 12..40 {
            let cut = redacted(&format!("{}z", "é".repeat(100)), max);
            assert!(cut.len() <= max && cut.starts_with("é") && cut.contains(" ... ") && cut.ends_with("éz"), "{max}: {cut}");
        }
        assert_eq!((excerpt("a\u{7}b", 2), excerpt("abc", 3)), ("ab".to_owned(), "abc".to_owned()));
    }

    #[test]
    fn a_body_is_shown_without_its_secrets_and_else_as_it_is() {
        let plain = json!({"a": [1, null, "two\n  lines"], "next": "https://h/p", "scriptContent": null});
        assert_eq!(format!("{:?}", Shown(&plain)), format!("{plain:?}"));
        let body = json!({"p": [{"SCRIPTcontent": "CANARY", "accessTokenString": {"deep": "CANARY"}}], "l": "https://h/p?sig=CANARY"});
        let text = format!("{:?}", Shown(&body));
        assert!(!text.contains("CANARY") && text.matches("(redacted)").count() == 3, "{text}");
    }
}
