//! Where a wallet learns of blocks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, jsonrpc};
use bitcoin::Network;
use zeroize::Zeroizing;

use super::WatchError;

/// Time for one answer of a node: one that is busy with a block takes its time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A node or a server.
///
/// A custodian's own `bitcoind` checks every rule of Bitcoin. An Esplora or Electrum server is believed: whoever runs it can
/// hide payments and show coins that do not exist, so signers should run their own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// Bitcoin Core 25 or newer, by RPC.
    Bitcoind {
        /// `http://host:port`.
        url: String,
        /// How it lets in.
        login: Login,
    },
    /// An Esplora server's API: `https://host/api`.
    Esplora {
        /// Its base URL.
        url: String,
    },
    /// An Electrum server: `ssl://host:50002` or `tcp://host:50001`.
    Electrum {
        /// Its URL.
        url: String,
    },
}

impl Source {
    /// Height of its best block: where a new wallet's life begins.
    ///
    /// # Errors
    /// [`WatchError::Source`], [`WatchError::WrongNetwork`].
    pub fn height(&self, network: Network) -> Result<u32, WatchError> {
        match self {
            Self::Bitcoind { url, login } => {
                super::bitcoind::height(&connect(url, login)?, network)
            }
            Self::Esplora { url } => super::server::esplora_height(url, network),
            Self::Electrum { url } => super::server::electrum_height(url, network),
        }
    }
}

/// What a node asks for.
#[derive(Clone)]
pub enum Login {
    /// The file `bitcoind` writes at every start.
    CookieFile(PathBuf),
    /// `-rpcauth`.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CookieFile(path) => f.debug_tuple("CookieFile").field(path).finish(),
            Self::Password { .. } => f.write_str("Password(redacted)"),
        }
    }
}

/// A connection to a node. The cookie is read anew each time: it changes when the node starts.
pub(crate) fn connect(url: &str, login: &Login) -> Result<Client, WatchError> {
    let auth = match login {
        Login::CookieFile(path) => Auth::CookieFile(path.clone()),
        Login::Password { user, password } => {
            Auth::UserPass(user.clone(), password.as_str().to_owned())
        }
    };
    let (user, password) = auth.get_user_pass().map_err(|error| {
        let what = match login {
            Login::CookieFile(path) => format!("cookie file {}: {error}", path.display()),
            Login::Password { .. } => error.to_string(),
        };
        WatchError::source(url, &format!("{what}; does bitcoind run?"))
    })?;
    let transport = jsonrpc::simple_http::Builder::new()
        .timeout(TIMEOUT)
        .url(url)
        .map_err(|error| WatchError::source(url, &error))?
        .auth(user.unwrap_or_default(), password)
        .build();
    Ok(Client::from_jsonrpc(jsonrpc::Client::with_transport(
        transport,
    )))
}
