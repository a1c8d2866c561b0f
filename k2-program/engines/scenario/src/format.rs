//! The scenario file: what a recorder saw, and what every replayer must see again.
//!
//! This one file is compiled twice: into the recorder with this workspace's compiler, and into the replayer for Solana
//! 1.14 with rustc 1.63. So it keeps to the language of that time and to `serde`, `hex` and `bs58`.
//!
//! # Format 1
//!
//! A JSON object, read strictly: unknown fields are errors. Addresses are base58, bytes are lower-case hexadecimal.
//!
//! Before the first step a replayer puts every [`Program`] and every account in place and sets the clock. For a step it
//! 1. puts the step's own accounts in place and sets its clock, if it has one;
//! 2. sends one legacy transaction, paid by [`Scenario::fee_payer`] and signed by the step's signers:
//!    `[SetComputeUnitLimit(compute_limit), SetComputeUnitPrice(number), instructions...]`, where `number` counts the
//!    steps from 1. The price makes two otherwise equal transactions differ: a runtime refuses a transaction it has seen;
//! 3. compares the outcome with [`Step::expect`], instruction 0 being the step's first;
//! 4. compares every account the step names, the fee payer and sysvars aside: it must be as [`Step::accounts_after`] has
//!    it, or, if it is not there, as it was before the step;
//! 5. compares what the instructions spent with [`Step::ceiling`], if they succeeded.
//!
//! A scenario whose name begins with [`MUST_DIFFER`] has been altered after it was recorded: a replayer that finds nothing
//! wrong with it is blind, and says so.
//!
//! Not compared are the fee payer's lamports (fees differ between runtimes; that is why nobody else pays any) and
//! `rent_epoch` (its meaning changed after 1.14).

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// [`Scenario::format`] of the files described here.
pub const FORMAT: &str = "orcapool/scenario/1";

/// Begins the names of scenarios in which a replayer must find a difference.
pub const MUST_DIFFER: &str = "must-differ/";

/// [`Scenario::fee_payer`]'s lamports before the first step.
pub const FEE_PAYER_LAMPORTS: u64 = 1_000_000_000_000;

/// A story about accounts: where it begins, and what each step did to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`FORMAT`].
    pub format: String,
    /// Of the file too: `claim/twice` is recorded as `claim/twice.json`.
    pub name: String,
    /// Programs of ours. The SPL Token and Associated Token Account programs come with every engine.
    pub programs: Vec<Program>,
    /// Everybody who signs, by name.
    pub keypairs: BTreeMap<String, Seed>,
    /// Which of the keypairs pays for the transactions, and does nothing else. It begins with [`FEE_PAYER_LAMPORTS`].
    pub fee_payer: String,
    /// The time before the first step.
    pub clock: Clock,
    /// Accounts before the first step.
    pub accounts: Vec<Account>,
    /// In their order.
    pub steps: Vec<Step>,
}

/// A program under the upgradeable loader: a program account and a ProgramData account that was deployed in slot 0, both
/// holding the least rent-exempt balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program's id.
    pub address: Address,
    /// SHA-256 of the ELF file. A replayer is given files, and picks the one with this digest.
    pub elf_sha256: Bytes32,
    /// Who may replace the program, and with that who may initialise it.
    pub upgrade_authority: Option<Address>,
}

/// The fields of the Clock sysvar that a program may use here; the three others (epochs) are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Slot.
    pub slot: u64,
    /// Seconds since 1970.
    pub unix_timestamp: i64,
}

/// An account and its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Address.
    pub address: Address,
    /// What stands there; nothing, if there is no such account.
    pub state: Option<State>,
}

/// What stands in an account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Balance; never 0, because such an account does not exist.
    pub lamports: u64,
    /// The program that may change it.
    pub owner: Address,
    /// Whether it is a program.
    #[serde(default, skip_serializing_if = "is_false")]
    pub executable: bool,
    /// The account's bytes.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For people.
    pub name: String,
    /// The time from this step on; as before if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Accounts put in place before this step, past every rule of the runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Names of those who sign besides the fee payer.
    pub signers: Vec<String>,
    /// What the transaction may spend at most, in compute units.
    pub compute_limit: u32,
    /// What it does.
    pub instructions: Vec<Instruction>,
    /// How it ended.
    pub expect: Expect,
    /// What the instructions spent where this was recorded. Other runtimes have other prices: nothing is compared with it.
    pub compute_units: u64,
    /// What the instructions may spend in K2's generation of runtime. Not in the one where it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u64>,
    /// Every account that the step changed, made or closed. Empty if it failed.
    pub accounts_after: Vec<Account>,
}

/// An instruction as in a transaction, with addresses in place of indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Called program.
    pub program: Address,
    /// Accounts in the order in which the program gets them.
    pub accounts: Vec<AccountMeta>,
    /// Instruction data.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

/// An account of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountMeta {
    /// Address.
    pub address: Address,
    /// Whether its holder signs the transaction.
    pub is_signer: bool,
    /// Whether the instruction may change it.
    pub is_writable: bool,
}

/// How a transaction ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// It did what it should.
    Ok,
    /// An instruction was refused, and the transaction changed nothing.
    Instruction {
        /// Which, counted from 0 for the step's first one.
        index: u8,
        /// Why.
        error: InstructionError,
    },
    /// The runtime refused the whole transaction: the name in `solana_sdk::transaction::TransactionError`.
    Transaction(String),
}

/// Why an instruction was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstructionError {
    /// The program's own error number.
    Custom(u32),
    /// The name in `solana_sdk::instruction::InstructionError`.
    Builtin(String),
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Instruction {
                index,
                error: InstructionError::Custom(code),
            } => {
                write!(f, "instruction {}: custom {}", index, code)
            }
            Self::Instruction {
                index,
                error: InstructionError::Builtin(name),
            } => {
                write!(f, "instruction {}: {}", index, name)
            }
            Self::Transaction(name) => write!(f, "transaction: {}", name),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lamports, owner {}", self.lamports, self.owner)?;
        if self.executable {
            f.write_str(", executable")?;
        }
        write!(f, ", {} bytes {}", self.data.len(), hex::encode(&self.data))
    }
}

/// Is `state` what `wanted` says? Else the first difference in words.
pub fn compare(wanted: Option<&State>, got: Option<&State>) -> Result<(), String> {
    let (wanted, got) = match (wanted, got) {
        (None, None) => return Ok(()),
        (None, Some(got)) => return Err(format!("should not exist, is {:?}", got)),
        (Some(wanted), None) => return Err(format!("does not exist, should be {:?}", wanted)),
        (Some(wanted), Some(got)) => (wanted, got),
    };
    if wanted.lamports != got.lamports {
        return Err(format!(
            "lamports: want {}, got {}",
            wanted.lamports, got.lamports
        ));
    }
    if wanted.owner != got.owner {
        return Err(format!("owner: want {}, got {}", wanted.owner, got.owner));
    }
    if wanted.executable != got.executable {
        return Err(format!(
            "executable: want {}, got {}",
            wanted.executable, got.executable
        ));
    }
    if wanted.data.len() != got.data.len() {
        return Err(format!(
            "size: want {}, got {} bytes",
            wanted.data.len(),
            got.data.len()
        ));
    }
    match wanted
        .data
        .iter()
        .zip(&got.data)
        .position(|(wanted, got)| wanted != got)
    {
        None => Ok(()),
        Some(at) => {
            let end = (at + 32).min(wanted.data.len());
            let part = |data: &[u8]| data.get(at..end).map(hex::encode).unwrap_or_default();
            Err(format!(
                "data differ from byte {}: want {}, got {}",
                at,
                part(&wanted.data),
                part(&got.data)
            ))
        }
    }
}

/// A public key, or a program's derived address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = bs58::decode(text)
            .into_vec()
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{}` is not the base58 of 32 bytes", text))
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// 32 bytes in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes32(#[serde(with = "hex::serde")] pub [u8; 32]);

/// The secret of an Ed25519 keypair. A scenario's keys are worth nothing and are no secret.
pub type Seed = Bytes32;

impl fmt::Debug for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}
