//! The local K2 of a devnet, and what is done on it after each round: headers, matured coinbases, the reward root, claims.
//!
//! All of it by the same client code as `orcapool k2`, against the real program in a real SVM.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use chain::BitcoinNode;
use k2_client::claims::{ClaimProof, Claims};
use k2_client::mint::Minter;
use k2_client::redeem::{Redemptions, Request};
use k2_client::relayer::{Checkpoint, Relayer};
use k2_client::rounds::{Root, Rounds};
use k2_client::{Client, Commitment, Draft, K2Rpc, Keypair, RpcOptions, SendOptions, pubkey};
use k2_interface::K2Address;
use k2_interface::bitcoin::{Network, ScriptPubkey};
use k2_interface::instruction::Initialize;
use k2_interface::state::RedemptionState;
use k2_local::{Genesis, GenesisProgram, LocalK2, LocalK2Options, StartError};
use ledger::RewardList;
use work::PayoutScript;

use super::keys::{address, keypair};
use super::say;

/// A slot of a devnet: a quarter of K2's, so that the challenge of a round takes no time worth mentioning.
const SLOT_MILLIS: u64 = 100;
/// Slots in which a root can be vetoed.
const CHALLENGE_SLOTS: u64 = 5;
/// Slots between the announcement of a custody script and its activation: ten seconds, so that one sees the delay.
const CUSTODY_DELAY_SLOTS: u64 = 100;
/// Lamports for whoever pays fees and rent.
const PLENTY: u64 = 500_000_000_000;
/// Lamports an operator locks.
const BOND: u64 = 1_000_000_000;
/// Blocks that make every earlier coinbase mature.
const MATURITY: u32 = 100;
/// How long a root may take to become final.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The program's address, known before K2 runs: the task nodes' configurations name it.
pub(super) fn program() -> K2Address {
    address("program")
}

/// K2 and everything that acts on it.
#[derive(Debug)]
pub(super) struct DevnetK2 {
    local: LocalK2,
    client: Client,
    relayer: Relayer,
    minter: Minter,
    /// Pays for what anybody may do.
    payer: Arc<Keypair>,
    /// The task nodes' keypairs, in their order.
    operators: Vec<Keypair>,
    /// The first height whose coinbase may still have to be minted.
    mint_from: u32,
}

/// What was minted after a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minted {
    /// Headers relayed.
    pub(super) headers: usize,
    /// Coinbases minted.
    pub(super) minted: usize,
}

/// The books of K2 at the end.
#[derive(Debug, Clone)]
pub(super) struct Books {
    /// The token's supply.
    pub(super) supply: u64,
    /// Proved and minted.
    pub(super) proved: u64,
    /// Burned.
    pub(super) burned: u64,
    /// In the vault.
    pub(super) vault: u64,
    /// The round in force.
    pub(super) round: Option<u64>,
    /// What its list adds up to.
    pub(super) total: u64,
}

impl DevnetK2 {
    /// Starts K2 with the program, sets the pool up, and admits the task nodes as operators.
    pub(super) async fn start(
        so: &Path,
        network: Network,
        payout: &PayoutScript,
        node: Arc<dyn BitcoinNode>,
        names: &[String],
    ) -> anyhow::Result<Self> {
        let elf = std::fs::read(so).with_context(|| {
            format!(
                "the K2 program {} (scripts/build-program makes it)",
                so.display()
            )
        })?;
        let authority = keypair("authority");
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut genesis = Genesis::new(i64::try_from(now)?, *address("genesis").as_bytes());
        genesis.slot_millis = SLOT_MILLIS;
        genesis.programs = vec![GenesisProgram {
            id: pubkey(&program()),
            elf,
            upgrade_authority: Some(pubkey(&authority.address())),
        }];
        let options = LocalK2Options::new(genesis);
        let local = match LocalK2::start(options.clone()).await {
            // Another devnet, or a K2 of the user's, has the usual port: any free one will do.
            Err(StartError::Listen { .. }) => {
                LocalK2::start(LocalK2Options { port: 0, ..options }).await?
            }
            started => started?,
        };
        say(&format!("K2 at {}, program {}", local.rpc_url(), program()));

        let k2 = Arc::new(K2Rpc::new(&RpcOptions::new(vec![local.rpc_url()]))?);
        let client = Client::new(
            k2,
            program(),
            SendOptions {
                // One node, so nothing is ever taken back.
                commitment: Commitment::Processed,
                poll: Duration::from_millis(10),
                ..SendOptions::default()
            },
        );
        let payer = Arc::new(keypair("payer"));
        let devnet = Self {
            local,
            relayer: Relayer::new(client.clone(), Arc::clone(&node), Arc::clone(&payer)),
            minter: Minter::new(client.clone(), Arc::clone(&node), Arc::clone(&payer)),
            client,
            payer,
            operators: names.iter().map(|name| keypair(name)).collect(),
            mint_from: 0,
        };
        devnet.set_up(&authority, network, payout, &*node).await?;
        let mint_from = devnet.client.accounts().relay().await?.oldest_height.get();
        Ok(Self {
            mint_from,
            ..devnet
        })
    }

    async fn set_up(
        &self,
        authority: &Keypair,
        network: Network,
        payout: &PayoutScript,
        node: &dyn BitcoinNode,
    ) -> anyhow::Result<()> {
        for key in self.operators.iter().chain([authority, &*self.payer]) {
            self.fund(key.address()).await?;
        }
        let (program, own) = (self.client.program(), authority.address());
        let operators = u8::try_from(self.operators.len())?;
        let initialize = Initialize {
            network: network.into(),
            quorum: operators / 2 + 1,
            authority: own,
            guardian: own,
            deposit_confirmations: 6,
            mint_horizon: 52_560,
            mint_window_blocks: 144,
            redeem_expiry_blocks: 432,
            custody_grace_blocks: 1_008,
            mint_window_cap: 2_100_000_000_000_000,
            supply_cap: 2_100_000_000_000_000,
            redeem_min: 10_000,
            challenge_slots: CHALLENGE_SLOTS,
            custody_delay_slots: CUSTODY_DELAY_SLOTS,
            unbonding_slots: 100,
            bond_lamports: BOND,
            coinbase_script: ScriptPubkey::parse(payout.as_script().as_bytes())?.to_packed(),
            deposit_script: k2_client::NO_SCRIPT,
        };
        self.act([program.initialize(own, own, initialize)], &[authority])
            .await
            .context("initialize")?;
        // The chain is a few blocks old; nobody takes its genesis back.
        let checkpoint = Checkpoint::read(node, 0).await?;
        self.act(
            [program.initialize_relay(own, own, checkpoint.args, &checkpoint.headers)],
            &[authority],
        )
        .await
        .context("the relay's checkpoint")?;
        for operator in &self.operators {
            self.act(
                [program.register_operator(operator.address(), own)],
                &[operator, authority],
            )
            .await
            .context("register an operator")?;
        }
        Ok(())
    }

    async fn fund(&self, address: K2Address) -> anyhow::Result<()> {
        let k2 = self.client.k2();
        k2.request_airdrop(&address, PLENTY).await?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while k2.balance(&address, Commitment::Processed).await? == 0 {
            ensure!(
                tokio::time::Instant::now() < deadline,
                "the local K2's faucet does not pay"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn act(
        &self,
        instructions: impl Into<Vec<solana_instruction::Instruction>>,
        keys: &[&Keypair],
    ) -> anyhow::Result<()> {
        let payer = keys.first().context("nobody signs")?.address();
        self.client
            .send(&Draft::new(payer, instructions), keys)
            .await?;
        Ok(())
    }

    /// Brings the relay to the node's tip and mints every coinbase that has matured.
    pub(super) async fn mint_matured(&mut self) -> anyhow::Result<Minted> {
        let relayed = self
            .relayer
            .relay_once()
            .await
            .context("relaying headers")?;
        let report = self
            .minter
            .mint_since(self.mint_from)
            .await
            .context("minting coinbases")?;
        if let Some(reason) = &report.stopped {
            anyhow::bail!("minting stopped: {reason}");
        }
        // What is older than every coinbase that still waits is done.
        self.mint_from = report
            .open
            .iter()
            .map(|sighting| sighting.payment.height)
            .min()
            .unwrap_or_else(|| relayed.height.saturating_sub(MATURITY));
        Ok(Minted {
            headers: relayed.headers,
            minted: report.minted.len(),
        })
    }

    /// Proposes, attests and finalizes a round's root. `computed`: each operator's own, in their order.
    pub(super) async fn put_in_force(&self, computed: &[Root]) -> anyhow::Result<()> {
        let rounds = Rounds::new(&self.client);
        let mut attestors = self.operators.iter().zip(computed);
        let (proposer, root) = attestors.next().context("no operators")?;
        rounds.propose(proposer, root).await.context("proposing")?;
        for (operator, root) in attestors {
            rounds.attest(operator, root).await.context("attesting")?;
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match rounds.finalize(&self.payer, root.round).await {
                Ok(_) => return Ok(()),
                // The challenge slots have to pass.
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(error).context("finalizing");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(SLOT_MILLIS)).await,
            }
        }
    }

    /// Claims for everybody who has earned something new.
    pub(super) async fn claim_all(&self, list: &RewardList) -> anyhow::Result<usize> {
        let claims = Claims::new(&self.client);
        let mut paid = 0;
        for entry in list.entries() {
            let proof = ClaimProof::of(list, entry.role, entry.owner)?;
            let claimed = claims
                .claim(&self.payer, &proof)
                .await
                .with_context(|| format!("claiming for {}", entry.owner))?;
            paid += usize::from(claimed.signature.is_some());
        }
        Ok(paid)
    }

    /// Brings the relay to the node's tip.
    pub(super) async fn relay(&self) -> anyhow::Result<()> {
        self.relayer
            .relay_once()
            .await
            .context("relaying headers")?;
        Ok(())
    }

    /// Somebody redeems wrapped satoshis for BTC to an address.
    pub(super) async fn redeem(&self, name: &str, request: &Request) -> anyhow::Result<u64> {
        let requested = Redemptions::new(&self.client)
            .request(&self.payer, &keypair(name), request)
            .await
            .context("requesting a redemption")?;
        Ok(requested.id)
    }

    /// What the settled redemption was paid, in satoshis.
    pub(super) async fn settled(&self, id: u64) -> anyhow::Result<Option<u64>> {
        let redemption = Redemptions::new(&self.client).one(id).await?;
        let is_settled = redemption.state == RedemptionState::Settled as u8;
        Ok(is_settled.then(|| redemption.paid.get()))
    }

    /// Wrapped satoshis in the associated token accounts of these owners.
    pub(super) async fn balances(
        &self,
        owners: impl IntoIterator<Item = K2Address>,
    ) -> anyhow::Result<BTreeMap<K2Address, u64>> {
        let mut balances = BTreeMap::new();
        for owner in owners {
            let account = self.client.program().token_account(&owner).address;
            let tokens = self.client.accounts().token_account(account).await?;
            balances.insert(owner, tokens.map_or(0, |tokens| tokens.amount));
        }
        Ok(balances)
    }

    /// The books.
    pub(super) async fn books(&self) -> anyhow::Result<Books> {
        let accounts = self.client.accounts();
        let config = accounts.config().await?;
        let vault = accounts
            .token_account(self.client.program().vault())
            .await?;
        Ok(Books {
            supply: accounts.mint().await?.supply,
            proved: config.totals.proved_in.get(),
            burned: config.totals.burned.get(),
            vault: vault.map_or(0, |vault| vault.amount),
            round: (config.rewards.finalized.get() > 0).then(|| config.rewards.round.get()),
            total: config.rewards.total.get(),
        })
    }

    /// Where it listens.
    pub(super) fn rpc_url(&self) -> String {
        self.local.rpc_url()
    }

    /// The wrapped token.
    pub(super) fn mint(&self) -> K2Address {
        self.client.program().mint()
    }

    /// Writes the keypair files of everybody in the devnet, for `orcapool k2` and other Solana tools.
    pub(super) fn write_keypairs(dir: &Path, names: &[String]) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir)?;
        for name in names
            .iter()
            .map(String::as_str)
            .chain(["authority", "payer"])
        {
            keypair(name).write_new(&dir.join(format!("{}.json", name.replace(' ', "-"))))?;
        }
        Ok(())
    }

    /// Stops K2.
    pub(super) async fn stop(self) {
        self.local.stop().await;
    }
}
