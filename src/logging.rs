//! The log: one record a line on stderr, logfmt or JSON. Text from outside cannot forge a line.
//!
//! Records carry their facts as key-value pairs (`log::info!(addr:% = addr; "listening")`).
//! A fault that repeats goes through [`Repeats`]: the first time at once, then once a minute.
//!
//! Whoever reads the log may stop reading (a terminal that is held, a log driver that hangs), and stderr is the agent's as
//! well. Nothing of ours waits for it: a line that would have to is dropped, and the next one that is not says how many
//! were.

use std::fmt::Write as _;
use std::io::{Stderr, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::{Clock, rfc3339_utc};
use crate::config::LogFormat;

/// Sends every record of this crate up to `level` to stderr. Does nothing the second time.
pub fn init(format: LogFormat, level: LevelFilter) {
    let logger = Box::new(Logger { format, clock: Clock::real(), dropped: AtomicU64::new(0) });
    // A second call means that somebody (a test) has set up a log before: theirs stays.
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Longer values are cut: an error of a stranger's making must not fill the log.
const VALUE_BYTES_MAX: usize = 1024;

/// A pipe that can be written to takes so much at once (PIPE_BUF): a longer line might wait.
const LINE_BYTES_MAX: usize = 4096;

struct Logger {
    format: LogFormat,
    clock: Clock,
    dropped: AtomicU64,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What the crates below us have to say (ureq and rustls, a line a request) is not ours to log.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (stderr, now) = (std::io::stderr(), rfc3339_utc(self.clock.now_ms()));
        if !takes_a_line(&stderr) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Nobody to tell when stderr is gone; the program goes on.
        drop(stderr.lock().write_all(cut(line(self.format, &now, record)).as_bytes()));
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            log::warn!(dropped; "lines of the log were dropped: nobody took them");
        }
    }

    fn flush(&self) {}
}

/// Whether a write of [`LINE_BYTES_MAX`] would not wait. Others write to it as well: one that fills it between this
/// question and the write makes that wait all the same.
fn takes_a_line(stderr: &Stderr) -> bool {
    let mut watched = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // What cannot be asked (a descriptor that is closed) is left to the write.
    !matches!(poll(&mut watched, PollTimeout::ZERO), Ok(0))
}

/// A line that is too long loses its end, and stays one line.
fn cut(mut line: String) -> String {
    if line.len() > LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX - 1));
        line.push('\n');
    }
    line
}

fn line(format: LogFormat, time: &str, record: &Record<'_>) -> String {
    let level = record.level().as_str().to_ascii_lowercase();
    let mut fields = Fields { format, line: String::with_capacity(160) };
    fields.add("ts", time);
    fields.add("level", &level);
    fields.add("msg", &record.args().to_string());
    // Our own visitor never fails.
    drop(record.key_values().visit(&mut fields));
    match format {
        LogFormat::Logfmt => fields.line + "\n",
        LogFormat::Json => fields.line + "}\n",
    }
}

struct Fields {
    format: LogFormat,
    line: String,
}

impl Fields {
    fn add(&mut self, key: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
        match self.format {
            LogFormat::Logfmt => {
                let gap = if self.line.is_empty() { "" } else { " " };
                let bare = !value.is_empty()
                    && value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'));
                let written = if bare {
                    write!(self.line, "{gap}{key}={value}")
                } else {
                    write!(self.line, "{gap}{key}={}", quoted(value))
                };
                debug_assert!(written.is_ok(), "a String takes what is written");
            }
            LogFormat::Json => {
                self.line.push(if self.line.is_empty() { '{' } else { ',' });
                let written = write!(self.line, "{}:{}", quoted(key), quoted(value));
                debug_assert!(written.is_ok(), "a String takes what is written");
            }
        }
    }
}

/// A JSON string, which logfmt readers understand as well. Control characters are escaped.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.add(key.as_str(), &value.to_string());
        Ok(())
    }
}

/// Decides when a fault that repeats is worth a line.
#[derive(Debug, Default)]
pub struct Repeats {
    logged_at: Option<Duration>,
    unsaid: u64,
}

/// How often a fault that goes on is logged.
const REPEAT_EVERY: Duration = Duration::from_secs(60);

impl Repeats {
    /// The fault happened `count` times more; `uptime` is now ([`Clock::uptime`]). `Some` when it is
    /// to be logged: how often it happened since the last time it was.
    pub fn again(&mut self, count: u64, uptime: Duration) -> Option<u64> {
        self.unsaid += count;
        if self.logged_at.is_some_and(|at| uptime < at + REPEAT_EVERY) {
            return None;
        }
        self.logged_at = Some(uptime);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: LogFormat, message: &str, path: &str) -> String {
        let pairs = [("path", path)];
        let mut record = Record::builder();
        line(format, "T", &record.level(log::Level::Warn).key_values(&pairs).args(format_args!("{message}")).build())
    }

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        assert_eq!(logged(LogFormat::Logfmt, "listening", "/data/x"), "ts=T level=warn msg=listening path=/data/x\n");
        let evil = "a\nlevel=error \"b\"\u{1b}[31m\u{7f}=";
        let line = logged(LogFormat::Logfmt, "two words", evil);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\u{7f}'), "{line}");
        assert!(line.starts_with("ts=T level=warn msg=\"two words\" path=\"a\\nlevel=error \\\"b"), "{line}");
        let json: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, "m", evil)).unwrap();
        assert_eq!((json["level"].as_str(), json["path"].as_str()), (Some("warn"), Some(evil)));
        assert!(logged(LogFormat::Json, "m", &"\u{e9}".repeat(100_000)).len() < 4096);
    }

    #[test]
    fn a_line_of_many_long_values_is_cut_to_what_a_pipe_takes_at_once() {
        let line = cut(format!("{}\n", "\u{e9}".repeat(4000)));
        assert!(line.len() <= LINE_BYTES_MAX && line.ends_with("\u{e9}\n"), "{}", line.len());
        assert_eq!(cut("short\n".to_owned()), "short\n");
    }

    #[test]
    fn a_fault_that_repeats_is_logged_once_a_minute_with_its_count() {
        let mut repeats = Repeats::default();
        let logged: Vec<_> = [0, 1, 59, 60, 61, 200].map(|s| repeats.again(1, Duration::from_secs(s))).into();
        assert_eq!(logged, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
