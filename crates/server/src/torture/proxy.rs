//! The network between nodes, which can be broken: every connection between two of them goes through here.
//!
//! A cut direction delivers nothing and loses nothing: TCP would send it again until the network is whole. New
//! connections over it come to nothing. A slow direction delays what it carries.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: it stands between real processes"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use quorate_env::{sleep, timeout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A node that begins anew as another member of the cluster adds this to its number: a number is never used twice.
pub(crate) const NUMBERS: u64 = 100;
/// What is carried at a time, bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// How long a caller has to say who it is.
const GREETING_TIME: Duration = Duration::from_secs(2);
const GREETING_BYTES: usize = 64 << 10;

/// From one node to another, by their numbers. Who is no node has the number 0.
pub(super) type Way = (u64, u64);

/// Where nodes look for a node, and where it really is.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// The node.
    pub(super) node: u64,
    /// Where others look for it.
    pub(super) listen: String,
    /// Where it listens.
    pub(super) upstream: String,
}

/// How the caller of a connection is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callers {
    /// By the greeting of Quorate's bus.
    Greeting,
    /// By its address: that of node i ends with i, in the network 127.0.1.0.
    Address,
}

/// What is wrong with the network.
#[derive(Debug, Clone, Default)]
struct Weather {
    cut: BTreeSet<Way>,
    slow: BTreeMap<Way, Duration>,
    /// How often connections of a way were broken.
    broken: BTreeMap<Way, u64>,
}

/// The network. It ends with the process.
#[derive(Debug)]
pub(super) struct Network {
    weather: watch::Sender<Weather>,
}

impl Network {
    /// Opens the doors, on a thread of its own.
    pub(super) fn start(doors: Vec<Door>, callers: Callers) -> anyhow::Result<Self> {
        let (weather, seen) = watch::channel(Weather::default());
        let listeners = doors
            .into_iter()
            .map(|door| {
                let listener = std::net::TcpListener::bind(&door.listen)
                    .with_context(|| format!("the network's end at {}", door.listen))?;
                listener.set_nonblocking(true)?;
                Ok((door, listener))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = async move {
            for (door, listener) in listeners {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::spawn(accept(door, listener, callers, seen.clone()));
            }
            std::future::pending::<()>().await;
        };
        thread::Builder::new().name("network".into()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { weather })
    }

    /// Lets nothing through these ways.
    pub(super) fn cut(&self, ways: &[Way]) {
        self.weather.send_modify(|weather| weather.cut.extend(ways));
    }

    /// Makes whole what was cut, slow or both. With `breaks`, connections that were made before break.
    pub(super) fn heal(&self, ways: &[Way], breaks: bool) {
        self.weather.send_modify(|weather| {
            for way in ways {
                weather.cut.remove(way);
                weather.slow.remove(way);
                if breaks {
                    *weather.broken.entry(*way).or_default() += 1;
                }
            }
        });
    }

    /// Delays what goes these ways.
    pub(super) fn slow(&self, ways: &[Way], delay: Duration) {
        self.weather.send_modify(|weather| weather.slow.extend(ways.iter().map(|way| (*way, delay))));
    }
}

async fn accept(door: Door, listener: TcpListener, callers: Callers, weather: watch::Receiver<Weather>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let (door, weather) = (door.clone(), weather.clone());
                tokio::spawn(async move {
                    // What goes wrong here is what goes wrong in networks: both ends see a broken connection.
                    let _ = carry(door, stream, from.ip(), callers, weather).await;
                });
            }
            // Out of descriptors, perhaps: connections end all the time.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn carry(
    door: Door,
    mut stream: TcpStream,
    address: IpAddr,
    callers: Callers,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut greeting = Vec::new();
    let caller = match callers {
        Callers::Address => by_address(address),
        Callers::Greeting => match timeout(GREETING_TIME, greet(&mut stream, &mut greeting)).await {
            Ok(caller) => caller?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        },
    };
    let (there, back) = ((caller, door.node), (door.node, caller));
    for way in [there, back] {
        pass(&mut weather, way).await?;
    }
    let mut upstream = TcpStream::connect(&door.upstream).await?;
    stream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    upstream.write_all(&greeting).await?;
    let (near_read, near_write) = stream.into_split();
    let (far_read, far_write) = upstream.into_split();
    // If one direction breaks, its halves go; the other ends when the processes notice.
    tokio::spawn(pump(near_read, far_write, there, weather.clone()));
    tokio::spawn(pump(far_read, near_write, back, weather));
    Ok(())
}

/// Node i calls from 127.0.1.i; whoever calls from elsewhere is a client.
fn by_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) if v4.octets()[..3] == [127, 0, 1] => v4.octets()[3].into(),
        _ => 0,
    }
}

/// The node that has, or once had, this number in the cluster.
pub(crate) fn id_of(number: u64) -> u64 {
    number % NUMBERS
}

async fn greet(stream: &mut TcpStream, greeting: &mut Vec<u8>) -> io::Result<u64> {
    while greeting.len() < GREETING_BYTES {
        if stream.read_buf(greeting).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((from, _)) = quorate_replica::caller(greeting)? {
            return Ok(id_of(from));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Waits until the way is open; how long it delays.
async fn pass(weather: &mut watch::Receiver<Weather>, way: Way) -> io::Result<Duration> {
    match weather.wait_for(|weather| !weather.cut.contains(&way)).await {
        Ok(weather) => Ok(weather.slow.get(&way).copied().unwrap_or_default()),
        Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let breaks = |weather: &watch::Receiver<Weather>| weather.borrow().broken.get(&way).copied();
    let whole = breaks(&weather);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        let delay = pass(&mut weather, way).await?;
        if count == 0 || breaks(&weather) != whole {
            return to.shutdown().await;
        }
        if !delay.is_zero() {
            sleep(delay).await;
            // It may have been cut meanwhile.
            pass(&mut weather, way).await?;
        }
        to.write_all(&chunk[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// An echo behind a door of node 1; who calls has the number 0.
    fn echo() -> (Network, TcpStream) {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let door =
            Door { node: 1, listen: listen.clone(), upstream: upstream.local_addr().unwrap().to_string() };
        thread::Builder::new()
            .spawn(move || {
                let (mut stream, _) = upstream.accept().unwrap();
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    stream.write_all(&byte).unwrap();
                }
            })
            .unwrap();
        let network = Network::start(vec![door], Callers::Address).unwrap();
        let stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        (network, stream)
    }

    fn answer(stream: &mut TcpStream) -> io::Result<u8> {
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte[0])
    }

    #[test]
    fn a_cut_way_holds_everything_back_until_it_is_healed() {
        for way in [(0, 1), (1, 0)] {
            let (network, mut stream) = echo();
            stream.write_all(b"a").unwrap();
            assert_eq!(answer(&mut stream).unwrap(), b'a');
            network.cut(&[way]);
            stream.write_all(b"b").unwrap();
            assert_eq!(answer(&mut stream).unwrap_err().kind(), io::ErrorKind::WouldBlock, "{way:?}");
            network.heal(&[way], false);
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert_eq!(answer(&mut stream).unwrap(), b'b', "{way:?}");
        }
    }

    #[test]
    fn what_breaks_is_noticed_with_the_next_bytes() {
        let (network, mut stream) = echo();
        stream.write_all(b"a").unwrap();
        assert_eq!(answer(&mut stream).unwrap(), b'a');
        network.cut(&[(0, 1)]);
        network.heal(&[(0, 1)], true);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"b").unwrap();
        assert!(answer(&mut stream).is_err(), "the byte was lost with the connection");
    }

    #[test]
    fn callers_are_known_by_their_address() {
        assert_eq!(by_address("127.0.1.3".parse().unwrap()), 3);
        assert_eq!(by_address("127.0.0.1".parse().unwrap()), 0);
        assert_eq!(by_address("::1".parse().unwrap()), 0);
    }
}
