//! Signals that operators and their scripts send by habit.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use petsem_integration::dev::Dev;
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::server::Server;
use rustix::process::{Pid, Signal, kill_process};

fn send(server: &Server, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

#[test]
fn a_server_goes_on_after_sighup_and_the_user_signals_and_its_log_says_so() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    for (signal, name) in [
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::HUP, "SIGHUP"),
    ] {
        send(&server, signal);
        let line = server.printed_line(name);
        assert!(line.contains("ignored: nothing is reloaded"), "{}", server.printed());
        assert_eq!(Request::new("GET", "/readyz").send(server.address()).status, 200);
    }
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.printed);
}

#[test]
fn a_sealed_server_goes_on_after_sighup() {
    let installation = Installation::made();
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
    let server = installation.start().unwrap();
    send(&server, Signal::HUP);
    assert!(server.printed_line("SIGHUP").contains("ignored"), "{}", server.printed());
    assert_eq!(Request::new("GET", "/healthz").send(server.address()).status, 200);
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn sigquit_and_sigint_stop_a_server_as_sigterm_does() {
    let installation = Installation::made();
    for signal in [Signal::QUIT, Signal::INT, Signal::TERM] {
        let server = installation.start().unwrap();
        send(&server, signal);
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {}", ended.printed);
        assert!(ended.printed.contains("stopped"), "{signal:?}: {}", ended.printed);
    }
}

#[test]
fn a_development_server_stops_when_its_terminal_is_closed() {
    let Dev { server, directory: _directory, .. } = Dev::start();
    send(&server, Signal::HUP);
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.printed);
}

#[test]
fn the_first_line_of_the_log_names_version_configuration_and_listeners() {
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let line = server.printed_line("\"starting\"");
    assert!(server.printed().starts_with(&line), "{}", server.printed());
    for text in [env!("CARGO_PKG_VERSION"), &*installation.configuration().to_string_lossy(), "petsem.sock"] {
        assert!(line.contains(text), "{text}: {line}");
    }
}

/// As sd_notify(3) has it: a unit with `Type=notify` has started when this arrives.
#[test]
fn a_server_tells_systemd_that_it_listens_open_or_sealed() {
    let installation = Installation::made();
    let socket = installation.path("notify");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut command = installation.server();
        command.env("NOTIFY_SOCKET", &socket);
        let server = Server::start(command).unwrap();
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer).unwrap();
        (server, String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let (server, state) = told();
    assert_eq!(state, "READY=1");
    assert_eq!(server.stop().status.code(), Some(0));
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
    let (server, state) = told();
    assert_eq!(state, "READY=1");
    assert_eq!(server.stop().status.code(), Some(0));
}
