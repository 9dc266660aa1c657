//! `POST /v1/token`, as OAuth has it (RFC 8693, RFC 6749 §5): a form in, and refusals whose `error` is one of its codes.
//!
//! The JWT in the form is the credential, so the body is read before anything is known of the client; it is small.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    ACCESS_TOKEN_TYPE, AppRef, ErrorBody, ErrorCode, ExchangeRequest, ExchangedToken, ID_TOKEN_TYPE,
    JWT_TYPE, TOKEN_EXCHANGE,
};
use petsem_engine::{AuditRecord, Failure};

use crate::http::{ALWAYS, Anonymous, BodyLimit, Incoming, Route, answer, log_refusal, tag};
use crate::messages;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/token")
            .named("exchangeToken", tag::TOKENS, "Exchange a JWT for a token that reads (RFC 8693)")
            .described(
                "The JWT in the form is the credential: of a registered issuer, accepted by a rule of the app's policy that \
                 allows reads, at most 15 minutes from `iat` to `exp`, or up to a day if the rule and the registration say \
                 so. The first such rule counts. It is evaluated again at \
                 each use of the token, and so are revocations of the JWT and of its subject. The token reads the secrets of \
                 the app as the JWT itself would, and does nothing else.\n\n\
                 Refusals have the status that OAuth requires and both codes: `error` is one of `invalid_request`, \
                 `unsupported_grant_type`, `invalid_target` (the app), `invalid_scope`, `server_error`, \
                 `temporarily_unavailable`; `error_description` is the text for people; `status` is petsem's own code. What \
                 is 401, 403 or 404 elsewhere is 400 here.",
            )
            .limited(BodyLimit::Exchange)
            .from::<Anonymous>()
            .taking_form::<ExchangeRequest>()
            .giving::<ExchangedToken>(StatusCode::OK, "The token, shown once.")
            .refuses(ALWAYS)
            .refuses(&[
                ErrorCode::TokenMalformed,
                ErrorCode::TokenInvalid,
                ErrorCode::TokenExpired,
                ErrorCode::Revoked,
                ErrorCode::ClockSkew,
                ErrorCode::PolicyDenied,
                ErrorCode::IssuerUnavailable,
            ])
            .with_statuses(oauth_status)
            .raw(exchange),
    ]
}

async fn exchange(call: Incoming) -> Response {
    let mut audit = call.audit("token.exchange");
    let (oauth, result) = match exchange_token(&call, &mut audit).await {
        Ok(token) => (OAuthCode::InvalidRequest, Ok(token)),
        Err(refusal) => (refusal.oauth, Err(refusal.failure)),
    };
    let id = audit.request_id();
    match call.engine.conclude(&mut audit, result).await {
        Ok(token) => answer(StatusCode::OK, id, None, &token),
        Err(failure) => {
            log_refusal(&call.state, id, &failure);
            let (status, oauth) = oauth.of(&failure);
            let body = ErrorBody {
                error: oauth.as_str().to_owned(),
                error_description: Some(failure.external().to_owned()),
                status: failure.code(),
                request_id: Some(id),
            };
            answer(status, id, failure.retry_after_seconds(), &body)
        }
    }
}

async fn exchange_token(call: &Incoming, audit: &mut AuditRecord) -> Result<ExchangedToken, Refusal> {
    let wanted = Wanted::of(call.form(BodyLimit::Exchange).await?)?;
    let exchanged = call.engine.exchange(audit, &wanted.jwt, &wanted.app, call.now).await;
    exchanged.map_err(|failure| match failure.code() {
        // The app is not there, or refuses: RFC 8693 §2.2.2.
        ErrorCode::PolicyDenied => Refusal { oauth: OAuthCode::InvalidTarget, failure },
        _ => failure.into(),
    })
}

/// What the form asks for.
struct Wanted {
    jwt: String,
    app: AppRef,
}

impl Wanted {
    fn of(form: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut fields = Fields(form);
        match fields.take("grant_type")?.as_deref() {
            Some(TOKEN_EXCHANGE) => {}
            None => return Err(messages::no_grant_type().into()),
            Some(_) => {
                return Err(OAuthCode::UnsupportedGrantType.with(messages::unsupported_grant_type()));
            }
        }
        match fields.take("subject_token_type")?.as_deref() {
            Some(JWT_TYPE | ID_TOKEN_TYPE) => {}
            _ => return Err(messages::unsupported_subject_token_type().into()),
        }
        let jwt = fields.take("subject_token")?.ok_or_else(messages::no_subject_token)?;
        if fields.take("requested_token_type")?.is_some_and(|wanted| wanted != ACCESS_TOKEN_TYPE) {
            return Err(messages::unsupported_requested_token_type().into());
        }
        if fields.take("actor_token")?.is_some() || fields.take("actor_token_type")?.is_some() {
            return Err(messages::actor_tokens_not_supported().into());
        }
        if fields.take("scope")?.is_some() {
            // Ignored, it would seem to narrow.
            return Err(OAuthCode::InvalidScope.with(messages::scope_not_supported()));
        }
        let target = || OAuthCode::InvalidTarget.with(messages::one_app_in_audience());
        if fields.take("resource").map_err(|_| target())?.is_some() {
            return Err(target());
        }
        let audience = fields.take("audience").map_err(|_| target())?;
        let app = audience.and_then(|text| text.parse().ok()).ok_or_else(target)?;
        Ok(Self { jwt, app })
    }
}

/// The form. What is empty counts as left out, and what is not known is ignored (RFC 6749 §3.2).
struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field; twice it is refused.
    fn take(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut found = self.0.iter_mut().filter(|(known, value)| known == name && !value.is_empty());
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(messages::form_field_repeated(name).into()),
            (Some((_, value)), None) => Ok(Some(std::mem::take(value))),
            (None, _) => Ok(None),
        }
    }
}

/// The codes of RFC 6749 §5.2 and RFC 8693 §2.2.2 that are answered here. Where none fits, two of §4.1.2.1 do.
#[derive(Clone, Copy)]
enum OAuthCode {
    InvalidRequest,
    UnsupportedGrantType,
    InvalidTarget,
    InvalidScope,
    ServerError,
    TemporarilyUnavailable,
}

impl OAuthCode {
    fn with(self, failure: Failure) -> Refusal {
        Refusal { oauth: self, failure }
    }

    /// The status and the code of a refusal. What is wrong with a JWT is `invalid_request`, and 400 (RFC 8693 §2.2.2).
    fn of(self, failure: &Failure) -> (StatusCode, Self) {
        let status =
            StatusCode::from_u16(oauth_status(failure.code())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let oauth = match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::TemporarilyUnavailable,
            status if status.is_server_error() => Self::ServerError,
            _ => self,
        };
        (status, oauth)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// OAuth has 400 alone for what is wrong with a request or a credential.
fn oauth_status(code: ErrorCode) -> u16 {
    match code.http_status() {
        401 | 403 | 404 => 400,
        other => other,
    }
}

/// A refusal in the terms of both.
struct Refusal {
    oauth: OAuthCode,
    failure: Failure,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { oauth: OAuthCode::InvalidRequest, failure }
    }
}
