//! What a local K2 starts from: its genesis, its clock and where it listens.

use std::net::{IpAddr, Ipv4Addr};

use solana_pubkey::Pubkey;

/// Milliseconds of a slot on Solana and on K2.
pub const SLOT_MILLIS: u64 = 400;

/// A program that is there from the first slot, installed as the upgradeable loader would have done it: the program
/// account and, at the address derived from it, the ProgramData account with the upgrade authority.
#[derive(Clone, Debug)]
pub struct GenesisProgram {
    /// The program's address.
    pub id: Pubkey,
    /// The SBF shared object (`.so`), whole. It is verified as at a deployment.
    pub elf: Vec<u8>,
    /// Who may upgrade it, and whom the program itself may ask for; `None` makes it immutable.
    pub upgrade_authority: Option<Pubkey>,
}

/// What determines the chain. Two chains of one genesis that see the same transactions in the same slots are equal.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// Time of slot 0 in seconds since 1970. Every later slot's time follows from it and `slot_millis`.
    pub unix_time: i64,
    /// Length of a slot in milliseconds, at least 1. Block times and the `Clock` sysvar count with it, however the slots
    /// are made to pass.
    pub slot_millis: u64,
    /// Where the keys of the faucet and of the node come from, and with the time the first blockhash. Not a secret worth
    /// keeping: the faucet pays everybody who asks.
    pub seed: [u8; 32],
    /// What the faucet holds, in lamports. As accounts have to be rent exempt, it also bounds the memory that accounts can
    /// take: about 1 GiB for each 7,500 SOL.
    pub faucet_lamports: u64,
    /// Programs besides the native ones, SPL Token, associated token accounts and memo.
    pub programs: Vec<GenesisProgram>,
}

impl Genesis {
    /// A genesis with slots of 400 ms, 20,000 SOL in the faucet and no further programs.
    #[must_use]
    pub fn new(unix_time: i64, seed: [u8; 32]) -> Self {
        Self {
            unix_time,
            slot_millis: SLOT_MILLIS,
            seed,
            faucet_lamports: 20_000_000_000_000,
            programs: Vec::new(),
        }
    }
}

/// What makes slots pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// A slot each [`Genesis::slot_millis`], by the machine's monotonic clock.
    Timer,
    /// Only [`crate::LocalK2::advance_slots`]: for tests, in which nothing happens by itself.
    ByHand,
}

/// Everything [`crate::LocalK2::start`] asks for.
#[derive(Clone, Debug)]
pub struct LocalK2Options {
    /// The chain's beginning.
    pub genesis: Genesis,
    /// What makes slots pass.
    pub advance: Advance,
    /// Address to listen on. Anybody who reaches it can empty the faucet, so the default is loopback.
    pub ip: IpAddr,
    /// Port of the JSON-RPC; 0 takes a free pair. WebSocket subscriptions are one port above, where Solana clients look
    /// for them.
    pub port: u16,
}

impl LocalK2Options {
    /// The port Solana tools take for a local cluster.
    pub const DEFAULT_PORT: u16 = 8899;

    /// On 127.0.0.1:8899, with slots that pass by themselves.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        Self {
            genesis,
            advance: Advance::Timer,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: Self::DEFAULT_PORT,
        }
    }
}
