//! Scripts (R13): what they may spend, what they may see, and that every replica does the same.

mod replica;

use quorate_keyspace::LogLevel;
use replica::{Replica, restore};

impl Replica {
    fn eval(&mut self, code: &str) -> String {
        self.run_args(0, &[b"EVAL", code.as_bytes(), b"0"])
    }
}

/// The text of an error without the script's name.
fn cause(reply: &str) -> &str {
    reply.split(" script: ").next().unwrap_or(reply)
}

#[test]
fn a_script_without_an_end_ends() {
    let mut replica = Replica::new(1);
    replica.run_args(0, &[b"\0directory.set", b"config.script-steps-max", b"3000000"]);
    let caught_again_and_again = "while true do pcall(function() while true do end end) end";
    for code in [
        "while true do end",
        caught_again_and_again,
        "while true do coroutine.wrap(function() while true do end end)() end",
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
        "string.rep('a', 40):find(string.rep('a*', 40) .. 'b')",
        "while true do string.rep('x', 1000000) end",
        "local t = {} for i = 1, 200000 do t[i] = i end while true do table.concat(t) end",
        "while true do redis.call('ping') end",
        "local t = {} for i = 1, 200000 do t[i] = 200000 - i end while true do table.sort(t) end",
    ] {
        let reply = replica.eval(code);
        assert!(cause(&reply).contains("more steps than a script may take"), "{code}: {reply}");
        assert_eq!(replica.eval("return 1"), "1", "the next one runs: {code}");
    }
}

#[test]
fn what_a_script_has_written_before_its_error_stays() {
    let mut replica = Replica::new(1);
    let reply = replica.eval("redis.call('set', 'a', 1) error('halt')");
    assert_eq!(cause(&reply), "-ERR user_script:1: halt");
    assert_eq!(replica.run(0, "GET a"), "\"1\"");
}

#[test]
fn a_script_begins_as_if_it_were_the_first() {
    let mut replica = Replica::new(1);
    let attempts = [
        "string.leak = 1",
        "rawset(string, 'leak', 1)",
        "rawset(_G, 'leak', 1)",
        "leak = 1",
        "table.insert(string, 1)",
        "setmetatable(string, {})",
        "setmetatable(_G, {})",
        "getmetatable('').__index = {}",
        "redis.call = 1",
        "for k, v in pairs(_G) do if k == 'string' then v.leak = 1 end end",
        "_G._G.leak = 1",
        "string = nil",
        "pcall = nil",
        "table.sort(_G)",
        "cjson.null = 1",
    ];
    for code in attempts {
        let reply = replica.eval(code);
        assert!(reply.starts_with("-ERR"), "{code}: {reply}");
        assert_eq!(
            replica.eval("return {pcall(function() return leak end) and 1 or 0, type(string.leak), ('x').rep and 1 or 0}"),
            "[0, \"nil\", 1]",
            "{code}"
        );
    }
    replica.eval("cjson.encode_max_depth(5) math.randomseed(7)");
    assert_eq!(replica.eval("return cjson.encode({{{{{{{1}}}}}}})"), "\"[[[[[[[1]]]]]]]\"");
    replica.run_args(
        0,
        &[
            b"FUNCTION",
            b"LOAD",
            b"#!lua name=l\nlocal n = 0\nredis.register_function('f', function() n = n + 1 return n end)",
        ],
    );
    assert_eq!(replica.run(0, "FCALL f 0"), "1");
    assert_eq!(replica.run(0, "FCALL f 0"), "1", "nothing is remembered between calls");
}

#[test]
fn addresses_memory_and_clocks_never_show() {
    let mut replica = Replica::new(1);
    assert_eq!(
        replica.eval("return {tostring({}), tostring(function() end), collectgarbage('count'), os.clock()}"),
        "[\"table\", \"function\", 0, 0]"
    );
    for code in ["for k in pairs({[{}] = 1}) do end", "return next({[{}] = 1})"] {
        assert!(replica.eval(code).starts_with("-ERR"), "{code}");
    }
}

#[test]
fn replicas_with_different_pasts_do_the_same() {
    let mut a = Replica::new(1);
    let mut b = Replica::new(1);
    // What is no state: another interpreter, with other strings and another heap.
    for i in 0..50 {
        let mut other = Replica::new(9);
        other.eval(&format!("local t = {{}} for i = 1, 1000 do t['{i}' .. i] = {{}} end return 1"));
    }
    let scripts = [
        "local t = {} for i = 1, 100 do t['k' .. (i * 7919 % 101)] = i end for k, v in pairs(t) do redis.call('rpush', 'l', k .. v) end",
        "redis.call('set', 'r', tostring(math.random()))",
        "for i = 1, 20 do redis.call('rpush', 'l', tostring(math.random(1000))) end return redis.call('llen', 'l')",
        "return redis.call('randomkey')",
        "local t = setmetatable({}, {__mode = 'k'}) for i = 1, 10 do t[{}] = i end local n = 0 for i = 1, 5000000 do n = n + 1 end return n",
        "redis.call('lpush', 'r', 'wrong type')",
        "return cjson.encode({a = 1, b = {1, 2}, c = 'x'})",
    ];
    for (i, code) in scripts.iter().cycle().take(40).enumerate() {
        let replies = (a.eval(code), b.eval(code));
        assert_eq!(replies.0, replies.1, "{code}");
        assert_eq!(a.keyspace.digest(), b.keyspace.digest(), "{code}");
        if i % 10 == 5 {
            let mut restored = restore(&b.snapshot());
            std::mem::swap(&mut b.keyspace, &mut restored);
        }
    }
    assert_eq!(full_digest(&mut a), full_digest(&mut b));
}

#[test]
fn scripts_and_functions_are_part_of_a_snapshot() {
    let mut replica = Replica::new(1);
    let sha = replica.run_args(0, &[b"SCRIPT", b"LOAD", b"return 'kept'"]).trim_matches('"').to_owned();
    replica.eval("return 'evaluated'");
    replica.run_args(0, &[b"FUNCTION", b"LOAD", b"#!lua name=lib\nredis.register_function{function_name='f', callback=function(k) return k[1] end, flags={'no-writes'}, description='d'}"]);
    let list = replica.run(0, "FUNCTION LIST WITHCODE");
    let snapshot = replica.snapshot();
    replica.keyspace = restore(&snapshot);
    assert_eq!(replica.run(0, &format!("EVALSHA {sha} 0")), "\"kept\"");
    assert_eq!(replica.run(0, "FUNCTION LIST WITHCODE"), list);
    assert_eq!(replica.run(0, "FCALL_RO f 1 key"), "\"key\"");
    let name = replica.eval("return redis.sha1hex(\"return 'evaluated'\")");
    assert_eq!(replica.run(0, &format!("EVALSHA {} 0", name.trim_matches('"'))), "\"evaluated\"");
    assert_eq!(replica.run(0, "SCRIPT FLUSH"), "+OK");
    assert!(replica.run(0, &format!("EVALSHA {sha} 0")).starts_with("-NOSCRIPT"));
}

#[test]
fn evaluated_scripts_are_forgotten_after_some_hundreds() {
    let mut replica = Replica::new(1);
    let loaded = replica.run_args(0, &[b"SCRIPT", b"LOAD", b"return 0"]).trim_matches('"').to_owned();
    let name = |replica: &mut Replica, i: i32| {
        let reply = replica.eval(&format!("return redis.sha1hex('return {i}')"));
        reply.trim_matches('"').to_owned()
    };
    replica.eval("return 1");
    let first = name(&mut replica, 1);
    for i in 2..600 {
        replica.eval(&format!("return {i}"));
    }
    let last = name(&mut replica, 599);
    assert_eq!(replica.run(0, &format!("SCRIPT EXISTS {loaded} {first} {last}")), "[1, 0, 1]");
}

#[test]
fn a_script_that_says_it_only_reads_may_not_write() {
    let mut replica = Replica::new(1);
    for args in [
        vec!["EVAL_RO", "return redis.call('set', 'a', 1)", "0"],
        vec!["EVAL", "#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)", "0"],
    ] {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let reply = replica.run_args(0, &args);
        assert_eq!(cause(&reply), "-ERR Write commands are not allowed from read-only scripts.");
    }
    assert_eq!(replica.run(0, "EXISTS a"), "0");
}

fn full_digest(replica: &mut Replica) -> u128 {
    replica.keyspace.content_digest_begin();
    loop {
        if let Some(digest) = replica.keyspace.content_digest_slice(10_000) {
            return digest;
        }
    }
}

/// What a used interpreter and a new one agree on (R13).
fn agree(used: &mut Replica, fresh: &mut Replica, code: &str, args: &[&str]) -> String {
    let mut words: Vec<&[u8]> = vec![b"EVAL", code.as_bytes(), b"0"];
    words.extend(args.iter().map(|arg| arg.as_bytes()));
    let (a, b) = (used.run_args(0, &words), fresh.run_args(0, &words));
    assert_eq!(a, b, "{code} {args:?}");
    assert_eq!(used.keyspace.digest(), fresh.keyspace.digest(), "{code} {args:?}");
    a
}

/// Two replicas of the same state. The interpreter of one has run so many other scripts, all of which write nothing.
fn used_and_fresh(scripts: u32) -> (Replica, Replica) {
    let mut used = Replica::new(1);
    used.run_args(0, &[b"\0directory.set", b"config.script-memory-max", b"100000000"]);
    for i in 0..scripts {
        let code = format!("local t = {{}} for i = 1, {} do t[i] = 'k{i}_' .. i end return #t", i % 300);
        assert_eq!(used.eval(&code), (i % 300).to_string());
    }
    let mut fresh = Replica::new(1);
    (fresh.time_ms, fresh.seed) = (used.time_ms, used.seed);
    fresh.keyspace = restore(&used.snapshot());
    (used, fresh)
}

#[test]
fn memory_and_steps_are_the_same_whatever_an_interpreter_has_run() {
    let (mut used, mut fresh) = used_and_fresh(10_000);
    // It keeps pieces of 100 kB, each with a write, until it has so many.
    let keeps = "local t = {} for i = 1, tonumber(ARGV[1]) do t[i] = string.rep(string.char(i % 251, i % 7), 50000) .. i redis.call('incr', 'n') end return #t";
    let count = |replica: &mut Replica| {
        let text = replica.read(0, "GET n", replica.time_ms).unwrap();
        text.trim_matches('"').parse::<usize>().unwrap_or(0)
    };
    let mut reached = Vec::new();
    for pieces in [50, 600, 2000] {
        let before = count(&mut used);
        let reply = agree(&mut used, &mut fresh, keeps, &[&pieces.to_string()]);
        let written = count(&mut used) - before;
        assert_eq!(written, count(&mut fresh) - before);
        reached.push(written);
        match pieces {
            2000 => assert_eq!(cause(&reply), "-ERR not enough memory"),
            _ => assert_eq!(reply, pieces.to_string()),
        }
    }
    // The limit itself, found piece by piece: the same one here and there, and it holds when the script catches its error.
    let last = reached[2];
    assert!((610..1000).contains(&last), "{last} pieces of 100 kB fit into 100 MB");
    for pieces in [last - 1, last, last + 1] {
        agree(&mut used, &mut fresh, keeps, &[&pieces.to_string()]);
        let caught = format!(
            "local ok, err = pcall(function() {keeps} end) return {{ok, err, redis.call('incr', 'n')}}"
        );
        agree(&mut used, &mut fresh, &caught, &[&pieces.to_string()]);
        // And so does the next.
        agree(&mut used, &mut fresh, "return redis.call('incr', 'n')", &[]);
    }
    // Steps: what is left of the last thousand of one run is no matter of the next one.
    for replica in [&mut used, &mut fresh] {
        replica.run_args(0, &[b"\0directory.set", b"config.script-steps-max", b"3000000"]);
    }
    let steps = "local n = 0 while true do n = n + 1 if n % 10 == 0 then redis.call('incr', 'n') end end";
    agree(&mut used, &mut fresh, steps, &[]);
    used.eval("return 1");
    fresh.eval("local n = 0 for i = 1, 777 do n = n + i end return 1");
    assert_eq!(count(&mut used), count(&mut fresh));
    fresh.keyspace = restore(&used.snapshot());
    agree(&mut used, &mut fresh, steps, &[]);
}

#[test]
fn a_script_that_outgrows_the_shared_interpreter_calls_no_command_twice() {
    let (mut used, mut fresh) = used_and_fresh(700);
    let large = "local t = {} for i = 1, 700 do t[i] = string.rep('x', 100000) .. i if i % 7 == 0 then redis.call('rpush', 'l', i, math.random(1000)) end end \
                 for i = 1, 100 do redis.call('rpush', 'l', redis.call('llen', 'l')) end return redis.call('lrange', 'l', -3, -1)";
    assert_eq!(agree(&mut used, &mut fresh, large, &[]), "[\"297\", \"298\", \"299\"]");
    // Replies alone do it, too.
    let replies = "redis.call('set', 's', string.rep('y', 1000000)) local n = 0 for i = 1, 40 do n = n + #redis.call('get', 's') redis.call('incr', 'c') end return n";
    assert_eq!(agree(&mut used, &mut fresh, replies, &[]), "40000000");
    assert_eq!(used.read(0, "GET c", used.time_ms).unwrap(), "\"40\"");
    // Garbage does not count: this builds 120 MB of strings.
    let garbage = "local s = '' for i = 1, 9000 do s = s .. 'xyz' end redis.call('set', 's', s) return #s";
    assert_eq!(agree(&mut used, &mut fresh, garbage, &[]), "27000");
    // What is caught counts for nothing: the first attempt ends when memory does.
    for code in [
        "local n = redis.call('incr', 'e') local ok, err = pcall(string.rep, 'x', 69000000) return {n, ok, err}",
        "local n = redis.call('incr', 'e') local ok, err = pcall(string.rep, 'x', 200000000) return {n, ok, err, redis.call('incr', 'e')}",
        "local n = redis.call('incr', 'e') local ok, err = xpcall(function() return string.rep('x', 200000000) end, function() return 'handled' end) return {n, ok, err, redis.call('incr', 'e')}",
        "local co = coroutine.create(function() return string.rep('x', 200000000) end) local ok, err = coroutine.resume(co) return {ok, err, redis.call('incr', 'e')}",
        "local ok, err = pcall(coroutine.wrap(function() return string.rep('x', 200000000) end)) return {ok, err, redis.call('incr', 'e')}",
        "local s = string.rep('x', 20000000) return {pcall(cjson.encode, {s, s, s, s}), redis.call('incr', 'e')}",
        "local s = string.rep('x', 20000000) redis.call('set', 's', s) return {pcall(redis.call, 'append', 's', s), redis.call('incr', 'e')}",
        "local s = string.rep('x', 40000000) redis.call('set', 's', s) s = nil return {pcall(redis.call, 'get', 's'), redis.call('incr', 'e')}",
        "local f = loadstring('return \"' .. string.rep('x', 40000000) .. '\"') return {f ~= nil, redis.call('incr', 'e')}",
        "error('not enough memory')",
        "return {pcall(error, 'not enough memory')}",
    ] {
        agree(&mut used, &mut fresh, code, &[]);
    }
}

#[test]
fn garbage_is_collected_at_the_same_steps_everywhere() {
    let (mut used, mut fresh) = used_and_fresh(700);
    let weak = "local t = setmetatable({}, {__mode = 'v'}) local seen = {} for i = 1, 1500000 do t[1] = t[1] or {} if i % 100000 == 0 then t[i] = {} local n = 0 for _ in pairs(t) do n = n + 1 end seen[#seen + 1] = n end end return seen";
    for _ in 0..3 {
        let seen = agree(&mut used, &mut fresh, weak, &[]);
        assert!(seen.len() > 10, "{seen}");
    }
}

#[test]
fn a_call_takes_some_thousand_words_of_whatever_length() {
    let (mut used, mut fresh) = used_and_fresh(700);
    for (code, reply) in [
        (
            "local t = {} for i = 1, 6999 do t[i] = i end return redis.call('rpush', 'l', 'a', unpack(t))",
            "7000",
        ),
        (
            "local t = {} for i = 1, 6999 do t[i] = i end return #redis.call('mget', 'a', 'b', unpack(t))",
            "7001",
        ),
        ("return redis.call('lrange', 'l', 6998, -1)", "[\"6998\", \"6999\"]"),
        // Numbers are written out alike, however many words there are.
        (
            "local t = {} for i = 1, 600 do t[i] = i / 8 end redis.call('rpush', 'n', unpack(t)) return redis.call('lrange', 'n', 0, 1)",
            "[\"0.125\", \"0.25\"]",
        ),
        (
            "local t = {} for i = 1, 6999 do t[i] = string.rep(i % 10, 1500) end return redis.call('rpush', 'm', unpack(t))",
            "6999",
        ),
        (
            "return {redis.call('lrange', 'm', 41, 41)[1] == string.rep(2, 1500), redis.call('del', 'm')}",
            "[1, 1]",
        ),
    ] {
        assert_eq!(agree(&mut used, &mut fresh, code, &[]), reply, "{code}");
    }
    for (code, error) in [
        (
            "local t = {} for i = 1, 7500 do t[i] = 'x' end return redis.call('rpush', 'm', unpack(t))",
            "too many arguments",
        ),
        (
            "local t = {} for i = 1, 7500 do t[i] = {} end return redis.pcall('rpush', 'm', unpack(t))",
            "too many arguments",
        ),
        (
            "local t = {} for i = 1, 600 do t[i] = 'x' end t[300] = {} return redis.call('rpush', 'm', unpack(t))",
            "must be strings or integers",
        ),
        (
            "local t = {} for i = 1, 600 do t[i] = 'x' end return redis.call('rpush', 'm', unpack(t, 1, 601))",
            "must be strings or integers",
        ),
        ("return redis.call('get', 'a', nil)", "must be strings or integers"),
        ("return redis.call()", "at least one argument"),
    ] {
        let reply = agree(&mut used, &mut fresh, code, &[]);
        assert!(reply.starts_with("-ERR") && reply.contains(error), "{code}: {reply}");
    }
    assert_eq!(used.read(0, "EXISTS m", used.time_ms).unwrap(), "0");
}

#[test]
fn the_place_of_an_error_is_the_line_that_has_called() {
    let mut replica = Replica::new(1);
    // Lua leaves no trace of a function that returns what another one gives; a command is none of its functions.
    for (code, line) in [
        ("return redis.call('nope')", Some(1)),
        ("local x = redis.call('nope') return x", Some(1)),
        ("\n\nreturn redis.call('nope')", Some(3)),
        ("local x = {\n redis.call(\n'nope'\n)\n}", Some(2)),
        ("local function f()\n return redis.call('nope') end\n return f()", Some(2)),
        ("local function f()\n return (redis.call('nope')) end\n local x = f() return x", Some(2)),
        (
            "local function f()\n return redis.call('nope') end local function g()\n return f() end\n return g()",
            Some(2),
        ),
        ("local c = redis.call\n return c('nope')", Some(2)),
        ("return coroutine.wrap(function()\n return 1 end)()\n, redis.call('nope')", Some(3)),
        ("pcall(redis.call, 'nope')\n return redis.call('nope')", Some(2)),
        ("local ok, e = pcall(redis.call, 'nope')\n error(e)", Some(2)),
        ("local e = redis.pcall('nope')\n return error(e)", Some(2)),
        ("\nreturn redis.call()", Some(2)),
        ("\nreturn redis.call({})", Some(2)),
        ("\nreturn redis.acl_check_cmd('nope')", Some(2)),
        // Nothing was raised.
        ("\nreturn redis.pcall('nope')", None),
    ] {
        let reply = replica.eval(code);
        let place = line.map(|line| format!(", on @user_script:{line}."));
        let has_place = place.as_ref().map_or(!reply.contains(" on @"), |place| reply.ends_with(place));
        assert!(reply.starts_with("-ERR") && has_place, "{code}: {reply}");
    }
}

#[test]
fn keys_and_arguments_arrive_whatever_they_are_and_however_many() {
    let mut replica = Replica::new(1);
    let code: &[u8] = b"local t = {#KEYS, #ARGV} for _, word in ipairs(KEYS) do t[#t + 1] = word end \
        for _, word in ipairs(ARGV) do t[#t + 1] = word end KEYS[#KEYS + 1] = 'left' return t";
    for (count, word) in
        [(0, "w"), (1, "w"), (2, ""), (4, "w"), (5, "w"), (30, "w"), (31, "w"), (3, "\u{fc}"), (9, "\0")]
    {
        let words: Vec<Vec<u8>> = (0..count).map(|i| format!("{word}{i}").into_bytes()).collect();
        for keys in 0..=count {
            let number = keys.to_string();
            let mut line: Vec<&[u8]> = vec![b"EVAL", code, number.as_bytes()];
            line.extend(words.iter().map(Vec::as_slice));
            let reply = replica.run_args(0, &line);
            let same = format!(
                "return {{{keys}, {}{}}}",
                count - keys,
                words
                    .iter()
                    .map(|word| {
                        let escaped: String = word.iter().map(|byte| format!("\\{byte:03}")).collect();
                        format!(", \"{escaped}\"")
                    })
                    .collect::<String>()
            );
            assert_eq!(reply, replica.eval(&same), "{keys} of {count} {word:?}");
        }
    }
    // What is no text.
    let line: [&[u8]; 5] =
        [b"EVAL", b"return {#KEYS[1], KEYS[1]:byte(1), #ARGV[1], ARGV[1]:byte(2)}", b"1", b"\xff", b"a\x80b"];
    assert_eq!(replica.run_args(0, &line), "[1, 255, 3, 128]");
}

#[test]
fn large_results_and_many_arguments_are_no_trouble() {
    let mut replica = Replica::new(1);
    let strings = replica.eval("local t = {} for i = 1, 20000 do t[i] = 'x' .. i end return t");
    assert!(strings.ends_with("\"x20000\"]"), "{}", &strings[strings.len() - 40..]);
    assert_eq!(
        replica.eval(
            "local t = {} for i = 1, 7000 do t[i] = 'x' .. i end return redis.call('rpush', 'l', unpack(t))"
        ),
        "7000"
    );
    assert_eq!(
        replica.eval("local t = {} for i = 1, 7000 do t[i] = i end return #redis.pcall('mget', unpack(t))"),
        "7000"
    );
    let mut words: Vec<Vec<u8>> =
        vec![b"EVAL".to_vec(), b"return {#KEYS, #ARGV, ARGV[15000]}".to_vec(), b"5000".to_vec()];
    words.extend((0..20_000).map(|i| format!("w{i}").into_bytes()));
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    assert_eq!(replica.run_args(0, &words), "[5000, 15000, \"w19999\"]");
    assert_eq!(replica.eval("local t = {} for i = 1, 20000 do t['x' .. i] = 'y' end local n = 0 for _ in pairs(cmsgpack.unpack(cmsgpack.pack(t))) do n = n + 1 end return n"), "20000");
    let set = replica
        .eval("redis.setresp(3) local t = {} for i = 1, 20000 do t['x' .. i] = true end return {set = t}");
    assert_eq!(set.matches("\"x").count(), 20_000);
    for (code, error) in [
        ("return {cmsgpack.unpack(string.rep('\\161a', 20000))}", "stack overflow"),
        ("return {struct.unpack(string.rep('s', 20000), string.rep('\\0', 20000))}", "stack overflow"),
        (
            "local t = {} for i = 1, 7900 do t[i] = 'x' end return cmsgpack.pack(unpack(t))",
            "too many arguments",
        ),
        // More than Lua's own functions return: they grow on their way.
        (
            "local function f(n, ...) if n == 0 then return redis.call('del', ...) end return f(n - 1, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', ...) end return f(2000)",
            "too many arguments",
        ),
        (
            "local t = {} for i = 1, 7900 do t[i] = 'x' end return redis.log(1, unpack(t))",
            "too many arguments",
        ),
    ] {
        let reply = replica.eval(code);
        assert!(reply.starts_with("-ERR") && reply.contains(error), "{code}: {reply}");
    }
    let nested = "local t = {} for i = 1, 7000 do t[i] = 'x' end local function f(n) return (string.gsub('a', 'a', function() if n < 50 then return f(n + 1) end return #redis.call('mget', unpack(t)) end, 1, unpack(t))) end return f(1)";
    assert_eq!(replica.eval(nested), "\"7000\"");
}

/// What executes commands has this much stack.
#[allow(clippy::disallowed_methods, reason = "the size of the stack is what is tested")]
fn with_the_stack_of_a_node(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(quorate_keyspace::STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn nesting_has_an_end() {
    with_the_stack_of_a_node(nest);
}

fn nest() {
    let mut replica = Replica::new(1);
    for code in [
        "cjson.encode_max_depth(1000000) local t = {} for i = 1, 5000 do t = {t} end return cjson.encode(t)",
        "cjson.decode_max_depth(1000000) return cjson.decode(string.rep('[', 5000) .. string.rep(']', 5000))",
        "return cmsgpack.unpack(string.rep('\\145', 5000) .. '\\1')",
        "local function f() return coroutine.wrap(f)() end return f()",
        "local function f() return (string.gsub('a', 'a', f)) end return f()",
        "local function f(n) return 1 + f(n) end return f(1)",
        "return string.rep('(', 500) == ('x'):match(string.rep('(', 500))",
        "return #string.match(string.rep('x', 100000), string.rep('x?', 100000))",
        "return loadstring('return ' .. string.rep('(', 5000) .. '1' .. string.rep(')', 5000))()",
    ] {
        let reply = replica.eval(code);
        assert!(reply.starts_with("-ERR"), "{code}: {reply}");
    }
    assert!(
        replica
            .eval("local t = {} for i = 1, 2000 do t = {t} end return t")
            .contains("-ERR reached lua stack limit")
    );
    assert!(replica.eval("local t = {} t[1] = t return t").contains("-ERR reached lua stack limit"));
    assert_eq!(
        replica.eval(
            "local t = {} for i = 1, 900 do t = {t} end return #cjson.encode(cjson.decode(cjson.encode(t)))"
        ),
        "1802"
    );
    assert_eq!(replica.eval("return 1"), "1");
}

#[test]
fn powers_are_the_same_on_every_machine() {
    let mut replica = Replica::new(1);
    let (mut x, mut checked) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    while checked < 200 {
        let (base, exponent) =
            (f64::from_bits(next() >> 2 | 0x3 << 60), (next() % 2000) as f64 / 70.0 - 14.0);
        let expected = libm::pow(base, exponent);
        if !base.is_finite() || !expected.is_normal() {
            continue;
        }
        let code = "return struct.pack('>d', struct.unpack('>d', ARGV[1]) ^ struct.unpack('>d', ARGV[2])) .. struct.pack('>d', math.pow(struct.unpack('>d', ARGV[1]), struct.unpack('>d', ARGV[2])))";
        let bytes = [expected.to_be_bytes(), expected.to_be_bytes()].concat();
        let reply = replica
            .run_args(0, &[b"EVAL", code.as_bytes(), b"0", &base.to_be_bytes(), &exponent.to_be_bytes()]);
        replica.run_args(0, &[b"SET", b"expected", &bytes]);
        assert_eq!(reply, replica.run(0, "GET expected"), "{base} ^ {exponent}");
        checked += 1;
    }
    assert_eq!(
        replica.eval("return tostring(2 ^ 0.5) .. ' ' .. tostring(2 ^ 53) .. ' ' .. tostring((-8) ^ 3)"),
        "\"1.4142135623731 9.007199254741e+15 -512\""
    );
}

#[test]
fn the_order_of_addresses_never_shows() {
    let mut replica = Replica::new(1);
    for code in [
        "return {map = {[{1}] = 1, [{2}] = 2}}",
        "return {set = {[{1}] = true, [function() end] = true}}",
        "return cjson.encode({[{}] = 1})",
        "return cmsgpack.pack({[{}] = 1, [function() end] = 2})",
    ] {
        let reply = replica.eval(code);
        assert_eq!(
            cause(&reply).rsplit("the order").next(),
            Some(" of a table with tables or functions as keys is not the same on every node"),
            "{code}: {reply}"
        );
    }
}

#[test]
fn what_scripts_say_to_the_log_is_handed_out_once() {
    let mut replica = Replica::new(1);
    let code =
        "redis.log(redis.LOG_WARNING, 'one', 2, 'three\\n') redis.log(redis.LOG_DEBUG, 'four') return 1";
    assert_eq!(replica.eval(code), "1");
    let lines: Vec<(LogLevel, String)> =
        replica.keyspace.take_script_lines().into_iter().map(|line| (line.level, line.text)).collect();
    assert_eq!(lines, [(LogLevel::Warning, "one 2 three ".to_owned()), (LogLevel::Debug, "four".to_owned())]);
    assert!(replica.keyspace.take_script_lines().is_empty());
    // Also if it is done twice, and if it fails; not on a replica that nobody waits at.
    replica.eval("redis.log(3, 'large') local t = {} for i = 1, 700 do t[i] = string.rep('x', 100000) .. i end error('no')");
    assert_eq!(replica.keyspace.take_script_lines().len(), 1);
    let mut batch = quorate_keyspace::batch::BatchBuilder::new();
    batch.command(0, &[b"EVAL", code.as_bytes(), b"0"]);
    let payload = batch.finish(&replica.header());
    replica.apply_payload(&payload, &mut quorate_keyspace::NoHost);
    assert!(replica.keyspace.take_script_lines().is_empty());
    replica.eval("for i = 1, 1000 do redis.log(redis.LOG_NOTICE, string.rep('x', 5000)) end");
    let lines = replica.keyspace.take_script_lines();
    assert!(lines.len() <= 101 && lines.iter().all(|line| line.text.len() <= 1024));
    assert!(lines.last().unwrap().text.contains("900 more lines"));
}

#[test]
fn functions_are_dumped_and_restored() {
    let mut replica = Replica::new(1);
    let library = |name: &str, function: &str| {
        format!("#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)")
    };
    for (name, function) in [("a", "f"), ("b", "g")] {
        replica.run_args(0, &[b"FUNCTION", b"LOAD", library(name, function).as_bytes()]);
    }
    let mut origin = replica::Origin::default();
    let mut batch = quorate_keyspace::batch::BatchBuilder::new();
    batch.command(0, &[b"FUNCTION", b"DUMP"]);
    let payload = batch.finish(&replica.header());
    replica.apply_payload(&payload, &mut origin);
    let reply = &origin.replies[0];
    let dump = reply[reply.iter().position(|b| *b == b'\n').unwrap() + 1..reply.len() - 2].to_vec();
    let list = replica.run(0, "FUNCTION LIST WITHCODE");
    let restore = |replica: &mut Replica, payload: &[u8], policy: &[&[u8]]| {
        let words: Vec<&[u8]> =
            [b"FUNCTION".as_slice(), b"RESTORE", payload].into_iter().chain(policy.iter().copied()).collect();
        replica.run_args(0, &words)
    };
    assert_eq!(restore(&mut replica, &dump, &[]), "-ERR Library a already exists");
    assert_eq!(restore(&mut replica, &dump, &[b"REPLACE"]), "+OK");
    assert_eq!(replica.run(0, "FUNCTION LIST WITHCODE"), list);
    replica.run_args(0, &[b"FUNCTION", b"LOAD", b"REPLACE", library("b", "other").as_bytes()]);
    replica.run_args(0, &[b"FUNCTION", b"LOAD", library("c", "G").as_bytes()]);
    let list_2 = replica.run(0, "FUNCTION LIST WITHCODE");
    assert_eq!(restore(&mut replica, &dump, &[b"replace"]), "-ERR Function g already exists");
    assert_eq!(replica.run(0, "FUNCTION LIST WITHCODE"), list_2, "nothing has changed");
    assert_eq!(restore(&mut replica, &dump, &[b"FLUSH"]), "+OK");
    assert_eq!(replica.run(0, "FUNCTION LIST WITHCODE"), list);
    assert_eq!(
        restore(&mut replica, &dump, &[b"NOPE"]),
        "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."
    );
    // Hostile ones change nothing, however they are cut or damaged.
    for i in 0..dump.len() {
        let damaged = [&dump[..i], &[dump[i] ^ 1], &dump[i + 1..]].concat();
        for bad in [&dump[..i], &damaged] {
            assert_eq!(
                restore(&mut replica, bad, &[b"FLUSH"]),
                "-ERR DUMP payload version or checksum are wrong"
            );
        }
    }
    let body = &dump[..dump.len() - 10];
    let stamped = |body: &[u8]| {
        let mut out = [body, &[11, 0]].concat();
        let crc = crc::Crc::<u64>::new(&crc::CRC_64_REDIS).checksum(&out);
        out.extend(crc.to_le_bytes());
        out
    };
    for i in 1..body.len() {
        let reply = restore(&mut replica, &stamped(&body[..i]), &[b"FLUSH"]);
        let is_first = i == body.len() / 2;
        assert!(reply.starts_with("-ERR") || is_first && reply == "+OK", "{i}: {reply}");
        if reply == "+OK" {
            restore(&mut replica, &dump, &[b"FLUSH"]);
        }
    }
    assert_eq!(
        restore(&mut replica, &stamped(&[body, b"\xf5\xc3\x05\xff\xff".as_slice()].concat()), &[b"FLUSH"]),
        "-ERR failed loading functions payload"
    );
    assert_eq!(
        restore(&mut replica, &stamped(&[body, body].concat()), &[b"FLUSH"]),
        "-ERR Library 'a' already exists"
    );
    assert_eq!(restore(&mut replica, &stamped(b"\xf5\x03abc"), &[b"FLUSH"]), "-ERR Missing library metadata");
    assert_eq!(replica.run(0, "FUNCTION LIST WITHCODE"), list);
    assert_eq!(restore(&mut replica, &stamped(b""), &[b"FLUSH"]), "+OK");
    assert_eq!(replica.run(0, "FUNCTION LIST"), "[]");
}

#[test]
fn a_library_sees_little_while_it_is_loaded() {
    let mut replica = Replica::new(1);
    let mut load = |body: &str| {
        let code = format!("#!lua name=l\n{body}");
        replica.run_args(0, &[b"FUNCTION", b"LOAD", b"REPLACE", code.as_bytes()])
    };
    for (what, missing) in [
        ("math", "math"),
        ("string.rep('x', 3)", "string"),
        ("redis.call('ping')", "call"),
        ("redis.setresp(3)", "setresp"),
        ("redis.redis", "redis"),
        ("_G", "_G"),
        ("tostring(1)", "tostring"),
    ] {
        let reply = load(&format!("local x = {what} redis.register_function('f', function() end)"));
        assert_eq!(
            reply,
            format!(
                "-ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable '{missing}'"
            )
        );
    }
    assert_eq!(load("while true do end"), "-ERR Error registering functions: ERR FUNCTION LOAD timeout");
    assert_eq!(
        load(
            "local r = redis local n = 0 redis.log(redis.LOG_DEBUG, 'x') redis.register_function('f', function() n = n + 1 return {n, type(math), type(redis.call)} end) redis.register_function('g', function() r.x = 1 end) redis.register_function('h', function() r.register_function('i', function() end) end) redis.register_function('j', function() redis.register_function('i', function() end) end)"
        ),
        "\"l\""
    );
    assert_eq!(replica.run(0, "FCALL F 0"), "[1, \"table\", \"function\"]");
    assert!(replica.run(0, "FCALL g 0").contains("Attempt to modify a readonly table"));
    assert!(replica.run(0, "FCALL h 0").contains("can only be called on FUNCTION LOAD command"));
    assert!(replica.run(0, "FCALL j 0").contains("attempt to call field 'register_function' (a nil value)"));
    assert_eq!(replica.run(0, "FCALL f bad"), "-ERR Bad number of keys provided");
    assert_eq!(
        replica.run_args(
            0,
            &[
                b"FUNCTION",
                b"LOAD",
                b"#!lua name=\"q\"\nredis.register_function('q', function() return 1 end)"
            ]
        ),
        "\"q\""
    );
    assert_eq!(
        replica.run_args(0, &[b"FUNCTION", b"LOAD", b"#! name=x\nreturn"]),
        "-ERR Engine '' not found"
    );
}
