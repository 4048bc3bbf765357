//! What the container command `QUORATE` answers, as the tools read it.

use std::io;
use std::time::Duration;

use anyhow::Context;
use quorate_resp::Value;
use serde::Serialize;

use crate::client::Client;

/// One member, as the node that was asked sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Member {
    /// Its number.
    pub(crate) id: u64,
    /// Where clients connect.
    pub(crate) addr: String,
    /// Where it serves HTTP.
    pub(crate) http: String,
    /// Failure domain.
    pub(crate) zone: String,
    /// `leader`, `follower`, `learner` or `reader`.
    pub(crate) role: String,
}

impl Member {
    /// Whether it votes.
    pub(crate) fn is_voter(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "follower")
    }
}

/// A node, as it sees itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeView {
    /// Present term.
    pub(crate) term: u64,
    /// Who leads, if it knows.
    pub(crate) leader: Option<u64>,
    /// The last entry it has applied.
    pub(crate) applied: u64,
    /// The last entry of its log.
    pub(crate) last: u64,
    /// Time since its process started.
    pub(crate) uptime: Duration,
    /// Version of its program.
    pub(crate) version: String,
}

/// Digest of a node's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The entry up to which the state was applied.
    pub(crate) index: u64,
    /// The digest, hexadecimal.
    pub(crate) hex: String,
}

/// QUORATE NODE LIST.
pub(crate) fn members(client: &mut Client) -> anyhow::Result<Vec<Member>> {
    let reply = client.expect(&["QUORATE", "NODE", "LIST"])?;
    let rows = reply.as_array().context("QUORATE NODE LIST did not answer a list")?;
    let mut members: Vec<Member> = rows.iter().map(member).collect();
    members.sort_by_key(|member| member.id);
    Ok(members)
}

fn member(row: &Value) -> Member {
    let fields = Fields(row);
    Member {
        id: fields.number("id").unwrap_or(0),
        addr: fields.text("addr"),
        http: fields.text("http"),
        zone: fields.text("zone"),
        role: fields.text("role"),
    }
}

/// QUORATE STATUS.
pub(crate) fn node_view(client: &mut Client) -> io::Result<NodeView> {
    let reply = client.expect(&["QUORATE", "STATUS"])?;
    let fields = Fields(&reply);
    Ok(NodeView {
        term: fields.number("term").unwrap_or(0),
        // 0 is no node's number.
        leader: fields.number("leader").filter(|id| *id != 0),
        applied: fields.number("applied").unwrap_or(0),
        last: fields.number("last").unwrap_or(0),
        uptime: Duration::from_millis(fields.number("uptime-ms").unwrap_or(0)),
        version: fields.text("version"),
    })
}

/// QUORATE DIGEST.
pub(crate) fn digest(client: &mut Client) -> anyhow::Result<Digest> {
    read_digest(&client.expect(&["QUORATE", "DIGEST"])?)
}

/// QUORATE DIGEST FULL.
pub(crate) fn full_digest(client: &mut Client) -> anyhow::Result<Digest> {
    read_digest(&client.expect(&["QUORATE", "DIGEST", "FULL"])?)
}

fn read_digest(reply: &Value) -> anyhow::Result<Digest> {
    match reply.as_array() {
        Some([index, hex]) => Ok(Digest {
            index: number(index).context("QUORATE DIGEST: the index is no number")?,
            hex: hex.as_str().context("QUORATE DIGEST: the digest is no text")?.to_owned(),
        }),
        _ => anyhow::bail!("QUORATE DIGEST did not answer an index and a digest"),
    }
}

/// A map, or the flat list of names and values that RESP2 has in its place.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        match self.0 {
            Value::Map(pairs) => {
                pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
            }
            other => other
                .as_array()?
                .chunks_exact(2)
                .find(|pair| pair[0].as_str() == Some(name))
                .map(|pair| &pair[1]),
        }
    }

    fn text(&self, name: &str) -> String {
        self.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(number)
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => other.as_str()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn a_row_reads_alike_from_a_map_and_from_a_flat_list() {
        let pairs = vec![
            (bulk("id"), Value::Int(2)),
            (bulk("addr"), bulk("127.0.0.1:7002")),
            (bulk("role"), bulk("follower")),
            (bulk("matched"), Value::Null),
        ];
        let flat = pairs.iter().cloned().flat_map(|(key, value)| [key, value]).collect();
        let from_map = member(&Value::Map(pairs));
        assert_eq!(from_map, member(&Value::Array(flat)));
        assert_eq!((from_map.id, from_map.addr.as_str(), from_map.is_voter()), (2, "127.0.0.1:7002", true));
    }

    #[test]
    fn numbers_may_be_text_and_may_be_missing() {
        let value = Value::Array(vec![bulk("term"), bulk("12"), bulk("leader"), Value::Null]);
        let fields = Fields(&value);
        assert_eq!(
            (fields.number("term"), fields.number("leader"), fields.number("last")),
            (Some(12), None, None)
        );
    }
}
