//! The boots of one host: discharge, boot, renew, report.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use petsem_api::{AppRef, BootReport, BootResponse, Delivery, MachineId};
use petsem_policy::UnverifiedToken;
use zeroize::Zeroizing;

use super::client::Client;
use super::credentials::Credentials;
use crate::bundle::Bundle;
use crate::error::{BootFlowError, CallError};
use crate::inject::LeftOut;

/// The boots of one host. Renewals stay in memory: the next boot of the same Machine needs no proof.
pub struct BootFlow {
    client: Arc<Client>,
    host: Credentials,
    location: String,
    ticket: Vec<u8>,
    renewals: Mutex<HashMap<(AppRef, MachineId), Arc<Credentials>>>,
}

/// A boot that petsem answered: the secrets, and the grant under which they were given.
pub struct Booted {
    /// The app, as it was requested.
    app: AppRef,
    response: Arc<BootResponse>,
    grant: Arc<Credentials>,
}

impl BootFlow {
    /// A flow with the host's token. The token's first third-party caveat names the discharger.
    ///
    /// # Errors
    /// [`BootFlowError::HostToken`] and [`BootFlowError::NoTicket`]: the text is not a host token.
    pub fn new(client: Arc<Client>, host: Credentials) -> Result<Self, BootFlowError> {
        let token = UnverifiedToken::parse(host.expose_text()).map_err(|_| BootFlowError::HostToken)?;
        let wanted = token.undischarged(&[]);
        let (location, ticket) = wanted.first().ok_or(BootFlowError::NoTicket)?;
        let (location, ticket) = ((*location).to_owned(), ticket.to_vec());
        Ok(Self { client, host, location, ticket, renewals: Mutex::default() })
    }

    /// Boots a Machine: with its renewal if this host has one, otherwise with a discharge for `proof`. A renewal
    /// that petsem refuses is forgotten, and the proof, if there is one, is tried once.
    ///
    /// # Errors
    /// [`BootFlowError`]: neither a renewal nor a proof, or no discharge, or no secrets.
    pub async fn boot(
        &self,
        app: &AppRef,
        machine: &MachineId,
        min_version: Option<u64>,
        proof: Option<&Credentials>,
    ) -> Result<Booted, BootFlowError> {
        if let Some(renewal) = self.renewal(app, machine) {
            match self.boot_under(app, machine, min_version, renewal).await {
                Err(BootFlowError::Boot(error)) if error.is_definite() => {
                    self.forget(app, machine);
                    if proof.is_none() {
                        return Err(BootFlowError::Boot(error));
                    }
                }
                answered => return answered,
            }
        }
        let proof = proof.ok_or(BootFlowError::NoProof)?;
        let discharge = self.client.discharge(&self.location, &self.ticket, app, machine, proof).await;
        let discharge = discharge.map_err(BootFlowError::Discharge)?;
        self.boot_under(app, machine, min_version, Arc::new(discharge)).await
    }

    /// Renews the Machine's renewal and returns its new end (RFC 3339).
    ///
    /// # Errors
    /// [`BootFlowError::NoRenewal`], or [`BootFlowError::Renew`] with petsem's answer.
    pub async fn renew(&self, app: &AppRef, machine: &MachineId) -> Result<String, BootFlowError> {
        let renewal = self.renewal(app, machine).ok_or(BootFlowError::NoRenewal)?;
        let answer = self.client.renew(app, machine, &self.host, &renewal).await;
        let answer = answer.inspect_err(|error| {
            if error.is_definite() {
                self.forget(app, machine);
            }
        });
        let answer = answer.map_err(BootFlowError::Renew)?;
        self.keep(app, machine, answer.renewal);
        Ok(answer.expires_at)
    }

    /// Reports the outcome of a delivery to the audit log.
    ///
    /// # Errors
    /// [`CallError`]: the report was not accepted.
    pub async fn report(&self, booted: &Booted, delivery: Delivery) -> Result<(), CallError> {
        self.send_report(booted, delivery, &[]).await
    }

    /// Reports to the audit log that the secrets go into the environment of a process, except these.
    ///
    /// # Errors
    /// [`CallError`]: the report was not accepted.
    pub async fn report_environment(&self, booted: &Booted, left_out: &[LeftOut]) -> Result<(), CallError> {
        self.send_report(booted, Delivery::Environment, left_out).await
    }

    async fn send_report(
        &self,
        booted: &Booted,
        delivery: Delivery,
        left_out: &[LeftOut],
    ) -> Result<(), CallError> {
        let report = BootReport {
            machine: booted.response.machine.clone(),
            version: booted.response.version,
            delivery,
            left_out: left_out.iter().map(|left_out| left_out.name.clone()).collect(),
        };
        self.client.report(&booted.app, &self.host, &booted.grant, &report).await
    }

    /// Forgets a Machine that was destroyed or moved.
    pub fn forget(&self, app: &AppRef, machine: &MachineId) {
        self.lock().remove(&(app.clone(), machine.clone()));
    }

    async fn boot_under(
        &self,
        app: &AppRef,
        machine: &MachineId,
        min_version: Option<u64>,
        grant: Arc<Credentials>,
    ) -> Result<Booted, BootFlowError> {
        let response = self.client.boot(app, machine, &self.host, &grant, min_version).await;
        let response = response.map_err(BootFlowError::Boot)?;
        // A renewal is valid longer than a discharge, so a slow delivery can still be reported.
        let kept = response.renewal.as_ref().and_then(|text| self.keep(app, machine, text.clone()));
        Ok(Booted { app: app.clone(), response, grant: kept.unwrap_or(grant) })
    }

    fn renewal(&self, app: &AppRef, machine: &MachineId) -> Option<Arc<Credentials>> {
        self.lock().get(&(app.clone(), machine.clone())).cloned()
    }

    fn keep(&self, app: &AppRef, machine: &MachineId, renewal: String) -> Option<Arc<Credentials>> {
        let renewal = Arc::new(Credentials::new(&Zeroizing::new(renewal)).ok()?);
        self.lock().insert((app.clone(), machine.clone()), renewal.clone());
        Some(renewal)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(AppRef, MachineId), Arc<Credentials>>> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Booted {
    /// The secrets, for an injector.
    pub fn bundle(&self) -> Bundle {
        Bundle::from_boot(&self.response)
    }

    /// petsem's answer: digests, version, end of the renewal.
    pub fn response(&self) -> &BootResponse {
        &self.response
    }
}

impl fmt::Debug for BootFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootFlow").field("location", &self.location).finish_non_exhaustive()
    }
}

impl fmt::Debug for Booted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booted").field("response", &self.response).finish_non_exhaustive()
    }
}
