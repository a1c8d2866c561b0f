//! The watch-only wallet.
