//! The published ciphertexts. `tests/vectors/ciphertexts.json` is a contract: its entries must open, and the
//! same randomness must give the same bytes. `PETSEM_BLESS=1` rewrites it.

use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use petsem_keys::{
    AppKek, AuditMacKey, AuditRatchetKey, AuditSigningKey, DigestKey, DischargerKey, HostCacheContext,
    HostCacheKey, Keyring, KeyringKey, PollKey, RecordContext, RootKey, RowContext, RowMacKey, SealContext,
    SealKey, SealedRef, SecretKeyMaterial, SigningKey, WrapContext, WrappedByAppKek, WrappedByKeyring,
    verify_checkpoint,
};
use serde_json::{Value, json};

use crate::published::bless;
use crate::seeded::{FixedBytes, SeededRng};

#[test]
fn the_same_randomness_gives_the_published_bytes() {
    let generated = generate();
    bless(&path(), &generated);
    assert_eq!(published(), generated);
}

#[test]
fn every_published_wrap_opens_to_its_key() {
    let vectors = published();
    for vector in vectors["wraps"].as_array().unwrap() {
        let opened = match text(vector, "role") {
            "root key under a seal" => open_root(vector),
            "keyring key" => open_keyring_key(vector),
            "app KEK" => open_from_keyring(vector, |key| {
                AppKek::generate(&mut FixedBytes(key), id(vector, "id"), version(vector))
            }),
            "signing key" => open_from_keyring(vector, |key| SigningKey::generate(&mut FixedBytes(key))),
            "discharger key" => {
                open_from_keyring(vector, |key| DischargerKey::generate(&mut FixedBytes(key)))
            }
            "row-MAC key" => open_from_keyring(vector, |key| RowMacKey::generate(&mut FixedBytes(key))),
            "audit MAC key" => open_from_keyring(vector, |key| AuditMacKey::generate(&mut FixedBytes(key))),
            "audit ratchet key" => {
                open_from_keyring(vector, |key| AuditRatchetKey::generate(&mut FixedBytes(key)))
            }
            "audit signing key" => {
                open_from_keyring(vector, |key| AuditSigningKey::generate(&mut FixedBytes(key)))
            }
            "poll key" => open_from_keyring(vector, |key| PollKey::generate(&mut FixedBytes(key))),
            "digest key" => open_from_kek(vector, |key| DigestKey::generate(&mut FixedBytes(key))),
            "secret key material" => open_from_kek(vector, material),
            other => panic!("no such role: {other}"),
        };
        // Keys cannot be exported, but one key with one nonce gives one wrap.
        assert_eq!(
            opened,
            Opened { from_opened_key: bytes(vector, "wrapped"), from_vector_key: bytes(vector, "wrapped") }
        );
    }
    assert_eq!(vectors["wraps"].as_array().unwrap().len(), 12);
}

#[test]
fn every_published_record_opens_to_its_plaintext_before_and_after_rewrapping() {
    let vectors = published();
    for vector in vectors["records"].as_array().unwrap() {
        let name = vector["name"].as_str();
        let (epoch, org, app) = (number(vector, "epoch"), id(vector, "org"), id(vector, "app"));
        let version = number(vector, "version");
        let record = match name {
            Some(name) => RecordContext::Value { epoch, org, app, name, version },
            None => RecordContext::Bundle { epoch, org, app, version },
        };
        let ciphertext = bytes(vector, "ciphertext");
        for wrap in [&vector["dek"], &vector["rewrapped_dek"]] {
            let kek_version = u32::try_from(number(wrap, "kek_version")).unwrap();
            let kek = AppKek::generate(&mut FixedBytes(&bytes(wrap, "kek")), app, kek_version);
            let wrapped_dek = bytes(wrap, "wrapped");
            let sealed = SealedRef { wrapped_dek: &wrapped_dek, ciphertext: &ciphertext };
            assert_eq!(*kek.open(sealed, &record).unwrap(), bytes(vector, "plaintext"));
        }
    }
    assert_eq!(vectors["records"].as_array().unwrap().len(), 4);
}

#[test]
fn every_published_message_mac_and_signature_verifies() {
    let vectors = published();

    let poll = &vectors["poll_entry"];
    let key = PollKey::generate(&mut FixedBytes(&bytes(poll, "key")));
    let answer = key.open(&bytes(poll, "sealed"), &id(poll, "store"), &id(poll, "id")).unwrap();
    assert_eq!(*answer, bytes(poll, "plaintext"));

    let cache = &vectors["host_cache_entry"];
    let key = HostCacheKey::generate(&mut FixedBytes(&bytes(cache, "key")));
    let context = HostCacheContext {
        host: text(cache, "host"),
        org: id(cache, "org"),
        app: id(cache, "app"),
        machine: text(cache, "machine"),
    };
    assert_eq!(*key.open(&bytes(cache, "sealed"), &context).unwrap(), bytes(cache, "plaintext"));

    let row = &vectors["row_mac"];
    let key = RowMacKey::generate(&mut FixedBytes(&bytes(row, "key")));
    let row_id = bytes(row, "id");
    let context = RowContext {
        table: u8::try_from(number(row, "table")).unwrap(),
        id: &row_id,
        epoch: number(row, "epoch"),
        row_version: number(row, "row_version"),
    };
    assert_eq!(key.verify(&context, &bytes(row, "content"), &array(row, "tag")), Ok(()));

    let feed = &vectors["feed_mac"];
    let key = RowMacKey::generate(&mut FixedBytes(&bytes(feed, "key")));
    let (epoch, change) = (number(feed, "epoch"), number(feed, "number"));
    let (previous, tag) = (array(feed, "previous"), array(feed, "tag"));
    assert_eq!(key.verify_feed(epoch, change, &previous, &bytes(feed, "content"), &tag), Ok(()));

    let digest = &vectors["digest"];
    let key = DigestKey::generate(&mut FixedBytes(&bytes(digest, "key")));
    assert_eq!(key.digest(text(digest, "name"), &bytes(digest, "value")), id(digest, "digest"));

    let audit = &vectors["audit_line"];
    let key = AuditMacKey::generate(&mut FixedBytes(&bytes(audit, "key")));
    let line = bytes(audit, "line");
    assert_eq!(key.verify(&line, &array(audit, "tag")), Ok(()));
    assert_eq!(key.ratchet().verify(&line, &array(audit, "tag_after_ratchet")), Ok(()));

    let checkpoint = &vectors["audit_checkpoint"];
    let key = AuditSigningKey::generate(&mut FixedBytes(&bytes(checkpoint, "key")));
    let public = array(checkpoint, "public");
    assert_eq!(key.public(), public);
    let signature: [u8; 64] = bytes(checkpoint, "signature").try_into().unwrap();
    assert_eq!(verify_checkpoint(&public, &bytes(checkpoint, "message"), &signature), Ok(()));
}

// ---- opening -----------------------------------------------------------------------------------

/// A wrap with its original nonce: of the opened key, and of the key in the vector.
#[derive(Debug, PartialEq)]
struct Opened {
    from_opened_key: Vec<u8>,
    from_vector_key: Vec<u8>,
}

fn open_root(vector: &Value) -> Opened {
    let seal = SealKey::generate(&mut FixedBytes(&bytes(vector, "wrapping_key")));
    let context = SealContext::root_key(id(vector, "store"), id(vector, "id"), version(vector));
    let wrap = |root: &RootKey| seal.wrap(&mut FixedBytes(&nonce(vector)), root, &context).unwrap();
    Opened {
        from_opened_key: wrap(&seal.unwrap(&bytes(vector, "wrapped"), &context).unwrap()),
        from_vector_key: wrap(&RootKey::generate(&mut FixedBytes(&bytes(vector, "key")), version(vector))),
    }
}

fn open_keyring_key(vector: &Value) -> Opened {
    let root = RootKey::generate(&mut FixedBytes(&bytes(vector, "wrapping_key")), wrapping_version(vector));
    let store = id(vector, "store");
    let wrap = |key: &KeyringKey| root.wrap_keyring_key(&mut FixedBytes(&nonce(vector)), key, store).unwrap();
    let opened = root.unwrap_keyring_key(&bytes(vector, "wrapped"), store, version(vector)).unwrap();
    Opened {
        from_opened_key: wrap(&opened),
        from_vector_key: wrap(&KeyringKey::generate(&mut FixedBytes(&bytes(vector, "key")), version(vector))),
    }
}

fn open_from_keyring<K: WrappedByKeyring>(vector: &Value, make: impl Fn(&[u8]) -> K) -> Opened {
    let current = wrapping_version(vector);
    let key = KeyringKey::generate(&mut FixedBytes(&bytes(vector, "wrapping_key")), current);
    let keyring = Keyring::new([key], current).unwrap();
    let context = WrapContext {
        store: id(vector, "store"),
        id: id(vector, "id"),
        owner: vector["owner"].as_str().map(|_| id(vector, "owner")),
        version: version(vector),
    };
    let wrap = |key: &K| keyring.wrap(&mut FixedBytes(&nonce(vector)), key, &context).unwrap();
    let opened: K = keyring.unwrap(&bytes(vector, "wrapped"), &context).unwrap();
    Opened { from_opened_key: wrap(&opened), from_vector_key: wrap(&make(&bytes(vector, "key"))) }
}

fn open_from_kek<K: WrappedByAppKek>(vector: &Value, make: impl Fn(&[u8]) -> K) -> Opened {
    let kek = bytes(vector, "wrapping_key");
    let kek = AppKek::generate(&mut FixedBytes(&kek), id(vector, "owner"), wrapping_version(vector));
    let (store, id) = (id(vector, "store"), id(vector, "id"));
    let wrap = |key: &K| kek.wrap(&mut FixedBytes(&nonce(vector)), key, store, id).unwrap();
    let opened: K = kek.unwrap(&bytes(vector, "wrapped"), store, id).unwrap();
    Opened { from_opened_key: wrap(&opened), from_vector_key: wrap(&make(&bytes(vector, "key"))) }
}

fn material(key: &[u8]) -> SecretKeyMaterial {
    SecretKeyMaterial::new(key.to_vec().into_boxed_slice().into()).unwrap()
}

// ---- generating --------------------------------------------------------------------------------

fn generate() -> Value {
    let mut rng = SeededRng::new("petsem ciphertext vectors, version 1");
    json!({
        "about": "Ciphertexts of petsem-keys, one of each kind. Byte strings are hexadecimal. \
                  Keys and nonces come from a test's seed and protect nothing.",
        "wraps": wraps(&mut rng),
        "records": records(&mut rng),
        "poll_entry": poll_entry(&mut rng),
        "host_cache_entry": host_cache_entry(&mut rng),
        "row_mac": row_mac(&mut rng),
        "feed_mac": feed_mac(&mut rng),
        "digest": digest(&mut rng),
        "audit_line": audit_line(&mut rng),
        "audit_checkpoint": audit_checkpoint(&mut rng),
    })
}

fn wraps(rng: &mut SeededRng) -> Vec<Value> {
    vec![
        root_wrap(rng),
        keyring_key_wrap(rng),
        app_kek_wrap(rng),
        keyring_wrap(rng, "signing key", |key| SigningKey::generate(&mut FixedBytes(key))),
        keyring_wrap(rng, "discharger key", |key| DischargerKey::generate(&mut FixedBytes(key))),
        platform_wrap(rng, "row-MAC key", |key| RowMacKey::generate(&mut FixedBytes(key))),
        platform_wrap(rng, "audit MAC key", |key| AuditMacKey::generate(&mut FixedBytes(key))),
        platform_wrap(rng, "audit signing key", |key| AuditSigningKey::generate(&mut FixedBytes(key))),
        platform_wrap(rng, "poll key", |key| PollKey::generate(&mut FixedBytes(key))),
        kek_wrap(rng, "digest key", rng_bytes::<32>, |key| DigestKey::generate(&mut FixedBytes(key))),
        kek_wrap(rng, "secret key material", rng_bytes::<119>, material),
        ratchet_wrap(),
    ]
}

/// Its own seed, so that the vectors that are older stay what they were.
fn ratchet_wrap() -> Value {
    let rng = &mut SeededRng::new("petsem ciphertext vectors, version 1, audit ratchet key");
    let context = WrapContext { version: 5, ..WrapContext::new(rng.array(), rng.array()) };
    under_keyring(rng, "audit ratchet key", context, |key| AuditRatchetKey::generate(&mut FixedBytes(key)))
}

fn root_wrap(rng: &mut SeededRng) -> Value {
    let (wrapping_key, key): ([u8; 32], [u8; 32]) = (rng.array(), rng.array());
    let context = SealContext::root_key(rng.array(), rng.array(), 2);
    let seal = SealKey::generate(&mut FixedBytes(&wrapping_key));
    let root = RootKey::generate(&mut FixedBytes(&key), 2);
    let wrapped = seal.wrap(rng, &root, &context).unwrap();
    wrap_vector("root key under a seal", &wrapping_key, 0, &key, &context.key, &wrapped)
}

fn keyring_key_wrap(rng: &mut SeededRng) -> Value {
    let (wrapping_key, key): ([u8; 32], [u8; 32]) = (rng.array(), rng.array());
    let context = WrapContext { version: 3, ..WrapContext::new(rng.array(), [0; 16]) };
    let root = RootKey::generate(&mut FixedBytes(&wrapping_key), 2);
    let keyring_key = KeyringKey::generate(&mut FixedBytes(&key), 3);
    let wrapped = root.wrap_keyring_key(rng, &keyring_key, context.store).unwrap();
    wrap_vector("keyring key", &wrapping_key, 2, &key, &context, &wrapped)
}

fn app_kek_wrap(rng: &mut SeededRng) -> Value {
    let context = WrapContext::app_kek(rng.array(), rng.array(), 4);
    under_keyring(rng, "app KEK", context, |key| AppKek::generate(&mut FixedBytes(key), context.id, 4))
}

fn keyring_wrap<K: WrappedByKeyring>(rng: &mut SeededRng, role: &str, make: impl Fn(&[u8]) -> K) -> Value {
    let context = WrapContext::new(rng.array(), rng.array()).owned_by(rng.array());
    under_keyring(rng, role, context, make)
}

fn platform_wrap<K: WrappedByKeyring>(rng: &mut SeededRng, role: &str, make: impl Fn(&[u8]) -> K) -> Value {
    let context = WrapContext::new(rng.array(), rng.array());
    under_keyring(rng, role, context, make)
}

fn under_keyring<K: WrappedByKeyring>(
    rng: &mut SeededRng,
    role: &str,
    context: WrapContext,
    make: impl Fn(&[u8]) -> K,
) -> Value {
    let (wrapping_key, key): ([u8; 32], [u8; 32]) = (rng.array(), rng.array());
    let keyring = Keyring::new([KeyringKey::generate(&mut FixedBytes(&wrapping_key), 3)], 3).unwrap();
    let wrapped = keyring.wrap(rng, &make(&key), &context).unwrap();
    wrap_vector(role, &wrapping_key, 3, &key, &context, &wrapped)
}

fn kek_wrap<K: WrappedByAppKek>(
    rng: &mut SeededRng,
    role: &str,
    key: impl Fn(&mut SeededRng) -> Vec<u8>,
    make: impl Fn(&[u8]) -> K,
) -> Value {
    let app = rng.array();
    let context = WrapContext::new(rng.array(), rng.array()).owned_by(app);
    let (wrapping_key, key): ([u8; 32], Vec<u8>) = (rng.array(), key(rng));
    let kek = AppKek::generate(&mut FixedBytes(&wrapping_key), app, 4);
    let wrapped = kek.wrap(rng, &make(&key), context.store, context.id).unwrap();
    wrap_vector(role, &wrapping_key, 4, &key, &context, &wrapped)
}

fn wrap_vector(
    role: &str,
    wrapping_key: &[u8],
    wrapping_version: u32,
    key: &[u8],
    context: &WrapContext,
    wrapped: &[u8],
) -> Value {
    json!({
        "role": role,
        "wrapping_key": hex(wrapping_key),
        "wrapping_version": wrapping_version,
        "key": hex(key),
        "store": hex(&context.store),
        "id": hex(&context.id),
        "owner": context.owner.map(|owner| hex(&owner)),
        "version": context.version,
        "wrapped": hex(wrapped),
    })
}

fn records(rng: &mut SeededRng) -> Vec<Value> {
    let (org, app) = (rng.array(), rng.array());
    let value = |name| RecordContext::Value { epoch: 1, org, app, name, version: 41 };
    let bundle = RecordContext::Bundle { epoch: 1 << 33, org, app, version: 42 };
    vec![
        record(rng, value("DATABASE_URL"), b"postgres://app:example@db.internal:5432/app"),
        record(rng, value("EMPTY"), b""),
        record(rng, value("BINARY"), &[0, 0xff, 0x80, b'\n']),
        record(rng, bundle, br#"{"DATABASE_URL":"example"}"#),
    ]
}

fn record(rng: &mut SeededRng, context: RecordContext<'_>, plaintext: &[u8]) -> Value {
    let app = *context.app();
    let (old, new): ([u8; 32], [u8; 32]) = (rng.array(), rng.array());
    let old_kek = AppKek::generate(&mut FixedBytes(&old), app, 4);
    let new_kek = AppKek::generate(&mut FixedBytes(&new), app, 5);
    let sealed = old_kek.seal(rng, plaintext, &context).unwrap();
    let rewrapped = old_kek.rewrap_dek(rng, &new_kek, &sealed.wrapped_dek).unwrap();
    let (epoch, org, name, version) = match context {
        RecordContext::Value { epoch, org, name, version, .. } => (epoch, org, Some(name), version),
        RecordContext::Bundle { epoch, org, version, .. } => (epoch, org, None, version),
    };
    json!({
        "kind": if name.is_some() { "value" } else { "bundle" },
        "epoch": epoch,
        "org": hex(&org),
        "app": hex(&app),
        "name": name,
        "version": version,
        "plaintext": hex(plaintext),
        "ciphertext": hex(&sealed.ciphertext),
        "dek": { "kek": hex(&old), "kek_version": 4, "wrapped": hex(&sealed.wrapped_dek) },
        "rewrapped_dek": { "kek": hex(&new), "kek_version": 5, "wrapped": hex(&rewrapped) },
    })
}

fn poll_entry(rng: &mut SeededRng) -> Value {
    let (key, store, id): ([u8; 32], [u8; 16], [u8; 16]) = (rng.array(), rng.array(), rng.array());
    let sealed = PollKey::generate(&mut FixedBytes(&key)).seal(rng, b"a discharge", &store, &id).unwrap();
    json!({
        "key": hex(&key), "store": hex(&store), "id": hex(&id),
        "plaintext": hex(b"a discharge"), "sealed": hex(&sealed),
    })
}

fn host_cache_entry(rng: &mut SeededRng) -> Value {
    let key: [u8; 32] = rng.array();
    let context = HostCacheContext { host: "host-1", org: rng.array(), app: rng.array(), machine: "m-1" };
    let sealed = HostCacheKey::generate(&mut FixedBytes(&key)).seal(rng, b"a bundle", &context).unwrap();
    json!({
        "key": hex(&key), "host": context.host, "org": hex(&context.org), "app": hex(&context.app),
        "machine": context.machine, "plaintext": hex(b"a bundle"), "sealed": hex(&sealed),
    })
}

fn row_mac(rng: &mut SeededRng) -> Value {
    let (key, id): ([u8; 32], [u8; 16]) = (rng.array(), rng.array());
    let row = RowContext { table: 1, id: &id, epoch: 1, row_version: 9 };
    let tag = RowMacKey::generate(&mut FixedBytes(&key)).tag(&row, b"an app head");
    json!({
        "key": hex(&key), "table": row.table, "id": hex(&id), "epoch": row.epoch,
        "row_version": row.row_version, "content": hex(b"an app head"), "tag": hex(&tag),
    })
}

fn feed_mac(rng: &mut SeededRng) -> Value {
    let (key, previous): ([u8; 32], [u8; 32]) = (rng.array(), rng.array());
    let tag = RowMacKey::generate(&mut FixedBytes(&key)).feed_tag(1, 17, &previous, b"a revocation");
    json!({
        "key": hex(&key), "epoch": 1, "number": 17, "previous": hex(&previous),
        "content": hex(b"a revocation"), "tag": hex(&tag),
    })
}

fn digest(rng: &mut SeededRng) -> Value {
    let key: [u8; 32] = rng.array();
    let digest = DigestKey::generate(&mut FixedBytes(&key)).digest("DATABASE_URL", b"postgres://");
    json!({
        "key": hex(&key), "name": "DATABASE_URL", "value": hex(b"postgres://"), "digest": hex(&digest),
    })
}

fn audit_line(rng: &mut SeededRng) -> Value {
    let (bytes, line): ([u8; 32], _) = (rng.array(), br#"{"what":"boot"}"#);
    let key = AuditMacKey::generate(&mut FixedBytes(&bytes));
    let tag = key.tag(line);
    json!({
        "key": hex(&bytes), "line": hex(line), "tag": hex(&tag),
        "tag_after_ratchet": hex(&key.ratchet().tag(line)),
    })
}

fn audit_checkpoint(rng: &mut SeededRng) -> Value {
    let seed: [u8; 32] = rng.array();
    let key = AuditSigningKey::generate(&mut FixedBytes(&seed));
    json!({
        "key": hex(&seed), "public": hex(&key.public()), "message": hex(b"a head"),
        "signature": hex(&key.sign(b"a head")),
    })
}

// ---- reading the file --------------------------------------------------------------------------

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ciphertexts.json")
}

fn published() -> Value {
    serde_json::from_slice(&fs::read(path()).unwrap()).unwrap()
}

fn rng_bytes<const LENGTH: usize>(rng: &mut SeededRng) -> Vec<u8> {
    rng.array::<LENGTH>().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap()
}

fn version(vector: &Value) -> u32 {
    u32::try_from(number(vector, "version")).unwrap()
}

fn wrapping_version(vector: &Value) -> u32 {
    u32::try_from(number(vector, "wrapping_version")).unwrap()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    HEXLOWER.decode(text(vector, field).as_bytes()).unwrap()
}

fn id(vector: &Value, field: &str) -> [u8; 16] {
    bytes(vector, field).try_into().unwrap()
}

fn array(vector: &Value, field: &str) -> [u8; 32] {
    bytes(vector, field).try_into().unwrap()
}

/// The nonce of a wrap: 24 bytes after format and version.
fn nonce(vector: &Value) -> Vec<u8> {
    bytes(vector, "wrapped")[5..29].to_vec()
}
