//! The signals of a server. Operators' scripts send some by habit, which end a process that does not expect them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a server after it has finished.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// SIGTERM, SIGINT and SIGQUIT. For a development server also SIGHUP: its terminal was closed.
    pub(crate) fn new(is_development: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: is_development.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    pub(crate) async fn stop(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Lets the process go on at SIGHUP, SIGUSR1 and SIGUSR2, with a line in the log. Nothing is read again yet: the settings
/// name seals and listeners, which a start checks.
pub(crate) fn ignore_habitual() -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut first = signal(SignalKind::user_defined1())?;
    let mut second = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = hangup.recv() => "SIGHUP",
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::warn!(
                signal = name,
                "ignored: nothing is reloaded; restart to apply a changed configuration"
            );
        }
    });
    Ok(())
}
