//! SHA-256 by the runtime's syscall.

/// SHA-256 of the concatenated slices. The interface's parsers and trees take it as a parameter.
#[inline]
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    solana_sha256_hasher::hashv(parts).to_bytes()
}
