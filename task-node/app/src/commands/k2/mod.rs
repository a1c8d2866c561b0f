//! `orcapool k2 ...`: one file a command, or a few that belong together.
//!
//! With `--json` every line on standard output is one JSON object (or, for lists, one array). A `--dry-run` of something
//! that would fail exits with status 1.

mod admin;
mod claim;
mod close;
mod dry_run;
mod explain;
mod init;
mod keep;
#[cfg(feature = "local-k2")]
mod local;
mod mint;
mod operator;
mod redeem;
mod relay;
mod round;
mod session;
pub(crate) mod settlement;
mod status;

use std::process::ExitCode;

use crate::cli::{K2Args, K2Command};
use crate::config::LogFormat;
use crate::logging;
#[cfg(feature = "local-k2")]
pub(crate) use claim::{fetch_list, parse_sources};
use session::Session;
pub(crate) use session::{bitcoin, client, read_keypair};

pub(super) async fn run(common: &K2Args, command: &K2Command) -> anyhow::Result<ExitCode> {
    let level = match command {
        K2Command::Local(_) | K2Command::Keep { .. } | K2Command::Relay { follow: true } => {
            "info,actix_server=warn"
        }
        _ => "warn",
    };
    logging::start(LogFormat::Text, level)?;
    match command {
        K2Command::Explain { instruction, code } => explain::run(common.json, instruction, *code)?,
        #[cfg(feature = "local-k2")]
        K2Command::Local(args) => local::run(common, args).await?,
        #[cfg(not(feature = "local-k2"))]
        K2Command::Local(_) => return Err(super::no_local_k2("k2 local")),
        command => {
            let session = Session::open(common)?;
            on_cluster(&session, command).await?;
            if session.would_fail() {
                return Ok(ExitCode::from(1));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn on_cluster(session: &Session, command: &K2Command) -> anyhow::Result<()> {
    match command {
        K2Command::Init(args) => init::run(session, args).await,
        K2Command::Relay { follow } => relay::run(session, *follow).await,
        K2Command::Propose(args) => round::propose(session, args).await,
        K2Command::Attest(args) => round::attest(session, args).await,
        K2Command::Finalize { round } => round::finalize(session, *round).await,
        K2Command::Veto { round, proposer } => round::veto(session, *round, *proposer).await,
        K2Command::Mint {
            deposit: Some(txid),
            block: Some(block),
            ..
        } => mint::deposit(session, *txid, *block).await,
        K2Command::Mint { from, .. } => mint::run(session, *from).await,
        K2Command::Claim { owner, role, from } => claim::run(session, *owner, *role, from).await,
        K2Command::Status => status::run(session).await,
        K2Command::Operator(command) => operator::run(session, command).await,
        K2Command::Admin(command) => admin::run(session, command).await,
        K2Command::Redeem(args) => redeem::redeem(session, args).await,
        K2Command::Settle { txid, block } => redeem::settle(session, txid.zip(*block)).await,
        K2Command::Close => close::run(session).await,
        K2Command::Keep { node, every } => keep::run(session, node, *every).await,
        // These need no cluster.
        K2Command::Local(_) | K2Command::Explain { .. } => Ok(()),
    }
}
