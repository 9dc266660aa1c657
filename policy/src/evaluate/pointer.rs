//! JSON pointers (RFC 6901) into claims. They step through objects only: the place of an item in a list means nothing.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Most steps of a pointer.
const MAX_STEPS: usize = 8;

/// The steps of a pointer, in order; `None` if it is not one, or has none or more than eight.
pub(super) fn steps(pointer: &str) -> Option<Vec<Cow<'_, str>>> {
    let steps: Option<Vec<_>> = pointer.strip_prefix('/')?.split('/').map(unescaped).collect();
    // Among stored claims, the empty name is that of the foreign audiences.
    steps.filter(|steps| steps.len() <= MAX_STEPS && steps.first().is_some_and(|first| !first.is_empty()))
}

/// `~1` is `/` and `~0` is `~`; no other `~` is valid (RFC 6901 §3).
fn unescaped(step: &str) -> Option<Cow<'_, str>> {
    if step.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
        return None;
    }
    Some(if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() })
}

/// The value at the end of the steps.
pub(super) fn find<'v>(claims: &'v Map<String, Value>, steps: &[Cow<'_, str>]) -> Option<&'v Value> {
    let (first, rest) = steps.split_first()?;
    let first = claims.get(first.as_ref())?;
    rest.iter().try_fold(first, |value, step| value.as_object()?.get(step.as_ref()))
}

/// Puts a value where [`find`] finds it, into claims that were made by this function alone.
pub(super) fn insert(claims: &mut Map<String, Value>, steps: &[Cow<'_, str>], value: Value) {
    let Some((last, before)) = steps.split_last() else { return };
    let mut here = claims;
    for step in before {
        let next = here.entry(step.as_ref()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = next else { return };
        here = next;
    }
    here.insert(last.as_ref().to_owned(), value);
}
