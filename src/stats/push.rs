//! How the push to the remote goes.

/// What the push says of the remote.
#[derive(Debug, Clone, Default)]
pub struct PushReport {
    /// Whether there is a remote at all.
    pub enabled: bool,
    /// Whether rows may go out.
    pub circuit: Circuit,
    /// When the next push begins, Unix milliseconds.
    pub next_attempt_ms: Option<i64>,
    /// Batches of which rows were confirmed.
    pub batches: u64,
    /// Rows confirmed.
    pub rows: u64,
    /// Rows that the remote will never take: they became dead letters.
    pub rows_rejected: u64,
    /// How often the remote put a row off or refused it for the time being.
    pub rows_put_off: u64,
    /// Rows that the remote dropped without saying which.
    pub rows_unnamed: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Attempts that failed since the last one that did not.
    pub failures_in_row: u32,
    /// When a batch was last confirmed, Unix milliseconds.
    pub last_success_ms: Option<i64>,
    /// When an attempt last failed, Unix milliseconds.
    pub last_failure_ms: Option<i64>,
    /// Why.
    pub last_error: Option<String>,
}

/// What the breaker of the push lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circuit {
    /// Everything.
    #[default]
    Closed,
    /// Nothing now.
    Open,
    /// One small batch, to see whether it works again.
    HalfOpen,
}

impl Circuit {
    /// All of them.
    pub const ALL: [Circuit; 3] = [Circuit::Closed, Circuit::Open, Circuit::HalfOpen];

    /// The name in `/health` and `/metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Circuit::Closed => "closed",
            Circuit::Open => "open",
            Circuit::HalfOpen => "half_open",
        }
    }
}
