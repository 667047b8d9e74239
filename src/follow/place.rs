//! Which files are the log, by their names. Pure.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use crate::config::DATE;

/// The file that a directory is taken to hold, as OpenClaw names it. The date is the gateway's local one, which nobody
/// here can know: so the names that are there are compared, and none is made.
const OPENCLAW_NAME: &str = "openclaw-YYYY-MM-DD.log";

/// Where the log is: a directory, and what the names of its files look like.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// Before the date; all of the name but its extension where there is no date.
    before: String,
    is_dated: bool,
    /// Between the date and the extension.
    after: String,
    /// From the last dot on.
    extension: String,
}

/// The order of the files of a log, the oldest first: by date, then by the number that a rotation put into the name. The
/// file that is written has none.
pub type Rank = (String, Reverse<u16>);

impl Place {
    /// What `path` names. `is_dir` = it is a directory now.
    pub fn of(path: &Path, is_dir: bool) -> Place {
        let is_dir = is_dir || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let (directory, name) = match path.file_name().filter(|_| !is_dir) {
            Some(name) => (path.parent().unwrap_or(path).to_owned(), name.to_string_lossy().into_owned()),
            None => (path.to_owned(), OPENCLAW_NAME.to_owned()),
        };
        let (stem, extension) = name.rfind('.').filter(|at| *at > 0).map_or((&name[..], ""), |at| name.split_at(at));
        let (before, after) = match stem.split_once(DATE) {
            Some((before, after)) => (before, after),
            None => (stem, ""),
        };
        let is_dated = stem.contains(DATE);
        Place { directory, before: before.into(), is_dated, after: after.into(), extension: extension.into() }
    }

    /// Where in the log the file of this name belongs; `None` if it is not of it.
    pub fn rank(&self, name: &str) -> Option<Rank> {
        let rest = name.strip_prefix(&*self.before)?;
        let (date, rest) = if self.is_dated { rest.split_at_checked(DATE.len())? } else { ("", rest) };
        let rest = rest.strip_prefix(&*self.after)?.strip_suffix(&*self.extension)?;
        let number = match rest.strip_prefix('.') {
            None => rest.is_empty().then_some(0)?,
            // OpenClaw keeps five; a number with a sign or a zero before it is not its own.
            Some(number) => number.parse().ok().filter(|n: &u16| *n > 0 && n.to_string() == number)?,
        };
        let is_date = date.bytes().zip(DATE.bytes()).all(|(b, d)| if d == b'-' { b == d } else { b.is_ascii_digit() });
        is_date.then(|| (date.to_owned(), Reverse(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_date_and_the_highest_number_is_the_oldest() {
        let place = Place::of(Path::new("/tmp/openclaw"), true);
        assert_eq!(place.directory, Path::new("/tmp/openclaw"));
        let names = [
            "openclaw-2026-11-23.log",
            "openclaw-2026-11-24.10.log",
            "openclaw-2026-11-24.2.log",
            "openclaw-2026-11-24.1.log",
            "openclaw-2026-11-24.log",
            "openclaw-2027-01-01.log",
        ];
        let ranks: Vec<Rank> = names.iter().map(|name| place.rank(name).unwrap()).collect();
        assert!(ranks.is_sorted() && ranks.windows(2).all(|two| two[0] != two[1]), "{ranks:?}");
        for other in [
            "",
            "openclaw.log",
            "openclaw-2026-11-24.log.gz",
            "openclaw-2026-11-24.0.log",
            "openclaw-2026-11-24.01.log",
            "openclaw-2026-11-24.+1.log",
            "openclaw-2026-11-24.70000.log",
            "openclaw-2026-11-2é.log",
            "openclaw-2026x11-24.log",
            "openclaw-2026-11-24x.log",
            "xopenclaw-2026-11-24.log",
        ] {
            assert_eq!(place.rank(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_may_have_a_date_anywhere_in_its_name_or_none() {
        let of = |path: &str| Place::of(Path::new(path), false);
        assert!(of("/var/log/gw").rank("gw").is_some() && of("/var/log/gw").rank("gw.1").is_some());
        assert!(
            of("/var/log/gw.jsonl").rank("gw.3.jsonl").is_some()
                && of("/var/log/gw.jsonl").rank("gw.jsonl.3").is_none()
        );
        let dated = of("/l/YYYY-MM-DD-gw.log");
        assert!(dated.rank("2026-11-24-gw.log").is_some() && dated.rank("2026-11-24-gw.1.log").is_some());
        assert!(dated.rank("YYYY-MM-DD-gw.log").is_none());
        // A directory that is not there yet is known by its slash alone.
        assert!(of("/tmp/openclaw/").rank("openclaw-2026-11-24.log").is_some());
        assert!(of("/l/.log").rank(".log").is_some());
    }
}
