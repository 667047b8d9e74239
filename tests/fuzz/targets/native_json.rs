//! Any bytes as native JSON. The first one says to which path, and whether with a key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openclaw_trace::event::Table;
use openclaw_trace::wire::native::{Context, parse};
use openclaw_trace_fuzz::{ITEMS_MAX, NOW_MS, TEXT, check};

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let table = [Table::LlmTraces, Table::CustomEvents, Table::ErrorEvents][usize::from(choice % 3)];
    let idempotency_key = (choice & 4 > 0).then_some("key");
    let context = Context { now_ms: NOW_MS, text: TEXT, idempotency_key, items_max: ITEMS_MAX };
    let mut events = Vec::new();
    let Ok(report) = parse(table, body, &context, &mut |event| events.push(event)) else { return };

    assert!(events.iter().all(|event| event.table() == table));
    assert!(report.ids.iter().eq(events.iter().map(|event| &event.id)), "the ids are those of the events");
    let items = report.ids.len() + report.rejected.len();
    assert!(items <= ITEMS_MAX);
    assert!(report.rejected.windows(2).all(|pair| pair[0].index < pair[1].index));
    assert!(report.rejected.iter().all(|rejected| rejected.index < items && !rejected.message.is_empty()));
    check(&events, body);
});
