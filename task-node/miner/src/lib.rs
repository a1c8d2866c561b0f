//! Search loops and a Stratum client: the built-in miner.
