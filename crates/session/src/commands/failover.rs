//! FAILOVER, CLUSTER FAILOVER and REPLICAOF: who leads, in the words of Redis. QUORATE FAILOVER does the same.

use std::rc::Rc;

use quorate_keyspace::{CommandError, Reply};
use quorate_replica::{Admin, NodeId, Outcome};

use super::{Answer, text};
use crate::connection::Connection;
use crate::node::Node;

const IMPORT: CommandError = CommandError::fixed(
    "ERR a node follows the log of its cluster, not another server: import that server's data instead (MIGRATE, sent to \
     it, moves keys here), or start a further node of this cluster with --join. Only NO ONE is accepted",
);

/// `REPLICAOF NO ONE`, which is always true.
pub(super) fn replicaof(args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    if !args[1].eq_ignore_ascii_case(b"no") || !args[2].eq_ignore_ascii_case(b"one") {
        return Err(IMPORT);
    }
    reply.ok();
    Ok(())
}

/// What FAILOVER asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    /// To that address, or to whoever fits best.
    To(Option<String>),
    Abort,
}

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]`
fn parse(args: &[Vec<u8>]) -> Result<Request, CommandError> {
    const TIMEOUT: CommandError = CommandError::fixed("ERR FAILOVER timeout must be greater than 0");
    const FORCE: CommandError =
        CommandError::fixed("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    if let [_, word] = args
        && is(word, "abort")
    {
        return Ok(Request::Abort);
    }
    let (mut to, mut force, mut timeout) = (None, false, false);
    let mut rest = &args[1..];
    while let Some((option, after)) = rest.split_first() {
        rest = match after {
            [ms, more @ ..] if is(option, "timeout") && !timeout => {
                quorate_resp::parse_integer(ms).filter(|ms| *ms > 0).ok_or(TIMEOUT)?;
                timeout = true;
                more
            }
            [host, port, more @ ..] if is(option, "to") && to.is_none() => {
                let port = quorate_resp::parse_integer(port).ok_or(CommandError::NOT_AN_INTEGER)?;
                let host = text(host);
                to = Some(if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                });
                more
            }
            _ if is(option, "force") && !force => {
                force = true;
                after
            }
            _ => return Err(CommandError::SYNTAX),
        };
    }
    if force && (to.is_none() || !timeout) {
        return Err(FORCE);
    }
    Ok(Request::To(to))
}

/// Hands leadership over, and answers when that is done. Each hand-over has the same limit of time, and none loses anything:
/// TIMEOUT and FORCE make no difference.
pub(super) async fn failover(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    const NONE: CommandError = CommandError::fixed("ERR No failover in progress.");
    const NOT_A_REPLICA: CommandError =
        CommandError::fixed("ERR FAILOVER target HOST and PORT is not a replica.");
    const ALONE: CommandError = CommandError::fixed("ERR FAILOVER requires connected replicas.");
    let view = node.cluster.view();
    let target = match parse(&args) {
        Ok(Request::Abort) => Err(NONE),
        Ok(Request::To(_)) if view.members.len() < 2 => Err(ALONE),
        Ok(Request::To(None)) => Ok(None),
        Ok(Request::To(Some(addr))) => {
            let found =
                view.members.iter().find(|(id, member)| member.addr == addr && view.leader != Some(**id));
            found.map(|(id, _)| Some(*id)).ok_or(NOT_A_REPLICA)
        }
        Err(error) => Err(error),
    };
    match target {
        Ok(target) => hand_over(&node, &connection, target).await,
        Err(error) => connection.reply(&mut |reply| reply.error(&error)),
    }
}

/// `CLUSTER FAILOVER [FORCE | TAKEOVER]`: the node that is asked is to lead. Nobody leads without a majority.
pub(super) async fn cluster_failover(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    const LEADS: CommandError = CommandError::fixed("ERR You should send CLUSTER FAILOVER to a replica");
    let is_option =
        |arg: &Vec<u8>| ["force", "takeover"].iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()));
    let refusal = if args.len() > 3 || !args[2..].iter().all(is_option) {
        Some(CommandError::SYNTAX)
    } else {
        node.cluster.view().is_leader.then_some(LEADS)
    };
    match refusal {
        Some(error) => connection.reply(&mut |reply| reply.error(&error)),
        None => hand_over(&node, &connection, Some(node.cluster.node_id())).await,
    }
}

async fn hand_over(node: &Rc<Node>, connection: &Rc<Connection>, to: Option<NodeId>) {
    let outcome = node.cluster.admin(Admin::Transfer(to)).await;
    connection.reply(&mut |reply| match &outcome {
        Outcome::Done(_) => reply.ok(),
        Outcome::Failed(why) | Outcome::Refused(why) => reply.error(&CommandError::new(format!("ERR {why}"))),
        other => reply.error(&CommandError::new(format!("ERR {other:?}"))),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, CommandError> {
        parse(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn failover_has_the_options_of_redis() {
        let to = |addr: &str| Ok(Request::To(Some(addr.to_owned())));
        assert_eq!(parsed("failover"), Ok(Request::To(None)));
        assert_eq!(parsed("failover ABORT"), Ok(Request::Abort));
        assert_eq!(parsed("failover to h 7 timeout 5 force"), to("h:7"));
        assert_eq!(parsed("failover timeout 5 to ::1 7"), to("[::1]:7"));
        for line in
            ["failover to h", "failover abort timeout 5", "failover timeout 5 timeout 5", "failover x"]
        {
            assert_eq!(parsed(line), Err(CommandError::SYNTAX), "{line}");
        }
        for line in ["failover timeout 0", "failover to h x", "failover to h 7 force", "failover force"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
