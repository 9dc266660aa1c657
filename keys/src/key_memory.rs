//! The memory that holds keys: whole pages, locked (never swapped), excluded from core dumps and from children.
//!
//! Keys are created and dropped with every request, but pages are not: they are divided into places of 32
//! bytes, and a released place is wiped and reused. If the system refuses to lock a page, keys still work;
//! [`KeyMemory::of_this_process`] reports it, and the server passes the report on.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// Bytes of a place.
pub(crate) const PLACE: usize = 32;
/// Bytes requested from the system at a time: 512 keys, and a quarter of the smallest common limit (64 KiB).
const SLAB: usize = 16 * 1024;

/// A place that belongs to one key. It is zero when it is taken.
pub(crate) type Place = &'static mut [u8; PLACE];

/// How the memory of this process protects its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyMemory {
    /// Locked bytes.
    pub locked: usize,
    /// Bytes that are not locked, because the system refused.
    pub unlocked: usize,
    /// The last refusal of the system.
    pub refusal: Option<Refusal>,
}

/// What the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// To map pages.
    Map(io::ErrorKind),
    /// To lock them.
    Lock(io::ErrorKind),
    /// To exclude them from core dumps or children.
    Exclude(io::ErrorKind),
}

impl KeyMemory {
    /// The current state. Before the first key nothing is locked.
    pub fn of_this_process() -> Self {
        pool().state
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, kind) = match self {
            Self::Map(kind) => ("give pages for keys", kind),
            Self::Lock(kind) => ("lock memory", kind),
            Self::Exclude(kind) => ("exclude memory from dumps", kind),
        };
        write!(f, "the system did not {what}: {kind}")
    }
}

/// A place for a key.
pub(crate) fn take() -> Place {
    let mut pool = pool();
    loop {
        match pool.free.pop() {
            Some(place) => return place,
            None => pool.grow(),
        }
    }
}

/// Wipes a place and releases it for the next key.
pub(crate) fn give_back(place: Place) {
    place.zeroize();
    pool().free.push(place);
}

struct Pool {
    free: Vec<Place>,
    state: KeyMemory,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: Vec::new(), state: KeyMemory { locked: 0, unlocked: 0, refusal: None } });

fn pool() -> MutexGuard<'static, Pool> {
    // After a panic elsewhere, the list still contains only free places.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Maps one more slab, which stays until the process ends.
    fn grow(&mut self) {
        let (slab, refusal) = match MmapMut::map_anon(SLAB) {
            Ok(map) => {
                let refusal = hold(&map).err();
                (Box::leak(Box::new(map)).as_mut(), refusal)
            }
            Err(error) => (Vec::leak(vec![0; SLAB]), Some(Refusal::Map(error.kind()))),
        };
        match refusal {
            None | Some(Refusal::Exclude(_)) => self.state.locked += slab.len(),
            Some(_) => self.state.unlocked += slab.len(),
        }
        self.state.refusal = refusal.or(self.state.refusal);
        let (places, _) = slab.as_chunks_mut();
        self.free.extend(places);
    }
}

/// Locks the pages and excludes them from dumps and children; the exclusion does not depend on the lock.
fn hold(map: &MmapMut) -> Result<(), Refusal> {
    let excluded = map.advise(Advice::DontDump).and_then(|()| map.advise(Advice::DontFork));
    map.lock().map_err(|error| Refusal::Lock(error.kind()))?;
    excluded.map_err(|error| Refusal::Exclude(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's flags of the mapping that holds this place.
    fn flags(place: &[u8; PLACE]) -> Vec<String> {
        let address = place.as_ptr() as usize;
        let mut inside = false;
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            let range = line.split_whitespace().next().unwrap().split_once('-');
            if let Some((start, end)) = range
                && let (Ok(start), Ok(end)) =
                    (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                inside = (start..end).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:")
                && inside
            {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        panic!("no mapping holds {address:x}");
    }

    #[test]
    fn key_memory_is_locked_and_excluded_from_dumps_and_forks() {
        let place = take();
        let flags = flags(place);
        assert_eq!(KeyMemory::of_this_process().refusal, None, "the limit of locked memory is too low here");
        for (flag, what) in [("lo", "locked"), ("dd", "not dumped"), ("dc", "not in children")] {
            assert!(flags.iter().any(|found| found == flag), "{what}: {flags:?}");
        }
        give_back(place);
    }

    #[test]
    fn places_do_not_overlap_and_are_wiped_before_reuse() {
        let mut taken: Vec<Place> = (0..2 * SLAB / PLACE).map(|_| take()).collect();
        for (number, place) in taken.iter_mut().enumerate() {
            assert_eq!(**place, [0; PLACE]);
            place.fill(u8::try_from(number % 255).unwrap() + 1);
        }
        for (number, place) in taken.iter().enumerate() {
            assert_eq!(**place, [u8::try_from(number % 255).unwrap() + 1; PLACE]);
        }
        taken.into_iter().for_each(give_back);
        assert_eq!(*take(), [0; PLACE]);
        assert!(KeyMemory::of_this_process().locked >= 2 * SLAB);
    }
}
