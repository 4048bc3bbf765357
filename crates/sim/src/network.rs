//! The wires: TCP as endpoints see it, and partitions.
//!
//! A connection has two ends; what one end sends (bytes, an end of stream, a reset, room in its window)
//! travels in order to the other. A segment that comes to a blocked link, or to a machine that is off,
//! waits there as TCP's retransmissions would make it, until the way is free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;

use crate::node::NodeId;
use crate::options::{Link, Options};
use crate::state::{Core, Effects};
use crate::timeline::{Event, Timeline, chance, generator, nanos, pick};

/// How long TCP waits before it sends something again the first time; each further time takes twice as long.
const RETRANSMIT_NS: u64 = 200_000_000;

/// What was lost this often arrives all the same: nobody gains from waiting longer.
const RETRANSMITS_MAX: u32 = 6;

/// After a way is free again, what waits there is sent within this time.
const RESUME_NS_MAX: u64 = 400_000_000;

/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;

/// One in so many pieces of data is cut in two that arrive one after the other, as any byte of TCP may.
const CUTS: u32 = 16;

/// The first of the ports that outgoing connections get.
const EPHEMERAL_PORT: u16 = 32_768;

pub(crate) struct NetworkState {
    rng: Rng,
    hosts: Vec<Host>,
    listeners: BTreeMap<(NodeId, u16), ListenerState>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    default_link: Link,
    links: BTreeMap<(NodeId, NodeId), Link>,
    blocked: BTreeSet<(NodeId, NodeId)>,
    capacity: usize,
    connect_timeout: u64,
}

/// A machine on the network.
struct Host {
    name: String,
    ip: IpAddr,
    /// It has power: its kernel answers, if only to say that nobody listens.
    on: bool,
    /// Which start of its process may use the network; `None` while there is none.
    generation: Option<u64>,
    next_port: u16,
}

#[derive(Default)]
struct ListenerState {
    /// Connections that wait to be accepted.
    backlog: VecDeque<u64>,
    waker: Option<Waker>,
}

/// End 0 has connected, end 1 was connected to.
struct Connection {
    ends: [End; 2],
    established: bool,
}

struct End {
    node: NodeId,
    addr: SocketAddr,
    owner: Owner,
    /// Bytes that have arrived and were not read.
    incoming: VecDeque<Bytes>,
    /// The other end will send no more.
    ended: bool,
    /// The connection is broken.
    error: Option<io::ErrorKind>,
    /// Bytes read since the other end was last told that there is room again.
    unreported: usize,
    /// Bytes sent that the other end has not reported as read.
    unread: usize,
    shut_down: bool,
    /// What this end has sent and is under way, in order.
    outgoing: VecDeque<Travelling>,
    /// It waits at a blocked link.
    stalled: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Who holds an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody yet: the connection request is under way.
    Nobody,
    /// A stream of a node, or the backlog of a listener.
    Stream,
    /// It was closed, or its process is gone: whatever arrives is answered with a reset.
    Gone,
}

struct Travelling {
    sent: u64,
    arrives: u64,
    segment: Segment,
}

enum Segment {
    Connect,
    Accept,
    Data(Bytes),
    /// So many bytes were read.
    Window(usize),
    /// The sender will send no more.
    End,
    Reset(io::ErrorKind),
}

impl NetworkState {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        assert!(options.stream_capacity > 0, "streams hold something");
        Self {
            rng: generator(seed, "network", 0),
            hosts: Vec::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            default_link: options.link.clone(),
            links: BTreeMap::new(),
            blocked: BTreeSet::new(),
            capacity: options.stream_capacity,
            connect_timeout: nanos(options.connect_timeout),
        }
    }

    pub(crate) fn add_host(&mut self, name: &str, ip: IpAddr) {
        assert!(
            self.hosts.iter().all(|host| host.ip != ip && host.name != name),
            "{name} or {ip} exists already"
        );
        let host = Host { name: name.to_owned(), ip, on: true, generation: None, next_port: EPHEMERAL_PORT };
        self.hosts.push(host);
    }

    /// A process starts, on a machine that has power (again).
    pub(crate) fn start(&mut self, timeline: &mut Timeline, node: NodeId, generation: u64) {
        let host = self.host_mut(node);
        host.generation = Some(generation);
        if !std::mem::replace(&mut host.on, true) {
            self.resume(timeline);
        }
    }

    /// A process ends. Its kernel closes its connections: orderly, or with a reset where something was left
    /// unread (and now and then where nothing was). Without power nobody closes anything, and the others
    /// wait.
    pub(crate) fn kill(&mut self, timeline: &mut Timeline, node: NodeId, powered: bool) {
        let host = self.host_mut(node);
        host.generation = None;
        host.on = powered;
        self.listeners.retain(|(listening, _), _| *listening != node);
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            for side in 0..2 {
                let Some(end) = self.end_mut(id, side) else { continue };
                if end.node != node || end.owner != Owner::Stream {
                    continue;
                }
                end.owner = Owner::Gone;
                (end.reader, end.writer) = (None, None);
                if !powered {
                    end.outgoing.clear();
                } else if end.error.is_none() {
                    let orderly = end.incoming.is_empty() && self.rng.bool();
                    self.send_farewell(timeline, id, side, orderly);
                }
            }
            self.forget_if_over(id);
        }
    }

    pub(crate) fn check_generation(&self, node: NodeId, generation: u64) -> io::Result<()> {
        if self.host(node).generation == Some(generation) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotConnected, "this simulated process has ended"))
    }

    pub(crate) fn listen(&mut self, node: NodeId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let ip = self.host(node).ip;
        if addr.ip() != ip && !addr.ip().is_unspecified() && !addr.ip().is_loopback() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match addr.port() {
            0 => self.free_port(node),
            port => port,
        };
        if self.listeners.contains_key(&(node, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert((node, port), ListenerState::default());
        Ok(SocketAddr::new(if addr.ip().is_unspecified() { ip } else { addr.ip() }, port))
    }

    pub(crate) fn stop_listening(
        &mut self,
        timeline: &mut Timeline,
        node: NodeId,
        port: u16,
    ) -> Option<Waker> {
        let listener = self.listeners.remove(&(node, port))?;
        for id in listener.backlog {
            self.close(timeline, id, 1);
        }
        listener.waker
    }

    /// The next connection of a listener, or its waker is kept.
    pub(crate) fn accept(
        &mut self,
        node: NodeId,
        port: u16,
        waker: &Waker,
    ) -> io::Result<Option<(u64, SocketAddr)>> {
        let listener = self.listeners.get_mut(&(node, port)).ok_or(io::ErrorKind::NotConnected)?;
        match listener.backlog.pop_front() {
            Some(id) => Ok(Some((id, self.connections[&id].ends[0].addr))),
            None => {
                listener.waker = Some(waker.clone());
                Ok(None)
            }
        }
    }

    /// Begins a connection to `host:port`.
    pub(crate) fn connect(&mut self, timeline: &mut Timeline, node: NodeId, addr: &str) -> io::Result<u64> {
        let (target, addr) = self.resolve(node, addr)?;
        let from = SocketAddr::new(self.host(node).ip, self.free_port(node));
        let id = self.next_connection;
        self.next_connection += 1;
        let ends = [End::new(node, from, Owner::Stream), End::new(target, addr, Owner::Nobody)];
        self.connections.insert(id, Connection { ends, established: false });
        self.send(timeline, id, 0, Segment::Connect);
        timeline.schedule(timeline.now() + self.connect_timeout, Event::ConnectTimeout { connection: id });
        Ok(id)
    }

    /// Whether a connection is made by now; its waker is kept if not.
    pub(crate) fn connected(&mut self, id: u64, waker: &Waker) -> io::Result<bool> {
        let connection = self.connections.get_mut(&id).ok_or(io::ErrorKind::ConnectionAborted)?;
        let end = &mut connection.ends[0];
        if !connection.established {
            if let Some(error) = end.error {
                return Err(error.into());
            }
            end.reader = Some(waker.clone());
        }
        Ok(connection.established)
    }

    pub(crate) fn connect_timeout(&mut self, timeline: &mut Timeline, id: u64, effects: &mut Effects) {
        if self.connections.get(&id).is_some_and(|connection| !connection.established) {
            // The request is not sent again.
            self.end_mut(id, 0).expect("looked up above").outgoing.clear();
            self.arrive(timeline, id, 0, Segment::Reset(io::ErrorKind::TimedOut), effects);
            self.forget_if_over(id);
        }
    }

    /// Moves bytes that have arrived into `buf` and says how many, 0 at the end of the stream; `None` if
    /// there are none yet, and the waker is kept.
    pub(crate) fn read(
        &mut self,
        timeline: &mut Timeline,
        id: u64,
        side: usize,
        buf: &mut [u8],
        waker: &Waker,
    ) -> io::Result<Option<usize>> {
        let report_at = self.capacity.div_ceil(4);
        let end = self.end_mut(id, side).ok_or(io::ErrorKind::ConnectionReset)?;
        let mut read = 0;
        while let Some(bytes) = end.incoming.front_mut()
            && read < buf.len()
        {
            let now = bytes.len().min(buf.len() - read);
            bytes.copy_to_slice(&mut buf[read..read + now]);
            read += now;
            if bytes.is_empty() {
                end.incoming.pop_front();
            }
        }
        if read == 0 && !buf.is_empty() {
            return match (end.error, end.ended) {
                (Some(error), _) => Err(error.into()),
                (None, true) => Ok(Some(0)),
                (None, false) => {
                    end.reader = Some(waker.clone());
                    Ok(None)
                }
            };
        }
        end.unreported += read;
        if end.unreported >= report_at {
            let room = std::mem::take(&mut end.unreported);
            self.send(timeline, id, side, Segment::Window(room));
        }
        Ok(Some(read))
    }

    /// Sends as much of `bufs` as there is room for and says how many bytes; `None` if there is no room, and
    /// the waker is kept.
    pub(crate) fn write(
        &mut self,
        timeline: &mut Timeline,
        id: u64,
        side: usize,
        bufs: &[io::IoSlice<'_>],
        waker: &Waker,
    ) -> io::Result<Option<usize>> {
        let capacity = self.capacity;
        let end = self.end_mut(id, side).ok_or(io::ErrorKind::BrokenPipe)?;
        if end.error.is_some() || end.shut_down {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = capacity - end.unread;
        let mut bytes = Vec::with_capacity(room.min(bufs.iter().map(|buf| buf.len()).sum()));
        for buf in bufs {
            let now = buf.len().min(room);
            bytes.extend_from_slice(&buf[..now]);
            room -= now;
        }
        if bytes.is_empty() && bufs.iter().any(|buf| !buf.is_empty()) {
            end.writer = Some(waker.clone());
            return Ok(None);
        }
        let written = bytes.len();
        end.unread += written;
        self.send_data(timeline, id, side, bytes.into());
        Ok(Some(written))
    }

    /// Nothing more will be written.
    pub(crate) fn shut_down(&mut self, timeline: &mut Timeline, id: u64, side: usize) {
        let Some(end) = self.end_mut(id, side) else { return };
        if end.error.is_none() && !std::mem::replace(&mut end.shut_down, true) {
            self.send(timeline, id, side, Segment::End);
        }
    }

    /// The stream is dropped.
    pub(crate) fn close(&mut self, timeline: &mut Timeline, id: u64, side: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (established, end) = (connection.established, &mut connection.ends[side]);
        if end.owner != Owner::Stream {
            return;
        }
        end.owner = Owner::Gone;
        (end.reader, end.writer) = (None, None);
        if end.error.is_none() {
            let orderly = end.incoming.is_empty() && (established || side == 1);
            self.send_farewell(timeline, id, side, orderly);
        }
        self.forget_if_over(id);
    }

    /// Lets what one end has sent, and what is due, arrive at the other.
    pub(crate) fn deliver(&mut self, timeline: &mut Timeline, id: u64, from: usize, effects: &mut Effects) {
        let Some(connection) = self.connections.get(&id) else { return };
        let way = (connection.ends[from].node, connection.ends[1 - from].node);
        let free = !self.blocked.contains(&way) && self.host(way.0).on && self.host(way.1).on;
        let Some(end) = self.end_mut(id, from) else { return };
        end.stalled = !free && !end.outgoing.is_empty();
        while free
            && let Some(end) = self.end_mut(id, from)
            && end.outgoing.front().is_some_and(|first| first.arrives <= timeline.now())
            && let Some(first) = end.outgoing.pop_front()
        {
            self.arrive(timeline, id, 1 - from, first.segment, effects);
        }
        self.forget_if_over(id);
    }

    fn arrive(
        &mut self,
        timeline: &mut Timeline,
        id: u64,
        side: usize,
        segment: Segment,
        effects: &mut Effects,
    ) {
        let Some(end) = self.connections.get_mut(&id).map(|connection| &mut connection.ends[side]) else {
            return;
        };
        let (kind, number, bytes) = segment.digest();
        timeline.record(kind, [id, side as u64, number], bytes);
        effects.reached.push(end.node);
        match segment {
            Segment::Connect => self.arrive_connect(timeline, id, effects),
            Segment::Reset(error) => {
                end.error.get_or_insert(error);
                effects.wakers.extend(end.reader.take());
                effects.wakers.extend(end.writer.take());
            }
            _ if end.owner != Owner::Stream => {
                if matches!(segment, Segment::Data(_) | Segment::Accept) {
                    end.error.get_or_insert(io::ErrorKind::ConnectionReset);
                    self.send(timeline, id, side, Segment::Reset(io::ErrorKind::ConnectionReset));
                }
            }
            Segment::Accept => {
                effects.wakers.extend(end.reader.take());
                self.connections.entry(id).and_modify(|connection| connection.established = true);
            }
            Segment::Data(bytes) => {
                end.incoming.push_back(bytes);
                effects.wakers.extend(end.reader.take());
            }
            Segment::Window(room) => {
                end.unread -= room;
                effects.wakers.extend(end.writer.take());
            }
            Segment::End => {
                end.ended = true;
                effects.wakers.extend(end.reader.take());
            }
        }
    }

    fn arrive_connect(&mut self, timeline: &mut Timeline, id: u64, effects: &mut Effects) {
        let Some(end) = self.end_mut(id, 1) else { return };
        let place = (end.node, end.addr.port());
        match self.listeners.get_mut(&place) {
            Some(listener) if listener.backlog.len() < BACKLOG => {
                listener.backlog.push_back(id);
                effects.wakers.extend(listener.waker.take());
                self.connections.entry(id).and_modify(|connection| connection.ends[1].owner = Owner::Stream);
                self.send(timeline, id, 1, Segment::Accept);
            }
            _ => self.send(timeline, id, 1, Segment::Reset(io::ErrorKind::ConnectionRefused)),
        }
    }

    fn send_farewell(&mut self, timeline: &mut Timeline, id: u64, side: usize, orderly: bool) {
        if orderly {
            self.shut_down(timeline, id, side);
        } else {
            self.send(timeline, id, side, Segment::Reset(io::ErrorKind::ConnectionReset));
        }
    }

    fn send_data(&mut self, timeline: &mut Timeline, id: u64, side: usize, mut bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let Some(end) = self.connections.get(&id).map(|connection| &connection.ends[side]) else { return };
        let reset_share = self.link(end.node, self.connections[&id].ends[1 - side].node).reset;
        let cut = bytes.len() > 1 && self.rng.u32(..CUTS) == 0;
        if cut {
            let head = bytes.split_to(self.rng.usize(1..bytes.len()));
            self.send(timeline, id, side, Segment::Data(head));
        }
        self.send_apart(timeline, id, side, Segment::Data(bytes), cut);
        if chance(&mut self.rng, reset_share) {
            for side in 0..2 {
                self.send(timeline, id, side, Segment::Reset(io::ErrorKind::ConnectionReset));
            }
        }
    }

    /// Sends a segment on its way; it arrives after what was sent before it, and together with what was sent
    /// in the same go.
    fn send(&mut self, timeline: &mut Timeline, id: u64, side: usize, segment: Segment) {
        self.send_apart(timeline, id, side, segment, false);
    }

    fn send_apart(&mut self, timeline: &mut Timeline, id: u64, side: usize, segment: Segment, apart: bool) {
        let Some(connection) = self.connections.get(&id) else { return };
        let now = timeline.now();
        let link = self.link(connection.ends[side].node, connection.ends[1 - side].node).clone();
        let last = connection.ends[side].outgoing.back().map(|last| (last.sent, last.arrives));
        let mut arrives = match last {
            Some((sent, arrives)) if sent == now && !apart => arrives,
            _ => {
                let lost = if matches!(segment, Segment::Data(_)) { link.loss } else { 0.0 };
                let arrives = now + pick(&mut self.rng, &link.latency) + self.retransmissions(lost);
                last.map_or(arrives, |(_, before)| arrives.max(before))
            }
        };
        if let (Some(bandwidth), Segment::Data(bytes)) = (link.bandwidth, &segment) {
            let seconds = bytes.len() as f64 / bandwidth as f64;
            arrives += nanos(Duration::from_secs_f64(seconds));
        }
        let Some(end) = self.end_mut(id, side) else { return };
        end.outgoing.push_back(Travelling { sent: now, arrives, segment });
        if last.is_none_or(|(_, before)| before != arrives) {
            timeline.schedule(arrives, Event::Segments { connection: id, from: side });
        }
    }

    fn retransmissions(&mut self, loss: f64) -> u64 {
        let lost = (0..RETRANSMITS_MAX).take_while(|_| chance(&mut self.rng, loss)).count();
        RETRANSMIT_NS * ((1 << lost) - 1)
    }

    /// Some way is free again: what waits anywhere tries once more.
    fn resume(&mut self, timeline: &mut Timeline) {
        for (id, connection) in &self.connections {
            for (from, end) in connection.ends.iter().enumerate() {
                if end.stalled {
                    let time = timeline.now() + self.rng.u64(..=RESUME_NS_MAX);
                    timeline.schedule(time, Event::Segments { connection: *id, from });
                }
            }
        }
    }

    fn break_connections(&mut self, timeline: &mut Timeline, a: NodeId, b: NodeId) {
        let between = |connection: &Connection| {
            let nodes = [connection.ends[0].node, connection.ends[1].node];
            nodes == [a, b] || nodes == [b, a]
        };
        let ids: Vec<u64> = self.connections.iter().filter(|(_, c)| between(c)).map(|(id, _)| *id).collect();
        for id in ids {
            for side in 0..2 {
                self.send(timeline, id, side, Segment::Reset(io::ErrorKind::ConnectionReset));
            }
        }
    }

    /// An ended connection stays only for what is under way, which must not find another in its place.
    fn forget_if_over(&mut self, id: u64) {
        let over = self.connections.get(&id).is_some_and(|connection| {
            connection.ends.iter().all(|end| end.owner != Owner::Stream && end.outgoing.is_empty())
        });
        if over {
            self.connections.remove(&id);
        }
    }

    fn resolve(&self, node: NodeId, addr: &str) -> io::Result<(NodeId, SocketAddr)> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no such address: {addr}"));
        let (name, port) = addr.rsplit_once(':').ok_or_else(unknown)?;
        let port: u16 = port.parse().map_err(|_| unknown())?;
        let ip = name.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if name == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
            return Ok((node, SocketAddr::new(self.host(node).ip, port)));
        }
        let found = self.hosts.iter().position(|host| Some(host.ip) == ip || host.name == name);
        match (found, ip) {
            (Some(index), _) => Ok((NodeId::new(index), SocketAddr::new(self.hosts[index].ip, port))),
            (None, Some(_)) => Err(io::ErrorKind::HostUnreachable.into()),
            (None, None) => Err(unknown()),
        }
    }

    fn free_port(&mut self, node: NodeId) -> u16 {
        loop {
            let host = self.host_mut(node);
            let port = host.next_port;
            host.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORT);
            if !self.listeners.contains_key(&(node, port)) {
                return port;
            }
        }
    }

    fn link(&self, from: NodeId, to: NodeId) -> &Link {
        self.links.get(&(from, to)).unwrap_or(&self.default_link)
    }

    fn host(&self, node: NodeId) -> &Host {
        &self.hosts[node.index()]
    }

    fn host_mut(&mut self, node: NodeId) -> &mut Host {
        &mut self.hosts[node.index()]
    }

    fn end_mut(&mut self, id: u64, side: usize) -> Option<&mut End> {
        self.connections.get_mut(&id).map(|connection| &mut connection.ends[side])
    }

    pub(crate) fn addr(&self, id: u64, side: usize) -> Option<SocketAddr> {
        self.connections.get(&id).map(|connection| connection.ends[side].addr)
    }
}

impl End {
    fn new(node: NodeId, addr: SocketAddr, owner: Owner) -> Self {
        Self {
            node,
            addr,
            owner,
            incoming: VecDeque::new(),
            ended: false,
            error: None,
            unreported: 0,
            unread: 0,
            shut_down: false,
            outgoing: VecDeque::new(),
            stalled: false,
            reader: None,
            writer: None,
        }
    }
}

impl Segment {
    fn digest(&self) -> (&'static str, u64, &[u8]) {
        match self {
            Self::Connect => ("connect", 0, &[]),
            Self::Accept => ("accept", 0, &[]),
            Self::Data(bytes) => ("data", bytes.len() as u64, bytes),
            Self::Window(room) => ("window", *room as u64, &[]),
            Self::End => ("end", 0, &[]),
            Self::Reset(error) => ("reset", *error as u64, &[]),
        }
    }
}

/// Breaks and mends the network. All of it takes effect at once, also for what is under way.
#[derive(Clone)]
pub struct NetworkFaults {
    pub(crate) core: Arc<Core>,
}

impl NetworkFaults {
    fn with<T>(&self, act: impl FnOnce(&mut NetworkState, &mut Timeline) -> T) -> T {
        let state = &mut *self.core.lock();
        act(&mut state.network, &mut state.timeline)
    }

    /// Nothing gets from `from` to `to` any more, acknowledgements included; the other way stays as it is.
    pub fn block(&self, from: NodeId, to: NodeId) {
        self.with(|network, _| network.blocked.insert((from, to)));
    }

    /// Ends [`block`](Self::block).
    pub fn unblock(&self, from: NodeId, to: NodeId) {
        self.with(|network, timeline| {
            network.blocked.remove(&(from, to));
            network.resume(timeline);
        });
    }

    /// Cuts every node of `a` off from every node of `b`, both ways.
    pub fn partition(&self, a: &[NodeId], b: &[NodeId]) {
        for a in a {
            for b in b {
                self.block(*a, *b);
                self.block(*b, *a);
            }
        }
    }

    /// Cuts a node off from all others that there are.
    pub fn isolate(&self, node: NodeId) {
        let others = self.with(|network, _| (0..network.hosts.len()).map(NodeId::new).collect::<Vec<_>>());
        let others: Vec<NodeId> = others.into_iter().filter(|other| *other != node).collect();
        self.partition(&[node], &others);
    }

    /// Ends all blocks and partitions. What has waited is sent again within 0.4 s.
    pub fn heal(&self) {
        self.with(|network, timeline| {
            network.blocked.clear();
            network.resume(timeline);
        });
    }

    /// What one direction is like from now on; `None` makes it like all others again.
    pub fn set_link(&self, from: NodeId, to: NodeId, link: Option<Link>) {
        self.with(|network, _| match link {
            Some(link) => network.links.insert((from, to), link),
            None => network.links.remove(&(from, to)),
        });
    }

    /// What links without a setting of their own are like from now on.
    pub fn set_default_link(&self, link: Link) {
        self.with(|network, _| network.default_link = link);
    }

    /// Breaks all connections between two nodes, as a firewall that restarts does.
    pub fn break_connections(&self, a: NodeId, b: NodeId) {
        self.with(|network, timeline| network.break_connections(timeline, a, b));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::World;

    /// Every way for a connection to end must let go of it, or long runs grow.
    #[test]
    fn nothing_is_kept_of_connections_that_are_over() {
        const MS: Duration = Duration::from_millis(1);
        let mut world = World::new(1, Options::default());
        let nodes = ["a", "b"].map(|name| {
            let ip = [10, 0, 0, name.as_bytes()[0]];
            world.add_node(name, ip.into())
        });
        for round in 0..40 {
            for (node, other) in [(nodes[0], "b:1"), (nodes[1], "a:1")] {
                if world.is_running(node) {
                    continue;
                }
                world.start(node, move |env| async move {
                    let mut listener = env.net.listen("0.0.0.0:1".parse().unwrap()).await.expect("free");
                    for wait in 0..20 {
                        let outgoing = async {
                            let mut stream = env.net.connect(other).await?;
                            stream.write_all(b"hello").await?;
                            stream.read_u8().await
                        };
                        let _whatever = quorate_env::timeout(wait * MS, outgoing).await;
                        let accepting = quorate_env::timeout(wait * MS, listener.accept());
                        if let Ok(Ok((mut stream, _))) = accepting.await {
                            let _whatever = quorate_env::timeout(MS, stream.write_u8(7)).await;
                        }
                    }
                });
            }
            match round % 5 {
                0 => world.crash(nodes[0]),
                1 => world.power_loss(nodes[1]),
                2 => world.network().block(nodes[0], nodes[1]),
                3 => world.network().break_connections(nodes[0], nodes[1]),
                _ => world.network().heal(),
            }
            world.run_for(17 * MS);
        }
        assert!(world.network().with(|network, _| network.next_connection) > 100);
        world.network().heal();
        nodes.iter().for_each(|node| world.crash(*node));
        for node in nodes {
            world.start(node, |_| std::future::pending::<()>());
        }
        world.run_for(30_000 * MS);
        assert_eq!(world.network().with(|network, _| network.connections.len()), 0);
    }
}
