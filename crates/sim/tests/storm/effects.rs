//! Commands whose traces only digests tell: writes in the order of iteration, random picks, results of large operations. Each
//! touches keys that nothing else reads; what they do must be the same on every replica (R11).

use super::commands::{Line, transaction};

/// Writes members in the order in which the script gets them.
const IN_ORDER: &str = "for _, m in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('RPUSH', KEYS[2], m) end \
    redis.call('LTRIM', KEYS[2], -40, -1)";
/// The same of a table of the script's own.
const OF_A_TABLE: &str = "local t = {} for i = 1, 30 do t['k' .. (i * ARGV[1]) % 97] = i end \
    for k, v in pairs(t) do redis.call('RPUSH', KEYS[1], k .. v) end redis.call('LTRIM', KEYS[1], -40, -1)";
/// What libraries of the script make of a hash.
const ENCODED: &str = "local t = {} local all = redis.call('HGETALL', KEYS[1]) \
    for i = 1, #all, 2 do t[all[i]] = all[i + 1] end \
    redis.call('SET', KEYS[2], cjson.encode(t) .. redis.sha1hex(cmsgpack.pack(all)) .. struct.pack('>I4', #all))";
/// Random numbers and times of a script.
const CHANCE: &str = "redis.call('RPUSH', KEYS[1], math.random(1000), redis.call('TIME')[1], \
    tostring(redis.call('SRANDMEMBER', KEYS[2]))) redis.call('LTRIM', KEYS[1], -40, -1)";

/// What `draw` chooses.
pub(crate) fn lines(draw: u64) -> Vec<Line> {
    let n = draw / 32 % 400;
    let (name, other) = (&format!("m{n}")[..], &format!("m{}", n * 7 % 400)[..]);
    let number = &n.to_string()[..];
    match draw % 32 {
        0 | 1 => one(&["SADD", "e:set", name, other, number]),
        2 | 3 => one(&["HSET", "e:hash", name, other, other, number]),
        4 | 5 => one(&["ZADD", "e:zset", number, name, "7", other]),
        6 => many("SADD", "e:set", n, 1),
        7 => many("HSET", "e:hash", n, 2),
        8 => one(&["EVAL", IN_ORDER, "2", "e:set", "e:out"]),
        9 => one(&["EVAL", OF_A_TABLE, "1", "e:out", number]),
        10 => one(&["EVAL", ENCODED, "2", "e:hash", "e:text"]),
        11 => one(&["EVAL", CHANCE, "2", "e:out", "e:set"]),
        12 => one(&["SPOP", "e:set", "3"]),
        13 => transaction(&[
            &["SRANDMEMBER", "e:set", "3"],
            &["HRANDFIELD", "e:hash", "-3", "WITHVALUES"],
            &["ZRANDMEMBER", "e:zset", "2"],
            &["RANDOMKEY"],
        ]),
        14 => transaction(&[
            &["SSCAN", "e:set", number, "COUNT", "7"],
            &["HSCAN", "e:hash", "0", "COUNT", "5"],
            &["ZSCAN", "e:zset", "0"],
            &["SCAN", number, "COUNT", "5"],
        ]),
        15 => one(&["ZUNIONSTORE", "e:zset2", "2", "e:zset", "e:set", "WEIGHTS", "2", "3"]),
        16 => one(&["SUNIONSTORE", "e:set2", "e:set", "e:set3"]),
        17 => one(&["SDIFFSTORE", "e:set3", "e:set", "e:set2"]),
        18 => one(&["SORT", "e:set", "ALPHA", "LIMIT", "0", "20", "STORE", "e:sorted"]),
        19 => one(&["GEOADD", "e:geo", &format!("{}.5", n % 170), &format!("{}.25", n % 80), name]),
        20 => one(&["GEOSEARCHSTORE", "e:near", "e:geo", "FROMLONLAT", "15", "37", "BYRADIUS", "4000", "km"]),
        21 => one(&["SETBIT", "e:bits", number, &(n % 2).to_string()]),
        22 => one(&["BITOP", "XOR", "e:bits2", "e:bits", "e:text"]),
        23 => one(&["PFADD", "e:hll", name, other]),
        24 => one(&["PFMERGE", "e:hll2", "e:hll", "e:hll3"]),
        25 => one(&["XADD", "e:stream", "MAXLEN", "~", "30", "*", name, other]),
        26 => one(&["PEXPIRE", ["e:set", "e:hash", "e:zset", "e:out", "e:stream"][n as usize % 5], "300"]),
        27 => one(&["COPY", "e:hash", "e:hash2", "REPLACE"]),
        28 => one(&["LINSERT", "e:out", "BEFORE", name, other]),
        29 => transaction(&[&["DUMP", "e:set"], &["DUMP", "e:zset"], &["OBJECT", "ENCODING", "e:hash"]]),
        30 => one(&["ZRANGESTORE", "e:zset3", "e:zset", "(5", "300", "BYSCORE", "LIMIT", "2", "50"]),
        _ => one(&["DEL", ["e:set", "e:hash", "e:zset", "e:bits", "e:sorted"][n as usize % 5]]),
    }
}

fn one(words: &[&str]) -> Vec<Line> {
    vec![words.iter().map(|word| word.as_bytes().to_vec()).collect()]
}

/// So many at once that the collection leaves its compact form.
fn many(command: &str, key: &str, n: u64, words: u64) -> Vec<Line> {
    let texts: Vec<String> = (0..140 * words).map(|i| format!("m{}", (n + i) % 400)).collect();
    let line: Vec<&str> = [command, key].into_iter().chain(texts.iter().map(String::as_str)).collect();
    one(&line)
}
