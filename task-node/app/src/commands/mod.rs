//! One file a subcommand.
//!
//! Results go to standard output, logs and errors to standard error. Exit status: 0 done, 1 the answer is "no" (an invalid
//! bundle, a sick node, a devnet that disagreed), 2 it could not be done.

mod audit;
mod config;
mod custody;
#[cfg(feature = "local-k2")]
mod devnet;
mod doctor;
mod healthcheck;
pub(crate) mod k2;
mod mine;
mod output;
mod rounds;
mod run;
mod shares;
mod status;
mod status_text;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, ConfigArgs};
use crate::config::{Config, load};

/// Runs a parsed command line.
///
/// # Errors
/// Whatever kept the command from being done, in words for the user.
pub async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run { config } => run::run(&config).await,
        #[cfg(feature = "local-k2")]
        Command::Devnet(args) => devnet::run(&args).await,
        #[cfg(not(feature = "local-k2"))]
        Command::Devnet(_) => Err(no_local_k2("devnet")),
        Command::Audit(args) => audit::run(&args).await,
        Command::Shares {
            config,
            round,
            json,
        } => shares::run(&config, round, json).await,
        Command::Rounds {
            config,
            limit,
            json,
        } => rounds::run(&config, limit, json).await,
        Command::Config(command) => config::run(&command),
        Command::Status(args) => status::run(&args).await,
        Command::Doctor { config, json } => doctor::run(&config, json).await,
        Command::Healthcheck { config, ready } => healthcheck::run(&config, ready).await,
        Command::K2 { common, command } => k2::run(&common, &command).await,
        Command::Keys { common, command } => custody::keys::run(&common, &command).await,
        Command::Wallet { common, command } => custody::wallet::run(&common, &command).await,
        Command::Psbt { common, command } => custody::psbt::run(&common, &command).await,
        Command::Payout { common, command } => custody::payout::run(&common, &command).await,
        Command::Reserves { common, command } => custody::reserves::run(&common, &command).await,
        Command::Books { common, command } => custody::books::run(&common, &command).await,
        Command::Sign(args) => custody::sign::run(&args).await,
        Command::Mine(args) => mine::run(&args).await,
        Command::OpenApi => {
            output::line(&crate::http::document())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reads and checks the configuration.
fn configuration(args: &ConfigArgs) -> anyhow::Result<Config> {
    let raw = load(args.config.as_deref(), &args.assignments())
        .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
    Config::try_from(&raw).map_err(|error| {
        anyhow::anyhow!(
            "the configuration is wrong:\n{error}\n(`orcapool config show` prints all keys)"
        )
    })
}

/// What is said of commands that this build was made without.
#[cfg(not(feature = "local-k2"))]
fn no_local_k2(command: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "`orcapool {command}` is not in this build, which runs a pool node and has no local K2. The default build has it: \
         `scripts/run` starts a whole local pool, `cargo build -p orcapool-app` makes the program"
    )
}

/// A token that is cancelled by Ctrl-C or SIGTERM. A second signal ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};

    let token = CancellationToken::new();
    let stop = token.clone();
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            signals += 1;
            if signals > 1 {
                tracing::warn!("second signal: ending at once; acknowledged shares are on disk");
                std::process::exit(130);
            }
            tracing::info!("stopping");
            stop.cancel();
        }
    });
    Ok(token)
}
