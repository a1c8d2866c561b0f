//! The binary `orcapool`: command line, configuration, wiring, HTTP, devnet.
//!
//! `main.rs` only calls [`program`]; everything is here, so that the end-to-end tests use the same parts.

pub mod cli;
pub mod commands;
pub mod config;
#[cfg(feature = "local-k2")]
pub mod devnet;
pub mod http;
pub mod logging;
mod mining;
pub mod node;
pub mod refusal;
pub mod requests;
pub mod status;

use std::process::ExitCode;

use clap::Parser as _;

/// The program: reads the command line of this process and does what it says.
#[must_use]
pub fn program() -> ExitCode {
    let cli = cli::Cli::parse();
    // Every TLS connection of the process uses this; there is no other to be in its way.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(commands::dispatch(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
