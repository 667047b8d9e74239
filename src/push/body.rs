//! The body of a push, in two passes over the rows: an [`OpenBatch`] chooses them and learns the exact length, [`Body`]
//! reads them again and streams them.
//!
//! One page of rows is in memory at a time. Rows never change once stored, so an open batch gives
//! the same bytes at every attempt; rows that were removed in between are noticed, and void it.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::envelope::Envelope;
use super::format::{self, Lane};
use super::ranges::{self, Range};
use super::rows::{Ids, ReadFault, Rows};
use crate::config::PushFormat;
use crate::event::{Table, Value};
use crate::store::{FrozenBatch, Waiting};

/// What one body may hold. A row that alone is too large goes alone.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole body.
    pub bytes_max: u64,
    /// Rows of all tables together.
    pub rows_max: u64,
}

/// What is known of a batch before its rows are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Names the body, as long as it is these very bytes.
    pub id: String,
    /// When it was made, Unix ms.
    pub made_ms: i64,
    /// How it looks.
    pub format: PushFormat,
    /// Whose rows are in it.
    pub lane: Lane,
    /// Who sends it.
    pub envelope: Envelope,
}

impl Draft {
    fn row(&self, table: Table, columns: &[(&'static str, Value<'_>)], out: &mut Vec<u8>) {
        format::row(self.format, &self.envelope.sender(), table, columns, out);
    }

    fn frame(&self, rows_bytes: u64) -> Vec<Vec<u8>> {
        format::frame(self.format, self.lane, &self.id, &self.envelope.sender(), rows_bytes)
    }
}

/// Rows chosen for one body, which is known by its id until the remote has settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    /// Who it is.
    pub draft: Draft,
    /// Whether its rows are such that waited; else they are those after the cursors.
    pub again: bool,
    /// How many rows it holds.
    pub rows: u64,
    /// Exact length of the body.
    pub bytes: u64,
    /// Its rows, by table and id.
    ranges: Vec<Range>,
    plan: Vec<Piece>,
}

impl OpenBatch {
    /// Chooses the oldest rows after `after` that fit `limits`, by when they were received; within
    /// a table always in order of id. `None` when there is no row.
    ///
    /// # Errors
    /// The rows cannot be read now.
    pub fn of_new(rows: &dyn Rows, draft: Draft, after: Ids, limits: Limits) -> Result<Option<OpenBatch>, ReadFault> {
        let pushed = |table: &&Table| after[table.index()] != i64::MAX;
        let tables = draft.lane.tables.iter().filter(pushed);
        let mut tables: Vec<Ahead> = tables.map(|table| Ahead::new(*table, after[table.index()])).collect();
        let mut chosen = Chosen::new(&draft, limits);
        while let Some((place, row)) = oldest(&mut tables, &draft, rows)? {
            if !chosen.has_room(&row) {
                break;
            }
            chosen.add(&row);
            tables[place].rows.pop_front();
        }
        Ok(chosen.into_batch(draft, false))
    }

    /// Takes as many of these rows that waited, from the first on, as fit `limits`. `None` when none of them is there.
    ///
    /// # Errors
    /// The rows cannot be read now.
    pub fn of_waiting(
        rows: &dyn Rows,
        draft: Draft,
        waiting: &[Waiting],
        limits: Limits,
    ) -> Result<Option<OpenBatch>, ReadFault> {
        let mut chosen = Chosen::new(&draft, limits);
        for wanted in waiting {
            let found = measure(rows, &draft, wanted.table, wanted.id - 1, 1)?;
            let Some(row) = found.first().filter(|row| row.id == wanted.id) else { continue };
            if !chosen.has_room(row) {
                break;
            }
            chosen.add(row);
        }
        Ok(chosen.into_batch(draft, true))
    }

    /// The batch that was noted, if it still gives the same bytes. `draft` says what it was made of.
    ///
    /// # Errors
    /// The rows cannot be read now.
    pub fn thaw(rows: &dyn Rows, draft: Draft, frozen: &FrozenBatch) -> Result<Option<OpenBatch>, ReadFault> {
        let Some(ranges) = ranges::parse(&frozen.ranges) else { return Ok(None) };
        // More than any batch, and far from what a length can be.
        let unlimited = Limits { bytes_max: 1 << 40, rows_max: u64::MAX };
        let mut chosen = Chosen::new(&draft, unlimited);
        for range in ranges {
            if !draft.lane.tables.contains(&range.table) {
                return Ok(None);
            }
            let mut after = range.first - 1;
            while after < range.last {
                let page = measure(rows, &draft, range.table, after, PAGE_ROWS_MAX)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                let wanted = page.iter().take_while(|row| row.id <= range.last);
                wanted.for_each(|row| chosen.add(row));
                if chosen.rows > frozen.rows {
                    return Ok(None);
                }
            }
        }
        let batch = chosen.into_batch(draft, frozen.again);
        Ok(batch.filter(|batch| (batch.rows, batch.bytes) == (frozen.rows, frozen.bytes)))
    }

    /// What must be noted of it, so that it can be made again.
    pub fn freeze(&self) -> FrozenBatch {
        FrozenBatch {
            id: self.draft.id.clone(),
            made_ms: self.draft.made_ms,
            envelope: self.draft.envelope.to_json(),
            ranges: ranges::write(&self.ranges),
            again: self.again,
            rows: self.rows,
            bytes: self.bytes,
        }
    }

    /// The last row of each table in it.
    pub fn last_ids(&self) -> Vec<(Table, i64)> {
        let mut last: Vec<(Table, i64)> = Vec::new();
        for range in &self.ranges {
            match last.last_mut() {
                Some((table, id)) if *table == range.table => *id = range.last,
                _ => last.push((range.table, range.last)),
            }
        }
        last
    }

    /// The first row of each table in it.
    pub fn first_ids(&self) -> Vec<(Table, i64)> {
        let mut first: Vec<(Table, i64)> = Vec::new();
        for range in &self.ranges {
            if first.last().is_none_or(|(table, _)| *table != range.table) {
                first.push((range.table, range.first));
            }
        }
        first
    }

    /// The first row of each table in it, and how many there are.
    pub fn passed(&self) -> Vec<(Table, i64, i64)> {
        let rows = self.rows_of_tables();
        self.first_ids().into_iter().map(|(table, first)| (table, first, rows[table.index()])).collect()
    }

    /// How many rows of each table are in it, by [`Table::index`].
    pub fn rows_of_tables(&self) -> Ids {
        let mut rows = Ids::default();
        for piece in &self.plan {
            if let Piece::Page(page) = piece {
                rows[page.table.index()] += page.rows as i64;
            }
        }
        rows
    }

    /// Whether this row is in it.
    pub fn holds(&self, table: Table, id: i64) -> bool {
        self.ranges.iter().any(|range| range.table == table && (range.first..=range.last).contains(&id))
    }

    /// The rows of a batch of those that waited.
    pub fn waited(&self) -> impl Iterator<Item = (Table, i64)> {
        self.ranges.iter().flat_map(|range| (range.first..=range.last).map(|id| (range.table, id)))
    }
}

/// Streams an open batch: exactly [`OpenBatch::bytes`] bytes, or an error.
pub struct Body<'a> {
    rows: &'a dyn Rows,
    draft: &'a Draft,
    plan: std::slice::Iter<'a, Piece>,
    piece: Vec<u8>,
    read: usize,
}

impl<'a> Body<'a> {
    /// A reader of the whole body, from its beginning.
    pub fn new(rows: &'a dyn Rows, batch: &'a OpenBatch) -> Body<'a> {
        Body { rows, draft: &batch.draft, plan: batch.plan.iter(), piece: Vec::new(), read: 0 }
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
                Piece::Page(page) => page.render(self.draft, self.rows, &mut self.piece)?,
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
    /// Its rows, with what stands before each but the first of the table.
    bytes: u64,
    first_of_table: bool,
}

impl Page {
    /// # Errors
    /// The rows cannot be read, or are not those that were chosen.
    fn render(&self, draft: &Draft, rows: &dyn Rows, out: &mut Vec<u8>) -> io::Result<()> {
        let mut through = self.after;
        let mut each = |id: i64, columns: &[(&'static str, Value<'_>)]| {
            // Past its size the page is wrong already, and need not be held.
            if out.len() as u64 <= self.bytes {
                if !(self.first_of_table && out.is_empty()) {
                    out.extend_from_slice(format::separator(draft.format));
                }
                draft.row(self.table, columns, out);
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
    table: Table,
    id: i64,
    received_at_ms: i64,
    bytes: u64,
}

impl Ahead {
    fn new(table: Table, after: i64) -> Ahead {
        Ahead { table, rows: VecDeque::new(), after, ended: false }
    }

    fn next(&mut self, draft: &Draft, rows: &dyn Rows) -> Result<Option<Measured>, ReadFault> {
        if self.rows.is_empty() && !self.ended {
            let page = measure(rows, draft, self.table, self.after, PAGE_ROWS_MAX)?;
            self.ended = page.len() < PAGE_ROWS_MAX;
            self.after = page.last().map_or(self.after, |row| row.id);
            self.rows = page.into();
        }
        Ok(self.rows.front().copied())
    }
}

/// The first `limit` rows of a table after an id, by what they take in a body.
fn measure(rows: &dyn Rows, draft: &Draft, table: Table, after: i64, limit: usize) -> Result<Vec<Measured>, ReadFault> {
    let mut scratch = Vec::new();
    let mut page = Vec::with_capacity(limit);
    rows.rows(table, after, limit, &mut |id, columns| {
        scratch.clear();
        draft.row(table, columns, &mut scratch);
        page.push(Measured { table, id, received_at_ms: received_at_ms(columns), bytes: scratch.len() as u64 });
    })?;
    Ok(page)
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

fn oldest(tables: &mut [Ahead], draft: &Draft, rows: &dyn Rows) -> Result<Option<(usize, Measured)>, ReadFault> {
    let mut oldest: Option<(usize, Measured)> = None;
    for (place, ahead) in tables.iter_mut().enumerate() {
        if let Some(row) = ahead.next(draft, rows)?
            && oldest.is_none_or(|(_, other)| row.received_at_ms < other.received_at_ms)
        {
            oldest = Some((place, row));
        }
    }
    Ok(oldest)
}

/// What was chosen so far: pages by table.
struct Chosen {
    limits: Limits,
    separator: u64,
    /// Of the frame around as many rows as there may be.
    frame_bytes: u64,
    pages: [Vec<Page>; Table::ALL.len()],
    ranges: [Vec<Range>; Table::ALL.len()],
    rows: u64,
    rows_bytes: u64,
}

impl Chosen {
    fn new(draft: &Draft, limits: Limits) -> Chosen {
        let frame = draft.frame(limits.bytes_max);
        Chosen {
            limits,
            separator: format::separator(draft.format).len() as u64,
            frame_bytes: frame.iter().map(|text| text.len() as u64).sum(),
            pages: Default::default(),
            ranges: Default::default(),
            rows: 0,
            rows_bytes: 0,
        }
    }

    fn with_separator(&self, row: &Measured) -> u64 {
        let is_first = self.pages[row.table.index()].is_empty();
        row.bytes + if is_first { 0 } else { self.separator }
    }

    /// The first row always has: it goes alone.
    fn has_room(&self, row: &Measured) -> bool {
        let bytes = self.frame_bytes + self.rows_bytes + self.with_separator(row);
        self.rows == 0 || (self.rows < self.limits.rows_max && bytes <= self.limits.bytes_max)
    }

    fn add(&mut self, row: &Measured) {
        let grown = self.with_separator(row);
        let place = row.table.index();
        let (pages, ranges) = (&mut self.pages[place], &mut self.ranges[place]);
        let first_of_table = pages.is_empty();
        match ranges.last_mut() {
            Some(range) if range.last + 1 == row.id => range.last = row.id,
            _ => ranges.push(Range { table: row.table, first: row.id, last: row.id }),
        }
        match pages.last_mut() {
            Some(page)
                if page.through + 1 == row.id && page.rows < PAGE_ROWS_MAX && page.bytes + grown <= PAGE_BYTES_MAX =>
            {
                page.rows += 1;
                page.bytes += grown;
                page.through = row.id;
            }
            _ => {
                let page = Page {
                    table: row.table,
                    after: row.id - 1,
                    through: row.id,
                    rows: 1,
                    bytes: grown,
                    first_of_table,
                };
                pages.push(page);
            }
        }
        self.rows += 1;
        self.rows_bytes += grown;
    }

    fn into_batch(self, draft: Draft, again: bool) -> Option<OpenBatch> {
        if self.rows == 0 {
            return None;
        }
        let mut texts = draft.frame(self.rows_bytes).into_iter();
        let bytes = self.rows_bytes + texts.as_slice().iter().map(|text| text.len() as u64).sum::<u64>();
        let (mut pages, mut ranges_of) = (self.pages, self.ranges);
        let (mut plan, mut ranges) = (Vec::new(), Vec::new());
        for table in draft.lane.tables {
            plan.extend(texts.next().map(Piece::Text));
            plan.extend(std::mem::take(&mut pages[table.index()]).into_iter().map(Piece::Page));
            ranges.append(&mut ranges_of[table.index()]);
        }
        plan.extend(texts.map(Piece::Text));
        Some(OpenBatch { draft, again, rows: self.rows, bytes, ranges, plan })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::Identity;

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

    const LANE: Lane = Lane { name: "rows", tables: &Table::ALL };
    const WIDE: Limits = Limits { bytes_max: 5_000_000, rows_max: 5000 };

    fn draft() -> Draft {
        let envelope =
            Envelope { instance_id: "i".to_owned(), identity: Identity::default(), version: "1.2.3".to_owned() };
        Draft { id: "b".to_owned(), made_ms: 7, format: PushFormat::Json, lane: LANE, envelope }
    }

    fn select(fake: &Fake, after: Ids, limits: Limits) -> Option<OpenBatch> {
        OpenBatch::of_new(fake, draft(), after, limits).unwrap()
    }

    /// The cursors once the batch is settled.
    fn through(batch: &OpenBatch, mut after: Ids) -> Ids {
        batch.last_ids().into_iter().for_each(|(table, id)| after[table.index()] = id);
        after
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
                assert_eq!(through(&batch, [0; 4])[table.index()], stored.last().copied().unwrap_or(0));
            }
            assert!(*fake.reads_rows_max.borrow() <= PAGE_ROWS_MAX);
        }
    }

    #[test]
    fn nothing_after_the_cursors_is_no_batch() {
        let fake = Fake::new([vec![(1, 1, 1)], vec![], vec![(9, 1, 1)], vec![]]);
        assert_eq!(select(&fake, [1, 0, 9, 0], WIDE), None);
        assert_eq!(select(&fake, [1, 0, 8, 0], WIDE).unwrap().last_ids(), [(Table::CustomEvents, 9)]);
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
            after = through(&batch, after);
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
            order.extend(batch.last_ids());
            after = through(&batch, after);
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
            after = through(&batch, after);
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

    #[test]
    fn a_batch_that_was_noted_is_made_again_to_the_byte_or_not_at_all() {
        let fake = Fake::new([
            (1..=250).map(|id| (id, id, 30)).collect(),
            vec![(4, 9, 1), (9, 10, 1)],
            (7..=120).map(|id| (id, id, 3)).collect(),
            vec![(3, 3, 3)],
        ]);
        let bytes_of = |batch: &OpenBatch| {
            let mut bytes = Vec::new();
            Body::new(&fake, batch).read_to_end(&mut bytes).map(|_| bytes)
        };
        for format in PushFormat::ALL {
            for lane in format::lanes(format) {
                let draft = Draft { format, lane: *lane, ..draft() };
                let batch = OpenBatch::of_new(&fake, draft.clone(), [0; 4], WIDE).unwrap().unwrap();
                let frozen = batch.freeze();
                let again = OpenBatch::thaw(&fake, draft.clone(), &frozen).unwrap().unwrap();
                assert_eq!(again, batch, "{format:?} {}", lane.name);
                assert_eq!(bytes_of(&again).unwrap().len() as u64, frozen.bytes);
                for changed in [
                    FrozenBatch { bytes: frozen.bytes + 1, ..frozen.clone() },
                    FrozenBatch { rows: frozen.rows - 1, ..frozen.clone() },
                    FrozenBatch { ranges: "[]".to_owned(), ..frozen.clone() },
                    FrozenBatch { ranges: "garbage".to_owned(), ..frozen.clone() },
                ] {
                    assert_eq!(OpenBatch::thaw(&fake, draft.clone(), &changed).unwrap(), None, "{changed:?}");
                }
            }
        }
    }

    #[test]
    fn rows_that_waited_go_out_without_those_between_them() {
        let fake = Fake::new([(1..=9).map(|id| (id, id, 3)).collect(), vec![], vec![(5, 5, 5)], vec![]]);
        let waits = |table, id| Waiting { table, id, due_ms: 0, attempts: 1, alone: false };
        let waiting = [
            waits(Table::LlmTraces, 2),
            waits(Table::LlmTraces, 3),
            waits(Table::LlmTraces, 8),
            waits(Table::LlmTraces, 99),
            waits(Table::CustomEvents, 5),
        ];
        let batch = OpenBatch::of_waiting(&fake, draft(), &waiting, WIDE).unwrap().unwrap();
        let body = streamed(&fake, &batch).unwrap();
        assert_eq!((ids(&body, Table::LlmTraces), ids(&body, Table::CustomEvents)), (vec![2, 3, 8], vec![5]));
        assert!(batch.holds(Table::LlmTraces, 8) && !batch.holds(Table::LlmTraces, 5));
        assert_eq!(OpenBatch::of_waiting(&fake, draft(), &waiting[3..4], WIDE).unwrap(), None, "it is gone");
        let again = OpenBatch::thaw(&fake, draft(), &batch.freeze()).unwrap().unwrap();
        assert_eq!(again, batch);
    }
}
