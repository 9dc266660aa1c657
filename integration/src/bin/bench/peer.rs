//! A Vault-compatible server that already runs, with KV v2 at `secret/`: one path for each app, of 20 keys.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use petsem_integration::http::Request;
use serde_json::{Map, Value, json};

use crate::data::{SECRETS, call, each};
use crate::failure::Failure;
use crate::load::Target;
use crate::{machine, random};

/// The server, and how many paths are in use.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    token: String,
    paths: usize,
}

impl Peer {
    /// Writes the paths.
    pub(crate) fn fill(url: &str, token_file: &Path, paths: usize) -> Result<Self, Failure> {
        let hint = "give its URL as http://ADDRESS:PORT; the load generator reaches it without TLS";
        let name = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let name = name.ok_or_else(|| Failure::new(format!("{url} is not a URL of a peer"), hint))?;
        let address = name.to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = address.ok_or_else(|| Failure::new(format!("{name} is not an address"), hint))?;
        let token = std::fs::read_to_string(token_file)
            .map_err(|error| Failure::system(token_file.display(), &error))?;
        let peer = Self { address, token: token.trim().to_owned(), paths };
        // The same names and values as petsem's apps have.
        each(address, paths, |connection, number| {
            let request = peer.post(&path(number), &keys(SECRETS, random::value));
            call(connection, &request).map(drop)
        })?;
        Ok(peer)
    }

    pub(crate) fn target(&self) -> Target {
        Target { name: "peer", address: self.address, process: machine::listener(self.address.port()) }
    }

    /// Reads of a path with 20 keys.
    pub(crate) fn reads(&self) -> Vec<Request> {
        (0..self.paths).map(|number| self.request("GET", &path(number))).collect()
    }

    /// Writes of a path with one key.
    pub(crate) fn writes_of_one_key(&self) -> Vec<Request> {
        let write = |number| self.post(&format!("{}-one", path(number)), &keys(1, random::marked_value));
        (0..self.paths).map(write).collect()
    }

    /// Writes of a path with 20 keys. Other paths than those of the reads.
    pub(crate) fn writes_of_all_keys(&self) -> Vec<Request> {
        let write =
            |number| self.post(&format!("{}-all", path(number)), &keys(SECRETS, random::marked_value));
        (0..self.paths).map(write).collect()
    }

    fn post(&self, path: &str, keys: &Map<String, Value>) -> Request {
        self.request("POST", path).json(&json!({ "data": keys }))
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("x-vault-token", &self.token)
    }
}

fn path(number: usize) -> String {
    format!("/v1/secret/data/petsem-bench/app-{number}")
}

fn keys(count: usize, value: impl Fn() -> String) -> Map<String, Value> {
    (0..count).map(|secret| (format!("SECRET_{secret:02}"), json!(value()))).collect()
}
