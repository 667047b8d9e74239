//! Any bytes as OTLP in JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use openclaw_trace::otlp::{self, Context, Encoding, Fault};
use openclaw_trace_fuzz::{ITEMS_MAX, NOW_MS, TEXT, check};

const CONTEXT: Context = Context { now_ms: NOW_MS, text: TEXT, spans_max: ITEMS_MAX };

fuzz_target!(|body: &[u8]| {
    let read = |body: &[u8]| {
        let mut events = Vec::new();
        let report =
            otlp::traces(Encoding::Json, Bytes::copy_from_slice(body), &CONTEXT, &mut |event| events.push(event));
        (events, report)
    };
    let (events, report) = read(body);
    assert_eq!((&events, &report), (&read(body).0, &read(body).1), "the same twice");
    match report {
        Ok(report) => {
            let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
            assert_eq!(report.spans, events.len() as u64 + report.rejected + ignored, "{report:?}");
            assert_eq!(report.rejected == 0, report.rejected_message.is_empty(), "{report:?}");
            assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok() || report.spans == 0, "no JSON");
            check(&events, body);
        }
        Err(Fault::TooLarge { message } | Fault::Malformed { message }) => assert!(!message.is_empty()),
    }
    otlp::looks_like_otlp_json(body);
    for counted in [otlp::count_logs(Encoding::Json, body), otlp::count_metrics(Encoding::Json, body)] {
        assert!(counted.unwrap_or(0) <= body.len() as u64, "more records than bytes");
    }
});
