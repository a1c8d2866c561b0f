//! Template, coinbase, job and share: everything a proof of work says about who earned it.
