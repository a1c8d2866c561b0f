//! A payment whose coins are chosen: its fee, its outputs, its PSBT.

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, ScriptBuf, Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;

use super::split::split;
use super::{INCREMENTAL_RELAY, Known, PlanError, PlanInput, build, sum, weight};
use crate::view::{Coin, Redemption};

/// What a redemption can bear of the fee: its highest fee, and no more than leaves it an output. None: nothing would.
pub(super) fn fee_cap(redemption: &Redemption) -> Option<Amount> {
    let room = redemption
        .amount
        .checked_sub(redemption.script.minimal_non_dust())?;
    Some(room.min(redemption.max_fee))
}

/// A payment whose coins are chosen.
pub(super) struct Draft<'a, 'b> {
    pub(super) coins: Vec<&'a Coin>,
    /// By id.
    pub(super) batch: &'b [&'a Redemption],
    /// Index of the change.
    pub(super) change: u32,
}

impl Draft<'_, '_> {
    /// What comes back: the coins less what is owed.
    fn change_amount(&self) -> Option<Amount> {
        let coins = sum(self.coins.iter().map(|coin| coin.txout.value))?;
        let owed = sum(self.batch.iter().map(|redemption| redemption.amount))?;
        coins.checked_sub(owed)
    }

    /// The outputs at these shares of the fee, and whether one of them is change.
    fn outputs(
        &self,
        known: &Known<'_>,
        shares: &[Amount],
    ) -> Result<(Vec<TxOut>, bool), PlanError> {
        let mut outputs: Vec<TxOut> = self
            .batch
            .iter()
            .zip(shares)
            .map(|(redemption, share)| TxOut {
                value: redemption
                    .amount
                    .checked_sub(*share)
                    .unwrap_or(Amount::ZERO),
                script_pubkey: redemption.script.clone(),
            })
            .collect();
        let change = self.change_amount().ok_or(PlanError::Form(
            "the coins are worth less than is owed".to_owned(),
        ))?;
        let comes_back = change > Amount::ZERO;
        if comes_back {
            outputs.push(TxOut {
                value: change,
                script_pubkey: script(known, self.change)?,
            });
        }
        let ids: Vec<_> = self.batch.iter().map(|redemption| redemption.id).collect();
        let data = RedeemIds::encode(&ids).map_err(|error| PlanError::Form(error.to_string()))?;
        outputs.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(data),
        });
        Ok((outputs, comes_back))
    }

    /// The transaction before anybody has borne a fee: of the same size.
    pub(super) fn unsigned(&self, known: &Known<'_>) -> Result<Transaction, PlanError> {
        let shares = vec![Amount::ZERO; self.batch.len()];
        let (outputs, _) = self.outputs(known, &shares)?;
        Ok(build::transaction(known.bitcoin, &self.coins, outputs))
    }

    /// What miners get: by weight, and enough to replace what is replaced.
    pub(super) fn fee(&self, input: &PlanInput<'_>) -> Result<Amount, PlanError> {
        let known = &input.known;
        fee(
            input,
            weight::signed_weight(known.setup, &self.unsigned(known)?),
        )
    }

    /// None: the redeemers cannot bear this fee.
    pub(super) fn psbt(
        &self,
        known: &Known<'_>,
        fee: Amount,
    ) -> Result<Option<bitcoin::Psbt>, PlanError> {
        let caps: Vec<_> = self
            .batch
            .iter()
            .map(|redemption| fee_cap(redemption).unwrap_or(Amount::ZERO))
            .collect();
        let Some(shares) = split(fee, &caps) else {
            return Ok(None);
        };
        let (outputs, comes_back) = self.outputs(known, &shares)?;
        let change = comes_back.then_some((self.batch.len(), self.change));
        let unsigned = build::transaction(known.bitcoin, &self.coins, outputs);
        build::psbt(known.setup, known.bitcoin, &self.coins, unsigned, change).map(Some)
    }
}

/// The fee of a transaction of this weight (BIP125 rules 3 and 4 where it replaces others).
pub(super) fn fee(input: &PlanInput<'_>, weight: bitcoin::Weight) -> Result<Amount, PlanError> {
    let most = input.known.limits.max_fee;
    let too_much = PlanError::Fee {
        fee: Amount::MAX_MONEY,
        most,
    };
    let Some(by_rate) = input.fee_rate.fee_wu(weight) else {
        return Err(too_much);
    };
    if input.replaced_fee == Amount::ZERO {
        return Ok(by_rate);
    }
    let added = INCREMENTAL_RELAY.fee_wu(weight);
    match added.and_then(|added| input.replaced_fee.checked_add(added)) {
        Some(least) => Ok(by_rate.max(least)),
        None => Err(too_much),
    }
}

pub(super) fn check_rate(input: &PlanInput<'_>) -> Result<(), PlanError> {
    let cap = input.known.limits.max_fee_rate;
    if input.fee_rate > cap {
        return Err(PlanError::FeeRate {
            asked: input.fee_rate.to_sat_per_kwu(),
            cap: cap.to_sat_per_kwu(),
        });
    }
    Ok(())
}

/// The script of change at an index.
pub(super) fn script(known: &Known<'_>, index: u32) -> Result<ScriptBuf, PlanError> {
    known
        .setup
        .script(KeychainKind::Internal, index)
        .map_err(|error| PlanError::Descriptor(error.to_string()))
}
