//! A network of real packets: every node is in a network namespace of its own, and all of them are on one bridge, where
//! the clients are, too. Needs root, and the commands `ip` and `tc` of iproute2. Of the kernel it needs bridges, veth and HTB,
//! which all kernels of distributions have, and no netem, which some small ones have not.
//!
//! A way is *cut* at its beginning: the sender gets an Ethernet address for the receiver that nobody has. Packets leave
//! and arrive nowhere, and no error tells of it; TCP sends them again, later and later, or gives up. The other direction and
//! the clients notice nothing. A *slow* way is a narrow one: a class of the HTB queueing discipline with a low rate, and a
//! short queue in front of it. What does not fit is lost.
//!
//! Everything is named `qt`, the number of this process, and what it is. It is removed when [`Namespaces`] is dropped; if the
//! process was killed, by the next one that looks.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: it runs commands of the system"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::network::Links;
use super::proxy::Way;
use crate::local_cluster::Place;

/// Where the names of namespaces are.
const NAMESPACES: &str = "/run/netns";
const PREFIX: &str = "qt";
/// Each namespace's end of its cable.
const DEVICE: &str = "eth0";
/// An address of nobody: locally administered, and the kernel gives random ones only.
const NOBODY: &str = "06:00:00:00:00:00";
/// The bridge's own address in the subnet, from which clients come.
const CLIENTS: u16 = 254;
/// Subnets that routers do not carry: for measurements of networks (RFC 2544), 198.18.0.0/15.
const SUBNETS: u32 = 512;
/// A packet of full size, with its Ethernet header, bits.
const PACKET_BITS: u64 = 1514 * 8;
/// How many packets wait in front of a narrow way; further ones are lost.
const QUEUE_PACKETS: &str = "10";
/// What may pass a narrow way at once, bytes: a packet.
const BURST: &str = "1600";

/// The namespaces. Dropping it removes them; what runs in them must have ended before.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// The name of the bridge, and the beginning of all other names.
    tag: String,
    /// The first three numbers of all addresses.
    subnet: String,
    nodes: u16,
    broken: RefCell<Broken>,
}

#[derive(Debug, Default)]
struct Broken {
    cut: BTreeSet<Way>,
    slow: BTreeSet<Way>,
}

impl Namespaces {
    /// Makes them, for nodes 1 to `nodes`. An error says why that cannot be.
    pub(super) fn new(nodes: u16) -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let pid = std::process::id();
        sweep(pid)?;
        let made = Self {
            tag: format!("{PREFIX}{pid}"),
            subnet: free_subnet(pid)?,
            nodes,
            broken: RefCell::default(),
        };
        made.build()?;
        made.rehearse()?;
        Ok(made)
    }

    fn build(&self) -> anyhow::Result<()> {
        let Self { tag, .. } = self;
        ip(&["link", "add", tag, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", self.host(CLIENTS)), "dev", tag])?;
        ip(&["link", "set", tag, "up"])?;
        for id in 1..=self.nodes {
            let (name, cable) = (self.name(id.into()), self.cable(id));
            ip(&["netns", "add", &name])?;
            ip(&["link", "add", &cable, "type", "veth", "peer", "name", DEVICE, "netns", &name])?;
            ip(&["link", "set", &cable, "master", tag, "up"])?;
            let inside = |args: &[&str]| ip(&[&["-n", &name], args].concat());
            inside(&["addr", "add", &format!("{}/24", self.host(id)), "dev", DEVICE])?;
            inside(&["link", "set", "lo", "up"])?;
            // Packets of the size that a cable has: a large one would be lost as a whole.
            inside(&["link", "set", "dev", DEVICE, "gso_max_segs", "1"])?;
            inside(&["link", "set", DEVICE, "up"])?;
        }
        Ok(())
    }

    /// Does once what it is for: a kernel that cannot do it must be noticed now.
    fn rehearse(&self) -> anyhow::Result<()> {
        if self.nodes > 1 {
            self.cut(&[(1, 2)])?;
            self.slow(&[(1, 2)], Duration::from_millis(10))?;
            self.heal(&[(1, 2)], false)?;
        }
        Ok(())
    }

    /// Where the nodes run, in the order of their numbers.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |id: u16| Place {
            host: self.host(id),
            through: ["ip", "netns", "exec", &self.name(id.into())].map(str::to_owned).to_vec(),
        };
        (1..=self.nodes).map(place).collect()
    }

    fn name(&self, id: u64) -> String {
        format!("{}n{id}", self.tag)
    }

    /// The bridge's end of a node's cable.
    fn cable(&self, id: u16) -> String {
        format!("{}v{id}", self.tag)
    }

    fn host(&self, id: impl Into<u64>) -> String {
        format!("{}.{}", self.subnet, id.into())
    }
}

impl Links for Namespaces {
    fn cut(&self, ways: &[Way]) -> anyhow::Result<()> {
        for (from, to) in ways {
            let name = self.name(*from);
            let entry =
                ["neigh", "replace", &self.host(*to), "lladdr", NOBODY, "dev", DEVICE, "nud", "permanent"];
            ip(&[&["-n", &name], &entry[..]].concat())?;
            self.broken.borrow_mut().cut.insert((*from, *to));
        }
        Ok(())
    }

    /// Connections break or not as TCP decides; `breaks` changes nothing.
    fn heal(&self, ways: &[Way], _breaks: bool) -> anyhow::Result<()> {
        let mut broken = self.broken.borrow_mut();
        for way in ways {
            let (name, (from, to)) = (self.name(way.0), way);
            if broken.cut.remove(way) {
                ip(&["-n", &name, "neigh", "del", &self.host(*to), "dev", DEVICE])?;
            }
            if broken.slow.remove(way) {
                if broken.slow.iter().any(|other| other.0 == *from) {
                    tc(&[
                        "-n",
                        &name,
                        "filter",
                        "del",
                        "dev",
                        DEVICE,
                        "parent",
                        "1:",
                        "prio",
                        &to.to_string(),
                    ])?;
                } else {
                    tc(&["-n", &name, "qdisc", "del", "dev", DEVICE, "root"])?;
                }
            }
        }
        Ok(())
    }

    fn slow(&self, ways: &[Way], delay: Duration) -> anyhow::Result<()> {
        let rate = format!("{}bit", bits_per_second(delay));
        self.heal(&ways.iter().copied().filter(|way| self.is_slow(*way)).collect::<Vec<_>>(), false)?;
        for (from, to) in ways {
            let name = self.name(*from);
            let tc = |args: &[&str]| tc(&[&["-n", &name], args].concat());
            let mut broken = self.broken.borrow_mut();
            if !broken.slow.iter().any(|other| other.0 == *from) {
                // What no filter sends into a class passes at once.
                tc(&["qdisc", "add", "dev", DEVICE, "root", "handle", "1:", "htb"])?;
            }
            broken.slow.insert((*from, *to));
            let class = format!("1:{to}");
            tc(&[
                "class", "replace", "dev", DEVICE, "parent", "1:", "classid", &class, "htb", "rate", &rate,
                "burst", BURST, "cburst", BURST,
            ])?;
            tc(&["qdisc", "replace", "dev", DEVICE, "parent", &class, "pfifo", "limit", QUEUE_PACKETS])?;
            let host = format!("{}/32", self.host(*to));
            tc(&[
                "filter",
                "add",
                "dev",
                DEVICE,
                "parent",
                "1:",
                "protocol",
                "ip",
                "prio",
                &to.to_string(),
                "u32",
                "match",
                "ip",
                "dst",
                &host,
                "flowid",
                &class,
            ])?;
        }
        Ok(())
    }
}

impl Namespaces {
    fn is_slow(&self, way: Way) -> bool {
        self.broken.borrow().slow.contains(&way)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // What cannot be removed now is found by the next one.
        let _ = remove(&self.tag);
    }
}

/// The rate at which a packet of full size takes `delay`.
fn bits_per_second(delay: Duration) -> u64 {
    PACKET_BITS * 1_000_000 / u64::try_from(delay.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// The first three numbers of a subnet that this machine does not know.
fn free_subnet(pid: u32) -> anyhow::Result<String> {
    for at in 0..SUBNETS {
        let number = (pid + at) % SUBNETS;
        let subnet = format!("198.{}.{}", 18 + number / 256, number % 256);
        if ip(&["-4", "route", "show", "root", &format!("{subnet}.0/24")])?.trim().is_empty() {
            return Ok(subnet);
        }
    }
    bail!("this machine uses all subnets of 198.18.0.0/15 already")
}

/// Removes what processes left here that have ended, among them one that had this process's number.
fn sweep(own: u32) -> anyhow::Result<()> {
    let left: BTreeSet<u32> =
        names()?.iter().filter_map(|name| owner(name)).filter(|pid| *pid == own || !is_alive(*pid)).collect();
    for pid in left {
        remove(&format!("{PREFIX}{pid}"))?;
    }
    Ok(())
}

/// Removes all namespaces and the bridge of a process.
fn remove(tag: &str) -> anyhow::Result<()> {
    for name in names()? {
        match name.strip_prefix(tag) {
            Some("") => drop(ip(&["link", "del", &name])?),
            Some(node) if owner(&name).is_some_and(|pid| tag == format!("{PREFIX}{pid}")) => {
                // A namespace takes its cable with it, but only after a while. It may have done so already.
                let _ = ip(&["link", "del", &format!("{tag}{}", node.replace('n', "v"))]);
                ip(&["netns", "del", &name])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// All namespaces and bridges of this machine.
fn names() -> anyhow::Result<Vec<String>> {
    // `ip netns list` complains about those of other processes whose mounts are their own.
    let namespaces = match fs::read_dir(NAMESPACES) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let bridges = ip(&["-o", "link", "show", "type", "bridge"])?;
    // "7: name: <FLAGS> ..."
    let bridges = bridges.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned);
    Ok(namespaces.context(NAMESPACES)?.into_iter().chain(bridges).collect())
}

/// The process that made something with this name, if a process like this one did.
fn owner(name: &str) -> Option<u32> {
    let (pid, node) = match name.strip_prefix(PREFIX)?.split_once('n') {
        Some((pid, node)) => (pid, Some(node)),
        None => (name.strip_prefix(PREFIX)?, None),
    };
    node.is_none_or(|node| node.parse::<u16>().is_ok()).then(|| pid.parse().ok())?
}

/// Whether a process runs that may be another one of this tool: its number may have gone to something else meanwhile.
fn is_alive(pid: u32) -> bool {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let is_tool = |other: String| other.starts_with("quorate") || Some(other) == name("self");
    name(&pid.to_string()).is_some_and(is_tool)
}

fn ip(args: &[&str]) -> anyhow::Result<String> {
    run("ip", args)
}

fn tc(args: &[&str]) -> anyhow::Result<String> {
    run("tc", args)
}

fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    // A group of its own: Ctrl-C at the terminal is for the tool, which has to undo things then.
    command.args(args).stdin(Stdio::null()).process_group(0);
    let output = command.output().with_context(|| format!("the command `{program}` (iproute2)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program} {}` says: {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use nix::sched::{CloneFlags, setns};
    use quorate_env::Instant;

    use super::*;

    const PORT: u16 = 4000;
    /// A number that no process can have.
    const NO_PROCESS: &str = "qt4194305";

    /// Does something in a namespace: what it opens there can be used everywhere.
    fn inside<T: Send>(name: &str, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let acts = scope.spawn(|| {
                setns(File::open(format!("{NAMESPACES}/{name}")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            acts.join().unwrap()
        })
    }

    /// Sends everything back, on every connection.
    fn echo(listener: TcpListener) {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count) = stream.read(&mut chunk)
                    && count > 0
                    && stream.write_all(&chunk[..count]).is_ok()
                {}
            });
        }
    }

    /// Sends that many bytes and waits until they are back.
    fn exchange(stream: &mut TcpStream, count: usize) -> std::io::Result<Duration> {
        let begin = Instant::now();
        stream.write_all(&vec![7; count])?;
        stream.read_exact(&mut vec![0; count])?;
        Ok(begin.elapsed())
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "tells what it left out")]
    fn real_packets_are_lost_and_late_and_nothing_stays_behind() {
        if let Err(error) = Namespaces::new(1) {
            return eprintln!("LEFT OUT: {error:#}");
        }
        ip(&["netns", "add", &format!("{NO_PROCESS}n1")]).unwrap();
        ip(&["link", "add", NO_PROCESS, "type", "bridge"]).unwrap();
        ip(&["netns", "add", &format!("{PREFIX}{}n1", std::process::id())]).unwrap();
        let network = Namespaces::new(2).unwrap();
        let left = names().unwrap();
        assert!(!left.iter().any(|name| name.starts_with(NO_PROCESS)), "the next one removes it: {left:?}");
        assert_eq!(left.iter().filter(|name| name.starts_with(&network.tag)).count(), 3);

        let server = (network.host(2_u16), PORT);
        let listener = inside(&network.name(2), || TcpListener::bind(("0.0.0.0", PORT)).unwrap());
        thread::spawn(move || echo(listener));
        let mut stream = inside(&network.name(1), || TcpStream::connect(&server).unwrap());
        exchange(&mut stream, 1).unwrap();
        for way in [(1, 2), (2, 1)] {
            network.cut(&[way]).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            assert_eq!(exchange(&mut stream, 1).unwrap_err().kind(), ErrorKind::WouldBlock, "{way:?}");
            exchange(&mut TcpStream::connect(&server).unwrap(), 1).expect("clients reach the node");
            network.heal(&[way], false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.read_exact(&mut [0]).expect("TCP sends it again");
        }
        // 20,000 bytes at 202 kbit/s.
        network.slow(&[(1, 2)], Duration::from_millis(60)).unwrap();
        let took = exchange(&mut stream, 20_000).unwrap();
        assert!(took > Duration::from_millis(600), "{took:?}");
        network.slow(&[(1, 2), (2, 1)], Duration::from_millis(5)).unwrap();
        network.heal(&[(1, 2), (2, 1)], false).unwrap();
        let shaped = tc(&["-n", &network.name(1), "qdisc", "show", "dev", DEVICE]).unwrap();
        assert!(!shaped.contains("htb"), "{shaped}");
        exchange(&mut stream, 20_000).unwrap();

        let tag = network.tag.clone();
        drop(network);
        let left = names().unwrap();
        assert!(!left.iter().any(|name| name.starts_with(&tag)), "{left:?}");
    }

    #[test]
    fn names_tell_whose_they_are() {
        assert_eq!((owner("qt123"), owner("qt123n9")), (Some(123), Some(123)));
        for other in ["qt", "qtn1", "qt12v1", "qt1nx", "q123", "br0", "qt-1"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_narrow_way_takes_as_long_for_a_packet_as_was_asked_for() {
        assert_eq!(bits_per_second(Duration::from_millis(5)), 2_422_400);
        assert_eq!(bits_per_second(Duration::from_millis(60)), 201_866);
    }
}
