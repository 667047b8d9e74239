//! Questions while the sidecar runs: [`Queries`], one thread that is there only while somebody asks.
//!
//! Nobody waits for it but who asked: it reads beside the writer, a few questions may wait for it, and each ends in time
//! ([`TIME_MAX`](super::summary::TIME_MAX)).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use smol::channel::{Receiver, Sender};

use super::reader::{ReadError, Reader};
use super::volume::Identity;
use crate::malloc;
use crate::summary::Question;

/// Questions that wait: with the one that is read, and two seconds for each, the last has its answer in ten.
const WAITING_MAX: usize = 4;
/// How long the thread and its connection stay for the next question: a page that asks every few seconds keeps them.
const IDLE: Duration = Duration::from_secs(10);
/// Its deepest call is SQLite's, which keeps its own data on the heap.
const STACK_BYTES: usize = 256 << 10;

/// Where questions are asked. Clones ask the same thread.
#[derive(Debug, Clone)]
pub struct Queries(Arc<Shared>);

/// Why there is no answer. Each passes, or so it may be hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Too many wait already.
    #[error("too many questions wait for their answers, ask again later")]
    Busy,
    /// It took too long.
    #[error("the answer was not found in 2 seconds, ask again later, or for less time")]
    TooLong,
    /// The sidecar is stopping.
    #[error("the sidecar is stopping")]
    Stopping,
    /// The file cannot be read.
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    give_up: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Is closed when the thread has ended; `None` when there is none.
    ended: Option<Receiver<Infallible>>,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    question: Question,
    reply: Sender<Result<Vec<u8>, QueryError>>,
}

impl Queries {
    /// Questions to the file at `path`. Opens nothing and starts nothing until somebody asks.
    pub fn new(path: PathBuf) -> Queries {
        let shared = Shared { path, state: Mutex::default(), changed: Condvar::new(), give_up: Arc::default() };
        Queries(Arc::new(shared))
    }

    /// The answer as JSON. Whoever does not wait for it any more is not answered.
    ///
    /// # Errors
    /// Any of [`QueryError`].
    pub async fn summary(&self, question: Question) -> Result<Vec<u8>, QueryError> {
        let (reply, answer) = smol::channel::bounded(1);
        self.take(Job { question, reply })?;
        // Dropped unanswered only when it stops.
        answer.recv().await.unwrap_or(Err(QueryError::Stopping))
    }

    /// Takes no more, gives up what is read, and returns when the thread has ended.
    pub async fn close(&self) {
        self.0.give_up.store(true, Ordering::Relaxed);
        let ended = {
            let mut state = self.0.lock();
            state.closed = true;
            state.waiting.clear();
            self.0.changed.notify_one();
            state.ended.clone()
        };
        if let Some(ended) = ended {
            match ended.recv().await {
                Ok(never) => match never {},
                Err(_closed) => {}
            }
        }
    }

    fn take(&self, job: Job) -> Result<(), QueryError> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(QueryError::Stopping);
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(QueryError::Busy);
        }
        if state.ended.is_none() {
            let (alive, ended) = smol::channel::bounded(1);
            let shared = Arc::clone(&self.0);
            let started = thread::Builder::new().name("queries".to_owned()).stack_size(STACK_BYTES).spawn(move || {
                shared.answer_all();
                drop(shared);
                drop(alive);
            });
            started.map_err(|error| QueryError::Failed(format!("no thread can be started for it: {error}")))?;
            state.ended = Some(ended);
        }
        state.waiting.push_back(job);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Shared {
    fn answer_all(&self) {
        let mut open = None;
        loop {
            while let Some(job) = self.next() {
                // Who asked may be gone, before or after.
                if !job.reply.is_closed() {
                    drop(job.reply.try_send(self.answer(&mut open, &job.question)));
                }
            }
            // Before anybody is told that the thread has ended: its connection would keep the log from being deleted.
            open = None;
            // Thousands of groups leave holes between what stays.
            malloc::trim();
            let mut state = self.lock();
            if state.closed || state.waiting.is_empty() {
                if !state.closed {
                    state.ended = None;
                }
                return;
            }
        }
    }

    /// The next question; `None` when nobody asked for [`IDLE`], or it is time to stop.
    fn next(&self) -> Option<Job> {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.changed.wait_timeout_while(self.lock(), IDLE, nothing);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting.pop_front()
    }

    fn answer(&self, open: &mut Option<Open>, question: &Question) -> Result<Vec<u8>, QueryError> {
        let failed = |error: ReadError| match error {
            ReadError::TooLong if self.give_up.load(Ordering::Relaxed) => QueryError::Stopping,
            ReadError::TooLong => QueryError::TooLong,
            error => QueryError::Failed(error.to_string()),
        };
        let identity = Identity::of(&self.path).ok().flatten();
        if open.as_ref().is_none_or(|open| identity.is_none() || open.identity != identity) {
            // The old connection goes first: it is to a file that nobody will write any more.
            *open = None;
            *open = Some(Open { reader: Reader::open(&self.path).map_err(failed)?, identity });
        }
        let Some(Open { reader, .. }) = open else { return Err(QueryError::Stopping) };
        let answer = reader.summary(question, &self.give_up);
        if answer.as_ref().is_err_and(|error| !matches!(error, ReadError::TooLong)) {
            *open = None;
        }
        answer.map(|summary| summary.to_json()).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and the file that it is to.
struct Open {
    reader: Reader,
    identity: Option<Identity>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::store::migrate;

    const NOW: i64 = 1_795_458_732_000;

    struct File(PathBuf);

    impl File {
        fn new(name: &str, calls: i64) -> File {
            let path = std::env::temp_dir().join(format!("octrace-queries-{}-{name}", std::process::id()));
            File::fill(&path, calls);
            File(path)
        }

        fn fill(path: &Path, calls: i64) {
            drop(std::fs::remove_file(path));
            let mut conn = Connection::open(path).unwrap();
            migrate::migrate(&mut conn, true, migrate::MIGRATIONS, 1).unwrap();
            let sql =
                "INSERT INTO usage_hourly VALUES (?1, '', 'm', '', '', 'ok', ?2, 0, 0, 0, 0, 0, 0, 0, 0, x'', x'')";
            conn.execute(sql, (NOW - NOW % 3_600_000, calls)).unwrap();
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    fn question() -> Question {
        Question::of(None, None, None, NOW).unwrap()
    }

    fn calls(answer: Result<Vec<u8>, QueryError>) -> i64 {
        let answer: crate::summary::Summary = serde_json::from_slice(&answer.unwrap()).unwrap();
        answer.total.calls
    }

    #[test]
    fn a_file_that_was_replaced_is_opened_anew_and_one_that_is_gone_is_an_error() {
        let file = File::new("replaced", 3);
        let queries = Queries::new(file.0.clone());
        smol::block_on(async {
            assert_eq!(calls(queries.summary(question()).await), 3);
            assert_eq!(calls(queries.summary(question()).await), 3);
            File::fill(&file.0, 8);
            assert_eq!(calls(queries.summary(question()).await), 8);
            std::fs::remove_file(&file.0).unwrap();
            assert!(matches!(queries.summary(question()).await, Err(QueryError::Failed(_))));
            File::fill(&file.0, 9);
            assert_eq!(calls(queries.summary(question()).await), 9);
            queries.close().await;
            assert_eq!(queries.summary(question()).await, Err(QueryError::Stopping));
        });
    }

    #[test]
    fn a_few_questions_wait_and_the_next_is_told_to_come_again() {
        let queries = Queries::new("/nowhere/at.all".into());
        // A thread that takes nothing: as one that reads for its two seconds.
        let (alive, ended) = smol::channel::bounded(1);
        queries.0.lock().ended = Some(ended);
        let ask = || {
            let (reply, answer) = smol::channel::bounded(1);
            queries.take(Job { question: question(), reply }).map(|()| answer)
        };
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask().unwrap()).collect();
        assert!(matches!(ask(), Err(QueryError::Busy)));
        drop(alive);
        smol::block_on(queries.close());
        for answer in waiting {
            assert!(answer.try_recv().is_err_and(|error| error.is_closed()), "nobody is left waiting");
        }
        assert!(matches!(ask(), Err(QueryError::Stopping)));
    }

    #[test]
    fn nothing_is_started_before_the_first_question_and_nothing_is_left_after_the_end() {
        let file = File::new("lazy", 1);
        let queries = Queries::new(file.0.clone());
        assert!(queries.0.lock().ended.is_none());
        smol::block_on(queries.close());
        let queries = Queries::new(file.0.clone());
        assert_eq!(calls(smol::block_on(queries.summary(question()))), 1);
        let ended = queries.0.lock().ended.clone().unwrap();
        smol::block_on(queries.close());
        assert!(ended.is_closed());
        assert_eq!(Arc::strong_count(&queries.0), 1, "the thread holds nothing any more");
    }
}
