//! The end of a body: [`Decoder`] is fed slices and gives back the pieces of the body in them. Pure.
//!
//! Trailers are checked and thrown away: nothing of ours reads them.

use super::fault::Fault;
use super::head::Framing;

/// Bytes of chunk extensions and trailers in one body: they cost the client a byte each and carry
/// nothing, so they need a limit of their own.
const OVERHEAD_BYTES_MAX: usize = 8 << 10;

/// Hex digits of a chunk's size: more than any limit of ours, and far from overflow.
const SIZE_DIGITS_MAX: usize = 15;

/// Where a body ends, byte by byte.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    overhead: usize,
}

/// What a decoder found in its input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// Nothing more: the input is used up.
    More,
    /// The body is complete. What is left of the input belongs to the next request.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fixed { left: u64 },
    Size { digits: usize, size: u64 },
    SizeBlank { size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

impl Decoder {
    /// A decoder at the first byte after the head.
    pub(super) fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Fixed(0) => State::End,
            Framing::Fixed(left) => State::Fixed { left },
            Framing::Chunked => State::Size { digits: 0, size: 0 },
        };
        Decoder { state, overhead: 0 }
    }

    /// How many of the next bytes certainly belong to this body.
    pub(super) fn wanted(&self) -> u64 {
        match self.state {
            State::Fixed { left } | State::Data { left } => left,
            _ => 0,
        }
    }

    /// How many bytes are missing, where that is known: not for chunks.
    pub(super) fn missing(&self) -> Option<u64> {
        match self.state {
            State::Fixed { left } => Some(left),
            State::End => Some(0),
            _ => None,
        }
    }

    /// The next piece of the body in `input`, which is moved behind it.
    ///
    /// # Errors
    /// These are no chunks. Where the request ends is not known: close.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Fault> {
        loop {
            match self.state {
                State::End => return Ok(Piece::End),
                State::Fixed { left } | State::Data { left } if left > 0 => {
                    if input.is_empty() {
                        return Ok(Piece::More);
                    }
                    let here = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                    let (data, rest) = input.split_at(here);
                    *input = rest;
                    self.state = self.state.after(here as u64);
                    return Ok(Piece::Data(data));
                }
                _ => {}
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(Piece::More) };
            *input = rest;
            self.state = self.step(*byte)?;
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        if matches!(
            self.state,
            State::SizeBlank { .. } | State::Extension { .. } | State::TrailerName | State::TrailerValue
        ) {
            self.overhead += 1;
            if self.overhead > OVERHEAD_BYTES_MAX {
                return Err(Fault::new(431, "chunk extensions and trailers are larger than 8192 bytes"));
            }
        }
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, _) => return size_step(digits, size, byte),
            (State::SizeBlank { .. }, b' ' | b'\t') => self.state,
            (State::SizeBlank { size }, b';') => State::Extension { size },
            (State::SizeBlank { size } | State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Extension { .. }, b'\t' | 0x20..=0x7e) => self.state,
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, byte) if is_name(byte) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, byte) if is_name(byte) => State::TrailerName,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | 0x20..=0x7e) => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::End,
            _ => return Err(Fault::new(400, "the chunks of the body cannot be read")),
        })
    }
}

impl State {
    /// The state `bytes` further on in a run of data.
    fn after(self, bytes: u64) -> State {
        match self {
            State::Fixed { left } if left == bytes => State::End,
            State::Fixed { left } => State::Fixed { left: left - bytes },
            State::Data { left } if left == bytes => State::DataCr,
            State::Data { left } => State::Data { left: left - bytes },
            other => other,
        }
    }
}

fn size_step(digits: usize, size: u64, byte: u8) -> Result<State, Fault> {
    match (byte as char).to_digit(16) {
        Some(digit) if digits < SIZE_DIGITS_MAX => {
            Ok(State::Size { digits: digits + 1, size: size * 16 + u64::from(digit) })
        }
        None if digits > 0 && byte == b'\r' => Ok(State::SizeLf { size }),
        None if digits > 0 && byte == b';' => Ok(State::Extension { size }),
        None if digits > 0 && matches!(byte, b' ' | b'\t') => Ok(State::SizeBlank { size }),
        _ => Err(Fault::new(400, "the size of a chunk cannot be read")),
    }
}

/// Whether a header's name may have this byte (RFC 9110, 5.6.2).
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and how many bytes were left over; `None` while it is not complete.
    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, Fault> {
        let mut decoder = Decoder::new(framing);
        let mut body = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let mut input = *piece;
            loop {
                match decoder.next(&mut input)? {
                    Piece::Data(data) => body.extend_from_slice(data),
                    Piece::More => break,
                    Piece::End => {
                        let later: usize = pieces[n + 1..].iter().map(|piece| piece.len()).sum();
                        return Ok(Some((body, input.len() + later)));
                    }
                }
            }
        }
        Ok(None)
    }

    fn status(chunks: impl AsRef<[u8]>) -> u16 {
        decode(Framing::Chunked, &[chunks.as_ref()]).unwrap_err().status
    }

    #[test]
    fn chunks_are_joined_wherever_the_pieces_are_cut() {
        let wire = b"5 ;ext=\"a b\"\r\nhello\r\n6 \r\n world\r\n0\r\nA: b\r\nX-Sum: 1\r\n\r\nPOST";
        for cut in 0..=wire.len() {
            let (body, left) = decode(Framing::Chunked, &[&wire[..cut], &wire[cut..]]).unwrap().unwrap();
            assert_eq!((body.as_slice(), left), (&b"hello world"[..], 4), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(decode(Framing::Chunked, &bytes).unwrap().unwrap().0, b"hello world");
    }

    #[test]
    fn a_fixed_body_ends_after_its_length() {
        assert_eq!(decode(Framing::Fixed(5), &[b"hel", b"loGET"]).unwrap(), Some((b"hello".to_vec(), 3)));
        assert_eq!(decode(Framing::Fixed(0), &[b"GET"]).unwrap(), Some((Vec::new(), 3)));
        assert_eq!(decode(Framing::Fixed(100), &[b"hello"]).unwrap(), None);
    }

    #[test]
    fn nothing_is_complete_before_its_last_byte() {
        let wire = b"5\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for cut in 0..wire.len() {
            assert_eq!(decode(Framing::Chunked, &[&wire[..cut]]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wire in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+5\r\n",
            "0x5\r\n",
            "5\nhello",
            "5\r\nhelloo",
            "5\r\nhello\n",
            "0\r\nA: \u{e9}\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\nA b: c\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\n",
            "1000000000000000\r\n",
            "5;\u{e9}\r\n",
            "5 5\r\nhello",
            "5 \t5\r\nhello",
            "5 a=b\r\nhello",
            "5 \nhello",
        ] {
            assert_eq!(status(wire), 400, "{wire:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_most() {
        assert_eq!(status(format!("5;{}", "a".repeat(OVERHEAD_BYTES_MAX + 1))), 431);
        assert_eq!(status(format!("5{}", " ".repeat(OVERHEAD_BYTES_MAX + 2))), 431);
        assert_eq!(status(format!("0\r\n{}", "A: b\r\n".repeat(OVERHEAD_BYTES_MAX))), 431);
        assert_eq!(status("1;abcdefgh\r\na\r\n".repeat(OVERHEAD_BYTES_MAX / 8 + 1)), 431);
    }

    #[test]
    fn no_input_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(11);
        let seed = b"5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
        let mut complete = 0;
        for _ in 0..60_000 {
            let mut wire = seed.to_vec();
            for _ in 0..random.usize(..3) {
                let at = random.usize(..wire.len());
                wire[at] = random.u8(..);
            }
            let (one, two) = wire.split_at(random.usize(..wire.len()));
            if let Ok(Some((body, _))) = decode(Framing::Chunked, &[one, two]) {
                complete += 1;
                assert!(body.len() < wire.len());
            }
        }
        assert!(complete > 10_000, "{complete}");
    }
}
