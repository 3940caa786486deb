//! Many of a kind in one entry of an estate: `count` of them, `{n}` in the name standing for the number.

use super::EstateError;

/// The names of an entry: one, or `count` with `{n}` replaced by 1, 2, … in as many digits as the last of them has.
///
/// # Errors
/// When there is a `count` and no `{n}` to tell them apart, or the other way round.
pub(super) fn names(name: &str, count: Option<u32>, place: &str) -> Result<Vec<String>, EstateError> {
    let Some(count) = count else {
        return if name.contains("{n}") {
            Err(EstateError::field(format!("{place}.count"), format!("'{name}' says {{n}}: say how many")))
        } else {
            Ok(vec![name.to_owned()])
        };
    };
    if !name.contains("{n}") {
        return Err(EstateError::field(place, format!("'{name}' stands for {count}: it must say {{n}}")));
    }
    let width = count.to_string().len();
    Ok((1..=count).map(|number| name.replace("{n}", &format!("{number:0width$}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_counted_in_even_width() {
        assert_eq!(names("web-{n}", Some(10), "m").unwrap()[..2], ["web-01", "web-02"]);
        assert_eq!(names("web-{n}", Some(10), "m").unwrap().len(), 10);
        assert_eq!(names("web", None, "m").unwrap(), ["web"]);
        assert!(names("web", Some(2), "machines[0].name").unwrap_err().to_string().starts_with("machines[0].name"));
        assert!(names("web-{n}", None, "machines[0]").is_err());
    }
}
