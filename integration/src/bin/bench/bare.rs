//! The plainest server that answers with as many bytes: what HTTP alone costs here. It has the runtime, the
//! allocator and the build of petsem, reads each body, and answers every path.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use axum::extract::State;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use clap::Args;
use tokio::net::TcpSocket;

use crate::failure::Failure;

/// As petsem's listeners.
const BACKLOG: u32 = 4096;

/// Serve the plainest handler; the benchmark starts it as a child
#[derive(Args)]
pub(crate) struct Bare {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The length of each answer
    #[arg(long, value_name = "N")]
    body_bytes: usize,
}

impl Bare {
    /// Serves until it is killed.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::system("the bare server", &error);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(self.serve()).map_err(failed)
    }

    async fn serve(&self) -> std::io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(self.listen)?;
        let listener = socket.listen(BACKLOG)?;
        let mut output = std::io::stdout();
        writeln!(output, "{}", listener.local_addr()?)?;
        output.flush()?;
        // A list of one text.
        let text: &'static str = "x".repeat(self.body_bytes.saturating_sub(r#"[""]"#.len())).leak();
        let router = Router::new().fallback(answer).with_state(text);
        let listener = listener.tap_io(|stream| {
            // Without it the answers would only be later.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router).await
    }
}

/// Serialized for each request, as petsem's answers are.
async fn answer(State(text): State<&'static str>, _body: Bytes) -> Json<[&'static str; 1]> {
    Json([text])
}

/// A running bare server, killed on drop.
#[derive(Debug)]
pub(crate) struct BareServer {
    child: Child,
    address: SocketAddr,
}

impl BareServer {
    /// Starts one whose answers have this many bytes.
    pub(crate) fn start(body_bytes: usize) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::system("the bare server", &error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["bare", "--listen", "127.0.0.1:0", "--body-bytes"]).arg(body_bytes.to_string());
        let child =
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        // From here on, the child is killed if this fails.
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        if let Some(output) = server.child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
        }
        server.address = line.trim().parse().map_err(|error| {
            Failure::new(
                format!("the bare server does not say where it listens: {error}"),
                "run `bench bare --listen 127.0.0.1:0 --body-bytes 100` to see why",
            )
        })?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // It has ended already or ends now; an error cannot be reported.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
