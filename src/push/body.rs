//! The body of a push, in two passes over the rows: [`OpenBatch::select`] chooses them and learns
//! the exact length, [`Body`] reads them again and streams them.
//!
//! One page of rows is in memory at a time. Rows never change once stored, so an open batch gives
//! the same bytes at every attempt; rows that were removed in between are noticed, and void it.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::rows::{Ids, ReadFault, Rows};
use crate::event::{Table, Value};
use crate::wire::push as wire;

/// What one body may hold. A row that alone is too large goes alone.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole body.
    pub bytes_max: u64,
    /// Rows of all tables together.
    pub rows_max: u64,
}

/// Rows chosen for one body, which is known by its id until the remote has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    /// Names the body, as long as it is these very bytes.
    pub id: String,
    /// The database file that the rows are in.
    pub instance_id: String,
    /// The last row of each table that was confirmed before.
    pub after: Ids,
    /// The last row of each table once this batch is confirmed.
    pub through: Ids,
    /// How many rows it holds.
    pub rows: u64,
    /// Exact length of the body.
    pub bytes: u64,
    plan: Vec<Piece>,
}

impl OpenBatch {
    /// Chooses the oldest rows after `after` that fit `limits`, by when they were received; within
    /// a table always in order of id. `head` is the envelope, [`wire::head`]. `None` when there is
    /// no row.
    ///
    /// # Errors
    /// The rows cannot be read now.
    pub fn select(
        rows: &dyn Rows,
        id: String,
        instance_id: String,
        head: &[u8],
        after: Ids,
        limits: Limits,
    ) -> Result<Option<OpenBatch>, ReadFault> {
        let mut tables = Table::ALL.map(|table| Ahead::new(table, after[table.index()]));
        let mut chosen = Chosen::new(after, head);
        while let Some((table, row)) = oldest(&mut tables, rows)? {
            let room = chosen.rows < limits.rows_max && chosen.bytes_with(table, &row) <= limits.bytes_max;
            if chosen.rows > 0 && !room {
                break;
            }
            chosen.add(table, &row);
            tables[table.index()].rows.pop_front();
        }
        Ok((chosen.rows > 0).then(|| chosen.into_batch(id, instance_id, head)))
    }

    /// The cursors that move when it is confirmed.
    pub fn cursors(&self) -> Vec<(Table, i64)> {
        let moved = Table::ALL.into_iter().filter(|table| self.through[table.index()] != self.after[table.index()]);
        moved.map(|table| (table, self.through[table.index()])).collect()
    }
}

/// Streams an open batch: exactly [`OpenBatch::bytes`] bytes, or an error.
pub struct Body<'a> {
    rows: &'a dyn Rows,
    plan: std::slice::Iter<'a, Piece>,
    piece: Vec<u8>,
    read: usize,
}

impl<'a> Body<'a> {
    /// A reader of the whole body, from its beginning.
    pub fn new(rows: &'a dyn Rows, batch: &'a OpenBatch) -> Body<'a> {
        Body { rows, plan: batch.plan.iter(), piece: Vec::new(), read: 0 }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            let Some(next) = self.plan.next() else { return Ok(0) };
            self.piece.clear();
            self.read = 0;
            match next {
                Piece::Text(text) => self.piece.extend_from_slice(text),
                Piece::Page(page) => page.render(self.rows, &mut self.piece)?,
            }
        }
        let read = (&self.piece[self.read..]).read(into)?;
        self.read += read;
        Ok(read)
    }
}

/// A page is read in one short transaction and held in memory.
const PAGE_ROWS_MAX: usize = 100;
/// Of most pages; a page of one row may be larger. Large enough that few need more than one read.
const PAGE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Page(Page),
}

/// Rows of one table that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    table: Table,
    after: i64,
    through: i64,
    rows: usize,
    /// Its rows as JSON, a comma before each but the first of the table.
    bytes: u64,
    first_of_table: bool,
}

impl Page {
    /// # Errors
    /// The rows cannot be read, or are not those that were chosen.
    fn render(&self, rows: &dyn Rows, out: &mut Vec<u8>) -> io::Result<()> {
        let mut through = self.after;
        let mut each = |id: i64, columns: &[(&'static str, Value<'_>)]| {
            // Past its size the page is wrong already, and need not be held.
            if out.len() as u64 <= self.bytes {
                if !(self.first_of_table && out.is_empty()) {
                    out.push(b',');
                }
                wire::row(columns, out);
                through = id;
            }
        };
        let count = rows.rows(self.table, self.after, self.rows, &mut each).map_err(io::Error::other)?;
        if (count, through, out.len() as u64) != (self.rows, self.through, self.bytes) {
            let table = self.table.name();
            return Err(io::Error::other(format!("rows of {table} were removed while they were sent")));
        }
        Ok(())
    }
}

/// The next rows of one table, measured but not kept.
struct Ahead {
    table: Table,
    rows: VecDeque<Measured>,
    after: i64,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    id: i64,
    received_at_ms: i64,
    bytes: u64,
}

impl Ahead {
    fn new(table: Table, after: i64) -> Ahead {
        Ahead { table, rows: VecDeque::new(), after, ended: false }
    }

    fn next(&mut self, rows: &dyn Rows) -> Result<Option<Measured>, ReadFault> {
        if self.rows.is_empty() && !self.ended {
            let mut scratch = Vec::new();
            let count = rows.rows(self.table, self.after, PAGE_ROWS_MAX, &mut |id, columns| {
                scratch.clear();
                wire::row(columns, &mut scratch);
                let received_at_ms = received_at_ms(columns);
                self.rows.push_back(Measured { id, received_at_ms, bytes: scratch.len() as u64 });
            })?;
            self.ended = count < PAGE_ROWS_MAX;
            self.after = self.rows.back().map_or(self.after, |row| row.id);
        }
        Ok(self.rows.front().copied())
    }
}

/// The column that tells which of two tables holds the older row.
fn received_at_ms(columns: &[(&'static str, Value<'_>)]) -> i64 {
    columns
        .iter()
        .find_map(|(name, value)| match value {
            Value::Integer(at) if *name == "received_at" => Some(*at),
            _ => None,
        })
        .unwrap_or(i64::MIN)
}

fn oldest(tables: &mut [Ahead], rows: &dyn Rows) -> Result<Option<(Table, Measured)>, ReadFault> {
    let mut oldest: Option<(Table, Measured)> = None;
    for ahead in tables {
        if let Some(row) = ahead.next(rows)?
            && oldest.is_none_or(|(_, other)| row.received_at_ms < other.received_at_ms)
        {
            oldest = Some((ahead.table, row));
        }
    }
    Ok(oldest)
}

/// What was chosen so far: pages by table.
struct Chosen {
    after: Ids,
    pages: [Vec<Page>; Table::ALL.len()],
    rows: u64,
    bytes: u64,
}

impl Chosen {
    fn new(after: Ids, head: &[u8]) -> Chosen {
        let mut frame = head.to_vec();
        for table in Table::ALL {
            wire::table_start(table, &mut frame);
            frame.extend_from_slice(wire::TABLE_END);
        }
        frame.extend_from_slice(wire::TAIL);
        Chosen { after, pages: Default::default(), rows: 0, bytes: frame.len() as u64 }
    }

    fn bytes_with(&self, table: Table, row: &Measured) -> u64 {
        let comma = !self.pages[table.index()].is_empty();
        self.bytes + u64::from(comma) + row.bytes
    }

    fn add(&mut self, table: Table, row: &Measured) {
        let bytes = self.bytes_with(table, row);
        let grown = bytes - self.bytes;
        let pages = &mut self.pages[table.index()];
        let first_of_table = pages.is_empty();
        match pages.last_mut() {
            Some(page) if page.rows < PAGE_ROWS_MAX && page.bytes + grown <= PAGE_BYTES_MAX => {
                page.rows += 1;
                page.bytes += grown;
                page.through = row.id;
            }
            last => {
                let after = last.map_or(self.after[table.index()], |page| page.through);
                pages.push(Page { table, after, through: row.id, rows: 1, bytes: grown, first_of_table });
            }
        }
        self.rows += 1;
        self.bytes = bytes;
    }

    fn into_batch(self, id: String, instance_id: String, head: &[u8]) -> OpenBatch {
        let mut through = self.after;
        let mut plan = Vec::new();
        let mut text = head.to_vec();
        for (table, pages) in Table::ALL.into_iter().zip(self.pages) {
            wire::table_start(table, &mut text);
            if let Some(last) = pages.last() {
                through[table.index()] = last.through;
                plan.push(Piece::Text(std::mem::take(&mut text)));
                plan.extend(pages.into_iter().map(Piece::Page));
            }
            text.extend_from_slice(wire::TABLE_END);
        }
        text.extend_from_slice(wire::TAIL);
        plan.push(Piece::Text(text));
        OpenBatch { id, instance_id, after: self.after, through, rows: self.rows, bytes: self.bytes, plan }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Rows of the four tables: id, when received, and how long its text is.
    struct Fake {
        tables: RefCell<[Vec<(i64, i64, usize)>; 4]>,
        reads_rows_max: RefCell<usize>,
    }

    impl Fake {
        fn new(tables: [Vec<(i64, i64, usize)>; 4]) -> Fake {
            Fake { tables: RefCell::new(tables), reads_rows_max: RefCell::new(0) }
        }
    }

    impl Rows for Fake {
        fn instance_id(&self) -> Result<String, ReadFault> {
            Ok("i".to_owned())
        }

        fn cursors(&self) -> Result<Ids, ReadFault> {
            Ok([0; 4])
        }

        fn rows(
            &self,
            table: Table,
            after: i64,
            limit: usize,
            each: &mut crate::store::EachRow<'_>,
        ) -> Result<usize, ReadFault> {
            let tables = self.tables.borrow();
            let wanted = tables[table.index()].iter().filter(|row| row.0 > after).take(limit);
            let mut count = 0;
            for (id, at, length) in wanted {
                let text = "x".repeat(*length);
                each(
                    *id,
                    &[
                        ("trace_id", Value::Integer(*id)),
                        ("body", Value::Text(&text)),
                        ("received_at", Value::Integer(*at)),
                    ],
                );
                count += 1;
            }
            let mut most = self.reads_rows_max.borrow_mut();
            *most = count.max(*most);
            Ok(count)
        }
    }

    const HEAD: &[u8] = b"{\"schema_version\":1";
    const WIDE: Limits = Limits { bytes_max: 5_000_000, rows_max: 5000 };

    fn select(fake: &Fake, after: Ids, limits: Limits) -> Option<OpenBatch> {
        OpenBatch::select(fake, "b".to_owned(), "i".to_owned(), HEAD, after, limits).unwrap()
    }

    fn streamed(fake: &Fake, batch: &OpenBatch) -> io::Result<serde_json::Value> {
        let mut bytes = Vec::new();
        Body::new(fake, batch).read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, batch.bytes, "the length that was announced");
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    fn ids(body: &serde_json::Value, table: Table) -> Vec<i64> {
        body[table.name()].as_array().unwrap().iter().map(|row| row["trace_id"].as_i64().unwrap()).collect()
    }

    #[test]
    fn a_body_is_as_long_as_announced_and_holds_each_row_once() {
        let many = |count: i64, length: usize| (1..=count).map(|id| (id, id, length)).collect::<Vec<_>>();
        for tables in [
            [many(1, 0), vec![], vec![], vec![]],
            [vec![], vec![], vec![], many(1, 5)],
            [many(100, 3), many(101, 7), many(99, 0), many(250, 20)],
            [many(3, 70_000), many(2, 65_536), many(7, 30_000), vec![]],
        ] {
            let fake = Fake::new(tables);
            let batch = select(&fake, [0; 4], WIDE).unwrap();
            let body = streamed(&fake, &batch).unwrap();
            for table in Table::ALL {
                let stored: Vec<i64> = fake.tables.borrow()[table.index()].iter().map(|row| row.0).collect();
                assert_eq!(ids(&body, table), stored);
                assert_eq!(batch.through[table.index()], stored.last().copied().unwrap_or(0));
            }
            assert!(*fake.reads_rows_max.borrow() <= PAGE_ROWS_MAX);
        }
    }

    #[test]
    fn nothing_after_the_cursors_is_no_batch() {
        let fake = Fake::new([vec![(1, 1, 1)], vec![], vec![(9, 1, 1)], vec![]]);
        assert_eq!(select(&fake, [1, 0, 9, 0], WIDE), None);
        assert_eq!(select(&fake, [1, 0, 8, 0], WIDE).unwrap().cursors(), [(Table::CustomEvents, 9)]);
    }

    #[test]
    fn batches_follow_each_other_without_gap_and_stay_within_their_limits() {
        let tables = [
            (1..400).map(|id| (id * 3, id, id as usize % 50)).collect(),
            (1..90).map(|id| (id, id * 4, 10)).collect(),
            vec![],
            (1..300).map(|id| (id + 1000, id, 2)).collect::<Vec<_>>(),
        ];
        let fake = Fake::new(tables);
        let limits = Limits { bytes_max: 3000, rows_max: 37 };
        let mut after = [0; 4];
        let mut seen: [Vec<i64>; 4] = Default::default();
        let mut fullest = 0;
        while let Some(batch) = select(&fake, after, limits) {
            assert!(batch.bytes <= limits.bytes_max && batch.rows <= limits.rows_max);
            fullest = fullest.max(batch.rows);
            let body = streamed(&fake, &batch).unwrap();
            for table in Table::ALL {
                seen[table.index()].extend(ids(&body, table));
            }
            after = batch.through;
        }
        for (seen, stored) in seen.iter().zip(fake.tables.borrow().iter()) {
            assert_eq!(*seen, stored.iter().map(|row| row.0).collect::<Vec<_>>());
        }
        assert_eq!(fullest, limits.rows_max);
    }

    #[test]
    fn the_oldest_rows_of_all_tables_go_first() {
        let fake =
            Fake::new([vec![(1, 50, 0), (2, 60, 0)], vec![(1, 10, 0)], vec![(5, 55, 0)], vec![(7, 5, 0), (8, 70, 0)]]);
        let mut order = Vec::new();
        let mut after = [0; 4];
        while let Some(batch) = select(&fake, after, Limits { rows_max: 1, ..WIDE }) {
            order.extend(batch.cursors());
            after = batch.through;
        }
        use Table::{CustomEvents as C, ErrorEvents as E, LlmTraces as L, SystemMetrics as S};
        assert_eq!(order, [(S, 7), (E, 1), (L, 1), (C, 5), (L, 2), (S, 8)]);
    }

    #[test]
    fn a_row_that_is_too_large_goes_alone() {
        let fake = Fake::new([vec![(1, 1, 10), (2, 2, 9000), (3, 3, 10), (4, 4, 10)], vec![], vec![], vec![]]);
        let limits = Limits { bytes_max: 1000, rows_max: 5000 };
        let mut after = [0; 4];
        let mut counts = Vec::new();
        while let Some(batch) = select(&fake, after, limits) {
            streamed(&fake, &batch).unwrap();
            counts.push(batch.rows);
            after = batch.through;
        }
        assert_eq!(counts, [1, 1, 2]);
    }

    #[test]
    fn a_body_whose_rows_are_gone_breaks_off() {
        let fake = || Fake::new([(1..=150).map(|id| (id, id, 5)).collect(), vec![], vec![], vec![]]);
        for gone in [1, 70, 100, 150] {
            let fake = fake();
            let batch = select(&fake, [0; 4], WIDE).unwrap();
            fake.tables.borrow_mut()[0].retain(|row| row.0 != gone);
            assert!(streamed(&fake, &batch).is_err(), "{gone}");
        }
        let fake = fake();
        let batch = select(&fake, [0; 4], WIDE).unwrap();
        fake.tables.borrow_mut()[0].push((151, 151, 5));
        assert!(streamed(&fake, &batch).is_ok(), "a later row is none of its business");
    }
}
