//! Any bytes as OTLP in JSON, of each signal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openclaw_trace::otlp::{self, Encoding, Fault, Signal};
use openclaw_trace_fuzz::check_otlp;

fuzz_target!(|body: &[u8]| {
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        match check_otlp(signal, Encoding::Json, body) {
            Ok(report) => assert!(is_json || report.records == 0, "no JSON"),
            Err(Fault::TooLarge { message } | Fault::Malformed { message }) => assert!(!message.is_empty()),
        }
    }
    otlp::looks_like_otlp_json(body);
});
