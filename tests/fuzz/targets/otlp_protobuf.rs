//! Any bytes as OTLP in protobuf: what the opentelemetry-proto crate can read, we read, to the same number of spans.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use openclaw_trace::otlp::{self, Context, Encoding, Fault};
use openclaw_trace_fuzz::{ITEMS_MAX, NOW_MS, TEXT, check};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const CONTEXT: Context = Context { now_ms: NOW_MS, text: TEXT, spans_max: ITEMS_MAX };

fuzz_target!(|body: &[u8]| {
    let read = |body: &[u8]| {
        let mut events = Vec::new();
        let report =
            otlp::traces(Encoding::Protobuf, Bytes::copy_from_slice(body), &CONTEXT, &mut |event| events.push(event));
        (events, report)
    };
    let (events, report) = read(body);
    assert_eq!((&events, &report), (&read(body).0, &read(body).1), "the same twice");
    let theirs = ExportTraceServiceRequest::decode(body).map(|request| {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum::<u64>()
    });
    match report {
        Ok(report) => {
            let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
            assert_eq!(report.spans, events.len() as u64 + report.rejected + ignored, "{report:?}");
            assert_eq!(report.rejected == 0, report.rejected_message.is_empty(), "{report:?}");
            if let Ok(spans) = theirs {
                assert_eq!(report.spans, spans, "{report:?}");
            }
            check(&events, body);
        }
        Err(Fault::TooLarge { .. }) => {}
        // Groups, which protobuf gave up before OTLP was, are refused and not skipped.
        Err(Fault::Malformed { message }) => assert!(theirs.is_err() || message.contains("wire type"), "{message}"),
    }
    for counted in [otlp::count_logs(Encoding::Protobuf, body), otlp::count_metrics(Encoding::Protobuf, body)] {
        assert!(counted.unwrap_or(0) <= body.len() as u64, "more records than bytes");
    }
});
