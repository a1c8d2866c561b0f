//! A Koii round: collect, seal to a bundle, audit, distribute.
