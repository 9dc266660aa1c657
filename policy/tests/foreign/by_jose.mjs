// The cases of jose, the library of the Node world.
import { readFileSync } from "node:fs";
import { CompactSign, SignJWT, importPKCS8, exportJWK, importSPKI } from "jose";

const work = process.argv[2];
const maker = `jose ${JSON.parse(readFileSync(`${work}/node_modules/jose/package.json`)).version}`;
const now = 1800000000;
const claims = {
  iss: "https://issuer.example", aud: "petsem", sub: "workload", jti: "j", iat: now, exp: now + 300,
};
const key = (name, algorithm) =>
  importPKCS8(readFileSync(`${work}/${name}.pem`, "utf8"), algorithm, { extractable: true });
const cases = [];
const add = (name, jwt, answer) => cases.push({ by: maker, name, jwt, answer });
const make = async (algorithm, name, header = {}, body = claims, options = {}) =>
  new SignJWT(body)
    .setProtectedHeader({ alg: algorithm, kid: name, ...header })
    .sign(await key(name, algorithm), options);

const algorithms = {
  RS256: "rsa", RS384: "rsa", RS512: "rsa", PS256: "rsa", PS384: "rsa", PS512: "rsa", ES256: "p256", ES384: "p384",
  ES512: "p521", EdDSA: "ed25519", Ed25519: "ed25519",
};
for (const [algorithm, name] of Object.entries(algorithms)) {
  add(algorithm, await make(algorithm, name), "accepted");
}

const types = {
  JWT: "accepted", jwt: "accepted", "at+jwt": "accepted", "application/at+jwt": "accepted",
  "dpop+jwt": "type", "secevent+jwt": "type", "logout+jwt": "type", JOSE: "type", "": "type",
};
for (const [typ, answer] of Object.entries(types)) {
  add(`typ ${JSON.stringify(typ)}`, await make("ES256", "p256", { typ }), answer);
}

for (const kid of [
  "../../../../dev/null", "/etc/passwd", "p256/../rsa", "p256'; DROP TABLE keys; --", "' UNION SELECT 'p256",
  "https://evil.example/keys.json", "file:///dev/null", "p256\u0000", "P256", " p256", "",
]) {
  add(`kid ${JSON.stringify(kid)}`, await make("ES256", "p256", { kid }), "unknown key");
}
add("kid of a key of another kind", await make("ES256", "p256", { kid: "p384" }), "key does not fit");
add("without kid, one key fits", await make("ES256", "p256", { kid: undefined }), "accepted");

// Keys and URLs in a header are ignored: they neither make a foreign key valid nor the right key invalid.
const stranger = await exportJWK(await importSPKI(readFileSync(`${work}/stranger.pub.pem`, "utf8"), "RS256"));
const brought = {
  jwk: { jwk: stranger }, jku: { jku: "https://evil.example/keys.json" },
  x5u: { x5u: "https://evil.example/chain.pem" },
};
for (const [name, header] of Object.entries(brought)) {
  add(`${name} of a stranger, signed by him`, await make("RS256", "stranger", { ...header, kid: "rsa" }), "signature");
  add(`${name} of a stranger, his kid`, await make("RS256", "stranger", header), "unknown key");
  add(`${name}, signed by the issuer`, await make("RS256", "rsa", header), "accepted");
}

const extended = { crit: ["https://issuer.example/x"], "https://issuer.example/x": true };
const understood = { crit: { "https://issuer.example/x": true } };
add("crit", await make("ES256", "p256", extended, claims, understood), "extension");
const payload = new TextEncoder().encode(JSON.stringify(claims));
add(
  "b64 true",
  await new CompactSign(payload)
    .setProtectedHeader({ alg: "ES256", kid: "p256", b64: true, crit: ["b64"] })
    .sign(await key("p256", "ES256")),
  "extension",
);
add(
  "no object of claims",
  await new CompactSign(new TextEncoder().encode('"text"'))
    .setProtectedHeader({ alg: "ES256", kid: "p256" })
    .sign(await key("p256", "ES256")),
  "not a JWT",
);
process.stdout.write(JSON.stringify(cases));
