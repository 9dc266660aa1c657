//! The ids of tokens: those of `policy`, as the api writes them.

use petsem_api::TokenUuid;
use petsem_policy::TokenId;

/// The api's id of a token.
pub(crate) fn token_uuid(id: TokenId) -> TokenUuid {
    TokenUuid::from_bytes(*id.as_bytes())
}
