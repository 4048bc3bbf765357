//! What an application says to the test that runs it, and hears from it: see `tests/clients/conftest.py`.

use std::io::stdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::{env, process, thread};

/// Ports, and the two signals.
pub(crate) struct Play {
    /// All ports, the leader's first.
    pub(crate) nodes: Vec<u16>,
    /// Those of the two nodes that survive.
    pub(crate) survivors: [u16; 2],
    killed: Arc<AtomicBool>,
    busy: AtomicUsize,
}

impl Play {
    /// As many roles go through [`rounds`](Self::rounds). A panic in any of them ends the program.
    pub(crate) fn listen(roles: usize) -> Self {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            process::exit(1);
        }));
        let told = env::args().next_back().expect("ports");
        let nodes = ports(&told, "nodes");
        let survivors = ports(&told, "survivors").try_into().expect("two survivors");
        let killed = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&killed);
        thread::spawn(move || {
            let mut line = String::new();
            stdin().read_line(&mut line).expect("stdin");
            if line != "killed\n" {
                process::exit(3); // the test is gone
            }
            heard.store(true, SeqCst);
        });
        Self { nodes, survivors, killed, busy: AtomicUsize::new(roles) }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(SeqCst)
    }

    /// Calls `round` with numbers from 0: `count` of them before the kill, as many as there is time for around it, and
    /// `count` after it. Returns how many there were.
    pub(crate) fn rounds(&self, count: usize, mut round: impl FnMut(usize)) -> usize {
        (0..count).for_each(&mut round);
        if self.busy.fetch_sub(1, SeqCst) == 1 {
            println!("calm");
        }
        let mut next = count;
        while !self.is_killed() {
            round(next);
            next += 1;
        }
        (next..next + count).for_each(round);
        next + count
    }
}

/// The numbers of a list in `{"nodes": [1, 2], "survivors": [2]}`.
fn ports(told: &str, name: &str) -> Vec<u16> {
    let (_, behind) = told.split_once(&format!("\"{name}\": [")).expect("a list of this name");
    let (list, _) = behind.split_once(']').expect("its end");
    list.split(", ").map(|port| port.parse().expect("a port")).collect()
}
