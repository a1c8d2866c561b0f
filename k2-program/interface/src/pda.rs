//! Seeds of the program's derived addresses.
//!
//! A seed list names exactly one account. Integers are little-endian. The address itself is derived by the program and by
//! the client, each with its own Solana library; always with the canonical (highest) bump: another bump would be a second
//! account of the same name.

/// The pool's configuration and totals.
pub const CONFIG: &[u8] = b"config";
/// Signs for mint, vault and escrow. It holds no data.
pub const TOKEN_AUTHORITY: &[u8] = b"authority";
/// The wrapped token's mint.
pub const MINT: &[u8] = b"mint";
/// The token account everything minted goes to, and claims are paid from.
pub const VAULT: &[u8] = b"vault";
/// The token account of open redemptions.
pub const ESCROW: &[u8] = b"escrow";
/// The set of operators that attest rounds.
pub const OPERATORS: &[u8] = b"operators";
/// The Bitcoin header relay.
pub const RELAY: &[u8] = b"relay";
/// `fork | payer`: headers of a longer branch, collected over several transactions.
pub const FORK: &[u8] = b"fork";
/// `cursor | payer | id u32`: walks down to blocks that have left the relay's ring.
pub const CURSOR: &[u8] = b"cursor";
/// `buffer | payer | id u32`: a proof too large for one transaction.
pub const BUFFER: &[u8] = b"buffer";
/// `deposit | txid | vout u32`: this output has been minted.
pub const DEPOSIT: &[u8] = b"deposit";
/// `payout | txid | vout u32`: this output has settled a redemption.
pub const PAYOUT: &[u8] = b"payout";
/// `operator | key`: an operator's bond.
pub const OPERATOR: &[u8] = b"operator";
/// `round | number u64 | proposer`: a proposed reward root.
pub const ROUND: &[u8] = b"round";
/// `ledger | role u8 | owner`: what an owner has claimed so far.
pub const LEDGER: &[u8] = b"ledger";
/// `redeem | id u64`: a redemption.
pub const REDEMPTION: &[u8] = b"redeem";

/// One part of a seed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// These bytes.
    Constant(&'static [u8]),
    /// A value: its name, and its type as in the IDL.
    Value(&'static str, &'static str),
}

/// A derived address, described for the IDL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// What stands there.
    pub name: &'static str,
    /// Its seeds, in order, without the bump.
    pub seeds: &'static [Seed],
}

const fn derived(name: &'static str, seeds: &'static [Seed]) -> Derived {
    Derived { name, seeds }
}

const PAYER: Seed = Seed::Value("payer", "publicKey");
const ID: Seed = Seed::Value("id", "u32");
const TXID: Seed = Seed::Value("txid", "bytes32");
const VOUT: Seed = Seed::Value("vout", "u32");

/// All derived addresses of the program.
pub const ALL: &[Derived] = &[
    derived("config", &[Seed::Constant(CONFIG)]),
    derived("tokenAuthority", &[Seed::Constant(TOKEN_AUTHORITY)]),
    derived("mint", &[Seed::Constant(MINT)]),
    derived("vault", &[Seed::Constant(VAULT)]),
    derived("escrow", &[Seed::Constant(ESCROW)]),
    derived("operators", &[Seed::Constant(OPERATORS)]),
    derived("relay", &[Seed::Constant(RELAY)]),
    derived("fork", &[Seed::Constant(FORK), PAYER]),
    derived("cursor", &[Seed::Constant(CURSOR), PAYER, ID]),
    derived("buffer", &[Seed::Constant(BUFFER), PAYER, ID]),
    derived("deposit", &[Seed::Constant(DEPOSIT), TXID, VOUT]),
    derived("payout", &[Seed::Constant(PAYOUT), TXID, VOUT]),
    derived(
        "operator",
        &[
            Seed::Constant(OPERATOR),
            Seed::Value("operator", "publicKey"),
        ],
    ),
    derived(
        "proposal",
        &[
            Seed::Constant(ROUND),
            Seed::Value("round", "u64"),
            Seed::Value("proposer", "publicKey"),
        ],
    ),
    derived(
        "ledger",
        &[
            Seed::Constant(LEDGER),
            Seed::Value("role", "u8"),
            Seed::Value("owner", "publicKey"),
        ],
    ),
    derived(
        "redemption",
        &[Seed::Constant(REDEMPTION), Seed::Value("id", "u64")],
    ),
];
