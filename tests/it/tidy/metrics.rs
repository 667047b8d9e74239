//! That docs/metrics.md has every family of `/metrics`, with its type and its labels, in order, and no other.

use std::collections::BTreeSet;

use openclaw_trace::metrics::text;

use super::docs::page;
use crate::metrics::shown::{Family, facts, filled, read};

/// `| name | type | labels | help |`
fn row(family: &Family) -> String {
    let labels: BTreeSet<&String> = family.samples.iter().flat_map(|sample| sample.labels.keys()).collect();
    let labels = labels.into_iter().filter(|label| *label != "le").map(|label| format!("`{label}`"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    format!("| `{}` | {} | {labels} | {} |", family.name, family.kind, family.help).replace("|  |", "| |")
}

#[test]
fn every_family_of_metrics_is_documented_with_its_type_and_labels_and_no_other_is() {
    let families = read(&String::from_utf8(text(&facts(&filled(&["m".to_owned()])))).unwrap());
    let wanted: Vec<String> = families.iter().map(row).collect();
    let docs = page("docs/metrics.md");
    let rows: Vec<&str> =
        docs.lines().filter(|line| line.starts_with("| `openclaw_trace_") || line.starts_with("| `process_")).collect();
    for row in &wanted {
        assert!(rows.contains(&row.as_str()), "docs/metrics.md lacks the row\n{row}");
    }
    assert_eq!(rows, wanted, "they stand in the order of the answer");
}
