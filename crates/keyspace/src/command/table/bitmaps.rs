//! Bits of strings.

use super::{BASE, arg, block, categories, flags, key, key_flags, one_of, range, token};
use crate::command::{Argument, ArgumentFlags, Command, Group, Handler, bitmaps};

pub(super) static BITMAPS: &[Command] = &[
    Command {
        name: "bitcount",
        arity: -2,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(BITMAP),
        since: "2.6.0",
        complexity: "O(N) in the number of bytes looked at",
        summary: "Counts the ones among the bits of a string.",
        group: Group::Bitmap,
        arguments: &[
            key("key", 0),
            block("range", &[arg("start", "integer"), arg("end", "integer"), UNIT]).optional(),
        ],
        handler: Handler::Read(bitmaps::bitcount),
        ..BASE
    },
    Command {
        name: "bitfield",
        arity: -2,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE VARIABLE_FLAGS))],
        categories: categories!(BITMAP),
        since: "3.2.0",
        complexity: "O(1) for each step",
        summary: "Reads and changes integers of any width within a string.",
        group: Group::Bitmap,
        arguments: &[
            key("key", 0),
            one_of(
                "operation",
                &[
                    block("get-block", &[ENCODING, OFFSET]).behind("GET"),
                    block(
                        "write",
                        &[
                            one_of(
                                "overflow-block",
                                &[token("wrap", "WRAP"), token("sat", "SAT"), token("fail", "FAIL")],
                            )
                            .behind("OVERFLOW")
                            .optional(),
                            one_of(
                                "write-operation",
                                &[
                                    block("set-block", &[ENCODING, OFFSET, arg("value", "integer")])
                                        .behind("SET"),
                                    block("incrby-block", &[ENCODING, OFFSET, arg("increment", "integer")])
                                        .behind("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ],
        handler: Handler::Write(bitmaps::bitfield),
        ..BASE
    },
    Command {
        name: "bitfield_ro",
        arity: -2,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(BITMAP),
        since: "6.0.0",
        complexity: "O(1) for each step",
        summary: "Reads integers of any width within a string.",
        group: Group::Bitmap,
        arguments: &[
            key("key", 0),
            Argument {
                flags: ArgumentFlags::OPTIONAL
                    .union(ArgumentFlags::MULTIPLE)
                    .union(ArgumentFlags::MULTIPLE_TOKEN),
                ..block("get-block", &[ENCODING, OFFSET]).behind("GET")
            },
        ],
        handler: Handler::Read(bitmaps::bitfield_ro),
        ..BASE
    },
    Command {
        name: "bitop",
        arity: -4,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(2, 0, 1, key_flags!(OW UPDATE)), range(3, -1, 1, key_flags!(RO ACCESS))],
        categories: categories!(BITMAP),
        since: "2.6.0",
        complexity: "O(N) in the number of bytes of the strings",
        summary: "Combines the bits of strings and stores the result.",
        group: Group::Bitmap,
        arguments: &[
            one_of(
                "operation",
                &[token("and", "AND"), token("or", "OR"), token("xor", "XOR"), token("not", "NOT")],
            ),
            key("destkey", 0),
            key("key", 1).multiple(),
        ],
        handler: Handler::Write(bitmaps::bitop),
        ..BASE
    },
    Command {
        name: "bitpos",
        arity: -3,
        flags: flags!(READONLY),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(BITMAP),
        since: "2.8.7",
        complexity: "O(N) in the number of bytes looked at",
        summary: "Finds the first one, or the first zero, among the bits of a string.",
        group: Group::Bitmap,
        arguments: &[
            key("key", 0),
            arg("bit", "integer"),
            block(
                "range",
                &[
                    arg("start", "integer"),
                    block("end-unit-block", &[arg("end", "integer"), UNIT]).optional(),
                ],
            )
            .optional(),
        ],
        handler: Handler::Read(bitmaps::bitpos),
        ..BASE
    },
    Command {
        name: "getbit",
        arity: 3,
        flags: flags!(READONLY FAST),
        keys: &[range(1, 0, 1, key_flags!(RO ACCESS))],
        categories: categories!(BITMAP),
        since: "2.2.0",
        summary: "Returns a bit of a string.",
        group: Group::Bitmap,
        arguments: &[key("key", 0), OFFSET],
        handler: Handler::Read(bitmaps::getbit),
        ..BASE
    },
    Command {
        name: "setbit",
        arity: 4,
        flags: flags!(WRITE DENYOOM),
        keys: &[range(1, 0, 1, key_flags!(RW ACCESS UPDATE))],
        categories: categories!(BITMAP),
        since: "2.2.0",
        summary: "Sets or clears a bit of a string.",
        group: Group::Bitmap,
        arguments: &[key("key", 0), OFFSET, arg("value", "integer")],
        handler: Handler::Write(bitmaps::setbit),
        ..BASE
    },
];

const ENCODING: Argument = arg("encoding", "string");
const OFFSET: Argument = arg("offset", "integer");
const UNIT: Argument = one_of("unit", &[token("byte", "BYTE"), token("bit", "BIT")]).optional();
