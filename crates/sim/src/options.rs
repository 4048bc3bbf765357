//! What a simulated world is like when nothing goes wrong.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The parameters of a world.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything happens at multiples of this time: a coarser one lets more things happen in one turn of a
    /// node, and is faster. Empty ticks cost nothing.
    pub tick: Duration,
    /// Every link that has no setting of its own.
    pub link: Link,
    /// Every disk.
    pub disk: DiskProfile,
    /// After this time, connecting to an address that does not answer fails.
    pub connect_timeout: Duration,
    /// Bytes that one direction of a stream holds between the writer and the reader.
    pub stream_capacity: usize,
    /// The wall clocks at the start of the world, in Unix milliseconds.
    pub wall_start_ms: u64,
    /// A node whose local tasks are polled in more rounds than this without any time passing is taken to be
    /// in an endless loop, and the world panics. (Tasks of `tokio::spawn` that loop are not noticed.)
    pub polls_per_turn_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_micros(100),
            link: Link::default(),
            disk: DiskProfile::default(),
            connect_timeout: Duration::from_secs(20),
            stream_capacity: 256 * 1024,
            wall_start_ms: 1_750_000_000_000,
            polls_per_turn_max: 100_000,
        }
    }
}

/// One direction between two nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// How long a segment travels. Those of one stream never overtake each other.
    pub latency: RangeInclusive<Duration>,
    /// Bytes per second of one stream; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// The share of segments (0 to 1) that get lost and, streams being TCP, arrive late: after 200 ms, twice
    /// that if lost again, and so on.
    pub loss: f64,
    /// The share of segments (0 to 1) at which the connection breaks for both ends.
    pub reset: f64,
}

impl Default for Link {
    /// A network within a rack: 50 to 150 µs, nothing lost.
    fn default() -> Self {
        let latency = Duration::from_micros(50)..=Duration::from_micros(150);
        Self { latency, bandwidth: None, loss: 0.0, reset: 0.0 }
    }
}

/// How fast a disk is.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskProfile {
    /// How long any operation takes but `Write`'s bytes and `Sync`.
    pub op: RangeInclusive<Duration>,
    /// Bytes per second of a `Write`.
    pub bandwidth: u64,
    /// How long `Sync` and `SyncDir` take.
    pub sync: RangeInclusive<Duration>,
    /// The share of syncs (0 to 1) that take as long as `slow_sync`.
    pub slow_sync_share: f64,
    /// How long a slow sync takes.
    pub slow_sync: RangeInclusive<Duration>,
}

impl Default for DiskProfile {
    /// A data-centre SSD: 100 to 400 µs a sync, one in 500 takes up to 20 ms.
    fn default() -> Self {
        Self {
            op: Duration::from_micros(5)..=Duration::from_micros(20),
            bandwidth: 1_000_000_000,
            sync: Duration::from_micros(100)..=Duration::from_micros(400),
            slow_sync_share: 0.002,
            slow_sync: Duration::from_millis(2)..=Duration::from_millis(20),
        }
    }
}
