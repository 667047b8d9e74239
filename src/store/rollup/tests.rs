use super::hourly::ROWS_MAX;
use super::*;
use crate::clock::HOUR_MS;
use crate::event::{LlmTrace, PicoUsd, Source, Status};
use crate::store::plans::empty;
use crate::store::{migrate, prune};

const NOW_MS: i64 = 1_795_000_000_000;
const NOON_MS: i64 = NOW_MS - NOW_MS % DAY_MS + 12 * HOUR_MS;
const FILE_BYTES_MAX: u64 = 50 << 20;

fn call_of(model: &str, channel: &str, timestamp_ms: i64) -> LlmTrace {
    LlmTrace {
        timestamp_ms,
        request_model: model.into(),
        channel: Some(channel.into()),
        input_tokens: Some(100),
        cost: Some(PicoUsd(7)),
        latency_ms: Some(50),
        ..LlmTrace::default()
    }
}

/// Counts calls, and moves one of them to another channel if it is told to.
fn count(conn: &Connection, sizes: Sizes, calls: &[LlmTrace], moved: Option<(&LlmTrace, &str)>) -> Sizes {
    let mut rollup = Rollup::new(conn, &sizes);
    for trace in calls {
        rollup.count(Call::of_event(NOW_MS, trace).share());
    }
    if let Some((trace, channel)) = moved {
        let before = Call::of_event(NOW_MS, trace);
        let mut after = before;
        after.channel = Some(channel);
        rollup.shift(&before, &after);
    }
    rollup.keep().unwrap();
    rollup.write().unwrap()
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0)
}

fn totals(conn: &Connection) -> (i64, i64, i64) {
    let sql = "SELECT sum(calls), sum(input_tokens), sum(cost_picousd) FROM usage_hourly";
    conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[test]
fn an_hour_tells_a_hundred_rows_apart_and_counts_the_others_together() {
    let conn = empty();
    let mut sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
    for n in 0..130 {
        sizes = count(&conn, sizes, &[call_of(&format!("m{n}"), "", NOON_MS)], None);
    }
    let failed = LlmTrace { status: Status::Timeout, ..call_of("m129", "", NOON_MS) };
    sizes = count(&conn, sizes, &[failed, call_of("m3", "", NOON_MS), call_of("m200", "", NOON_MS + HOUR_MS)], None);
    assert_eq!(number(&conn, "SELECT count(*) FROM usage_hourly"), 103);
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE model = 'm3'"), 2);
    let others = "SELECT sum(calls) FROM usage_hourly WHERE model = '(other)' AND provider = '(other)' \
                  AND agent = '(other)' AND channel = '(other)'";
    assert_eq!(number(&conn, others), 31);
    assert_eq!(number(&conn, &format!("{others} AND status = 'timeout'")), 1);
    assert_eq!(totals(&conn), (133, 13_300, 133 * 7));

    // One that was not told apart has learnt its channel, which has a row; and one that is told apart.
    let known = call_of("m5", "", NOON_MS);
    sizes = count(&conn, sizes, &[], Some((&call_of("m129", "", NOON_MS), "")));
    sizes = count(&conn, sizes, &[], Some((&known, "webchat")));
    assert_eq!(number(&conn, others), 32, "the hour has no room for a new row");
    assert_eq!(totals(&conn), (133, 13_300, 133 * 7));
    assert_eq!(super::sizes(&conn, FILE_BYTES_MAX).unwrap(), sizes);
}

#[test]
fn a_call_that_was_not_told_apart_is_taken_from_where_it_counts() {
    let conn = empty();
    let mut sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
    let target = call_of("m", "webchat", NOON_MS);
    sizes = count(&conn, sizes, &[target], None);
    for n in 0..120 {
        sizes = count(&conn, sizes, &[call_of(&format!("m{n}"), "", NOON_MS)], None);
    }
    let late = call_of("m", "", NOON_MS);
    sizes = count(&conn, sizes, std::slice::from_ref(&late), None);
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE model = '(other)'"), 22);
    sizes = count(&conn, sizes, &[], Some((&late, "webchat")));
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE model = '(other)'"), 21);
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE model = 'm'"), 2);
    // What is nowhere is not moved, and so not counted twice.
    let nowhere = LlmTrace { latency_ms: Some(86_000_000), ..late };
    count(&conn, sizes, &[], Some((&nowhere, "webchat")));
    assert_eq!(totals(&conn), (122, 12_200, 122 * 7));
}

#[test]
fn a_full_table_counts_by_the_day_and_goes_on_telling_apart_what_it_knows() {
    let conn = empty();
    let mut full = sizes(&conn, FILE_BYTES_MAX).unwrap();
    full = count(&conn, full, &[call_of("known", "", NOON_MS)], None);
    full.usage.rows = ROWS_MAX;
    let calls = [call_of("known", "", NOON_MS), call_of("new", "", NOON_MS), call_of("new", "", NOON_MS + HOUR_MS)];
    full = count(&conn, full, &calls, None);
    assert_eq!(full.usage.rows, ROWS_MAX + 1);
    let day = format!("SELECT calls FROM usage_hourly WHERE model = '(other)' AND hour = {}", NOON_MS - 12 * HOUR_MS);
    assert_eq!(number(&conn, &day), 2);
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE model = 'known'"), 2);
    count(&conn, full, &[], Some((&call_of("new", "", NOON_MS), "webchat")));
    assert_eq!(totals(&conn), (4, 400, 28));
}

#[test]
fn a_row_that_its_last_call_leaves_is_gone() {
    let conn = empty();
    let sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
    let call = call_of("m", "", NOON_MS);
    let after = count(&conn, sizes, std::slice::from_ref(&call), None);
    let after = count(&conn, after, &[], Some((&call, "webchat")));
    assert_eq!(number(&conn, "SELECT count(*) FROM usage_hourly"), 1);
    assert_eq!(number(&conn, "SELECT calls FROM usage_hourly WHERE channel = 'webchat'"), 1);
    assert_eq!(super::sizes(&conn, FILE_BYTES_MAX).unwrap(), after);
}

#[test]
fn a_request_with_ever_new_names_is_written_in_parts_and_counts_whole() {
    let conn = empty();
    let sizes = sizes(&conn, 4 << 30).unwrap();
    let calls: Vec<LlmTrace> = (0..3000).map(|n| call_of(&format!("m{n}"), "", NOON_MS - (n / 50) * HOUR_MS)).collect();
    let after = count(&conn, sizes, &calls, None);
    let after = count(&conn, after, &calls, None);
    assert_eq!(totals(&conn), (6000, 600_000, 42_000));
    assert_eq!((after.usage.rows, number(&conn, "SELECT min(calls) FROM usage_hourly")), (3000, 2));
    assert_eq!(super::sizes(&conn, 4 << 30).unwrap(), after);
}

#[test]
fn hours_whose_time_is_over_go_and_those_of_a_table_that_is_too_large() {
    let mut conn = empty();
    let mut sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
    let calls: Vec<LlmTrace> = (0..100).map(|n| call_of("m", "", NOON_MS - n * HOUR_MS)).collect();
    sizes = count(&conn, sizes, &calls, None);
    assert!(!let_go(&mut conn, &mut sizes, NOON_MS + 300 * DAY_MS).unwrap());
    let mut steps = 0;
    while let_go(&mut conn, &mut sizes, NOON_MS + KEPT_MS - 10 * HOUR_MS + 1).unwrap() {
        steps += 1;
    }
    assert_eq!((steps, totals(&conn).0), (12, 10), "89 hours are older, in steps of 8");
    assert_eq!(super::sizes(&conn, FILE_BYTES_MAX).unwrap(), sizes);

    sizes.usage.bytes_max = sizes.usage.bytes / 2;
    while let_go(&mut conn, &mut sizes, NOON_MS).unwrap() {}
    assert_eq!(number(&conn, "SELECT count(*) FROM usage_hourly"), 5, "the newest are left");
    assert_eq!(number(&conn, "SELECT max(hour) FROM usage_hourly"), NOON_MS);
}

#[test]
fn what_the_sizes_say_is_no_less_than_two_thirds_of_what_the_file_takes() {
    let conn = empty();
    let pages = |conn: &Connection| number(conn, "PRAGMA page_count") * 4096;
    let before = pages(&conn);
    let mut sizes = sizes(&conn, 4 << 30).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    // Hours in any order, so that pages are split in the middle.
    for _ in 0..300 {
        let hour = NOON_MS - random.i64(0..2000) * HOUR_MS;
        let names: Vec<String> = (0..8).map(|_| format!("model-{}", random.u32(0..30))).collect();
        let calls: Vec<LlmTrace> = names.iter().map(|name| call_of(name, "webchat", hour)).collect();
        sizes = count(&conn, sizes, &calls, None);
    }
    let taken = pages(&conn) - before;
    let per_row = taken / sizes.usage.rows;
    eprintln!(
        "{} rows of usage_hourly take {taken} bytes, {per_row} each, said are {}",
        sizes.usage.rows, sizes.usage.bytes
    );
    assert!(sizes.usage.bytes * 3 / 2 >= taken, "{} said, {taken} taken", sizes.usage.bytes);
}

#[test]
fn a_time_that_nobody_can_believe_is_taken_for_the_arrival() {
    let hour = |ms: i64| ms - ms.rem_euclid(HOUR_MS);
    let late = NOW_MS - KEPT_MS;
    for (timestamp_ms, wanted) in [
        (NOW_MS - HOUR_MS, hour(NOW_MS - HOUR_MS)),
        (late, hour(late)),
        (late - 1, hour(NOW_MS)),
        (NOW_MS + DAY_MS, hour(NOW_MS + DAY_MS)),
        (NOW_MS + DAY_MS + 1, hour(NOW_MS)),
        (0, hour(NOW_MS)),
        (i64::MIN, hour(NOW_MS)),
        (i64::MAX, hour(NOW_MS)),
    ] {
        assert_eq!(hour_of(timestamp_ms, NOW_MS), wanted, "{timestamp_ms}");
    }
    assert_eq!(hour_of(-1, 1), -HOUR_MS);
}

#[test]
fn a_file_of_schema_1_is_added_up_when_it_is_migrated_and_again_after_a_rollback() {
    let mut conn = Connection::open_in_memory().unwrap();
    let one = migrate::Migration { ..migrate::MIGRATIONS[0] };
    migrate::migrate(&mut conn, true, std::slice::from_ref(&one), 1).unwrap();
    let store = |conn: &Connection, from: i64, to: i64| {
        for n in from..to {
            let sql = "INSERT INTO llm_traces (trace_id, timestamp, received_at, request_model, operation, input_tokens, \
                       cost_source, status, unit, text_truncated, source) \
                       VALUES (?1, ?2, ?2, 'm', 'chat', 10, 'none', 'ok', ?3, 0, 'otlp_pb')";
            let unit = if n % 10 == 0 { "turn_sum" } else { "request" };
            conn.execute(sql, (n.to_string(), NOW_MS, unit)).unwrap();
        }
        prune::book_stored(conn, crate::event::Table::LlmTraces, to - from).unwrap();
    };
    store(&conn, 0, 2500);
    for (all, removed) in [(2500, 0), (3600, 700)] {
        migrate::migrate(&mut conn, false, migrate::MIGRATIONS, 2).unwrap();
        let mut sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
        catch_up(&mut conn, &mut sizes).unwrap();
        catch_up(&mut conn, &mut sizes).unwrap();
        assert_eq!(number(&conn, "SELECT sum(calls) FROM usage_hourly"), all / 10 * 9);
        assert_eq!(number(&conn, "SELECT row_tokens FROM coverage_hourly"), all * 9);
        assert_eq!(number(&conn, "SELECT unpriced FROM usage_hourly"), all / 10 * 9);
        assert_eq!(super::sizes(&conn, FILE_BYTES_MAX).unwrap(), sizes);
        // The older program again: it removes rows and stores others.
        migrate::migrate(&mut conn, false, std::slice::from_ref(&one), 3).unwrap();
        conn.execute("DELETE FROM llm_traces WHERE id <= ?1", [700 - removed]).unwrap();
        store(&conn, all, all + 1100);
    }
}

#[test]
fn the_report_leaves_out_what_the_counters_have_not_come_to_yet() {
    let conn = empty();
    let now_ms = NOON_MS + 15 * 60_000;
    let sizes = sizes(&conn, FILE_BYTES_MAX).unwrap();
    let call = |hours: i64| LlmTrace {
        source: Source::OtlpPb,
        service_name: Some("openclaw".into()),
        ..call_of("m", "", now_ms - hours * HOUR_MS)
    };
    let mut rollup = Rollup::new(&conn, &sizes);
    for hours in [0, 0, 1, 5, 23, 24, 40, 13] {
        rollup.count(Call::of_event(now_ms, &call(hours)).share());
    }
    rollup.count(Call::of_event(now_ms, &LlmTrace { cost: None, ..call(0) }).share());
    let point = |timestamp_ms: i64| CounterPoint {
        service_name: "openclaw".into(),
        series: [0; 16],
        start_ms: 1,
        timestamp_ms,
        is_cumulative: true,
        counted: Counted::Tokens,
        value: 0,
    };
    rollup.report("openclaw".into(), &point(now_ms), 150, now_ms);
    rollup.report("openclaw".into(), &point(now_ms - HOUR_MS), 80, now_ms);
    rollup.keep().unwrap();
    rollup.write().unwrap();
    assert_eq!(report(&conn, now_ms).unwrap().coverage, [], "nobody counts");
    let counter = "INSERT INTO counter_series VALUES (x'00', 'openclaw', 1, 1, 1, ?1)";
    conn.execute(counter, [now_ms]).unwrap();

    let told = report(&conn, now_ms).unwrap();
    assert_eq!((told.day_ms, told.day_cost, told.day_unpriced), (NOON_MS - 12 * HOUR_MS, PicoUsd(28), 1));
    let [coverage] = &told.coverage[..] else { panic!("{told:?}") };
    // 15 minutes after its end the hour before counts as it is, this hour no more than it has counted.
    assert_eq!((coverage.row_tokens, coverage.reported_tokens), (150 + 100 + 100 + 100 + 100, 230));
    assert_eq!(coverage.row_calls, 4, "no calls were counted for this hour");
    let before = report(&conn, NOON_MS + 10 * 60_000).unwrap();
    assert_eq!(before.coverage[0].row_tokens, 150 + 80 + 100 + 100 + 100);
    assert_eq!(report(&conn, now_ms + 3 * DAY_MS).unwrap().coverage, []);
}
