use super::{CaveatType, Container, WhenUnspecified};
use crate::access::Access;
use crate::action::{Action, ActionSet};
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only the installation itself: the caveat of operators' tokens.
///
/// Type 65547, body `[]`. It allows requests that name no app, secret, secret key or Machine, and whose action is
/// operate, enroll, mint or list; it refuses all others. Org, host and network do not matter, because operators
/// list orgs and mint tokens for them. It never answers "resource unspecified".
///
/// Tokens minted with such a token carry this caveat, too. The exceptions are the host tokens of enroll, which need
/// a discharge.
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
        when_unspecified: WhenUnspecified::AlwaysSpecified,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    /// The actions that it allows.
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
        let resources = [
            (access.app.is_some(), Resource::App),
            (access.secret.is_some(), Resource::Secret),
            (access.secret_key.is_some(), Resource::SecretKey),
            (access.machine.is_some(), Resource::Machine),
        ];
        if !Self::actions().contains(access.action) {
            Err(Reason::Action(access.action))
        } else if let Some((_, resource)) = resources.into_iter().find(|(is_named, _)| *is_named) {
            Err(Reason::OperatorOnly(resource))
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("only the installation, not apps: {}", Self::actions())
    }
}
