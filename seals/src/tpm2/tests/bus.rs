//! An attacker between petsem and a TPM.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;

use petsem_counterparts::{Swtpm, two_ports};

use crate::tpm2::Tpm2Device;

/// Gives petsem's device for a TPM that the tests started.
pub(super) trait Device {
    fn device(&self) -> Tpm2Device;
}

impl Device for Swtpm {
    fn device(&self) -> Tpm2Device {
        Tpm2Device::Swtpm { port: self.port() }
    }
}

/// An eavesdropper on the bus between petsem and the chip.
pub(super) struct Bus {
    pub(super) port: u16,
    recorded: Arc<Mutex<Vec<u8>>>,
}

impl Bus {
    pub(super) fn record(chip: &Swtpm) -> Self {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let (port, listeners) = two_ports();
        for (listener, target) in listeners.into_iter().zip([chip.port(), chip.port() + 1]) {
            let recorded = Arc::clone(&recorded);
            thread::spawn(move || {
                for incoming in listener.incoming() {
                    let incoming = incoming.unwrap();
                    let outgoing = TcpStream::connect(("127.0.0.1", target)).unwrap();
                    let (back, forth) = (outgoing.try_clone().unwrap(), incoming.try_clone().unwrap());
                    let recorded_back = Arc::clone(&recorded);
                    thread::spawn(move || pass_on(back, forth, &recorded_back));
                    pass_on(incoming, outgoing, &recorded);
                }
            });
        }
        Self { port, recorded }
    }

    pub(super) fn device(&self) -> Tpm2Device {
        Tpm2Device::Swtpm { port: self.port }
    }

    pub(super) fn recorded(&self, part: &[u8]) -> bool {
        self.recorded.lock().unwrap().windows(part.len()).any(|window| window == part)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, recorded: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(read) = from.read(&mut part) {
        recorded.lock().unwrap().extend_from_slice(&part[..read]);
        if read == 0 || to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
