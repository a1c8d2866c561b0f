//! Where a Kubo RPC API is, and how this node proves that it may use it.

use std::{fmt, str::FromStr};

use reqwest::{Client, RequestBuilder, Url};
use zeroize::Zeroizing;

/// Path of the RPC API below the base URL (<https://docs.ipfs.tech/reference/kubo/rpc/>).
const API: &str = "/api/v0";

/// The longest line of credentials read.
const MAX_AUTH_CHARS: usize = 4096;

/// Why a text is no RPC endpoint or no credentials. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not a URL.
    #[error("not a URL; write it like http://127.0.0.1:5001, not as a multiaddress")]
    NotAUrl,
    /// Another scheme than HTTP.
    #[error("an RPC endpoint is http:// or https://")]
    Scheme,
    /// Something behind the path, which a command could not follow.
    #[error("an RPC endpoint is a base URL without ? and #")]
    NotABase,
    /// Credentials in another form than Kubo writes them.
    #[error(
        "credentials are one line, `bearer:TOKEN` or `basic:USER:PASSWORD`, as in Kubo's API.Authorizations"
    )]
    Credentials,
    /// Credentials twice.
    #[error("credentials are in the URL and in a file: give one of them")]
    TwoCredentials,
}

/// What is sent as `Authorization`. Never shown.
#[derive(Clone)]
pub enum Credentials {
    /// A token.
    Bearer(Zeroizing<String>),
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
}

impl FromStr for Credentials {
    type Err = EndpointError;

    /// Reads the notation of Kubo's `API.Authorizations`: `bearer:TOKEN` or `basic:USER:PASSWORD`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let line = text.trim();
        let printable = line.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if line.len() > MAX_AUTH_CHARS || !printable {
            return Err(EndpointError::Credentials);
        }
        match line.split_once(':') {
            Some(("bearer", token)) if !token.is_empty() => {
                Ok(Self::Bearer(Zeroizing::new(token.to_owned())))
            }
            Some(("basic", pair)) => {
                let (user, password) = pair.split_once(':').ok_or(EndpointError::Credentials)?;
                Ok(Self::Basic {
                    user: user.to_owned(),
                    password: Zeroizing::new(password.to_owned()),
                })
            }
            _ => Err(EndpointError::Credentials),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The RPC API of an IPFS node that speaks Kubo's dialect: Kubo itself, js-ipfs, a cluster's proxy.
///
/// Whoever reaches that API commands the IPFS node, so it belongs to the operator and listens on loopback or behind
/// credentials.
#[derive(Clone)]
pub struct Endpoint {
    base: Url,
    credentials: Option<Credentials>,
}

impl Endpoint {
    /// The same endpoint with credentials.
    ///
    /// # Errors
    /// [`EndpointError::TwoCredentials`] if the URL has some too.
    pub fn with_credentials(mut self, credentials: Credentials) -> Result<Self, EndpointError> {
        if !self.base.username().is_empty() || self.base.password().is_some() {
            return Err(EndpointError::TwoCredentials);
        }
        self.credentials = Some(credentials);
        Ok(self)
    }

    /// A command as a request without a body. Every command is a POST, which no web page can send unasked.
    pub(crate) fn command(
        &self,
        client: &Client,
        command: &str,
        arguments: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}{API}/{command}",
            self.base.path().trim_end_matches('/')
        ));
        if !arguments.is_empty() {
            url.query_pairs_mut().extend_pairs(arguments);
        }
        let request = client.post(url);
        match &self.credentials {
            None => request,
            Some(Credentials::Bearer(token)) => request.bearer_auth(token.as_str()),
            Some(Credentials::Basic { user, password }) => {
                request.basic_auth(user, Some(password.as_str()))
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let mut base = Url::parse(text).map_err(|_| EndpointError::NotAUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(EndpointError::NotABase);
        }
        // Some copy the address of the API, some that of the node.
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix(API).unwrap_or(path).to_owned();
        base.set_path(&path);
        Ok(Self {
            base,
            credentials: None,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::fetch::write_without_credentials(&self.base, f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl PartialEq for Endpoint {
    /// The same place, whatever the credentials.
    fn eq(&self, other: &Self) -> bool {
        self.base == other.base
    }
}

impl Eq for Endpoint {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    fn request(endpoint: &Endpoint, arguments: &[(&str, &str)]) -> reqwest::Request {
        // No TLS is set up in this test, and none is needed to build a request.
        let tls = crate::fetch::tls_for_tests();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .build()
            .unwrap();
        endpoint
            .command(&client, "block/get", arguments)
            .build()
            .unwrap()
    }

    #[test]
    fn commands_are_posts_under_the_base() {
        for (base, expected) in [
            ("http://127.0.0.1:5001", "http://127.0.0.1:5001/api/v0/"),
            (
                "http://127.0.0.1:5001/api/v0/",
                "http://127.0.0.1:5001/api/v0/",
            ),
            ("https://a.example/x/", "https://a.example/x/api/v0/"),
        ] {
            let request = request(&base.parse().unwrap(), &[("arg", "b a&c")]);
            assert_eq!(
                request.url().as_str(),
                format!("{expected}block/get?arg=b+a%26c")
            );
            assert_eq!(request.method(), "POST");
        }
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let endpoint: Endpoint = "http://node:5001".parse().unwrap();
        for (line, header) in [
            ("bearer:s3cret\n", "Bearer s3cret"),
            ("basic:alice:s3:cret", "Basic YWxpY2U6czM6Y3JldA=="),
        ] {
            let credentials: Credentials = line.parse().unwrap();
            assert!(!format!("{credentials:?}").contains("cret"));
            let endpoint = endpoint.clone().with_credentials(credentials).unwrap();
            let request = request(&endpoint, &[]);
            let sent = &request.headers()["authorization"];
            assert_eq!(sent, header);
            assert!(sent.is_sensitive());
            assert!(!format!("{endpoint} {endpoint:?} {request:?}").contains("cret"));
        }
        let endpoint: Endpoint = "http://alice:s3cret@node:5001/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://node:5001");
        assert!(!format!("{endpoint:?}").contains("cret"));
        let twice = endpoint.with_credentials("bearer:x".parse().unwrap());
        assert_eq!(twice.unwrap_err(), EndpointError::TwoCredentials);
    }

    #[test]
    fn what_is_no_endpoint() {
        for (text, error) in [
            ("", EndpointError::NotAUrl),
            ("127.0.0.1:5001", EndpointError::NotAUrl),
            ("/ip4/127.0.0.1/tcp/5001", EndpointError::NotAUrl),
            ("unix:///run/ipfs.sock", EndpointError::Scheme),
            ("http://a/?x", EndpointError::NotABase),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn credentials_never_panic(line in "(bearer|basic|)(:[ -~\\PC]{0,20}){0,3}") {
            if let Ok(credentials) = line.parse::<Credentials>() {
                prop_assert_eq!(format!("{credentials:?}"), "Credentials");
            }
        }
    }
}
