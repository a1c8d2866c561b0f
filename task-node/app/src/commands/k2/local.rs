//! `orcapool k2 local`: a K2 on this machine, with the program installed.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use k2_client::{Keypair, pubkey};
use k2_local::{Genesis, GenesisProgram, LocalK2, LocalK2Options};
use sha2::{Digest as _, Sha256};

use crate::cli::{K2Args, LocalArgs};
use crate::commands::k2::session::read_keypair;
use crate::commands::{output, stop_on_signal};

pub(super) async fn run(common: &K2Args, args: &LocalArgs) -> anyhow::Result<()> {
    let upgrade_authority = match (args.upgrade_authority, &common.keypair) {
        (Some(address), _) => address,
        (None, Some(file)) => read_keypair(file)?.address(),
        (None, None) => anyhow::bail!(
            "who may initialize the program? Give --upgrade-authority or --keypair \
             (a new keypair: `solana-keygen new`)"
        ),
    };
    let elf = std::fs::read(&args.so).with_context(|| {
        format!(
            "the program {} (scripts/build-program makes it)",
            args.so.display()
        )
    })?;
    // The same on every start, so that configurations can name it.
    let id = common.program.unwrap_or_else(|| {
        Keypair::from_seed(Sha256::digest(b"orcapool k2 local program").into()).address()
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut genesis = Genesis::new(
        i64::try_from(now)?,
        Sha256::digest(b"orcapool k2 local").into(),
    );
    genesis.slot_millis = args.slot_millis;
    genesis.programs = vec![GenesisProgram {
        id: pubkey(&id),
        elf,
        upgrade_authority: Some(pubkey(&upgrade_authority)),
    }];
    let mut options = LocalK2Options::new(genesis);
    options.ip = args.listen.ip();
    options.port = args.listen.port();
    let stop = stop_on_signal()?;
    let k2 = LocalK2::start(options).await?;
    if common.json {
        output::json(&serde_json::json!({
            "rpc": k2.rpc_url(), "websocket": k2.ws_url(), "program": id.to_string(),
            "upgrade_authority": upgrade_authority.to_string(),
        }))?;
    } else {
        output::line(&format!(
            "K2 at {} (subscriptions {})\nprogram           {id}\nupgrade authority {upgrade_authority}\nCtrl-C stops it; nothing is kept",
            k2.rpc_url(),
            k2.ws_url(),
        ))?;
    }
    stop.cancelled().await;
    k2.stop().await;
    Ok(())
}
