//! Bounded inflating of a gzip body of any number of members.

use std::io::{self, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;
use smol::future::yield_now;

use super::budget::{Budget, Charged};
use super::fault::Fault;

/// Members of one body. A member of no bytes costs its sender 20 and us a fresh inflater, so their
/// number needs a limit; a real client sends one.
const MEMBERS_MAX: usize = 64;

/// Inflated at a time, on the heap; after each the other connections have their turn.
const BLOCK_BYTES: usize = 32 << 10;

/// Inflates `body` to at most `bytes_max` bytes, which count against the budget as they come. One body
/// at a time: an inflater has some 80 KiB of its own, and together they would only take each other's
/// room. All of the body is here, so nobody waits for a client.
///
/// # Errors
/// 400 for what is not gzip or ends too early, 413 past `bytes_max`, 503 without room.
pub(super) async fn inflate(body: &[u8], budget: &Rc<Budget>, bytes_max: usize) -> Result<Charged, Fault> {
    let _turn = budget.inflating_turn().await;
    let mut inflated = Charged::new(budget, bytes_max, None);
    let mut block = vec![0; BLOCK_BYTES];
    let mut rest = body;
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        loop {
            match member.read(&mut block) {
                Ok(0) => break,
                Ok(len) => inflated.push(&block[..len])?,
                Err(error) => return Err(broken(&error)),
            }
            yield_now().await;
        }
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(inflated);
        }
    }
    Err(Fault::new(400, format!("gzip: expected at most {MEMBERS_MAX} members")))
}

/// What is wrong with the bytes, in the words of the OpenTelemetry Collector, which OTLP clients know.
fn broken(error: &io::Error) -> Fault {
    let text = error.to_string();
    match text.as_str() {
        "invalid gzip header" => Fault::new(400, "gzip: invalid header"),
        _ => Fault::new(400, format!("gzip: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use smol::future::{block_on, zip};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn status(body: &[u8], budget_bytes: usize) -> u16 {
        let budget = Budget::new(budget_bytes, 0, std::sync::Arc::default());
        let fault = block_on(inflate(body, &budget, 1 << 20)).unwrap_err();
        assert_eq!(budget.free(), budget_bytes, "what was inflated is given back");
        fault.status
    }

    #[test]
    fn members_are_joined() {
        let budget = Budget::new(1 << 20, 0, std::sync::Arc::default());
        let body = [gzip(b"hello"), gzip(b""), gzip(b" world")].concat();
        assert_eq!(block_on(inflate(&body, &budget, 1 << 20)).unwrap().bytes(), b"hello world");
    }

    #[test]
    fn a_bomb_is_refused_at_its_limit() {
        assert_eq!(status(&gzip(&vec![0; (1 << 20) + 1]), 4 << 20), 413);
        assert_eq!(status(&gzip(&vec![0; 1 << 20]), 1 << 19), 503);
        assert_eq!(status(&gzip(b"").repeat(MEMBERS_MAX + 1), 1 << 20), 400);
    }

    #[test]
    fn bodies_are_inflated_one_after_the_other() {
        const LARGE: usize = 512 << 10;
        let budget = Budget::new(LARGE + (192 << 10), 0, std::sync::Arc::default());
        let inflated = async |body: Vec<u8>| inflate(&body, &budget, LARGE).await.map(|body| body.bytes().len());
        let (one, two) = (inflated(gzip(&[0; LARGE])), inflated(gzip(&[1; LARGE])));
        let small = inflated(gzip(&[2; 1 << 10]));
        let ended = block_on(zip(zip(one, two), small));
        assert_eq!(ended, ((Ok(LARGE), Ok(LARGE)), Ok(1 << 10)));
    }

    #[test]
    fn what_is_not_gzip_or_is_cut_is_refused() {
        let whole = gzip(b"hello");
        assert_eq!(status(b"hello", 1 << 20), 400);
        assert_eq!(status(b"", 1 << 20), 400);
        for cut in 0..whole.len() {
            assert_eq!(status(&whole[..cut], 1 << 20), 400, "cut at {cut}");
        }
        assert_eq!(status(&[whole, b"rest".to_vec()].concat(), 1 << 20), 400);
    }
}
