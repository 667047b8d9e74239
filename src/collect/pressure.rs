//! Pressure stall information: how long somebody waited for a resource (Documentation/accounting/psi.rst). Pure.

use super::proc::count;

/// Microseconds of stall so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stalled {
    /// At least one task waited.
    pub(super) some_us: Option<i64>,
    /// All that had something to do waited.
    pub(super) full_us: Option<i64>,
}

impl Stalled {
    /// Reads a pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, and the same of `full`.
    pub(super) fn read(text: &str) -> Option<Stalled> {
        let total_of = |word: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(word))?;
            count(line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?)
        };
        Some(Stalled { some_us: total_of("some "), full_us: total_of("full ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_both_kinds_are_read() {
        let text = "some avg10=3.66 avg60=4.48 avg300=2.64 total=14347034\nfull avg10=0.00 total=7\n";
        assert_eq!(Stalled::read(text), Some(Stalled { some_us: Some(14_347_034), full_us: Some(7) }));
        for text in ["", "some avg10=1", "some total=-1", "some total=x", "some\n", "total=5"] {
            assert_eq!(Stalled::read(text), Some(Stalled::default()), "{text}");
        }
    }
}
