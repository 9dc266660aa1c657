//! A verified token: the only token that a decision accepts.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::access::Access;
use crate::action::Action;
use crate::caveat::Caveat;
use crate::caveats::{Ancestors, BootGrant, BreakGlass, Exchanged, PetsemCaveat, Subject};
use crate::clear::clear_caveat;
use crate::decoded::{DecodedToken, earliest_end};
use crate::nonce::TokenId;
use crate::text::{Denial, DeniedCaveat, Origin, Reason};

/// A token whose MACs, bindings and discharges [`crate::UnverifiedToken::verify`] has verified.
/// [`Self::clear`] decides what it allows.
///
/// Nothing else makes one:
///
/// ```
/// use petsem_policy::{MacaroonKey, Token, UnverifiedToken, VerifyError};
/// fn verified(token: &UnverifiedToken, key: &MacaroonKey) -> Result<Token, VerifyError> {
///     token.verify(key, &[], &[])
/// }
/// ```
///
/// ```compile_fail,E0308
/// use petsem_policy::{Token, UnverifiedToken};
/// fn verified(token: UnverifiedToken) -> Token {
///     token
/// }
/// ```
pub struct Token {
    own: Arc<DecodedToken>,
    accepted: Vec<AcceptedDischarge>,
}

/// A discharge that verification accepted.
pub(crate) struct AcceptedDischarge {
    pub(crate) decoded: Arc<DecodedToken>,
    pub(crate) third_party: usize,
    pub(crate) discharger: Option<[u8; 16]>,
}

/// A valid grant, and the discharge that contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantEvidence<'t, Grant = BootGrant> {
    /// What was granted.
    pub grant: &'t Grant,
    /// The discharge that contains it.
    pub discharge: TokenId,
    /// The trusted discharger that made it. The caller decides whether it may speak for the grant's org.
    pub discharger: [u8; 16],
}

/// A caveat of a verified token, and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct PlacedCaveat<'t> {
    /// The caveat.
    pub caveat: &'t Caveat,
    /// Its index in the token or discharge, from 0.
    pub index: usize,
    /// The token or the discharge.
    pub origin: Origin,
}

impl Token {
    pub(crate) fn new(own: Arc<DecodedToken>, accepted: Vec<AcceptedDischarge>) -> Self {
        Self { own, accepted }
    }

    /// The identity, for audit records and revocations; the same for all attenuations of the token.
    pub fn id(&self) -> TokenId {
        self.own.id()
    }

    /// The id of the key that signed it.
    pub fn kid(&self) -> &[u8] {
        self.own.nonce.kid()
    }

    /// The accepted discharges, in the order of the third-party caveats.
    pub fn discharge_ids(&self) -> Vec<TokenId> {
        self.accepted.iter().map(|accepted| accepted.decoded.id()).collect()
    }

    /// The earliest end of any validity window of the token and its discharges, nested ones included, in unix
    /// seconds.
    pub fn expires_at(&self) -> Option<i64> {
        let discharges = self.accepted.iter().map(|accepted| &accepted.decoded);
        std::iter::once(&self.own).chain(discharges).filter_map(|part| earliest_end(&part.caveats)).min()
    }

    /// Refuses a time outside of a validity window of the token or of a discharge: the token then allows nothing.
    ///
    /// # Errors
    /// [`Denial`] with the first window that refuses.
    pub fn check_time(&self, now_unix_seconds: i64, now_nanos: u32) -> Result<(), Denial> {
        let access = Access::new(Action::List, now_unix_seconds, now_nanos);
        for placed in self.caveats().filter(|placed| matches!(placed.caveat, Caveat::ValidityWindow { .. })) {
            clear_caveat(&access, placed.caveat)
                .map_err(|refusal| self.denied(placed, refusal.kind, refusal.reason))?;
        }
        Ok(())
    }

    /// All caveats to clear, in order: those of the token, then those of its discharges. Without third-party
    /// caveats and bindings, which verification has handled, and without attestations of untrusted dischargers.
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

    /// How much work each decision is: one for each caveat, nested ones included, and for every 256 bytes of their lists.
    pub fn weight(&self) -> usize {
        self.caveats().map(|placed| placed.caveat.weight()).sum()
    }

    /// The token's own caveats as written, third-party ones and bindings included.
    pub fn own_caveats(&self) -> &[Caveat] {
        &self.own.caveats
    }

    /// The holder: the token's own first [`Subject`] in canonical form.
    pub fn subject(&self) -> Option<&Subject> {
        self.own_petsem().find_map(|caveat| match caveat {
            PetsemCaveat::Subject(subject) => Some(subject),
            _ => None,
        })
    }

    /// The tokens that it was minted from, nearest first: its own first [`Ancestors`].
    pub fn ancestors(&self) -> &[TokenId] {
        let first = self.own_petsem().find_map(|caveat| match caveat {
            PetsemCaveat::Ancestors(Ancestors(ids)) => Some(ids),
            _ => None,
        });
        first.map_or(&[], Vec::as_slice)
    }

    /// The JWT that the token was exchanged for: its first caveat, if the second is [`crate::Apps`] with exactly
    /// one app. The rule that it names must be evaluated again at each use.
    pub fn exchanged(&self) -> Option<&Exchanged> {
        match self.own_first::<2>() {
            [Some(PetsemCaveat::Exchanged(exchanged)), Some(PetsemCaveat::Apps(apps))]
                if apps.ids().len() == 1 =>
            {
                Some(exchanged)
            }
            _ => None,
        }
    }

    /// Whether the token allows the request: every caveat must allow it.
    ///
    /// Besides the caveats, *read value* requires that the first caveat is [`crate::Apps`] with exactly one app
    /// (or [`Exchanged`], and Apps the second), or that a proof of a trusted discharger answers the first
    /// third-party caveat. A holder cannot add either to a token minted without, because it can only append:
    /// attenuation never leads to values. Therefore an issuer must not issue a token without caveats, or with
    /// an [`Exchanged`] alone: its holder would write the caveats that count.
    ///
    /// A boot does not require a grant here, because the discharger clears the requester's token with this
    /// method. A boot grant, if present, must be for this boot. A boot that returns values calls
    /// [`Self::clear_boot`].
    ///
    /// # Errors
    /// [`Denial`] with the first caveat that refuses.
    pub fn clear(&self, access: &Access<'_>) -> Result<(), Denial> {
        let mut first = None;
        let _ = self.evaluate(access, &mut |denial| {
            first = Some(denial);
            ControlFlow::Break(())
        });
        first.map_or(Ok(()), Err)
    }

    /// Everything that refuses the request; [`Self::clear`] stops at the first. Empty if the request is allowed.
    pub fn denials(&self, access: &Access<'_>) -> Vec<Denial> {
        let mut denials = Vec::new();
        let _ = self.evaluate(access, &mut |denial| {
            denials.push(denial);
            ControlFlow::Continue(())
        });
        denials
    }

    /// Calls `deny` for everything that refuses, in order, until it breaks.
    fn evaluate(
        &self,
        access: &Access<'_>,
        deny: &mut dyn FnMut(Denial) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut subject = None;
        let (mut has_boot_grant, mut has_break_glass) = (false, false);
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
                    } else if std::mem::replace(&mut has_boot_grant, true) {
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
                    } else if std::mem::replace(&mut has_break_glass, true) {
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
        if access.action == Action::ReadValue && !self.is_minted_for_one_app() && !self.has_trusted_proof() {
            deny(self.missing(Reason::ReadNeedsOneApp))?;
        }
        ControlFlow::Continue(())
    }

    /// [`Self::clear`] for a boot that returns values: it requires a boot grant.
    ///
    /// # Errors
    /// [`Denial`] as [`Self::clear`], or if the grant is missing.
    pub fn clear_boot(&self, access: &Access<'_>) -> Result<GrantEvidence<'_>, Denial> {
        self.clear(access)?;
        let evidence = self.boot_grant()?;
        evidence.grant.grants(access).map_err(|reason| self.missing(reason))?;
        Ok(evidence)
    }

    /// The only boot grant in the proof of a trusted discharger for the token's first third-party caveat.
    ///
    /// # Errors
    /// [`Denial`] if there is none, or more than one.
    pub fn boot_grant(&self) -> Result<GrantEvidence<'_>, Denial> {
        self.grant(Reason::GrantMissing, Reason::GrantRepeated, |caveat| match caveat {
            PetsemCaveat::BootGrant(grant) => Some(grant),
            _ => None,
        })
    }

    /// The only break-glass grant in the proof of a trusted discharger for the token's first third-party caveat.
    /// With it, [`Self::clear`] allows reading values of that app until it expires, and nothing else.
    ///
    /// # Errors
    /// [`Denial`] if there is none, or more than one.
    pub fn break_glass_grant(&self) -> Result<GrantEvidence<'_, BreakGlass>, Denial> {
        self.grant(Reason::BreakGlassMissing, Reason::BreakGlassRepeated, |caveat| match caveat {
            PetsemCaveat::BreakGlass(grant) => Some(grant),
            _ => None,
        })
    }

    fn grant<'t, Grant: 't>(
        &'t self,
        missing: Reason,
        repeated: Reason,
        select: impl Fn(&'t PetsemCaveat) -> Option<&'t Grant>,
    ) -> Result<GrantEvidence<'t, Grant>, Denial> {
        let mut found = None;
        for placed in self.caveats() {
            let Origin::Discharge { third_party: 0, discharge, proof: true, discharger: Some(discharger) } =
                placed.origin
            else {
                continue;
            };
            if let Some(Ok(Some(caveat))) = PetsemCaveat::of(placed.caveat)
                && let Some(grant) = select(caveat)
                && found.replace(GrantEvidence { grant, discharge, discharger }).is_some()
            {
                return Err(self.denied(placed, placed.caveat.kind(), repeated));
            }
        }
        found.ok_or_else(|| self.missing(missing))
    }

    /// The token's own petsem caveats in canonical form.
    pub(crate) fn own_petsem(&self) -> impl Iterator<Item = &PetsemCaveat> {
        self.own.caveats.iter().filter_map(|caveat| PetsemCaveat::of(caveat)?.ok()?)
    }

    /// A denial because something is missing.
    pub(crate) fn missing(&self, reason: Reason) -> Denial {
        Denial { token: self.id(), caveat: None, reason }
    }

    fn denied(&self, placed: PlacedCaveat<'_>, kind: u64, reason: Reason) -> Denial {
        let caveat = Some(DeniedCaveat { index: placed.index, kind, origin: placed.origin });
        Denial { token: self.id(), caveat, reason }
    }

    /// The issuer wrote the first caveats; a holder can only append.
    fn is_minted_for_one_app(&self) -> bool {
        match self.own_first::<2>() {
            [Some(PetsemCaveat::Apps(apps)), _]
            | [Some(PetsemCaveat::Exchanged(_)), Some(PetsemCaveat::Apps(apps))] => apps.ids().len() == 1,
            _ => false,
        }
    }

    fn own_first<const N: usize>(&self) -> [Option<&PetsemCaveat>; N] {
        std::array::from_fn(|index| PetsemCaveat::of(self.own.caveats.get(index)?)?.ok()?)
    }

    /// This requires the discharger's key: a third-party caveat that a holder appended has no trusted discharge.
    fn has_trusted_proof(&self) -> bool {
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

fn placed(part: &DecodedToken, origin: Origin) -> impl Iterator<Item = PlacedCaveat<'_>> {
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
