"""Approximate counting: the strings themselves are compared, too."""


def estimate_unsaved(words, theirs, ours):
    """Redis saves the last estimate in bytes 8 to 15 of the string, PFCOUNT does not write here."""
    if words[0].lower() != b"get" or not (theirs.value and ours.value):
        return False
    return theirs.value[:4] == b"HYLL" and theirs.value[:8] == ours.value[:8] and theirs.value[16:] == ours.value[16:]


def unchanged(words, theirs, ours):
    """Redis makes room for a change, and then does not change anything."""
    return words[:2] == [b"OBJECT", b"ENCODING"] and (theirs.value, ours.value) == (b"raw", b"embstr")


EXPECTED = [
    (estimate_unsaved, "PFCOUNT is a read, so it does not save its estimate in the string"),
    (unchanged, "a command that changes no register leaves the encoding alone"),
]
SETUP = [
    ["SET", "p:corrupt", b"HYLL\x01" + b"\0" * 10 + b"\x80" + b"\x80\x7f\xff"], ["SET", "p:short", b"HYLL\x01" + b"\0" * 10 + b"\x80\x40\x00"],
    ["SET", "p:dense-short", b"HYLL\x00" + b"\0" * 100],
]


def key(r):
    """Not for PFADD: Redis has changed a corrupted string already when it finds out."""
    return r.choice([b"p:corrupt", b"p:short", b"p:dense-short"]) if r.random() < 0.02 else r.key("p")


def command(r):
    n = r.random()
    if n < 0.4:
        return [r.case("pfadd"), r.key("p"), *r.members(0, 4, count=3000)]
    if n < 0.5:
        return ["PFADD", r.key("p"), *(b"%d-%d" % (r.randrange(100), i) for i in range(r.randint(1, 300)))]
    if n < 0.53:
        first = r.randrange(100000)
        return ["PFADD", r.key("p"), *range(first, first + 3000)]
    if n < 0.7:
        return ["PFCOUNT", *(key(r) for _ in range(r.choice([1, 1, 1, 2, 3])))]
    if n < 0.8:
        return ["PFMERGE", key(r), *(key(r) for _ in range(r.randint(0, 3)))]
    if n < 0.9:
        return ["PFDEBUG", r.case(r.choice(["getreg", "decode", "decode", "encoding", "encoding", "todense", "nope"])), key(r)]
    if n < 0.93:
        return ["GET", key(r)]
    if n < 0.95:
        return ["COPY", r.key("p"), r.key("p")]
    return ["DEL", r.key("p")]
