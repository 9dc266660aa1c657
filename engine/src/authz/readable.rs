//! The right to read an app's values, as a type.
//!
//! A [`ReadableApp`] is constructed from the evidence of one of the three reads of design §4: a boot, a workload read,
//! break-glass. Each constructor takes what only the decision for that read yields, and there are no other constructors.
//! A second HTTP API therefore cannot read without the decision. (The design writes `Readable<App>`; only apps are
//! readable, so the type has no parameter.)

use std::fmt;

use petsem_api::SecretName;
use petsem_policy::{BreakGlass, GrantEvidence};

use crate::authz::workload::Workload;
use crate::error::Failure;
use crate::tenancy::found::FoundApp;

/// An app whose values this request may read, after a decision.
pub(crate) struct ReadableApp<'p> {
    app: FoundApp,
    scope: Scope<'p>,
}

/// Which values may be read.
enum Scope<'p> {
    All,
    /// The values that the rule and the token allow.
    Workload(Workload<'p>),
}

impl<'p> ReadableApp<'p> {
    /// For a boot whose grant was accepted and whose proof was re-evaluated.
    pub(crate) fn by_boot(app: FoundApp, _grant: &GrantEvidence<'_>) -> Self {
        Self { app, scope: Scope::All }
    }

    /// For break-glass that a second person approved.
    pub(crate) fn by_break_glass(app: FoundApp, _evidence: &GrantEvidence<'_, BreakGlass>) -> Self {
        Self { app, scope: Scope::All }
    }

    /// For a workload read that a rule of the app's policy allows.
    pub(crate) fn by_workload(app: FoundApp, workload: Workload<'p>) -> Self {
        Self { app, scope: Scope::Workload(workload) }
    }

    /// The app.
    pub(crate) fn app(&self) -> &FoundApp {
        &self.app
    }

    /// Whether the read covers every secret.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.scope, Scope::All)
    }

    /// Refuses to decide on so many names if that is too much work.
    pub(crate) fn check_work(&self, names: usize) -> Result<(), Failure> {
        match &self.scope {
            Scope::All => Ok(()),
            Scope::Workload(workload) => workload.check_work(names),
        }
    }

    /// Whether the read covers this secret.
    pub(crate) fn may_read(&self, name: &SecretName) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Workload(workload) => workload.may_read(&self.app, name),
        }
    }
}

impl fmt::Debug for ReadableApp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadableApp({})", self.app.id)
    }
}
