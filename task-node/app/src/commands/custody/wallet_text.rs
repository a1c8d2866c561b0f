//! How a wallet is shown, to people and to scripts. Amounts are sats.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bitcoin::{Address, Amount, Network};
use custody::view::KeychainKind;
use custody::watch::{Balance, HistoryEntry, Kind, Synced, Utxo, WalletEvent, Watch};
use serde::Serialize;

/// How many addresses of each keychain custodians compare.
const COMPARED: u32 = 5;

/// The script of the pool's coinbases.
#[derive(Debug, Serialize)]
pub(super) struct Coinbase {
    pub(super) address: String,
    script: String,
}

/// `orcapool wallet show`
#[derive(Debug, Serialize)]
pub(super) struct WalletInfo {
    folder: String,
    network: Network,
    /// With its checksum.
    descriptor: String,
    threshold: usize,
    cosigners: Vec<String>,
    pub(super) coinbase: Coinbase,
    /// The first addresses of the keychain that receives coinbases.
    coinbase_addresses: Vec<String>,
    /// The first addresses of the keychain that receives change.
    change_addresses: Vec<String>,
    birthday: u32,
    /// The best block of the last sync; 0 before the first.
    tip: u32,
}

impl WalletInfo {
    pub(super) fn of(watch: &Watch) -> anyhow::Result<Self> {
        let setup = watch.setup();
        let first = |keychain| {
            (0..COMPARED)
                .map(|index| Ok(setup.address(keychain, index)?.to_string()))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        let script = setup.coinbase_script()?;
        Ok(Self {
            folder: watch.dir().path().display().to_string(),
            network: setup.network(),
            descriptor: setup.to_string(),
            threshold: setup.threshold(),
            cosigners: setup.cosigners().iter().map(ToString::to_string).collect(),
            coinbase: Coinbase {
                address: Address::from_script(&script, setup.network())?.to_string(),
                script: script.to_hex_string(),
            },
            coinbase_addresses: first(KeychainKind::External)?,
            change_addresses: first(KeychainKind::Internal)?,
            birthday: watch.dir().birthday(),
            tip: watch.tip().height,
        })
    }

    pub(super) fn text(&self) -> String {
        let synced = match self.tip {
            0 => "not synced yet".to_owned(),
            tip => format!("synced to block {tip}"),
        };
        let mut text = format!(
            "{} of {} keys on {}, in {}\n{synced}; blocks below {} are not looked at\n\ndescriptor\n  {}\n\nkeys\n",
            self.threshold,
            self.cosigners.len(),
            self.network,
            self.folder,
            self.birthday,
            self.descriptor,
        );
        for cosigner in &self.cosigners {
            let _ = writeln!(text, "  {cosigner}");
        }
        for (name, addresses) in [
            ("coinbases", &self.coinbase_addresses),
            ("change", &self.change_addresses),
        ] {
            let _ = writeln!(text, "\nfirst addresses for {name}");
            for (index, address) in addresses.iter().enumerate() {
                let _ = writeln!(text, "  {index}  {address}");
            }
        }
        let _ = write!(
            text,
            "\nin the pool's configuration  payout.script = \"{}\"\non K2                        {} (script {})\n\n\
             Compare descriptor and addresses with every other custodian before anything is paid here.",
            self.coinbase.address, self.coinbase.address, self.coinbase.script,
        );
        text
    }
}

/// One keychain's balance, in sats.
#[derive(Debug, Serialize)]
struct BalanceView {
    immature: u64,
    mature: u64,
    leaving: u64,
    arriving: u64,
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        Self {
            immature: balance.immature.to_sat(),
            mature: balance.mature.to_sat(),
            leaving: balance.leaving.to_sat(),
            arriving: balance.arriving.to_sat(),
        }
    }
}

/// `orcapool wallet balance`
#[derive(Debug, Serialize)]
pub(super) struct BalancesView {
    tip: u32,
    coinbases: BalanceView,
    change: BalanceView,
}

impl BalancesView {
    pub(super) fn of(watch: &Watch) -> Self {
        let balances = watch.balances();
        Self {
            tip: watch.tip().height,
            coinbases: balances.coinbases.into(),
            change: balances.change.into(),
        }
    }

    pub(super) fn text(&self) -> String {
        let (a, b) = (&self.coinbases, &self.change);
        let rows = [
            ("immature", a.immature, b.immature),
            ("mature", a.mature, b.mature),
            ("leaving", a.leaving, b.leaving),
            ("arriving", a.arriving, b.arriving),
        ];
        let mut text = format!(
            "at block {}\n{:<10}{:>24}{:>24}",
            self.tip, "", "coinbases", "change"
        );
        for (name, coinbases, change) in rows {
            let _ = write!(
                text,
                "\n{name:<10}{:>24}{:>24}",
                sats(coinbases),
                sats(change)
            );
        }
        text
    }
}

/// One line of `orcapool wallet history`
#[derive(Debug, Serialize)]
pub(super) struct EntryView {
    txid: String,
    kind: &'static str,
    height: Option<u32>,
    time: Option<u64>,
    spent: u64,
    received: u64,
    fee: Option<u64>,
    redemptions: BTreeSet<u64>,
}

impl From<HistoryEntry> for EntryView {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            txid: entry.txid.to_string(),
            kind: match entry.kind {
                Kind::Coinbase => "coinbase",
                Kind::Payment => "payment",
                Kind::Internal => "internal",
                Kind::Sweep => "sweep",
                Kind::Deposit => "deposit",
                _ => "other",
            },
            height: entry.height,
            time: entry.time,
            spent: entry.spent.to_sat(),
            received: entry.received.to_sat(),
            fee: entry.fee.map(Amount::to_sat),
            redemptions: entry.ids,
        }
    }
}

pub(super) fn history(entries: &[EntryView]) -> String {
    let mut text = format!(
        "{:>11}  {:<8}  {:>24}  {:<64}  redemptions",
        "block", "what", "change of balance", "transaction"
    );
    for entry in entries {
        let (sign, by) = if entry.received >= entry.spent {
            ("+", entry.received - entry.spent)
        } else {
            ("-", entry.spent - entry.received)
        };
        let ids: Vec<String> = entry.redemptions.iter().map(u64::to_string).collect();
        let _ = write!(
            text,
            "\n{:>11}  {:<8}  {:>24}  {}  {}",
            height(entry.height),
            entry.kind,
            format!("{sign}{}", sats(by)),
            entry.txid,
            ids.join(" "),
        );
    }
    text
}

/// One line of `orcapool wallet utxos`
#[derive(Debug, Serialize)]
pub(super) struct UtxoView {
    outpoint: String,
    value: u64,
    keychain: &'static str,
    index: u32,
    height: Option<u32>,
    confirmations: u32,
    coinbase: bool,
    spendable: bool,
    spent_by: Option<String>,
}

impl UtxoView {
    pub(super) fn of(utxo: &Utxo, tip: u32) -> Self {
        let coin = &utxo.coin;
        Self {
            outpoint: coin.outpoint.to_string(),
            value: coin.txout.value.to_sat(),
            keychain: match coin.keychain {
                KeychainKind::External => "coinbases",
                KeychainKind::Internal => "change",
            },
            index: coin.index,
            height: coin.height,
            confirmations: coin
                .height
                .map_or(0, |height| custody::view::confirmations(tip, height)),
            coinbase: coin.is_coinbase,
            spendable: utxo.spendable,
            spent_by: utxo.spent_by.map(|txid| txid.to_string()),
        }
    }
}

pub(super) fn utxos(coins: &[UtxoView]) -> String {
    let mut text = format!(
        "{:>11}  {:<9}  {:>5}  {:>24}  {:<10}  coin",
        "block", "keychain", "index", "value", "state"
    );
    for coin in coins {
        let state = match (&coin.spent_by, coin.height, coin.spendable) {
            (Some(_), ..) => "leaving",
            (None, None, _) => "arriving",
            (None, Some(_), true) => "mature",
            (None, Some(_), false) => "immature",
        };
        let _ = write!(
            text,
            "\n{:>11}  {:<9}  {:>5}  {:>24}  {state:<10}  {}",
            height(coin.height),
            coin.keychain,
            coin.index,
            sats(coin.value),
            coin.outpoint,
        );
    }
    text
}

/// `orcapool wallet sync`
#[derive(Debug, Serialize)]
pub(super) struct SyncedView {
    tip: u32,
    tip_hash: String,
    blocks: u32,
    events: Vec<EventView>,
}

/// One change.
#[derive(Debug, Serialize)]
struct EventView {
    event: &'static str,
    txid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// Height of the block it was in before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
    /// What replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

impl SyncedView {
    pub(super) fn of(watch: &Watch, synced: &Synced) -> Self {
        Self {
            tip: watch.tip().height,
            tip_hash: synced.tip.hash.to_string(),
            blocks: synced.blocks,
            events: synced.events.iter().filter_map(EventView::of).collect(),
        }
    }
}

impl EventView {
    fn of(event: &WalletEvent) -> Option<Self> {
        let (event, txid, height, before, by) = match event {
            WalletEvent::Confirmed {
                txid,
                height,
                before,
            } => ("confirmed", txid, Some(*height), *before, None),
            WalletEvent::Unconfirmed { txid, before } => ("unconfirmed", txid, None, *before, None),
            WalletEvent::Replaced { txid, by } => {
                ("replaced", txid, None, None, Some(by.to_string()))
            }
            WalletEvent::Dropped { txid } => ("dropped", txid, None, None, None),
            WalletEvent::Orphaned { txid, before } => ("orphaned", txid, None, Some(*before), None),
            // The tip stands beside them.
            _ => return None,
        };
        Some(Self {
            event,
            txid: txid.to_string(),
            height,
            before,
            by,
        })
    }
}

/// One change in words.
pub(super) fn event(event: &WalletEvent) -> String {
    match event {
        WalletEvent::Tip { tip } => format!("the best block is {}", tip.height),
        WalletEvent::Confirmed {
            txid,
            height,
            before: None,
        } => format!("{txid} is in block {height}"),
        WalletEvent::Confirmed {
            txid,
            height,
            before: Some(before),
        } => format!("{txid} is in block {height} now, no longer in {before}"),
        WalletEvent::Unconfirmed { txid, before: None } => format!("{txid} waits for a block"),
        WalletEvent::Unconfirmed {
            txid,
            before: Some(before),
        } => format!("{txid} waits for a block again: {before} is not in the chain any more"),
        WalletEvent::Replaced { txid, by } => format!("{txid} was replaced by {by}"),
        WalletEvent::Dropped { txid } => {
            format!("{txid} is in no block and no mempool any more; it may still come back")
        }
        WalletEvent::Orphaned { txid, before } => {
            format!("the coinbase {txid} is lost: its block {before} is not in the chain any more")
        }
        other => format!("{other:?}"),
    }
}

fn height(height: Option<u32>) -> String {
    height.map_or_else(|| "unconfirmed".to_owned(), |height| height.to_string())
}

/// `1 234 567 sat`: what people compare digit by digit.
fn sats(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text + " sat"
}

#[cfg(test)]
mod tests {
    use super::sats;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(sats(0), "0 sat");
        assert_eq!(sats(999), "999 sat");
        assert_eq!(sats(1_000), "1 000 sat");
        assert_eq!(sats(2_100_000_000_000_000), "2 100 000 000 000 000 sat");
    }
}
