//! Commands that the node gives its own replica on behalf of a client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quorate_env::{Budget, Charge, Part};
use quorate_keyspace::acl::NODE_USER;
use quorate_keyspace::{CommandError, Reply};
use quorate_replica::{Client, Replica, Transaction};
use quorate_resp::Protocol;
use tokio::sync::Notify;

/// An answer of more than this to a read is refused when the node has no memory for it.
const REFUSABLE_BYTES: usize = 1 << 20;

/// A command under way.
pub(crate) struct Call {
    answer: RefCell<Vec<u8>>,
    charge: RefCell<Charge>,
    index: Cell<u64>,
    done: Notify,
}

/// An answer that is no error.
pub(crate) struct Answer {
    /// As sent, in RESP2.
    pub(crate) bytes: Vec<u8>,
    /// The entry that it holds at.
    pub(crate) index: u64,
    /// What counts the bytes in the node's budget.
    _call: Rc<Call>,
}

impl Call {
    /// Begins a linearizable read.
    pub(crate) fn read(replica: &Replica, db: usize, args: &[&[u8]]) -> Rc<Self> {
        let call = Self::new(replica.memory());
        let client: Rc<dyn Client> = call.clone();
        replica.read(&client, db, args);
        call
    }

    /// Begins a transaction.
    pub(crate) fn transaction(replica: &Replica, transaction: Transaction) -> Rc<Self> {
        let call = Self::new(replica.memory());
        let client: Rc<dyn Client> = call.clone();
        replica.transaction(&client, transaction);
        call
    }

    fn new(memory: &Budget) -> Rc<Self> {
        Rc::new(Self {
            answer: RefCell::default(),
            charge: RefCell::new(memory.charge(Part::Replies)),
            index: Cell::new(0),
            done: Notify::new(),
        })
    }

    /// Waits for the answer, once.
    ///
    /// # Errors
    /// What the command was answered with.
    pub(crate) async fn answer(self: Rc<Self>) -> Result<Answer, CommandError> {
        self.done.notified().await;
        let bytes = self.answer.take();
        match bytes.strip_prefix(b"-") {
            Some(text) => Err(CommandError::new(String::from_utf8_lossy(text).trim_end().to_owned())),
            None => Ok(Answer { bytes, index: self.index.get(), _call: self }),
        }
    }
}

impl Client for Call {
    fn write(&self, run: &mut dyn FnMut(&mut Reply<'_>)) {
        run(&mut Reply::new(&mut self.answer.borrow_mut(), Protocol::Resp2));
    }

    fn done(&self, index: u64) {
        self.index.set(index);
        self.done.notify_one();
    }

    fn accept(&self) -> Option<usize> {
        let mut answer = self.answer.borrow_mut();
        let length = answer.len();
        let admitted = length <= REFUSABLE_BYTES || self.charge.borrow_mut().try_set(length);
        if !admitted {
            *answer = Vec::new();
        }
        admitted.then_some(length)
    }

    fn postpone(&self) {}

    fn user(&self) -> u64 {
        // Its client was allowed to ask for it, whatever it consists of.
        NODE_USER
    }
}
