//! Who may do what on this node: the users as its log has them, and what was refused to whom.

mod refusals;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use quorate_cluster::config::Config;
use quorate_keyspace::acl::{Acl, DEFAULT_USER, Denied, Reason};
use quorate_keyspace::command::Command;
use quorate_replica::Consensus;

pub(crate) use refusals::{Context, Refusal, Refusals};

/// Told of the users before and after a change.
type OnChange = Box<dyn Fn(&Acl, &Acl)>;

/// See the module. It does not look at the replica, so that it can be asked while that is busy.
pub(crate) struct Access {
    users: RefCell<Arc<Acl>>,
    /// Whether the default user may do everything: asked for each command.
    is_open: Cell<bool>,
    on_change: RefCell<Option<OnChange>>,
    pub(crate) refusals: Refusals,
}

impl Access {
    pub(crate) fn new(config: Config, consensus: Consensus) -> Rc<Self> {
        let users = Arc::<Acl>::default();
        Rc::new(Self {
            is_open: Cell::new(users.is_open()),
            users: RefCell::new(users),
            on_change: RefCell::default(),
            refusals: Refusals::new(config, consensus),
        })
    }

    /// The users, as of the last entry applied.
    pub(crate) fn users(&self) -> Arc<Acl> {
        self.users.borrow().clone()
    }

    /// Calls `f` after each change of users.
    pub(crate) fn on_change(&self, f: impl Fn(&Acl, &Acl) + 'static) {
        *self.on_change.borrow_mut() = Some(Box::new(f));
    }

    /// Takes over what an entry has made of the users.
    pub(crate) fn follow(&self, users: &Arc<Acl>) {
        self.is_open.set(users.is_open());
        let before = self.users.replace(users.clone());
        if let Some(f) = &*self.on_change.borrow() {
            f(&before, users);
        }
    }

    /// Whether the user with this number may do what a command line says.
    pub(crate) fn judge(&self, user: u64, command: &'static Command, args: &[&[u8]]) -> Result<(), Denied> {
        if user == DEFAULT_USER && self.is_open.get() {
            return Ok(());
        }
        self.users.borrow().judge(user, command, args)
    }
}

/// What a reason is called.
pub(crate) fn word_of(reason: Reason) -> &'static str {
    match reason {
        Reason::Command => "command",
        Reason::Key => "key",
        Reason::Channel => "channel",
    }
}
