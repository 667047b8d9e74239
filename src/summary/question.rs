//! What is asked: a time, in whole hours, and by what its calls are grouped. The same words in a URL and on a command line.

use std::borrow::Cow;

use crate::clock::{HOUR_MS, TAKEN_MS, day_start, hour_start, parse_rfc3339};
use crate::config::parse_duration;
use crate::event::PicoUsd;
use crate::exchange::{percent_decoded, percent_encoded};

/// What is asked of the sums by the hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Start of the first hour, Unix milliseconds.
    pub since_ms: i64,
    /// End of the last hour, Unix milliseconds.
    pub until_ms: i64,
    /// By what calls are grouped: one dimension, or two.
    pub by: Vec<Dimension>,
    /// Start of today (UTC), Unix milliseconds: the day that a budget is of.
    pub today_ms: i64,
    /// What today may cost.
    pub budget: Option<PicoUsd>,
}

/// By what calls can be grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The model that was asked for.
    Model,
    /// Who served it.
    Provider,
    /// Which agent.
    Agent,
    /// Its channel.
    Channel,
    /// The day (UTC).
    Day,
    /// The hour.
    Hour,
    /// How the call ended.
    Status,
}

impl Dimension {
    /// All, in the order in which they are told.
    pub const ALL: [Dimension; 7] = [
        Dimension::Model,
        Dimension::Provider,
        Dimension::Agent,
        Dimension::Channel,
        Dimension::Day,
        Dimension::Hour,
        Dimension::Status,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Model => "model",
            Dimension::Provider => "provider",
            Dimension::Agent => "agent",
            Dimension::Channel => "channel",
            Dimension::Day => "day",
            Dimension::Hour => "hour",
            Dimension::Status => "status",
        }
    }

    /// Whether it is a time, by which groups are sorted.
    pub fn is_time(self) -> bool {
        matches!(self, Dimension::Day | Dimension::Hour)
    }
}

/// A question that cannot be answered: what was wanted, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The parameter, as it was written.
    pub parameter: String,
    /// What is wrong with it; begins with its name.
    pub message: String,
}

/// What is asked by whoever does not say since when.
const SINCE_DEFAULT: &str = "7d";
/// As many dimensions as there may be.
const BY_MAX: usize = 2;
/// What is shown of a value that is refused.
const SHOWN_MAX: usize = 64;

impl Question {
    /// Reads the three parameters; `None` where one is not given. `now_ms` is now, Unix milliseconds.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn of(since: Option<&str>, until: Option<&str>, by: Option<&str>, now_ms: i64) -> Result<Question, Fault> {
        let since_ms = time("since", since.unwrap_or(SINCE_DEFAULT), now_ms)?;
        let until_ms = until.map_or(Ok(now_ms), |until| time("until", until, now_ms))?;
        if until_ms <= since_ms {
            let found = until.unwrap_or("now");
            return Err(fault("until", format!("expected a time after since, got {}", shown(found))));
        }
        Ok(Question {
            since_ms: hour_start(since_ms),
            until_ms: hour_start(until_ms.saturating_add(HOUR_MS - 1)),
            by: by.map_or_else(|| Ok(vec![Dimension::Model]), dimensions)?,
            today_ms: day_start(now_ms),
            budget: None,
        })
    }

    /// Reads the query of a URL: what follows the `?`, or nothing.
    ///
    /// # Errors
    /// The first parameter that is wrong, unknown, or there twice.
    pub fn of_query(query: &str, now_ms: i64) -> Result<Question, Fault> {
        const NAMES: [&str; 3] = ["since", "until", "by"];
        let mut given: [Option<Cow<'_, str>>; NAMES.len()] = [const { None }; NAMES.len()];
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let Some(place) = NAMES.iter().position(|known| *known == name) else {
                return Err(fault(name, format!("expected one of {}, got {}", NAMES.join(", "), shown(name))));
            };
            let decoded = percent_decoded(value);
            let decoded = decoded.ok_or_else(|| fault(name, format!("expected UTF-8, got {}", shown(value))))?;
            if given[place].replace(decoded).is_some() {
                return Err(fault(name, "expected it once, got it twice".to_owned()));
            }
        }
        let [since, until, by] = &given;
        Question::of(since.as_deref(), until.as_deref(), by.as_deref(), now_ms)
    }

    /// The query of a URL that asks the same as these parameters do.
    pub fn query_of(since: Option<&str>, until: Option<&str>, by: Option<&str>) -> String {
        let given = [("since", since), ("until", until), ("by", by)];
        let given =
            given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", percent_encoded(value?, b",:"))));
        given.collect::<Vec<_>>().join("&")
    }
}

/// Unix milliseconds of a time as it is written, or of so long before now.
fn time(name: &str, text: &str, now_ms: i64) -> Result<i64, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let time = match digits {
        true => text.parse().ok().filter(|ms| TAKEN_MS.contains(ms)),
        false => parse_rfc3339(text).or_else(|| {
            let back = parse_duration(text)?;
            Some(now_ms.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX)))
        }),
    };
    time.ok_or_else(|| {
        let wanted = "a time (2026-11-23T18:00:00Z, or Unix milliseconds), or how long ago (24h, 7d)";
        fault(name, format!("expected {wanted}, got {}", shown(text)))
    })
}

fn dimensions(text: &str) -> Result<Vec<Dimension>, Fault> {
    let names = || Dimension::ALL.map(Dimension::name).join(", ");
    let mut by = Vec::with_capacity(BY_MAX);
    for name in text.split(',').map(str::trim) {
        let Some(dimension) = Dimension::ALL.into_iter().find(|dimension| dimension.name() == name) else {
            return Err(fault("by", format!("expected one or two of {}, got {}", names(), shown(name))));
        };
        if by.contains(&dimension) {
            return Err(fault("by", format!("expected two different ones of {}, got {name} twice", names())));
        }
        by.push(dimension);
    }
    match by.len() {
        0..=BY_MAX => Ok(by),
        count => Err(fault("by", format!("expected one or two of {}, got {count}", names()))),
    }
}

fn fault(parameter: &str, message: String) -> Fault {
    let parameter: String = parameter.chars().take(SHOWN_MAX).collect();
    Fault { message: format!("{parameter}: {message}"), parameter }
}

/// A value that was not wanted, short and in one line.
fn shown(text: &str) -> String {
    format!("{:?}", &text[..text.floor_char_boundary(SHOWN_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T18:32:12Z
    const NOW: i64 = 1_795_458_732_000;
    const SIX: i64 = 1_795_456_800_000;
    const DAY: i64 = 24 * HOUR_MS;

    #[test]
    fn a_time_is_widened_to_whole_hours() {
        for (query, since, until) in [
            ("", SIX - 7 * DAY, SIX + HOUR_MS),
            ("since=24h", SIX - DAY, SIX + HOUR_MS),
            ("since=90m&until=30m", SIX - HOUR_MS, SIX + HOUR_MS),
            ("since=2026-11-23T18:59:59.999Z&until=2026-11-23T19:00:00Z", SIX, SIX + HOUR_MS),
            ("since=2026-11-23T20:00:00%2B02:00&until=1795460400001", SIX, SIX + 2 * HOUR_MS),
            ("since=2026-11-23T20:00:00+02:00&until=1795460400000", SIX, SIX + HOUR_MS),
            ("since=0s&until=2026-11-23T18:32:12.001Z", SIX, SIX + HOUR_MS),
        ] {
            let question = Question::of_query(query, NOW).unwrap();
            assert_eq!((question.since_ms, question.until_ms), (since, until), "{query}");
            assert_eq!(question.today_ms, SIX - 18 * HOUR_MS);
        }
    }

    #[test]
    fn calls_are_grouped_by_one_or_two_dimensions() {
        use Dimension::{Agent, Day, Hour, Model};
        for (query, by) in [
            ("", vec![Model]),
            ("by=hour", vec![Hour]),
            ("by=day,model", vec![Day, Model]),
            ("by=agent%2C%20day", vec![Agent, Day]),
        ] {
            assert_eq!(Question::of_query(query, NOW).unwrap().by, by, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_named_with_what_was_wanted_and_found() {
        let long = format!("since={}", "x".repeat(9000));
        for (query, parameter, part) in [
            ("since=yesterday", "since", "got \"yesterday\""),
            ("since=", "since", "expected a time"),
            ("since", "since", "got \"\""),
            ("until=1795458732", "until", "or Unix milliseconds"),
            ("since=-5", "since", "got \"-5\""),
            ("since=7", "since", "got \"7\""),
            ("since=1h&until=2h", "until", "expected a time after since, got \"2h\""),
            ("since=2027-01-01T00:00:00Z", "until", "got \"now\""),
            ("by=", "by", "got \"\""),
            (
                "by=cost",
                "by",
                "expected one or two of model, provider, agent, channel, day, hour, status, got \"cost\"",
            ),
            ("by=model,model", "by", "got model twice"),
            ("by=model,day,hour", "by", "got 3"),
            ("by=model&by=day", "by", "got it twice"),
            ("since=%ff", "since", "expected UTF-8"),
            ("since=%4", "since", "expected UTF-8"),
            ("since=%+4", "since", "expected UTF-8"),
            ("format=csv", "format", "expected one of since, until, by, got \"format\""),
            ("%73ince=1h", "%73ince", "expected one of"),
            (&long, "since", "expected a time"),
        ] {
            let fault = Question::of_query(query, NOW).unwrap_err();
            assert_eq!(fault.parameter, parameter, "{query}");
            assert!(fault.message.starts_with(&format!("{parameter}: ")), "{fault}");
            assert!(fault.message.contains(part) && fault.message.len() < 300, "{fault}");
        }
    }

    #[test]
    fn a_question_survives_its_url() {
        let since = Some("2026-11-20T00:00:00+02:00");
        let query = Question::query_of(since, None, Some("agent, day"));
        assert_eq!(query, "since=2026-11-20T00:00:00%2B02:00&by=agent,%20day");
        let asked = Question::of(since, None, Some("agent, day"), NOW);
        assert_eq!(Question::of_query(&query, NOW), asked);
        assert_eq!(Question::query_of(None, None, None), "");
    }
}
