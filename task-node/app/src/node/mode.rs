//! Where this node has its knowledge of Bitcoin from, and what that trusts: said by `doctor` and `/healthz`.

use crate::config::Config;

/// One sentence.
#[must_use]
pub fn bitcoin_mode(config: &Config) -> String {
    if let Some(peers) = &config.bitcoin_peers {
        let relay = config.program.as_bytes() != &[0; 32] && !config.k2_rpc.is_empty();
        return peers_mode(peers.quorum, peers.urls.len(), relay);
    }
    let remote: Vec<&str> = config
        .bitcoin_nodes
        .iter()
        .filter(|(options, _)| !is_local(&options.url))
        .map(|(options, _)| options.name.as_str())
        .collect();
    if remote.is_empty() {
        "own Bitcoin node: nobody is trusted".to_owned()
    } else {
        format!(
            "Bitcoin node on another machine ({}): whoever runs it can withhold blocks and give old or invalid templates; \
             block rewards it cannot take",
            remote.join(", ")
        )
    }
}

fn peers_mode(quorum: usize, peers: usize, relay: bool) -> String {
    let liars = match quorum {
        1 => "one of them that lies can make this node mine invalid blocks".to_owned(),
        quorum => format!(
            "{quorum} of them that lie together can make this node mine invalid blocks, fewer can only keep transactions out"
        ),
    };
    let all = match relay {
        true => {
            "all together can withhold blocks or show a branch of their own, until K2's relay has more work than they show; \
             whoever answers for K2 can make this node stop, and nothing else"
        }
        false => {
            "all together can withhold blocks or show a branch of their own, and without k2.program there is no relay to give \
             them away"
        }
    };
    format!(
        "no Bitcoin node; peers, {peers} of which {quorum} must agree: {liars}; {all}; headers are checked for proof of work, \
         and block rewards nobody can take"
    )
}

/// Whether an RPC address is on this machine.
fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for local in [
            "127.0.0.1:8332",
            "http://127.0.0.1:8332/",
            "http://localhost",
            "http://[::1]:8332",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "http://10.0.0.5:8332",
            "https://node.example/",
            "node.example:8332",
            "http://127.0.0.1.example:8332",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }

    #[test]
    fn a_quorum_of_one_is_said_to_be_one() {
        assert!(peers_mode(1, 3, true).contains("one of them that lies can make"));
        assert!(peers_mode(2, 3, true).contains("2 of them that lie together"));
    }

    #[test]
    fn a_node_without_a_witness_is_told() {
        assert!(peers_mode(2, 3, false).contains("no relay to give them away"));
        assert!(!peers_mode(2, 3, true).contains("no relay"));
    }
}
