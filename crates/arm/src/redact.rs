//! What may be shown to people: no tokens, no signatures, no control characters, no novels.

/// The text in one line of at most `max` bytes, without control characters, queries of URLs, tokens, signatures
/// or secrets that it may carry.
pub fn redacted(text: &str, max: usize) -> String {
    let mut kept: Vec<String> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        let after_bearer = kept.last().is_some_and(|w| w.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case("bearer"));
        kept.push(if after_bearer && word.len() > 20 { "(redacted)".into() } else { redacted_word(word) });
    }
    let mut line = kept.join(" ");
    if line.len() > max {
        let mut end = max.saturating_sub(3);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push_str("...");
    }
    line
}

/// Pairs whose value is never shown; compared without case.
const SECRET_PAIRS: [&str; 8] =
    ["sig=", "client_secret=", "client_assertion=", "accountkey=", "sharedaccesssignature", "access_token\"", "accesssas\"", "password="];

fn redacted_word(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    if let Some(at) = lower.find("://")
        && let Some(query) = word[at..].find('?')
    {
        return format!("{}?(redacted)", &word[..at + query]);
    }
    if let Some(at) = SECRET_PAIRS.iter().filter_map(|pair| lower.find(pair)).min() {
        return format!("{}(redacted)", &word[..at]);
    }
    // a JSON web token: three base64url parts, the first of which begins with `{"`
    match word.find("eyJ") {
        Some(at) if word[at..].len() > 40 => format!("{}(redacted)", &word[..at]),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
            ("a\r\n\tb\u{0}c".into(), "a b c"),
        ];
        for (text, wanted) in cases {
            assert_eq!(redacted(&text, 500), wanted);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let cut = redacted(&"é".repeat(100), 20);
        assert!(cut.len() <= 20 && cut.ends_with("..."), "{cut}");
    }
}
