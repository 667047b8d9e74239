//! `backup FILE`: a copy of the database in one file, while the sidecar runs or not.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::event::Table;
use crate::shutdown::Interrupt;
use crate::store;

/// Makes the backup. One line either way: what is in it, or why there is none.
pub fn make(config: &Config, target: &Path) -> Result<String, String> {
    let interrupt = Interrupt::new().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let give_up: store::GiveUp = Arc::new(move || interrupt.came());
    let contents = store::backup(&config.db_path, target, &give_up).map_err(|error| error.to_string())?;
    let rows = Table::ALL.map(|table| format!(" {}={}", table.name(), contents.rows[table.index()])).concat();
    Ok(format!("backup={} bytes={}{rows}\n", target.display(), contents.bytes))
}
