//! What happens to the folder of a node that is down.

use quorate_sim::{DiskFaults, SimCluster};

use super::DATA;

/// The disk of a node.
pub(crate) fn disk(cluster: &mut SimCluster, n: usize) -> DiskFaults {
    let machine = cluster.machine(n);
    cluster.world().disk(machine)
}

/// Turns one to three bits around in one of the files, where there is something. Says where.
pub(crate) fn flip_bits(cluster: &mut SimCluster, n: usize) -> Vec<String> {
    let disk = disk(cluster, n);
    let rng = cluster.world().rng();
    let folder = [DATA, "data/log", "data/log", "data/snapshots"][rng.usize(..4)];
    let files: Vec<String> = disk.list(folder).iter().map(|name| format!("{folder}/{name}")).collect();
    let files: Vec<_> = files.into_iter().filter_map(|path| Some((disk.read(&path).ok()?, path))).collect();
    let files: Vec<_> = files.iter().filter(|(bytes, _)| bytes.iter().any(|b| *b != 0)).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let (bytes, path) = files[rng.usize(..files.len())];
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    // The end of a file is where the newest is, and the beginning is what all else hangs on.
    let window = match rng.u8(..4) {
        0 => &written[..written.len().min(200)],
        1 => &written[written.len().saturating_sub(200)..],
        _ => &written[..],
    };
    let flips = rng.usize(1..=3);
    let mut said = Vec::new();
    for _ in 0..flips {
        let (at, bit) = (window[rng.usize(..window.len())], rng.u8(..8));
        disk.flip_bit(path, at as u64, bit).expect("the byte is there");
        said.push(format!("bit {bit} of byte {at} of {path} on node {n} turns around"));
    }
    said
}
