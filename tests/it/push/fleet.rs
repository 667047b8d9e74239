//! Fifty sidecars and the reference receiver, through every fault that it has.

use std::sync::Arc;
use std::thread;

use openclaw_trace::event::Table;
use openclaw_trace::stats::Stats;

use super::Side;
use super::store::Store;
use crate::receive::running;
use crate::support::dir::TempDir;
use crate::support::read_only;

const SIDECARS: usize = 50;

#[test]
fn fifty_sidecars_push_at_once_and_the_receiver_has_each_row_once() {
    let dir = TempDir::new("fleet");
    let db = dir.join("r.db");
    let faults = "ok:40,drop:30,503:20,close-before:20,429:10,close-in:20,truncate:30,later:20,close-after:20";
    let receiver = running(&db, faults, Some("t0ken"));
    let url = format!("http://{}/v1/push", receiver.addresses()[0]);
    let sidecars: Vec<_> = (0..SIDECARS)
        .map(|number| {
            let url = url.clone();
            thread::spawn(move || {
                let stats = Arc::new(Stats::default());
                let store = Store::start(&stats);
                for table in Table::ALL {
                    store.add(table, 10 + number as i64, 60);
                }
                let side = Side::of(store, stats, &url, |_| {});
                side.run_until_settled();
                assert!(side.store.dead().is_empty());
                let ids: Vec<String> = side.store.ids().into_iter().collect();
                (side.store.instance_id(), side.store.spent(&ids), ids)
            })
        })
        .collect();
    let sidecars: Vec<_> = sidecars.into_iter().map(|sidecar| sidecar.join().unwrap()).collect();
    assert_eq!(receiver.stop(), 0);
    let conn = read_only(&db);
    let mut all = 0;
    for (instance, spent, ids) in sidecars {
        let sql = "SELECT trace_id FROM received WHERE instance_id = ?1 ORDER BY trace_id";
        let mut statement = conn.prepare(sql).unwrap();
        let found = statement.query_map([&instance], |row| row.get(0)).unwrap();
        assert_eq!(found.collect::<Result<Vec<String>, _>>().unwrap(), ids);
        let sql = "SELECT sum(cost_picousd) FROM llm_traces WHERE instance_id = ?1";
        assert_eq!(conn.query_row(sql, [&instance], |row| row.get::<_, i64>(0)).unwrap(), spent);
        all += ids.len() as i64;
    }
    let received: i64 = conn.query_row("SELECT count(*) FROM received", [], |row| row.get(0)).unwrap();
    let repeated: i64 = conn.query_row("SELECT sum(duplicates) FROM totals", [], |row| row.get(0)).unwrap();
    assert_eq!(received, all);
    assert!(repeated > 0, "nothing came twice: this proves nothing");
}
