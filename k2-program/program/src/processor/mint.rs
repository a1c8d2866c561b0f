//! Minting: wrapped sats for bitcoin that provably went to custody. Where they go is no choice of whoever submits the proof:
//! always into the vault.
//!
//! An output is minted once; its record sees to that. And coins are: custody may move what it holds to its own deposit
//! script, by mistake or to have it counted twice. So a deposit must not spend an output that was minted, and the outputs it
//! does spend are recorded as used too, since otherwise the order of the two proofs would decide. Coins that go through a
//! third address on their way cannot be recognised: that custody does not do so is part of what it is trusted for.

use k2_interface::bitcoin::{CoinbaseProof, PaymentProof, ScriptType, Transaction};
use k2_interface::instruction::{MAX_DEPOSIT_INPUTS, ProveOutput};
use k2_interface::state::{Config, Custody, Kind, MintWindow, PackedScript, Pause, Relay};
use k2_interface::{AccountFault, PoolError};

use super::proof::{self, refusal};
use super::records::{self, Outpoint, Use};
use crate::accounts::{Accounts, Context, Optional, Slot};
use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::token::{Pool, require_system_program};

/// Confirmations a coinbase needs; before, Bitcoin itself lets nobody spend it (`COINBASE_MATURITY`).
const COINBASE_MATURITY: u32 = 100;

/// The accounts that both instructions always take.
const ACCOUNTS: usize = 9;

/// What is minted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Coinbase,
    Deposit,
}

/// MintCoinbase.
pub(super) fn coinbase(context: &Context<'_, '_>, args: &ProveOutput, proof: &[u8]) -> Result<()> {
    mint(context, args, proof, Origin::Coinbase)
}

/// MintDeposit.
pub(super) fn deposit(context: &Context<'_, '_>, args: &ProveOutput, proof: &[u8]) -> Result<()> {
    mint(context, args, proof, Origin::Deposit)
}

fn mint(
    context: &Context<'_, '_>,
    args: &ProveOutput,
    inline: &[u8],
    origin: Origin,
) -> Result<()> {
    let mut optional = proof::optional(args)?;
    if origin == Origin::Deposit {
        optional.inputs = what_follows(context, optional);
    }
    let accounts = context.accounts_with::<ACCOUNTS>(optional)?;
    let [
        payer,
        config,
        relay,
        deposit,
        mint,
        vault,
        token_authority,
        token_program,
        system_program,
    ] = &accounts.fixed;
    require_system_program(system_program)?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
    if config.is_paused(Pause::Mint) {
        return Err(PoolError::Paused.into());
    }
    mint.require_key(&config.mint)?;
    vault.require_key(&config.vault)?;
    let pool = Pool::new(&config, token_authority, token_program)?;

    let bytes = proof::bytes(context, payer, accounts.buffer.as_ref(), inline)?;
    let proven = match origin {
        Origin::Coinbase => CoinbaseProof::parse(&bytes).and_then(|proof| proof.verify(sha256)),
        Origin::Deposit => PaymentProof::parse(&bytes).and_then(|proof| proof.verify(sha256)),
    }
    .map_err(refusal)?;
    let confirmations = proof::confirmations(
        context,
        payer,
        &relay,
        accounts.cursor.as_ref(),
        args.height,
        &proven.block_hash,
        config.parameters.mint_horizon.get(),
    )?;
    let needed = match origin {
        Origin::Coinbase => COINBASE_MATURITY,
        Origin::Deposit => config.parameters.deposit_confirmations.get(),
    };
    if confirmations < needed {
        return Err(PoolError::Immature.into());
    }
    let output = (proven.transaction.output(args.vout)).ok_or(PoolError::NoSuchOutput)?;
    require_custody(&config.custody, origin, args.height, output.script)?;
    let script = ScriptType::of(output.script).map_err(|_| PoolError::ForeignScript)?;
    if output.value < script.dust_limit() {
        return Err(PoolError::Dust.into());
    }
    count(&mut config, relay.tip_height.get(), output.value)?;
    let outpoint = Outpoint {
        txid: &proven.txid,
        vout: args.vout,
    };
    let used = Use {
        kind: Kind::Deposit,
        height: args.height,
        value: output.value,
    };
    records::create(context, payer, deposit, outpoint, used)?;
    if origin == Origin::Deposit {
        record_spent(context, &accounts, args.height, &proven.transaction)?;
    }
    pool.mint_to(mint, vault, output.value)
}

/// How many accounts follow those that are known by now. How many there must be, the transaction says.
fn what_follows(context: &Context<'_, '_>, optional: Optional) -> usize {
    let before = ACCOUNTS
        .saturating_add(usize::from(optional.cursor))
        .saturating_add(usize::from(optional.buffer));
    context.infos.len().saturating_sub(before)
}

/// # Errors
/// [`PoolError::ForeignScript`] unless the output pays a script in force at its height; [`PoolError::DepositsDisabled`] where
/// no deposit script is.
fn require_custody(custody: &Custody, origin: Origin, height: u32, script: &[u8]) -> Result<()> {
    let (active, previous) = match origin {
        Origin::Coinbase => (&custody.active.coinbase, &custody.previous.coinbase),
        Origin::Deposit => (&custody.active.deposit, &custody.previous.deposit),
    };
    let previous = Some(previous).filter(|_| height <= custody.previous_until.get());
    let in_force = [Some(active), previous];
    if in_force.iter().flatten().any(|packed| pays(script, packed)) {
        return Ok(());
    }
    let disabled =
        origin == Origin::Deposit && in_force.iter().flatten().all(|packed| packed[0] == 0);
    Err(if disabled {
        PoolError::DepositsDisabled.into()
    } else {
        PoolError::ForeignScript.into()
    })
}

/// Whether an output's script is this one; none is none's.
pub(super) fn pays(script: &[u8], packed: &PackedScript) -> bool {
    let [length, bytes @ ..] = packed;
    *length > 0 && bytes.get(..usize::from(*length)) == Some(script)
}

/// Adds to window and totals what is about to be minted.
///
/// # Errors
/// [`PoolError::WindowCap`], [`PoolError::SupplyCap`].
fn count(config: &mut Config, tip_height: u32, sats: u64) -> Result<()> {
    let parameters = config.parameters;
    let started = config.window.start_height.get();
    let blocks = parameters.mint_window_blocks.get();
    if tip_height.saturating_sub(started) >= blocks {
        config.window = MintWindow {
            start_height: tip_height.into(),
            minted: 0.into(),
        };
    }
    let minted = (config.window.minted.get())
        .checked_add(sats)
        .filter(|minted| *minted <= parameters.mint_window_cap.get())
        .ok_or(PoolError::WindowCap)?;
    let supply = config.supply().ok_or(PoolError::Overflow)?;
    if supply
        .checked_add(sats)
        .is_none_or(|supply| supply > parameters.supply_cap.get())
    {
        return Err(PoolError::SupplyCap.into());
    }
    let proved_in = config.totals.proved_in.get().checked_add(sats);
    config.window.minted = minted.into();
    config.totals.proved_in = proved_in.ok_or(PoolError::Overflow)?.into();
    Ok(())
}

/// Records the outputs a deposit spends as used.
///
/// # Errors
/// [`PoolError::TooManyInputs`]; [`PoolError::SpendsMinted`]; an [`AccountFault`] unless the accounts are the records'
/// addresses, one for each input and in their order.
fn record_spent<'a, 'info>(
    context: &Context<'a, 'info>,
    accounts: &Accounts<'a, 'info, ACCOUNTS>,
    height: u32,
    transaction: &Transaction<'_>,
) -> Result<()> {
    let [payer, ..] = &accounts.fixed;
    let needed = transaction.inputs().len();
    if needed > MAX_DEPOSIT_INPUTS {
        return Err(PoolError::TooManyInputs.into());
    }
    let passed = accounts.inputs.len();
    if passed != needed {
        let fault = if passed < needed {
            AccountFault::Missing
        } else {
            AccountFault::Extra
        };
        let place = accounts.inputs_from.saturating_add(passed.min(needed));
        return Err(Error::Account(fault, place));
    }
    let places = accounts.inputs_from..;
    for ((input, info), place) in transaction.inputs().zip(accounts.inputs).zip(places) {
        let outpoint = Outpoint {
            txid: input.txid,
            vout: input.vout,
        };
        records::create_spent(context, payer, &Slot::new(info, place), outpoint, height)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k2_interface::PoolError;
    use k2_interface::state::{Config, Custody, PackedScript};
    use zerocopy::FromZeros as _;

    use super::{Origin, count, pays, require_custody};
    use crate::error::Error;

    fn script(tag: u8) -> [u8; 22] {
        let mut script = [tag; 22];
        script[..2].copy_from_slice(&[0, 20]);
        script
    }

    fn packed(tag: u8) -> PackedScript {
        let mut packed = [0; 35];
        packed[0] = 22;
        packed[1..23].copy_from_slice(&script(tag));
        packed
    }

    #[test]
    fn an_empty_script_is_nobodys() {
        assert!(pays(&script(1), &packed(1)));
        assert!(!pays(&script(2), &packed(1)));
        assert!(!pays(&script(1)[..21], &packed(1)));
        assert!(!pays(&[], &[0; 35]));
        assert!(!pays(&[0; 34], &[255; 35]));
    }

    #[test]
    fn scripts_are_honoured_by_purpose_and_height() {
        let mut custody = Custody::new_zeroed();
        custody.active.coinbase = packed(1);
        let foreign = Err(Error::Rule(PoolError::ForeignScript));
        let disabled = Err(Error::Rule(PoolError::DepositsDisabled));
        assert_eq!(
            require_custody(&custody, Origin::Coinbase, 9, &script(1)),
            Ok(())
        );
        assert_eq!(
            require_custody(&custody, Origin::Deposit, 9, &script(1)),
            disabled
        );
        custody.active.deposit = packed(2);
        custody.previous.coinbase = packed(3);
        custody.previous.deposit = packed(4);
        custody.previous_until = 100.into();
        for (origin, tag, until) in [
            (Origin::Coinbase, 1, u32::MAX),
            (Origin::Deposit, 2, u32::MAX),
            (Origin::Coinbase, 3, 100),
            (Origin::Deposit, 4, 100),
        ] {
            assert_eq!(
                require_custody(&custody, origin, until, &script(tag)),
                Ok(())
            );
            if let Some(after) = until.checked_add(1) {
                assert_eq!(
                    require_custody(&custody, origin, after, &script(tag)),
                    foreign
                );
            }
        }
        // The one's script is not the other's.
        assert_eq!(
            require_custody(&custody, Origin::Coinbase, 9, &script(2)),
            foreign
        );
        assert_eq!(
            require_custody(&custody, Origin::Deposit, 9, &script(1)),
            foreign
        );
        // A rotation that ends deposits honours those before it.
        custody.active.deposit = [0; 35];
        assert_eq!(
            require_custody(&custody, Origin::Deposit, 100, &script(4)),
            Ok(())
        );
        assert_eq!(
            require_custody(&custody, Origin::Deposit, 101, &script(4)),
            disabled
        );
    }

    #[test]
    fn caps_are_exact() {
        let mut config = Config::new_zeroed();
        config.parameters.mint_window_blocks = 10.into();
        config.parameters.mint_window_cap = 100.into();
        config.parameters.supply_cap = 150.into();
        let window = Err(Error::Rule(PoolError::WindowCap));
        assert_eq!(count(&mut config, 50, 100), Ok(()));
        assert_eq!(config.window.start_height.get(), 50);
        assert_eq!(count(&mut config, 59, 1), window);
        // A tip that falls begins no window.
        assert_eq!(count(&mut config, 49, 1), window);
        assert_eq!(
            count(&mut config, 60, 51),
            Err(Error::Rule(PoolError::SupplyCap))
        );
        assert_eq!(count(&mut config, 60, 50), Ok(()));
        assert_eq!(config.window.start_height.get(), 60);
        assert_eq!(config.totals.proved_in.get(), 150);
        config.totals.burned = 50.into();
        assert_eq!(count(&mut config, 60, 50), Ok(()));
        assert_eq!(count(&mut config, 60, u64::MAX), window);
    }
}
