//! A user's token as the proof for a boot: it must name exactly this one (design §4.2).

use crate::action::{Action, ActionSet};
use crate::caveat::Caveat;
use crate::caveats::PetsemCaveat;
use crate::denial::{Denial, Reason, Resource};
use crate::token::Token;

/// How soon such a token must end, in seconds.
const LONGEST_SECONDS: i64 = 300;

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
    /// Whether the token's own caveats name exactly this app, Machine and host and the action boot, and
    /// end it at most 300 s after `now` (unix seconds).
    ///
    /// This says how narrow the token is, not that it allows the boot: [`Token::clear`] says that.
    ///
    /// # Errors
    /// [`Denial`] with what is not narrow enough; its caveat is `None`.
    pub fn names_exactly(&self, target: &BootTarget<'_>, now: i64) -> Result<(), Denial> {
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
        // A window inside `IfPresent` may not apply, so only those of the top level end the token.
        let end = self.own_caveats().iter().filter_map(|caveat| match caveat {
            Caveat::ValidityWindow { not_after, .. } => Some(*not_after),
            _ => None,
        });
        let ends_soon = end.min().is_some_and(|end| end <= now.saturating_add(LONGEST_SECONDS));
        let missing = if !app {
            Reason::NotExactly(Resource::App)
        } else if !machine {
            Reason::NotExactly(Resource::Machine)
        } else if !host {
            Reason::NotExactly(Resource::Host)
        } else if actions != ActionSet::from_iter([Action::Boot]) {
            Reason::NotExactlyAction(Action::Boot)
        } else if !ends_soon {
            Reason::EndsTooLate
        } else {
            return Ok(());
        };
        Err(self.lacks(missing))
    }
}
