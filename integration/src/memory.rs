//! Searches all writable memory of another process, or bytes of a file, for secrets that must not be there.
//!
//! A secret is searched in the forms into which code converts it, and in pieces: any 16 consecutive bytes of
//! a form are found. Reading a process that is not dumpable needs root.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use rustix::process::{Pid, Signal, kill_process};

/// Consecutive bytes that count as found.
pub const PIECE: usize = 16;
/// Bytes read at a time.
const BLOCK: usize = 1 << 20;
/// Bits of the filter for the first check of a place.
const FILTER_BITS: u32 = 24;

/// The secrets to search for.
#[derive(Default)]
pub struct Needles {
    names: Vec<String>,
    /// The pieces, by their first eight bytes.
    pieces: HashMap<u64, Vec<Piece>>,
}

struct Piece {
    bytes: [u8; PIECE],
    needle: usize,
    form: &'static str,
}

/// A finding: one for each needle, form and mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The secret's name.
    pub name: String,
    /// The form of the secret.
    pub form: &'static str,
    /// The mapping that holds it.
    pub mapping: Mapping,
    /// The first place.
    pub address: u64,
    /// The number of places where its pieces begin.
    pub pieces: usize,
}

/// A mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address after its last.
    pub end: u64,
    /// Its name in the kernel; empty if it is anonymous.
    pub name: String,
    /// Whether it can be written.
    pub is_writable: bool,
    /// `VmFlags` of the kernel: `lo` is locked, `dd` is excluded from dumps.
    pub flags: Vec<String>,
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needles").field("names", &self.names).finish_non_exhaustive()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mapping { start, end, name, flags, .. } = &self.mapping;
        write!(
            f,
            "{} as {}: {} pieces from {:x} on, in {start:x}-{end:x} {name:?} {}",
            self.name,
            self.form,
            self.pieces,
            self.address,
            flags.join(" ")
        )
    }
}

impl Needles {
    /// Searches for bytes as they are, in hexadecimal, and in base64 at each alignment.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let needle = self.named(name);
        self.add(needle, "bytes", bytes);
        self.add(needle, "hexadecimal", HEXLOWER.encode(bytes).as_bytes());
        self.add(needle, "hexadecimal", HEXUPPER.encode(bytes).as_bytes());
        for skipped in 0..3 {
            let inner = bytes.get(skipped..).unwrap_or_default();
            // Whole groups only: the rest depends on the adjacent bytes.
            let inner = inner.get(..inner.len() / 3 * 3).unwrap_or_default();
            self.add(needle, "base64", BASE64.encode(inner).as_bytes());
            self.add(needle, "base64", BASE64URL.encode(inner).as_bytes());
        }
    }

    /// Searches for a text as bytes, and as a JSON string.
    pub fn text(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
        let needle = self.named(name);
        let escaped = serde_json::Value::from(text).to_string();
        self.add(needle, "JSON", escaped.trim_matches('"').as_bytes());
    }

    /// Searches for a key as bytes and as HMAC pads it, and for both as ciphers and hashes load them into
    /// words.
    pub fn key(&mut self, name: &str, key: &[u8]) {
        self.bytes(name, key);
        let needle = self.named(name);
        for (form, mask) in [("words", 0), ("inner pad", 0x36), ("outer pad", 0x5c)] {
            let masked: Vec<u8> = key.iter().map(|byte| byte ^ mask).collect();
            self.add(needle, form, &masked);
            for word in [4, 8, key.len()] {
                let swapped: Vec<u8> =
                    masked.chunks(word).flat_map(|word| word.iter().rev().copied()).collect();
                self.add(needle, form, &swapped);
            }
        }
    }

    fn named(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return known;
        }
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    fn add(&mut self, needle: usize, form: &'static str, bytes: &[u8]) {
        for window in bytes.windows(PIECE) {
            let Ok(bytes) = <[u8; PIECE]>::try_from(window) else { continue };
            let alike = self.pieces.entry(first_word(&bytes)).or_default();
            if !alike.iter().any(|piece| piece.bytes == bytes && piece.needle == needle) {
                alike.push(Piece { bytes, needle, form });
            }
        }
    }

    /// All findings in the writable memory of a process, which is stopped during the search.
    ///
    /// # Panics
    /// If the memory cannot be read, which needs root.
    pub fn found_in(&self, process: u32) -> Vec<Found> {
        let stopped = Stopped::new(process);
        let memory = File::open(format!("/proc/{process}/mem")).unwrap_or_else(|error| {
            panic!("the memory of the server cannot be read ({error}): run this test as root")
        });
        let filter = self.filter();
        let mut found = BTreeMap::new();
        for mapping in mappings(process).iter().filter(|mapping| mapping.is_writable) {
            self.search(&memory, mapping, &filter, &mut found);
        }
        drop(stopped);
        found.into_values().collect()
    }

    fn search<'n>(
        &'n self,
        memory: &File,
        mapping: &Mapping,
        filter: &[u64],
        found: &mut BTreeMap<(usize, &'n str, u64), Found>,
    ) {
        let mut block = Vec::new();
        let mut start = mapping.start;
        while start < mapping.end {
            let length = usize::try_from(mapping.end - start).unwrap_or(BLOCK).min(BLOCK + PIECE - 1);
            block.resize(length, 0);
            memory.read_exact_at(&mut block, start).unwrap_or_else(|error| {
                panic!("the server's memory at {start:x} ({:?}) cannot be read: {error}", mapping.name)
            });
            self.pieces_in(&block, filter, &mut |offset, piece| {
                let name = self.names.get(piece.needle).cloned().unwrap_or_default();
                let address = start + offset as u64;
                found
                    .entry((piece.needle, piece.form, mapping.start))
                    .or_insert_with(|| Found {
                        name,
                        form: piece.form,
                        mapping: mapping.clone(),
                        address,
                        pieces: 0,
                    })
                    .pieces += 1;
            });
            start += BLOCK as u64;
        }
    }

    /// The names of those that are in these bytes.
    pub fn found_in_bytes(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        self.pieces_in(bytes, &self.filter(), &mut |_, piece| {
            found.extend(self.names.get(piece.needle).map(String::as_str));
        });
        found
    }

    fn pieces_in<'n>(&'n self, bytes: &[u8], filter: &[u64], found: &mut dyn FnMut(usize, &'n Piece)) {
        for (offset, window) in bytes.windows(PIECE).enumerate() {
            let Some(word) = window.first_chunk().copied().map(u64::from_le_bytes) else { continue };
            // Most memory is zero, and the filter excludes most of the rest.
            if word == 0 || !is_set(filter, word) {
                continue;
            }
            let known = self.pieces.get(&word).into_iter().flatten();
            known.filter(|piece| piece.bytes == window).for_each(|piece| found(offset, piece));
        }
    }

    fn filter(&self) -> Vec<u64> {
        let mut filter = vec![0; 1 << (FILTER_BITS - 6)];
        for word in self.pieces.keys() {
            let (index, bit) = place(*word);
            if let Some(bits) = filter.get_mut(index) {
                *bits |= bit;
            }
        }
        filter
    }
}

/// A process that is stopped until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(process: u32) -> Self {
        let id = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(id, Signal::STOP).expect("the server runs");
        Self(id)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It was killed in the meantime, or continues.
        let _gone = kill_process(self.0, Signal::CONT);
    }
}

fn first_word(bytes: &[u8; PIECE]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a piece has eight bytes"))
}

fn place(word: u64) -> (usize, u64) {
    let hash = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS);
    (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
}

fn is_set(filter: &[u64], word: u64) -> bool {
    let (index, bit) = place(word);
    filter.get(index).is_some_and(|bits| bits & bit != 0)
}

/// The mappings of a process.
///
/// # Panics
/// If the kernel does not list them.
pub fn mappings(process: u32) -> Vec<Mapping> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).unwrap_or_else(|error| {
        panic!("the mappings of the server cannot be read ({error}): run this test as root")
    });
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "VmFlags:" {
            if let Some(mapping) = mappings.last_mut() {
                mapping.flags = words.map(str::to_owned).collect();
            }
            continue;
        }
        let Some((start, end)) = first.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else {
            continue;
        };
        let is_writable = words.next().is_some_and(|rights| rights.contains('w'));
        let name = words.skip(3).collect::<Vec<_>>().join(" ");
        mappings.push(Mapping { start, end, name, is_writable, flags: Vec::new() });
    }
    assert!(!mappings.is_empty(), "the server has no memory");
    mappings
}

/// Data that calls left below a thread's stack pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    /// The thread.
    pub thread: String,
    /// Its pages that are not all zero: the depth of the deepest byte, and how many bytes are not zero.
    pub pages: Vec<(u64, usize)>,
}

/// The data below the stack pointers of a process's threads.
///
/// # Panics
/// If the kernel does not show them.
pub fn below_stacks(process: u32) -> Vec<Below> {
    let stopped = Stopped::new(process);
    // The signal takes effect a moment later, on each thread separately.
    crate::pause(std::time::Duration::from_millis(20));
    let memory = File::open(format!("/proc/{process}/mem")).unwrap_or_else(|error| {
        panic!("the stacks of the server cannot be read ({error}): run this test as root")
    });
    let mappings = mappings(process);
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the server runs");
    let below = threads.map(|thread| {
        let thread = thread.expect("the server is stopped").path();
        let read = |what: &str| {
            std::fs::read_to_string(thread.join(what)).unwrap_or_else(|error| {
                panic!("{what} of a thread cannot be read ({error}): run this test as root")
            })
        };
        // The last two words: the stack pointer, and the program counter.
        let registers = read("syscall");
        let pointer = registers.split_whitespace().rev().nth(1).expect("a stopped thread has registers");
        let pointer = u64::from_str_radix(pointer.trim_start_matches("0x"), 16).expect("an address");
        let stack = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&pointer));
        let start = stack.expect("a thread has a stack").start;
        let mut bytes = vec![0; usize::try_from(pointer - start).expect("a stack is small")];
        memory.read_exact_at(&mut bytes, start).expect("a stack can be read");
        let pages = bytes.chunks(4096).enumerate().filter_map(|(page, bytes)| {
            let first = bytes.iter().position(|byte| *byte != 0)?;
            let filled = bytes.iter().filter(|byte| **byte != 0).count();
            Some((pointer - start - (page * 4096 + first) as u64, filled))
        });
        Below { thread: read("comm").trim().to_owned(), pages: pages.collect() }
    });
    let below = below.collect();
    drop(stopped);
    below
}
