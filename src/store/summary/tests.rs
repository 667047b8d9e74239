use super::*;
use crate::clock::HOUR_MS;
use crate::event::Histogram;
use crate::store::plans::{self, plan_of};

/// 2026-11-23T18:32:12Z
const NOW: i64 = 1_795_458_732_000;
const SIX: i64 = 1_795_456_800_000;
const DOLLAR: i64 = 1_000_000_000_000;

fn empty() -> Reader {
    Reader { conn: plans::empty() }
}

/// One row of the table: where it is, and what is in it.
struct Sum<'a> {
    hour: i64,
    /// Provider, model, agent, channel, status.
    names: [&'a str; 5],
    calls: i64,
    tokens: i64,
    cost: i64,
    unpriced: i64,
    times: &'a [i64],
}

const SUM: Sum<'static> = Sum {
    hour: SIX,
    names: ["p", "m", "a", "c", "ok"],
    calls: 1,
    tokens: 100,
    cost: DOLLAR,
    unpriced: 0,
    times: &[500],
};

fn put(reader: &Reader, sum: &Sum<'_>) {
    let mut times = Histogram::default();
    sum.times.iter().for_each(|ms| times.record(*ms));
    let [provider, model, agent, channel, status] = sum.names;
    let sql = "INSERT INTO usage_hourly VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 10, 5, 2, 1, ?9, ?10, ?11, ?11)";
    let params = (
        sum.hour,
        provider,
        model,
        agent,
        channel,
        status,
        sum.calls,
        sum.tokens,
        sum.cost,
        sum.unpriced,
        times.encode(),
    );
    reader.conn.execute(sql, params).unwrap();
}

fn ask(reader: &mut Reader, query: &str) -> Summary {
    reader.summary(&Question::of_query(query, NOW).unwrap(), &Arc::default()).unwrap()
}

fn models(summary: &Summary) -> Vec<&str> {
    summary.rows.iter().map(|line| line.model.as_deref().unwrap()).collect()
}

#[test]
fn groups_are_told_the_dearest_first_and_the_total_is_all_of_them() {
    let mut reader = empty();
    for (model, agent, status, cost, tokens) in [
        ("cheap", "x", "ok", 0, 5),
        ("dear", "x", "ok", 2 * DOLLAR, 1),
        ("dear", "x", "error", DOLLAR, 1),
        ("dear", "y", "timeout", DOLLAR, 1),
        ("busy", "y", "ok", 0, 99),
    ] {
        put(&reader, &Sum { names: ["p", model, agent, "", status], cost, tokens, ..SUM });
    }
    put(&reader, &Sum { names: ["p", "cheap", "z", "", "ok"], times: &[], cost: 0, tokens: 1, unpriced: 3, ..SUM });
    put(&reader, &Sum { names: ["p", "other", "z", "", "ok"], hour: SIX + HOUR_MS, ..SUM });
    put(&reader, &Sum { names: ["p", "other", "z", "", "ok"], hour: SIX - 24 * HOUR_MS, ..SUM });

    let summary = ask(&mut reader, "since=18h");
    assert_eq!(models(&summary), ["dear", "busy", "cheap"]);
    let dear = &summary.rows[0];
    assert_eq!((dear.calls, dear.errors, dear.input_tokens, dear.output_tokens), (3, 2, 3, 30));
    assert_eq!((dear.cost_picousd, dear.cost_usd, dear.unpriced), (4 * DOLLAR, 4.0, 0));
    assert_eq!((dear.cache_read_tokens, dear.cache_write_tokens, dear.reasoning_tokens), (15, 6, 3));
    assert_eq!((summary.rows[2].calls, summary.rows[2].unpriced), (2, 3));
    let total = &summary.total;
    assert_eq!((total.calls, total.errors, total.cost_picousd, total.unpriced), (6, 2, 4 * DOLLAR, 3));
    assert_eq!(total.latency_ms, Some(Percentiles { p50: 524, p95: 524, p99: 524 }));
    assert_eq!((total.model.as_ref(), total.groups), (None, None));
    assert_eq!(summary.unpriced_models, ["cheap"]);
    assert_eq!(
        (summary.since.as_str(), summary.until.as_str()),
        ("2026-11-23T00:00:00.000Z", "2026-11-23T19:00:00.000Z")
    );
    assert_eq!(summary.recorded_since.as_deref(), Some("2026-11-22T18:00:00.000Z"));

    let summary = ask(&mut reader, "since=18h&by=agent,status");
    let groups = summary.rows.iter().map(|line| [&line.agent, &line.status].map(|name| name.clone().unwrap()));
    assert_eq!(groups.collect::<Vec<_>>(), [["x", "ok"], ["x", "error"], ["y", "timeout"], ["y", "ok"], ["z", "ok"]]);
    assert_eq!(summary.rows[4].latency_ms, None);
}

#[test]
fn times_are_told_in_their_order_and_within_one_the_dearest_first() {
    let mut reader = empty();
    for (hour, model, cost) in [(SIX, "a", 1), (SIX, "b", 2), (SIX - HOUR_MS, "a", 9), (SIX - 20 * HOUR_MS, "a", 5)] {
        put(&reader, &Sum { hour, names: ["p", model, "", "", "ok"], cost, ..SUM });
    }
    let summary = ask(&mut reader, "by=model,hour");
    let told = |summary: &Summary, time: fn(&Line) -> Option<String>| -> Vec<(String, String)> {
        summary.rows.iter().map(|line| (time(line).unwrap(), line.model.clone().unwrap())).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(time, model)| ((*time).to_owned(), (*model).to_owned())).collect()
    };
    let hours = [
        ("2026-11-22T22:00:00Z", "a"),
        ("2026-11-23T17:00:00Z", "a"),
        ("2026-11-23T18:00:00Z", "b"),
        ("2026-11-23T18:00:00Z", "a"),
    ];
    assert_eq!(told(&summary, |line| line.hour.clone()), pairs(&hours));
    let summary = ask(&mut reader, "by=day,model");
    let days = [("2026-11-22", "a"), ("2026-11-23", "a"), ("2026-11-23", "b")];
    assert_eq!(told(&summary, |line| line.day.clone()), pairs(&days));
    assert_eq!(summary.rows[1].cost_picousd, 10);
}

#[test]
fn what_is_more_than_can_be_told_is_one_line_that_says_how_much_it_is() {
    let mut reader = empty();
    let count = GROUPS_MAX as i64 + 7;
    for n in 0..count {
        let (model, hour) = (format!("m{n}"), SIX - n * HOUR_MS);
        put(&reader, &Sum { hour, names: ["p", &model, "", "", "ok"], cost: n, times: &[n], ..SUM });
    }
    let summary = ask(&mut reader, "since=90d");
    assert_eq!(summary.rows.len(), GROUPS_MAX + 1);
    assert_eq!(summary.rows[0].cost_picousd, count - 1);
    let other = summary.rows.last().unwrap();
    assert_eq!((other.model.as_deref(), other.groups, other.calls), (Some(OTHER), Some(7), 7));
    assert_eq!(other.cost_picousd, (0..7).sum::<i64>());
    assert_eq!((summary.total.calls, summary.total.cost_picousd), (count, (0..count).sum::<i64>()));

    let summary = ask(&mut reader, "since=90d&by=hour");
    let other = summary.rows.last().unwrap();
    assert_eq!((other.hour.as_deref(), other.groups), (Some(OTHER), Some(7)));
    assert_eq!(summary.rows[GROUPS_MAX - 1].hour.as_deref(), Some("2026-11-23T18:00:00Z"), "the latest are kept");
    assert_eq!(summary.total.calls, count);
}

#[test]
fn every_grouping_adds_up_to_what_sql_makes_of_the_same_rows() {
    let mut random = fastrand::Rng::with_seed(8);
    let mut reader = empty();
    let mut times = Histogram::default();
    for hour in 0..60 {
        for n in 0..random.i64(0..30) {
            let names = [0, 1, 2, 3].map(|_| ["a", "b", "\u{e9}", ""][random.usize(..4)]);
            let model = format!("{}{n}", names[1]);
            let status = ["ok", "error", "timeout", "cancelled"][random.usize(..4)];
            let names = [names[0], &model, names[2], names[3], status];
            let ms: Vec<i64> = (0..random.usize(..9)).map(|_| random.i64(0..90_000)).collect();
            ms.iter().for_each(|ms| times.record(*ms));
            let (calls, cost, tokens) = (random.i64(0..5), random.i64(0..DOLLAR), random.i64(0..9999));
            let hour = SIX - hour * HOUR_MS;
            put(&reader, &Sum { hour, names, calls, cost, tokens, times: &ms, unpriced: random.i64(0..2) });
        }
    }
    for (one, two) in (0..7).flat_map(|one| (0..7).map(move |two| (one, two))).filter(|(one, two)| one != two) {
        let [one, two] = [one, two].map(|n| Dimension::ALL[n]);
        let query = format!("by={},{}", one.name(), two.name());
        let summary = ask(&mut reader, &query);
        let [a, b] = [one, two].map(|dimension| match dimension {
            Dimension::Day => "hour / 86400000",
            dimension => dimension.name(),
        });
        let sql = format!(
            "SELECT sum(calls), sum(input_tokens), sum(cost_picousd), sum(unpriced), \
             sum(CASE status WHEN 'ok' THEN 0 ELSE calls END) FROM usage_hourly GROUP BY {a}, {b} ORDER BY 3, 2, 1"
        );
        let mut statement = reader.conn.prepare(&sql).unwrap();
        let columns = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]);
        let wanted: Vec<[i64; 5]> = statement.query_map([], columns).unwrap().map(Result::unwrap).collect();
        drop(statement);
        let numbers = |line: &Line| [line.calls, line.input_tokens, line.cost_picousd, line.unpriced, line.errors];
        let mut found: Vec<[i64; 5]> = summary.rows.iter().map(numbers).collect();
        found.sort_by_key(|[calls, tokens, cost, ..]| (*cost, *tokens, *calls));
        assert_eq!(found, wanted, "{query}");
        assert_eq!(
            numbers(&summary.total),
            [0, 1, 2, 3, 4].map(|n| wanted.iter().map(|sums| sums[n]).sum::<i64>()),
            "{query}"
        );
        assert_eq!(summary.total.latency_ms, Percentiles::of(&times), "{query}");
    }
}

#[test]
fn services_are_compared_with_what_they_counted_in_the_same_hours() {
    let mut reader = empty();
    for (hour, service, rows, reported) in
        [(SIX, "half", 50, 100), (SIX - HOUR_MS, "half", 0, 100), (SIX, "", 7, 0), (SIX - 99 * HOUR_MS, "old", 1, 1)]
    {
        let sql = "INSERT INTO coverage_hourly VALUES (?1, ?2, ?3 > 0, ?3, 5, 0, ?4, 6, 0)";
        reader.conn.execute(sql, (hour, service, rows, reported)).unwrap();
    }
    let summary = ask(&mut reader, "since=24h");
    let told = summary.coverage.iter().map(|c| (c.service_name.as_str(), c.verdict.as_str(), c.ratio));
    assert_eq!(told.collect::<Vec<_>>(), [("", "unknown", None), ("half", "incomplete", Some(0.25))]);
    let half = &summary.coverage[1];
    assert!(half.reason.as_ref().unwrap().contains("rows have 25 %"), "{half:?}");
    assert_eq!((half.row_calls, half.reported_calls, half.row_cost_usd), (1, 0, 1e-11));
}

#[test]
fn the_budget_is_compared_with_the_whole_day_whatever_is_asked() {
    let mut reader = empty();
    for (hour, cost) in [(SIX, 1), (SIX - 18 * HOUR_MS, 2), (SIX - 19 * HOUR_MS, 4)] {
        put(&reader, &Sum { hour, cost: cost * DOLLAR, ..SUM });
    }
    let question = Question::of_query("since=1h", NOW).unwrap();
    let question = Question { budget: Some(PicoUsd(4 * DOLLAR)), ..question };
    let summary = reader.summary(&question, &Arc::default()).unwrap();
    assert_eq!(summary.budget, Some(DayBudget::of(PicoUsd(4 * DOLLAR), question.today_ms, PicoUsd(3 * DOLLAR))));
    assert_eq!(summary.total.cost_picousd, DOLLAR);
}

#[test]
fn sums_stop_at_the_largest_integer() {
    let mut reader = empty();
    for model in ["a", "b"] {
        put(&reader, &Sum { names: ["p", model, "", "", "ok"], cost: i64::MAX, tokens: i64::MAX, ..SUM });
    }
    let total = ask(&mut reader, "").total;
    assert_eq!((total.cost_picousd, total.input_tokens), (i64::MAX, i64::MAX));
}

#[test]
fn a_question_that_is_given_up_ends_and_the_next_one_is_answered() {
    let mut reader = empty();
    for n in 0..2000 {
        put(&reader, &Sum { names: ["p", &n.to_string(), "", "", "ok"], ..SUM });
    }
    let question = Question::of_query("", NOW).unwrap();
    let given_up = reader.summary(&question, &Arc::new(AtomicBool::new(true)));
    assert!(matches!(given_up, Err(ReadError::TooLong)), "{given_up:?}");
    assert_eq!(ask(&mut reader, "").total.calls, 2000);
}

#[test]
fn counts_that_nobody_wrote_are_an_error_and_no_percentiles() {
    let mut reader = empty();
    put(&reader, &SUM);
    reader.conn.execute("UPDATE usage_hourly SET ttft_buckets = x'00'", []).unwrap();
    let refused = reader.summary(&Question::of_query("", NOW).unwrap(), &Arc::default());
    assert!(matches!(refused, Err(ReadError::NotSums)), "{refused:?}");
}

#[test]
fn nothing_recorded_is_a_summary_of_nothing() {
    let summary = ask(&mut empty(), "");
    assert_eq!((summary.total, summary.rows, summary.recorded_since), (Line::default(), Vec::new(), None));
}

#[test]
fn hours_are_found_by_the_primary_key_and_never_by_a_scan_or_a_sort() {
    let reader = empty();
    for sql in [SUMS, RANKS, COSTS, COVERAGE, FIRST] {
        let plan = plan_of(&reader.conn, sql);
        let wanted = if sql == FIRST { "SEARCH usage_hourly" } else { "USING PRIMARY KEY (hour>? AND hour<?)" };
        assert!(plan.contains(wanted) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{sql}: {plan}");
    }
}
