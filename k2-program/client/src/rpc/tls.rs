//! Whom to trust over HTTPS: Mozilla's roots, because a slim container has no certificate store, and whatever the
//! machine trusts besides (`SSL_CERT_FILE`). The crypto provider is named here and not installed for the process: a
//! library that sets a global would take the choice from the binary.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// A TLS client, versions 1.2 and 1.3.
pub(super) fn client_config() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // Errors mean a missing or odd certificate store: the bundled roots are there for that.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A configured client is taken as it is, so what it speaks must be said here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
