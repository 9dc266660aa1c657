//! JSON texts mutated as JSON, so that most of them still parse, or as text.

use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};

use crate::corpus::{Corpus, MAX_INPUT, start};

/// Names and values with a meaning for a target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vocabulary {
    pub(crate) names: &'static [&'static str],
    /// JSON texts.
    pub(crate) values: &'static [&'static str],
    /// Pieces of text for mutations of the text.
    pub(crate) words: &'static [&'static str],
}

/// A text of the corpus with a few mutations; as JSON if it is JSON.
pub(crate) fn mutated(corpus: &Corpus, vocabulary: Vocabulary) -> impl Strategy<Value = String> + use<> {
    let (texts, corpus) = (corpus.mutated(vocabulary.words), corpus.clone());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    prop_oneof![
        1 => texts.prop_map(text),
        4 => (start(), vec(change(vocabulary), 0..5)).prop_map(move |(start, changes)| {
            let bytes = corpus.one(start);
            let Ok(mut document) = serde_json::from_slice(&bytes) else { return text(bytes.to_vec()) };
            for change in &changes {
                change.apply(&mut document);
            }
            let mut mutated = document.to_string();
            if mutated.len() > MAX_INPUT {
                mutated.truncate(mutated.floor_char_boundary(MAX_INPUT));
            }
            mutated
        }),
    ]
}

/// One mutation of a document. The index selects one of its values.
#[derive(Debug, Clone)]
enum Change {
    Replace(Index, Value),
    /// Replaces by a known value of the same type.
    Alter(Index, Rc<[Value]>, Index),
    /// Replaces by another value of the document.
    Copy(Index, Index),
    Remove(Index),
    Repeat(Index, usize),
    Name(Index, String, Value),
    Nest(Index, usize),
}

fn change(vocabulary: Vocabulary) -> impl Strategy<Value = Change> {
    let all: Rc<[Value]> = vocabulary.values.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let known = select(all.to_vec());
    let value = prop_oneof![
        3 => known,
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => "[ -~]{0,6}".prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let name = prop_oneof![4 => select(vocabulary.names).prop_map(str::to_owned), 1 => "[a-z]{0,4}"];
    prop_oneof![
        1 => (any::<Index>(), value.clone()).prop_map(|(at, value)| Change::Replace(at, value)),
        6 => (any::<Index>(), Just(all), any::<Index>()).prop_map(|(at, values, one)| Change::Alter(at, values, one)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Change::Copy(at, from)),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), prop_oneof![3 => 1_usize..4, 1 => 90_usize..110]).prop_map(|(at, times)| Change::Repeat(at, times)),
        2 => (any::<Index>(), name, value).prop_map(|(at, name, value)| Change::Name(at, name, value)),
        1 => (any::<Index>(), prop_oneof![1_usize..4, 120_usize..140]).prop_map(|(at, depth)| Change::Nest(at, depth)),
    ]
}

impl Change {
    fn apply(&self, document: &mut Value) {
        match self {
            Self::Replace(at, value) => *chosen(document, *at, |_| true) = value.clone(),
            Self::Alter(at, values, one) => {
                let place = chosen(document, *at, |_| true);
                let same = |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(place);
                let values: Vec<&Value> = values.iter().filter(same).collect();
                if !values.is_empty() {
                    *place = (*one.get(&values)).clone();
                }
            }
            Self::Copy(at, from) => {
                let copy = chosen(document, *from, |_| true).clone();
                *chosen(document, *at, |_| true) = copy;
            }
            Self::Remove(at) => match chosen(document, *at, is_container) {
                Value::Array(list) if !list.is_empty() => {
                    list.remove(at.index(list.len()));
                }
                Value::Object(map) if !map.is_empty() => {
                    let name = map.keys().nth(at.index(map.len())).unwrap().clone();
                    map.remove(&name);
                }
                _ => {}
            },
            Self::Repeat(at, times) => {
                if let Value::Array(list) = chosen(document, *at, Value::is_array)
                    && !list.is_empty()
                {
                    let item = list[at.index(list.len())].clone();
                    list.extend(vec![item; *times]);
                }
            }
            Self::Name(at, name, value) => {
                if let Value::Object(map) = chosen(document, *at, Value::is_object) {
                    map.insert(name.clone(), value.clone());
                }
            }
            Self::Nest(at, depth) => {
                let place = chosen(document, *at, |_| true);
                for _ in 0..*depth {
                    *place = Value::Array(vec![std::mem::take(place)]);
                }
            }
        }
    }
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// One of the document's values that qualify, or the document.
fn chosen(document: &mut Value, at: Index, fit: fn(&Value) -> bool) -> &mut Value {
    let count = count(document, fit);
    if count == 0 {
        return document;
    }
    find(document, fit, &mut at.index(count)).unwrap()
}

fn count(value: &Value, fit: fn(&Value) -> bool) -> usize {
    let below: usize = match value {
        Value::Array(list) => list.iter().map(|item| count(item, fit)).sum(),
        Value::Object(map) => map.values().map(|item| count(item, fit)).sum(),
        _ => 0,
    };
    below + usize::from(fit(value))
}

fn find<'v>(value: &'v mut Value, fit: fn(&Value) -> bool, left: &mut usize) -> Option<&'v mut Value> {
    if fit(value) {
        if *left == 0 {
            return Some(value);
        }
        *left -= 1;
    }
    let children: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => Map::values_mut(map).collect(),
        _ => Vec::new(),
    };
    children.into_iter().find_map(|child| find(child, fit, left))
}
