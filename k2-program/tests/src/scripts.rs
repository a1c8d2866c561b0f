//! Bitcoin scripts by name: nobody has their keys, and nobody here spends from them.

use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::state::PackedScript;
use sha2::{Digest as _, Sha256};

/// No script.
pub const NONE: PackedScript = [0; 35];

/// `OP_0 push(20 bytes)`: a public key's hash.
pub fn p2wpkh(name: &str) -> PackedScript {
    packed(&[&[0, 20], &digest(name)[..20]])
}

/// `OP_0 push(32 bytes)`: a script's hash, as of a 2-of-3.
pub fn p2wsh(name: &str) -> PackedScript {
    packed(&[&[0, 32], &digest(name)])
}

/// `OP_1 push(32 bytes)`: a tweaked public key.
pub fn p2tr(name: &str) -> PackedScript {
    packed(&[&[0x51, 32], &digest(name)])
}

/// `OP_DUP OP_HASH160 push(20 bytes) OP_EQUALVERIFY OP_CHECKSIG`.
pub fn p2pkh(name: &str) -> PackedScript {
    packed(&[&[0x76, 0xa9, 20], &digest(name)[..20], &[0x88, 0xac]])
}

/// `OP_HASH160 push(20 bytes) OP_EQUAL`.
pub fn p2sh(name: &str) -> PackedScript {
    packed(&[&[0xa9, 20], &digest(name)[..20], &[0x87]])
}

/// The pool's coinbase script.
pub fn coinbase() -> PackedScript {
    p2wsh("custody's coinbases")
}

/// The pool's deposit script.
pub fn deposit() -> PackedScript {
    p2wsh("custody's deposits")
}

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name).into()
}

fn packed(parts: &[&[u8]]) -> PackedScript {
    ScriptPubkey::parse(&parts.concat())
        .expect("it is standard")
        .to_packed()
}
