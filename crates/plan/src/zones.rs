//! Time zones: IANA names as users write them, Windows ids as Azure Backup takes them (backup.md §7.3).

mod table;

use jiff::tz::TimeZone;
use table::WINDOWS_ZONES;

/// A zone that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownZone {
    /// The tz database does not have it.
    #[error("{0:?} is not an IANA time zone, like Europe/Amsterdam")]
    NotIana(String),
    /// Azure has no name for it.
    #[error("the time zone {0:?} has no Windows name, so Azure Backup cannot be told of it: choose a city with the same clock")]
    NoWindowsName(String),
}

/// Names of UTC that CLDR's table leaves out.
const MORE_UTC: &[&str] = &["GMT", "Etc/GMT", "Etc/GMT0", "Etc/GMT+0", "Etc/GMT-0", "Etc/Greenwich", "GMT0", "GMT+0", "GMT-0", "Greenwich"];

/// Windows ids that Azure may still show and CLDR no longer lists (rust-stack.md, "Windows zone names").
const OLD_WINDOWS: &[(&str, &str)] = &[("Mid-Atlantic Standard Time", "Etc/GMT+2"), ("Kamchatka Standard Time", "Asia/Kamchatka")];

/// Windows ids of the autumn of 2026, and the ids that their zones had before. No recording shows Azure Backup take the new ones;
/// with the older ones a backup may come an hour from what is declared, in winter.
const NEW_WINDOWS: &[(&str, &str)] = &[
    ("Alberta Standard Time", "Mountain Standard Time"),
    ("British Columbia Standard Time", "Pacific Standard Time"),
    ("Manitoba Standard Time", "Central Standard Time"),
];

/// The Windows id of an IANA zone, as Azure is told it.
///
/// # Errors
/// When the zone does not exist, or Windows has no name for it.
pub fn to_windows(iana: &str) -> Result<&'static str, UnknownZone> {
    zone(iana)?;
    if MORE_UTC.iter().any(|name| name.eq_ignore_ascii_case(iana)) {
        return Ok("UTC");
    }
    let listed = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(iana));
    let found = WINDOWS_ZONES.iter().find(|(_, _, names)| listed(names));
    let found = found.map(|(windows, _, _)| *windows).ok_or_else(|| UnknownZone::NoWindowsName(iana.into()))?;
    Ok(NEW_WINDOWS.iter().find(|(new, _)| *new == found).map_or(found, |(_, older)| *older))
}

/// The IANA zone that represents a Windows id (compared without case); `None` for an id that is not known.
pub fn to_iana(windows: &str) -> Option<&'static str> {
    let current = WINDOWS_ZONES.iter().find(|(id, _, _)| id.eq_ignore_ascii_case(windows)).map(|(_, iana, _)| *iana);
    current.or_else(|| OLD_WINDOWS.iter().find(|(id, _)| id.eq_ignore_ascii_case(windows)).map(|(_, iana)| *iana))
}

/// The rules of an IANA zone, from the database that is compiled in.
///
/// # Errors
/// When there is no such zone.
pub fn zone(iana: &str) -> Result<TimeZone, UnknownZone> {
    TimeZone::get(iana).map_err(|_| UnknownZone::NotIana(iana.into()))
}

/// The rules of a Windows zone; `None` for an id that is not known.
pub fn windows_zone(windows: &str) -> Option<TimeZone> {
    zone(to_iana(windows)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iana_zone_has_its_windows_name_whatever_alias_is_used() {
        for (iana, windows) in [
            ("Europe/Amsterdam", "W. Europe Standard Time"),
            ("europe/amsterdam", "W. Europe Standard Time"),
            ("Europe/Kyiv", "FLE Standard Time"),
            ("Europe/Kiev", "FLE Standard Time"),
            ("Asia/Kolkata", "India Standard Time"),
            ("Asia/Calcutta", "India Standard Time"),
            ("America/New_York", "Eastern Standard Time"),
            ("Europe/London", "GMT Standard Time"),
            ("America/Sao_Paulo", "E. South America Standard Time"),
            ("Australia/Sydney", "AUS Eastern Standard Time"),
            ("UTC", "UTC"),
            ("Etc/UTC", "UTC"),
            ("GMT", "UTC"),
            ("America/Vancouver", "Pacific Standard Time"),
            ("Canada/Central", "Central Standard Time"),
        ] {
            assert_eq!(to_windows(iana), Ok(windows), "{iana}");
        }
    }

    #[test]
    fn a_zone_that_does_not_exist_is_named_in_the_error() {
        assert_eq!(to_windows("Europe/Atlantis"), Err(UnknownZone::NotIana("Europe/Atlantis".into())));
        assert_eq!(to_windows("W. Europe Standard Time"), Err(UnknownZone::NotIana("W. Europe Standard Time".into())));
        assert_eq!(to_iana("Atlantis Standard Time"), None);
    }

    #[test]
    fn every_windows_zone_comes_back_to_itself() {
        for (windows, iana, names) in WINDOWS_ZONES {
            assert!(windows_zone(windows).is_some(), "{windows}: jiff has no {iana}");
            let told = NEW_WINDOWS.iter().find(|(new, _)| new == windows).map_or(*windows, |(_, older)| *older);
            assert_eq!(to_windows(iana), Ok(told));
            for name in *names {
                assert!(zone(name).is_ok(), "jiff has no {name}");
            }
        }
        assert_eq!(to_iana("kamchatka standard time"), Some("Asia/Kamchatka"));
    }

    #[test]
    fn the_table_knows_what_windows_timezones_knows_and_what_came_after_it() {
        let newer: Vec<_> =
            WINDOWS_ZONES.iter().map(|(id, _, _)| *id).filter(|id| id.parse::<windows_timezones::WindowsTimezone>().is_err()).collect();
        assert_eq!(newer, ["Alberta Standard Time", "British Columbia Standard Time", "Manitoba Standard Time"]);
        assert_eq!(WINDOWS_ZONES.len() - newer.len(), 139, "as many as windows-timezones has (rust-stack.md)");
    }

    #[test]
    fn nearly_every_zone_of_the_database_has_a_windows_name() {
        let without: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).filter(|n| to_windows(n).is_err()).collect();
        assert!(without.len() < 12, "{without:?}");
    }
}
