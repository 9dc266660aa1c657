//! `petsem break-glass`: read one app's values for a limited time, with a second person's approval.

use std::path::PathBuf;

use clap::Args;
use petsem_api::{BreakGlassRequest, BreakGlassToken};
use petsem_policy::UnverifiedToken;
use zeroize::Zeroizing;

use crate::context::{AppArgument, Connection};
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::remote::Remote;
use crate::{messages, output};

/// Request to read an app's values for at most an hour, and wait for a second person
///
/// Another person approves the request with `petsem approve`; neither the requester nor the people who minted the
/// requester's token can. The token and its discharge are then written to the new file, for
/// `petsem run --break-glass FILE` and `petsem secrets list --show --token-file FILE`. If the command is interrupted,
/// it leaves nothing that opens anything.
#[derive(Args)]
pub(crate) struct BreakGlass {
    #[command(flatten)]
    app: AppArgument,

    /// The reason, for the approver and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// How long from now, such as 15m or 1h; both approving and reading must happen within it [default: 30m]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Seconds>,

    /// How long to wait for the second person [default: 1h]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Seconds>,

    /// The new file for the token and its discharge (mode 0600)
    #[arg(long, value_name = "FILE", default_value = "break-glass.token")]
    out: PathBuf,

    #[command(flatten)]
    connection: Connection,
}

/// The longest break-glass, in seconds: waiting longer is useless.
const MAX_WAIT: u64 = 60 * 60;

impl BreakGlass {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = Reserved::new(&self.out)?;
        let resolved = self.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        let request =
            BreakGlassRequest { reason: self.reason, expires_in: self.expires_in.map(|life| life.0) };
        let remote = Remote::open(&resolved)?;
        let mut requested: BreakGlassToken = remote.post(&format!("/v1/apps/{app}/break-glass"), &request)?;
        let token = Zeroizing::new(std::mem::take(&mut requested.token));
        output::notice(&messages::break_glass_waits(&requested));
        let wait = self.wait.map_or(MAX_WAIT, |wait| wait.0.min(MAX_WAIT));
        let parsed = UnverifiedToken::parse(&token).map_err(|error| messages::no_token_sent(&error))?;
        let undischarged = parsed.undischarged(&[]);
        let (location, ticket) = undischarged.first().ok_or_else(messages::no_ticket)?;
        let discharge = remote.discharge_ticket(&resolved, location, ticket, wait)?;
        let mut whole =
            Zeroizing::new(String::with_capacity(token.len() + discharge.expose_text().len() + 1));
        whole.push_str(&token);
        whole.push(',');
        whole.push_str(discharge.expose_text());
        file.fill(whole.as_bytes())?;
        output::line(&messages::token_written(&self.out, &messages::break_glass_approved(&requested)))?;
        resolved.note_use_of(&self.out);
        Ok(())
    }
}
