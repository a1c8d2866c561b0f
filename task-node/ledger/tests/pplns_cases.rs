//! PPLNS windows as texts a person can read: `tests/pplns_cases/*.txt`, each case an input and its exact answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use k2_interface::K2Address;
use ledger::{Fee, Share, Window, apportion};
use pow::Work;
use work::RoundNumber;

/// A name as an address: its bytes, then zeros.
fn address(name: &str) -> K2Address {
    K2Address::from_bytes(padded(name.as_bytes()))
}

fn name(address: &K2Address) -> String {
    let bytes = address.as_bytes();
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(32);
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn padded(bytes: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

fn parse<T: FromStr>(word: &str) -> T {
    word.parse().ok().expect(word)
}

fn answer(input: &[&str]) -> String {
    let mut size = None;
    let mut fee = Fee::NONE;
    let mut pot = None;
    let mut rounds: Vec<(RoundNumber, Vec<Share>)> = Vec::new();
    for line in input {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["window", work] => size = Some(Work::from_hashes(parse(work))),
            ["fee", ppm] => fee = Fee::from_ppm(parse(ppm)).unwrap(),
            ["pot", sats] => pot = Some(parse(sats)),
            ["round", number] => rounds.push((parse(number), Vec::new())),
            ["share", height, hash, work, miner, node] => {
                let (round, shares) = rounds.last_mut().expect("a round before its shares");
                shares.push(Share {
                    round: *round,
                    height: parse(height),
                    hash: padded(&hex::decode(hash).unwrap()),
                    work: Work::from_hashes(parse(work)),
                    miner: address(miner),
                    node: address(node),
                });
            }
            _ => panic!("cannot read: {line}"),
        }
    }

    let mut window = Window::new(size.expect("a window")).unwrap();
    for (round, shares) in &rounds {
        window.add_round(*round, shares.iter().copied()).unwrap();
    }
    // The order of delivery within a round never matters.
    let mut reversed = Window::new(window.size()).unwrap();
    for (round, shares) in &rounds {
        reversed
            .add_round(*round, shares.iter().rev().copied())
            .unwrap();
    }
    assert_eq!(window, reversed);

    let mut text = format!("reached {} of {}", window.reached(), window.size());
    if let (Some(oldest), Some(newest)) = (window.oldest_round(), window.newest_round()) {
        write!(text, ", rounds {oldest} to {newest}").unwrap();
    }
    text.push('\n');
    for (earner, work) in window.counted() {
        writeln!(
            text,
            "{} on {}: {work}",
            name(&earner.miner),
            name(&earner.node)
        )
        .unwrap();
    }
    if let Some(pot) = pot {
        let divided = apportion(pot, &window.stake_weights(fee)).unwrap();
        for (stake, sats) in &divided.parts {
            let role = format!("{:?}", stake.role).to_lowercase();
            writeln!(text, "{role} {}: {sats} sats", name(&stake.owner)).unwrap();
        }
        if divided.undistributed > 0 {
            writeln!(text, "undistributed {}", divided.undistributed).unwrap();
        }
    }
    text
}

#[test]
fn windows_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pplns_cases");
    let mut cases = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        for case in lines.split(|line| line.starts_with("case ")).skip(1) {
            let title = format!("{}, case {cases}: {case:#?}", path.display());
            let rule = case.iter().position(|line| *line == "----").expect(&title);
            let expected: String = case[rule + 1..].iter().map(|l| format!("{l}\n")).collect();
            assert_eq!(answer(&case[..rule]), expected, "{title}");
            cases += 1;
        }
    }
    assert!(cases >= 20, "only {cases} cases were found");
}
