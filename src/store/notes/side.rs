//! The tables of what is known beside the rows. Each has a largest size, and what was silent longest goes.

use rusqlite::Connection;

/// One of these tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `exporters`
    Exporters,
    /// `undecided_sums`
    UndecidedSums,
    /// `span_context`
    SpanContext,
    /// `waiting_calls`
    WaitingCalls,
    /// `counter_series`
    CounterSeries,
}

/// How many rows each may have, and at most has.
#[derive(Debug, Clone, Copy)]
pub struct Rooms([Room; 5]);

#[derive(Debug, Clone, Copy)]
struct Room {
    /// It has no more than this: rows that went since they were counted, and rows written over others, count as well.
    rows: i64,
    rows_max: i64,
}

/// Processes of agents that may be alive at a time, some dozen times over.
const EXPORTERS_MAX: i64 = 256;
/// Of the others: some hours of a busy agent, at most 4 MB.
const ROWS_MAX: i64 = 4096;
/// A small file may have fewer, so that all five together stay below a third of it: a row takes at most some 900 bytes.
const FILE_BYTES_PER_ROW: u64 = 16 << 10;
/// When there are too many, this part of them goes, so that not each further row has to search for the one to go.
const GOES: i64 = 4;

/// The SQL of one table.
struct Sql {
    count: &'static str,
    // It sorts a small table. A time that is not over yet was told by a clock that was wrong: it must not stay for ever.
    remove: &'static str,
}

macro_rules! sql_of {
    ($table:literal, $key:literal) => {
        Sql {
            count: concat!("SELECT count(*) FROM ", $table),
            remove: concat!(
                "DELETE FROM ",
                $table,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " ORDER BY iif(updated_at > ?2, 0, updated_at) LIMIT ?1)"
            ),
        }
    };
}

impl Side {
    const ALL: [Side; 5] =
        [Side::Exporters, Side::UndecidedSums, Side::SpanContext, Side::WaitingCalls, Side::CounterSeries];

    fn sql(self) -> Sql {
        match self {
            Side::Exporters => sql_of!("exporters", "exporter"),
            Side::UndecidedSums => sql_of!("undecided_sums", "exporter, llm_id"),
            Side::SpanContext => sql_of!("span_context", "otel_trace_id, otel_span_id"),
            Side::WaitingCalls => sql_of!("waiting_calls", "otel_trace_id, otel_parent_span_id, llm_id"),
            Side::CounterSeries => sql_of!("counter_series", "series"),
        }
    }
}

impl Rooms {
    /// Of a file of at most so many bytes. Nobody has counted yet.
    pub fn of_file(file_bytes_max: u64) -> Rooms {
        let fit = i64::try_from(file_bytes_max / FILE_BYTES_PER_ROW).unwrap_or(i64::MAX);
        let room = |most: i64| Room { rows: i64::MAX, rows_max: most.min(fit) };
        let other = room(ROWS_MAX);
        Rooms([room(EXPORTERS_MAX), other, other, other, other])
    }

    /// A row was added to a table, at `now_ms`: if those are too many now, some go.
    pub fn added(&mut self, conn: &Connection, side: Side, now_ms: i64) -> rusqlite::Result<()> {
        let room = &mut self.0[side as usize];
        room.rows = room.rows.saturating_add(1);
        if room.rows <= room.rows_max { Ok(()) } else { room.keep(conn, side, now_ms) }
    }

    /// The file was opened, perhaps with a lower limit than before: what are too many go.
    pub fn fit(&mut self, conn: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        Side::ALL.into_iter().try_for_each(|side| self.0[side as usize].keep(conn, side, now_ms))
    }

    /// What was written was taken back: nobody knows how many rows there are.
    pub fn recount(&mut self) {
        self.0.iter_mut().for_each(|room| room.rows = i64::MAX);
    }
}

impl Room {
    fn keep(&mut self, conn: &Connection, side: Side, now_ms: i64) -> rusqlite::Result<()> {
        let Sql { count, remove } = side.sql();
        self.rows = conn.prepare_cached(count)?.query_row([], |row| row.get(0))?;
        if self.rows > self.rows_max {
            let gone = self.rows - self.rows_max + self.rows_max / GOES;
            conn.prepare_cached(remove)?.execute([gone, now_ms])?;
            self.rows -= gone;
            log::debug!(table:? = side, gone; "what was silent longest is forgotten");
        }
        Ok(())
    }
}
