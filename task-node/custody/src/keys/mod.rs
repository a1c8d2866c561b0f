//! A custodian's seed, encrypted at rest.
