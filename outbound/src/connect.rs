//! Connects to one of several addresses that were checked, and through a proxy if the node's settings name one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Addresses of one host that are tried.
const ADDRESSES_MAXIMUM: usize = 4;
/// How long an address is tried alone before the next one is tried beside it (RFC 8305 §5, "Connection Attempt Delay").
const ALONE: Duration = Duration::from_millis(250);
/// Longest header of a proxy's answer, in bytes.
const PROXY_HEADER_MAXIMUM: usize = 8 * 1024;

/// The addresses to try, in the order of the lookup, but with the families taking turns (RFC 8305 §4): one family may be
/// dead as a whole.
pub(crate) fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) || turns.len() >= ADDRESSES_MAXIMUM {
            turns.truncate(ADDRESSES_MAXIMUM);
            return turns;
        }
        turns.extend(pair.0.into_iter().chain(pair.1));
    }
}

/// Connects to the address that answers first. Each gets a head start over the next one.
pub(crate) async fn connect_to_one(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = in_turns(addresses).into_iter();
    // Dropped with what is still under way.
    let mut attempts = JoinSet::new();
    let mut last = io::Error::other("the host has no address");
    loop {
        match waiting.next() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let joined = match waiting.len() {
            0 => attempts.join_next().await,
            _ => match tokio::time::timeout(ALONE, attempts.join_next()).await {
                Ok(joined) => joined,
                Err(_) => continue,
            },
        };
        match joined {
            Some(Ok(Ok(stream))) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Some(Ok(Err(error))) => last = error,
            Some(Err(error)) => last = io::Error::other(error),
            None => {}
        }
    }
}

/// Asks a proxy for a tunnel to an address (RFC 9110 §9.3.6). The proxy gets the address that was checked, not the name: it
/// could resolve it to another one.
pub(crate) async fn tunnel(mut proxy: TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    proxy.write_all(request.as_bytes()).await?;
    let mut header = Vec::new();
    // Byte by byte: what follows the header belongs to the third party.
    while !header.ends_with(b"\r\n\r\n") {
        if header.len() >= PROXY_HEADER_MAXIMUM {
            return Err(io::Error::other("its answer is no HTTP"));
        }
        header.push(proxy.read_u8().await?);
    }
    match status(&header) {
        Some(200..=299) => Ok(proxy),
        Some(status) => Err(io::Error::other(format!("it answered HTTP {status}"))),
        None => Err(io::Error::other("its answer is no HTTP")),
    }
}

fn status(header: &[u8]) -> Option<u16> {
    let line = header.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_at_most_four_addresses_are_tried() {
        let parsed =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (found, tried) in [
            (
                &["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"][..],
                &["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"][..],
            ),
            (&["192.0.2.1:1", "192.0.2.2:1"], &["192.0.2.1:1", "192.0.2.2:1"]),
            (
                &[
                    "192.0.2.1:1",
                    "192.0.2.2:1",
                    "192.0.2.3:1",
                    "192.0.2.4:1",
                    "192.0.2.5:1",
                    "[2001:db8::1]:1",
                ],
                &["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1", "192.0.2.3:1"],
            ),
            (&[], &[]),
        ] {
            assert_eq!(in_turns(parsed(found)), parsed(tried));
        }
    }

    #[test]
    fn the_status_of_a_proxy_is_that_of_its_first_line() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 x\r\nHTTP/1.1 200 y\r\n\r\n"), Some(407));
        for invalid in [&b"HTTP/2 200\r\n\r\n"[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1\r\n\r\n", b""] {
            assert_eq!(status(invalid), None);
        }
    }
}
