//! `bitcoin.peers`: other operators' nodes in place of a Bitcoin node.

use std::sync::Arc;

use bitcoin::Network;
use chain::peer::{Checkpoint, PeerTimeouts, PeersNode, PeersOptions};
use work::SystemClock;

use super::parsed::Complaints;
use super::raw::RawBitcoin;

/// `None` where there are no peers, or where something is wrong with them.
pub(super) fn bitcoin_peers(
    raw: &RawBitcoin,
    network: Network,
    complaints: &mut Complaints,
) -> Option<PeersOptions> {
    if raw.peers.is_empty() {
        return None;
    }
    let checkpoint = match raw.checkpoint.trim() {
        // Hundreds of megabytes of headers would be asked of peers that do not keep them.
        "" if network == Network::Bitcoin => {
            complaints.0.push(
                "bitcoin.checkpoint is required with bitcoin.peers, for example HEIGHT:HASH of a block that is older than the \
                 task's first round, from any node or block explorer that you trust"
                    .to_owned(),
            );
            return None;
        }
        "" => Checkpoint::genesis(network),
        text => complaints.check("bitcoin.checkpoint", text.parse())?,
    };
    let options = PeersOptions {
        urls: raw.peers.clone(),
        quorum: raw.peer_quorum,
        network,
        checkpoint,
        timeouts: PeerTimeouts::default(),
    };
    // It opens nothing, and says what is wrong.
    complaints.check(
        "bitcoin.peers",
        PeersNode::new(options.clone(), Arc::new(SystemClock::new())),
    )?;
    Some(options)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(raw: &RawBitcoin, network: Network) -> Result<Option<PeersOptions>, String> {
        let mut complaints = Complaints::default();
        let options = bitcoin_peers(raw, network, &mut complaints);
        if complaints.0.is_empty() {
            Ok(options)
        } else {
            Err(complaints.0.join("\n"))
        }
    }

    #[test]
    fn a_quorum_and_a_beginning_are_needed() {
        let mut raw = RawBitcoin {
            peers: vec!["http://a:8080".to_owned(), "http://b:8080/".to_owned()],
            ..RawBitcoin::default()
        };
        let regtest = parse(&raw, Network::Regtest).unwrap().unwrap();
        assert_eq!(regtest.checkpoint, Checkpoint::genesis(Network::Regtest));
        assert_eq!(regtest.quorum, 2);
        assert!(
            parse(&raw, Network::Bitcoin)
                .unwrap_err()
                .contains("bitcoin.checkpoint is required")
        );
        raw.checkpoint = "840000".to_owned();
        assert!(
            parse(&raw, Network::Bitcoin)
                .unwrap_err()
                .contains("HEIGHT:HASH")
        );
        raw.checkpoint = format!("840000:{}", "00".repeat(32));
        assert_eq!(
            parse(&raw, Network::Bitcoin)
                .unwrap()
                .unwrap()
                .checkpoint
                .height,
            840_000
        );

        for (peers, quorum) in [
            (vec!["http://a:8080"], 2),
            (vec!["http://a:8080", "http://b"], 0),
            (vec!["http://a:8080", "http://a:8080/"], 2),
            (vec!["http://a:8080", "ftp://b"], 2),
            (vec!["http://a:8080", "http://user:secret@b"], 2),
        ] {
            raw.peers = peers.into_iter().map(str::to_owned).collect();
            raw.peer_quorum = quorum;
            let complaint = parse(&raw, Network::Bitcoin).unwrap_err();
            assert!(!complaint.contains("secret"), "{complaint}");
        }
    }
}
