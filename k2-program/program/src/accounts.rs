//! An instruction's accounts, checked against its list in the interface: number, signatures, writability. What an
//! account must be beyond that is asked of its [`Slot`], so that every refusal names the account.
//!
//! Accounts of the program need no address check where the program itself made sure of it: it creates each kind only at
//! its own derived address, and nobody else can write to accounts it owns. So owner, kind and the fields inside say
//! which account it is, for a fraction of the compute units of a derivation (Cashio, 2022, lacked such a chain of trust).

use core::cell::{Ref, RefMut};

use k2_interface::instruction::{AccountSpec, InstructionKind, When};
use k2_interface::state::{self, Account, Kind};
use k2_interface::{AccountFault, K2Address};
use solana_program::account_info::AccountInfo;
use solana_program::pubkey::Pubkey;
use solana_system_interface::program as system_program;

use crate::error::{Error, Result};

/// What every instruction is given.
#[derive(Clone, Copy)]
pub struct Context<'a, 'info> {
    /// The program's own address.
    pub program_id: &'a Pubkey,
    /// The accounts as passed.
    pub infos: &'a [AccountInfo<'info>],
    /// Which instruction it is.
    pub kind: InstructionKind,
}

/// Which of the accounts that are not always passed this instruction has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Optional {
    /// [`When::Cursor`].
    pub cursor: bool,
    /// [`When::Buffer`].
    pub buffer: bool,
    /// [`When::PerInput`], so many of them.
    pub inputs: usize,
}

/// One account and its place.
#[derive(Clone, Copy)]
pub struct Slot<'a, 'info> {
    /// The account.
    pub info: &'a AccountInfo<'info>,
    place: usize,
}

/// Checked accounts of an instruction.
pub struct Accounts<'a, 'info, const N: usize> {
    /// Those always passed.
    pub fixed: [Slot<'a, 'info>; N],
    /// The cursor.
    pub cursor: Option<Slot<'a, 'info>>,
    /// The buffer.
    pub buffer: Option<Slot<'a, 'info>>,
    /// Those passed once per input.
    pub inputs: &'a [AccountInfo<'info>],
    /// Place of the first of them.
    pub inputs_from: usize,
}

fn check(info: &AccountInfo<'_>, spec: &AccountSpec, place: usize) -> Result<()> {
    if spec.signer && !info.is_signer {
        return Err(Error::Account(AccountFault::NotSigner, place));
    }
    if spec.writable && !info.is_writable {
        return Err(Error::Account(AccountFault::NotWritable, place));
    }
    Ok(())
}

impl<'a, 'info> Context<'a, 'info> {
    /// The accounts of an instruction that takes exactly its fixed ones.
    ///
    /// # Errors
    /// As [`Context::accounts_with`].
    pub fn accounts<const N: usize>(&self) -> Result<[Slot<'a, 'info>; N]> {
        Ok(self.accounts_with(Optional::default())?.fixed)
    }

    /// The accounts of an instruction. `N` is how many of its list are always passed.
    ///
    /// # Errors
    /// [`AccountFault`]: one is missing or too many, did not sign, or is not writable.
    pub fn accounts_with<const N: usize>(
        &self,
        optional: Optional,
    ) -> Result<Accounts<'a, 'info, N>> {
        let specs = self.kind.accounts();
        let mut place = 0_usize;
        let (mut cursor, mut buffer, mut inputs_from) = (None, None, 0);
        for spec in specs {
            let times = match spec.when {
                When::Always => 1,
                When::Cursor => usize::from(optional.cursor),
                When::Buffer => usize::from(optional.buffer),
                When::PerInput => optional.inputs,
                _ => 0,
            };
            if spec.when == When::PerInput {
                inputs_from = place;
            }
            for _ in 0..times {
                let info = self
                    .infos
                    .get(place)
                    .ok_or(Error::Account(AccountFault::Missing, place))?;
                check(info, spec, place)?;
                match spec.when {
                    When::Cursor => cursor = Some(Slot { info, place }),
                    When::Buffer => buffer = Some(Slot { info, place }),
                    _ => {}
                }
                place = place.saturating_add(1);
            }
        }
        if self.infos.len() > place {
            return Err(Error::Account(AccountFault::Extra, place));
        }
        let fixed: &[AccountInfo<'info>; N] = self
            .infos
            .first_chunk()
            .ok_or(Error::Account(AccountFault::Missing, place))?;
        let mut places = 0..;
        Ok(Accounts {
            fixed: fixed.each_ref().map(|info| Slot {
                info,
                place: places.next().unwrap_or(N),
            }),
            cursor,
            buffer,
            inputs: self
                .infos
                .get(inputs_from..)
                .filter(|_| optional.inputs > 0)
                .unwrap_or_default(),
            inputs_from,
        })
    }
}

impl<'a, 'info> Slot<'a, 'info> {
    /// An account that is not in the instruction's fixed list.
    #[must_use]
    pub const fn new(info: &'a AccountInfo<'info>, place: usize) -> Self {
        Self { info, place }
    }

    /// This fault, of this account.
    #[must_use]
    pub const fn fault(&self, fault: AccountFault) -> Error {
        Error::Account(fault, self.place)
    }

    /// Its address.
    #[must_use]
    pub fn key(&self) -> K2Address {
        K2Address::from_bytes(self.info.key.to_bytes())
    }

    /// Whether nothing exists at this address: it belongs to the system program and has no data. Lamports alone do not
    /// count, since anybody can send some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self.info.owner == system_program::ID && self.info.data_is_empty()
    }

    /// # Errors
    /// [`AccountFault::WrongAddress`] where it is another account.
    pub fn require_key(&self, key: &K2Address) -> Result<()> {
        self.require(
            self.info.key.as_ref() == key.as_bytes(),
            AccountFault::WrongAddress,
        )
    }

    /// # Errors
    /// This fault, unless the condition holds.
    pub const fn require(&self, condition: bool, fault: AccountFault) -> Result<()> {
        if condition {
            Ok(())
        } else {
            Err(self.fault(fault))
        }
    }

    /// The account is in use already: it was passed in two places, and belongs in one of them at most.
    const fn twice(&self) -> Error {
        self.fault(AccountFault::WrongAddress)
    }

    fn require_owned(&self, program_id: &Pubkey) -> Result<()> {
        if self.info.owner == program_id {
            return Ok(());
        }
        Err(self.fault(if self.is_empty() {
            AccountFault::Uninitialized
        } else {
            AccountFault::WrongOwner
        }))
    }

    /// Reads an account of the program in place.
    ///
    /// # Errors
    /// [`AccountFault`]: it does not exist, belongs to another program, or is of another kind.
    pub fn load<T: Account>(&self, program_id: &Pubkey, kind: Kind) -> Result<Ref<'a, T>> {
        self.require_owned(program_id)?;
        let data = self.info.try_borrow_data().map_err(|_| self.twice())?;
        Ref::filter_map(data, |data| state::load(data, kind).ok())
            .map_err(|_| self.fault(AccountFault::WrongKind))
    }

    /// Opens an account of the program for writing.
    ///
    /// # Errors
    /// As [`Slot::load`].
    pub fn load_mut<T: Account>(&self, program_id: &Pubkey, kind: Kind) -> Result<RefMut<'a, T>> {
        self.require_owned(program_id)?;
        let data = self.info.try_borrow_mut_data().map_err(|_| self.twice())?;
        RefMut::filter_map(data, |data| state::load_mut(data, kind).ok())
            .map_err(|_| self.fault(AccountFault::WrongKind))
    }
}
