//! What was intended, signed and sent.
