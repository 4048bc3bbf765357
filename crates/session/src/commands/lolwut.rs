//! LOLWUT: a picture, and the version.

use std::f64::consts::TAU;

use quorate_keyspace::{CommandError, Reply};

use super::Answer;
use super::auth::REDIS_VERSION;

/// How many nodes a picture may have.
const NODES_MAX: usize = 25;
const NODES: usize = 5;

/// `LOLWUT [VERSION version] [nodes]`: a ring of nodes, the majority of which is filled.
pub(super) fn lolwut(args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let number = |arg: &[u8]| quorate_resp::parse_integer(arg).ok_or(CommandError::NOT_AN_INTEGER);
    let rest = match &args[1..] {
        [option, version, rest @ ..] if option.eq_ignore_ascii_case(b"version") => {
            // There is one picture, whatever the version.
            number(version)?;
            rest
        }
        rest => rest,
    };
    let nodes = match rest.first() {
        Some(arg) => usize::try_from(number(arg)?).unwrap_or(1).clamp(1, NODES_MAX),
        None => NODES,
    };
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{}\nQuorate ver. {version} (Redis ver. {REDIS_VERSION})\n", picture(nodes));
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn picture(nodes: usize) -> String {
    let (width, height) = (20 + 2 * nodes, 8 + nodes / 2);
    let mut rows = vec![vec![' '; width + 1]; height + 1];
    for n in 0..nodes {
        let angle = TAU * n as f64 / nodes as f64;
        let x = (width as f64 / 2.0 * (1.0 + angle.sin())).round() as usize;
        let y = (height as f64 / 2.0 * (1.0 - angle.cos())).round() as usize;
        rows[y.min(height)][x.min(width)] = if n <= nodes / 2 { '●' } else { '○' };
    }
    let caption = format!("{} of {nodes} agree", nodes / 2 + 1);
    let from = (width + 1).saturating_sub(caption.len()) / 2;
    for (place, letter) in rows[height / 2][from..].iter_mut().zip(caption.chars()) {
        *place = letter;
    }
    rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_filled() {
        for nodes in 1..=NODES_MAX {
            let picture = picture(nodes);
            let count = |mark| picture.chars().filter(|c| *c == mark).count();
            assert_eq!(count('●') + count('○'), nodes, "{picture}");
            assert_eq!(count('●'), nodes / 2 + 1, "{picture}");
            assert!(picture.contains(&format!("{} of {nodes} agree", nodes / 2 + 1)), "{picture}");
        }
    }
}
