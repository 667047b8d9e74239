//! Pressure stall information: how long somebody waited for a resource (Documentation/accounting/psi.rst). Pure.

/// Who waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stall {
    /// At least one task.
    Some,
    /// All that had something to do.
    Full,
}

/// Reads a pressure file: microseconds of stall so far. `full avg10=0.00 avg60=0.00 avg300=0.00 total=1234`
pub(super) fn stalled_us(text: &str, stall: Stall) -> Option<i64> {
    let word = match stall {
        Stall::Some => "some ",
        Stall::Full => "full ",
    };
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    super::proc::count(line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_stall_is_read() {
        let text = "some avg10=3.66 avg60=4.48 avg300=2.64 total=14347034\nfull avg10=0.00 total=7\n";
        assert_eq!((stalled_us(text, Stall::Some), stalled_us(text, Stall::Full)), (Some(14_347_034), Some(7)));
        for text in ["", "some avg10=1", "some total=-1", "some total=x", "some\n", "total=5"] {
            assert_eq!(stalled_us(text, Stall::Some), None, "{text}");
        }
    }
}
