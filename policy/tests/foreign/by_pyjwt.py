"""Makes the keys of all, and the cases of PyJWT."""

import base64
import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

WORK = sys.argv[1]
NOW = 1800000000
CLAIMS = {
    "iss": "https://issuer.example", "aud": "petsem", "sub": "workload", "jti": "j", "iat": NOW,
    "exp": NOW + 300,
}
MAKER = f"PyJWT {jwt.__version__}"

keys = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "stranger": rsa.generate_private_key(65537, 2048),
}
PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
PUBLIC = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
jwks = []
for name, key in keys.items():
    with open(f"{WORK}/{name}.pem", "wb") as out:
        out.write(key.private_bytes(*PRIVATE))
    with open(f"{WORK}/{name}.pub.pem", "wb") as out:
        out.write(key.public_key().public_bytes(*PUBLIC))
    if name != "stranger":
        kind = {"rsa": "RS256", "p256": "ES256", "p384": "ES384", "p521": "ES512", "ed25519": "EdDSA"}[name]
        algorithm = jwt.get_algorithm_by_name(kind)
        jwk = json.loads(algorithm.to_jwk(key.public_key()))
        jwks.append({k: jwk[k] for k in ("kty", "crv", "n", "e", "x", "y") if k in jwk} | {"kid": name})
with open(f"{WORK}/jwks.json", "w") as out:
    json.dump({"keys": jwks}, out)

cases = []


def case(name, token, answer):
    cases.append({"by": MAKER, "name": name, "jwt": token, "answer": answer})


def make(algorithm, key, claims=CLAIMS, **headers):
    return jwt.encode(claims, keys[key], algorithm, headers={"kid": key} | headers)


ALGORITHMS = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519",
}
for algorithm, key in ALGORITHMS.items():
    case(f"{algorithm}", make(algorithm, key), "accepted")
    other = CLAIMS | {"aud": "other"}
    case(f"{algorithm}, for another audience", make(algorithm, key, other), "claim aud")
    head, body, signature = make(algorithm, key).split(".")
    first = "B" if signature[0] == "A" else "A"
    case(f"{algorithm}, signature changed", f"{head}.{body}.{first}{signature[1:]}", "signature")
    _, swapped, _ = make(algorithm, key, CLAIMS | {"sub": "boss"}).split(".")
    case(f"{algorithm}, claims of another", f"{head}.{swapped}.{signature}", "signature")
case("list of audiences", make("ES256", "p256", CLAIMS | {"aud": ["other", "petsem"]}), "accepted")
case("empty list of audiences", make("ES256", "p256", CLAIMS | {"aud": []}), "claim aud")
case("audience within a longer one", make("ES256", "p256", CLAIMS | {"aud": "petsem.example"}), "claim aud")
case("another issuer", make("ES256", "p256", CLAIMS | {"iss": "https://issuer.example/"}), "claim iss")
case("without audience", make("ES256", "p256", {k: v for k, v in CLAIMS.items() if k != "aud"}), "claim aud")
case("without exp", make("ES256", "p256", {k: v for k, v in CLAIMS.items() if k != "exp"}), "claim exp")
case("without iat", make("ES256", "p256", {k: v for k, v in CLAIMS.items() if k != "iat"}), "claim iat")
case("expired", make("ES256", "p256", CLAIMS | {"iat": NOW - 400, "exp": NOW - 100}), "expired")
case("just within the skew", make("ES256", "p256", CLAIMS | {"iat": NOW - 300, "exp": NOW - 30}), "accepted")
case("just beyond the skew", make("ES256", "p256", CLAIMS | {"iat": NOW - 300, "exp": NOW - 31}), "expired")
case("nbf in the future", make("ES256", "p256", CLAIMS | {"nbf": NOW + 31}), "not yet valid")
case("nbf within the skew", make("ES256", "p256", CLAIMS | {"nbf": NOW + 30}), "accepted")
case("iat in the future", make("ES256", "p256", CLAIMS | {"iat": NOW + 31, "exp": NOW + 300}), "not yet valid")
case("longer than allowed", make("ES256", "p256", CLAIMS | {"exp": NOW + 301}), "too long lived")
case("exp as text", make("ES256", "p256", CLAIMS | {"exp": str(NOW + 300)}), "claim exp")

# Algorithm confusion: the RSA public key as an HMAC secret. PyJWT itself refuses to, so by hand.
import hashlib
import hmac


def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


public = open(f"{WORK}/rsa.pub.pem", "rb").read()
for algorithm, digest in {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}.items():
    for form, secret in {"PEM": public, "PEM without newline": public.strip()}.items():
        signed = f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'rsa'})}.{part(CLAIMS)}"
        mac = hmac.new(secret, signed.encode(), digest).digest()
        case(f"{algorithm} with the RSA public key ({form})", f"{signed}.{part(mac)}", "algorithm")
case("none", jwt.encode(CLAIMS, None, "none", headers={"kid": "rsa"}), "algorithm")
for spelling in ("None", "NONE", "nOnE", ""):
    unsigned = f"{part({'alg': spelling, 'kid': 'rsa'})}.{part(CLAIMS)}."
    case(f"none, written {spelling!r}", unsigned, "algorithm")

# Raw JSON: what an encoder with a dictionary cannot write.


def raw(header, claims, key="p256"):
    signed = f"{part(header)}.{part(claims)}"
    algorithm = jwt.get_algorithm_by_name("ES256")
    return f"{signed}.{part(algorithm.sign(signed.encode(), keys[key]))}"


# Ed25519 by its own name, which PyJWT does not have yet.
named = f"{part({'alg': 'Ed25519', 'kid': 'ed25519'})}.{part(CLAIMS)}"
case("Ed25519", f"{named}.{part(keys['ed25519'].sign(named.encode()))}", "accepted")

HEAD = b'{"alg":"ES256","kid":"p256"}'
BODY = json.dumps(CLAIMS).encode()
case("raw", raw(HEAD, BODY), "accepted")
case("sub twice", raw(HEAD, BODY[:-1] + b',"sub":"boss"}'), "not a JWT")
case("aud twice", raw(HEAD, b'{"aud":"other",' + BODY[1:]), "not a JWT")
case("sub twice, once escaped", raw(HEAD, BODY[:-1] + rb',"\u0073ub":"boss"}'), "not a JWT")
case("alg twice in the header", raw(b'{"alg":"none","alg":"ES256","kid":"p256"}', BODY), "not a JWT")
case("a name twice in a claim", raw(HEAD, BODY[:-1] + b',"a":{"b":1,"b":2}}'), "not a JWT")
case("a name twice in a list", raw(HEAD, BODY[:-1] + b',"a":[{"b":1,"b":1}]}'), "not a JWT")
case("claims are a list", raw(HEAD, b"[" + BODY + b"]"), "not a JWT")
case("something behind the claims", raw(HEAD, BODY + b"{}"), "not a JWT")
case("claims are not UTF-8", raw(HEAD, BODY[:-1] + b',"x":"\xff"}'), "not a JWT")

json.dump(cases, sys.stdout)
