//! Commands.

use super::{FlyAccess, FlyErrors};
use petsem_policy::CommandArgs;

pub(super) fn clears(access: &FlyAccess<'_>, allowed: &[CommandArgs]) -> Result<(), FlyErrors> {
    let command = access.command.as_deref().ok_or(FlyErrors::RESOURCE_UNSPECIFIED)?;
    let matches = |entry: &CommandArgs| {
        let args = entry.args.as_deref().unwrap_or_default();
        let begins = command.len() >= args.len() && args.iter().zip(command).all(|(arg, word)| arg == word);
        begins && (!entry.exact || args.len() == command.len())
    };
    if allowed.iter().any(matches) { Ok(()) } else { Err(FlyErrors::FOR_RESOURCE) }
}
