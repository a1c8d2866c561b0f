//! The Bitcoin node: templates, new blocks, submission, headers, fail-over.
