//! Hex as it stands in Stratum messages.

use pow::NBits;

/// Stratum's odd order for the previous block hash: internal byte order with every 4-byte word reversed.
pub(crate) fn stratum_prev_hash(internal: &[u8; 32]) -> String {
    let mut swapped = [0; 32];
    for (to, from) in swapped.chunks_exact_mut(4).zip(internal.chunks_exact(4)) {
        to.copy_from_slice(from);
        to.reverse();
    }
    hex::encode(swapped)
}

/// Eight hex digits, big-endian.
pub(crate) fn word(value: u32) -> String {
    format!("{value:08x}")
}

/// Eight hex digits of nBits.
pub(crate) fn bits(value: NBits) -> String {
    word(value.to_consensus())
}

/// Decodes exactly `N` bytes; both cases are fine, anything else is not. `None` if it is not that.
pub(crate) fn exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
