//! Shares, rounds and their outcome on disk.
