//! Who a miner says it is: `<K2 address>.<worker>`, and the options it hides in the password.

use std::str::FromStr;

use k2_interface::{AddressError, K2Address};
use pow::ShareDifficulty;

/// The longest worker name.
const MAX_WORKER: usize = 64;
/// What a client without a worker name is called.
const DEFAULT_WORKER: &str = "default";
/// Nobody's password is longer; the rest is not looked at.
const MAX_PASSWORD_OPTIONS: usize = 16;

/// Why a user name is refused. Every text says what one looks like, because it is all that a person sees who set up a miner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserNameError {
    /// The part before the dot.
    #[error("the user name is <K2 address>.<worker>: the address is {0}")]
    Address(AddressError),
    /// The part after the dot.
    #[error(
        "the user name is <K2 address>.<worker>: a worker has 1 to 64 letters, digits, '_', '-' or '.'"
    )]
    Worker,
}

/// A checked user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName {
    /// Who is paid.
    pub miner: K2Address,
    /// Which of its machines; `default` if not given.
    pub worker: String,
}

impl FromStr for UserName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, worker) = match text.split_once('.') {
            // An address has no dot; a worker may.
            Some((address, worker)) => (address, worker),
            None => (text, DEFAULT_WORKER),
        };
        let miner = address.parse().map_err(UserNameError::Address)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if worker.is_empty() || worker.len() > MAX_WORKER || !worker.bytes().all(allowed) {
            return Err(UserNameError::Worker);
        }
        Ok(Self {
            miner,
            worker: worker.to_owned(),
        })
    }
}

/// The difficulty a password asks for with `d=` or `diff=`, as in `x,d=512`. Everything else in it means nothing here.
#[must_use]
pub(crate) fn password_difficulty(password: &str) -> Option<ShareDifficulty> {
    password
        .split([',', ';', ' '])
        .take(MAX_PASSWORD_OPTIONS)
        .filter_map(|option| option.split_once('='))
        .filter(|(key, _)| {
            ["d", "diff"]
                .iter()
                .any(|name| key.eq_ignore_ascii_case(name))
        })
        .find_map(|(_, value)| ShareDifficulty::at_most(value.parse().ok()?).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const ADDRESS: &str = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi";

    #[test]
    fn user_names() {
        let user: UserName = format!("{ADDRESS}.rig.7_a-b").parse().unwrap();
        assert_eq!(user.miner, ADDRESS.parse().unwrap());
        assert_eq!(user.worker, "rig.7_a-b");
        let bare: UserName = ADDRESS.parse().unwrap();
        assert_eq!(bare.worker, "default");
    }

    #[test]
    fn refused_user_names_say_what_one_looks_like() {
        let long = "w".repeat(65);
        for (text, is_worker) in [
            (String::new(), false),
            (
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.rig".to_owned(),
                false,
            ),
            (format!("{ADDRESS}."), true),
            (format!("{ADDRESS}.{long}"), true),
            (format!("{ADDRESS}.<script>"), true),
            (format!("{ADDRESS}.\u{e9}"), true),
            (format!(" {ADDRESS}"), false),
        ] {
            let error = text.parse::<UserName>().unwrap_err();
            assert_eq!(error == UserNameError::Worker, is_worker, "{text}");
            assert!(error.to_string().contains("<K2 address>.<worker>"));
        }
    }

    #[test]
    fn password_options() {
        let half = ShareDifficulty::at_most(0.5).unwrap();
        for text in ["d=0.5", "x,d=0.5", "diff=0.5", "a=b;D=0.5", "x d=nan d=0.5"] {
            assert_eq!(password_difficulty(text), Some(half), "{text}");
        }
        for text in [
            "",
            "x",
            "d=",
            "d=-1",
            "d=0",
            "d=inf",
            "md=512",
            "difficulty=5",
        ] {
            assert_eq!(password_difficulty(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = text.parse::<UserName>();
            let _ = password_difficulty(&text);
        }
    }
}
