//! Requests: routes, paths, queries, bodies, and a server that cannot take more of them.

use std::fmt::Display;

use petsem_api::{ErrorCode, ParseError};
use petsem_engine::Failure;

pub(crate) fn no_such_route() -> Failure {
    Failure::new(ErrorCode::NoRoute, "there is no such route; /openapi.json lists all")
}

pub(crate) fn method_not_allowed() -> Failure {
    Failure::new(ErrorCode::MethodNotAllowed, "method not allowed on this route; see /openapi.json")
}

pub(crate) fn too_many_requests() -> Failure {
    Failure::new(ErrorCode::Busy, "too many requests at once; nothing was changed; try again").retry_after(1)
}

/// An address, a token or an issuer has as many requests in progress as it may have.
pub(crate) fn share_of_requests_taken() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        "this token, its issuer or this address has its share of the requests that the server handles at once; nothing \
         was changed; wait for some of them to end, and try again",
    )
    .retry_after(1)
}

/// A body without a verified sender gave its place to newer ones.
pub(crate) fn body_evicted() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        "too many requests at once, and the body of this one did not arrive; nothing was changed; try again",
    )
    .retry_after(1)
}

/// Bodies that arrive hold all the memory that they may.
pub(crate) fn no_room_for_body() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        "large bodies of this token, its issuer or this address, or of all clients together, fill the memory that they \
         may use; nothing was changed; send fewer at once",
    )
    .retry_after(1)
}

/// The request is cut off, perhaps after its change was committed.
pub(crate) fn cut_off_by_sealing() -> Failure {
    Failure::new(
        ErrorCode::Stopping,
        "an operator seals this server; check whether the request was carried out",
    )
}

pub(crate) fn path_not_utf8() -> Failure {
    Failure::new(
        ErrorCode::BadName,
        "the path is not UTF-8 once its % escapes are decoded; names and ids are letters, digits and a few signs",
    )
}

pub(crate) fn invalid_path_parameter(name: &str, error: &dyn Display) -> Failure {
    Failure::new(ErrorCode::BadName, format!("{name} in the path: {error}"))
}

/// A query without a known parameter.
pub(crate) fn invalid_query() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "a query parameter is missing, or one is not UTF-8; see /openapi.json",
    )
}

/// A misspelled parameter would not narrow. `name` is given if it may be repeated; no known one means that the route
/// takes none.
pub(crate) fn unknown_query_parameter(name: Option<&str>, known: &[&str]) -> Failure {
    let name = name.map_or_else(String::new, |name| format!(" `{name}`"));
    let known = match known {
        [] => "this route takes none".to_owned(),
        known => format!("known are {}", known.join(", ")),
    };
    Failure::new(
        ErrorCode::BadRequest,
        format!("unknown query parameter{name}; {known}; nothing was changed; see /openapi.json"),
    )
}

pub(crate) fn repeated_query_parameter(name: &str) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("query parameter `{name}` is given twice; give it once; see /openapi.json"),
    )
}

/// One of the given parameters, all of which are known.
pub(crate) fn wrong_query_value(given: &[&str]) -> Failure {
    let given = given.join(" or ");
    Failure::new(
        ErrorCode::BadRequest,
        format!("a wrong value of query parameter {given}; see /openapi.json for its type"),
    )
}

pub(crate) fn not_one_org_in_query() -> Failure {
    Failure::new(ErrorCode::BadRequest, "a list of apps is of one org; send ?org=NAME")
}

pub(crate) fn not_json(media_type: &str) -> Failure {
    unsupported_media_type("the Content-Type is not JSON", media_type)
}

pub(crate) fn not_a_form(media_type: &str) -> Failure {
    unsupported_media_type("the Content-Type is not that of a form", media_type)
}

fn unsupported_media_type(fact: &str, wanted: &str) -> Failure {
    Failure::new(ErrorCode::UnsupportedMediaType, format!("{fact}; send `Content-Type: {wanted}`"))
}

pub(crate) fn invalid_body(error: &ParseError) -> Failure {
    Failure::new(error.code(), format!("{error}; nothing was changed; see /openapi.json"))
}

pub(crate) fn body_too_large(limit: usize) -> Failure {
    Failure::new(
        ErrorCode::BodyTooLarge,
        format!("the body is over {limit} bytes; nothing was changed; send less at once"),
    )
}

pub(crate) fn body_incomplete() -> Failure {
    Failure::new(ErrorCode::BadRequest, "the body is incomplete; nothing was changed; send it again")
}

pub(crate) fn body_timed_out(seconds: u64) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("the body did not arrive within {seconds} seconds; nothing was changed; send it again"),
    )
}
