//! How the words are encrypted: age, with a passphrase or to recipients.
//!
//! The sealed text is an ordinary ASCII-armored age file, so `age -d` opens it too, whatever becomes of this program.

use std::io::{BufReader, Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
pub use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor, Identity, IdentityFile, Recipient};
use zeroize::Zeroizing;

use super::KeyError;

/// The fewest characters of a passphrase.
pub const MIN_PASSPHRASE: usize = 12;

/// scrypt's N is 2^18 for our files, age's own value for a second of work: 256 MiB. The library would measure the machine
/// instead, and make weak files on a slow or busy one.
const WORK_FACTOR: u8 = 18;

/// Up to 1 GiB to open one.
const MAX_WORK_FACTOR: u8 = 20;

/// More than 24 words, a label and what JSON adds.
pub(super) const MAX_PLAINTEXT: usize = 2048;

/// Who can open a key file.
pub enum Protection {
    /// Whoever knows it.
    Passphrase(SecretString),
    /// Whoever has an identity of one of them.
    Recipients(Vec<age::x25519::Recipient>),
}

impl Protection {
    /// A passphrase that is not easily guessed.
    ///
    /// # Errors
    /// [`KeyError::WeakPassphrase`].
    pub fn passphrase(passphrase: SecretString) -> Result<Self, KeyError> {
        let text = passphrase.expose_secret();
        if text.chars().count() < MIN_PASSPHRASE {
            return Err(KeyError::WeakPassphrase("it has fewer than 12 characters"));
        }
        let mut distinct = Zeroizing::new(text.chars().collect::<Vec<_>>());
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < MIN_PASSPHRASE / 2 {
            return Err(KeyError::WeakPassphrase("it repeats a few characters"));
        }
        Ok(Self::Passphrase(passphrase))
    }

    /// The recipients of `age1...` texts; one identity of any of them opens the file.
    ///
    /// # Errors
    /// [`KeyError::Recipient`], [`KeyError::NoRecipients`].
    pub fn recipients<S: AsRef<str>>(texts: &[S]) -> Result<Self, KeyError> {
        if texts.is_empty() {
            return Err(KeyError::NoRecipients);
        }
        let parse = |text: &S| {
            let text = text.as_ref().trim();
            // What was given may be an identity, a secret, by mistake: it is not repeated.
            text.parse().map_err(|_| {
                let secret = text.to_ascii_uppercase().starts_with("AGE-SECRET");
                KeyError::Recipient(if secret {
                    "AGE-SECRET-KEY-...".to_owned()
                } else {
                    text.chars().take(80).collect()
                })
            })
        };
        Ok(Self::Recipients(
            texts.iter().map(parse).collect::<Result<_, _>>()?,
        ))
    }
}

/// What opens a key file.
pub enum Unlock {
    /// Of [`Protection::Passphrase`].
    Passphrase(SecretString),
    /// Of [`Protection::Recipients`].
    Identities(Vec<Box<dyn Identity + Send + Sync>>),
}

impl Unlock {
    /// The identities of a file as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`KeyError::Identity`].
    pub fn identities(file: &[u8]) -> Result<Self, KeyError> {
        // The library says which line is wrong, which could be a secret's number of lines at worst, but not more than "none".
        let identities = IdentityFile::from_buffer(file)
            .ok()
            .and_then(|file| file.into_identities().ok())
            .filter(|identities| !identities.is_empty());
        Ok(Self::Identities(identities.ok_or(KeyError::Identity)?))
    }
}

/// Encrypts.
pub(super) fn seal(plaintext: &[u8], protection: &Protection) -> Result<String, KeyError> {
    let encryptor = match protection {
        Protection::Passphrase(passphrase) => {
            let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(WORK_FACTOR);
            Encryptor::with_recipients(std::iter::once(&recipient as &dyn Recipient))
        }
        Protection::Recipients(recipients) => {
            Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn Recipient))
        }
    }
    .map_err(|_| KeyError::Encrypt)?;
    let write = || -> std::io::Result<Vec<u8>> {
        let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(plaintext)?;
        writer.finish()?.finish()
    };
    String::from_utf8(write().map_err(|_| KeyError::Encrypt)?).map_err(|_| KeyError::Encrypt)
}

/// Whether a passphrase opens it.
pub(super) fn needs_passphrase(sealed: &str) -> Result<bool, KeyError> {
    Ok(decryptor(sealed)?.is_scrypt())
}

fn decryptor(sealed: &str) -> Result<Decryptor<ArmoredReader<BufReader<&[u8]>>>, KeyError> {
    Decryptor::new_buffered(ArmoredReader::new(sealed.as_bytes()))
        .map_err(|_| KeyError::Format("its encrypted part is no age file".to_owned()))
}

/// Decrypts what [`seal`] or another age program encrypted.
pub(super) fn open(sealed: &str, unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let decryptor = decryptor(sealed)?;
    // The library's own message for too much work subtracts what may be more from what is less, so none of its texts are used.
    let (reader, wrong) = match (unlock, decryptor.is_scrypt()) {
        (Unlock::Passphrase(passphrase), true) => {
            let mut identity = age::scrypt::Identity::new(passphrase.clone());
            identity.set_max_work_factor(MAX_WORK_FACTOR);
            let identity: &dyn Identity = &identity;
            let reader = decryptor.decrypt(std::iter::once(identity));
            (reader, KeyError::WrongPassphrase)
        }
        (Unlock::Identities(identities), false) => {
            let identities = identities.iter().map(|one| &**one as &dyn Identity);
            (decryptor.decrypt(identities), KeyError::WrongIdentity)
        }
        (Unlock::Identities(_), true) => return Err(KeyError::NeedsPassphrase),
        (Unlock::Passphrase(_), false) => return Err(KeyError::NeedsIdentity),
    };
    let reader = match reader {
        Ok(reader) => reader,
        Err(DecryptError::ExcessiveWork { .. }) => return Err(KeyError::ExcessiveWork),
        Err(_) => return Err(wrong),
    };
    // Room for all of it from the start: a vector that grows leaves its old contents behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(MAX_PLAINTEXT + 1));
    let mut reader = reader.take(MAX_PLAINTEXT as u64 + 1);
    let mut chunk = Zeroizing::new([0; 256]);
    loop {
        match reader.read(&mut *chunk) {
            Ok(0) => break,
            Ok(read) => plaintext.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(_) => return Err(wrong),
        }
    }
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(KeyError::Format(
            "its encrypted part is too long".to_owned(),
        ));
    }
    Ok(plaintext)
}
