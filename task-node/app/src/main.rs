//! See the library's documentation, or `orcapool --help`.

use std::process::ExitCode;

use clap::Parser as _;
use orcapool::cli::Cli;
use orcapool::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
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
