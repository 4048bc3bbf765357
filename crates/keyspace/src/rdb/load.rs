//! Values from bytes.

use std::collections::BTreeSet;

use super::{kind, reader::Reader, save, stream, ziplist};
use crate::{
    listpack::{self, Element},
    number::parse_f64,
    rules::Rules,
    small_bytes::SmallBytes,
    types::{
        hash::Hash,
        list::List,
        set::Set,
        sorted_set::{Scored, SortedSet},
        string::Str,
    },
    value::Value,
};

/// The value that the bytes begin with. Never an empty one, apart from a stream.
pub(super) fn take_value(bytes: &[u8], rules: &Rules) -> Option<Value> {
    let mut reader = Reader::new(bytes);
    let value = match reader.byte()? {
        kind::STRING => Str::new(&reader.string()?).into(),
        kind::LIST => take_list(&mut reader, rules)?.into(),
        kind::LIST_ZIPLIST => list_of_ziplist(&reader.string()?, rules)?.into(),
        kind::LIST_QUICKLIST => take_quicklist(&mut reader, rules, false)?.into(),
        kind::LIST_QUICKLIST_2 => take_quicklist(&mut reader, rules, true)?.into(),
        kind::SET => take_set(&mut reader, rules)?.into(),
        kind::SET_INTSET => set_of_ints(&ziplist::ints(&reader.string()?)?, rules)?.into(),
        kind::SET_LISTPACK => set_of(&texts(&pack(&reader.string()?)?), rules)?.into(),
        kind::HASH => take_hash(&mut reader, rules)?.into(),
        kind::HASH_ZIPLIST => hash_of(&ziplist::elements(&reader.string()?)?, rules)?.into(),
        kind::HASH_LISTPACK => hash_of(&pack(&reader.string()?)?, rules)?.into(),
        kind::SORTED_SET => take_sorted_set(&mut reader, rules, Reader::double_as_text)?.into(),
        kind::SORTED_SET_2 => take_sorted_set(&mut reader, rules, Reader::double)?.into(),
        kind::SORTED_SET_ZIPLIST => sorted_set_of(&ziplist::elements(&reader.string()?)?, rules)?.into(),
        kind::SORTED_SET_LISTPACK => sorted_set_of(&pack(&reader.string()?)?, rules)?.into(),
        version @ (kind::STREAM | kind::STREAM_2 | kind::STREAM_3) => {
            stream::take(&mut reader, version)?.into()
        }
        _ => return None,
    };
    Some(value)
}

/// The elements of a listpack, if it is sound.
fn pack(bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    listpack::validate(bytes)?;
    Some(listpack::elements(bytes).collect())
}

fn texts(elements: &[Element<'_>]) -> Vec<Vec<u8>> {
    elements.iter().map(|element| element.text().to_vec()).collect()
}

/// A list that is kept as its size asks for.
fn finish_list(mut list: List, rules: &Rules) -> Option<List> {
    list.encode_for_growth(rules.list_limit, &[]);
    (!list.is_empty()).then_some(list)
}

fn take_list(reader: &mut Reader<'_>, rules: &Rules) -> Option<List> {
    let mut list = List::new();
    for _ in 0..reader.count()? {
        list.push_back(&reader.string()?);
    }
    finish_list(list, rules)
}

fn list_of_ziplist(bytes: &[u8], rules: &Rules) -> Option<List> {
    let mut list = List::new();
    push_all(&mut list, &ziplist::elements(bytes)?);
    finish_list(list, rules)
}

fn push_all(list: &mut List, elements: &[Element<'_>]) {
    elements.iter().for_each(|element| list.push_back(&element.text()));
}

/// Several nodes: ziplists, or since version 2 listpacks and long elements. Only what is one listpack may become one again.
fn take_quicklist(reader: &mut Reader<'_>, rules: &Rules, is_2: bool) -> Option<List> {
    let mut list = List::new();
    let (mut nodes, mut has_plain) = (0, false);
    for _ in 0..reader.count()? {
        let container = if is_2 { reader.length()? } else { save::PACKED.into() };
        let bytes = reader.string()?;
        let len = list.len();
        if container == u64::from(save::PLAIN) {
            has_plain = true;
            list.push_back(&bytes);
        } else if container != u64::from(save::PACKED) {
            return None;
        } else if is_2 {
            push_all(&mut list, &pack(&bytes)?);
        } else {
            push_all(&mut list, &ziplist::elements(&bytes)?);
        }
        nodes += usize::from(list.len() > len);
    }
    let mut list = finish_list(list, rules)?;
    if nodes > 1 || has_plain {
        list.mark_as_quicklist();
    }
    Some(list)
}

fn take_set(reader: &mut Reader<'_>, rules: &Rules) -> Option<Set> {
    let count = reader.count()?;
    let members = (0..count).map(|_| reader.string().map(|member| member.into_owned()));
    set_of(&members.collect::<Option<Vec<_>>>()?, rules)
}

fn set_of_ints(ints: &[i64], rules: &Rules) -> Option<Set> {
    let members: Vec<Vec<u8>> = ints.iter().map(|int| int.to_string().into_bytes()).collect();
    set_of(&members, rules)
}

fn set_of(members: &[Vec<u8>], rules: &Rules) -> Option<Set> {
    let mut set = Set::for_members(rules, members.first()?, members.len());
    members.iter().all(|member| set.add(rules, member)).then_some(set)
}

fn take_hash(reader: &mut Reader<'_>, rules: &Rules) -> Option<Hash> {
    let mut hash = Hash::new();
    for _ in 0..reader.count()? {
        let (field, value) = (reader.string()?, reader.string()?);
        if !hash.set(rules, &field, &value) {
            return None;
        }
    }
    (!hash.is_empty()).then_some(hash)
}

fn hash_of(elements: &[Element<'_>], rules: &Rules) -> Option<Hash> {
    let mut hash = Hash::new();
    let (pairs, rest) = elements.as_chunks::<2>();
    let all_differ = pairs.iter().all(|[field, value]| hash.set(rules, &field.text(), &value.text()));
    (all_differ && rest.is_empty() && !pairs.is_empty()).then_some(hash)
}

fn take_sorted_set<'a>(
    reader: &mut Reader<'a>,
    rules: &Rules,
    score: impl Fn(&mut Reader<'a>) -> Option<f64>,
) -> Option<SortedSet> {
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let member = SmallBytes::new(&reader.string()?);
        all.push(Scored { member, score: score(reader)? });
    }
    finish_sorted_set(all, rules)
}

fn sorted_set_of(elements: &[Element<'_>], rules: &Rules) -> Option<SortedSet> {
    let (pairs, rest) = elements.as_chunks::<2>();
    let scored = pairs.iter().map(|[member, score]| {
        let score = parse_f64(&score.text()).filter(|score| !score.is_nan())?;
        Some(Scored { member: SmallBytes::new(&member.text()), score })
    });
    let all = scored.collect::<Option<Vec<_>>>()?;
    if rest.is_empty() { finish_sorted_set(all, rules) } else { None }
}

fn finish_sorted_set(all: Vec<Scored>, rules: &Rules) -> Option<SortedSet> {
    let mut members = BTreeSet::new();
    let all_differ = all.iter().all(|scored| members.insert(scored.member.as_bytes()));
    (all_differ && !all.is_empty()).then(|| SortedSet::of(rules, all))
}
