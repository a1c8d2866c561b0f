//! Creating accounts at derived addresses, and closing them.

use core::cell::RefMut;

use k2_interface::AccountFault;
use k2_interface::state::{self, Account, Kind};
use solana_program::instruction::{AccountMeta, Instruction};
use solana_program::program::{invoke, invoke_signed};
use solana_program::pubkey::Pubkey;
use solana_program::rent::Rent;
use solana_program::sysvar::Sysvar as _;
use solana_system_interface::{instruction as system, program as system_program};

use crate::accounts::{Context, Slot};
use crate::error::Result;

/// The most seeds a derived address of this program has, its bump included.
const MAX_SEEDS: usize = 5;

/// What [`system::create_account`] returns, for 430 compute units less: it goes through bincode, and a first claim, which
/// searches its ledger's address too, has none to spare.
fn create_account(
    from: &Pubkey,
    new: &Pubkey,
    lamports: u64,
    size: u64,
    owner: &Pubkey,
) -> Instruction {
    // `SystemInstruction::CreateAccount`, number 0: lamports u64 | space u64 | owner.
    let mut data = [0; 52];
    data[4..12].copy_from_slice(&lamports.to_le_bytes());
    data[12..20].copy_from_slice(&size.to_le_bytes());
    data[20..].copy_from_slice(owner.as_ref());
    Instruction {
        program_id: system_program::ID,
        accounts: vec![AccountMeta::new(*from, true), AccountMeta::new(*new, true)],
        data: data.to_vec(),
    }
}

/// Bytes of an account that is created.
#[derive(Clone, Copy)]
struct Size {
    /// Those it gets.
    now: usize,
    /// Those whose rent is paid.
    paid: usize,
}

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

    /// Creates the account at its derived address, with the head written and all else zero. `tail`: how many bytes it will
    /// grow by, whose rent is paid now.
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
        let size = Size {
            now: size_of::<T>(),
            paid: size_of::<T>().saturating_add(tail),
        };
        self.allocate(payer, context.program_id, seeds, bump, size)?;
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
        let size = Size {
            now: size,
            paid: size,
        };
        self.allocate(payer, owner, seeds, bump, size)
    }

    fn allocate(
        &self,
        payer: &Slot<'a, 'info>,
        owner: &Pubkey,
        seeds: &[&[u8]],
        bump: u8,
        size: Size,
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

        let rent = Rent::get()?.minimum_balance(size.paid);
        let space = size.now as u64;
        let (from, new) = (payer.info, self.info);
        let held = new.lamports();
        if held == 0 {
            let create = create_account(from.key, new.key, rent, space, owner);
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
            &system::allocate(new.key, space),
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

#[cfg(test)]
mod tests {
    use solana_program::pubkey::Pubkey;
    use solana_system_interface::instruction as system;

    use super::create_account;

    #[test]
    fn accounts_are_created_as_the_system_program_wants_it() {
        let [from, new, owner] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
        for (lamports, size) in [(0, 0), (1_586_880, 56), (u64::MAX, 10_240)] {
            assert_eq!(
                create_account(&from, &new, lamports, size, &owner),
                system::create_account(&from, &new, lamports, size, &owner)
            );
        }
    }
}
