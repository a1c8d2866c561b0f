//! RPC credentials: a fixed user and password, or bitcoind's cookie file.
//!
//! bitcoind writes a new cookie at every start, so the file is read again whenever the node answers 401. Secrets are
//! never shown: `Debug` prints the kind and, for a cookie, the path.

use std::{fmt, io::Read as _, path::PathBuf};

/// The longest cookie accepted, in bytes. Bitcoin Core's is `__cookie__:` and 64 hex digits.
const MAX_COOKIE_LEN: u64 = 1024;

/// How the pool proves to a node that it may call it.
#[derive(Clone)]
pub enum Auth {
    /// `rpcuser`/`rpcpassword` or an `rpcauth` line.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// The file bitcoind writes at start-up, by default `<datadir>/<chain>/.cookie`.
    CookieFile(PathBuf),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { .. } => f.write_str("Password(redacted)"),
            Self::CookieFile(path) => f.debug_tuple("CookieFile").field(path).finish(),
        }
    }
}

/// What goes into the `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

impl Auth {
    /// The credentials as of now; a cookie file is read, which blocks for one small file.
    pub(super) fn load(&self) -> Result<Credentials, CookieError> {
        match self {
            Self::Password { user, password } => Ok(Credentials {
                user: user.clone(),
                password: password.clone(),
            }),
            Self::CookieFile(path) => {
                let fail = |reason: String| CookieError {
                    path: path.clone(),
                    reason,
                };
                let mut text = String::new();
                let meta = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?;
                // Opening a FIFO would block for ever; a device could be endless.
                if !meta.is_file() {
                    return Err(fail("not a regular file".into()));
                }
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_COOKIE_LEN + 1).read_to_string(&mut text))
                    .map_err(|e| fail(e.to_string()))?;
                parse_cookie(&text)
                    .ok_or_else(|| fail("does not hold one line of the form user:password".into()))
            }
        }
    }

    /// Whether asking again can give other credentials.
    pub(super) fn can_change(&self) -> bool {
        matches!(self, Self::CookieFile(_))
    }
}

/// A cookie file that cannot be used; never holds its content.
#[derive(Debug, thiserror::Error)]
#[error("cookie file {path}: {reason}")]
pub(super) struct CookieError {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

fn parse_cookie(text: &str) -> Option<Credentials> {
    if text.len() as u64 > MAX_COOKIE_LEN {
        return None;
    }
    let line = text.trim_end_matches(['\r', '\n']);
    let (user, password) = line.split_once(':')?;
    let clean = |s: &str| !s.is_empty() && !s.chars().any(char::is_control);
    (clean(user) && clean(password)).then(|| Credentials {
        user: user.into(),
        password: password.into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cookie_is_one_line_of_user_and_password() {
        let cookie = parse_cookie("__cookie__:0123abc\n").unwrap();
        assert_eq!(
            (cookie.user.as_str(), cookie.password.as_str()),
            ("__cookie__", "0123abc")
        );
        for bad in ["", "\n", "nocolon", ":x", "x:", "a:b\nc:d", "a\0:b"] {
            assert!(parse_cookie(bad).is_none(), "{bad:?}");
        }
        assert!(parse_cookie(&format!("a:{}", "x".repeat(2000))).is_none());
    }

    #[test]
    fn no_secret_in_debug_output() {
        let auth = Auth::Password {
            user: "alice".into(),
            password: "hunter2".into(),
        };
        let shown = format!("{auth:?} {:?}", auth.load().unwrap());
        assert!(
            !shown.contains("hunter2") && !shown.contains("alice"),
            "{shown}"
        );
    }

    #[test]
    fn a_huge_missing_or_odd_cookie_file_is_an_error_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".cookie");
        assert!(Auth::CookieFile(path.clone()).load().is_err());
        assert!(
            Auth::CookieFile(dir.path().into())
                .load()
                .unwrap_err()
                .reason
                .contains("regular")
        );
        std::fs::write(&path, format!("secretuser:{}", "s".repeat(1 << 20))).unwrap();
        let error = Auth::CookieFile(path).load().unwrap_err().to_string();
        assert!(!error.contains("secretuser"), "{error}");
    }

    proptest! {
        #[test]
        fn no_cookie_panics(text in "(?s).{0,2000}") {
            let _ = parse_cookie(&text);
        }
    }
}
