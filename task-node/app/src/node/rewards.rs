//! What settlements say, for wallets and scripts.

use k2_interface::Role;
use ledger::Stake;
use work::{K2Address, RoundNumber};

use super::settlement::Settled;
use super::{
    ClaimView, MaturedBlockView, Node, RewardView, RewardsView, SettlementView, role_name,
};
use crate::refusal::Refusal;

impl From<&Settled> for SettlementView {
    fn from(settled: &Settled) -> Self {
        let settlement = &settled.settlement;
        let record = settlement.distribution().record();
        let list = settled.list.as_ref();
        Self {
            round: record.round.get(),
            settled: true,
            program: record.program.to_string(),
            pot: record.pot.to_sat(),
            carried: settlement.carried().to_sat(),
            undistributed: record.undistributed.to_sat(),
            earned: record.miners.total().to_sat(),
            total: list.map_or(0, |(_, list)| list.total().to_sat()),
            leaves: record.leaf_count,
            root: record.root.map(hex::encode),
            list: list.map(|(cid, _)| cid.to_string()),
            maturity_height: settlement.maturity_height(),
            blocks: settlement
                .blocks()
                .iter()
                .map(|block| MaturedBlockView {
                    height: block.height,
                    hash: block.hash.to_string(),
                    value: block.value.to_sat(),
                })
                .collect(),
        }
    }
}

impl RewardsView {
    fn new(settled: &Settled, address: K2Address) -> Self {
        let record = settled.settlement.distribution().record();
        let list = settled.list.as_ref();
        let rewards = [Role::Miner, Role::Operator]
            .into_iter()
            .filter_map(|role| {
                let cumulative = record.miners.of(Stake::new(role, address)).to_sat();
                let leaf = list.and_then(|(_, list)| list.leaf(role, address));
                (cumulative > 0).then(|| RewardView {
                    role: role_name(role),
                    cumulative,
                    claim: leaf.map(|(leaf, proof)| ClaimView {
                        index: leaf.index,
                        proof: proof.iter().map(hex::encode).collect(),
                    }),
                })
            });
        Self {
            address: address.to_string(),
            round: record.round.get(),
            program: record.program.to_string(),
            leaves: record.leaf_count,
            root: record.root.map(hex::encode),
            list: list.map(|(cid, _)| cid.to_string()),
            rewards: rewards.collect(),
        }
    }
}

impl Node {
    /// The settlement of a round.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub async fn settlement(&self, round: RoundNumber) -> Result<SettlementView, Refusal> {
        Ok(SettlementView::from(&*self.settle(round).await?))
    }

    /// What an address has earned up to the newest settled round, with the proofs to claim it.
    ///
    /// # Errors
    /// No round is settled yet, or the store cannot be read.
    pub async fn rewards(&self, address: K2Address) -> Result<RewardsView, Refusal> {
        match self.newest_settled().await? {
            Some(settled) => Ok(RewardsView::new(&settled, address)),
            None => Err(Refusal::NotFound(
                "no round is settled yet: the first coinbases have to mature (100 blocks)"
                    .to_owned(),
            )),
        }
    }
}
