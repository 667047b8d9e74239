//! Bytes of a file, cut into lines. Pure.

/// Longer lines are passed over: a hundred times what a line of the gateway has. Also what is read at once.
pub const LINE_BYTES_MAX: usize = 256 << 10;
/// The most lines of one portion, which is one request to the store.
pub const LINES_MAX: usize = 1000;

/// The lines that a piece of a file has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines<'a> {
    /// Each with the place in the file that it begins at, without its end.
    pub lines: Vec<(u64, &'a [u8])>,
    /// Bytes that need not be read again.
    pub used: usize,
    /// Whether the line that comes next has begun before and is not to be read.
    pub skips: bool,
    /// Whether there was a line that is too long.
    pub too_long: bool,
}

/// Cuts what stands at `offset` of a file. `skips` = the line that it begins in is not to be read; `is_last` = nothing will
/// ever follow it, so that a line without an end is a line.
pub fn cut(bytes: &[u8], offset: u64, skips: bool, is_last: bool) -> Lines<'_> {
    let mut cut = Lines { skips, ..Lines::default() };
    if skips {
        let Some(end) = end_of_line(bytes) else { return Lines { used: bytes.len(), ..cut } };
        (cut.used, cut.skips) = (end + 1, false);
    }
    while cut.lines.len() < LINES_MAX {
        let rest = &bytes[cut.used..];
        let place = offset + cut.used as u64;
        match end_of_line(rest) {
            Some(end) => {
                cut.lines.push((place, &rest[..end]));
                cut.used += end + 1;
            }
            None if rest.len() >= LINE_BYTES_MAX => {
                (cut.used, cut.skips, cut.too_long) = (bytes.len(), true, true);
                break;
            }
            None => {
                if is_last && !rest.is_empty() {
                    cut.lines.push((place, rest));
                    cut.used = bytes.len();
                }
                break;
            }
        }
    }
    cut
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader gets who reads a file in pieces of these sizes, growing, and what it passes over.
    fn read(file: &[u8], sizes: &mut dyn FnMut() -> usize) -> (Vec<(u64, Vec<u8>)>, usize) {
        let (mut lines, mut too_long, mut offset, mut skips, mut there) = (Vec::new(), 0, 0, false, 0);
        loop {
            let end = there.min(offset + LINE_BYTES_MAX);
            let cut = cut(&file[offset..end], offset as u64, skips, there == file.len() && end == there);
            lines.extend(cut.lines.iter().map(|(at, line)| (*at, line.to_vec())));
            too_long += usize::from(cut.too_long);
            skips = cut.skips;
            offset += cut.used;
            if cut.used == 0 {
                if there == file.len() {
                    return (lines, too_long);
                }
                there = file.len().min(there + sizes());
            }
        }
    }

    #[test]
    fn every_line_comes_once_and_whole_however_the_file_grows() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut file = Vec::new();
            let mut wanted = Vec::new();
            for n in 0..random.usize(0..30) {
                let line = format!("{n}{}", "x".repeat(random.usize(0..40))).into_bytes();
                wanted.push((file.len() as u64, line.clone()));
                file.extend(line);
                file.push(b'\n');
            }
            if random.bool() {
                wanted.push((file.len() as u64, b"the end".to_vec()));
                file.extend(b"the end");
            }
            assert_eq!(read(&file, &mut || random.usize(1..50)), (wanted, 0));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_counted_once() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        for (length, too_long) in [(LINE_BYTES_MAX - 1, 0), (LINE_BYTES_MAX, 1), (3 * LINE_BYTES_MAX + 5, 1)] {
            let file = [b"a\n", &long.repeat(4)[..length], b"\nb\n"].concat();
            let (lines, passed_over) = read(&file, &mut || LINE_BYTES_MAX / 3);
            assert_eq!((lines.len(), passed_over), (3 - too_long, too_long), "{length}");
            assert_eq!(lines.last().unwrap(), &(file.len() as u64 - 2, b"b".to_vec()));
        }
    }

    #[test]
    fn no_portion_has_more_lines_than_it_may() {
        let file = b"\n".repeat(LINES_MAX * 2 + 3);
        let first = cut(&file, 5, false, true);
        assert_eq!((first.lines.len(), first.used, first.lines[2].0), (LINES_MAX, LINES_MAX, 7));
        assert_eq!(read(&file, &mut || 10_000).0.len(), file.len());
    }
}
