//! The one thread that reads pushes and stores them, so that the listener never waits for a disk.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use smol::channel::{Receiver, Sender};

use crate::clock::Clock;
use crate::logging::Repeats;
use crate::stats::{Stats, Work};
use crate::store::{NotTaken, ReceivedFile, Total, Totals};
use crate::wire::pushed::{self, Fault};

/// Pushes that wait: as many as there may be connections. What they hold is counted by the listener.
const WAITING_MAX: usize = 256;
/// How often it is looked whether what stands in the way has passed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Its deepest call is SQLite's, which keeps its own data on the heap.
const STACK_BYTES: usize = 512 << 10;

/// What became of a push.
#[derive(Debug)]
pub(super) enum Told {
    /// It is durable; this is the body of the answer.
    Taken(Vec<u8>),
    /// Nothing of it is stored, and never will be.
    Faulty(Fault),
    /// Nothing of it is stored; it may be another time.
    NotNow(String),
}

/// How pushes are handed to the thread. When it is dropped, the thread stores what it has, and ends.
#[derive(Debug)]
pub(super) struct Keeper {
    pushes: SyncSender<Job>,
    known: Arc<Mutex<Known>>,
}

/// What the thread tells `/health`.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What is in the file.
    pub(super) totals: Totals,
    /// Why the last push could not be stored, if it could not.
    pub(super) trouble: Option<String>,
    /// How many pushes could not be.
    pub(super) errors: u64,
}

#[derive(Debug)]
struct Job {
    body: Vec<u8>,
    key: Option<String>,
    reply: Sender<Told>,
}

impl Keeper {
    /// Starts the thread. The receiver is closed when it has ended.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(super) fn start(
        file: ReceivedFile,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> io::Result<(Keeper, Receiver<Infallible>)> {
        let (pushes, jobs) = mpsc::sync_channel(WAITING_MAX);
        let known = Arc::new(Mutex::new(Known { totals: file.totals().clone(), ..Known::default() }));
        let (alive, ended) = smol::channel::bounded(1);
        let keeping = Keeping { file, known: Arc::clone(&known), stats, clock, failures: Repeats::default() };
        thread::Builder::new().name("store".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            keeping.run(&jobs);
            drop(alive);
        })?;
        Ok((Keeper { pushes, known }, ended))
    }

    /// Stores a push, and says what became of it.
    pub(super) async fn store(&self, body: Vec<u8>, key: Option<String>) -> Told {
        let (reply, told) = smol::channel::bounded(1);
        match self.pushes.try_send(Job { body, key, reply }) {
            Ok(()) => told.recv().await.unwrap_or_else(|_| Told::NotNow("the thread that stores has ended".to_owned())),
            Err(TrySendError::Full(_)) => Told::NotNow("too many pushes wait to be stored".to_owned()),
            Err(TrySendError::Disconnected(_)) => Told::NotNow("the thread that stores has ended".to_owned()),
        }
    }

    /// What is known now.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Keeping {
    file: ReceivedFile,
    known: Arc<Mutex<Known>>,
    stats: Arc<Stats>,
    clock: Clock,
    failures: Repeats,
}

impl Keeping {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            self.begin(Work::Idle);
            let failing = locked(&self.known).trouble.is_some();
            let next = if failing {
                jobs.recv_timeout(PROBE_EVERY)
            } else {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(job) if job.reply.is_closed() => log::debug!("nobody waits any more for a push, it is not stored"),
                Ok(job) => {
                    self.begin(Work::Storing);
                    let told = self.take(&job);
                    // Who pushed may be gone: then it pushes again.
                    drop(job.reply.try_send(told));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.begin(Work::Probing);
                    let probed = self.file.probe();
                    self.note(probed.err());
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.begin(Work::Closing);
        match self.file.close() {
            Ok(()) => log::info!("the file is closed"),
            Err(error) => log::warn!(error:% = error; "the log stays beside the file, and is part of it"),
        }
    }

    fn take(&mut self, job: &Job) -> Told {
        let mut pushed = match pushed::read(&job.body, job.key.as_deref()) {
            Ok(pushed) => pushed,
            Err(fault) => return Told::Faulty(fault),
        };
        match self.file.take(&mut pushed, self.clock.now_ms()) {
            Ok(Total { accepted, duplicates, rejected }) => {
                log::debug!(batch:% = pushed.batch_id, accepted, duplicates, rejected; "received");
                self.note(None);
                Told::Taken(pushed::answer(&pushed, accepted, duplicates))
            }
            Err(error) => {
                let cause = error.to_string();
                locked(&self.known).errors += 1;
                self.note(Some(error));
                Told::NotNow(cause)
            }
        }
    }

    fn note(&mut self, error: Option<NotTaken>) {
        let mut known = locked(&self.known);
        match error {
            Some(error) => {
                if let Some(count) = self.failures.again(1, self.clock.uptime()) {
                    log::error!(error:% = error, count; "pushes cannot be stored, they are refused until they can");
                }
                known.trouble = Some(error.to_string());
            }
            None => {
                if known.trouble.take().is_some() {
                    log::info!("pushes can be stored again");
                    self.failures = Repeats::default();
                }
                known.totals.clone_from(self.file.totals());
            }
        }
    }

    fn begin(&self, work: Work) {
        self.stats.writer.begin(work, self.clock.uptime());
    }
}
