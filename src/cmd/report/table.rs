//! A summary as a person reads it: 80 columns, whatever is in it.
//!
//! Of the columns of figures those go first that say nothing in any row. What is still too wide loses the space between
//! columns, then the ends of names ([`NAME_MIN`]), then columns in the order of [`DROPPED`]. The header says most of what a
//! column would have said.

use std::borrow::Cow;

use crate::cmd::width::{cut, plain, width};
use crate::event::Verdict;
use crate::summary::{Line, OTHER, ServiceCoverage, Summary};

/// What a terminal has, and a mail.
const WIDTH: usize = 80;
/// Names are cut no shorter than this, one or each of two, as long as a column can go instead.
const NAME_MIN: [usize; 2] = [20, 14];
/// Where the values of the header begin.
const INDENT: usize = 10;
/// The columns that go, the first first. Cost and calls stay.
const DROPPED: &[&str] = &["reason", "write", "unpr", "p99", "p50", "err", "cache", "ttft", "out", "in", "p95"];

/// The whole text.
pub(super) fn text(summary: &Summary, source: &str) -> String {
    let mut text = format!("{}\n{} to {} UTC\n\n", plain(source), minute(&summary.since), minute(&summary.until));
    if summary.rows.is_empty() {
        text.push_str(&nothing(summary));
        header(&mut text, &coverage(&summary.coverage));
        return text;
    }
    header(&mut text, &[("cost", cost_line(&summary.total)), ("unpriced", unpriced_line(summary))]);
    header(&mut text, &[("budget", budget_line(summary))]);
    header(&mut text, &coverage(&summary.coverage));
    text.push('\n');
    table(&mut text, summary);
    text
}

/// What to do when there is nothing to show.
fn nothing(summary: &Summary) -> String {
    match &summary.recorded_since {
        Some(first) => {
            format!("No call is in this time. There are calls from {} UTC on:\nwiden it with --since.\n", minute(first))
        }
        None if summary.coverage.iter().any(|service| !is_unknown(service)) => {
            "No call was recorded yet, of those that an agent has counted:\n\n".to_owned()
        }
        None => "Nothing was recorded yet. To connect an agent, send its telemetry to a sidecar:\n\
                 \n  OpenClaw   diagnostics.otel: enabled, traces and metrics true, protocol\n\
                 \x20            http/protobuf, endpoint http://127.0.0.1:9090\n\
                 \x20 any other  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9090\n\
                 \x20 by hand    curl http://127.0.0.1:9090/v1/traces \\\n\
                 \x20              -H 'Content-Type: application/json' -d '{\"model\":\"test\"}'\n\
                 \nIts /health says what came in, under \"signals\" and \"ignored_names\".\n"
            .to_owned(),
    }
}

/// `2026-11-23 18:00` of RFC 3339.
fn minute(time: &str) -> String {
    let (day, rest) = time.split_once('T').unwrap_or((time, ""));
    let minute = rest.get(..5).unwrap_or_default();
    format!("{day} {minute}").trim_end().to_owned()
}

/// `2026-11-23 18h`: no wider than [`NAME_MIN`], so that it is never cut.
fn hour(time: &str) -> String {
    let (day, rest) = time.split_once('T').unwrap_or((time, ""));
    format!("{day} {}h", rest.get(..2).unwrap_or_default())
}

fn cost_line(total: &Line) -> String {
    let at_least = if total.unpriced > 0 { "at least " } else { "" };
    let calls = counted(total.calls, "call", "calls");
    let mut line = format!("{at_least}{} for {calls}", dollars(total.cost_usd));
    if total.turn_sums > 0 {
        line += &format!(" and {}", counted(total.turn_sums, "sum of a turn", "sums of turns"));
    }
    if total.errors > 0 {
        line += &format!(", of which {} failed", total.errors);
    }
    line
}

fn unpriced_line(summary: &Summary) -> String {
    if summary.total.unpriced == 0 {
        return String::new();
    }
    let names: Vec<_> = summary.unpriced_models.iter().map(|model| plain(model)).collect();
    let rows = counted(summary.total.unpriced, "call has", "calls have");
    format!("{rows} tokens and no known price: {}", names.join(", "))
}

fn budget_line(summary: &Summary) -> String {
    let Some(budget) = &summary.budget else { return String::new() };
    let (spent, limit) = (dollars(budget.spent_usd), dollars(budget.limit_usd));
    let crossed = if budget.crossed { ": spent" } else { "" };
    format!("{spent} of {limit} on {}, {} %{crossed}", budget.day, budget.percent)
}

fn is_unknown(service: &ServiceCoverage) -> bool {
    service.verdict == Verdict::Unknown.as_str()
}

/// A line for every service; one for all that have nothing to compare with.
fn coverage(services: &[ServiceCoverage]) -> Vec<(&'static str, String)> {
    let name = |service: &ServiceCoverage| match service.service_name.as_str() {
        "" => "a service without a name".to_owned(),
        name => plain(name).into_owned(),
    };
    let (unknown, known): (Vec<_>, Vec<_>) = services.iter().partition(|service| is_unknown(service));
    let mut lines: Vec<String> = known
        .iter()
        .map(|service| match (&service.reason, service.ratio) {
            (Some(reason), _) => format!("{}: {reason}", name(service)),
            (None, Some(ratio)) => {
                let (verdict, percent) = (&service.verdict, (ratio * 100.0).round());
                format!("{}: {verdict}, rows have {percent} % of the tokens that it counted itself", name(service))
            }
            (None, None) => {
                let (verdict, calls) = (&service.verdict, service.row_calls);
                let counted = counted(service.reported_calls, "call", "calls");
                format!("{}: {verdict}, {calls} in rows of {counted} that it counted itself", name(service))
            }
        })
        .collect();
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.into_iter().map(name).collect();
        lines.push(format!("unknown for {}: no metrics to compare with", names.join(", ")));
    }
    let labels = ["coverage"].into_iter().chain(std::iter::repeat(""));
    labels.zip(lines).collect()
}

/// Labelled lines, each broken to the width; an empty one is left out.
fn header(text: &mut String, lines: &[(&str, String)]) {
    for (label, line) in lines.iter().filter(|(_, line)| !line.is_empty()) {
        let mut written = format!("{label:<INDENT$}");
        let mut at = INDENT;
        for word in line.split(' ') {
            let word = cut(word, WIDTH - INDENT);
            let gap = usize::from(at > INDENT);
            if at + gap + width(&word) > WIDTH {
                text.push_str(written.trim_end());
                text.push('\n');
                (written, at) = (" ".repeat(INDENT), INDENT);
            } else if gap == 1 {
                written.push(' ');
                at += 1;
            }
            at += width(&word);
            written.push_str(&word);
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
}

/// A column of figures: its title, and its cells from the first row to the total.
struct Figures {
    title: &'static str,
    cells: Vec<String>,
    width: usize,
}

impl Figures {
    /// `None` where no row has anything to say.
    fn of(title: &'static str, lines: &[&Line], cell: impl Fn(&Line) -> String) -> Option<Figures> {
        let cells: Vec<String> = lines.iter().map(|line| cell(line)).collect();
        let keeps = ["cost", "calls"].contains(&title) || cells.iter().any(|cell| !["0", "-"].contains(&cell.as_str()));
        let width = cells.iter().map(String::len).max().unwrap_or(0).max(title.len());
        keeps.then_some(Figures { title, cells, width })
    }
}

fn table(text: &mut String, summary: &Summary) {
    let lines: Vec<&Line> = summary.rows.iter().chain([&summary.total]).collect();
    let times = |times: Option<crate::summary::Percentiles>, which: fn(crate::summary::Percentiles) -> i64| {
        times.map_or_else(|| "-".to_owned(), |times| duration(which(times)))
    };
    let by_status = summary.by.iter().any(|by| by == "status");
    let figures = [
        Figures::of("cost", &lines, cost),
        Figures::of("calls", &lines, |line| short(line.calls)),
        Figures::of("err", &lines, |line| if by_status { "-".to_owned() } else { short(line.errors) }),
        Figures::of("in", &lines, |line| short(line.input_tokens)),
        Figures::of("cache", &lines, |line| short(line.cache_read_tokens)),
        Figures::of("write", &lines, |line| short(line.cache_write_tokens)),
        Figures::of("out", &lines, |line| short(line.output_tokens)),
        Figures::of("reason", &lines, |line| short(line.reasoning_tokens)),
        Figures::of("unpr", &lines, |line| short(line.unpriced)),
        Figures::of("p50", &lines, |line| times(line.latency_ms, |times| times.p50)),
        Figures::of("p95", &lines, |line| times(line.latency_ms, |times| times.p95)),
        Figures::of("p99", &lines, |line| times(line.latency_ms, |times| times.p99)),
        Figures::of("ttft", &lines, |line| times(line.ttft_ms, |times| times.p50)),
    ];
    let names: Vec<Vec<Cow<'_, str>>> = lines.iter().map(|line| names_of(line, summary)).collect();
    let mut titles: Vec<&str> = summary.by.iter().map(String::as_str).collect();
    if titles.is_empty() {
        titles.push("");
    }
    let widest = |place: usize| {
        let names = names.iter().filter_map(|names| names.get(place)).map(|name| width(name));
        names.chain(titles.get(place).map(|title| title.len())).max().unwrap_or(0)
    };
    let wanted: Vec<usize> = (0..titles.len()).map(widest).collect();
    let Fit { figures, gap, names: widths } = fit(figures.into_iter().flatten().collect(), &wanted);
    let gap = " ".repeat(gap);

    let mut row = |names: &[Cow<'_, str>], cell: &dyn Fn(&Figures) -> String| {
        let mut line = String::new();
        for (place, columns) in widths.iter().enumerate() {
            let name = names.get(place).map_or(Cow::Borrowed(""), |name| cut(name, *columns));
            if place > 0 {
                line.push_str(&gap);
            }
            line.push_str(&name);
            line.push_str(&" ".repeat(columns.saturating_sub(width(&name))));
        }
        for column in &figures {
            line.push_str(&gap);
            line.push_str(&format!("{:>width$}", cell(column), width = column.width));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let titles: Vec<Cow<'_, str>> = titles.into_iter().map(Cow::Borrowed).collect();
    row(&titles, &|column| column.title.to_owned());
    for (place, names) in names.iter().enumerate() {
        row(names, &|column| column.cells[place].clone());
    }
}

/// What of the table fits, and how.
struct Fit {
    figures: Vec<Figures>,
    gap: usize,
    names: Vec<usize>,
}

fn fit(mut figures: Vec<Figures>, wanted: &[usize]) -> Fit {
    let least = NAME_MIN[usize::from(wanted.len() > 1)];
    let mut dropped = DROPPED.iter();
    loop {
        let columns = wanted.len() + figures.len() - 1;
        let taken: usize = figures.iter().map(|column| column.width).sum();
        for gap in [2, 1] {
            let room = WIDTH.saturating_sub(taken + columns * gap);
            if wanted.iter().sum::<usize>() <= room {
                return Fit { figures, gap, names: wanted.to_vec() };
            }
            if gap == 1 && wanted.iter().map(|columns| (*columns).min(least)).sum::<usize>() <= room {
                return Fit { figures, gap, names: shared(wanted, room) };
            }
        }
        match dropped.next() {
            Some(title) => figures.retain(|column| column.title != *title),
            None => return Fit { names: shared(wanted, WIDTH.saturating_sub(taken + columns)), figures, gap: 1 },
        }
    }
}

/// The room, shared between the names: who needs less than half leaves the rest to the other.
fn shared(wanted: &[usize], room: usize) -> Vec<usize> {
    match wanted {
        [first, second] => {
            let half = room / 2;
            let first = if *first <= half { *first } else { (*first).min(room - (*second).min(room - half)) };
            vec![first, (*second).min(room - first)]
        }
        _ => wanted.iter().map(|columns| (*columns).min(room)).collect(),
    }
}

/// What the group is, in the order in which it was asked; of the total the word for it.
fn names_of<'l>(line: &'l Line, summary: &'l Summary) -> Vec<Cow<'l, str>> {
    if let Some(groups) = line.groups {
        return vec![Cow::Owned(format!("{OTHER}, {groups} of them"))];
    }
    let name = |by: &String| -> Option<Cow<'l, str>> {
        Some(match by.as_str() {
            "day" => Cow::Borrowed(line.day.as_deref()?),
            "hour" => Cow::Owned(hour(line.hour.as_deref()?)),
            "provider" => shown(line.provider.as_deref()?),
            "model" => shown(line.model.as_deref()?),
            "agent" => shown(line.agent.as_deref()?),
            "channel" => shown(line.channel.as_deref()?),
            _ => shown(line.status.as_deref()?),
        })
    };
    let names: Vec<_> = summary.by.iter().filter_map(name).collect();
    if names.is_empty() { vec![Cow::Borrowed("total")] } else { names }
}

fn shown(name: &str) -> Cow<'_, str> {
    if name.is_empty() { Cow::Borrowed("-") } else { plain(name) }
}

/// Unknown is not zero: `?` where nothing of it is known, a plus where a part is not.
fn cost(line: &Line) -> String {
    match (line.cost_picousd, line.unpriced) {
        (0, 1..) => "?".to_owned(),
        (_, 1..) => dollars(line.cost_usd) + "+",
        _ => dollars(line.cost_usd),
    }
}

fn dollars(usd: f64) -> String {
    match usd {
        0.0 => "$0".to_owned(),
        ..0.0001 => "<$0.0001".to_owned(),
        ..0.995 => format!("${usd:.4}"),
        ..99_999.995 => format!("${usd:.2}"),
        _ => format!("${}", short(usd as i64)),
    }
}

/// `950`, `1.2k`, `34k`, `567k`, `1.2M`.
fn short(number: i64) -> String {
    let mut rest = number as f64;
    for unit in ["", "k", "M", "G", "T", "P", "E"] {
        // What would be rounded to the next unit is told in it.
        match rest {
            _ if unit.is_empty() && number < 1000 => return number.to_string(),
            ..9.95 if !unit.is_empty() => return format!("{rest:.1}{unit}"),
            ..999.5 if !unit.is_empty() => return format!("{rest:.0}{unit}"),
            _ => rest /= 1000.0,
        }
    }
    unreachable!("no i64 is a thousand E, but {number}")
}

fn counted(count: i64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `517ms`, `4.1s`, `42s`, `12m`, `5h`.
fn duration(ms: i64) -> String {
    match ms {
        ..=999 => format!("{ms}ms"),
        1000..9950 => format!("{:.1}s", ms as f64 / 1e3),
        9950..119_500 => format!("{:.0}s", ms as f64 / 1e3),
        119_500..7_170_000 => format!("{:.0}m", ms as f64 / 6e4),
        _ => format!("{:.0}h", ms as f64 / 3.6e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Coverage;
    use crate::summary::{DayBudget, Percentiles};

    fn line(model: &str) -> Line {
        Line {
            model: Some(model.to_owned()),
            calls: 12_345,
            errors: 999,
            input_tokens: 123_456_789,
            output_tokens: 99_999,
            cache_read_tokens: 1_234_567,
            cache_write_tokens: 999,
            reasoning_tokens: 12_345,
            cost_usd: 12_345.678,
            cost_picousd: 12_345_678_000_000_000,
            unpriced: 7,
            latency_ms: Some(Percentiles { p50: 4100, p95: 31_000, p99: 600_000 }),
            ttft_ms: Some(Percentiles { p50: 900, p95: 2000, p99: 3000 }),
            ..Line::default()
        }
    }

    fn summary(by: &[&str], rows: Vec<Line>) -> Summary {
        Summary {
            since: "2026-11-16T18:00:00.000Z".to_owned(),
            until: "2026-11-23T19:00:00.000Z".to_owned(),
            by: by.iter().map(|by| (*by).to_owned()).collect(),
            recorded_since: Some("2026-11-01T00:00:00.000Z".to_owned()),
            total: Line { model: None, ..line("") },
            rows,
            unpriced_models: vec!["x".repeat(256), "y".to_owned()],
            coverage: vec![ServiceCoverage {
                service_name: "z".repeat(256),
                verdict: "incomplete".to_owned(),
                ratio: Some(0.2),
                reason: Some("spend incomplete: ".to_owned() + &"word ".repeat(40)),
                row_calls: 1,
                reported_calls: 5,
                row_tokens: 1,
                reported_tokens: 5,
                row_cost_usd: 0.0,
                reported_cost_usd: 0.0,
            }],
            budget: Some(DayBudget {
                day: "2026-11-23".to_owned(),
                limit_usd: 10.0,
                spent_usd: 12.5,
                spent_picousd: 12_500_000_000_000,
                percent: 125.0,
                crossed: true,
            }),
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_whatever_is_in_it() {
        for name in ["m", &"n".repeat(256), &"\u{6a21}".repeat(99), "a\u{1b}[2Jb\nc"] {
            let row =
                Line { agent: Some(name.to_owned()), hour: Some("2026-11-23T18:00:00Z".to_owned()), ..line(name) };
            for by in [&["model"][..], &["model", "agent"], &["hour", "model"], &["agent", "hour"]] {
                let text = text(&summary(by, vec![row.clone(), row.clone()]), "/data/openclaw-trace.db");
                for line in text.lines() {
                    assert!(width(line) <= WIDTH, "{} columns: {line}", width(line));
                    assert!(!line.contains(char::is_control) && line.trim_end() == line, "{line:?}");
                }
                for title in ["cost", "calls", "in", "out", "p95", "ttft"] {
                    assert!(text.contains(&format!(" {title}")), "no {title} in\n{text}");
                }
            }
        }
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out_and_the_name_has_its_room() {
        let name = "a-rather-long-name-of-a-model-2026-11-23";
        let row = Line { model: Some(name.to_owned()), calls: 3, input_tokens: 5, ..Line::default() };
        let text = text(&Summary { total: Line { model: None, ..row.clone() }, ..summary(&["model"], vec![row]) }, "x");
        let table: Vec<&str> = text.lines().rev().take(3).collect();
        assert_eq!(table[2].split_whitespace().collect::<Vec<_>>(), ["model", "cost", "calls", "in"]);
        assert!(table[1].starts_with(name), "{text}");
    }

    #[test]
    fn figures_are_short_and_none_is_rounded_into_another_unit() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0k"),
            (9949, "9.9k"),
            (9950, "10k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (1_234_567, "1.2M"),
            (i64::MAX, "9.2E"),
        ] {
            assert_eq!(short(number), shown, "{number}");
        }
        for (usd, shown) in [
            (0.0, "$0"),
            (0.000_05, "<$0.0001"),
            (0.001_575, "$0.0016"),
            (0.9949, "$0.9949"),
            (0.996, "$1.00"),
            (12.345, "$12.35"),
            (99_999.99, "$99999.99"),
            (1_234_567.0, "$1.2M"),
        ] {
            assert_eq!(dollars(usd), shown, "{usd}");
        }
        for (ms, shown) in [
            (0, "0ms"),
            (999, "999ms"),
            (4100, "4.1s"),
            (9950, "10s"),
            (90_000, "90s"),
            (720_000, "12m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(duration(ms), shown, "{ms}");
        }
    }

    #[test]
    fn an_unknown_cost_is_not_zero() {
        let line =
            |cost, unpriced| Line { cost_picousd: cost, cost_usd: cost as f64 / 1e12, unpriced, ..Line::default() };
        let shown = [(0, 0), (0, 3), (2_000_000_000_000, 3)]
            .map(|(cost_picousd, unpriced)| cost(&line(cost_picousd, unpriced)));
        assert_eq!(shown, ["$0", "?", "$2.00+"]);
    }

    #[test]
    fn an_empty_time_and_an_empty_file_say_what_to_do() {
        let empty = Summary { rows: Vec::new(), coverage: Vec::new(), ..summary(&["model"], Vec::new()) };
        assert!(text(&empty, "x").contains("There are calls from 2026-11-01 00:00 UTC on:\nwiden it with --since."));
        let never = text(&Summary { recorded_since: None, ..empty }, "x");
        assert!(
            never.contains("Nothing was recorded yet.") && never.contains("OTEL_EXPORTER_OTLP_ENDPOINT="),
            "{never}"
        );
        assert!(never.lines().all(|line| width(line) <= WIDTH), "{never}");
    }

    #[test]
    fn calls_that_only_a_counter_knows_are_not_unknown() {
        let counted = Coverage { service_name: "g".into(), reported_calls: 3, ..Coverage::default() };
        let text = |counted: &Coverage| {
            let coverage = vec![ServiceCoverage::of(counted)];
            text(&Summary { rows: Vec::new(), recorded_since: None, coverage, ..summary(&["model"], Vec::new()) }, "x")
        };
        let missing = text(&counted);
        assert!(missing.contains("No call was recorded yet,") && missing.contains("g: spend incomplete:"), "{missing}");
        let complete = text(&Coverage { row_calls: 3, ..counted });
        assert!(complete.contains("g: complete, 3 in rows of 3 calls that it counted itself\n"), "{complete}");
        let unknown = text(&Coverage { service_name: "g".into(), row_calls: 3, ..Coverage::default() });
        assert!(unknown.contains("unknown for g: no metrics to compare with\n"), "{unknown}");
    }
}
