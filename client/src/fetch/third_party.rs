//! Discharges (macaroon format, part 9): the ticket goes to the third party at its location. The answer is the
//! discharge, or a URL to poll for it, or a page that a person must open first.
//!
//! Locations are in tokens, and any holder of a token can add one: only configured locations are called, a poll
//! stays on the location's own origin and has no credentials, and every answer has a size limit.

use std::time::Duration;

use data_encoding::BASE64;
use hyper::{Method, Uri};
use petsem_api::{AppRef, DischargeAnswer, DischargeRequest, ErrorBody, ErrorCode, MachineId};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::client::{Client, Grant, Kind, outgoing, post};
use super::clock;
use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::transport::{ServerAnswer, Transport, protocol};
use crate::error::{CallError, MalformedAnswer, no_reason, printable};

/// Largest answer of a third party, in bytes: a few tokens.
pub(crate) const LARGEST: usize = 128 * 1024;

/// How long a discharge may take, and how a page is shown.
#[derive(Clone, Copy, Default)]
pub struct Patience<'a> {
    /// How long to poll while a person decides. Zero: the time limit of any call.
    pub wait: Duration,
    /// Shows a page to a person. Without it, a discharge that needs a page fails.
    pub open_url: Option<&'a (dyn Fn(&str) + Send + Sync)>,
}

impl std::fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience")
            .field("wait", &self.wait)
            .field("opens_pages", &self.open_url.is_some())
            .finish()
    }
}

impl Client {
    /// Asks the discharger at the token's third-party `location` for this boot's discharge
    /// (`POST {base}/.well-known/macfly/3p`). `proof` is a JWT that the app's policy accepts, or a narrowed
    /// user's token ([`narrow_for_boot`](crate::narrow_for_boot)). A boot does not wait for a person: polls end at
    /// the call's deadline.
    ///
    /// # Errors
    /// [`CallError`]: no discharge.
    pub async fn discharge(
        &self,
        location: &str,
        ticket: &[u8],
        app: &AppRef,
        machine: &MachineId,
        proof: &Credentials,
    ) -> Result<Credentials, CallError> {
        let discharger = self.discharger(location)?;
        let grant = Grant {
            kind: Kind::Discharge,
            app: app.clone(),
            machine: machine.clone(),
            holder: proof.fingerprint(),
            grant: Sha256::digest(ticket).into(),
            min_version: None,
        };
        if let Some(refusal) = self.refusals.recall(&grant) {
            return Err(refusal);
        }
        let request = DischargeRequest {
            ticket: BASE64.encode(ticket),
            app: Some(app.clone()),
            machine: Some(machine.clone()),
        };
        let third_party = ThirdParty { location, transport: discharger, client: self };
        let answer = third_party.discharge(&request, Some(proof), &Patience::default()).await;
        answer.inspect_err(|error| self.refusals.remember(grant, error))
    }

    /// Asks the discharger at `location` for the discharge of any other ticket. `credentials`, if given, are sent
    /// only to the discharger that is configured for the location.
    ///
    /// # Errors
    /// [`CallError`]: no discharge.
    pub async fn discharge_ticket(
        &self,
        location: &str,
        ticket: &[u8],
        credentials: Option<&Credentials>,
        patience: &Patience<'_>,
    ) -> Result<Credentials, CallError> {
        let transport = self.discharger(location)?;
        let request = DischargeRequest { ticket: BASE64.encode(ticket), app: None, machine: None };
        ThirdParty { location, transport, client: self }.discharge(&request, credentials, patience).await
    }

    fn discharger(&self, location: &str) -> Result<&Transport, CallError> {
        self.dischargers
            .get(location)
            .ok_or_else(|| CallError::UnknownDischarger { location: printable(location) })
    }
}

/// One third party during one discharge.
struct ThirdParty<'a> {
    location: &'a str,
    transport: &'a Transport,
    client: &'a Client,
}

impl ThirdParty<'_> {
    /// The answers in the order of the protocol: error, discharge, poll, page.
    async fn discharge(
        &self,
        request: &DischargeRequest,
        credentials: Option<&Credentials>,
        patience: &Patience<'_>,
    ) -> Result<Credentials, CallError> {
        let path = format!("{}/.well-known/macfly/3p", base_path(self.location));
        let answered =
            self.transport.send_to_third_party(post(path, credentials, request, true)?, LARGEST).await?;
        let mut answer = read(&answered)?;
        if let Some(discharge) = take_non_empty(&mut answer.discharge) {
            return token(&answered.endpoint, discharge);
        }
        if let Some(poll_url) = take_non_empty(&mut answer.poll_url) {
            return self.poll(&poll_url, patience.wait).await;
        }
        let page = answer.user_interactive.take();
        let page = page.filter(|page| !page.poll_url.is_empty() && !page.user_url.is_empty());
        let page = page.ok_or_else(|| protocol(&answered.endpoint, MalformedAnswer::NoDischarge))?;
        let poll_url = Zeroizing::new(page.poll_url);
        // Before anything is shown: without a valid poll URL the page is useless.
        self.poll_path(&poll_url)?;
        let is_page = page
            .user_url
            .parse::<Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !is_page {
            return Err(protocol(&answered.endpoint, MalformedAnswer::NoPage));
        }
        let open =
            patience.open_url.ok_or_else(|| CallError::NeedsPerson { location: printable(self.location) })?;
        open(&page.user_url);
        self.poll(&poll_url, patience.wait).await
    }

    /// Polls after 1 s, 2 s, 4 s …, until there is an answer or the time limit is reached.
    async fn poll(&self, poll_url: &str, wait: Duration) -> Result<Credentials, CallError> {
        let path = self.poll_path(poll_url)?;
        let timing = self.client.timing;
        let wait = if wait.is_zero() { timing.call } else { wait };
        let deadline = clock::now() + wait;
        let mut pause = timing.first_poll;
        loop {
            // The secret in the path is the only credential of a poll.
            let outgoing = outgoing(Method::GET, path.to_string(), None, None, true)?;
            let polled = self.transport.send_to_third_party(outgoing, LARGEST).await?;
            if polled.status != 202 {
                let mut answer = read(&polled)?;
                return match take_non_empty(&mut answer.discharge) {
                    Some(discharge) => token(&polled.endpoint, discharge),
                    None => Err(protocol(&polled.endpoint, MalformedAnswer::NoDischarge)),
                };
            }
            let next = clock::now() + pause;
            if next > deadline {
                return Err(CallError::NotReady { location: printable(self.location), waited: wait });
            }
            clock::wait_until(next).await;
            pause = pause.saturating_mul(2).min(timing.longest_poll);
        }
    }

    /// Path and query of a poll URL, if it is on the location's own origin.
    fn poll_path(&self, poll_url: &str) -> Result<Zeroizing<String>, CallError> {
        let elsewhere = || CallError::PollElsewhere { location: printable(self.location) };
        let (own, poll) = (origin(self.location), origin(poll_url));
        if own.is_none() || own != poll {
            return Err(elsewhere());
        }
        let uri: Uri = poll_url.parse().map_err(|_| elsewhere())?;
        let path = uri.path_and_query().ok_or_else(elsewhere)?;
        Ok(Zeroizing::new(path.as_str().to_owned()))
    }
}

/// The answer's JSON, unless it is an error: an error takes precedence, whatever the status.
fn read(answered: &ServerAnswer) -> Result<DischargeAnswer, CallError> {
    let refused = |code, message: String, request_id| CallError::Refused {
        status: answered.status,
        code,
        message,
        request_id,
    };
    let Ok(answer) = serde_json::from_slice::<DischargeAnswer>(&answered.body) else {
        return Err(match answered.status {
            400.. => refused(ErrorCode::Unknown, no_reason(&answered.endpoint, answered.status), None),
            _ => protocol(&answered.endpoint, MalformedAnswer::NotTheJson),
        });
    };
    match answer.error.as_deref() {
        None | Some("") => Ok(answer),
        Some(error) => {
            // petsem's own errors also have a code and a request id.
            let own = serde_json::from_slice::<ErrorBody>(&answered.body).ok();
            let code = own.as_ref().map_or(ErrorCode::Unknown, |body| body.status);
            Err(refused(code, printable(error), own.and_then(|body| body.request_id)))
        }
    }
}

/// A field that is not empty, taken out to be wiped.
fn take_non_empty(field: &mut Option<String>) -> Option<Zeroizing<String>> {
    field.take().map(Zeroizing::new).filter(|text| !text.is_empty())
}

fn token(endpoint: &Endpoint, mut discharge: Zeroizing<String>) -> Result<Credentials, CallError> {
    let credentials = Credentials::new(&discharge);
    discharge.zeroize();
    credentials.map_err(|_| protocol(endpoint, MalformedAnswer::NotTheJson))
}

/// The path of a location, without the slash at its end.
fn base_path(location: &str) -> String {
    let path = location.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
    path.trim_end_matches('/').to_owned()
}

/// Scheme, host and port (RFC 6454) of a URL that has no credentials in it.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    if uri.authority()?.as_str().contains('@') {
        return None;
    }
    Some((scheme, uri.host()?.to_ascii_lowercase(), uri.port_u16().unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let one = origin("https://auth.example");
        assert_eq!(one, Some(("https".to_owned(), "auth.example".to_owned(), 443)));
        for same in ["https://AUTH.example:443/x?y", "https://auth.example/", "HTTPS://auth.example/a/b"] {
            assert_eq!(origin(same), one, "{same}");
        }
        for other in ["http://auth.example", "https://auth.example:444", "https://auth.example.evil.example"]
        {
            assert_ne!(origin(other), one, "{other}");
        }
        for none in
            ["/poll/x", "auth.example", "https://auth.example@evil.example/", "ftp://auth.example", ""]
        {
            assert_eq!(origin(none), None, "{none}");
        }
    }

    #[test]
    fn a_base_path_has_no_trailing_slash() {
        for (location, base) in [
            ("https://auth.example", ""),
            ("https://auth.example/", ""),
            ("https://petsem.example/discharger/", "/discharger"),
            ("no url", ""),
        ] {
            assert_eq!(base_path(location), base);
        }
    }
}
