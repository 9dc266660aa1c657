//! Between HTTP and the engine. A route is declared once (`route`): the router, the limits of bodies and the OpenAPI
//! document come from its declaration. A request comes in through `request` and leaves through `respond`.

pub(crate) mod body_bytes;
pub(crate) mod body_queue;
mod call;
mod components;
pub(crate) mod counters;
mod credential;
mod description;
mod finish;
mod limits;
mod log_limit;
pub(crate) mod metrics;
mod openapi;
pub(crate) mod permits;
mod progress;
mod query;
mod request;
mod respond;
mod route;
pub(crate) mod state;
pub(crate) mod tag;

pub(crate) use call::{Call, NoBody};
pub(crate) use components::Components;
pub(crate) use credential::{Anonymous, HostAlone, HostAndDischarge};
pub(crate) use limits::BodyLimit;
pub(crate) use openapi::{DischargerId, PollSecret, document};
pub(crate) use request::Incoming;
pub(crate) use respond::{
    Answered, NoContent, Reply, Statuses, answer, error_body, json, log_refusal, refusal, refuse, request_id,
    written_json,
};
pub(crate) use route::{ALWAYS, Route};
