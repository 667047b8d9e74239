//! The text and the JSON, of counters that a test has filled.

use std::time::Instant;

use openclaw_trace::metrics::{BYTES_MAX, json, text};
use openclaw_trace::stats::Stats;
use serde_json::Value;

use super::shown::{Family, Sample, facts, filled, read};

fn text_of(stats: &Stats) -> String {
    String::from_utf8(text(&facts(stats))).unwrap()
}

fn family<'f>(families: &'f [Family], name: &str) -> &'f Family {
    families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// The value of the only sample, or of the one with these labels.
fn value(families: &[Family], name: &str, labels: &[(&str, &str)]) -> String {
    let has = |sample: &&Sample| {
        labels.iter().all(|(label, text)| sample.labels.get(*label).is_some_and(|value| value == text))
    };
    let found: Vec<&Sample> = family(families, name).samples.iter().filter(has).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    found[0].value.clone()
}

#[test]
fn every_family_is_announced_once_and_has_samples_when_there_is_something_to_tell() {
    let empty = read(&text_of(&Stats::default()));
    let full = read(&text_of(&filled(&["a".to_owned(), "b".to_owned()])));
    assert!(full.len() > 100, "{}", full.len());
    for family in &full {
        assert!(!family.samples.is_empty(), "{} has no sample", family.name);
        assert!(family.help.ends_with('.'), "{}", family.help);
        assert_eq!(family.kind == "counter", family.name.ends_with("_total"), "{}", family.name);
    }
    let names = |families: &[Family]| families.iter().map(|family| family.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&empty), names(&full));
}

#[test]
fn values_are_what_was_counted_in_base_units() {
    let families = read(&text_of(&filled(&["m".to_owned()])));
    let model = ("model", "m");
    for (name, labels, wanted) in [
        ("openclaw_trace_events_offered_total", &[][..], "14"),
        ("openclaw_trace_events_stored_total", &[], "3"),
        ("openclaw_trace_events_refused_total", &[("reason", "store_full")], "1"),
        ("openclaw_trace_events_in_flight", &[], "2"),
        ("openclaw_trace_refusing", &[("reason", "writer_stuck")], "0"),
        ("openclaw_trace_signal_last_received_timestamp_seconds", &[], "1795458732"),
        ("openclaw_trace_llm_calls_total", &[model, ("status", "timeout")], "3"),
        ("openclaw_trace_llm_tokens_total", &[model, ("type", "cache_write")], "40"),
        ("openclaw_trace_llm_cost_usd_total", &[model], "0.001575"),
        ("openclaw_trace_error_events_total", &[("component", "m"), ("severity", "error")], "1"),
        ("openclaw_trace_spend_budget_day_usd", &[], "12.5"),
        ("openclaw_trace_coverage_ratio", &[("what", "cost")], "0.75"),
        ("openclaw_trace_push_backlog_age_seconds", &[], "90.5"),
        ("openclaw_trace_http_requests_total", &[("code", "202")], "1"),
        ("openclaw_trace_container_info", &[("scope", "cgroup2")], "1"),
        ("openclaw_trace_container_cpu_usage_ratio", &[], "0.125"),
        ("openclaw_trace_container_disk_usage_ratio", &[("path", "/data")], "0.25"),
        ("openclaw_trace_container_cpu_throttled_seconds_total", &[], "3"),
        ("openclaw_trace_container_network_receive_bytes_total", &[], "200"),
        ("openclaw_trace_container_network_transmit_bytes_total", &[], "10"),
        ("openclaw_trace_build_info", &[("version", "1.2.3")], "1"),
        ("process_cpu_seconds_total", &[], "1.5"),
        ("process_start_time_seconds", &[], "1795458672"),
    ] {
        assert_eq!(value(&families, name, labels), wanted, "{name} {labels:?}");
    }
    let latency = &family(&families, "openclaw_trace_llm_latency_seconds").samples;
    let buckets: Vec<(&str, &str)> =
        latency.iter().map(|s| (s.labels.get("le").map_or(&*s.suffix, |le| le), &*s.value)).collect();
    let wanted = [
        ("0.5", "1"),
        ("1", "2"),
        ("2.5", "2"),
        ("5", "2"),
        ("10", "2"),
        ("30", "2"),
        ("60", "2"),
        ("120", "2"),
        ("300", "2"),
        ("+Inf", "3"),
        ("_sum", "400.7"),
        ("_count", "3"),
    ];
    assert_eq!(buckets, wanted);
}

#[test]
fn names_that_would_end_a_label_or_a_line_are_read_as_they_are() {
    let odd = "a\"b\\c\nd}e,f=\"\u{1}\r\u{20ac}\t# HELP x";
    let stats = filled(&[odd.to_owned()]);
    let families = read(&text_of(&stats));
    let calls = &family(&families, "openclaw_trace_llm_calls_total").samples;
    assert!(calls.iter().all(|sample| sample.labels["model"] == odd && sample.labels["provider"] == odd), "{calls:?}");
    same_in_json(&stats, &families);
}

#[test]
fn the_json_has_the_same_families_samples_and_values_in_the_same_order() {
    let stats = filled(&["m".to_owned(), "n".to_owned()]);
    same_in_json(&stats, &read(&text_of(&stats)));
    let empty = Stats::default();
    same_in_json(&empty, &read(&text_of(&empty)));
}

fn same_in_json(stats: &Stats, families: &[Family]) {
    let body = String::from_utf8(json(&facts(stats))).unwrap();
    let parsed: Value = serde_json::from_str(&body).unwrap();
    let mut at = 0;
    assert_eq!(parsed.as_object().unwrap().len(), families.len());
    for family in families {
        let here =
            body[at..].find(&format!("\"{}\":", family.name)).unwrap_or_else(|| panic!("{} is late", family.name));
        at += here;
        let found = &parsed[&family.name];
        assert_eq!((&found["type"], &found["help"]), (&(*family.kind).into(), &(*family.help).into()));
        let samples: Vec<Sample> = found["samples"].as_array().unwrap().iter().map(sample_of).collect();
        let number = |sample: &Sample| sample.value.parse::<f64>().unwrap();
        assert_eq!(samples.len(), family.samples.len(), "{}", family.name);
        for (found, wanted) in samples.iter().zip(&family.samples) {
            assert_eq!((&found.suffix, &found.labels), (&wanted.suffix, &wanted.labels), "{}", family.name);
            assert_eq!(number(found), number(wanted), "{}", family.name);
        }
    }
}

fn sample_of(json: &Value) -> Sample {
    let labels = json["labels"].as_object().unwrap().iter();
    Sample {
        suffix: json["suffix"].as_str().unwrap_or_default().to_owned(),
        labels: labels.map(|(label, text)| (label.clone(), text.as_str().unwrap().to_owned())).collect(),
        value: json["value"].to_string(),
    }
}

#[test]
fn an_answer_is_bounded_whatever_strangers_call_their_models() {
    let models = |c: char| (0..64).map(|n| format!("{n:02}{}", c.to_string().repeat(94))).collect::<Vec<_>>();
    for (what, names) in [
        ("64 models of 20 bytes", (0..64).map(|n| format!("{n:02}{}", "a".repeat(18))).collect()),
        ("64 models to be escaped in both", models('"')),
        ("64 models to be escaped in JSON", models('\u{1}')),
    ] {
        let stats = filled(&names);
        let started = Instant::now();
        let bytes = [text(&facts(&stats)), json(&facts(&stats))].map(|body| body.len());
        eprintln!("{what}: {bytes:?} bytes of text and JSON, both in {:?}", started.elapsed());
        assert!(bytes.iter().all(|bytes| *bytes <= BYTES_MAX), "{what}: {bytes:?}");
        stats.count_queued(1);
        let again = [text(&facts(&stats)), json(&facts(&stats))].map(|body| body.len());
        assert!(again.iter().zip(bytes).all(|(again, bytes)| again.abs_diff(bytes) <= 2), "{again:?} after {bytes:?}");
    }
}
