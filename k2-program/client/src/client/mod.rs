//! [`Client`]: a cluster, a program on it, and how to send; what the rest of the crate is given.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use k2_interface::K2Address;
use k2_interface::bitcoin::Network;
use serde::Serialize;

use crate::accounts::{Accounts, AnyAccount, Mint, TokenAccount};
use crate::address::TOKEN_PROGRAM;
use crate::k2::{AccountData, Commitment, K2, MAX_ACCOUNTS};
use crate::keypair::Keypair;
use crate::pda::Program;
use crate::send::{Confirmed, SendError, SendOptions, Sender};
use crate::transaction::Draft;
use crate::views::AccountView;

/// A deployed program on a cluster.
#[derive(Debug, Clone)]
pub struct Client {
    k2: Arc<dyn K2>,
    program: Program,
    sender: Sender,
}

/// What a draft would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// Why it would fail; `None`: it would not.
    pub failure: Option<String>,
    /// Compute units it takes.
    pub units: Option<u64>,
    /// Its size as a transaction, in bytes.
    pub size: usize,
    /// What the programs print.
    pub logs: Vec<String>,
    /// The accounts that would change.
    pub changes: Vec<Change>,
}

/// An account before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which.
    pub address: K2Address,
    /// Its lamports before; zero where it did not exist.
    pub lamports_before: u64,
    /// Its lamports after.
    pub lamports_after: u64,
    /// What it held; `None`: nothing.
    pub before: Option<AccountView>,
    /// What it would hold; `None`: nothing.
    pub after: Option<AccountView>,
}

impl Client {
    /// A client.
    #[must_use]
    pub fn new(k2: Arc<dyn K2>, program: K2Address, options: SendOptions) -> Self {
        Self {
            sender: Sender::new(Arc::clone(&k2), program, options),
            program: Program::new(program),
            k2,
        }
    }

    /// The cluster.
    #[must_use]
    pub fn k2(&self) -> &dyn K2 {
        &*self.k2
    }

    /// The program.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// The sender.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// How settled a state must be to be read.
    #[must_use]
    pub const fn commitment(&self) -> Commitment {
        self.sender.options().commitment
    }

    /// The program's accounts.
    #[must_use]
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts::new(self.k2(), &self.program, self.commitment())
    }

    /// Carries a draft out, once.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, draft: &Draft, keys: &[&Keypair]) -> Result<Confirmed, SendError> {
        self.sender.send(draft, keys).await
    }

    /// What a draft would do now: simulated, with the accounts it writes before and after. Needs no key.
    ///
    /// # Errors
    /// [`SendError::K2`], [`SendError::Draft`]; not that it would fail.
    pub async fn dry_run(&self, draft: &Draft) -> Result<DryRun, SendError> {
        let mut watch = draft.writable();
        watch.truncate(MAX_ACCOUNTS);
        let before = self.k2.accounts(&watch, self.commitment()).await?.value;
        let simulation = self.sender.simulate(draft, &watch).await?;
        let failure = self.sender.explain(draft, &simulation);
        let network = self.network(&before).await;
        let changes = if failure.is_some() {
            Vec::new()
        } else {
            watch
                .iter()
                .zip(before.iter().zip(&simulation.accounts))
                .filter(|(_, (before, after))| present(before) != present(after))
                .map(|(address, (before, after))| Change {
                    address: *address,
                    lamports_before: before.as_ref().map_or(0, |account| account.lamports),
                    lamports_after: after.as_ref().map_or(0, |account| account.lamports),
                    before: present(before).and_then(|account| self.view(account, network)),
                    after: present(after).and_then(|account| self.view(account, network)),
                })
                .collect()
        };
        Ok(DryRun {
            failure: failure.map(|failure| failure.to_string()),
            units: simulation.units,
            size: draft.size(),
            logs: simulation.logs,
            changes,
        })
    }

    /// The network, for addresses; not worth an error.
    async fn network(&self, before: &[Option<AccountData>]) -> Option<Network> {
        let found =
            before
                .iter()
                .flatten()
                .find_map(|account| match AnyAccount::decode(&account.data) {
                    Ok(AnyAccount::Config(config)) if account.owner == self.program.id() => {
                        Some(config)
                    }
                    _ => None,
                });
        let config = match found {
            Some(config) => config,
            None => self.accounts().config().await.ok()?,
        };
        Network::try_from(config.network).ok()
    }

    /// An account as people read it; `None` where it holds no data.
    fn view(&self, account: &AccountData, network: Option<Network>) -> Option<AccountView> {
        if account.data.is_empty() {
            return None;
        }
        let view = if account.owner == self.program.id() {
            AnyAccount::decode(&account.data)
                .ok()
                .map(|account| AccountView::new(&account, network))
        } else if account.owner == TOKEN_PROGRAM {
            TokenAccount::decode(&account.data)
                .map(AccountView::Token)
                .or_else(|| Mint::decode(&account.data).map(AccountView::Mint))
        } else {
            None
        };
        Some(view.unwrap_or(AccountView::Other {
            owner: account.owner,
            bytes: account.data.len(),
        }))
    }
}

/// Nodes answer a closed account either with nothing or with zero lamports.
fn present(account: &Option<AccountData>) -> Option<&AccountData> {
    account.as_ref().filter(|account| account.lamports > 0)
}
