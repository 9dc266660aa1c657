//! The virtio-serial port, with a deadline on every read.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::machine::Failure;

/// The time limit for the host's answer, in seconds.
const ANSWER_SECONDS: i64 = 20;
/// How often to check for the port, every hundredth of a second.
const LOOKS: u32 = 500;

/// An open port.
pub(crate) struct Port(File);

impl Port {
    /// Opens the port of this name, which appears a moment after its driver is loaded.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        for _ in 0..LOOKS {
            if let Some(device) = device_of(name) {
                let file = File::options().read(true).write(true).open(format!("/dev/{device}"));
                return file.map(Self).map_err(|error| Failure::new("open the port", error));
            }
            let hundredth = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            poll(&mut [], Some(&hundredth)).map_err(|error| Failure::new("wait for the port", error))?;
        }
        Err(Failure::new("find the port", "no virtio-serial port has its name"))
    }
}

fn device_of(name: &str) -> Option<String> {
    let ports = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let found = std::fs::read_to_string(port.path().join("name")).ok()?;
        if found.trim_end() == name { port.file_name().into_string().ok() } else { None }
    })
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = Timespec { tv_sec: ANSWER_SECONDS, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&deadline))?;
        if ready == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
