//! That the tables for ClickHouse (docs/clickhouse.sql) have every column that is sent to them.

use openclaw_trace::config::{Identity, Sender};
use openclaw_trace::event::Table;
use openclaw_trace::wire::clickhouse::row;

use super::docs::{page, section};

/// The row is what it is sorted by, and what it is sent again under.
const KEY: &str = "ORDER BY (instance_id, timestamp, trace_id)\n";

#[test]
fn the_tables_of_clickhouse_have_every_column_with_its_type_and_no_other() {
    let (wire, sql) = (page("docs/wire.md"), page("docs/clickhouse.sql"));
    for table in Table::ALL {
        let part = section(&wire, &format!("### `{}`", table.name()));
        let rows = part.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').map(str::trim));
        let mut wanted: Vec<(String, String)> = Vec::new();
        for mut cells in rows {
            let (name, means) = (cells.nth(1).unwrap().trim_matches('`'), cells.next().unwrap());
            if name != "id" {
                wanted.push((name.to_owned(), column_type(name, means)));
            }
            if name == "timestamp" {
                wanted.push(("time".to_owned(), "DateTime64(3, 'UTC')".to_owned()));
            }
        }
        assert!(wanted.len() > 12, "these are not the columns: {wanted:?}");
        wanted.extend(sender_columns().into_iter().map(|(name, sometimes)| (name, plain("String", sometimes))));

        let (_, created) = sql.split_once(&format!("CREATE TABLE IF NOT EXISTS {}\n(\n", table.name())).unwrap();
        let (columns, engine) = created.split_once("\n)\n").unwrap();
        let found: Vec<(String, String)> = columns.lines().map(column).collect();
        assert_eq!(found, wanted, "{}", table.name());
        assert!(engine.split(';').next().unwrap().contains(KEY), "{}", table.name());
    }
}

/// What the DDL says of a column, without what does not decide which values fit.
fn column(line: &str) -> (String, String) {
    let (name, rest) = line.trim().split_once(' ').unwrap();
    let declared = rest.trim().trim_end_matches(',').split(" ALIAS ").next().unwrap();
    let declared =
        declared.strip_prefix("LowCardinality(").and_then(|inner| inner.strip_suffix(')')).unwrap_or(declared);
    (name.to_owned(), declared.to_owned())
}

/// The type that holds what a column of the file holds, by how docs/wire.md describes it.
fn column_type(name: &str, means: &str) -> String {
    let kind = match name {
        "trace_id" => "UUID",
        // Exact, which a REAL is not.
        "cost_usd" => "Decimal(38, 12)",
        _ if means.contains("flag") => "UInt8",
        _ if means.starts_with("INTEGER") => "Int64",
        _ if means.starts_with("REAL") => "Float64",
        _ => "String",
    };
    plain(kind, !means.contains("never NULL"))
}

fn plain(kind: &str, nullable: bool) -> String {
    if nullable { format!("Nullable({kind})") } else { kind.to_owned() }
}

/// What every row says of its sender, and whether it sometimes does not.
fn sender_columns() -> Vec<(String, bool)> {
    let some = || Some("x".to_owned());
    let known = Identity {
        hostname: some(),
        fly_app_name: some(),
        fly_machine_id: some(),
        fly_region: some(),
        fly_image_ref: some(),
        fly_process_group: some(),
    };
    let names = |identity: &Identity| {
        let mut line = Vec::new();
        row(&Sender { instance_id: "i", identity, version: "0" }, &[], &mut line);
        let text = String::from_utf8(line).unwrap();
        text.split('"').skip(1).step_by(4).map(str::to_owned).collect::<Vec<_>>()
    };
    let always = names(&Identity::default());
    names(&known).into_iter().map(|name| (name.clone(), !always.contains(&name))).collect()
}
