//! `petsem break-glass`: read one app's values for a while, because a second person said so.

use std::path::PathBuf;

use clap::Args;
use petsem_api::{AskBreakGlass, BreakGlassToken};
use petsem_policy::UnverifiedToken;
use zeroize::Zeroizing;

use crate::context::{AppArgument, Connection};
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::remote::Remote;
use crate::{messages, output};

/// Ask to read an app's values for at most an hour, and wait for a second person
///
/// Somebody else approves it with `petsem approve`: whoever asked cannot, nor whoever minted the asker's token. The
/// token and its discharge then go to the new file, for `petsem run --break-glass FILE` and
/// `petsem secrets list --show --token-file FILE`. Interrupted, it leaves nothing that opens anything.
#[derive(Args)]
pub(crate) struct AskGlass {
    #[command(flatten)]
    app: AppArgument,

    /// Why: whoever approves reads it, and the audit log keeps it
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// How long from now, such as 15m or 1h; approving and reading must both come before [default: 30m]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Seconds>,

    /// How long to wait for the second person [default: 1h]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Seconds>,

    /// The new file for token and discharge (mode 0600)
    #[arg(long, value_name = "FILE", default_value = "break-glass.token")]
    out: PathBuf,

    #[command(flatten)]
    connection: Connection,
}

/// The longest that break-glass lasts, in seconds: waiting longer is of no use.
const LONGEST: u64 = 60 * 60;

impl AskGlass {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = Reserved::new(&self.out)?;
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let wanted = AskBreakGlass { reason: self.reason, expires_in: self.expires_in.map(|life| life.0) };
        let remote = Remote::open(&resolved)?;
        let mut asked: BreakGlassToken = remote.post(&format!("/v1/apps/{app}/break-glass"), &wanted)?;
        let token = Zeroizing::new(std::mem::take(&mut asked.token));
        output::notice(&messages::glass_waits(&asked));
        let wait = self.wait.map_or(LONGEST, |wait| wait.0.min(LONGEST));
        let read = UnverifiedToken::parse(&token).map_err(|error| messages::not_a_token(&error))?;
        let wanted = read.undischarged(&[]);
        let (location, ticket) = wanted.first().ok_or_else(messages::no_ticket)?;
        let discharge = remote.discharge_ticket(&resolved, location, ticket, wait)?;
        let mut whole =
            Zeroizing::new(String::with_capacity(token.len() + discharge.expose_text().len() + 1));
        whole.push_str(&token);
        whole.push(',');
        whole.push_str(discharge.expose_text());
        file.fill(whole.as_bytes())?;
        output::line(&messages::token_written(&self.out, &messages::glass_broken(&asked)))
    }
}
