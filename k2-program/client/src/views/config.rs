//! The configuration.

use k2_interface::K2Address;
use k2_interface::bitcoin::Network;
use k2_interface::state::{Config, CustodyScripts, Pause};
use serde::Serialize;

use super::{ScriptView, cid, hex, key, network_name};

/// [`CustodyScripts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustodyView {
    /// Script of the pool's coinbases.
    pub coinbase: Option<ScriptView>,
    /// Script of deposits.
    pub deposit: Option<ScriptView>,
}

impl CustodyView {
    fn new(scripts: &CustodyScripts, network: Option<Network>) -> Self {
        Self {
            coinbase: ScriptView::new(&scripts.coinbase, network),
            deposit: ScriptView::new(&scripts.deposit, network),
        }
    }
}

/// [`Config`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ConfigView {
    pub network: Option<&'static str>,
    pub paused: Vec<&'static str>,
    pub quorum: u8,
    pub authority: K2Address,
    pub pending_authority: Option<K2Address>,
    pub guardian: K2Address,
    pub mint: K2Address,
    pub vault: K2Address,
    pub escrow: K2Address,
    pub parameters: ParametersView,
    pub custody_epoch: u32,
    pub custody: CustodyView,
    pub previous_custody: CustodyView,
    pub previous_until_height: u32,
    pub pending_custody: Option<CustodyView>,
    pub pending_custody_slot: Option<u64>,
    pub window_start_height: u32,
    pub window_minted: u64,
    pub totals: TotalsView,
    pub rewards: Option<RewardsView>,
}

/// [`Parameters`](k2_interface::state::Parameters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct ParametersView {
    pub deposit_confirmations: u32,
    pub mint_horizon: u32,
    pub mint_window_blocks: u32,
    pub redeem_expiry_blocks: u32,
    pub custody_grace_blocks: u32,
    pub mint_window_cap: u64,
    pub supply_cap: u64,
    pub redeem_min: u64,
    pub challenge_slots: u64,
    pub custody_delay_slots: u64,
    pub unbonding_slots: u64,
    pub bond_lamports: u64,
}

/// [`Totals`](k2_interface::state::Totals), in sats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct TotalsView {
    pub proved_in: u64,
    pub burned: u64,
    /// `proved_in - burned`.
    pub supply: Option<u64>,
    pub claimed: u64,
    pub escrowed: u64,
    pub redemptions: u64,
}

/// [`Rewards`](k2_interface::state::Rewards).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as in the layout
pub struct RewardsView {
    pub finalized: u64,
    pub round: u64,
    pub total: u64,
    pub leaf_count: u32,
    pub root: String,
    pub list: Option<String>,
}

impl From<&Config> for ConfigView {
    fn from(config: &Config) -> Self {
        let network = Network::try_from(config.network).ok();
        let paused = [
            (Pause::Mint, "mint"),
            (Pause::Rounds, "rounds"),
            (Pause::Claim, "claim"),
            (Pause::Redeem, "redeem"),
        ];
        let (custody, parameters) = (&config.custody, &config.parameters);
        let (totals, rewards) = (&config.totals, &config.rewards);
        let pending = (custody.pending_slot.get() != 0).then_some(custody.pending_slot.get());
        Self {
            network: network.map(network_name),
            paused: paused
                .into_iter()
                .filter(|(pause, _)| config.is_paused(*pause))
                .map(|(_, name)| name)
                .collect(),
            quorum: config.quorum,
            authority: config.authority,
            pending_authority: key(config.pending_authority),
            guardian: config.guardian,
            mint: config.mint,
            vault: config.vault,
            escrow: config.escrow,
            parameters: ParametersView {
                deposit_confirmations: parameters.deposit_confirmations.get(),
                mint_horizon: parameters.mint_horizon.get(),
                mint_window_blocks: parameters.mint_window_blocks.get(),
                redeem_expiry_blocks: parameters.redeem_expiry_blocks.get(),
                custody_grace_blocks: parameters.custody_grace_blocks.get(),
                mint_window_cap: parameters.mint_window_cap.get(),
                supply_cap: parameters.supply_cap.get(),
                redeem_min: parameters.redeem_min.get(),
                challenge_slots: parameters.challenge_slots.get(),
                custody_delay_slots: parameters.custody_delay_slots.get(),
                unbonding_slots: parameters.unbonding_slots.get(),
                bond_lamports: parameters.bond_lamports.get(),
            },
            custody_epoch: custody.epoch.get(),
            custody: CustodyView::new(&custody.active, network),
            previous_custody: CustodyView::new(&custody.previous, network),
            previous_until_height: custody.previous_until.get(),
            pending_custody: pending.map(|_| CustodyView::new(&custody.pending, network)),
            pending_custody_slot: pending,
            window_start_height: config.window.start_height.get(),
            window_minted: config.window.minted.get(),
            totals: TotalsView {
                proved_in: totals.proved_in.get(),
                burned: totals.burned.get(),
                supply: config.supply(),
                claimed: totals.claimed.get(),
                escrowed: totals.escrowed.get(),
                redemptions: totals.redemptions.get(),
            },
            rewards: (rewards.finalized.get() > 0).then(|| RewardsView {
                finalized: rewards.finalized.get(),
                round: rewards.round.get(),
                total: rewards.total.get(),
                leaf_count: rewards.leaf_count.get(),
                root: hex(&rewards.root),
                list: cid(&rewards.list),
            }),
        }
    }
}
