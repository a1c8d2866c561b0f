//! A configuration file, and the same lines as `--set` flags: every fault is named, none of them panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcapool::config::raw::RawConfig;
use orcapool::config::{Config, load, redacted};

fuzz_target!(|text: &str| {
    if let Ok(raw) = toml::from_str::<RawConfig>(text) {
        check(&raw);
        // What `config show` prints is a configuration again.
        let shown = toml::to_string(&redacted(&raw)).unwrap();
        toml::from_str::<RawConfig>(&shown).unwrap();
    }
    let assignments: Vec<String> = text.lines().take(16).map(str::to_owned).collect();
    match load(None, &assignments) {
        Ok(raw) => check(&raw),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(raw: &RawConfig) {
    match Config::try_from(raw) {
        // A Bitcoin node, or peers in its place.
        Ok(config) => assert!(config.bitcoin_nodes.is_empty() == config.bitcoin_peers.is_some()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
