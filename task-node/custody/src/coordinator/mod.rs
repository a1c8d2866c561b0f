//! Brings each payment from its intent to its settlement.
