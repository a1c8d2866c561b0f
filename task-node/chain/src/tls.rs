//! Whom to trust over HTTPS: Mozilla's roots, because a slim container has no certificate store and reqwest builds no client
//! without one, and whatever the machine trusts besides (`SSL_CERT_FILE`).

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// A TLS client, versions 1.2 and 1.3, for `reqwest`'s `tls_backend_preconfigured`.
///
/// # Errors
/// The crypto provider lacks a protocol version.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
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
