//! One [`Watch`] a connection: its deadline, and how it learns that the listener is stopping.
//!
//! A deadline is a number in a cell that the one sweep of the listener compares with the time: no
//! timer is made for a request, and none fires while there is no connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What a connection waits under. Shared by the connection and the sweep.
#[derive(Debug, Default)]
pub(super) struct Watch {
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
    idle: Cell<bool>,
    stopping: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Why a connection waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its deadline has passed.
    Deadline,
    /// The listener stops, and the connection was between two requests.
    Stopping,
}

impl Watch {
    /// Sets the deadline, in place of the one before.
    pub(super) fn arm(&self, after: Duration) {
        self.arm_at(Instant::now() + after);
    }

    /// Sets the deadline, in place of the one before.
    pub(super) fn arm_at(&self, at: Instant) {
        self.deadline.set(Some(at));
        self.expired.set(false);
    }

    /// Whether the connection is between two requests, where it may be closed at any moment.
    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// Whether the listener is stopping: the answer that is being made is the last.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ends the wait if its deadline has passed.
    pub(super) fn sweep(&self, now: Instant) {
        if self.deadline.get().is_some_and(|at| at <= now) && !self.expired.replace(true) {
            self.wake();
        }
    }

    /// Says that the listener stops.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.wake();
    }

    /// Waits for `future` until the deadline, or until the listener stops while the connection is
    /// idle. What the future has ready goes before both.
    ///
    /// # Errors
    /// It was not ready in time.
    pub(super) async fn bound<F: Future>(&self, future: F) -> Result<F::Output, Cut> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_cut(cx).map(Err),
        })
        .await
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Cut> {
        if self.expired.get() {
            return Poll::Ready(Cut::Deadline);
        }
        if self.idle.get() && self.stopping.get() {
            return Poll::Ready(Cut::Stopping);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use smol::future::{block_on, pending, poll_once, ready};

    use super::*;

    #[test]
    fn a_wait_ends_with_the_first_sweep_after_its_deadline() {
        let watch = Watch::default();
        let now = Instant::now();
        watch.arm_at(now + Duration::from_secs(5));
        let mut wait = pin!(watch.bound(pending::<()>()));
        watch.sweep(now);
        assert_eq!(block_on(poll_once(wait.as_mut())), None);
        watch.sweep(now + Duration::from_secs(5));
        assert_eq!(block_on(wait), Err(Cut::Deadline));
        watch.arm_at(now + Duration::from_secs(9));
        assert_eq!(block_on(poll_once(watch.bound(pending::<()>()))), None, "a new deadline is a new wait");
    }

    #[test]
    fn stopping_ends_only_the_wait_between_two_requests() {
        let watch = Watch::default();
        watch.stop();
        assert_eq!(block_on(poll_once(watch.bound(pending::<()>()))), None);
        watch.set_idle(true);
        assert_eq!(block_on(watch.bound(pending::<()>())), Err(Cut::Stopping));
        assert_eq!(block_on(watch.bound(ready(7))), Ok(7), "a request that has arrived goes first");
    }
}
