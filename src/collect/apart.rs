//! The thread that reads: a process that hangs in the kernel can make whoever reads its files wait, and a volume that is gone
//! whoever asks for its space. The executor must not.

use std::io;
use std::thread;
use std::time::Duration;

use smol::channel::{Receiver, Sender};

use super::Collector;
use crate::event::SystemMetric;

/// A collector on a thread of its own, which ends with this.
#[derive(Debug)]
pub(super) struct Apart {
    ask: Sender<Asked>,
    samples: Receiver<Taken>,
}

/// A sample is wanted, with the time of it.
#[derive(Debug)]
struct Asked {
    now_ms: i64,
    uptime: Duration,
}

/// A sample, and whether the kills that it tells are the machine's.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) sample: SystemMetric,
    pub(super) kills_are_of_machine: bool,
}

/// Its deepest call reads a directory.
const STACK_BYTES: usize = 128 << 10;

impl Apart {
    pub(super) fn start(mut collector: Collector) -> io::Result<Apart> {
        let (ask, asked) = smol::channel::bounded::<Asked>(1);
        let (done, samples) = smol::channel::bounded(1);
        let work = move || {
            while let Ok(Asked { now_ms, uptime }) = asked.recv_blocking() {
                let sample = collector.sample(now_ms, uptime);
                let kills_are_of_machine = collector.kills_are_of_machine();
                if done.send_blocking(Taken { sample, kills_are_of_machine }).is_err() {
                    // Nobody waits any more.
                    return;
                }
            }
        };
        // Not waited for at the end: it may hang, and has nothing that would be lost.
        thread::Builder::new().name("collect".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(Apart { ask, samples })
    }

    /// Takes a sample. `None` when the thread has ended, which it says itself.
    pub(super) async fn sample(&self, now_ms: i64, uptime: Duration) -> Option<Taken> {
        self.ask.send(Asked { now_ms, uptime }).await.ok()?;
        self.samples.recv().await.ok()
    }
}
