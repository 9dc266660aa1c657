//! Which cores the threads of a server have.

use std::collections::BTreeMap;
use std::time::Duration;

use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{assert_open, assert_sealed, operator};
use petsem_integration::server::Server;

use super::seals::{by_passphrase, passphrase_turn};

const HOST: &str = "\n[[listener]]\naddress = \"127.0.0.1:0\"\nhost = \"host-1\"\n";

/// The cores that a thread may have, as a mask.
fn cores(status: &str) -> u128 {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"));
    let mask = line.expect("the kernel shows the cores").trim().replace(',', "");
    u128::from_str_radix(&mask, 16).expect("at most 128 cores")
}

/// How many threads of each name have which cores.
fn threads(server: &Server) -> BTreeMap<(String, u128), usize> {
    let mut found = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let read = |file| std::fs::read_to_string(thread.as_ref().unwrap().path().join(file));
        // A thread may have ended since the directory was read.
        if let (Ok(name), Ok(status)) = (read("comm"), read("status")) {
            *found.entry((name.trim().to_owned(), cores(&status))).or_default() += 1;
        }
    }
    found
}

/// Waits until all threads have their cores. One that has just started has those of the thread that started it.
fn assert_placed(server: &Server) {
    let all = cores(&std::fs::read_to_string("/proc/self/status").unwrap());
    // With a quota of fewer cores, no worker has one of its own.
    let workers = std::thread::available_parallelism().unwrap().get();
    let has_own = workers > 1 && workers == all.count_ones() as usize;
    let own = if has_own { workers } else { 0 };
    let is_placed = |found: &BTreeMap<(String, u128), usize>| {
        let placed: Vec<_> = found.iter().filter(|((_, cores), _)| *cores != all).collect();
        placed.len() == own && placed.iter().all(|((name, _), count)| name == "boots" && **count == 1)
    };
    let mut found = threads(server);
    for _ in 0..500 {
        if is_placed(&found) {
            return;
        }
        pause(Duration::from_millis(20));
        found = threads(server);
    }
    panic!("{found:?}");
}

#[test]
fn workers_of_boots_have_a_core_each_and_all_other_threads_have_every_core() {
    let installation = Installation::configured();
    assert!(installation.init().status.success());
    assert_placed(&installation.start().unwrap());

    // Threads that a request starts inherit nothing, either.
    let _turn = passphrase_turn();
    let (installation, passphrase) = by_passphrase();
    let configuration = std::fs::read_to_string(installation.configuration()).unwrap();
    installation.configure(&(configuration + HOST));
    let server = installation.start().unwrap();
    assert_sealed(&installation, &server);
    let unsealed = operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]);
    assert!(unsealed.status.success(), "{}", unsealed.printed);
    assert_open(&installation, &server);
    assert_placed(&server);
}
