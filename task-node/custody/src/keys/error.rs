//! Why a key cannot be made, kept, opened or used. No error holds a secret.

use std::path::PathBuf;

use bitcoin::bip32::Fingerprint;

/// Why a key cannot be made, kept or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not random.
    #[error(
        "these are no random bytes: every one is the same. Make a new key on a machine whose random generator works"
    )]
    Entropy,
    /// Not 12, 15, 18, 21 or 24.
    #[error("a key has 12, 15, 18, 21 or 24 words")]
    WordCount,
    /// Not in the list.
    #[error("word {place} is not in the English list of BIP39; look at its spelling on the paper")]
    Word {
        /// From 1.
        place: usize,
    },
    /// A wrong word that is in the list, or two that changed places.
    #[error("the words' checksum is wrong: one is wrong, missing, or in another's place")]
    Checksum,
    /// One in 2^127.
    #[error("BIP32 knows no key for this seed: make a new one")]
    Derivation,
    /// A passphrase that can be guessed.
    #[error("the passphrase is too weak: {0}. Six or more random words are good")]
    WeakPassphrase(&'static str),
    /// Not an age recipient.
    #[error(
        "\"{0}\" is no age recipient, such as age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    )]
    Recipient(String),
    /// Neither recipients nor a passphrase.
    #[error("there is no recipient to encrypt the key to")]
    NoRecipients,
    /// A line of an identity file that is none.
    #[error(
        "the identity file holds no usable identity (AGE-SECRET-KEY-1...), as age-keygen makes them"
    )]
    Identity,
    /// Encryption failed.
    #[error("the key could not be encrypted")]
    Encrypt,
    /// The wrong passphrase.
    #[error("the passphrase is wrong, or the key file is damaged")]
    WrongPassphrase,
    /// The wrong identity.
    #[error("none of the identities can open this key file, or it is damaged")]
    WrongIdentity,
    /// An identity was given, and a passphrase is wanted.
    #[error("this key file is locked with a passphrase, not to an age identity")]
    NeedsPassphrase,
    /// A passphrase was given, and an identity is wanted.
    #[error(
        "this key file is locked to age recipients: give the file of an identity, not a passphrase"
    )]
    NeedsIdentity,
    /// More work for a passphrase than ours ever take: 2^20 is a gibibyte.
    #[error(
        "opening this key file would take more memory than any that was made by this program; it is not one"
    )]
    ExcessiveWork,
    /// Not a key file.
    #[error("this is no key file: {0}")]
    Format(String),
    /// The open part does not belong to the encrypted one.
    #[error(
        "the key file was tampered with or damaged: its open part says another {0} than its encrypted one"
    )]
    Tampered(&'static str),
    /// A label that does not fit a line.
    #[error("a label is at most 64 characters without control characters")]
    Label,
    /// Others may read it.
    #[error("{path} can be read by others (mode {mode:04o}), so it is not used: chmod 600 {path}", path = .path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It would be overwritten.
    #[error("{} exists; keys are never overwritten, choose another name", .0.display())]
    Exists(PathBuf),
    /// The operating system refused something.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why a key does not sign. Nothing is signed then, not even the inputs that are in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// An input that names our key is not as it must be.
    #[error("input {input} names key {fingerprint}, and {reason}")]
    Input {
        /// From 0.
        input: usize,
        /// Ours.
        fingerprint: Fingerprint,
        /// What is wrong.
        reason: &'static str,
    },
    /// The key cannot be derived.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Bitcoin's library refused.
    #[error("input {input} cannot be signed: {reason}")]
    Refused {
        /// From 0.
        input: usize,
        /// What it said.
        reason: String,
    },
}
