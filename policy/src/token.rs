//! A verified token: the only thing that a decision accepts.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::access::Access;
use crate::action::Action;
use crate::caveat::Caveat;
use crate::caveats::{Ancestors, BootGrant, BreakGlass, Exchanged, PetsemCaveat, Subject};
use crate::clear::clear_caveat;
use crate::denial::{Denial, DeniedCaveat, Origin, Reason};
use crate::nonce::TokenId;
use crate::unverified::{Decoded, earliest_end};

/// A token whose chain of MACs, bindings and discharges were verified by
/// [`crate::UnverifiedToken::verify`]. What it allows is asked with [`Self::clear`].
pub struct Token {
    own: Arc<Decoded>,
    accepted: Vec<Accepted>,
}

/// A discharge that verification accepted, in the order of the third-party caveats.
pub(crate) struct Accepted {
    pub(crate) decoded: Arc<Decoded>,
    pub(crate) third_party: usize,
    pub(crate) discharger: Option<[u8; 16]>,
}

/// A grant that counts, with who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEvidence<Grant = BootGrant> {
    /// What was granted.
    pub grant: Grant,
    /// The discharge that carried it.
    pub discharge: TokenId,
    /// The trusted discharger that made it. Whether he may speak for the grant's org is the caller's rule.
    pub discharger: [u8; 16],
}

/// A caveat of a verified token, and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct PlacedCaveat<'t> {
    /// The caveat.
    pub caveat: &'t Caveat,
    /// Its place in the token or discharge, from 0.
    pub index: usize,
    /// Which of them that is.
    pub origin: Origin,
}

impl Token {
    pub(crate) fn new(own: Arc<Decoded>, accepted: Vec<Accepted>) -> Self {
        Self { own, accepted }
    }

    /// Who the token is, in audit lines and revocations; the same for all its attenuations.
    pub fn id(&self) -> TokenId {
        self.own.id()
    }

    /// Which key signed it.
    pub fn kid(&self) -> &[u8] {
        self.own.nonce.kid()
    }

    /// The discharges that verification accepted, in the order of the third-party caveats.
    pub fn discharge_ids(&self) -> Vec<TokenId> {
        self.accepted.iter().map(|accepted| accepted.decoded.id()).collect()
    }

    /// The earliest end of any validity window of the token and its discharges, nested ones too, in unix
    /// seconds.
    pub fn expires_at(&self) -> Option<i64> {
        let discharges = self.accepted.iter().map(|accepted| &accepted.decoded);
        std::iter::once(&self.own).chain(discharges).filter_map(|part| earliest_end(&part.caveats)).min()
    }

    /// All caveats to clear, in order: those of the token, then those of its discharges. Third-party
    /// caveats and bindings are done with, and what an untrusted discharge says about people is left out.
    pub fn caveats(&self) -> impl Iterator<Item = PlacedCaveat<'_>> {
        let own = placed(&self.own, Origin::Token);
        let discharged = self.accepted.iter().flat_map(|accepted| {
            let origin = Origin::Discharge {
                third_party: accepted.third_party,
                discharge: accepted.decoded.id(),
                proof: accepted.decoded.nonce.proof(),
                discharger: accepted.discharger,
            };
            placed(&accepted.decoded, origin)
                .filter(|placed| accepted.discharger.is_some() || !placed.caveat.is_attestation())
        });
        own.chain(discharged)
    }

    /// The token's own caveats, third-party ones and bindings too, as they stand in it.
    pub fn own_caveats(&self) -> &[Caveat] {
        &self.own.caveats
    }

    /// Who holds the token: its own first [`Subject`]. `None` also when that does not read.
    pub fn subject(&self) -> Option<Subject> {
        self.own_petsem().find_map(|caveat| match caveat {
            PetsemCaveat::Subject(subject) => Some(subject),
            _ => None,
        })
    }

    /// The tokens that it was minted from, nearest first: its own first [`Ancestors`].
    pub fn ancestors(&self) -> Vec<TokenId> {
        let first = self.own_petsem().find_map(|caveat| match caveat {
            PetsemCaveat::Ancestors(Ancestors(ids)) => Some(ids),
            _ => None,
        });
        first.unwrap_or_default()
    }

    /// From which JWT the token came: its very first caveat, if [`crate::Apps`] with exactly one app stands
    /// behind it. The rule that it names must be asked again at each use.
    pub fn exchanged(&self) -> Option<Exchanged> {
        match self.own_first::<2>() {
            [Some(PetsemCaveat::Exchanged(exchanged)), Some(PetsemCaveat::Apps(apps))]
                if apps.ids().len() == 1 =>
            {
                Some(exchanged)
            }
            _ => None,
        }
    }

    /// Whether the token allows the request: every caveat must.
    ///
    /// Beside the caveats: *read value* asks for a token whose first caveat is [`crate::Apps`] with exactly one
    /// app (or [`Exchanged`], and Apps the second), or whose first third-party caveat was answered by a proof
    /// of a trusted discharger. Neither can be added to a token that was minted without (its first caveat
    /// stays the first), so nobody narrows his way to values; a maker leaves no token without caveats, nor
    /// with an [`Exchanged`] alone, for then its holder would write the first ones.
    ///
    /// A boot asks for no grant here, because the discharger clears the asker's own token with this; where a
    /// boot grant is at hand it must be for this very boot. A boot that hands out values calls
    /// [`Self::clear_boot`].
    ///
    /// # Errors
    /// [`Denial`] with the first caveat that refuses.
    pub fn clear(&self, access: &Access<'_>) -> Result<(), Denial> {
        let mut first = None;
        let _ = self.ask(access, &mut |denial| {
            first = Some(denial);
            ControlFlow::Break(())
        });
        first.map_or(Ok(()), Err)
    }

    /// Everything that refuses the request, where [`Self::clear`] stops at the first: with all of it out of
    /// the way the request would pass. Empty: it does.
    pub fn denials(&self, access: &Access<'_>) -> Vec<Denial> {
        let mut denials = Vec::new();
        let _ = self.ask(access, &mut |denial| {
            denials.push(denial);
            ControlFlow::Continue(())
        });
        denials
    }

    /// Tells everything that refuses, in order, until told to stop.
    fn ask(&self, access: &Access<'_>, deny: &mut dyn FnMut(Denial) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut subject = None;
        let (mut granted, mut glass_broken) = (false, false);
        for placed in self.caveats() {
            let mut kind = placed.caveat.kind();
            let answer = match PetsemCaveat::of(placed.caveat) {
                Some(Ok(Some(PetsemCaveat::Subject(named)))) => match &subject {
                    Some(first) if *first != named => Err(Reason::SecondSubject),
                    Some(_) => Ok(()),
                    None => {
                        subject = Some(named);
                        Ok(())
                    }
                },
                Some(Ok(Some(PetsemCaveat::Ancestors(_) | PetsemCaveat::Exchanged(_)))) => Ok(()),
                Some(Ok(Some(PetsemCaveat::BootGrant(grant)))) => {
                    if !counts_as_grant(placed.origin) {
                        Err(Reason::Misplaced)
                    } else if std::mem::replace(&mut granted, true) {
                        Err(Reason::GrantRepeated)
                    } else if access.action == Action::Boot {
                        grant.grants(access)
                    } else {
                        Ok(())
                    }
                }
                Some(Ok(Some(PetsemCaveat::BreakGlass(grant)))) => {
                    if !counts_as_grant(placed.origin) {
                        Err(Reason::Misplaced)
                    } else if std::mem::replace(&mut glass_broken, true) {
                        Err(Reason::BreakGlassRepeated)
                    } else {
                        grant.grants(access)
                    }
                }
                Some(Ok(Some(known))) => known.clears(access),
                _ if placed.caveat.is_attestation() => Ok(()),
                _ => clear_caveat(access, placed.caveat).map_err(|refusal| {
                    kind = refusal.kind;
                    refusal.reason
                }),
            };
            if let Err(reason) = answer {
                deny(self.denied(placed, kind, reason))?;
            }
        }
        if access.action == Action::ReadValue && !self.made_for_one_app() && !self.vouched_for() {
            deny(self.lacks(Reason::ReadNeedsOneApp))?;
        }
        ControlFlow::Continue(())
    }

    /// [`Self::clear`] for a boot that hands out values: there must be a boot grant for it.
    ///
    /// # Errors
    /// [`Denial`] of [`Self::clear`], or that there is no grant.
    pub fn clear_boot(&self, access: &Access<'_>) -> Result<GrantEvidence, Denial> {
        self.clear(access)?;
        let evidence = self.boot_grant()?;
        evidence.grant.grants(access).map_err(|reason| self.lacks(reason))?;
        Ok(evidence)
    }

    /// The one boot grant in the proof that a trusted discharger made for the token's first third-party
    /// caveat.
    ///
    /// # Errors
    /// [`Denial`] when there is none, or more than one.
    pub fn boot_grant(&self) -> Result<GrantEvidence, Denial> {
        let wanted = |caveat| match caveat {
            PetsemCaveat::BootGrant(grant) => Some(grant),
            _ => None,
        };
        self.grant(wanted, Reason::GrantMissing, Reason::GrantRepeated)
    }

    /// The one break-glass grant in the proof that a trusted discharger made for the token's first
    /// third-party caveat. With it [`Self::clear`] lets values of that app be read until it ends, and
    /// nothing else.
    ///
    /// # Errors
    /// [`Denial`] when there is none, or more than one.
    pub fn break_glass_grant(&self) -> Result<GrantEvidence<BreakGlass>, Denial> {
        let wanted = |caveat| match caveat {
            PetsemCaveat::BreakGlass(grant) => Some(grant),
            _ => None,
        };
        self.grant(wanted, Reason::BreakGlassMissing, Reason::BreakGlassRepeated)
    }

    fn grant<Grant>(
        &self,
        wanted: impl Fn(PetsemCaveat) -> Option<Grant>,
        missing: Reason,
        repeated: Reason,
    ) -> Result<GrantEvidence<Grant>, Denial> {
        let mut found = None;
        for placed in self.caveats() {
            let Origin::Discharge { third_party: 0, discharge, proof: true, discharger: Some(discharger) } =
                placed.origin
            else {
                continue;
            };
            if let Some(Ok(Some(caveat))) = PetsemCaveat::of(placed.caveat)
                && let Some(grant) = wanted(caveat)
                && found.replace(GrantEvidence { grant, discharge, discharger }).is_some()
            {
                return Err(self.denied(placed, placed.caveat.kind(), repeated));
            }
        }
        found.ok_or_else(|| self.lacks(missing))
    }

    /// The token's own petsem caveats that read.
    pub(crate) fn own_petsem(&self) -> impl Iterator<Item = PetsemCaveat> {
        self.own.caveats.iter().filter_map(|caveat| PetsemCaveat::of(caveat)?.ok()?)
    }

    /// A denial because something is missing.
    pub(crate) fn lacks(&self, reason: Reason) -> Denial {
        Denial { token: self.id(), caveat: None, reason }
    }

    fn denied(&self, placed: PlacedCaveat<'_>, kind: u64, reason: Reason) -> Denial {
        let caveat = Some(DeniedCaveat { index: placed.index, kind, origin: placed.origin });
        Denial { token: self.id(), caveat, reason }
    }

    /// What its maker wrote first; a holder can only append.
    fn made_for_one_app(&self) -> bool {
        match self.own_first::<2>() {
            [Some(PetsemCaveat::Apps(apps)), _]
            | [Some(PetsemCaveat::Exchanged(_)), Some(PetsemCaveat::Apps(apps))] => apps.ids().len() == 1,
            _ => false,
        }
    }

    fn own_first<const N: usize>(&self) -> [Option<PetsemCaveat>; N] {
        std::array::from_fn(|index| PetsemCaveat::of(self.own.caveats.get(index)?)?.ok()?)
    }

    /// Needs the discharger's key: a third-party caveat that a holder appended has no trusted discharge.
    fn vouched_for(&self) -> bool {
        self.accepted.iter().any(|accepted| {
            accepted.third_party == 0 && accepted.discharger.is_some() && accepted.decoded.nonce.proof()
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token({})", self.id())
    }
}

fn placed(part: &Decoded, origin: Origin) -> impl Iterator<Item = PlacedCaveat<'_>> {
    part.caveats
        .iter()
        .enumerate()
        .filter(|(_, caveat)| !matches!(caveat, Caveat::ThirdParty(_) | Caveat::BindToParent(_)))
        .map(move |(index, caveat)| PlacedCaveat { caveat, index, origin })
}

fn counts_as_grant(origin: Origin) -> bool {
    matches!(origin, Origin::Discharge { third_party: 0, proof: true, discharger: Some(_), .. })
}

#[cfg(test)]
mod tests;
