//! Key sets as issuers publish them: one odd key shuts out only itself, and a refusal blames what is at fault.

use super::*;

/// The issuer with these keys and every algorithm.
fn issuer_with(keys: &[Value]) -> Issuer {
    let set = json!({ "keys": keys }).to_string();
    let keys = Jwks::parse_published(&set, &Algorithm::ALL).unwrap();
    Issuer { keys, algorithms: Algorithm::ALL.to_vec(), ..issuer(&signer(Algorithm::ES256)) }
}

/// The result of a JWT by this signer with this `kid`.
fn answer(signer: &Signer, id: Option<&str>, keys: &[Value]) -> Result<(), JwtError> {
    let mut header = json!({"alg": signer.algorithm.name()});
    if let Some(id) = id {
        header["kid"] = json!(id);
    }
    verify_jwt(&signer.sign(&header, &claims()), &issuer_with(keys), 300, NOW).map(|_| ())
}

fn with_member(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

/// An RSA key that signed nothing here.
fn other_rsa(number: u8) -> Value {
    let mut modulus = vec![0xff; 256];
    modulus[0] = 0x80 | number;
    json!({"kty": "RSA", "n": BASE64URL_NOPAD.encode(&modulus), "e": "AQAB"})
}

fn problem(key: &Value) -> Option<KeyProblem> {
    let set = json!({"keys": [key, signer(Algorithm::ES384).jwk("good")]}).to_string();
    let keys = Jwks::parse_published(&set, &Algorithm::ALL).unwrap();
    assert!(keys.has_id("good"), "an odd key shuts out only itself: {key}");
    assert_eq!(keys.len() + keys.left_out_count(), 2);
    keys.left_out().first().map(|key| key.problem)
}

#[test]
fn one_key_id_may_stand_for_several_algorithms_and_several_keys() {
    let (rs, ps, es) = (Algorithm::RS256, Algorithm::PS256, Algorithm::ES256);
    let rsa = signer(rs).jwk("a");
    let listed = [with_member(&rsa, "alg", json!("RS256")), with_member(&rsa, "alg", json!("PS256"))];
    let two_kinds = [rsa.clone(), signer(es).jwk("a"), signer(Algorithm::ES512).jwk("a")];
    let two_keys = [with_member(&other_rsa(1), "kid", json!("a")), rsa.clone()];
    let twice = [rsa.clone(), rsa.clone(), rsa];
    for (keys, algorithm, expected) in [
        (&listed[..], rs, Ok(())),
        (&listed[..], ps, Ok(())),
        (&listed[..], Algorithm::RS512, Err(JwtError::KeyDoesNotFit)),
        (&two_kinds[..], rs, Ok(())),
        (&two_kinds[..], es, Ok(())),
        (&two_kinds[..], Algorithm::ES512, Ok(())),
        (&two_kinds[..], Algorithm::ES384, Err(JwtError::KeyDoesNotFit)),
        (&two_keys[..], rs, Ok(())),
        (&twice[..], rs, Ok(())),
    ] {
        assert_eq!(answer(&signer(algorithm), Some("a"), keys), expected, "{algorithm:?} of {keys:?}");
        assert_eq!(answer(&signer(algorithm), None, keys), expected.map_err(|_| JwtError::NoKey));
    }
    let thumbprints = issuer_with(&twice).keys;
    assert_eq!((thumbprints.len(), thumbprints.thumbprints().len()), (3, 1));
}

#[test]
fn without_a_key_id_at_most_eight_fitting_keys_are_tried() {
    let rsa = signer(Algorithm::RS256);
    let own = rsa.jwk("own");
    let others = |count| (1..=count).map(other_rsa).collect::<Vec<_>>();
    // The keys of an issuer without ids while it goes from one to the next.
    assert_eq!(answer(&rsa, None, &[others(1), vec![own.clone()]].concat()), Ok(()));
    assert_eq!(answer(&rsa, None, &[vec![own.clone()], others(1)].concat()), Ok(()));
    assert_eq!(answer(&rsa, None, &[others(7), vec![own.clone()]].concat()), Ok(()));
    assert_eq!(answer(&rsa, None, &[others(8), vec![own.clone()]].concat()), Err(JwtError::TooManyKeys));
    assert_eq!(answer(&rsa, None, &others(8)), Err(JwtError::Signature));
    assert_eq!(answer(&rsa, Some("own"), &[others(8), vec![own.clone()]].concat()), Ok(()));
    // Keys for other algorithms do not count, nor does one key that is listed again.
    let strangers: Vec<Value> = (0..9).map(|_| signer(Algorithm::ES256).jwk("e")).collect();
    assert_eq!(answer(&rsa, None, &[strangers, vec![own.clone()]].concat()), Ok(()));
    assert_eq!(answer(&rsa, None, &[vec![others(1)[0].clone(); 9], vec![own]].concat()), Ok(()));
    assert_eq!(MAX_KEYS_TRIED, 8);
}

#[test]
fn a_key_id_selects_among_keys_with_ids_and_keys_without_are_tried() {
    let rsa = signer(Algorithm::RS256);
    let mut bare = rsa.jwk("x");
    bare.as_object_mut().unwrap().remove("kid");
    assert_eq!(answer(&rsa, Some("new"), std::slice::from_ref(&bare)), Ok(()));
    assert_eq!(answer(&rsa, Some("new"), &[rsa.jwk("old")]), Err(JwtError::UnknownKey));
    // The issuer may have published the key since, so its keys are fetched again.
    assert_eq!(answer(&rsa, Some("new"), &[other_rsa(1)]), Err(JwtError::UnknownKey));
    let named = with_member(&other_rsa(1), "kid", json!("new"));
    assert_eq!(answer(&rsa, Some("new"), &[named, bare]), Err(JwtError::Signature));
    assert_eq!(answer(&rsa, None, &[]), Err(JwtError::NoKey));
    assert_eq!(answer(&rsa, Some("new"), &[]), Err(JwtError::UnknownKey));
}

#[test]
fn a_number_may_be_written_in_every_way_that_leaves_it_the_same() {
    let (rsa, es) = (signer(Algorithm::RS256), signer(Algorithm::ES512));
    let zeros = |jwk: &Value, member: &str, count: usize| {
        let octets = BASE64URL_NOPAD.decode(jwk[member].as_str().unwrap().as_bytes()).unwrap();
        with_member(jwk, member, json!(BASE64URL_NOPAD.encode(&[vec![0; count], octets].concat())))
    };
    let changed = |jwk: &Value, member: &str, change: &dyn Fn(&str) -> String| {
        with_member(jwk, member, json!(change(jwk[member].as_str().unwrap())))
    };
    let (jwk, point) = (rsa.jwk("k"), es.jwk("k"));
    let stripped = |jwk: &Value, member: &str| {
        let octets = BASE64URL_NOPAD.decode(jwk[member].as_str().unwrap().as_bytes()).unwrap();
        let octets: Vec<u8> = octets.into_iter().skip_while(|byte| *byte == 0).collect();
        with_member(jwk, member, json!(BASE64URL_NOPAD.encode(&octets)))
    };
    let ways = [
        zeros(&jwk, "n", 1),
        zeros(&jwk, "n", 3),
        zeros(&jwk, "e", 1),
        zeros(&zeros(&jwk, "e", 5), "n", 1),
        changed(&jwk, "n", &|text| format!("{text}==")),
        changed(&jwk, "n", &|text| text.replace('-', "+").replace('_', "/")),
        changed(&jwk, "n", &|text| format!("{}\n{}", &text[..76], &text[76..])),
        changed(&jwk, "e", &|_| "AQAB\r\n".to_owned()),
        with_member(&with_member(&jwk, "use", json!(null)), "alg", json!(null)),
        with_member(&with_member(&jwk, "use", json!("jwt-svid")), "key_ops", json!(["sign", "verify"])),
    ];
    let thumbprint = issuer_with(&[jwk]).keys.thumbprints()[0].to_owned();
    for way in ways {
        assert_eq!(answer(&rsa, Some("k"), std::slice::from_ref(&way)), Ok(()), "{way}");
        assert_eq!(issuer_with(&[way]).keys.thumbprints(), [thumbprint.as_str()]);
    }
    for way in [zeros(&point, "x", 1), zeros(&point, "y", 2), stripped(&stripped(&point, "x"), "y")] {
        assert_eq!(answer(&es, Some("k"), std::slice::from_ref(&way)), Ok(()), "{way}");
    }
}

#[test]
fn a_coordinate_may_lack_its_leading_zeros() {
    let (x, y) = short_point();
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y});
    assert_eq!(problem(&jwk), None);
}

/// A point of P-256 whose x begins with a zero octet, which is left out; one key in 256 has one.
fn short_point() -> (String, String) {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    loop {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        if point[1] == 0 {
            return (BASE64URL_NOPAD.encode(&point[2..33]), BASE64URL_NOPAD.encode(&point[33..]));
        }
    }
}

#[test]
fn every_odd_key_is_left_out_for_its_reason_and_alone() {
    let (rsa, ec, ed) = (
        signer(Algorithm::RS256).jwk("k"),
        signer(Algorithm::ES256).jwk("k"),
        signer(Algorithm::Ed25519).jwk("k"),
    );
    let n = |bytes: &[u8]| with_member(&rsa, "n", json!(BASE64URL_NOPAD.encode(bytes)));
    let number = |member| KeyProblem::Number { member };
    let cases = [
        (json!(null), KeyProblem::NotAnObject),
        (json!("no key"), KeyProblem::NotAnObject),
        (json!([]), KeyProblem::NotAnObject),
        (json!({}), KeyProblem::Kind),
        (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "k"}), KeyProblem::Kind),
        (json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}), KeyProblem::Kind),
        (json!({"kty": "OKP", "crv": "Ed448", "x": "AA"}), KeyProblem::Kind),
        (json!({"kty": "OKP", "crv": "X25519", "x": ed["x"]}), KeyProblem::Kind),
        (json!({"kty": "rsa", "n": rsa["n"], "e": "AQAB"}), KeyProblem::Kind),
        (json!({"kty": ["RSA"]}), KeyProblem::Kind),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), KeyProblem::PrivatePart { member: "k" }),
        (with_member(&ec, "d", json!("AAAA")), KeyProblem::PrivatePart { member: "d" }),
        (with_member(&ec, "use", json!("enc")), KeyProblem::Use),
        (with_member(&ec, "use", json!(["sig"])), KeyProblem::Use),
        (with_member(&ec, "use", json!("x509-svid")), KeyProblem::Use),
        (with_member(&ec, "key_ops", json!(["wrapKey"])), KeyProblem::Use),
        (with_member(&ec, "key_ops", json!("verify")), KeyProblem::Use),
        (with_member(&rsa, "alg", json!("SHA256withRSA")), KeyProblem::Algorithm),
        (with_member(&rsa, "alg", json!("")), KeyProblem::Algorithm),
        (with_member(&rsa, "alg", json!("HS256")), KeyProblem::Algorithm),
        (with_member(&rsa, "alg", json!("ES256")), KeyProblem::Algorithm),
        (with_member(&rsa, "alg", json!(256)), KeyProblem::Algorithm),
        (with_member(&ec, "kid", json!(7)), KeyProblem::Id),
        (with_member(&ec, "kid", json!(["k"])), KeyProblem::Id),
        (with_member(&rsa, "n", json!(7)), number("n")),
        (with_member(&rsa, "n", json!("")), number("n")),
        (with_member(&rsa, "e", json!("!")), number("e")),
        (with_member(&rsa, "e", json!(65537)), number("e")),
        (with_member(&ec, "x", json!("0x01")), KeyProblem::Point),
        (with_member(&ec, "y", signer(Algorithm::ES384).jwk("k")["y"].clone()), number("y")),
        (with_member(&ec, "y", ec["x"].clone()), KeyProblem::Point),
        (with_member(&ed, "x", json!("AAAA")), number("x")),
        (n(&[0x80; 128]), KeyProblem::RsaLength { bits: 1024 }),
        (n(&[0; 300]), KeyProblem::RsaLength { bits: 0 }),
        (n(&[0x80; 256]), KeyProblem::RsaNumbers),
        (with_member(&rsa, "e", json!("AAAA")), KeyProblem::RsaNumbers),
        (with_member(&rsa, "e", json!("AQ")), KeyProblem::RsaNumbers),
        (with_member(&rsa, "e", json!("AQAA")), KeyProblem::RsaNumbers),
        (with_member(&rsa, "e", json!("AwAAAAE")), KeyProblem::RsaNumbers),
    ];
    for (key, expected) in cases {
        assert_eq!(problem(&key), Some(expected), "{key}");
    }
    for good in
        [&rsa, &ec, &ed, &with_member(&rsa, "e", json!("Aw")), &with_member(&ed, "alg", json!("EdDSA"))]
    {
        assert_eq!(problem(good), None, "{good}");
    }
}

#[test]
fn json_that_a_parser_refuses_in_one_key_shuts_out_only_that_key() {
    let good = signer(Algorithm::ES256).jwk("good").to_string();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [r#"{"kty":"RSA","n":1e999}"#, r#"{"kid":"\ud800"}"#, deep.as_str()] {
        let set = format!(r#"{{"keys":[{odd},{good}]}}"#);
        let keys = Jwks::parse_published(&set, &Algorithm::ALL).unwrap();
        let expected = LeftOutKey { position: 1, id: None, problem: KeyProblem::NotAnObject };
        assert_eq!((keys.has_id("good"), keys.left_out()), (true, &[expected][..]));
    }
}

#[test]
fn a_refusal_blames_the_key_that_is_left_out() {
    let rsa = signer(Algorithm::RS256);
    let other = signer(Algorithm::ES256).jwk("other");
    let encryption = with_member(&rsa.jwk("k"), "use", json!("enc"));
    let keys = [encryption, other];
    assert_eq!(answer(&rsa, Some("k"), &keys), Err(JwtError::KeyLeftOut(KeyProblem::Use)));
    assert_eq!(answer(&rsa, None, &keys), Err(JwtError::NoKey));
    assert_eq!(answer(&rsa, Some("x"), &keys), Err(JwtError::UnknownKey));
    assert_eq!(answer(&rsa, Some("other"), &keys), Err(JwtError::KeyDoesNotFit));
    // A key beside it that fits is judged by its signature.
    let fitting = [&keys[..], &[with_member(&other_rsa(1), "kid", json!("k"))]].concat();
    assert_eq!(answer(&rsa, Some("k"), &fitting), Err(JwtError::Signature));
    let text = JwtError::KeyLeftOut(KeyProblem::RsaLength { bits: 1024 }).to_string();
    assert_eq!(
        text,
        "the issuer's key with the JWT's kid has an RSA modulus of 1024 bits; 2048 to 8192 are accepted; correct the \
         issuer's key set"
    );
}

#[test]
fn a_registration_needs_a_key_for_one_of_its_algorithms() {
    let (rsa, ec) = (signer(Algorithm::RS256).jwk("a"), signer(Algorithm::ES256).jwk("b"));
    let parsed = |algorithms: &[Algorithm], keys: &[Value]| {
        Jwks::parse(&json!({ "keys": keys }).to_string(), algorithms).map(|keys| keys.len())
    };
    let both = [rsa.clone(), ec.clone()];
    assert_eq!(parsed(&[Algorithm::ES256], &both).unwrap(), 1);
    assert_eq!(parsed(&[Algorithm::ES256, Algorithm::PS512], &both).unwrap(), 2);
    let refused = [
        (vec![Algorithm::ES256], vec![rsa.clone()]),
        (vec![Algorithm::RS256], vec![with_member(&rsa, "alg", json!("RS512"))]),
        (vec![Algorithm::RS256], vec![with_member(&rsa, "alg", json!("SHA256withRSA"))]),
        (vec![Algorithm::RS256], vec![with_member(&rsa, "alg", json!(""))]),
        (vec![Algorithm::ES384, Algorithm::Ed25519], both.to_vec()),
        (vec![Algorithm::ES256], vec![with_member(&ec, "use", json!("enc"))]),
        (vec![Algorithm::ES256], Vec::new()),
    ];
    for (algorithms, keys) in refused {
        let error = parsed(&algorithms, &keys).unwrap_err();
        assert!(matches!(error, JwksError::NoUsableKey { .. }), "{error}");
    }
    assert_eq!(
        parsed(&[Algorithm::ES256, Algorithm::ES384], &[rsa]).unwrap_err().to_string(),
        "no key of the set can verify ES256, ES384: key 1 (\"a\") is for none of the registered algorithms; give the \
         issuer's JWKS, and the algorithms of its keys"
    );
}

#[test]
fn both_names_of_ed25519_are_one_algorithm_for_keys_and_two_for_registrations() {
    for (signed, named) in [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")] {
        let signer = signer(Algorithm::from_name(signed).unwrap());
        let key = with_member(&signer.jwk("k"), "alg", json!(named));
        assert_eq!(answer(&signer, Some("k"), std::slice::from_ref(&key)), Ok(()));
        let pinned = Algorithm::from_name(named).unwrap();
        let keys = Jwks::parse(&json!({"keys": [key]}).to_string(), &[pinned]).unwrap();
        let issuer = Issuer { keys, algorithms: vec![pinned], ..issuer(&signer) };
        assert_eq!(verify_jwt(&signer.good(&claims()), &issuer, 300, NOW), Err(JwtError::Algorithm));
    }
}

#[test]
fn what_is_kept_of_a_registration_is_its_public_members() {
    let rsa = signer(Algorithm::RS256).jwk("k");
    let noted = with_member(&with_member(&rsa, "comment", json!("from the backup")), "x5c", json!(["MII"]));
    let set = json!({"keys": [noted, "text", {"kty": {"d": "AAAA"}}], "owner": "ops"});
    assert_eq!(Jwks::public_members(&set), json!({"keys": [rsa, null, {"kty": false}]}));
    assert_eq!(Jwks::public_members(&json!([])), json!({"keys": []}));
    let unread = json!({"keys": [{"kty": "RSA", "kid": "k", "n": "a note, not a number", "e": "AQAB"}]});
    assert_eq!(
        Jwks::public_members(&unread),
        json!({"keys": [{"kty": "RSA", "kid": "k", "n": false, "e": "AQAB"}]})
    );
}

#[test]
fn a_key_with_its_private_part_is_refused_in_a_registration_and_skipped_in_a_published_set() {
    let ec = signer(Algorithm::ES256);
    let members = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
    for member in members {
        let (mut private, mut nested) = (ec.jwk("k"), ec.jwk("k"));
        private[member] = json!("AAAA");
        nested["more"] = json!([{ member: "AAAA" }]);
        for key in [private, nested] {
            let set = json!({"keys": [signer(Algorithm::ES384).jwk("other"), key]}).to_string();
            let refused = Jwks::parse(&set, &Algorithm::ALL).unwrap_err();
            assert!(matches!(refused, JwksError::PrivatePart { member: named } if named == member));
            assert!(!refused.to_string().contains("AAAA"));
            let published = Jwks::parse_published(&set, &Algorithm::ALL).unwrap();
            assert_eq!((published.has_id("other"), published.has_id("k")), (true, false), "{member}");
        }
    }
    let beside = json!({"keys": [ec.jwk("k")], "old": {"d": "AAAA"}}).to_string();
    assert!(matches!(Jwks::parse(&beside, &Algorithm::ALL), Err(JwksError::PrivatePart { member: "d" })));
    let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    assert!(matches!(Jwks::parse(&symmetric, &Algorithm::ALL), Err(JwksError::PrivatePart { member: "k" })));
}

/// As people give it in place of the public one: pasted whole, in a list, in a member, or turned into text.
#[test]
fn a_private_key_is_known_in_every_form_in_which_it_is_given() {
    let good = signer(Algorithm::ES256).jwk("good");
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nCANARY\n-----END {kind}-----\n");
    let pems = [
        pem("PRIVATE KEY"),
        pem("RSA PRIVATE KEY"),
        pem("EC PRIVATE KEY"),
        pem("ENCRYPTED PRIVATE KEY"),
        pem("OPENSSH PRIVATE KEY"),
        format!("{}{}", pem("CERTIFICATE"), pem("PRIVATE KEY")),
    ];
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "CANARY"});
    let text = jwk.to_string();
    let set_as_text = json!(json!({ "keys": [jwk] }).to_string());
    let twice_as_text = json!(set_as_text.to_string());
    let pem_part = "PRIVATE KEY-----";
    let mut items: Vec<(Value, &str)> = pems.iter().map(|pem| (json!(pem), pem_part)).collect();
    items.extend([
        (json!(text), "d"),
        (json!([jwk]), "d"),
        (json!({ "keys": [jwk] }), "d"),
        (json!({"kty": "RSA", "kid": pems[0], "n": "AA", "e": "AQAB"}), pem_part),
        (json!({"kty": "RSA", "kid": "k", "n": pems[1], "e": "AQAB"}), pem_part),
        (json!({"kty": "EC", "kid": "k", "x5c": [pems[5]]}), pem_part),
        (json!({"kty": "EC", "kid": "k", "comment": text}), "d"),
    ]);
    for (item, part) in items {
        let set = json!({"keys": [good, item]});
        let refused = Jwks::parse(&set.to_string(), &Algorithm::ALL).unwrap_err();
        assert!(matches!(refused, JwksError::PrivatePart { member } if member == part), "{item}: {refused}");
        assert!(!format!("{refused} {refused:?}").contains("CANARY"));
        let published = Jwks::parse_published(&set.to_string(), &Algorithm::ALL).unwrap();
        assert_eq!(
            (published.has_id("good"), published.len(), published.has_private_parts()),
            (true, 1, true)
        );
        assert!(!format!("{:?}", published.left_out()).contains("CANARY"), "{item}");
    }
    // In place of the set, which is no set either way: that it is private comes first.
    for (given, part) in [
        (json!(pems[0]), pem_part),
        (json!([pems[3]]), pem_part),
        (json!({ "keys": pems[2] }), pem_part),
        (jwk.clone(), "d"),
        (json!([jwk]), "d"),
        (set_as_text, "d"),
        (twice_as_text, "d"),
    ] {
        let refused = Jwks::parse(&given.to_string(), &Algorithm::ALL).unwrap_err();
        assert!(matches!(refused, JwksError::PrivatePart { member } if member == part), "{given}: {refused}");
    }
    // Public keys in the same forms are no private ones.
    for public in [json!(pem("PUBLIC KEY")), json!(pem("CERTIFICATE")), json!(good.to_string())] {
        let keys = Jwks::parse(&json!({"keys": [good, public]}).to_string(), &Algorithm::ALL).unwrap();
        assert_eq!((keys.len(), keys.has_private_parts()), (1, false), "{public}");
    }
}

#[test]
fn a_key_whose_private_part_is_in_the_set_is_used_under_no_other_entry() {
    for algorithm in [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA] {
        let signer = signer(algorithm);
        let twin = with_member(&with_member(&signer.jwk("twin"), "d", json!("AAAA")), "use", json!("enc"));
        for keys in [[signer.jwk("own"), twin.clone()], [twin.clone(), signer.jwk("own")]] {
            let left_out = Err(JwtError::KeyLeftOut(KeyProblem::Exposed));
            assert_eq!(answer(&signer, Some("own"), &keys), left_out, "{algorithm:?}");
            assert_eq!(answer(&signer, None, &keys), Err(JwtError::NoKey), "{algorithm:?}");
        }
        let other = with_member(&super::signer(Algorithm::ES512).jwk("other"), "d", json!("AAAA"));
        assert_eq!(answer(&signer, Some("own"), &[signer.jwk("own"), other]), Ok(()), "{algorithm:?}");
        // Strangers read only that the key is not used.
        let text = JwtError::KeyLeftOut(KeyProblem::Exposed).to_string();
        assert_eq!(
            text,
            "the issuer's key with the JWT's kid is not used here; correct the issuer's key set"
        );
    }
    // Also of a symmetric key, and behind the reasons that are remembered.
    let odd = vec![json!({"kty": "AKP"}); 70];
    let set = |last: Value| {
        let keys = [odd.clone(), vec![last]].concat();
        json!({ "keys": keys }).to_string()
    };
    for (last, expected) in [(json!({"kty": "oct", "k": "AAAA"}), true), (json!({"kty": "AKP"}), false)] {
        let keys = Jwks::parse_published(&set(last), &Algorithm::ALL).unwrap();
        assert_eq!((keys.has_private_parts(), keys.left_out_count()), (expected, 71));
    }
}

#[test]
fn an_ed25519_key_is_a_point_by_which_only_its_owner_signs() {
    let key =
        |octets: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(&octets)});
    let bytes = |first: u8, rest: u8, last: u8| {
        let mut all = [rest; 32];
        (all[0], all[31]) = (first, last);
        all
    };
    // The base point, and its negative.
    assert_eq!(problem(&key(bytes(0x58, 0x66, 0x66))), None);
    assert_eq!(problem(&key(bytes(0x58, 0x66, 0xe6))), None);
    // By points of small order anyone signs: the neutral one, those of order 2 and 4, one of order 8.
    let order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let order_8: [u8; 32] = data_encoding::HEXLOWER.decode(order_8.as_bytes()).unwrap().try_into().unwrap();
    for octets in [bytes(1, 0, 0), bytes(0xec, 0xff, 0x7f), bytes(0, 0, 0), bytes(0, 0, 0x80), order_8] {
        assert_eq!(problem(&key(octets)), Some(KeyProblem::Point), "{octets:x?}");
    }
    // y = p + 1 is the neutral one in another form; y = 2 is on no point.
    for octets in [bytes(0xee, 0xff, 0x7f), bytes(2, 0, 0)] {
        assert_eq!(problem(&key(octets)), Some(KeyProblem::Point), "{octets:x?}");
    }
}

#[test]
fn what_is_kept_of_a_registration_is_as_usable_as_what_was_given() {
    let good = signer(Algorithm::ES256).jwk("a");
    for (name, value) in [
        ("use", json!(7)),
        ("use", json!({"v": "enc"})),
        ("key_ops", json!(["encrypt", 1])),
        ("key_ops", json!(["verify", 1])),
        ("key_ops", json!(7)),
        ("alg", json!(7)),
        ("kid", json!(7)),
        ("kid", Value::Null),
        ("x", json!([])),
        ("x", json!("not base64url")),
        ("y", json!("")),
    ] {
        let given = json!({"keys": [with_member(&good, name, value.clone())]});
        let judged = |set: &Value| {
            let keys = Jwks::parse_published(&set.to_string(), &Algorithm::ALL).unwrap();
            (keys.len(), keys.left_out().iter().map(|key| key.problem).collect::<Vec<_>>())
        };
        assert_eq!(judged(&Jwks::public_members(&given)), judged(&given), "{name} {value}");
    }
}

#[test]
fn a_published_set_may_be_empty_but_is_an_object_with_a_list() {
    assert_eq!(Jwks::parse_published(r#"{"keys":[]}"#, &Algorithm::ALL).unwrap().len(), 0);
    for text in ["", "{}", "[]", "[[]]", r#"{"keys":{}}"#, "<html>"] {
        assert!(matches!(Jwks::parse_published(text, &Algorithm::ALL), Err(JwksError::Json(_))), "{text}");
    }
    let long = format!(r#"{{"keys":[]}}{}"#, " ".repeat(MAX_JWKS_BYTES));
    assert!(matches!(Jwks::parse_published(&long, &Algorithm::ALL), Err(JwksError::TooLong)));
}

#[test]
fn rsa_keys_below_2048_and_above_8192_bits_are_skipped() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = u8::try_from(0xff_u32 >> (bytes.len() * 8 - bits)).unwrap();
        // Leading zeros do not count.
        let padded = [vec![0; 300], bytes].concat();
        json!({"kty": "RSA", "n": BASE64URL_NOPAD.encode(&padded), "e": "AQAB", "kid": bits.to_string()})
    };
    let sizes = [512, 1024, 2047, 2048, 3072, 8192, 8193, 16384];
    let set = json!({"keys": sizes.map(modulus)}).to_string();
    let keys = Jwks::parse(&set, &Algorithm::ALL).unwrap();
    let accepted: Vec<_> = sizes.into_iter().filter(|bits| keys.has_id(&bits.to_string())).collect();
    assert_eq!(accepted, [2048, 3072, 8192]);
    let weak = json!({"keys": [modulus(1024)]}).to_string();
    assert!(matches!(Jwks::parse(&weak, &Algorithm::ALL), Err(JwksError::NoUsableKey { .. })));
}
