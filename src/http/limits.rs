//! Every limit of the listener, in one place, so that a test can run with short deadlines.

use std::time::Duration;

/// What a client may take of us, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. An idle one holds at most 4 kB: 1 MiB of the memory we promise.
    pub connections_max: usize,
    /// Of these, the most at the listeners for scrapers, where anybody may come in: what is asked there must never keep the
    /// agent out. Two scrapers that each open a few are far from it.
    pub scrapers_max: usize,
    /// Bytes of all answers at those listeners that are being read, of a memory of their own: one of the largest.
    pub scraped_bytes_max: usize,
    /// Connections past `connections_max` that are being told so at the same moment. The others are
    /// closed without waiting for the client to read the answer.
    pub turned_away_max: usize,
    /// Bytes of a native body on the wire. A batch of a thousand calls fits.
    pub native_bytes_max: usize,
    /// Bytes of an OTLP body on the wire: exporters batch 512 spans by default, at some kB each.
    pub otlp_bytes_max: usize,
    /// Bytes of any body once inflated: as many as the queue holds.
    pub inflated_bytes_max: usize,
    /// Bytes of all bodies in flight, as they came and inflated: half of the memory that we promise
    /// never to exceed.
    pub bodies_bytes_max: usize,
    /// The part of `bodies_bytes_max` that only small bodies may use, so that large ones that come
    /// slowly cannot shut them out: room for hundreds of single events.
    pub bodies_small_bytes: usize,
    /// Records in one request: as many calls with little text as an empty queue has bytes for.
    pub items_max: usize,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// From the end of the head to the end of the body, before what `body_rate_min` adds.
    pub body: Duration,
    /// Each of these bytes of body buys one more second: slow is allowed.
    pub body_rate_min: usize,
    /// From one byte of a body to the next, whatever it has bought: stalled is not.
    pub body_stall: Duration,
    /// Between two requests. Longer than the 5 s after which Node.js gives a connection up, and than
    /// the 60 s that most proxies keep one.
    pub idle: Duration,
    /// From the offer to the commit. Longer than any exporter waits for its answer.
    pub answer: Duration,
    /// From the first byte of an answer to its last.
    pub write: Duration,
    /// What is read and thrown away after an answer, so that the connection can be used again.
    pub drain_bytes_max: u64,
    /// How long we wait for more after our last answer, so that a client that still sends can read it:
    /// to close on unread bytes would take the answer away.
    pub linger: Duration,
    /// How much we read and throw away after our last answer: several times the largest body that a
    /// client of ours may send by mistake.
    pub linger_bytes_max: usize,
    /// How often deadlines are looked at while there are connections: how late one may be noticed.
    pub sweep: Duration,
    /// How long no connection is accepted after the system refused one (out of descriptors).
    pub accept_pause: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 256,
            scrapers_max: 16,
            scraped_bytes_max: crate::metrics::BYTES_MAX,
            turned_away_max: 32,
            native_bytes_max: 1 << 20,
            otlp_bytes_max: 4 << 20,
            inflated_bytes_max: 8 << 20,
            bodies_bytes_max: 16 << 20,
            bodies_small_bytes: 1 << 20,
            items_max: 10_000,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_rate_min: 16 << 10,
            body_stall: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(10),
            drain_bytes_max: 64 << 10,
            linger: Duration::from_secs(2),
            linger_bytes_max: 64 << 20,
            sweep: Duration::from_secs(1),
            accept_pause: Duration::from_millis(100),
        }
    }
}
