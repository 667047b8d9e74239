//! A thread for work that may wait for a disk.

use std::io;
use std::thread::{self, JoinHandle};

use smol::channel::{Sender, bounded};

/// Takes one piece of work after the other, and ends when this is dropped.
#[derive(Debug)]
pub struct Apart {
    work: Sender<Work>,
    thread: JoinHandle<()>,
}

type Work = Box<dyn FnOnce() + Send>;

/// As the writer's: its deepest call is SQLite's, once.
const STACK_BYTES: usize = 512 << 10;

impl Apart {
    /// Starts the thread.
    pub fn start() -> io::Result<Apart> {
        let (work, taken) = bounded::<Work>(1);
        let live = move || {
            while let Ok(work) = taken.recv_blocking() {
                work();
            }
        };
        let thread = thread::Builder::new().name("gateway log".to_owned()).stack_size(STACK_BYTES).spawn(live)?;
        Ok(Apart { work, thread })
    }

    /// Has the work done there. `None` = the thread has ended, by a panic that the log has told of.
    pub async fn have_done<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (reply, done) = bounded(1);
        let work = move || {
            // Whoever asked may have gone: nobody wants the answer then.
            drop(reply.try_send(work()));
        };
        self.work.send(Box::new(work)).await.ok()?;
        done.recv().await.ok()
    }

    /// Ends the thread. There is no work in it, so this does not wait.
    pub fn end(self) {
        drop(self.work);
        if self.thread.join().is_err() {
            log::error!("the thread that reads the gateway's log panicked");
        }
    }
}
