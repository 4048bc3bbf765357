//! What commands need to know beside the data: the replicated settings that decide how values are kept.

use siphasher::sip::SipHasher13;

use crate::{evict::Policy, keyspace::Meta, number::parse_i64, table::SLOT_MASK, types::list::ListpackLimit};

/// Setting: scripts may call DEBUG.
pub(crate) const SCRIPTS_MAY_DEBUG: &str = "debug.disable-deny-scripts";

/// Setting: RESTORE takes payloads whose checksum is wrong.
pub(crate) const SKIPS_CHECKSUMS: &str = "debug.skip-checksum-validation";

/// Setting: keys past their deadline are freed only after somebody has looked for one.
pub(crate) const RECLAIMS_LAZILY: &str = "debug.lazy-expire";

/// How values are kept. All of it follows from the log (R12): OBJECT ENCODING shows it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The secret of the cluster from which all hashes follow.
    hash_key: [u8; 16],
    /// `hash-max-listpack-entries`: most fields of a packed hash.
    pub(crate) hash_entries_max: usize,
    /// `hash-max-listpack-value`: longest field or value in it, in bytes.
    pub(crate) hash_value_max: usize,
    /// `set-max-intset-entries`: most members of a set of integers.
    pub(crate) set_ints_max: usize,
    /// `set-max-listpack-entries`: most members of a packed set.
    pub(crate) set_entries_max: usize,
    /// `set-max-listpack-value`: longest member of it, in bytes.
    pub(crate) set_value_max: usize,
    /// `zset-max-listpack-entries`: most members of a packed sorted set.
    pub(crate) zset_entries_max: usize,
    /// `zset-max-listpack-value`: longest member of it, in bytes.
    pub(crate) zset_value_max: usize,
    /// `list-max-listpack-size`.
    pub(crate) list_limit: ListpackLimit,
    /// `stream-node-max-bytes`: how large a node of a stream may be; 0 is any size.
    pub(crate) stream_node_bytes_max: usize,
    /// `stream-node-max-entries`: how many entries a node of a stream may have; 0 is any number.
    pub(crate) stream_node_entries_max: usize,
    /// `hll-sparse-max-bytes`: longest sparse HyperLogLog, in bytes.
    pub(crate) hll_sparse_bytes_max: usize,
    /// `script-steps-max`: what a script may spend, in instructions of its interpreter; library functions and commands count
    /// as so many as they take about as long as.
    pub(crate) script_steps_max: u64,
    /// `script-memory-max`: what the interpreter of a script may hold, in bytes.
    pub(crate) script_memory_max: usize,
    /// `maxmemory-policy`: how uses of keys are noted, and what of them can be asked.
    pub(crate) policy: Policy,
    /// `lfu-log-factor`: how seldom the counter of a key grows that is used often.
    pub(crate) lfu_log_factor: u64,
    /// `lfu-decay-time`: after so many minutes it falls by one; 0 is never.
    pub(crate) lfu_decay_minutes: u64,
    /// Whether Redis would share small integers: not if it needs to know how each one is used.
    pub(crate) shares_integers: bool,
    /// `min-replicas-to-write`: so many voters there must be beside the leader.
    pub(crate) replicas_to_write: usize,
    /// [`SCRIPTS_MAY_DEBUG`]
    pub(crate) scripts_may_debug: bool,
    /// [`SKIPS_CHECKSUMS`]
    pub(crate) skips_checksums: bool,
    /// [`RECLAIMS_LAZILY`]
    pub(crate) reclaims_lazily: bool,
}

impl Rules {
    /// The settings and what holds for each until it is set: where Redis 7.2 has the same one, its documented default.
    pub const DEFAULTS: [(&'static str, i64); 15] = [
        ("hash-max-listpack-entries", 512),
        ("hash-max-listpack-value", 64),
        ("set-max-intset-entries", 512),
        ("set-max-listpack-entries", 128),
        ("set-max-listpack-value", 64),
        ("zset-max-listpack-entries", 128),
        ("zset-max-listpack-value", 64),
        ("list-max-listpack-size", -2),
        ("stream-node-max-bytes", 4096),
        ("stream-node-max-entries", 100),
        ("hll-sparse-max-bytes", 3000),
        ("script-steps-max", 1_000_000_000),
        ("script-memory-max", 1 << 30),
        ("lfu-log-factor", 10),
        ("lfu-decay-time", 1),
    ];

    /// Those of a state.
    pub(crate) fn of(meta: &Meta) -> Self {
        let number = |name: &str| {
            let value = meta.directory.get(&format!("config.{name}"));
            let default = || Self::DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            value.and_then(|text| parse_i64(text)).or_else(default).expect("every setting has a default")
        };
        let size = |name: &str| usize::try_from(number(name)).unwrap_or(0);
        let text = |name: &str| meta.directory.get(&format!("config.{name}")).map_or(&b""[..], Vec::as_slice);
        let policy = Policy::of(&String::from_utf8_lossy(text("maxmemory-policy")));
        let is_limited = parse_i64(text("maxmemory")).is_some_and(|bytes| bytes > 0);
        Self {
            hash_key: meta.hash_key,
            hash_entries_max: size("hash-max-listpack-entries"),
            hash_value_max: size("hash-max-listpack-value"),
            set_ints_max: size("set-max-intset-entries"),
            set_entries_max: size("set-max-listpack-entries"),
            set_value_max: size("set-max-listpack-value"),
            zset_entries_max: size("zset-max-listpack-entries"),
            zset_value_max: size("zset-max-listpack-value"),
            list_limit: ListpackLimit::new(number("list-max-listpack-size")),
            stream_node_bytes_max: size("stream-node-max-bytes"),
            stream_node_entries_max: size("stream-node-max-entries"),
            hll_sparse_bytes_max: size("hll-sparse-max-bytes"),
            script_steps_max: size("script-steps-max") as u64,
            script_memory_max: size("script-memory-max"),
            policy,
            lfu_log_factor: size("lfu-log-factor") as u64,
            lfu_decay_minutes: size("lfu-decay-time") as u64,
            shares_integers: !(is_limited && policy.looks_at_uses()),
            replicas_to_write: parse_i64(text("min-replicas-to-write"))
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0),
            scripts_may_debug: meta.directory.contains_key(SCRIPTS_MAY_DEBUG),
            skips_checksums: meta.directory.contains_key(SKIPS_CHECKSUMS),
            reclaims_lazily: meta.directory.contains_key(RECLAIMS_LAZILY),
        }
    }

    /// The hash that decides where a key or a member stands: keyed, so that nobody can choose members that collide.
    /// Its low bits are zero.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.hash_key).hash(bytes) & !SLOT_MASK
    }
}
