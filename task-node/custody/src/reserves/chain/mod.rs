//! Asks a Bitcoin node, or an Esplora server, for what a proof claims. No wallet and no index are needed.

mod esplora;
mod node;

use std::collections::BTreeMap;
use std::fmt;

use bdk_bitcoind_rpc::bitcoincore_rpc::Client;
use bdk_esplora::esplora_client::BlockingClient;
use bitcoin::constants::genesis_block;
use bitcoin::{BlockHash, Network, Transaction, Txid};

use super::facts::ChainFacts;
use super::transaction::Claim;
use crate::watch::{Source, connect};

/// How many blocks after the proof's are searched for what spent its coins: four weeks.
pub const MAX_SCAN: u32 = 4_032;

/// How often a question is begun anew because a block came in between.
const ATTEMPTS: u32 = 5;

/// Why the chain could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No answer, or one that cannot be.
    #[error("the Bitcoin {what} does not answer as it should: {reason}")]
    Source {
        /// Node or server.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// It is on another chain.
    #[error("the proof is about Bitcoin's {0} network, and the node or server is on another")]
    Network(Network),
    /// A node that has deleted old blocks.
    #[error(
        "the node does not have the whole block at height {0} any more (it is pruned), and coins of the proof were spent \
         since: ask a node that is not, or an Esplora server"
    )]
    Pruned(u32),
    /// Too long ago.
    #[error(
        "coins of the proof were spent since, and its block is {0} blocks ago: more than {MAX_SCAN} are not searched; ask for \
         a newer proof, or ask an Esplora server"
    )]
    TooOld(u32),
    /// A kind of server that cannot tell.
    #[error(
        "an Electrum server does not say what spent a coin: use a Bitcoin node or an Esplora server (--esplora URL)"
    )]
    Electrum,
    /// Blocks kept coming.
    #[error("blocks came in while the coins were looked at: try again")]
    Restless,
}

impl ChainError {
    fn node(error: impl fmt::Display) -> Self {
        Self::Source {
            what: "node",
            reason: error.to_string(),
        }
    }

    fn server(error: impl fmt::Display) -> Self {
        Self::Source {
            what: "server",
            reason: error.to_string(),
        }
    }
}

/// Somebody who knows the chain.
pub struct PublicChain(Kind);

enum Kind {
    Node(Client),
    Esplora(BlockingClient),
}

impl fmt::Debug for PublicChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Node(_) => "PublicChain(node)",
            Kind::Esplora(_) => "PublicChain(Esplora)",
        })
    }
}

impl PublicChain {
    /// Where a wallet learns of blocks, except from Electrum. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ChainError::Electrum`]; [`ChainError::Source`] where the node's cookie cannot be read.
    pub fn of(source: &Source) -> Result<Self, ChainError> {
        match source {
            Source::Bitcoind { url, login } => {
                let client = connect(url, login).map_err(ChainError::node)?;
                Ok(Self::node(client))
            }
            Source::Esplora { url } => Ok(Self::esplora(url)),
            Source::Electrum { .. } => Err(ChainError::Electrum),
        }
    }

    /// A node: Bitcoin Core 25 or newer, pruned or not, with or without indexes.
    #[must_use]
    pub const fn node(client: Client) -> Self {
        Self(Kind::Node(client))
    }

    /// An Esplora server, which is believed: `https://host/api`.
    #[must_use]
    pub fn esplora(url: &str) -> Self {
        Self(Kind::Esplora(esplora::client(url)))
    }

    /// The best block.
    ///
    /// # Errors
    /// [`ChainError::Source`].
    pub fn tip(&self) -> Result<(u32, BlockHash), ChainError> {
        match &self.0 {
            Kind::Node(client) => node::tip(client),
            Kind::Esplora(client) => esplora::tip(client),
        }
    }

    /// The best chain's block at a height; `None`: above its tip.
    ///
    /// # Errors
    /// [`ChainError::Source`].
    pub fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, ChainError> {
        match &self.0 {
            Kind::Node(client) => node::hash_at(client, height),
            Kind::Esplora(client) => esplora::hash_at(client, height),
        }
    }

    /// Those of these transactions that are in the best chain at the heights given.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn transactions(
        &self,
        wanted: &[(Txid, u32)],
    ) -> Result<BTreeMap<Txid, (Transaction, u32)>, ChainError> {
        match &self.0 {
            Kind::Node(client) => node::transactions(client, wanted),
            Kind::Esplora(client) => esplora::transactions(client, wanted),
        }
    }

    /// Everything that checking a claim takes, all of it as of one best block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn facts(&self, claim: &Claim) -> Result<ChainFacts, ChainError> {
        let statement = claim.statement();
        let genesis = genesis_block(statement.bitcoin).block_hash();
        if self.hash_at(0)? != Some(genesis) {
            return Err(ChainError::Network(statement.bitcoin));
        }
        let paid: Vec<_> = statement
            .paid
            .iter()
            .map(|paid| (paid.txid, paid.height))
            .collect();
        for _ in 0..ATTEMPTS {
            let best = self.tip()?;
            let mut facts = ChainFacts {
                tip: best.0,
                block: self.hash_at(statement.height)?,
                ..ChainFacts::default()
            };
            // Of another chain nothing has to be looked up.
            if facts.block == Some(statement.block) {
                facts.payments = self.transactions(&paid)?;
                facts.coins = match &self.0 {
                    Kind::Node(client) => node::coins(client, claim, best.0)?,
                    Kind::Esplora(client) => esplora::coins(client, claim)?,
                };
            }
            if self.tip()? == best {
                return Ok(facts);
            }
        }
        Err(ChainError::Restless)
    }
}
