//! Reward lists: what operators compute off chain, and what a claimant brings.

use k2_interface::instruction::{Claim, RoundRoot};
use k2_interface::{K2Address, RewardTree, Role};
use sha2::{Digest as _, Sha256};
use solana_pubkey::Pubkey;

/// What somebody has earned in a role, from the beginning on, in sats.
pub type Entry = (Role, Pubkey, u64);

/// The list of a round and its tree.
#[derive(Debug, Clone)]
pub struct RewardList {
    round: u64,
    entries: Vec<Entry>,
    tree: RewardTree,
    /// Digest in the CID under which the list would be found.
    list: [u8; 32],
}

impl RewardList {
    /// The list of these entries, which the tree keeps in their order.
    pub fn new(program: Pubkey, round: u64, entries: &[Entry]) -> Self {
        let leaves = entries
            .iter()
            .map(|(role, owner, sats)| (*role, address(*owner), *sats));
        let tree = RewardTree::build(address(program), round, leaves)
            .unwrap()
            .expect("the list is not empty");
        let mut list = Sha256::new();
        list.update(round.to_le_bytes());
        list.update(tree.root());
        Self {
            round,
            entries: entries.to_vec(),
            tree,
            list: list.finalize().into(),
        }
    }

    /// What operators propose and attest, after this root.
    pub fn root(&self, previous_root: [u8; 32]) -> RoundRoot {
        RoundRoot {
            round: self.round,
            root: self.tree.root(),
            previous_root,
            list: self.list,
            total: self.entries.iter().map(|(_, _, sats)| sats).sum(),
            leaf_count: self.tree.leaf_count(),
        }
    }

    /// The arguments and siblings with which the entry at `index` is claimed.
    pub fn claim(&self, index: usize) -> (Claim, Vec<u8>) {
        let (role, _, cumulative) = self.entries[index];
        let index = u32::try_from(index).unwrap();
        let claim = Claim {
            role: role.into(),
            index,
            cumulative,
            destination_bump: 0,
        };
        (
            claim,
            self.tree.proof(index).expect("it is in the list").concat(),
        )
    }

    /// All entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the list says of an owner in a role.
    pub fn find(&self, role: Role, owner: Pubkey) -> Option<u64> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| (entry.0, entry.1) == (role, owner));
        entry.map(|(_, _, sats)| *sats)
    }

    /// The entry at `index`.
    pub fn entry(&self, index: usize) -> Entry {
        self.entries[index]
    }
}

/// The same key in the interface's terms.
pub fn address(key: Pubkey) -> K2Address {
    K2Address::from_bytes(key.to_bytes())
}
