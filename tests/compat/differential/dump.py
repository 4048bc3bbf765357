"""RESTORE of payloads in every encoding since Redis 2.6, some of them damaged, written here; what comes of them is compared.
That each server takes what the other dumps is in test_dump.py."""

import struct

TABLE = []
for i in range(256):
    crc = i
    for _ in range(8):
        crc = (crc >> 1) ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    TABLE.append(crc)


def crc64(data):
    crc = 0
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def sealed(body, version=10):
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


def text(data):
    return bytes([len(data)]) + data if len(data) < 64 else bytes([0x40 | len(data) >> 8, len(data) & 0xFF]) + data


def intset(ints):
    return struct.pack("<II", 4, len(ints)) + b"".join(struct.pack("<i", i) for i in sorted(ints))


def ziplist(items):
    entries, before = b"", 0
    for item in items:
        entry = bytes([before]) + bytes([len(item)]) + item
        entries, before = entries + entry, len(entry)
    return struct.pack("<IIH", 11 + len(entries), 10 + len(entries) - before, len(items)) + entries + b"\xff"


def listpack(items):
    entries = b""
    for item in items:
        entry = bytes([0x80 | len(item)]) + item
        entries += entry + bytes([len(entry)])
    return struct.pack("<IH", 7 + len(entries), len(items)) + entries + b"\xff"


def body(r):
    words = sorted({b"%s%d" % (r.choice([b"m", b"w"]), r.randrange(50)) for _ in range(r.randint(1, 9))})
    # Redis trusts the order of sorted sets.
    scores = sorted(r.randrange(9) for _ in words)
    pairs = [word for member, score in zip(words, scores) for word in (member, b"%d.5" % score)]
    counted = bytes([len(words)])
    return r.choice([
        b"\x00" + text(r.member()), b"\x00\xc0" + bytes([r.randrange(256)]), b"\x00\xc1" + struct.pack("<h", r.randint(-30000, 30000)),
        b"\x00\xc2" + struct.pack("<i", r.randint(-2**31, 2**31 - 1)), b"\x00\xc3\x09\x20\x05\x61\x61\x61\x61\x61\x61\xe0\x10\x05",
        b"\x01" + counted + b"".join(map(text, words)), b"\x02" + counted + b"".join(map(text, words)),
        b"\x03" + counted + b"".join(text(w) + text(b"1.25") for w in words),
        b"\x04" + counted + b"".join(text(w) + text(b"v" * r.randrange(70)) for w in words),
        b"\x05" + counted + b"".join(text(w) + struct.pack("<d", r.randrange(-99, 99) / 4) for w in words),
        b"\x0a" + text(ziplist(words)), b"\x0b" + text(intset({r.randint(-70000, 70000) for _ in range(r.randint(1, 9))})), b"\x0c" + text(ziplist(pairs)),
        b"\x0d" + text(ziplist(pairs)), b"\x0e\x01" + text(ziplist(words)), b"\x0e\x02" + 2 * text(ziplist(words)), b"\x10" + text(listpack(pairs)),
        b"\x11" + text(listpack(pairs)), b"\x12\x01\x02" + text(listpack(words)), b"\x12\x02\x02" + text(listpack(words)) + b"\x01" + text(b"plain"),
        b"\x01\x00", b"\x02\x00", b"\x12\x00", b"\x04\x00", b"\x05\x00", b"\x02\x02\x01a\x01a", b"\x63x", b"\x06x", b"",
    ])


def payload(r):
    data = sealed(body(r), r.choice([10, 10, 10, 9, 6, 1]))
    roll = r.random()
    if roll < 0.03:
        return data[:r.randrange(len(data) + 1)]
    if roll < 0.06:
        at = r.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    return data


def options(r):
    words = r.maybe(r.choice(["REPLACE", "replace"]), chance=0.8) + r.maybe("ABSTTL", chance=0.2)
    return words + r.maybe("IDLETIME", r.integer(-1, 20), chance=0.1) + r.maybe("FREQ", r.integer(-1, 260), chance=0.1)


def command(r):
    key, n = r.key("d"), r.random()
    if n < 0.6:
        return ["RESTORE", key, r.choice([0, 0, 0, 10**9, 10**15, r.integer(-2, 0)]), payload(r), *options(r)]
    if n < 0.65:
        return ["COPY", key, r.key("d"), *r.maybe("REPLACE", chance=0.5), *r.maybe("DB", r.integer(-1, 20), chance=0.2)]
    if n < 0.7:
        return [r.choice(["RENAME", "RENAMENX"]), key, r.key("d")]
    if n < 0.8:
        return ["OBJECT", r.choice(["ENCODING", "REFCOUNT", "FREQ", "nope"]), key]
    if n < 0.84:
        return ["MEMORY", "USAGE", key, *r.maybe("SAMPLES", r.integer(-1, 5))]
    if n < 0.9:
        return ["DUMP", key]
    return ["DEL", key]


def skip(words):
    """A key that expires while the servers are compared."""
    return words[0].lower() == b"restore" and words[2:3] == [b"1"]


def same_kind(words, theirs, ours):
    return words[0].lower() in (b"dump", b"memory") and theirs.kind == ours.kind and (theirs.value is None) == (ours.value is None)


EXPECTED = [
    (same_kind, "7.0 writes another version; memory is counted otherwise"),
    (lambda w, theirs, ours: w[0].lower() == b"object" and len(w) > 1 and w[1].lower() == b"refcount" and theirs.kind == ours.kind == b":", "Redis shares small integers"),
    (lambda w, theirs, ours: w[0].lower() in (b"ttl", b"pttl"), "asked at different times"),
]
