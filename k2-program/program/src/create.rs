//! Creating accounts at derived addresses, and closing them.

use core::cell::RefMut;

use k2_interface::AccountFault;
use k2_interface::state::{self, Account, Kind};
use solana_program::program::{invoke, invoke_signed};
use solana_program::pubkey::Pubkey;
use solana_program::rent::Rent;
use solana_program::sysvar::Sysvar as _;
use solana_system_interface::{instruction as system, program as system_program};

use crate::accounts::{Context, Slot};
use crate::error::Result;

/// The most seeds a derived address of this program has, its bump included.
const MAX_SEEDS: usize = 5;

impl<'a, 'info> Slot<'a, 'info> {
    /// Checks that this is the derived address of these seeds, and returns its bump.
    ///
    /// # Errors
    /// [`AccountFault::WrongAddress`].
    pub fn require_derived(&self, program_id: &Pubkey, seeds: &[&[u8]]) -> Result<u8> {
        let (address, bump) = Pubkey::find_program_address(seeds, program_id);
        self.require(address == *self.info.key, AccountFault::WrongAddress)?;
        Ok(bump)
    }

    /// Creates the account at its derived address, with the head written and all else zero.
    ///
    /// # Errors
    /// [`AccountFault::WrongAddress`], [`AccountFault::AlreadyInitialized`], or what the system program answers, as when
    /// the payer has too little.
    pub fn create<T: Account>(
        &self,
        context: &Context<'a, 'info>,
        payer: &Slot<'a, 'info>,
        kind: Kind,
        seeds: &[&[u8]],
        tail: usize,
    ) -> Result<RefMut<'a, T>> {
        let bump = self.require_derived(context.program_id, seeds)?;
        self.create_raw(
            payer,
            context.program_id,
            seeds,
            bump,
            size_of::<T>().saturating_add(tail),
        )?;
        let data = self.info.try_borrow_mut_data()?;
        RefMut::filter_map(data, |data| state::create(data, kind, bump).ok())
            .map_err(|_| self.fault(AccountFault::AlreadyInitialized))
    }

    /// Creates an account of this size at its derived address, owned by `owner`.
    ///
    /// # Errors
    /// As [`Slot::create`].
    pub fn create_raw(
        &self,
        payer: &Slot<'a, 'info>,
        owner: &Pubkey,
        seeds: &[&[u8]],
        bump: u8,
        size: usize,
    ) -> Result<()> {
        self.require(self.is_empty(), AccountFault::AlreadyInitialized)?;
        let bump = [bump];
        let mut signer: [&[u8]; MAX_SEEDS] = [&[]; MAX_SEEDS];
        let count = seeds.len().min(MAX_SEEDS.saturating_sub(1));
        for (place, seed) in signer.iter_mut().zip(seeds) {
            *place = seed;
        }
        if let Some(last) = signer.get_mut(count) {
            *last = &bump;
        }
        let signer = signer.get(..=count).unwrap_or_default();

        let rent = Rent::get()?.minimum_balance(size);
        let (from, new) = (payer.info, self.info);
        let held = new.lamports();
        if held == 0 {
            let create = system::create_account(from.key, new.key, rent, size as u64, owner);
            invoke_signed(&create, &[from.clone(), new.clone()], &[signer])?;
            return Ok(());
        }
        // `create_account` fails where somebody has sent lamports to the address before; then the account would never
        // come to exist (token-wrap handles it so too).
        let missing = rent.saturating_sub(held);
        if missing > 0 {
            invoke(
                &system::transfer(from.key, new.key, missing),
                &[from.clone(), new.clone()],
            )?;
        }
        invoke_signed(
            &system::allocate(new.key, size as u64),
            core::slice::from_ref(new),
            &[signer],
        )?;
        invoke_signed(
            &system::assign(new.key, owner),
            core::slice::from_ref(new),
            &[signer],
        )?;
        Ok(())
    }

    /// Closes an account of the program: all its lamports go to `receiver`, its data are gone.
    ///
    /// # Errors
    /// What the runtime answers.
    pub fn close(&self, receiver: &Slot<'a, 'info>) -> Result<()> {
        let lamports = core::mem::take(&mut **self.info.try_borrow_mut_lamports()?);
        let mut to = receiver.info.try_borrow_mut_lamports()?;
        **to = to
            .checked_add(lamports)
            .ok_or(k2_interface::PoolError::Overflow)?;
        drop(to);
        self.info.resize(0)?;
        self.info.assign(&system_program::ID);
        Ok(())
    }
}
