use super::{CaveatType, Place, Unnamed};
use crate::access::Access;
use crate::action::{Action, ActionSet};
use crate::denial::{Reason, Resource};
use crate::msgpack::{DecodeError, Reader, Write};

/// Only the installation itself: the caveat of operators' tokens.
///
/// Type 65547, body `[]`. It clears requests that name no app, secret, secret key or Machine, and whose
/// action is operate, enroll, mint or list; all others it refuses. Which org, host or network a request
/// names makes no difference: orgs are listed and given tokens from here. It never answers resource
/// unspecified.
///
/// What such a token mints carries this caveat, too. Only the host tokens that enroll makes do not, and
/// those open nothing without a discharge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator;

impl Operator {
    /// The type number.
    pub const KIND: u64 = 65_547;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Operator",
        body: "`[]`",
        meaning: "only operate, enroll, mint and list, and no app, secret, secret key or Machine",
        unnamed: Unnamed::AlwaysNamed,
        places: &[Place::Token, Place::Discharge],
        since: "0.1.0",
    };

    /// The actions that it leaves.
    pub fn actions() -> ActionSet {
        ActionSet::from_iter([Action::Operate, Action::Enroll, Action::Mint, Action::List])
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(0)?;
        Ok(Self)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(0);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        let named = [
            (access.app.is_some(), Resource::App),
            (access.secret.is_some(), Resource::Secret),
            (access.secret_key.is_some(), Resource::SecretKey),
            (access.machine.is_some(), Resource::Machine),
        ];
        if !Self::actions().contains(access.action) {
            Err(Reason::Action(access.action))
        } else if let Some((_, resource)) = named.into_iter().find(|(is_named, _)| *is_named) {
            Err(Reason::OperatorOnly(resource))
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("only the installation itself, no app: {}", Self::actions())
    }
}
