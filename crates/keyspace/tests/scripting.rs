//! Scripts (R13): what they may spend, what they may see, and that every replica does the same.

mod replica;

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
    replica.run_args(0, &[b"FUNCTION", b"LOAD", b"#!lua name=l\nlocal n = 0\nredis.register_function('f', function() n = n + 1 return n end)"]);
    assert_eq!(replica.run(0, "FCALL f 0"), "1");
    assert_eq!(replica.run(0, "FCALL f 0"), "1", "nothing is remembered between calls");
}

#[test]
fn addresses_memory_and_clocks_never_show() {
    let mut replica = Replica::new(1);
    assert_eq!(replica.eval("return {tostring({}), tostring(function() end), collectgarbage('count'), os.clock()}"), "[\"table\", \"function\", 0, 0]");
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
