//! A [`Lab`] with the content of `petsem dev`: the org `demo`, its app `shop`, an issuer with a known key, the tokens
//! of an operator, an owner and a host. Requests are made as the server makes them: a verified credential, the
//! operation, then a durable audit line.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer as _, SigningKey};
use petsem_api::{
    App, AppRef, Approval, Approve, BootResponse, BulkUpdate, DischargeRequest, ErrorCode, MintedToken, Org,
    PutIssuer, RenewResponse, RevokeRequest, Revoked, SecretList, SetSecretResponse, WipedBuffer, from_json,
};
use petsem_policy::{Caveat, Macaroon, UnverifiedToken};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Lab;
use crate::approvals::request::Requested;
use crate::authz::decide::Principal;
use crate::boot::boot::Boot;
use crate::clock::Timestamp;
use crate::development::{DevelopmentPlan, DevelopmentTokens, development_policy};
use crate::engine::Engine;
use crate::error::Failure;
use crate::request::{AuditRecord, Peer};
use crate::secrets::read::ReadQuery;

pub(crate) const ISSUER: &str = "https://issuer.petsem.test";
pub(crate) const HOST: &str = "dev";

/// A populated installation.
pub(crate) struct Demo {
    pub(crate) lab: Lab,
    pub(crate) tokens: DevelopmentTokens,
}

impl Demo {
    pub(crate) async fn new() -> Self {
        let lab = Lab::new().await;
        let plan = DevelopmentPlan {
            org: "demo".parse().unwrap(),
            app: "shop".parse().unwrap(),
            host: HOST.parse().unwrap(),
            issuer: issuer(),
        };
        let tokens = lab.engine.populate_development(plan).await.unwrap();
        Self { lab, tokens }
    }

    /// The same installation, after a stop and a start.
    pub(crate) async fn restarted(self) -> Self {
        Self { lab: self.lab.restarted().await, tokens: self.tokens }
    }

    /// Makes a request with tokens.
    pub(crate) async fn call<T>(
        &self,
        tokens: &str,
        operation: impl AsyncFnOnce(&Engine, &mut AuditRecord, &Principal, Timestamp) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.request(async |engine, audit, now| {
            let principal = engine.authenticate(Some(&flyv1(tokens)), audit).await?;
            operation(engine, audit, &principal, now).await
        })
        .await
    }

    /// Creates an org, as the operator.
    pub(crate) async fn org(&self, name: &str) -> Result<Org, Failure> {
        let name = name.parse().unwrap();
        self.call(&self.tokens.operator, async |engine, audit, principal, now| {
            engine.create_org(audit, principal, &name, now).await
        })
        .await
    }

    /// Creates an app in an org, as the operator. It has no policy.
    pub(crate) async fn app(&self, org: &str, name: &str) -> Result<App, Failure> {
        let wanted = body(json!({"org": org, "name": name}));
        self.call(&self.tokens.operator, async |engine, audit, principal, now| {
            engine.create_app(audit, principal, wanted, now).await
        })
        .await
    }

    /// Sets the policy of an app, as the owner of its org; returns its version.
    pub(crate) async fn put_policy(&self, app: &str, policy: Value) -> Result<u64, Failure> {
        let wanted = body(json!({ "policy": policy }));
        let set = self.call(&self.tokens.owner, async |engine, audit, principal, now| {
            engine.put_policy(audit, principal, &app_ref(app), wanted, now).await
        });
        let Requested::Done(set) = set.await? else { panic!("no org guards its policies") };
        Ok(set.version)
    }

    /// Mints a token from a token.
    pub(crate) async fn mint(&self, parent: &str, wanted: Value) -> Result<MintedToken, Failure> {
        self.call(parent, async |engine, audit, principal, now| {
            engine.create_token(audit, principal, &body(wanted), now).await
        })
        .await
    }

    /// Requests to mint the token of a host.
    pub(crate) async fn request_enrollment(&self, token: &str, hosts: &[&str]) -> Result<Approval, Failure> {
        let wanted = body(json!({"hosts": hosts, "reason": "a new host"}));
        self.call(token, async |engine, audit, principal, now| {
            engine.request_enrollment(audit, principal, &wanted, now).await
        })
        .await
    }

    /// Lets the operator mint the token of a host: the seal approves.
    pub(crate) async fn enroll(&self, host: &str) {
        let request = self.request_enrollment(&self.tokens.operator, &[host]).await.unwrap().id;
        self.lab.engine.approve_with_seal("test", request, &Approve::default()).await.unwrap();
    }

    pub(crate) async fn revoke(&self, token: &str, what: &RevokeRequest) -> Result<Revoked, Failure> {
        self.call(token, async |engine, audit, principal, now| {
            engine.revoke(audit, principal, what, now).await
        })
        .await
    }

    /// Lists the secrets of an app, without values.
    pub(crate) async fn list(&self, tokens: &str, app: &str) -> Result<SecretList, Failure> {
        self.secrets(&flyv1(tokens), app, false).await
    }

    /// Reads the values of an app, with a JWT of a developer.
    pub(crate) async fn read(&self, app: &str) -> Result<SecretList, Failure> {
        self.read_with(app, json!({})).await
    }

    /// [`Self::read`], with these claims added to the JWT's, or in place of them.
    pub(crate) async fn read_with(&self, app: &str, claims: Value) -> Result<SecretList, Failure> {
        self.secrets(&self.jwt([json!({"sub": "developer"}), claims]), app, true).await
    }

    async fn secrets(&self, header: &str, app: &str, show_values: bool) -> Result<SecretList, Failure> {
        let query = ReadQuery { show_values, ..ReadQuery::default() };
        self.request(async |engine, audit, now| {
            let reader = engine.reader(Some(header), audit).await?;
            engine.list_secrets(audit, &reader, &app_ref(app), &query, now).await
        })
        .await
    }

    /// Sets and deletes secrets of an app together; returns the app version.
    pub(crate) async fn set(&self, tokens: &str, app: &str, values: Value) -> Result<u64, Failure> {
        let wanted: BulkUpdate = body(json!({ "values": values }));
        self.call(tokens, async |engine, audit, principal, now| {
            engine.update_secrets(audit, principal, &app_ref(app), &wanted, now).await
        })
        .await
        .map(|done| done.version)
    }

    /// Sets the secret `name` of an app.
    pub(crate) async fn set_one(
        &self,
        tokens: &str,
        app: &str,
        name: &str,
    ) -> Result<SetSecretResponse, Failure> {
        let wanted = body(json!({"value": "x"}));
        self.call(tokens, async |engine, audit, principal, now| {
            engine.set_secret(audit, principal, &app_ref(app), name.parse().unwrap(), &wanted, now).await
        })
        .await
    }

    /// The discharge of a boot, proven by a JWT.
    pub(crate) async fn discharge(&self, app: &str, machine: &str) -> Result<String, Failure> {
        self.discharge_with(app, machine, json!({})).await
    }

    /// [`Self::discharge`], with these claims added to the JWT's, or in place of them.
    pub(crate) async fn discharge_with(
        &self,
        app: &str,
        machine: &str,
        claims: Value,
    ) -> Result<String, Failure> {
        let proof = self.boot_jwt(app, machine, claims);
        self.ask_discharge(&proof, json!({"app": app, "machine": machine})).await
    }

    /// The header of a JWT that proves this boot, with these claims added to it, or in place of its own.
    pub(crate) fn boot_jwt(&self, app: &str, machine: &str, claims: Value) -> String {
        self.jwt([boot_claims(app, machine), claims])
    }

    /// The discharge of the host token's ticket, for the proof in a header. `named` has the fields beside the ticket.
    pub(crate) async fn ask_discharge(&self, proof: &str, named: Value) -> Result<String, Failure> {
        let host = UnverifiedToken::parse(&self.tokens.host).unwrap();
        let mut wanted = named;
        wanted["ticket"] = json!(BASE64.encode(host.undischarged(&[]).first().unwrap().1));
        let wanted: DischargeRequest = body(wanted);
        self.request(async |engine, audit, now| {
            let proof = engine.boot_proof(audit, Some(proof), now).await?;
            engine.discharge(audit, &proof, &wanted, now).await
        })
        .await
        .map(|answer| answer.discharge.unwrap())
    }

    /// Boots with the host's token and this discharge.
    pub(crate) async fn boot(
        &self,
        app: &str,
        machine: &str,
        discharge: &str,
    ) -> Result<BootResponse, Failure> {
        self.boot_later(app, machine, discharge, 0).await
    }

    /// [`Self::boot`], this many seconds later.
    pub(crate) async fn boot_later(
        &self,
        app: &str,
        machine: &str,
        discharge: &str,
        later: u64,
    ) -> Result<BootResponse, Failure> {
        let boot =
            async |engine: &Engine, audit: &mut AuditRecord, boot: &Boot<'_>| engine.boot(audit, boot).await;
        let answer = self.on_host(app, machine, discharge, later, boot).await?;
        let mut json = WipedBuffer::default();
        answer.write(&mut json).unwrap();
        Ok(serde_json::from_slice(&json.into_inner()).unwrap())
    }

    /// Renews this discharge with the host's token.
    pub(crate) async fn renew(
        &self,
        app: &str,
        machine: &str,
        discharge: &str,
    ) -> Result<RenewResponse, Failure> {
        let renew = async |engine: &Engine, audit: &mut AuditRecord, boot: &Boot<'_>| {
            engine.renew_boot(audit, boot).await
        };
        self.on_host(app, machine, discharge, 0, renew).await
    }

    async fn on_host<T>(
        &self,
        app: &str,
        machine: &str,
        discharge: &str,
        later: u64,
        operation: impl AsyncFnOnce(&Engine, &mut AuditRecord, &Boot<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let header = flyv1(&format!("{},{discharge}", self.tokens.host));
        self.request(async |engine, audit, now| {
            let now = Timestamp::from_millis(now.millis() + later * 1000);
            let verified = engine.host_token(Some(&header), audit, &peer(), now).await?;
            let (app, machine) = (app_ref(app), machine.parse().unwrap());
            let boot = Boot {
                verified: &verified,
                app: &app,
                machine: &machine,
                min_version: None,
                peer: &peer(),
                now,
            };
            operation(engine, audit, &boot).await
        })
        .await
    }

    /// The audit line of the last request.
    pub(crate) fn last_line(&self) -> Value {
        // Checkpoints belong to no request.
        self.lines().into_iter().rfind(|line| line["request_id"].is_string()).unwrap()
    }

    /// The lines of the audit log.
    pub(crate) fn lines(&self) -> Vec<Value> {
        // The answer to a change does not wait for its line.
        while self.lab.engine.pending_lines() > 0 {
            std::thread::yield_now();
        }
        let files = std::fs::read_dir(self.lab.directory.path().join("audit")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let mut bytes = files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>().concat();
        // What is preallocated is zeros.
        bytes.retain(|byte| *byte != 0);
        let lines = String::from_utf8(bytes).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn request<T>(
        &self,
        operation: impl AsyncFnOnce(&Engine, &mut AuditRecord, Timestamp) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let engine = &self.lab.engine;
        let now = engine.now();
        let mut audit = AuditRecord::new(now, &peer(), "test");
        let result = operation(engine, &mut audit, now).await;
        engine.conclude(&mut audit, result).await
    }

    /// The header of a JWT of the issuer, valid for five minutes. Later claims replace earlier ones.
    fn jwt(&self, claims: [Value; 2]) -> String {
        let engine = &self.lab.engine;
        let now = engine.now().seconds();
        let mut all = json!({"iss": ISSUER, "aud": engine.settings.name, "iat": now, "exp": now + 300});
        for claims in claims {
            all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        }
        let part = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&all));
        let signature = issuer_key().sign(signed.as_bytes()).to_bytes();
        format!("Bearer {signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

/// A refused request's error code.
pub(crate) fn code<T>(result: Result<T, Failure>) -> Result<T, ErrorCode> {
    result.map_err(|failure| failure.code())
}

fn boot_claims(app: &str, machine: &str) -> Value {
    json!({"sub": "orchestrator", "petsem_app": app, "petsem_machine": machine, "petsem_host": HOST})
}

/// A token with caveats that its holder appended.
pub(crate) fn appended(token: &str, caveats: impl IntoIterator<Item = Caveat>) -> String {
    let mut macaroon = Macaroon::from_token(&UnverifiedToken::parse(token).unwrap()).unwrap();
    macaroon.add(caveats).unwrap();
    macaroon.to_text().to_string()
}

/// The policy of the app `shop`.
pub(crate) fn policy() -> Value {
    development_policy(ISSUER)
}

/// The request of a body.
pub(crate) fn body<T: DeserializeOwned>(body: Value) -> T {
    from_json(body.to_string().as_bytes()).unwrap()
}

pub(crate) fn app_ref(app: &str) -> AppRef {
    app.parse().unwrap()
}

pub(crate) fn flyv1(tokens: &str) -> String {
    format!("FlyV1 {tokens}")
}

fn peer() -> Peer {
    Peer { source: "test".to_owned(), address: None, host: Some(HOST.parse().unwrap()) }
}

/// The registration of the issuer.
pub(crate) fn issuer() -> PutIssuer {
    let public = BASE64URL_NOPAD.encode(issuer_key().verifying_key().as_bytes());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": public});
    PutIssuer {
        issuer: ISSUER.to_owned(),
        algorithms: vec!["EdDSA".to_owned()],
        keys: Some(json!({"keys": [jwk]})),
        ..PutIssuer::default()
    }
}

fn issuer_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}
