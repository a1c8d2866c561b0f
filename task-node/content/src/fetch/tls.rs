//! Whom to trust over HTTPS.
//!
//! The bundled Mozilla roots, because a slim container has no certificate store, and on top of them whatever the
//! machine trusts, so that an operator can reach a gateway of the house with a certificate of the house
//! (`SSL_CERT_FILE`). The crypto provider is named here and not installed for the process: a library that sets a
//! global would take the choice from the binary.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::FetchError;

/// The bundled roots and the machine's.
pub(super) fn roots() -> RootCertStore {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // Errors mean a missing or odd certificate store: the bundled roots are there for that.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    roots
}

/// A TLS client that trusts `roots`, TLS 1.2 and 1.3.
///
/// # Errors
/// [`FetchError::Setup`] where the provider lacks a protocol version.
pub(super) fn client_config(roots: RootCertStore) -> Result<ClientConfig, FetchError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A configured client is taken as it is, so what it speaks must be said here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
