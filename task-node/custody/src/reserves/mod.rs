//! Proof that the coins exist and can be signed for.
