//! petsem with every kind of seal, each with its real counterpart: SoftHSM2, moto's server in place of AWS
//! KMS, and swtpm, started and stopped by the tests. The tests of single seals are in `seals`.

#![cfg(test)]

mod aws_kms;
mod pkcs11;
mod scene;
mod tpm2;
