//! A batch of redemptions as one PSBT.
