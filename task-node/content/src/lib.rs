//! CIDs, CAR files, the block store and where missing blocks are fetched from.
