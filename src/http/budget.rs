//! The bytes of all bodies in flight: [`Budget`], and [`Charged`], a body that counts against it.
//!
//! What counts is the memory that a body holds, not what its client has promised to send, so that
//! clients who promise and do not send cannot lock the others out. A part of it is kept for small
//! bodies: who sends large ones and does not finish cannot lock out those who report single events.

use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use smol::lock::{Mutex, MutexGuard};

use crate::stats::Stats;

/// The most bytes of a body that is small: a single event with its texts.
pub(super) const SMALL_BODY_BYTES: usize = 64 << 10;

/// How many bytes all bodies may hold together. Owned by the listener.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    small_bytes: usize,
    used: Cell<usize>,
    inflating: Mutex<()>,
    /// Where it is told how much is held; `None` for what is no body.
    stats: Option<Arc<Stats>>,
}

/// Why a body cannot grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// It has reached its own limit.
    Body,
    /// All bodies together have reached theirs.
    Budget,
}

impl Budget {
    /// A budget of `bytes_max`, of which only small bodies may use the last `small_bytes`.
    pub(super) fn new(bytes_max: usize, small_bytes: usize, stats: Arc<Stats>) -> Rc<Budget> {
        Budget::told(bytes_max, small_bytes, Some(stats))
    }

    /// Another one of `bytes_max`, for answers that must not take the room of bodies.
    pub(super) fn apart(bytes_max: usize) -> Rc<Budget> {
        Budget::told(bytes_max, 0, None)
    }

    fn told(bytes_max: usize, small_bytes: usize, stats: Option<Arc<Stats>>) -> Rc<Budget> {
        Rc::new(Budget { bytes_max, small_bytes, used: Cell::new(0), inflating: Mutex::new(()), stats })
    }

    /// Whether a body of `bytes` would have room now.
    ///
    /// # Errors
    /// It would not.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), Full> {
        if self.used.get() + bytes > self.most(bytes > SMALL_BODY_BYTES) { Err(Full::Budget) } else { Ok(()) }
    }

    /// Whether any small body would have room now.
    pub(super) fn has_room(&self) -> bool {
        self.check_room(SMALL_BODY_BYTES).is_ok()
    }

    /// Waits until no other body is being inflated. The turn ends with what is given back.
    pub(super) async fn inflating_turn(&self) -> MutexGuard<'_, ()> {
        self.inflating.lock().await
    }

    /// What all bodies may hold after one of them has grown.
    fn most(&self, large: bool) -> usize {
        if large { self.bytes_max.saturating_sub(self.small_bytes) } else { self.bytes_max }
    }

    fn set_used(&self, bytes: usize) {
        self.used.set(bytes);
        if let Some(stats) = &self.stats {
            stats.http.body_bytes.set(bytes as i64);
        }
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    bytes: usize,
    /// Its client has said that it will be large.
    large: bool,
    budget: Rc<Budget>,
}

impl Hold {
    /// Holds `bytes` from now on, more or fewer than before.
    ///
    /// # Errors
    /// There is no room for so many; it holds what it held.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        let others = self.budget.used.get() - self.bytes;
        let most = self.budget.most(self.large || bytes > SMALL_BODY_BYTES);
        if bytes > self.bytes && others + bytes > most {
            return Err(Full::Budget);
        }
        self.budget.set_used(others + bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// Nothing, of another budget.
    pub(super) fn of(budget: &Rc<Budget>) -> Hold {
        Hold { bytes: 0, large: false, budget: Rc::clone(budget) }
    }

    /// Holds nothing any more.
    pub(super) fn release(&mut self) {
        self.budget.set_used(self.budget.used.get() - mem::take(&mut self.bytes));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// A body that grows as its bytes arrive, and never past what was reserved for it.
#[derive(Debug)]
pub(super) struct Charged {
    bytes: Vec<u8>,
    bytes_max: usize,
    hold: Hold,
}

impl Charged {
    /// An empty body that may grow to `bytes_max`, or to its `length` where that is known.
    pub(super) fn new(budget: &Rc<Budget>, bytes_max: usize, length: Option<usize>) -> Charged {
        let large = length.is_some_and(|length| length > SMALL_BODY_BYTES);
        let bytes_max = length.map_or(bytes_max, |length| length.min(bytes_max));
        Charged { bytes: Vec::new(), bytes_max, hold: Hold { bytes: 0, large, budget: Rc::clone(budget) } }
    }

    /// Adds bytes to the end.
    ///
    /// # Errors
    /// There is no room for them; the body is as it was.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Full> {
        let wanted = self.bytes.len() + piece.len();
        if wanted > self.bytes_max {
            return Err(Full::Body);
        }
        let capacity = self.bytes.capacity();
        if wanted > capacity {
            // A small body stays one.
            let most = if wanted > SMALL_BODY_BYTES { self.bytes_max } else { self.bytes_max.min(SMALL_BODY_BYTES) };
            let doubled = wanted.max(2 * capacity).min(most);
            // The allocator may give more than was asked for, by a few bytes: they are not counted.
            self.hold.resize(doubled)?;
            self.bytes.reserve_exact(doubled - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, and what keeps them counted: drop it after them.
    pub(super) fn into_parts(self) -> (Vec<u8>, Hold) {
        (self.bytes, self.hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes_max: usize) -> Rc<Budget> {
        Budget::new(bytes_max, 0, Arc::default())
    }

    impl Budget {
        pub(in crate::http) fn free(&self) -> usize {
            self.bytes_max - self.used.get()
        }

        fn told_bytes(&self) -> i64 {
            self.stats.as_ref().unwrap().http.body_bytes.value()
        }
    }

    #[test]
    fn a_body_reserves_what_has_arrived_and_gives_it_back() {
        let budget = budget(1000);
        let mut body = Charged::new(&budget, 600, None);
        body.push(&[1; 100]).unwrap();
        assert_eq!(budget.free(), 900);
        body.push(&[1; 10]).unwrap();
        assert_eq!(budget.free(), 800, "it doubles, so that a body of many pieces is not copied for each");
        body.push(&[1; 490]).unwrap();
        assert_eq!(budget.free(), 400);
        let (bytes, hold) = body.into_parts();
        assert_eq!(bytes.len(), 600);
        assert_eq!(budget.told_bytes(), 600);
        drop(hold);
        assert_eq!(budget.free(), 1000);
        assert_eq!(budget.told_bytes(), 0);
    }

    #[test]
    fn a_hold_shrinks_at_any_time_and_grows_while_there_is_room() {
        let budget = budget(1000);
        let mut body = Charged::new(&budget, 600, None);
        body.push(&[1; 600]).unwrap();
        let (_, mut hold) = body.into_parts();
        assert_eq!(hold.resize(1001), Err(Full::Budget));
        assert_eq!(budget.free(), 400);
        assert_eq!(hold.resize(1000), Ok(()));
        assert_eq!(hold.resize(10), Ok(()));
        assert_eq!(budget.free(), 990);
        hold.release();
        drop(hold);
        assert_eq!(budget.free(), 1000);
    }

    #[test]
    fn a_body_past_a_limit_is_told_which() {
        let budget = budget(1000);
        let mut first = Charged::new(&budget, 700, None);
        first.push(&[1; 700]).unwrap();
        assert_eq!(first.push(&[1]), Err(Full::Body));
        let mut second = Charged::new(&budget, 700, None);
        assert_eq!(second.push(&[1; 301]), Err(Full::Budget));
        assert_eq!(second.push(&[1; 300]), Ok(()));
        drop(first);
        assert_eq!(second.push(&[1; 301]), Ok(()));
    }

    #[test]
    fn the_last_part_is_for_small_bodies_alone() {
        const SMALL: usize = SMALL_BODY_BYTES;
        let budget = Budget::new(4 * SMALL, SMALL, Arc::default());
        let mut said = Charged::new(&budget, 4 * SMALL, Some(3 * SMALL));
        said.push(&[1; 3 * SMALL]).unwrap();
        assert_eq!(Charged::new(&budget, 4 * SMALL, Some(SMALL + 1)).push(&[1]), Err(Full::Budget));
        assert_eq!((budget.check_room(SMALL + 1), budget.check_room(SMALL)), (Err(Full::Budget), Ok(())));
        let mut unsaid = Charged::new(&budget, 4 * SMALL, None);
        unsaid.push(&[1; SMALL - 10]).unwrap();
        unsaid.push(&[1; 10]).unwrap();
        assert_eq!(unsaid.push(&[1]), Err(Full::Budget), "it is large from here on");
        assert!(!budget.has_room());
        drop(said);
        assert_eq!(unsaid.push(&[1]), Ok(()));
        assert!(budget.has_room());
    }
}
