//! HTTP/1.1 by hand, so that a test can send anything: malformed heads, incomplete bodies, floods.
//!
//! One request per connection, whose answer is read to its end, or many by [`Connection`]. For correct clients there is
//! `petsem_client`.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer takes longer than this.
const DEADLINE: Duration = Duration::from_secs(30);

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without body and credentials.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the `Authorization` header, scheme included.
    #[must_use]
    pub fn authorization(self, value: &str) -> Self {
        self.header("authorization", value)
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sets a body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header("content-type", content_type);
        request.body = body.into();
        request
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.announcing(self.body.len());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The bytes on the wire if the connection stays open after the answer.
    pub fn to_keep_alive_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(self.body.len(), "");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The bytes of only the head, announcing a body of this length.
    pub fn announcing(&self, length: usize) -> Vec<u8> {
        self.head(length, "connection: close\r\n")
    }

    fn head(&self, length: usize, last: &str) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nhost: petsem\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {length}\r\n{last}\r\n").as_bytes());
        bytes
    }

    /// Sends the request and reads the answer.
    ///
    /// # Panics
    /// If there is no answer; for requests that every server must answer.
    pub fn send(&self, address: SocketAddr) -> Answer {
        let received = exchange(address, &self.to_bytes()).expect("the server can be reached");
        Answer::parse(&received).unwrap_or_else(|| panic!("no answer to {} {}", self.method, self.target))
    }
}

/// Sends bytes and returns everything received until the server closes. If the connection breaks after some
/// bytes, these are returned.
///
/// # Errors
/// If nothing listens, or the connection breaks before any byte.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(address)?;
    // A server may answer before everything is written.
    let written = stream.write_all(bytes);
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => written.map(|()| received.clone()).or_else(|error| keep(received, error)),
        Err(error) => keep(received, error),
    }
}

/// A connection with the harness's deadlines.
///
/// # Errors
/// If nothing listens.
pub fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// A connection for many requests, one after another.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// If nothing listens.
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn call(&mut self, request: &Request) -> std::io::Result<Answer> {
        self.call_bytes(&request.to_keep_alive_bytes())
    }

    /// The same with the bytes of a request.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn call_bytes(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.0.get_mut().write_all(request)?;
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\n") {
            self.line(&mut received)?;
        }
        let mut answer = Answer::parse(&received).ok_or_else(|| Error::other("not HTTP"))?;
        let lower = answer.head.to_ascii_lowercase();
        let header = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name));
        if header("transfer-encoding: chunked").is_some() {
            answer.body = self.chunks()?;
        } else {
            let length = header("content-length: ").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            answer.body = self.exactly(length)?;
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            self.line(&mut line)?;
            let length = String::from_utf8_lossy(&line);
            let length = usize::from_str_radix(length.trim(), 16).map_err(Error::other)?;
            let chunk = self.exactly(length + 2)?;
            body.extend(chunk.into_iter().take(length));
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self, into: &mut Vec<u8>) -> std::io::Result<()> {
        match self.0.read_until(b'\n', into)? {
            0 => Err(Error::other("the server closed the connection")),
            _ => Ok(()),
        }
    }

    fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn keep(received: Vec<u8>, error: std::io::Error) -> std::io::Result<Vec<u8>> {
    if received.is_empty() { Err(error) } else { Ok(received) }
}

impl Answer {
    /// Parses an answer that ends with its connection.
    pub fn parse(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, rest) = received.split_at_checked(end)?;
        let head = std::str::from_utf8(head).ok()?.to_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: rest.get(4..)?.to_vec() })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// HTTP status and machine code; the code is empty if there is none.
    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.field("status"))
    }

    /// The message for people.
    pub fn error(&self) -> String {
        self.field("error")
    }

    /// A field of the body as text; empty if it is not a text.
    pub fn field(&self, name: &str) -> String {
        self.json().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A field of the body as a number; 0 if it is not a number.
    pub fn number(&self, name: &str) -> u64 {
        self.json().get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Everything that a client sees of an answer except what always differs: status, code, text, the length
    /// of the body, the names of its headers.
    pub fn seen(&self) -> (u16, String, String, usize, Vec<String>) {
        let names = self.head.lines().skip(1).filter_map(|line| line.split(':').next());
        let names = names.map(str::to_owned).collect();
        let (status, code) = self.outcome();
        (status, code, self.error(), self.body.len(), names)
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
