"""The other side of petsem's secret keys: PyNaCl and cryptography.

Reads one JSON list of keys from stdin, each with what petsem made with it, and answers one JSON list: what
came out of petsem's ciphertext or whether its signature is good, and what this side makes with the same key.
Byte strings are hexadecimal. What petsem made and does not fit raises an exception.
"""

import hashlib
import hmac
import json
import os
import sys

import nacl.bindings
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey


def hs(hash_type):
    def peer(case):
        def tag(message):
            running = HMAC(case["key"], hash_type())
            running.update(message)
            return running

        tag(case["plaintext"]).verify(case["signature"])
        return {"signature": tag(case["answer"]).finalize()}

    return peer


def nacl_auth(case):
    # PyNaCl has no crypto_auth; this is libsodium's definition of it.
    def tag(message):
        return hmac.new(case["key"], message, hashlib.sha512).digest()[:32]

    assert hmac.compare_digest(tag(case["plaintext"]), case["signature"])
    return {"signature": tag(case["answer"])}


def nacl_secretbox(case):
    box = SecretBox(case["key"])
    assert box.decrypt(case["ciphertext"]) == case["plaintext"]
    return {"ciphertext": bytes(box.encrypt(case["answer"]))}


def nacl_box(case):
    private = PrivateKey(case["key"])
    assert bytes(private.public_key) == case["public_key"]
    assert SealedBox(private).decrypt(case["ciphertext"]) == case["plaintext"]
    # The encrypting party has the public key alone.
    return {"ciphertext": SealedBox(PublicKey(case["public_key"])).encrypt(case["answer"])}


def nacl_sign(case):
    VerifyKey(case["public_key"]).verify(case["plaintext"], case["signature"])
    return {"signature": SigningKey(case["key"]).sign(case["answer"]).signature}


def es256(case):
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), case["public_key"])
    both = case["signature"]
    der = utils.encode_dss_signature(int.from_bytes(both[:32], "big"), int.from_bytes(both[32:], "big"))
    public.verify(der, case["plaintext"], ec.ECDSA(hashes.SHA256()))
    private = ec.derive_private_key(int.from_bytes(case["key"], "big"), ec.SECP256R1())
    r, s = utils.decode_dss_signature(private.sign(case["answer"], ec.ECDSA(hashes.SHA256())))
    return {"signature": r.to_bytes(32, "big") + s.to_bytes(32, "big")}


def xaes256gcm(case):
    # cryptography has no XAES-256-GCM; C2SP defines it by its AES and AES-GCM.
    def derived(nonce):
        aes = Cipher(algorithms.AES(case["key"]), modes.ECB()).encryptor()
        subkey = int.from_bytes(aes.update(bytes(16)), "big") << 1
        if subkey >> 128:
            subkey = (subkey & ((1 << 128) - 1)) ^ 0x87
        k1 = subkey.to_bytes(16, "big")
        blocks = [b"\x00" + bytes([counter]) + b"X\x00" + nonce[:12] for counter in (1, 2)]
        return AESGCM(b"".join(aes.update(bytes(a ^ b for a, b in zip(block, k1))) for block in blocks))

    ad = case["associated_data"]
    nonce, rest = case["ciphertext"][:24], case["ciphertext"][24:]
    assert derived(nonce).decrypt(nonce[12:], rest, ad) == case["plaintext"]
    nonce = os.urandom(24)
    return {"ciphertext": nonce + derived(nonce).encrypt(nonce[12:], case["answer"], ad)}


PEERS = {
    "hs256": hs(hashes.SHA256),
    "hs384": hs(hashes.SHA384),
    "hs512": hs(hashes.SHA512),
    "nacl_auth": nacl_auth,
    "nacl_secretbox": nacl_secretbox,
    "nacl_box": nacl_box,
    "nacl_sign": nacl_sign,
    "es256": es256,
    "xaes256gcm": xaes256gcm,
}


def main():
    assert nacl.bindings.sodium_init() is None
    answers = []
    for case in json.load(sys.stdin):
        kind = case.pop("type")
        answer = PEERS[kind]({name: bytes.fromhex(text) for name, text in case.items()})
        answers.append({name: value.hex() for name, value in answer.items()})
    json.dump(answers, sys.stdout)


main()
