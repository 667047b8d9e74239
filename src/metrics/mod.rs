//! Everything that is counted, as families of Prometheus: one table, from which both the text of `/metrics` and the JSON of
//! `/debug/stats` are written, so that they cannot differ.
//!
//! A family is always announced, and has samples where there is something to tell. Every set of labels is bounded where it is
//! counted, and so is the answer: [`BYTES_MAX`].

mod families;
mod json;
mod process;
mod text;

use std::fmt;
use std::time::Duration;

pub use process::Process;

use crate::event::PicoUsd;
use crate::stats::Stats;

/// The media type of [`text`](fn@text): version 0.0.4 of the format, which every scraper reads.
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// No answer is longer: with every name that is kept apart, each as long as it may be and all of it to be escaped.
pub const BYTES_MAX: usize = 4 << 20;

/// What the families are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// All that is counted.
    pub stats: &'a Stats,
    /// Of the program.
    pub version: &'static str,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// Time since the start, by the clock that the writer uses.
    pub uptime: Duration,
    /// Why a POST would be refused now, if it would.
    pub refusing: Option<&'a str>,
    /// Size that the file may have.
    pub file_bytes_max: u64,
    /// What a day may cost, if somebody said.
    pub budget_day: Option<PicoUsd>,
    /// Whether the gateway's log is followed.
    pub follows_log: bool,
    /// What the kernel says of us.
    pub process: Process,
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

impl Kind {
    /// The word of the format.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A value as both formats write it. It is finite.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    /// Exactly.
    Whole(i128),
    /// Finite.
    Real(f64),
    /// Dollars, exactly.
    Usd(PicoUsd),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(number) => number.fmt(f),
            Number::Real(number) => number.fmt(f),
            Number::Usd(dollars) => dollars.fmt(f),
        }
    }
}

macro_rules! whole {
    ($($number:ty)*) => { $(impl From<$number> for Number {
        fn from(number: $number) -> Number {
            Number::Whole(number.into())
        }
    })* };
}
whole!(u64 i64 u32);

impl From<bool> for Number {
    fn from(is: bool) -> Number {
        Number::Whole(is.into())
    }
}

impl From<PicoUsd> for Number {
    fn from(dollars: PicoUsd) -> Number {
        Number::Usd(dollars)
    }
}

/// Who writes the families down.
trait Sink {
    /// A family begins.
    fn family(&mut self, name: &str, kind: Kind, help: &str);
    /// A sample of it: its name has this suffix.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Number);
}

/// What `GET /metrics` answers.
pub fn text(facts: &Facts<'_>) -> Vec<u8> {
    let mut text = text::Text::default();
    families::write(facts, &mut text);
    text.end()
}

/// What `GET /debug/stats` answers.
pub fn json(facts: &Facts<'_>) -> Vec<u8> {
    let mut json = json::Json::default();
    families::write(facts, &mut json);
    json.end()
}
