//! What an entry of the log carries: commands, and the time and the seed by which they are carried out.
//!
//! A fixed header, which the leader completes in place, then elements one after the other until the end:
//!
//! ```text
//! header       format u8, semantics u16, time_ms u64, seed u64, term u64,
//!              origin_node u64, origin_start u64, origin_epoch u32, origin_seq u64
//! element      0 command | 1 transaction | 2 user, command | 3 user, transaction
//! user         the number of who has sent it; without one, the default user
//! command      db, args, (len, bytes) × args
//! transaction  watches, (db, len, bytes, as_of_version, existed) × watches,
//!              steps, (0 command | 1 number of a session's command) × steps
//! ```
//!
//! The highest bit of `semantics` says that the leader was short of memory when it proposed the batch, the next one that the
//! cluster had too few voters for writes.
//! Integers of the header are little-endian; all others are variable (LEB128).

use smallvec::SmallVec;

use crate::acl::DEFAULT_USER;

/// Version of this layout.
pub const FORMAT: u8 = 1;

/// The version of what commands mean that this software implements (R12). Members agree on one before it is used.
pub const SEMANTICS: u16 = 5;

/// Bytes of the header.
pub const HEADER_LEN: usize = 55;

/// The arguments of a command, borrowed from the entry.
pub type Args<'a> = SmallVec<[&'a [u8]; 8]>;

/// The head of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Version of what the commands mean.
    pub semantics: u16,
    /// The leader's clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// From which all random numbers follow.
    pub seed: u64,
    /// The term for which the batch was sent: a leader of another one must not append it (R15).
    pub term: u64,
    /// The node whose clients' commands these are.
    pub origin_node: u64,
    /// That node's start counter.
    pub origin_start: u64,
    /// Raised by that node whenever it begins to number anew.
    pub origin_epoch: u32,
    /// Number of the batch, from 1.
    pub origin_seq: u64,
    /// The leader is above `maxmemory` and has nothing to evict: commands that may need memory are refused (R12).
    pub memory_short: bool,
    /// There are fewer voters beside the leader than `min-replicas-to-write` asks for: scripts that say nothing of
    /// themselves run, but may not write.
    pub few_replicas: bool,
}

/// See [`Header::memory_short`]: beside the version, whose highest bits nobody needs.
const MEMORY_SHORT: u16 = 1 << 15;
/// See [`Header::few_replicas`].
const FEW_REPLICAS: u16 = 1 << 14;

/// A batch that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It ends too early, or a number in it cannot be.
    #[error("the batch is damaged")]
    Damaged,
    /// It comes from newer software.
    #[error("the batch has format {format} and semantics {semantics}, which this version does not know")]
    Unsupported {
        /// Its format.
        format: u8,
        /// Its semantics.
        semantics: u16,
    },
}

/// Writes a header into the first [`HEADER_LEN`] bytes of a payload.
///
/// # Panics
/// If the payload is shorter.
pub fn patch_header(payload: &mut [u8], header: &Header) {
    let mut bytes = [0; HEADER_LEN];
    let mut rest = &mut bytes[..];
    let mut put = |field: &[u8]| {
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(field.len());
        head.copy_from_slice(field);
        rest = tail;
    };
    put(&[FORMAT]);
    let short = if header.memory_short { MEMORY_SHORT } else { 0 };
    let few = if header.few_replicas { FEW_REPLICAS } else { 0 };
    put(&(header.semantics | short | few).to_le_bytes());
    put(&header.time_ms.to_le_bytes());
    put(&header.seed.to_le_bytes());
    put(&header.term.to_le_bytes());
    put(&header.origin_node.to_le_bytes());
    put(&header.origin_start.to_le_bytes());
    put(&header.origin_epoch.to_le_bytes());
    put(&header.origin_seq.to_le_bytes());
    payload[..HEADER_LEN].copy_from_slice(&bytes);
}

/// Reads the header.
///
/// # Errors
/// If the payload is too short or of a format or semantics that this software does not know.
pub fn parse_header(payload: &[u8]) -> Result<Header, BatchError> {
    let mut bytes = payload;
    let [format] = take_array(&mut bytes)?;
    let word = u16::from_le_bytes(take_array(&mut bytes)?);
    let semantics = word & !(MEMORY_SHORT | FEW_REPLICAS);
    let (memory_short, few_replicas) = (word & MEMORY_SHORT != 0, word & FEW_REPLICAS != 0);
    if format != FORMAT || semantics != SEMANTICS {
        return Err(BatchError::Unsupported { format, semantics });
    }
    let mut word = || take_array(&mut bytes).map(u64::from_le_bytes);
    let (time_ms, seed, term, origin_node, origin_start) = (word()?, word()?, word()?, word()?, word()?);
    let origin_epoch = u32::from_le_bytes(take_array(&mut bytes)?);
    let origin_seq = u64::from_le_bytes(take_array(&mut bytes)?);
    Ok(Header {
        semantics,
        time_ms,
        seed,
        term,
        origin_node,
        origin_start,
        origin_epoch,
        origin_seq,
        memory_short,
        few_replicas,
    })
}

/// A key that a transaction depends on, and what [`Keyspace::watch_token`](crate::Keyspace::watch_token) said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch<'a> {
    /// Number of the database.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// The keyspace's version when WATCH was carried out.
    pub as_of_version: u64,
    /// Whether the key existed then.
    pub existed: bool,
}

/// One part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A command for every replica.
    Command {
        /// Number of the database.
        db: usize,
        /// Name and arguments.
        args: Args<'a>,
    },
    /// A command that only the origin's session carries out, by the number the session gave it.
    Local(u64),
}

/// Gathers commands into a payload.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    payload: Vec<u8>,
    commands: usize,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// A batch without commands: it carries time alone.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buffer(Vec::new())
    }

    /// The same in a buffer that is used again; what it holds is lost.
    #[must_use]
    pub fn with_buffer(mut payload: Vec<u8>) -> Self {
        payload.clear();
        payload.resize(HEADER_LEN, 0);
        Self { payload, commands: 0 }
    }

    /// Adds a command. Returns its number in the batch.
    pub fn command(&mut self, db: usize, args: &[&[u8]]) -> usize {
        self.command_by(DEFAULT_USER, db, args)
    }

    /// Adds a command of the user with this number. Returns its number in the batch.
    pub fn command_by(&mut self, user: u64, db: usize, args: &[&[u8]]) -> usize {
        self.put_kind(ELEMENT_COMMAND, user);
        self.put_command(db, args.iter().copied());
        self.next_number()
    }

    /// Begins a command that is put in piece by piece: `count` times [`BatchBuilder::open_arg`] with its
    /// [parts](BatchBuilder::arg_part). Nothing else may be added before it is whole.
    pub fn open_command(&mut self, user: u64, db: usize, count: usize) {
        self.put_kind(ELEMENT_COMMAND, user);
        put_varint(&mut self.payload, db as u64);
        put_varint(&mut self.payload, count as u64);
        self.commands += 1;
    }

    /// Begins the next argument, which has `len` bytes.
    pub fn open_arg(&mut self, len: usize) {
        put_varint(&mut self.payload, len as u64);
    }

    /// The next bytes of that argument.
    pub fn arg_part(&mut self, part: &[u8]) {
        self.payload.extend_from_slice(part);
    }

    /// The same for arguments that are not in a slice.
    pub fn command_iter<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) -> usize {
        self.payload.push(ELEMENT_COMMAND);
        self.put_command(db, args);
        self.next_number()
    }

    /// Begins a transaction of exactly `steps` steps. Returns its number in the batch.
    pub fn begin_transaction(&mut self, watches: &[Watch<'_>], steps: usize) -> usize {
        self.open_transaction(DEFAULT_USER, watches.len());
        watches.iter().for_each(|watch| self.watch(watch));
        self.open_steps(steps);
        self.commands - 1
    }

    /// Begins a transaction of the user with this number, which is put in piece by piece: so many [watches](BatchBuilder::watch), then
    /// [`BatchBuilder::open_steps`]. Nothing else may be added before it is whole.
    pub fn open_transaction(&mut self, user: u64, watches: usize) {
        self.put_kind(ELEMENT_TRANSACTION, user);
        put_varint(&mut self.payload, watches as u64);
        self.commands += 1;
    }

    /// The next watch of the transaction begun last.
    pub fn watch(&mut self, watch: &Watch<'_>) {
        put_varint(&mut self.payload, watch.db as u64);
        put_bytes(&mut self.payload, watch.key);
        put_varint(&mut self.payload, watch.as_of_version);
        self.payload.push(u8::from(watch.existed));
    }

    /// Behind the watches: exactly so many steps follow.
    pub fn open_steps(&mut self, steps: usize) {
        put_varint(&mut self.payload, steps as u64);
    }

    /// A step of the transaction begun last.
    pub fn step_command(&mut self, db: usize, args: &[&[u8]]) {
        self.payload.push(STEP_COMMAND);
        self.put_command(db, args.iter().copied());
    }

    /// The same, put in as [`BatchBuilder::open_command`] is.
    pub fn open_step(&mut self, db: usize, count: usize) {
        self.payload.push(STEP_COMMAND);
        put_varint(&mut self.payload, db as u64);
        put_varint(&mut self.payload, count as u64);
    }

    /// A step of the transaction begun last that only the origin's session carries out.
    pub fn step_local(&mut self, number: u64) {
        self.payload.push(STEP_LOCAL);
        put_varint(&mut self.payload, number);
    }

    /// Number of commands and transactions.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Bytes so far, with the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there are no commands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// The payload. Time and seed may be patched in again later.
    #[must_use]
    pub fn finish(mut self, header: &Header) -> Vec<u8> {
        patch_header(&mut self.payload, header);
        self.payload
    }

    fn put_command<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        put_varint(&mut self.payload, db as u64);
        put_varint(&mut self.payload, args.len() as u64);
        for arg in args {
            put_bytes(&mut self.payload, arg);
        }
    }

    /// What most commands have, the default user, takes no room.
    fn put_kind(&mut self, kind: u8, user: u64) {
        if user == DEFAULT_USER {
            self.payload.push(kind);
        } else {
            self.payload.push(kind | ELEMENT_BY_USER);
            put_varint(&mut self.payload, user);
        }
    }

    fn next_number(&mut self) -> usize {
        self.commands += 1;
        self.commands - 1
    }
}

const ELEMENT_COMMAND: u8 = 0;
const ELEMENT_TRANSACTION: u8 = 1;
/// Beside one of the above: the number of the user follows.
const ELEMENT_BY_USER: u8 = 2;
const STEP_COMMAND: u8 = 0;
const STEP_LOCAL: u8 = 1;

/// Reads the elements of a payload one by one. Never trusts a length further than the bytes reach.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    rest: &'a [u8],
}

/// One element of a batch.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// A single command.
    Command {
        /// The number of the user who has sent it.
        user: u64,
        /// Number of the database.
        db: usize,
        /// Name and arguments.
        args: Args<'a>,
    },
    /// A transaction.
    Transaction {
        /// The number of the user who has sent it.
        user: u64,
        /// What it depends on.
        watches: Vec<Watch<'a>>,
        /// What it does.
        steps: Vec<Step<'a>>,
    },
}

impl<'a> BatchReader<'a> {
    /// A reader of what follows the header.
    ///
    /// # Errors
    /// See [`parse_header`].
    pub fn new(payload: &'a [u8]) -> Result<(Header, Self), BatchError> {
        let header = parse_header(payload)?;
        Ok((header, Self { rest: &payload[HEADER_LEN..] }))
    }

    /// Puts up to `most` elements behind those in `out`. False: there are no more.
    ///
    /// # Errors
    /// If the bytes behind those put out are no element.
    pub(crate) fn next_elements(
        &mut self,
        most: usize,
        out: &mut impl Extend<Element<'a>>,
    ) -> Result<bool, BatchError> {
        for _ in 0..most {
            match self.next_element()? {
                Some(element) => out.extend([element]),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next element; `None` at the end.
    ///
    /// # Errors
    /// If the bytes are no element.
    pub fn next_element(&mut self) -> Result<Option<Element<'a>>, BatchError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let [kind] = take_array(&mut self.rest)?;
        let by_user = kind & ELEMENT_BY_USER != 0;
        let user = if by_user { take_varint(&mut self.rest)? } else { DEFAULT_USER };
        match kind & !ELEMENT_BY_USER {
            ELEMENT_COMMAND => {
                let (db, args) = self.take_command()?;
                Ok(Some(Element::Command { user, db, args }))
            }
            ELEMENT_TRANSACTION => self.take_transaction(user).map(Some),
            _ => Err(BatchError::Damaged),
        }
    }

    fn take_transaction(&mut self, user: u64) -> Result<Element<'a>, BatchError> {
        // Each watch and step takes at least two bytes, which bounds what is allocated.
        let watches = self.take_count(2)?;
        let watches = (0..watches).map(|_| self.take_watch()).collect::<Result<_, _>>()?;
        let steps = self.take_count(2)?;
        let steps = (0..steps).map(|_| self.take_step()).collect::<Result<_, _>>()?;
        Ok(Element::Transaction { user, watches, steps })
    }

    fn take_watch(&mut self) -> Result<Watch<'a>, BatchError> {
        let db = self.take_usize()?;
        let key = self.take_bytes()?;
        let as_of_version = take_varint(&mut self.rest)?;
        let [existed] = take_array(&mut self.rest)?;
        Ok(Watch { db, key, as_of_version, existed: existed != 0 })
    }

    fn take_step(&mut self) -> Result<Step<'a>, BatchError> {
        match take_array(&mut self.rest)? {
            [STEP_COMMAND] => {
                let (db, args) = self.take_command()?;
                Ok(Step::Command { db, args })
            }
            [STEP_LOCAL] => Ok(Step::Local(take_varint(&mut self.rest)?)),
            _ => Err(BatchError::Damaged),
        }
    }

    fn take_command(&mut self) -> Result<(usize, Args<'a>), BatchError> {
        let db = self.take_usize()?;
        let count = self.take_count(1)?;
        if count == 0 {
            return Err(BatchError::Damaged);
        }
        let mut args = Args::with_capacity(count);
        for _ in 0..count {
            args.push(self.take_bytes()?);
        }
        Ok((db, args))
    }

    /// A number of things that take at least `bytes_min` bytes each.
    fn take_count(&mut self, bytes_min: usize) -> Result<usize, BatchError> {
        let count = self.take_usize()?;
        if count > self.rest.len() / bytes_min { Err(BatchError::Damaged) } else { Ok(count) }
    }

    fn take_usize(&mut self) -> Result<usize, BatchError> {
        usize::try_from(take_varint(&mut self.rest)?).map_err(|_| BatchError::Damaged)
    }

    fn take_bytes(&mut self) -> Result<&'a [u8], BatchError> {
        let len = self.take_usize()?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(BatchError::Damaged)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Appends a number in groups of seven bits, lowest first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The inverse of [`put_varint`].
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64, BatchError> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(BatchError::Damaged)?;
        *bytes = rest;
        let group = u64::from(byte & 0x7f);
        if shift == 63 && group > 1 {
            break;
        }
        n |= group << shift;
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(BatchError::Damaged)
}

/// The first `N` bytes.
pub(crate) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], BatchError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(BatchError::Damaged)?;
    *bytes = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header {
        semantics: SEMANTICS,
        time_ms: 1_700_000_000_123,
        seed: 42,
        term: 7,
        origin_node: 3,
        origin_start: 11,
        origin_epoch: 2,
        origin_seq: 99,
        memory_short: true,
        few_replicas: true,
    };

    fn sample() -> Vec<u8> {
        let mut batch = BatchBuilder::new();
        assert_eq!(batch.command(0, &[b"SET", b"key", &[0; 300]]), 0);
        let watch = Watch { db: 15, key: b"w", as_of_version: u64::MAX, existed: true };
        assert_eq!(batch.begin_transaction(&[watch], 2), 1);
        batch.step_command(3, &[b"INCR", b"n"]);
        batch.step_local(500);
        assert_eq!(batch.command_iter(1, [&b"GET"[..], b"key"].into_iter()), 2);
        assert_eq!(batch.command_by(300, 1, &[b"DEL", b"key"]), 3);
        batch.open_transaction(u64::MAX, 0);
        batch.open_steps(1);
        batch.step_command(0, &[b"PING"]);
        assert_eq!(batch.commands(), 5);
        batch.finish(&HEADER)
    }

    fn read_all(payload: &[u8]) -> Result<Vec<String>, BatchError> {
        let (_, mut reader) = BatchReader::new(payload)?;
        let mut out = Vec::new();
        while let Some(element) = reader.next_element()? {
            out.push(format!("{element:?}"));
        }
        Ok(out)
    }

    #[test]
    fn a_command_in_pieces_is_the_same_as_whole() {
        let mut whole = BatchBuilder::new();
        whole.command(3, &[b"SET", b"key", b"a value", b""]);
        let mut pieces = BatchBuilder::new();
        pieces.open_command(DEFAULT_USER, 3, 4);
        for arg in [&b"SET"[..], b"key", b"a value", b""] {
            pieces.open_arg(arg.len());
            arg.chunks(2).for_each(|part| pieces.arg_part(part));
        }
        assert_eq!(pieces.commands(), 1);
        let header = Header::default();
        assert_eq!(pieces.finish(&header), whole.finish(&header));
    }

    #[test]
    fn what_is_written_is_read() {
        let payload = sample();
        let (header, mut reader) = BatchReader::new(&payload).unwrap();
        assert_eq!(header, HEADER);
        let Some(Element::Command { user: DEFAULT_USER, db: 0, args }) = reader.next_element().unwrap()
        else {
            panic!()
        };
        assert_eq!(args.as_slice(), [b"SET".as_slice(), b"key", &[0; 300]]);
        let Some(Element::Transaction { user: DEFAULT_USER, watches, steps }) =
            reader.next_element().unwrap()
        else {
            panic!()
        };
        assert_eq!(watches, [Watch { db: 15, key: b"w", as_of_version: u64::MAX, existed: true }]);
        assert_eq!(steps[1], Step::Local(500));
        let Step::Command { db: 3, args } = &steps[0] else { panic!() };
        assert_eq!(args.as_slice(), [b"INCR".as_slice(), b"n"]);
        assert!(matches!(reader.next_element(), Ok(Some(Element::Command { db: 1, .. }))));
        assert!(matches!(reader.next_element(), Ok(Some(Element::Command { user: 300, db: 1, .. }))));
        assert!(matches!(reader.next_element(), Ok(Some(Element::Transaction { user: u64::MAX, .. }))));
        assert!(reader.next_element().unwrap().is_none());
    }

    #[test]
    fn a_newer_batch_is_told_from_a_damaged_one() {
        let mut payload = sample();
        payload[1] = 9;
        assert_eq!(parse_header(&payload), Err(BatchError::Unsupported { format: FORMAT, semantics: 9 }));
        assert_eq!(parse_header(&payload[..2]), Err(BatchError::Damaged));
    }

    #[test]
    fn every_prefix_is_whole_elements_or_damaged() {
        let payload = sample();
        let whole = (0..=payload.len()).filter(|&len| read_all(&payload[..len]).is_ok()).count();
        assert_eq!(whole, 6, "after the header and each of the five elements");
    }

    #[test]
    fn a_length_is_not_believed() {
        for huge in [1 << 20, u64::from(u32::MAX), u64::MAX] {
            for kind in [ELEMENT_COMMAND, ELEMENT_TRANSACTION] {
                let mut payload = BatchBuilder::new().finish(&HEADER);
                payload.push(kind);
                put_varint(&mut payload, huge);
                put_varint(&mut payload, huge);
                assert_eq!(read_all(&payload), Err(BatchError::Damaged));
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_at_worst(mut tail in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<(usize, u8)>()) {
            let mut payload = BatchBuilder::new().finish(&HEADER);
            payload.append(&mut tail);
            let _ = read_all(&payload);
            let mut damaged = sample();
            let at = flip.0 % damaged.len();
            damaged[at] ^= flip.1;
            let _ = read_all(&damaged);
        }

        #[test]
        fn numbers_survive(n in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, n);
            prop_assert_eq!(take_varint(&mut &bytes[..]), Ok(n));
        }
    }
}
