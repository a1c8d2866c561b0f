//! How secrets come in: from a terminal without echo, or from a file that only its owner may read. Never from arguments or
//! the environment, which other processes can see.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use custody::keys::file::read_private;
use custody::keys::{KeyFile, Protection, SecretString, Unlock};
use zeroize::Zeroizing;

use crate::cli::UnlockArgs;

/// More than 24 words with any spaces between them.
const MAX_WORDS: usize = 4096;

/// How a new file is to be encrypted.
pub(super) struct Protect<'a> {
    pub(super) passphrase_file: Option<&'a Path>,
    pub(super) recipients: &'a [String],
    pub(super) allow_weak: bool,
    /// The flag that names a passphrase file, for the error where there is no terminal.
    pub(super) flag: &'static str,
}

impl Protect<'_> {
    pub(super) fn protection(&self) -> anyhow::Result<Protection> {
        if !self.recipients.is_empty() {
            return Ok(Protection::recipients(self.recipients)?);
        }
        let passphrase = match self.passphrase_file {
            Some(file) => first_line(file)?,
            None => self.ask_twice()?,
        };
        if self.allow_weak {
            return Ok(Protection::Passphrase(passphrase));
        }
        Protection::passphrase(passphrase)
            .map_err(|error| anyhow::anyhow!("{error}; --allow-weak takes it all the same"))
    }

    fn ask_twice(&self) -> anyhow::Result<SecretString> {
        use custody::keys::ExposeSecret as _;

        let first = ask("new passphrase: ", self.flag)?;
        let second = ask("the same again: ", self.flag)?;
        anyhow::ensure!(
            first.expose_secret() == second.expose_secret(),
            "the two passphrases differ; nothing was written"
        );
        Ok(first)
    }
}

/// What opens a key file, asked for where it is not given.
pub(super) fn unlock(args: &UnlockArgs, file: &KeyFile) -> anyhow::Result<Unlock> {
    if let Some(identity) = &args.identity {
        return Unlock::identities(&read_private(identity)?)
            .with_context(|| identity.display().to_string());
    }
    if let Some(passphrase) = &args.passphrase_file {
        return Ok(Unlock::Passphrase(first_line(passphrase)?));
    }
    anyhow::ensure!(
        file.needs_passphrase()?,
        "this key file is locked to age recipients: give --identity FILE"
    );
    let prompt = format!("passphrase of key {}: ", file.info().fingerprint());
    Ok(Unlock::Passphrase(ask(&prompt, "--passphrase-file")?))
}

/// The words of a key, from a terminal without echo, or from whatever stands before the pipe.
pub(super) fn words() -> anyhow::Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let words = rpassword::prompt_password("the words, not shown while you type: ");
        return Ok(Zeroizing::new(words.context("reading the words")?));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_WORDS + 1));
    let mut input = std::io::stdin().lock().take(MAX_WORDS as u64 + 1);
    input
        .read_to_end(&mut bytes)
        .context("reading the words from standard input")?;
    anyhow::ensure!(
        bytes.len() <= MAX_WORDS,
        "standard input holds more than 24 words"
    );
    // The error of the conversion would hold the bytes.
    let words = std::str::from_utf8(&bytes).ok();
    let words = words.context("standard input is no text of words")?;
    Ok(Zeroizing::new(words.to_owned()))
}

/// Asks for a yes on the terminal; anything else is a no.
pub(super) fn confirm(question: &str) -> anyhow::Result<bool> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "there is no terminal to ask on; --yes goes on without a question"
    );
    let mut terminal = std::io::stderr().lock();
    write!(terminal, "{question} Type yes: ")?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().take(16).read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn ask(prompt: &str, flag: &str) -> anyhow::Result<SecretString> {
    let answer = rpassword::prompt_password(prompt);
    let answer = answer.with_context(|| format!("there is no terminal to ask on; give {flag}"))?;
    anyhow::ensure!(!answer.is_empty(), "no passphrase was given");
    Ok(SecretString::from(answer))
}

fn first_line(file: &Path) -> anyhow::Result<SecretString> {
    let bytes = read_private(file)?;
    let text = std::str::from_utf8(&bytes).ok();
    let text = text.with_context(|| format!("{} is no text", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(
        !line.is_empty(),
        "the first line of {} is empty",
        file.display()
    );
    Ok(SecretString::from(line.to_owned()))
}
