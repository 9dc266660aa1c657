//! The problems that `petsem operator status` lists, each with the command to type.

pub(crate) const SERVER_SEALED: &str = "the server is sealed; unseal it with `petsem operator unseal`";
pub(crate) const NO_SERVER: &str = "no server runs on this node; start one with `petsem server`";
pub(crate) const NO_SEAL_OPENS: &str = "no configured seal opens the store, so a server would start sealed; configure the \
     seal that the store was created with under [[seal]]";
pub(crate) const ONE_SEAL: &str = "the store has only one seal: if it is lost, all data is lost; add another with `petsem operator seal add`";

pub(crate) fn would_start_sealed(people: &[String]) -> String {
    format!("a server will start sealed; then run `petsem operator unseal` with {}", people.join(", or "))
}

pub(crate) fn seals_never_tried(descriptions: &[&str]) -> String {
    format!(
        "these seals have never opened the store: {}; try them with `petsem operator seal verify`",
        descriptions.join(", ")
    )
}
