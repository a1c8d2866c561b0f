//! The binary: command line, configuration, wiring and HTTP.
