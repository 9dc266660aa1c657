//! A user's token as the proof for a boot: it must be limited to exactly that boot (design §4.2).

use std::collections::BTreeSet;

use crate::action::{Action, ActionSet};
use crate::caveat::Caveat;
use crate::caveats::PetsemCaveat;
use crate::text::{Denial, Reason, Resource};
use crate::token::Token;

/// Longest remaining lifetime of such a token, in seconds.
const MAX_SECONDS: i64 = 300;

/// One Machine of one app on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootTarget<'a> {
    /// The app's id.
    pub app: [u8; 16],
    /// The Machine.
    pub machine: &'a str,
    /// The host.
    pub host: &'a str,
}

impl Token {
    /// The apps that the token's own caveats allow; `None` if they limit no app.
    pub fn named_apps(&self) -> Option<BTreeSet<[u8; 16]>> {
        let lists = self.own_petsem().filter_map(|caveat| match caveat {
            PetsemCaveat::Apps(apps) => Some(apps.ids().iter().copied().collect()),
            _ => None,
        });
        lists.reduce(|both: BTreeSet<_>, list| &both & &list)
    }

    /// The Machines that the token's own caveats allow; `None` if they limit no Machine.
    pub fn named_machines(&self) -> Option<BTreeSet<&str>> {
        let lists = self.own_petsem().filter_map(|caveat| match caveat {
            PetsemCaveat::Machines(machines) => Some(machines.ids().iter().map(String::as_str).collect()),
            _ => None,
        });
        lists.reduce(|both: BTreeSet<_>, list| &both & &list)
    }

    /// Whether the token's own caveats limit it to exactly this app, Machine and host, to the action boot, and to
    /// at most 300 s after `now` (unix seconds).
    ///
    /// This checks only how narrow the token is; [`Token::clear`] decides whether it allows the boot.
    ///
    /// # Errors
    /// [`Denial`] with the first limit that is missing; its caveat is `None`.
    pub fn is_limited_to(&self, target: &BootTarget<'_>, now: i64) -> Result<(), Denial> {
        let (mut app, mut machine, mut host) = (false, false, false);
        let mut actions = ActionSet::EVERYTHING;
        for caveat in self.own_petsem() {
            match caveat {
                PetsemCaveat::Apps(apps) => app |= apps.ids() == [target.app],
                PetsemCaveat::Machines(machines) => machine |= machines.ids() == [target.machine],
                PetsemCaveat::Hosts(hosts) => host |= hosts.ids() == [target.host],
                PetsemCaveat::Actions(allowed) => actions = actions & allowed.0,
                _ => {}
            }
        }
        // A window inside `IfPresent` may not apply, so only top-level windows count.
        let end = self.own_caveats().iter().filter_map(|caveat| match caveat {
            Caveat::ValidityWindow { not_after, .. } => Some(*not_after),
            _ => None,
        });
        let expires_soon = end.min().is_some_and(|end| end <= now.saturating_add(MAX_SECONDS));
        let missing = if !app {
            Reason::NotExactly(Resource::App)
        } else if !machine {
            Reason::NotExactly(Resource::Machine)
        } else if !host {
            Reason::NotExactly(Resource::Host)
        } else if actions != ActionSet::from_iter([Action::Boot]) {
            Reason::NotExactlyAction(Action::Boot)
        } else if !expires_soon {
            Reason::EndsTooLate
        } else {
            return Ok(());
        };
        Err(self.missing(missing))
    }
}
