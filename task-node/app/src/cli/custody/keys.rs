//! `orcapool keys ...`

use std::path::PathBuf;

use bitcoin::NetworkKind;
use clap::{Args, Subcommand, ValueEnum};

/// `orcapool keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes a key of 24 words and encrypts it.
    #[command(after_help = "Examples:\n  \
        orcapool keys new --out custodian-1.key --label Alice                 asks for a passphrase, shows the words once\n  \
        orcapool keys new --out custodian-1.key --recipient age1...           for whoever has the identity\n  \
        orcapool keys new --out test.key --network regtest --passphrase-file pass.txt --json\n\n\
        Write the words on paper: without them a lost file is a lost key. The file never leaves the custodian; what the\n\
        others need is the multisig line.")]
    New {
        /// What is made.
        #[command(flatten)]
        args: NewKeyArgs,
        /// Print the words even where standard output is no terminal.
        #[arg(long)]
        show_words: bool,
    },

    /// Makes the key file of words on paper. The words are asked for, or read from standard input; never from arguments.
    #[command(after_help = "Examples:\n  \
        orcapool keys import --out custodian-1.key\n  \
        orcapool keys import --out custodian-1.key --recipient age1... <words.txt\n\n\
        12 to 24 words of the English BIP39 list. A BIP39 passphrase (\"25th word\") is not supported: compare the\n\
        fingerprint with the one you know.")]
    Import(NewKeyArgs),

    /// Shows a key file's fingerprint and its two xpubs with their origins; needs no passphrase.
    #[command(after_help = "Examples:\n  \
        orcapool keys show custodian-1.key\n  \
        orcapool keys show custodian-1.key --open      also opens it: the passphrase is right, and nobody changed the xpubs\n  \
        orcapool keys show custodian-1.key --json | jq -r .multisig")]
    Show(ShowKeyArgs),

    /// Puts a new key in the file's place and keeps the old one beside it; or encrypts the same key anew.
    #[command(after_help = "Examples:\n  \
        orcapool keys rotate custodian-1.key                    a new seed; the old one signs the sweep of the old wallet\n  \
        orcapool keys rotate custodian-1.key --passphrase       the same seed, another passphrase\n  \
        orcapool keys rotate custodian-1.key --passphrase --recipient age1...\n\n\
        A new seed is a new cosigner: make a new wallet with it, announce its script on K2, and sweep the old wallet to it.\n\
        Only then may FILE.retired-FINGERPRINT be destroyed. Another passphrase does not lock old copies of the file.")]
    Rotate(RotateKeyArgs),

    /// Prints one thing alone: the words, the xpub, or the descriptor of a single-sig wallet.
    #[command(after_help = "Examples:\n  \
        orcapool keys export custodian-1.key --xpub\n  \
        orcapool keys export custodian-1.key --descriptor\n  \
        orcapool keys export custodian-1.key --words            opens the file and asks first\n\n\
        Exit status: 0 done, 1 you said no, 2 it could not be done.")]
    Export(ExportKeyArgs),
}

/// The network of a key: the main one, or one of the test networks, which share their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyNetwork {
    /// Real bitcoin.
    #[value(alias = "main", alias = "bitcoin")]
    Mainnet,
    /// Test coins.
    Testnet4,
    /// Test coins.
    Signet,
    /// A chain of your own.
    Regtest,
}

impl From<KeyNetwork> for NetworkKind {
    fn from(network: KeyNetwork) -> Self {
        match network {
            KeyNetwork::Mainnet => Self::Main,
            KeyNetwork::Testnet4 | KeyNetwork::Signet | KeyNetwork::Regtest => Self::Test,
        }
    }
}

/// `orcapool keys new` and `import`
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// The file to write; one that exists is not touched.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Whose key it is, for people.
    #[arg(long, default_value = "")]
    pub label: String,
    /// The network (`bitcoin.network`).
    #[arg(long, value_enum)]
    pub network: Option<KeyNetwork>,
    /// Read the passphrase from this file's first line, which only you may read, instead of asking.
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    pub passphrase_file: Option<PathBuf>,
    /// Encrypt to this age recipient instead of a passphrase; may be given again, any of them opens.
    #[arg(long, value_name = "age1...")]
    pub recipient: Vec<String>,
    /// Accept a passphrase that is easily guessed.
    #[arg(long)]
    pub allow_weak: bool,
}

/// What opens a key file.
#[derive(Debug, Clone, Args)]
pub struct UnlockArgs {
    /// Read the key file's passphrase from this file's first line, which only you may read, instead of asking.
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub passphrase_file: Option<PathBuf>,
    /// The age identity that the key file was encrypted to, as `age-keygen` writes it.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

/// `orcapool keys show`
#[derive(Debug, Args)]
pub struct ShowKeyArgs {
    /// The key file.
    pub file: PathBuf,
    /// Open it and compare what it shows with what it holds.
    #[arg(long)]
    pub open: bool,
    /// What opens it.
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

/// `orcapool keys rotate`
#[derive(Debug, Args)]
pub struct RotateKeyArgs {
    /// The key file.
    pub file: PathBuf,
    /// Keep the key; only encrypt it anew.
    #[arg(long)]
    pub passphrase: bool,
    /// What opens the old file.
    #[command(flatten)]
    pub unlock: UnlockArgs,
    /// Read the new passphrase from this file's first line, which only you may read, instead of asking.
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Encrypt to this age recipient instead of a passphrase; may be given again, any of them opens.
    #[arg(long, value_name = "age1...")]
    pub recipient: Vec<String>,
    /// Accept a passphrase that is easily guessed.
    #[arg(long)]
    pub allow_weak: bool,
    /// Print the new key's words even where standard output is no terminal.
    #[arg(long, conflicts_with = "passphrase")]
    pub show_words: bool,
}

/// `orcapool keys export`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub struct ExportKeyArgs {
    /// The key file.
    pub file: PathBuf,
    /// The secret words: whoever sees them has the key.
    #[arg(long, group = "what")]
    pub words: bool,
    /// The account for a 2-of-3 wallet, with its origin: what the other custodians need.
    #[arg(long, group = "what")]
    pub xpub: bool,
    /// The descriptor of this key's single-sig wallet, with checksum.
    #[arg(long, group = "what")]
    pub descriptor: bool,
    /// Do not ask before the words are printed.
    #[arg(long, requires = "words")]
    pub yes: bool,
    /// What opens it; only the words need it.
    #[command(flatten)]
    pub unlock: UnlockArgs,
}
