//! The configuration as `orcapool config show` prints it.

use super::raw::RawConfig;

/// What stands in place of a secret.
const REDACTED: &str = "<redacted>";

/// A copy without secrets: passwords, and credentials inside URLs. What is there by default only on some networks is filled
/// in.
#[must_use]
pub fn redacted(config: &RawConfig) -> RawConfig {
    let mut config = config.clone();
    for node in &mut config.bitcoin.nodes {
        if node.password.is_some() {
            node.password = Some(REDACTED.to_owned());
        }
        node.url = without_credentials(&node.url);
    }
    for peer in &mut config.bitcoin.peers {
        *peer = without_credentials(peer);
    }
    config.http.public_url = without_credentials(&config.http.public_url);
    config.custody.url = without_credentials(&config.custody.url);
    config.ipfs.rpc = without_credentials(&config.ipfs.rpc);
    let mut public = config.ipfs.effective_gateways(&config.bitcoin.network);
    for gateway in config.content.gateways.iter_mut().chain(&mut public) {
        *gateway = without_credentials(gateway);
    }
    config.ipfs.gateways = Some(public);
    config
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        None => url.to_owned(),
        Some(at) if scheme.is_empty() => format!("{REDACTED}{}", &rest[at..]),
        Some(at) => format!("{scheme}://{REDACTED}{}", &rest[at..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut config = RawConfig::default();
        config
            .bitcoin
            .nodes
            .push(super::super::raw::RawBitcoinNode {
                url: "http://alice:hunter2@127.0.0.1:8332/".to_owned(),
                user: Some("alice".to_owned()),
                password: Some("hunter2".to_owned()),
                ..Default::default()
            });
        config
            .content
            .gateways
            .push("https://token:hunter2@gateway.example/a@b".to_owned());
        config.ipfs.rpc = "http://token:hunter2@127.0.0.1:5001".to_owned();
        config.ipfs.gateways = Some(vec!["https://u:hunter2@{cid}.example".to_owned()]);
        config
            .bitcoin
            .peers
            .push("http://u:hunter2@peer.example:8338".to_owned());
        config.http.public_url = "http://u:hunter2@node.example:8338".to_owned();
        config.custody.url = "https://token:hunter2@esplora.example/api".to_owned();
        let shown = format!("{:?}", redacted(&config));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("gateway.example/a@b"), "{shown}");
        assert_eq!(without_credentials("http://host/a@b"), "http://host/a@b");
    }
}
