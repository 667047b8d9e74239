use std::sync::Arc;

use super::*;
use crate::event::{Counted, CounterPoint};
use crate::store::plans::empty;
use crate::store::rollup;

const MADE_MS: i64 = 1_795_000_000_000;
const FILE_BYTES_MAX: u64 = 50 << 20;
const MINUTE_MS: i64 = 60_000;

/// Takes the notes of one request.
fn take(conn: &Connection, rooms: &mut Rooms, notes: &[Note], now_ms: i64) {
    let sizes = rollup::sizes(conn, FILE_BYTES_MAX).unwrap();
    let mut rollup = Rollup::new(conn, &sizes);
    let mut taking = Notes::new(conn, *rooms, MADE_MS, now_ms);
    taking.take(notes, &mut rollup).unwrap();
    rollup.keep().unwrap();
    rollup.write().unwrap();
    *rooms = taking.rooms;
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0)
}

fn reported(conn: &Connection) -> i64 {
    number(conn, "SELECT sum(reported_tokens) FROM coverage_hourly")
}

/// A point, `minutes` after the file was made, of a counter that began likewise.
fn point(series: u8, began: i64, minutes: i64, value: i64) -> CounterPoint {
    CounterPoint {
        service_name: "openclaw".into(),
        series: [series; 16],
        start_ms: MADE_MS + began * MINUTE_MS,
        timestamp_ms: MADE_MS + minutes * MINUTE_MS,
        is_cumulative: true,
        counted: Counted::Tokens,
        value,
    }
}

/// What each of these points adds, each in a request of its own.
fn rises(points: &[CounterPoint]) -> Vec<i64> {
    let (conn, mut rooms) = (empty(), Rooms::of_file(FILE_BYTES_MAX));
    let mut before = 0;
    let mut rises = Vec::new();
    for point in points {
        take(&conn, &mut rooms, &[Note::Counter(Box::new(point.clone()))], point.timestamp_ms.max(MADE_MS));
        rises.push(reported(&conn) - before);
        before = reported(&conn);
    }
    rises
}

#[test]
fn a_counter_adds_what_it_rose_by_and_the_same_point_again_nothing() {
    let points =
        [point(1, 0, 1, 100), point(1, 0, 2, 150), point(1, 0, 2, 150), point(1, 0, 1, 100), point(1, 0, 3, 150)];
    assert_eq!(rises(&points), [100, 50, 0, 0, 0]);
}

#[test]
fn a_counter_that_begins_anew_adds_all_it_says_and_what_was_before_comes_too_late() {
    let said = [point(1, 0, 1, 100), point(1, 5, 6, 30), point(1, 0, 4, 120), point(1, 5, 7, 31)];
    assert_eq!(rises(&said), [100, 30, 0, 1]);
    let unsaid = [point(1, 0, 1, 100), point(1, 0, 2, 30), point(1, 0, 3, 31)];
    assert_eq!(rises(&unsaid), [100, 30, 1]);
}

#[test]
fn a_counter_that_began_before_the_file_counts_from_where_it_is_heard() {
    assert_eq!(rises(&[point(1, -10, 1, 100), point(2, -11, 1, 7)]), [100, 7], "its service is known by then");
    assert_eq!(rises(&[point(1, -600, -590, 100)]), [100], "it was read before there was the file");
    assert_eq!(rises(&[point(1, -11, 1, 100), point(1, -11, 2, 101), point(2, -11, 3, 9)]), [0, 1, 9]);
    let without_start = |series, minutes, value| CounterPoint { start_ms: 0, ..point(series, 0, minutes, value) };
    assert_eq!(rises(&[point(9, 0, 1, 5), without_start(1, 2, 100), without_start(1, 3, 101)]), [5, 0, 1]);
    // Two in one request: the first does not make the service a known one.
    let (conn, mut rooms) = (empty(), Rooms::of_file(FILE_BYTES_MAX));
    let both = [1, 2].map(|series| Note::Counter(Box::new(point(series, -60, 1, 100))));
    take(&conn, &mut rooms, &both, MADE_MS + MINUTE_MS);
    assert_eq!(reported(&conn), 0);
}

#[test]
fn a_counter_of_what_came_since_its_last_point_adds_each_point_once() {
    let delta = |minutes, value| CounterPoint { is_cumulative: false, ..point(1, minutes - 1, minutes, value) };
    assert_eq!(rises(&[delta(1, 10), delta(2, 3), delta(2, 3), delta(1, 10), delta(3, 4)]), [10, 3, 0, 0, 4]);
    let without_start = CounterPoint { start_ms: 0, ..delta(1, 6) };
    assert_eq!(rises(&[without_start]), [6]);
}

#[test]
fn what_is_counted_goes_to_its_column_and_service_and_says_since_when() {
    let (conn, mut rooms) = (empty(), Rooms::of_file(FILE_BYTES_MAX));
    let notes =
        [(1, Counted::Calls, 0), (2, Counted::PicoUsd, -1), (3, Counted::Tokens, 1)].map(|(series, counted, began)| {
            Note::Counter(Box::new(CounterPoint { counted, ..point(series, began, 2, i64::from(series)) }))
        });
    take(&conn, &mut rooms, &notes, MADE_MS + 2 * MINUTE_MS);
    let sql = "SELECT service_name, reported_calls, reported_cost_picousd, reported_tokens, counting_since FROM coverage_hourly";
    let row: (String, i64, i64, i64, i64) =
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))).unwrap();
    assert_eq!(row, ("openclaw".to_owned(), 1, 2, 3, MADE_MS - MINUTE_MS));
}

#[test]
fn no_table_beside_the_rows_grows_past_its_limit_and_what_was_silent_longest_goes() {
    for (file_bytes_max, exporters_max, rows_max) in [(50 << 20, 256, 3200), (2 << 20, 128, 128), (1 << 30, 256, 4096)]
    {
        let (conn, mut rooms) = (empty(), Rooms::of_file(file_bytes_max));
        let kept = Note::Exporter { exporter: "kept".into(), tokens_on_calls: true };
        for round in 0..60i64 {
            let mut notes = vec![kept.clone()];
            for n in 0..100 {
                let number = round * 100 + n;
                let id: Box<str> = format!("{number:032x}").into();
                notes.push(Note::Exporter { exporter: Arc::from(&*id), tokens_on_calls: true });
                notes.push(Note::Agent { otel_trace_id: id, agent_name: "main".into() });
                let series = u128::from(number as u64).to_be_bytes();
                notes.push(Note::Counter(Box::new(CounterPoint { series, ..point(0, 0, round, 1) })));
            }
            take(&conn, &mut rooms, &notes, MADE_MS + round * MINUTE_MS);
            for (table, most) in
                [("exporters", exporters_max), ("span_context", rows_max), ("counter_series", rows_max)]
            {
                let rows = number(&conn, &format!("SELECT count(*) FROM {table}"));
                assert!(rows <= most, "{table}: {rows} rows, {most} allowed");
                assert!(round < 50 || rows >= most / 2, "{table}: {rows} rows of {most}");
            }
        }
        assert_eq!(number(&conn, "SELECT count(*) FROM exporters WHERE exporter = 'kept'"), 1);
        let newest =
            "SELECT count(*) FROM counter_series WHERE updated_at = (SELECT max(updated_at) FROM counter_series)";
        assert!(number(&conn, newest) >= 50);
    }
}

#[test]
fn what_a_span_said_first_stays_for_an_hour() {
    let (conn, mut rooms) = (empty(), Rooms::of_file(FILE_BYTES_MAX));
    let run = |channel: Option<&str>, trigger: Option<&str>| Note::Run {
        otel_trace_id: "t".into(),
        otel_span_id: "s".into(),
        channel: channel.map(Box::from),
        trigger: trigger.map(Box::from),
    };
    let hour_ms = 60 * MINUTE_MS;
    for (at_ms, note, channel, trigger, said_ms) in [
        (0, run(Some("webchat"), None), "webchat", None, 0),
        (1, run(Some("cron"), None), "webchat", None, 0),
        (2, run(Some("cron"), Some("user")), "webchat", Some("user"), 2),
        (2 + hour_ms, run(Some("cron"), Some("cron")), "webchat", Some("user"), 2),
        (3 + hour_ms, run(Some("cron"), None), "cron", None, 3 + hour_ms),
    ] {
        take(&conn, &mut rooms, &[note], MADE_MS + at_ms);
        let sql = "SELECT channel, trigger, updated_at FROM span_context";
        let found: (String, Option<String>, i64) =
            conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(found, (channel.to_owned(), trigger.map(str::to_owned), MADE_MS + said_ms), "at {at_ms}");
    }
}

#[test]
fn a_time_told_by_a_clock_that_was_wrong_does_not_stay_for_ever() {
    let (conn, mut rooms) = (empty(), Rooms::of_file(2 << 20));
    let exporter = |n: i64| Note::Exporter { exporter: n.to_string().into(), tokens_on_calls: true };
    let year_ms = 365 * 24 * 60 * MINUTE_MS;
    take(&conn, &mut rooms, &(0..128).map(exporter).collect::<Vec<_>>(), MADE_MS + year_ms);
    take(&conn, &mut rooms, &(200..300).map(exporter).collect::<Vec<_>>(), MADE_MS);
    let of_now = format!("SELECT count(*) FROM exporters WHERE updated_at = {MADE_MS}");
    assert!(number(&conn, &of_now) > 90, "those from the future go first");
    let run = Note::Run {
        otel_trace_id: "t".into(),
        otel_span_id: "s".into(),
        channel: Some("webchat".into()),
        trigger: None,
    };
    take(&conn, &mut rooms, &[run], MADE_MS + year_ms);
    let_go(&conn, MADE_MS).unwrap();
    assert_eq!(number(&conn, "SELECT count(*) FROM span_context"), 0);
}
