//! What `quorate server` was asked for, resolved and checked: whatever can be refused is refused here, before the
//! node touches its data.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the entry of the server, before there is an env: reads the file and tries the ports"
)]

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use quorate_cluster::config::Config;
use quorate_replica::Secret;

use crate::cli;
use crate::limits;

/// The bus listens this far above the client port.
const BUS_OFFSET: u16 = 10_000;
/// HTTP listens this far above the client port unless given.
const HTTP_OFFSET: u16 = 3_000;
/// The highest client port whose bus has a port too.
const PORT_MAX: u16 = u16::MAX - BUS_OFFSET;

/// A file with the cluster's secret is not longer.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// What a node may become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds the data, may vote and lead.
    #[default]
    Data,
    /// Gets the log and answers reads, never votes.
    Reader,
}

/// Where others reach a node, each `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announce {
    /// For clients.
    pub(crate) addr: String,
    /// For nodes.
    pub(crate) bus: String,
    /// For HTTP.
    pub(crate) http: String,
}

/// Everything that a node is started with.
#[derive(Debug)]
pub(crate) struct NodeArgs {
    /// Parameters; port, bind and dir say what is meant below.
    pub(crate) config: Config,
    /// Clients.
    pub(crate) listen: SocketAddr,
    /// Nodes.
    pub(crate) bus: SocketAddr,
    /// HTTP.
    pub(crate) http: SocketAddr,
    /// The same three as the others see them.
    pub(crate) announce: Announce,
    /// Absolute; it exists and can be written to.
    pub(crate) data_dir: PathBuf,
    /// Client addresses of nodes to join, each `host:port`; see [`bus_of`].
    pub(crate) join: Vec<String>,
    /// The cluster's secret, if it was given.
    pub(crate) secret: Option<SecretFile>,
    /// Failure domain; empty if not given.
    pub(crate) zone: String,
    /// What the node may become.
    pub(crate) role: Role,
    /// The number wanted.
    pub(crate) node_id: Option<u64>,
}

impl NodeArgs {
    /// Reads the configuration and checks that the node can start: values, addresses, ports, folder.
    pub(crate) fn resolve(command: &cli::Server) -> anyhow::Result<Self> {
        let config = read_config(command)?;
        let listen = listen_address(command, &config)?;
        let http = match &command.http_listen {
            Some(text) => resolve_address(text).with_context(|| format!("--http-listen {text}"))?,
            None => SocketAddr::new(listen.ip(), listen.port() + HTTP_OFFSET),
        };
        let bus = SocketAddr::new(listen.ip(), listen.port() + BUS_OFFSET);
        let announce = announce(command, listen, http)?;
        let join = check_join(&command.join, &announce.addr)?;
        let secret = command.cluster_secret_file.as_deref().map(SecretFile::read).transpose()?;
        let data_dir = match &command.data_dir {
            Some(dir) => dir.clone(),
            None => PathBuf::from(&*config.dir()),
        };
        let data_dir = std::path::absolute(&data_dir)
            .with_context(|| format!("the data folder {}", data_dir.display()))?;
        set_resolved(&config, listen, &data_dir)?;
        check_ports(listen, bus, http)?;
        check_folder(&data_dir)?;
        Ok(Self {
            config,
            listen,
            bus,
            http,
            announce,
            data_dir,
            join,
            secret,
            zone: command.zone.clone(),
            role: command.role,
            node_id: command.node_id,
        })
    }

    /// Says in the log what starts here, and what its operator should know about it.
    pub(crate) fn report(&self) {
        let Self { listen, bus, http, data_dir, .. } = self;
        tracing::info!(
            "quorate {}, process {}: clients on {listen}, bus on {bus}, http on {http}, data in {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            data_dir.display()
        );
        for note in self.notes() {
            tracing::warn!("{note}");
        }
        if let Some(note) = limits::raise_open_files(self.config.maxclients()) {
            tracing::warn!("{note}");
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Self { listen, bus, .. } = self;
        if listen.ip().is_unspecified() && self.announce.addr == listen.to_string() {
            notes.push(format!(
                "other nodes cannot reach {listen}: give --announce HOST:PORT before further nodes join"
            ));
        }
        if let Some(file) = self.secret.as_ref().filter(|file| file.is_open) {
            notes.push(format!(
                "every user of this machine can read the cluster's secret in {}: chmod 600",
                file.path.display()
            ));
        }
        if !self.join.is_empty() {
            notes.extend(self.config.given_for_cluster().iter().map(|(name, _)| {
                format!(
                    "{name} belongs to the cluster: a node that joins takes the cluster's value, which CONFIG SET \
                     changes"
                )
            }));
        }
        if !listen.ip().is_loopback() {
            let open = match (self.config.requirepass().is_empty(), self.config.protected_mode()) {
                (false, _) => None,
                (true, true) => Some(format!(
                    "protected mode: clients of other machines are refused on {listen} until there is a password \
                     (--set requirepass=..., or CONFIG SET requirepass from this machine)"
                )),
                (true, false) => Some(format!(
                    "no password and no protected mode: whoever reaches {listen} can read and change everything"
                )),
            };
            notes.extend(open);
            notes.push(format!(
                "the bus on {bus} takes only nodes that know the cluster's secret, but what they send is not \
                 encrypted: keep it inside a trusted network"
            ));
        }
        notes
    }
}

/// The file with the cluster's secret.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    /// What it holds.
    pub(crate) secret: Secret,
    /// Whether everybody may read it.
    is_open: bool,
}

impl SecretFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<_> {
            let file = File::open(path)?;
            let is_open = file.metadata()?.mode() & 0o004 != 0;
            let mut bytes = Vec::new();
            // One byte more: what is too long must not look shorter.
            file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            Ok((Secret::parse(&bytes).map_err(anyhow::Error::msg)?, is_open))
        };
        let (secret, is_open) =
            read().with_context(|| format!("--cluster-secret-file {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), secret, is_open })
    }
}

/// The bus address of the node with this client address.
pub(crate) fn bus_of(addr: &str) -> anyhow::Result<String> {
    shifted(addr, BUS_OFFSET)
}

fn shifted(addr: &str, offset: u16) -> anyhow::Result<String> {
    let (host, port) = host_and_port(addr)?;
    ensure!(
        port <= PORT_MAX,
        "{addr}: a client port is at most {PORT_MAX}, because the bus has the port + 10000"
    );
    Ok(format!("{host}:{}", port + offset))
}

fn host_and_port(addr: &str) -> anyhow::Result<(&str, u16)> {
    addr.rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)))
        .with_context(|| format!("'{addr}' is not HOST:PORT"))
}

fn read_config(command: &cli::Server) -> anyhow::Result<Config> {
    let config = match &command.config {
        Some(path) => std::fs::read_to_string(path)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(Config::from_toml(&text)?))
            .with_context(|| format!("the configuration file {}", path.display()))?,
        None => Config::default(),
    };
    for pair in &command.set {
        config.set_pair(pair).with_context(|| format!("--set {}", pair.split('=').next().unwrap_or(pair)))?;
    }
    config.check()?;
    Ok(config)
}

fn listen_address(command: &cli::Server, config: &Config) -> anyhow::Result<SocketAddr> {
    let Some(text) = &command.listen else {
        return Ok(SocketAddr::new(config.bind(), config.port()));
    };
    let listen = resolve_address(text).with_context(|| format!("--listen {text}"))?;
    ensure!(
        listen.port() <= PORT_MAX,
        "--listen {text}: the bus listens on the client port + 10000, so the port must be at most {PORT_MAX}"
    );
    Ok(listen)
}

fn resolve_address(text: &str) -> anyhow::Result<SocketAddr> {
    host_and_port(text)?;
    text.to_socket_addrs()?.next().context("the name has no address")
}

fn announce(command: &cli::Server, listen: SocketAddr, http: SocketAddr) -> anyhow::Result<Announce> {
    let Some(addr) = &command.announce else {
        ensure!(
            command.join.is_empty() || !listen.ip().is_unspecified(),
            "other nodes cannot reach {listen}: give --announce HOST:PORT, or --listen with this machine's own address"
        );
        return Ok(Announce {
            addr: listen.to_string(),
            bus: SocketAddr::new(listen.ip(), listen.port() + BUS_OFFSET).to_string(),
            http: http.to_string(),
        });
    };
    let (host, port) = host_and_port(addr).context("--announce")?;
    let http = match &command.http_listen {
        Some(_) => format!("{host}:{}", http.port()),
        None => shifted(addr, HTTP_OFFSET).context("--announce")?,
    };
    Ok(Announce { addr: format!("{host}:{port}"), bus: bus_of(addr).context("--announce")?, http })
}

fn check_join(join: &[String], own: &str) -> anyhow::Result<Vec<String>> {
    for addr in join {
        bus_of(addr).context("--join")?;
        ensure!(addr != own, "--join {addr}: a node cannot join itself; name another node of the cluster");
    }
    Ok(join.to_vec())
}

/// Lets CONFIG GET show what is meant.
fn set_resolved(config: &Config, listen: SocketAddr, data_dir: &Path) -> anyhow::Result<()> {
    let dir = data_dir.to_str().with_context(|| format!("the data folder {data_dir:?} is not UTF-8"))?;
    config.set_at_start("port", &listen.port().to_string())?;
    config.set_at_start("bind", &listen.ip().to_string())?;
    config.set_at_start("dir", dir)?;
    Ok(())
}

/// A port that is taken is better reported here, with what to change, than from inside the node.
fn check_ports(listen: SocketAddr, bus: SocketAddr, http: SocketAddr) -> anyhow::Result<()> {
    let all = [
        (listen, "clients", "choose another port with --listen HOST:PORT"),
        (
            bus,
            "the bus between nodes",
            "it is the client port + 10000, choose another with --listen HOST:PORT",
        ),
        (http, "HTTP", "choose another port with --http-listen HOST:PORT"),
    ];
    for (addr, what, change) in all {
        match TcpListener::bind(addr) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bail!("another process listens on {addr} already, the address for {what}: {change}");
            }
            Err(error) => bail!("cannot listen on {addr} for {what}: {error}; {change}"),
        }
    }
    Ok(())
}

fn check_folder(dir: &Path) -> anyhow::Result<()> {
    let attempt = std::fs::create_dir_all(dir).and_then(|()| {
        let probe = tempfile::NamedTempFile::with_prefix_in(".write-test-", dir)?;
        probe.close()
    });
    attempt.with_context(|| {
        format!(
            "cannot write to the data folder {}: choose another with --data-dir, or let this user write there",
            dir.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn free_port() -> u16 {
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let free = |offset| TcpListener::bind(("127.0.0.1", port + offset)).is_ok();
            if port <= PORT_MAX && free(BUS_OFFSET) && free(HTTP_OFFSET) {
                return port;
            }
        }
    }

    fn command(dir: &tempfile::TempDir, port: u16) -> cli::Server {
        cli::Server {
            listen: Some(format!("127.0.0.1:{port}")),
            data_dir: Some(dir.path().join("data")),
            ..cli::Server::default()
        }
    }

    fn refusal(command: &cli::Server) -> String {
        format!("{:#}", NodeArgs::resolve(command).unwrap_err())
    }

    #[test]
    fn ports_follow_the_client_port() {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let args = NodeArgs::resolve(&command(&dir, port)).unwrap();
        assert_eq!((args.bus.port(), args.http.port()), (port + 10_000, port + 3_000));
        assert_eq!(args.announce.bus, format!("127.0.0.1:{}", port + 10_000));
        assert_eq!(args.config.get("port"), Some(port.to_string()));
        assert_eq!(args.config.get("dir").as_deref(), args.data_dir.to_str());
        assert!(args.data_dir.is_dir());
        assert_eq!(
            std::fs::read_dir(&args.data_dir).unwrap().count(),
            0,
            "the write test left a file behind"
        );
    }

    #[test]
    fn the_announced_address_has_its_own_ports() {
        let dir = tempfile::tempdir().unwrap();
        let command = cli::Server { announce: Some("db1.example:7000".into()), ..command(&dir, free_port()) };
        let announce = NodeArgs::resolve(&command).unwrap().announce;
        let expected = ["db1.example:7000", "db1.example:17000", "db1.example:10000"];
        assert_eq!([announce.addr, announce.bus, announce.http], expected);
    }

    #[test]
    fn a_taken_port_is_reported_with_the_option_to_change() {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        for (offset, option) in [(0, "--listen"), (BUS_OFFSET, "--listen"), (HTTP_OFFSET, "--http-listen")] {
            let taken = TcpListener::bind(("127.0.0.1", port + offset)).unwrap();
            let text = refusal(&command(&dir, port));
            assert!(
                text.contains(&taken.local_addr().unwrap().to_string()) && text.contains(option),
                "{text}"
            );
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data"), b"a file").unwrap();
        let text = refusal(&command(&dir, free_port()));
        assert!(text.contains("--data-dir"), "{text}");
    }

    #[test]
    fn addresses_that_make_no_sense_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with = |change: fn(&mut cli::Server)| {
            let mut command = command(&dir, free_port());
            change(&mut command);
            refusal(&command)
        };
        assert!(with(|c| c.listen = Some("127.0.0.1:60000".into())).contains("at most 55535"));
        assert!(with(|c| c.listen = Some("6379".into())).contains("HOST:PORT"));
        assert!(with(|c| c.join = vec!["nowhere".into()]).contains("'nowhere' is not HOST:PORT"));
        assert!(with(|c| c.join = vec![c.listen.clone().unwrap()]).contains("cannot join itself"));
        assert!(
            with(|c| {
                c.listen = Some("0.0.0.0:7000".into());
                c.join = vec!["10.0.0.1:7000".into()];
            })
            .contains("--announce")
        );
        assert!(with(|c| c.set = vec!["prot=1".into()]).contains("did you mean 'port'?"));
        assert!(with(|c| c.config = Some("/nonexistent.toml".into())).contains("/nonexistent.toml"));
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let command = cli::Server { set: vec!["requirepas=hunter2".into()], ..command(&dir, free_port()) };
        assert!(!refusal(&command).contains("hunter2"));
    }

    #[test]
    fn the_secret_comes_from_a_file_that_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let with = || cli::Server { cluster_secret_file: Some(path.clone()), ..command(&dir, free_port()) };
        assert!(refusal(&with()).contains(&format!("--cluster-secret-file {}", path.display())));
        let (short, long) = (vec![b'x'; 15], vec![b'x'; 1 << 20]);
        for bad in [short, long] {
            std::fs::write(&path, &bad).unwrap();
            let text = refusal(&with());
            assert!(text.contains("16 to 1024 bytes") && !text.contains("xxx"), "{text}");
        }
        std::fs::write(&path, b"hunter2 hunter2 hunter2\n").unwrap();
        for (mode, is_open) in [(0o600, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let args = NodeArgs::resolve(&with()).unwrap();
            assert_eq!(args.notes().join("\n").contains("chmod 600"), is_open);
            assert_eq!(
                args.secret.as_ref().unwrap().secret,
                Secret::parse(b"hunter2 hunter2 hunter2").unwrap()
            );
            assert!(!format!("{args:?}").contains("hunter2"));
        }
    }

    #[test]
    fn listening_beyond_this_machine_is_pointed_out() {
        let dir = tempfile::tempdir().unwrap();
        let notes = |sets: &[&str]| {
            let mut command = command(&dir, free_port());
            command.listen = command.listen.map(|listen| listen.replace("127.0.0.1", "0.0.0.0"));
            command.set = sets.iter().map(|set| (*set).to_owned()).collect();
            NodeArgs::resolve(&command).unwrap().notes().join("\n")
        };
        assert!(notes(&[]).contains("protected mode: clients"));
        assert!(notes(&["protected-mode=no"]).contains("can read and change everything"));
        assert!(!notes(&["requirepass=x"]).contains("protected mode"));
        assert!(notes(&[]).contains("--announce"));
        let local = NodeArgs::resolve(&command(&dir, free_port())).unwrap();
        assert!(local.notes().is_empty());
    }

    #[test]
    fn a_joining_node_is_told_which_values_it_cannot_bring() {
        let dir = tempfile::tempdir().unwrap();
        let sets = vec!["appendfsync=everysec".into(), "maxclients=100".into()];
        let founder = cli::Server { set: sets, ..command(&dir, free_port()) };
        assert!(NodeArgs::resolve(&founder).unwrap().notes().is_empty());
        let joiner = cli::Server { join: vec!["127.0.0.1:1".into()], ..founder };
        let notes = NodeArgs::resolve(&joiner).unwrap().notes().join("\n");
        assert!(notes.contains("appendfsync") && !notes.contains("maxclients"), "{notes}");
    }
}
