//! Who is owed what: PPLNS weights, exact rounding, operator and miner distributions.
