//! Random commands of every family: any command of the table with arguments as the table describes them, and what
//! applications send.

use quorate_keyspace::Random;
use quorate_keyspace::command::{Argument, ArgumentFlags, Command, Group, table};

/// A command line.
pub(crate) type Line = Vec<Vec<u8>>;

/// The families whose commands have keys, with the beginning of the names of those keys.
const FAMILIES: [(Group, &str); 10] = [
    (Group::String, "string"),
    (Group::Bitmap, "bitmap"),
    (Group::List, "list"),
    (Group::Set, "set"),
    (Group::Hash, "hash"),
    (Group::SortedSet, "zset"),
    (Group::Stream, "stream"),
    (Group::Hyperloglog, "hll"),
    (Group::Geo, "geo"),
    (Group::Scripting, "script"),
];

/// Scripts that write in the order in which they get things, choose by chance, and use every library.
const SCRIPTS: [&str; 10] = [
    "for _, m in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('RPUSH', 'list:order', m) end redis.call('LTRIM', 'list:order', -60, -1)",
    "local t = {} for i = 1, 40 do t['k' .. (i * 31) % 89] = i end for k, v in pairs(t) do redis.call('RPUSH', 'list:order', k .. v) end \
     redis.call('LTRIM', 'list:order', -60, -1)",
    "local t = {} local all = redis.call('HGETALL', KEYS[1]) for i = 1, #all, 2 do t[all[i]] = all[i + 1] end return cjson.encode(t)",
    "return cmsgpack.unpack(cmsgpack.pack({1, 'a', {x = 1.5, y = true, z = {}}}))",
    "return {math.random(1000), redis.call('TIME')[1], redis.call('RANDOMKEY'), redis.call('SRANDMEMBER', KEYS[1])}",
    "redis.setresp(3) return redis.call('HGETALL', KEYS[1])",
    "return {redis.pcall('INCR', KEYS[1]), redis.pcall('LPUSH', KEYS[1], 'x'), redis.error_reply('own')}",
    "return bit.tohex(bit.bxor(#redis.sha1hex(KEYS[1] or ''), 12345)) .. tostring({}) .. tostring(print)",
    "return struct.pack('>I2s', 7, ARGV[1] or 'none')",
    "local c = '0' local r = {} repeat local s = redis.call('SCAN', c, 'COUNT', 7) c = s[1] for _, k in ipairs(s[2]) do r[#r + 1] = k end until c == '0' \
     return r",
];

const LIBRARY: &str = "#!lua name=lib\nlocal n = 0 redis.register_function('f', function(keys, args) n = n + 1 \
    redis.call('RPUSH', 'list:order', n) return {n, redis.call('LRANGE', 'list:order', -3, -1)} end) \
    redis.register_function{function_name = 'g', callback = function(keys) return redis.call('DBSIZE') end, flags = {'no-writes'}}";

/// Words for what is neither a number nor a key.
const WORDS: [&str; 16] = [
    "a",
    "b",
    "c",
    "10",
    "-3",
    "1.5",
    "member",
    "[a",
    "(b",
    "-",
    "+",
    "",
    "inf",
    "long-word-0123456789-0123456789-0123456789-0123456789",
    "\u{e9}",
    "7",
];

/// Numbers. None makes a string of hundreds of megabytes, which would be allowed, and slow.
const NUMBERS: [i64; 18] = [0, 0, 1, 1, 2, 3, 4, 5, 7, 10, 31, 100, 300, -1, -2, -7, i64::MAX, i64::MIN];

/// See the module.
pub(crate) struct Lines {
    pub(crate) random: Random,
    commands: Vec<&'static Command>,
}

impl Lines {
    pub(crate) fn new(seed: u64) -> Self {
        let every = table::all().flat_map(|c: &Command| std::iter::once(c).chain(c.subcommands));
        // DEBUG can be asked to use as much time and memory as it likes, and PFSELFTEST uses much.
        let is_fit = |c: &&Command| !c.name.starts_with("debug") && c.name != "pfselftest";
        Self { random: Random::new(seed), commands: every.filter(is_fit).collect() }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.random.below(n as u64) as usize
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// A command of any kind.
    pub(crate) fn next(&mut self) -> Line {
        match self.below(20) {
            0..9 => self.usual(),
            9 => self.script(),
            _ => loop {
                let at = self.below(self.commands.len());
                let command = self.commands[at];
                // What empties a database leaves little to look at.
                let empties = ["flushall", "flushdb", "swapdb"].contains(&command.name);
                if !empties || self.below(10) == 0 {
                    return self.of_table(command);
                }
            },
        }
    }

    /// A command with arguments as its record describes them, now and then with one too many or too few.
    pub(crate) fn of_table(&mut self, command: &'static Command) -> Line {
        let mut line = Building {
            args: command.name.split('|').map(|w| w.as_bytes().to_vec()).collect(),
            ..Building::default()
        };
        for argument in command.arguments {
            self.argument(command.group, argument, &mut line);
        }
        let mut args = line.args;
        match self.below(40) {
            0 if args.len() > 1 => _ = args.pop(),
            1 => args.push(self.word()),
            2 => {
                let at = self.below(args.len());
                args[at] = self.word();
            }
            _ => {}
        }
        args
    }

    fn argument(&mut self, group: Group, argument: &'static Argument, line: &mut Building) {
        let has = |flag| argument.flags.contains(flag);
        if has(ArgumentFlags::OPTIONAL) && self.below(5) < 3 {
            if argument.kind == "key"
                && let Some(at) = line.number_of_keys.take()
            {
                line.args[at] = b"0".to_vec();
            }
            return;
        }
        let times = match argument.flags.contains(ArgumentFlags::MULTIPLE) {
            false => 1,
            // As many as there are keys.
            true if ["weight", "id"].contains(&argument.name) && line.keys > 0 => line.keys,
            true => 1 + self.below(3),
        };
        for n in 0..times {
            if !argument.token.is_empty() && (n == 0 || has(ArgumentFlags::MULTIPLE_TOKEN)) {
                line.args.push(argument.token.as_bytes().to_vec());
            }
            self.value(group, argument, line);
        }
        if argument.kind == "key" && has(ArgumentFlags::MULTIPLE) {
            line.keys = times;
            if let Some(at) = line.number_of_keys.take() {
                line.args[at] = times.to_string().into_bytes();
            }
        }
    }

    fn value(&mut self, group: Group, argument: &'static Argument, line: &mut Building) {
        match argument.kind {
            "pure-token" => {}
            "oneof" => {
                let chosen = &argument.arguments[self.below(argument.arguments.len())];
                self.argument(group, chosen, line);
            }
            "block" => argument.arguments.iter().for_each(|part| self.argument(group, part, line)),
            "key" => line.args.push(self.key(group)),
            _ if argument.name == "numkeys" => {
                line.number_of_keys = Some(line.args.len());
                line.args.push(b"1".to_vec());
            }
            _ => {
                let value = self.simple(group, argument);
                line.args.push(value);
            }
        }
    }

    /// A value that is no key.
    fn simple(&mut self, group: Group, argument: &Argument) -> Vec<u8> {
        let text = match (argument.name, argument.kind) {
            ("longitude", _) => format!("{}.5", self.below(179)),
            ("latitude", _) => format!("{}.25", self.below(84)),
            ("radius" | "width" | "height", _) => (100 * (1 + self.below(60))).to_string(),
            ("script", _) => SCRIPTS[self.below(SCRIPTS.len())].to_owned(),
            ("function-code", _) => LIBRARY.to_owned(),
            ("function", _) => self.one_of(&["f", "g"]).to_owned(),
            ("destination-db" | "db", _) => self.below(3).to_string(),
            ("group", _) => self.one_of(&["g1", "g2"]).to_owned(),
            ("consumer", _) => self.one_of(&["c1", "c2"]).to_owned(),
            ("id" | "start" | "end" | "lastid" | "last-id" | "threshold", "string")
                if group == Group::Stream =>
            {
                self.id()
            }
            ("type", _) => self.one_of(&["string", "list", "set", "hash", "zset", "stream"]).to_owned(),
            ("timeout", _) => self.one_of(&["0", "0.01", "1", "100"]).to_owned(),
            ("encoding", _) => self.one_of(&["u8", "i16", "u40", "i64"]).to_owned(),
            ("milliseconds" | "seconds" | "ttl", _) => (1 + self.below(2000)).to_string(),
            (_, "unix-time") => (1_700_000_000_000 + self.random.below(3_000_000)).to_string(),
            (_, "integer") => NUMBERS[self.below(NUMBERS.len())].to_string(),
            (_, "double") => {
                self.one_of(&["0", "1", "-1", "2.5", "0.1", "3.0e3", "inf", "-inf", "7"]).to_owned()
            }
            (_, "pattern") => self.one_of(&["*", "*1*", "[a-m]*", "list:*->x", "m?", "#"]).to_owned(),
            ("member" | "element" | "field" | "value" | "pivot", _) if self.below(4) > 0 => self.member(),
            _ => return self.word(),
        };
        text.into_bytes()
    }

    fn word(&mut self) -> Vec<u8> {
        self.one_of(&WORDS).as_bytes().to_vec()
    }

    fn member(&mut self) -> String {
        match self.below(8) {
            0 => format!("long-member-{:0>70}", self.below(20)),
            1..4 => self.below(200).to_string(),
            _ => format!("m{}", self.below(200)),
        }
    }

    fn id(&mut self) -> String {
        match self.below(8) {
            0 => "0-0".to_owned(),
            1 => "-".to_owned(),
            2 => "+".to_owned(),
            3 => "$".to_owned(),
            4 => ">".to_owned(),
            5 => "*".to_owned(),
            _ => format!("{}-{}", 1_700_000_000_000 + self.random.below(30_000), self.below(3)),
        }
    }

    /// A key of a family; seldom of another one, and of any for commands that take every type.
    fn key(&mut self, group: Group) -> Vec<u8> {
        let own = FAMILIES.iter().find(|(g, _)| *g == group).map(|(_, name)| *name);
        let name = match own.filter(|_| self.below(25) > 0) {
            Some(name) => name,
            None => FAMILIES[self.below(FAMILIES.len())].1,
        };
        format!("{name}:{}", self.below(4)).into_bytes()
    }

    fn script(&mut self) -> Line {
        let script = SCRIPTS[self.below(SCRIPTS.len())];
        let key = self.one_of(&["set:0", "set:1", "hash:0", "string:0", "list:0", "zset:1"]);
        match self.below(6) {
            0 => line(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]),
            1 => line(&["FCALL", self.one_of(&["f", "g"]), "0"]),
            // Any command of the table, called by a script.
            2 => {
                let called = self.usual();
                let body = &b"return redis.call(unpack(ARGV))"[..];
                [vec![b"EVAL".to_vec(), body.to_vec(), b"0".to_vec()], called].concat()
            }
            _ => line(&["EVAL", script, "1", key, &self.member()]),
        }
    }

    /// What applications send.
    fn usual(&mut self) -> Line {
        let (n, k) = (self.below(400).to_string(), self.below(4));
        let (m, o) = (self.member(), self.member());
        let key = |family: &str| format!("{family}:{k}");
        let other = |family: &str| format!("{family}:{}", (k + 1) % 4);
        match self.below(34) {
            0 => line(&["SET", &key("string"), &m]),
            1 => line(&["INCRBYFLOAT", &key("string"), "0.1"]),
            2 => line(&["SET", &key("string"), &n, "PX", &n, "GET"]),
            3 => line(&["SETBIT", &key("bitmap"), &n, "1"]),
            4 => line(&[
                "BITFIELD",
                &key("bitmap"),
                "INCRBY",
                "u8",
                "#2",
                "77",
                "OVERFLOW",
                "SAT",
                "GET",
                "i5",
                "3",
            ]),
            5 | 6 => line(&["RPUSH", &key("list"), &m, &o, &n]),
            7 => line(&["LMOVE", &key("list"), &other("list"), "LEFT", "RIGHT"]),
            8 => line(&["BLPOP", &key("list"), &other("list"), "0"]),
            9 => line(&["BLMOVE", &key("list"), &other("list"), "RIGHT", "LEFT", "0"]),
            10 | 11 => line(&["SADD", &key("set"), &m, &o, &n]),
            12 => line(&["SPOP", &key("set"), "2"]),
            13 => line(&["SRANDMEMBER", &key("set"), "-3"]),
            14 => line(&["SSCAN", &key("set"), &n, "COUNT", "9"]),
            15 | 16 => line(&["HSET", &key("hash"), &m, &o, &n, &m]),
            17 => line(&["HRANDFIELD", &key("hash"), "3", "WITHVALUES"]),
            18 => line(&["HSCAN", &key("hash"), &n]),
            19 | 20 => line(&["ZADD", &key("zset"), &n, &m, "1.5", &o]),
            21 => line(&["BZPOPMIN", &key("zset"), "0"]),
            22 => {
                line(&["ZUNIONSTORE", &other("zset"), "2", &key("zset"), &key("set"), "WEIGHTS", "2", "0.5"])
            }
            23 => line(&["ZRANDMEMBER", &key("zset"), "4", "WITHSCORES"]),
            24 | 25 => line(&["XADD", &key("stream"), "MAXLEN", "~", "20", "*", &m, &o]),
            26 => line(&["XGROUP", "CREATE", &key("stream"), "g1", "0", "MKSTREAM"]),
            27 => line(&[
                "XREADGROUP",
                "GROUP",
                "g1",
                "c1",
                "COUNT",
                "2",
                "BLOCK",
                "0",
                "STREAMS",
                &key("stream"),
                ">",
            ]),
            28 => line(&["XAUTOCLAIM", &key("stream"), "g1", "c2", "0", "0-0"]),
            29 => line(&["PFADD", &key("hll"), &m, &o, &n]),
            30 => line(&["GEOADD", &key("geo"), &format!("{}.5", k * 40), &format!("{}.25", k * 20), &m]),
            31 => self.bulk(),
            32 => line(&["PEXPIRE", &key(FAMILIES[k].1), &n]),
            _ => line(&["SORT", &key("set"), "ALPHA", "BY", "*", "STORE", &other("list")]),
        }
    }

    /// So many members at once that a collection leaves its compact form.
    fn bulk(&mut self) -> Line {
        let (k, from) = (self.below(4), self.below(300));
        let (command, family, words) =
            [("SADD", "set", 1), ("HSET", "hash", 2), ("ZADD", "zset", 2), ("RPUSH", "list", 1)]
                [self.below(4)];
        let mut line = line(&[command, &format!("{family}:{k}")]);
        for i in 0..150 {
            let texts = [(from + i).to_string(), format!("m{}", from + i)];
            line.extend(texts[2 - words..].iter().map(|text| text.clone().into_bytes()));
        }
        line
    }
}

/// A line that is not complete yet.
#[derive(Default)]
struct Building {
    args: Line,
    /// Where the number of keys stands that follow.
    number_of_keys: Option<usize>,
    /// How many keys there were.
    keys: usize,
}

fn line(words: &[&str]) -> Line {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}
