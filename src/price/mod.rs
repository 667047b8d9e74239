//! What a call costs: a table of prices, and the formula.
//!
//! The table that is compiled in (`embedded.tsv`) comes from the package genai-prices, under the MIT licence
//! (`LICENSE-genai-prices`), by `generate.py`; a file of the user's can stand before it or in its place. Promises: a cost
//! that somebody said is never touched, a model that is not in the table has no price, and no price is a guess. A price
//! per million tokens has at most six decimals, so every sum of tokens and prices is a whole number of
//! pico-dollars: nothing is ever rounded.

mod calls;
mod cells;
mod formula;
mod pattern;
mod providers;
mod table;

use std::fmt;
use std::sync::Arc;

use crate::event::{CostSource, LlmTrace, Status};

pub use calls::is_usual_tier;

use calls::Call;
use providers::Asked;
use table::{Entry, Table};

/// The most bytes of a file of prices: sixteen times the table that is compiled in.
pub const FILE_BYTES_MAX: usize = 1 << 20;

const EMBEDDED: &str = include_str!("embedded.tsv");

/// Prices of models. Cheap to share, never changed.
pub struct Prices {
    /// Looked into one after the other; none = no call is priced.
    tables: Vec<Table>,
}

/// What [`Prices::fill`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Filled {
    /// The cost was there already.
    AlreadyCosted,
    /// It has a cost from the table now.
    Priced,
    /// It has tokens, and the table has no price for them.
    Unpriced,
    /// It has no tokens, or failed, or nobody wants prices.
    NothingToPrice,
}

/// One thing that is wrong with a file of prices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {wanted}, got {found:?}")]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What would have been right.
    pub wanted: String,
    /// What stands there, cut short.
    pub found: String,
}

impl Prices {
    /// The table that is compiled in.
    pub fn embedded() -> Prices {
        Prices { tables: vec![Table::embedded(EMBEDDED)] }
    }

    /// No prices: a call has the cost that its producer says, or none.
    pub fn off() -> Prices {
        Prices { tables: Vec::new() }
    }

    /// The prices of a file, before those that are compiled in or in their place, as its first line says
    /// (docs/configuration.md).
    ///
    /// # Errors
    /// Everything that is wrong with the file, in the order of its lines.
    pub fn extended(file: &str) -> Result<Prices, Vec<Fault>> {
        let (table, replaces) = Table::of_file(file)?;
        let mut tables = vec![table];
        if !replaces {
            tables.push(Table::embedded(EMBEDDED));
        }
        Ok(Prices { tables })
    }

    /// Gives a call the cost that the table has for it, if it has none yet. A call that failed costs nothing that a
    /// table knows of.
    pub fn fill(&self, trace: &mut LlmTrace) -> Filled {
        if trace.cost.is_some() {
            return Filled::AlreadyCosted;
        }
        let Some(call) = Call::of(trace).filter(|_| trace.status != Status::Error && !self.tables.is_empty()) else {
            return Filled::NothingToPrice;
        };
        let found = self.entry(trace);
        let Some((table, cost)) = found.and_then(|(table, entry)| Some((table, entry.cost(&call)?))) else {
            return Filled::Unpriced;
        };
        trace.cost = Some(cost);
        trace.cost_source = CostSource::Table;
        trace.price_version = Some(Arc::clone(&table.version));
        Filled::Priced
    }

    /// Where the prices are from, for people: `off`, or the versions of the tables.
    pub fn version(&self) -> String {
        let versions: Vec<&str> = self.tables.iter().map(|table| &*table.version).collect();
        if versions.is_empty() { "off".to_owned() } else { versions.join(", ") }
    }

    /// The lines of the model that answered, else of the model that was asked for.
    fn entry(&self, trace: &LlmTrace) -> Option<(&Table, Entry<'_>)> {
        let provider = trace.provider.as_deref();
        let models = [trace.response_model.as_deref(), Some(&*trace.request_model)];
        models.into_iter().flatten().find_map(|model| {
            let asked = Asked::new(provider, model);
            self.tables.iter().find_map(|table| Some((table, table.entry(&asked)?)))
        })
    }
}

/// Two are equal that come from the same versions.
impl PartialEq for Prices {
    fn eq(&self, other: &Prices) -> bool {
        self.version() == other.version()
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prices").field(&self.version()).finish()
    }
}

#[cfg(test)]
mod tests;
