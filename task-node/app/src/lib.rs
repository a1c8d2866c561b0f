//! The binary `orcapool`: command line, configuration, wiring, HTTP, devnet.
//!
//! `main.rs` only parses the command line; everything else is here, so that the end-to-end tests use the same parts.

pub mod cli;
pub mod commands;
pub mod config;
pub mod devnet;
pub mod http;
pub mod logging;
mod mining;
pub mod node;
pub mod refusal;
pub mod requests;
