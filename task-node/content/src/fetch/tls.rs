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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::net::SocketAddr;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An HTTPS server for `localhost` that answers every request with `ok`, and its certificate.
    async fn https_server() -> (SocketAddr, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // A client that does not trust the certificate hangs up here.
                let Ok(mut tls) = acceptor.accept(socket).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = tls.read(&mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = tls.write_all(answer).await;
                let _ = tls.shutdown().await;
            }
        });
        (address, cert.der().clone())
    }

    async fn get(address: SocketAddr, roots: RootCertStore) -> Result<String, reqwest::Error> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(roots).unwrap())
            .resolve("localhost", address)
            .build()
            .unwrap()
            .get(format!("https://localhost:{}", address.port()))
            .send()
            .await?
            .text()
            .await
    }

    #[tokio::test]
    async fn only_trusted_certificates_are_taken() {
        let (address, certificate) = https_server().await;
        assert!(get(address, roots()).await.unwrap_err().is_connect());
        let mut trusting = roots();
        trusting.add(certificate).unwrap();
        assert_eq!(get(address, trusting).await.unwrap(), "ok");
    }

    #[test]
    fn a_slim_container_trusts_the_public_authorities() {
        assert!(roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
        assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 100);
    }
}
