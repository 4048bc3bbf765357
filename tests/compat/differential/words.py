"""Random words for commands: mostly sensible, sometimes not."""
import random

ODD = [b"", b" ", b"abc", b"-1", b"0", b"1", b"1.5", b"+1", b"01", b"9223372036854775807", b"9223372036854775808",
       b"-9223372036854775808", b"-9223372036854775809", b"inf", b"-inf", b"nan", b"1e5", b"0x10", b"\x00\xff\r\n", b"x" * 70, b"-", b"+", b"*", b"$"]


class Words(random.Random):
    """A source of random words; everything follows from its seed."""

    def key(self, prefix="", count=6):
        """One of few keys, so that commands meet; now and then of another family: its value has the wrong type."""
        if self.random() < 0.03:
            return self.choice([b"a-string", b"a-list", b"a-set", b"a-hash", b"a-zset", b"a-stream", b"missing"])
        return b"%s:%d" % (prefix.encode(), self.randrange(count))

    def member(self, count=30):
        """A member, field or element: small integers, short and long words, odd bytes."""
        roll = self.random()
        if roll < 0.45:
            return b"%d" % self.randrange(-5, count)
        if roll < 0.9:
            return b"m%d" % self.randrange(count)
        if roll < 0.95:
            return b"long%d" % self.randrange(5) + b"y" * 80
        return self.choice(ODD)

    def members(self, low=1, high=6, count=30):
        return [self.member(count) for _ in range(self.randint(low, high))]

    def integer(self, low=-10, high=10):
        """An integer, seldom something that is none or far outside."""
        return b"%d" % self.randint(low, high) if self.random() < 0.95 else self.choice(ODD)

    def score(self):
        roll = self.random()
        if roll < 0.5:
            return b"%d" % self.randint(-20, 20)
        if roll < 0.85:
            return repr(round(self.uniform(-10, 10), self.randint(0, 17))).encode()
        if roll < 0.93:
            return self.choice([b"inf", b"-inf", b"+inf", b"1e300", b"-1e-300", b"0", b"-0", b"3.0e2", b"1e17", b"123456789012345678"])
        return self.choice(ODD)

    def maybe(self, *words, chance=0.3):
        """These words, or none."""
        return list(words) if self.random() < chance else []

    def case(self, word):
        """A word in small, large or mixed letters."""
        return self.choice([word.lower(), word.upper(), word.title()])

    def odd(self):
        return self.choice(ODD)

    def spoilt(self, words):
        """The command, now and then with a word too many, too few, or replaced by an odd one."""
        roll = self.random()
        words = list(words)
        if roll < 0.02 and len(words) > 1:
            words.pop(self.randrange(1, len(words)))
        elif roll < 0.04:
            words.insert(self.randint(1, len(words)), self.odd())
        elif roll < 0.06 and len(words) > 1:
            words[self.randrange(1, len(words))] = self.odd()
        return words
