//! Any bytes as OTLP in protobuf, of each signal: what the opentelemetry-proto crate can read, we read, to the same number
//! of records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openclaw_trace::otlp::{Encoding, Fault, Signal};
use openclaw_trace_fuzz::check_otlp;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

fuzz_target!(|body: &[u8]| {
    let spans = ExportTraceServiceRequest::decode(body).ok().map(|request| {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    });
    let records = ExportLogsServiceRequest::decode(body).ok().map(|request| {
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        scopes.map(|scope| scope.log_records.len()).sum()
    });
    let metrics = ExportMetricsServiceRequest::decode(body).ok().map(|request| {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        scopes.map(|scope| scope.metrics.len()).sum()
    });
    for (signal, theirs) in [(Signal::Traces, spans), (Signal::Logs, records), (Signal::Metrics, metrics)] {
        match check_otlp(signal, Encoding::Protobuf, body) {
            Ok(report) => assert!(theirs.is_none_or(|theirs: usize| report.records == theirs as u64), "{report:?}"),
            Err(Fault::TooLarge { .. }) => {}
            // Groups, which protobuf gave up before OTLP was, are refused and not skipped.
            Err(Fault::Malformed { message }) => assert!(theirs.is_none() || message.contains("wire type"), "{message}"),
        }
    }
});
