//! Which cores the threads of a server have.

use std::collections::BTreeMap;

use petsem_integration::installation::Installation;
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

fn assert_placed(server: &Server, others: &[&str]) {
    let all = cores(&std::fs::read_to_string("/proc/self/status").unwrap());
    // With a quota of fewer cores, no worker has one of its own.
    let workers = match std::thread::available_parallelism().unwrap().get() {
        workers if workers > 1 && workers == all.count_ones() as usize => workers,
        _ => 0,
    };
    let found = threads(server);
    let placed: Vec<_> = found.iter().filter(|((_, cores), _)| *cores != all).collect();
    assert_eq!(placed.len(), workers, "{found:?}");
    for ((name, cores), count) in placed {
        assert_eq!((name.as_str(), *count), ("boots", 1), "{cores}: {found:?}");
    }
    for name in others {
        assert!(found.contains_key(&((*name).to_owned(), all)), "{name}: {found:?}");
    }
}

#[test]
fn workers_of_boots_have_a_core_each_and_all_other_threads_have_every_core() {
    let installation = Installation::configured();
    assert!(installation.init().status.success());
    assert_placed(&installation.start().unwrap(), &["audit", "store-writer"]);

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
    assert_placed(&server, &["audit", "low-priority", "store-writer"]);
}
