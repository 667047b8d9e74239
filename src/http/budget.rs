//! The bytes of all bodies in flight: [`Budget`], and [`Charged`], a body that counts against it.
//!
//! What counts is the memory that a body holds, not what its client has promised to send, so that
//! clients who promise and do not send cannot lock the others out.

use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use crate::stats::Stats;

/// How many bytes all bodies may hold together. Owned by the listener.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    used: Cell<usize>,
    stats: Arc<Stats>,
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
    pub(super) fn new(bytes_max: usize, stats: Arc<Stats>) -> Rc<Budget> {
        Rc::new(Budget { bytes_max, used: Cell::new(0), stats })
    }

    /// What is left now, in bytes.
    pub(super) fn free(&self) -> usize {
        self.bytes_max - self.used.get()
    }

    fn set_used(&self, bytes: usize) {
        self.used.set(bytes);
        self.stats.http.body_bytes.set(bytes as i64);
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    bytes: usize,
    budget: Rc<Budget>,
}

impl Hold {
    /// Holds `bytes` from now on, more or fewer than before.
    ///
    /// # Errors
    /// There is no room for so many; it holds what it held.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        let others = self.budget.used.get() - self.bytes;
        if bytes > self.bytes && others + bytes > self.budget.bytes_max {
            return Err(Full::Budget);
        }
        self.budget.set_used(others + bytes);
        self.bytes = bytes;
        Ok(())
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
    /// An empty body that may grow to `bytes_max`.
    pub(super) fn new(budget: &Rc<Budget>, bytes_max: usize) -> Charged {
        Charged { bytes: Vec::new(), bytes_max, hold: Hold { bytes: 0, budget: Rc::clone(budget) } }
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
            let doubled = wanted.max(2 * capacity).min(self.bytes_max);
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
        Budget::new(bytes_max, Arc::default())
    }

    #[test]
    fn a_body_reserves_what_has_arrived_and_gives_it_back() {
        let budget = budget(1000);
        let mut body = Charged::new(&budget, 600);
        body.push(&[1; 100]).unwrap();
        assert_eq!(budget.free(), 900);
        body.push(&[1; 10]).unwrap();
        assert_eq!(budget.free(), 800, "it doubles, so that a body of many pieces is not copied for each");
        body.push(&[1; 490]).unwrap();
        assert_eq!(budget.free(), 400);
        let (bytes, hold) = body.into_parts();
        assert_eq!(bytes.len(), 600);
        assert_eq!(budget.stats.http.body_bytes.value(), 600);
        drop(hold);
        assert_eq!(budget.free(), 1000);
        assert_eq!(budget.stats.http.body_bytes.value(), 0);
    }

    #[test]
    fn a_hold_shrinks_at_any_time_and_grows_while_there_is_room() {
        let budget = budget(1000);
        let mut body = Charged::new(&budget, 600);
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
        let mut first = Charged::new(&budget, 700);
        first.push(&[1; 700]).unwrap();
        assert_eq!(first.push(&[1]), Err(Full::Body));
        let mut second = Charged::new(&budget, 700);
        assert_eq!(second.push(&[1; 301]), Err(Full::Budget));
        assert_eq!(second.push(&[1; 300]), Ok(()));
        drop(first);
        assert_eq!(second.push(&[1; 301]), Ok(()));
    }
}
