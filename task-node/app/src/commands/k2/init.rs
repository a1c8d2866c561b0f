//! `orcapool k2 init`: the program's one set-up, and the relay's checkpoint.

use anyhow::Context as _;
use k2_client::relayer::Checkpoint;
use k2_client::views::program_network;
use k2_interface::instruction::Initialize;

use super::admin::packed;
use super::session::{Session, or_own};
use crate::cli::InitArgs;

/// Blocks below the node's tip at which the checkpoint is taken: the relay never goes below it, so it must not be one that is
/// taken back.
const CHECKPOINT_DEPTH: u32 = 10;

pub(super) async fn run(session: &Session, args: &InitArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let own = keypair.address();
    let authority = or_own(args.authority, &keypair);
    let node = session.bitcoin()?;
    let network = program_network(session.settings.network)
        .context("the program knows main, testnet4, signet and regtest")?;
    let coinbase_script = match (&args.custody, &session.settings.payout) {
        (Some(text), _) => packed(session, text)?,
        (None, Some(_)) => session
            .settings
            .payout
            .as_ref()
            .map(|script| {
                k2_interface::bitcoin::ScriptPubkey::parse(script.as_script().as_bytes())
                    .map(|script| script.to_packed())
            })
            .context("custody")??,
        (None, None) => anyhow::bail!("which custody? Give --custody, or payout.script in -c"),
    };
    let deposit_script = match &args.deposits {
        Some(text) => packed(session, text)?,
        None => k2_client::NO_SCRIPT,
    };
    let initialize = Initialize {
        network: network.into(),
        quorum: args.quorum,
        authority,
        guardian: args.guardian.unwrap_or(authority),
        deposit_confirmations: args.deposit_confirmations,
        mint_horizon: args.mint_horizon,
        mint_window_blocks: args.mint_window_blocks,
        redeem_expiry_blocks: args.redeem_expiry_blocks,
        custody_grace_blocks: args.custody_grace_blocks,
        mint_window_cap: args.mint_window_cap,
        supply_cap: args.supply_cap,
        redeem_min: args.redeem_min,
        challenge_slots: args.challenge_slots,
        custody_delay_slots: args.custody_delay_slots,
        unbonding_slots: args.unbonding_slots,
        bond_lamports: args.bond_lamports,
        coinbase_script,
        deposit_script,
    };
    // Before anything is sent: what Initialize sets can never be changed, and without its node there is no checkpoint.
    let tip = node.chain_info().await?.height;
    let height = args
        .checkpoint
        .unwrap_or_else(|| tip.saturating_sub(CHECKPOINT_DEPTH));
    let checkpoint = Checkpoint::read(&*node, height).await?;
    // After an interruption the same command goes on where it stopped.
    let accounts = session.client.accounts();
    let k2 = session.client.k2();
    let exists = k2
        .account(&session.program().config(), session.client.commitment())
        .await?
        .is_some();
    if exists {
        session.say("initialize: already done")?;
    } else {
        let instruction = session.program().initialize(own, own, initialize);
        session
            .act("initialize", [instruction], &[&keypair])
            .await?;
        if session.dry_run() {
            return Ok(());
        }
    }
    if authority != own {
        return session.say(
            "the relay's checkpoint is the authority's: it runs the same command with its keypair",
        );
    }
    if accounts.relay_if_any().await?.is_some() {
        return session.say("relay: already has its checkpoint");
    }
    let hash = checkpoint.headers.last().map(|header| header.block_hash());
    session.say(&format!(
        "checkpoint: height {height}, block {}",
        hash.map(|hash| hash.to_string()).unwrap_or_default()
    ))?;
    let instruction =
        session
            .program()
            .initialize_relay(own, own, checkpoint.args, &checkpoint.headers);
    session
        .act("relay checkpoint", [instruction], &[&keypair])
        .await
}
