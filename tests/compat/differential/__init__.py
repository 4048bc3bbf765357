"""Random commands, valid, odd and wrong, sent to a real Redis and to Quorate; each reply must be the same.

A family of commands is a module here, `sets.py` for instance. It offers

    def command(r):          a command as a list of words (bytes, str, int); `r` is a `words.Words`: random words of all kinds
    UNORDERED = {b"smembers"}    names (small letters) of commands whose arrays come in no defined order (pairs stay together for PAIRS)
    PAIRS = {b"hgetall"}         of those: commands whose arrays hold pairs
    RANDOM = {b"spop"}           commands that answer at random: only the kind of reply is compared, and the first key deleted afterwards
    EXPECTED = [(test, reason)]  known differences: `test(words, theirs, ours)` is true of replies that may differ, with the reason
    SETUP = [[...], ...]         commands to begin with, on both
    def skip(words):         whether a command (spoilt already) is better not sent, as its effects depend on the time
    RUN = Events             a `driver.Run` of its own; `events.py` compares what subscribers are told

and may leave out what it does not need. By hand:

    python tests/compat/differential/run.py sets --steps 20000 --seed 7 --resp 3 [--port PORT-OF-A-QUORATE]

Without --port it builds and starts a bare keyspace behind a port (crates/keyspace/examples/serve.rs). It prints every
difference with the commands on that key that led to it.
"""
