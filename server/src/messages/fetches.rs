//! Fetches of the keys of issuers that failed.

use petsem_engine::FetchRefusal;
use petsem_outbound::OutboundError;

/// The error, and what the operator can change.
pub(crate) fn fetch_failed(error: &OutboundError) -> FetchRefusal {
    let hint = match error {
        OutboundError::NoSystemCas => "install CA certificates, or name a file of them as outgoing.ca_file",
        OutboundError::Setup(_) => "report this as a defect of petsem",
        OutboundError::Unresolved { .. } => "check the name of the host and the resolver",
        OutboundError::PrivateAddress { .. } => {
            "if this is intended, list the host in outgoing.private_hosts"
        }
        OutboundError::Unreachable { .. } => {
            "check that it runs and that the network lets this node reach it"
        }
        OutboundError::Proxy { .. } => {
            "check outgoing.origin.proxy, and that the proxy lets this node through"
        }
        OutboundError::TokenFile { .. } => {
            "correct outgoing.origin.bearer_token_file, or let petsem's user read the file"
        }
        OutboundError::Tls { .. } => {
            "if its CA is not one of the system's, name the CA's file as outgoing.ca_file"
        }
        OutboundError::Broken { .. } => "it is tried again",
        OutboundError::Redirect { .. } => "register the final URL",
        OutboundError::TimedOut { .. } => "it is tried again; if it is slow, raise outgoing.seconds",
        _ => "check the registered URL",
    };
    format!("{error}; {hint}").into()
}
