//! petsem with every seal there is, each against its real counterpart: SoftHSM2, moto's server in the place of AWS
//! KMS, and swtpm, started and stopped by the tests. What a seal alone does is tested beside it, in `seals`.

#![cfg(test)]

mod aws_kms;
mod pkcs11;
mod scene;
mod tpm2;
