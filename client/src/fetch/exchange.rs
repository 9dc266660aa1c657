//! A JWT in exchange for a macaroon (RFC 8693).

use hyper::Method;
use hyper::header::HeaderValue;
use petsem_api::{AppRef, ExchangedToken};
use zeroize::Zeroizing;

use super::client::{Client, exchange, outgoing};
use super::credentials::Credentials;
use crate::error::CallError;

/// The form without its values, which need no escapes: the alphabets of app names, ids and JWTs have none to escape.
const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt";

impl Client {
    /// A macaroon that reads what a rule of the app's policy allows this JWT to read, and expires with the JWT
    /// (`POST /v1/token`). petsem stores nothing of an exchange, so it is retried like a read.
    ///
    /// # Errors
    /// [`CallError`]: no token, or the credential is not a JWT.
    pub async fn exchange(&self, app: &AppRef, jwt: &Credentials) -> Result<ExchangedToken, CallError> {
        let text = jwt.expose_text();
        let is_jwt = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_jwt {
            return Err(CallError::BadCredentials);
        }
        let app = app.to_string();
        let mut form = Zeroizing::new(Vec::with_capacity(FORM.len() + app.len() + text.len() + 32));
        for part in [FORM, "&audience=", &app, "&subject_token=", text] {
            form.extend_from_slice(part.as_bytes());
        }
        let mut sent = outgoing(Method::POST, "/v1/token".to_owned(), None, Some(form), true)?;
        sent.content = HeaderValue::from_static("application/x-www-form-urlencoded");
        exchange(&self.petsem, sent).await.map(|(_, token)| token)
    }
}
