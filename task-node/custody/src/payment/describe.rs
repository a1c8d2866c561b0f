//! What a transaction does, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bitcoin::bip32::Fingerprint;
use bitcoin::psbt::Input;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Address, Amount, Network, OutPoint, Psbt, TxOut, Txid};
use k2_interface::bitcoin::RedeemIds;
use serde::Serialize;

use super::{Known, Purpose, Refused, Reviewed, review, sign};

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It names redemptions.
    Payout,
    /// To a script registered on K2.
    Sweep,
    /// Makes payments impossible.
    Cancel,
    /// None of these, as far as can be told.
    Unknown,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Meaning {
    /// Pays a redemption.
    Redemption {
        /// Which.
        id: u64,
        /// Its amount in satoshis, by the reader's own view of K2.
        amount_sats: Option<u64>,
        /// Its share of the fee in satoshis.
        fee_sats: Option<u64>,
    },
    /// Back to the wallet's keychain of change.
    Change {
        /// The index.
        index: u32,
    },
    /// Somebody says it is change; it was not verified.
    SaidToBeChange,
    /// The script that K2 registers.
    Registered,
    /// Names redemptions.
    Ids {
        /// Which.
        ids: Vec<u64>,
    },
    /// Nothing known.
    Unknown,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputLine {
    /// In satoshis.
    pub sats: u64,
    /// Address, or the script in hex where it has none.
    pub to: String,
    /// What it is.
    #[serde(flatten)]
    pub meaning: Meaning,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputLine {
    /// The coin.
    pub outpoint: OutPoint,
    /// In satoshis, if the PSBT or the node says so.
    pub sats: Option<u64>,
}

/// A cosigner's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerLine {
    /// Of the master key.
    pub fingerprint: Fingerprint,
    /// How many inputs it signed validly.
    pub signed_inputs: usize,
}

/// A transaction in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its id.
    pub txid: Txid,
    /// What it is for.
    pub kind: Kind,
    /// Whether it passed the review, with the reader's own node and view of K2. If not, all below is what the file says.
    pub verified: bool,
    /// The rule that it breaks, if it was reviewed.
    pub refused: Option<Refused>,
    /// Payments that it makes impossible.
    pub replaces: BTreeSet<Txid>,
    /// What it spends.
    pub inputs: Vec<InputLine>,
    /// What it pays, in order.
    pub outputs: Vec<OutputLine>,
    /// In satoshis.
    pub fee_sats: Option<u64>,
    /// With all signatures, in virtual bytes, if the wallet is known.
    pub vbytes: Option<u64>,
    /// Height before which no block takes it.
    pub lock_time: u32,
    /// The redemptions that it cancels.
    pub cancels: BTreeSet<u64>,
    /// Who may sign and who did.
    pub signers: Vec<SignerLine>,
    /// How many must, if the wallet is known.
    pub threshold: Option<usize>,
}

/// Describes a transaction: reviewed by what is known, or, without, as the file has it.
#[must_use]
pub fn describe(psbt: &Psbt, network: Network, known: Option<&Known<'_>>) -> Description {
    let review = known.map(|known| review(psbt, known));
    let (reviewed, refused) = match review {
        None => (None, None),
        Some(Ok(reviewed)) => (Some(reviewed), None),
        Some(Err(refused)) => (None, Some(refused)),
    };
    // A reviewed one is rebuilt from own knowledge, so what it says is so.
    let psbt = reviewed.as_ref().map_or(psbt, Reviewed::psbt);
    let unsigned = &psbt.unsigned_tx;
    let meanings = match &reviewed {
        Some(reviewed) => known_meanings(psbt, reviewed.purpose()),
        None => said_meanings(psbt),
    };
    let outputs: Vec<_> = unsigned
        .output
        .iter()
        .zip(meanings)
        .map(|(output, meaning)| OutputLine {
            sats: output.value.to_sat(),
            to: destination(output, network),
            meaning,
        })
        .collect();
    let inputs: Vec<_> = unsigned
        .input
        .iter()
        .enumerate()
        .map(|(n, input)| InputLine {
            outpoint: input.previous_output,
            sats: psbt
                .inputs
                .get(n)
                .and_then(|map| spent(map, input.previous_output))
                .map(Amount::to_sat),
        })
        .collect();
    let kind = match reviewed.as_ref().map(Reviewed::purpose) {
        Some(Purpose::Payout { .. }) => Kind::Payout,
        Some(Purpose::Sweep { .. }) => Kind::Sweep,
        Some(Purpose::Cancel { .. }) => Kind::Cancel,
        None if outputs
            .iter()
            .any(|output| matches!(output.meaning, Meaning::Ids { .. })) =>
        {
            Kind::Payout
        }
        None => Kind::Unknown,
    };
    let cancels = match reviewed.as_ref().map(Reviewed::purpose) {
        Some(Purpose::Cancel { ids, .. }) => ids.clone(),
        _ => BTreeSet::new(),
    };
    Description {
        txid: unsigned.compute_txid(),
        kind,
        verified: reviewed.is_some(),
        refused,
        replaces: reviewed
            .as_ref()
            .map(|reviewed| reviewed.replaces().clone())
            .unwrap_or_default(),
        fee_sats: fee(&inputs, &outputs),
        inputs,
        outputs,
        vbytes: known.map(|known| {
            let weight = super::weight::signed_weight(known.setup, unsigned);
            weight.to_vbytes_ceil()
        }),
        lock_time: unsigned.lock_time.to_consensus_u32(),
        cancels,
        signers: signers(psbt),
        threshold: known.map(|known| known.setup.threshold()),
    }
}

fn fee(inputs: &[InputLine], outputs: &[OutputLine]) -> Option<u64> {
    let mut spent = 0_u64;
    for input in inputs {
        spent = spent.checked_add(input.sats?)?;
    }
    let mut fee = spent;
    for output in outputs {
        fee = fee.checked_sub(output.sats)?;
    }
    Some(fee)
}

/// A coin's value by the transaction that made it, whose id cannot lie, or else by what the file says.
fn spent(input: &Input, outpoint: OutPoint) -> Option<Amount> {
    match &input.non_witness_utxo {
        Some(funding) => {
            let proven = funding.compute_txid() == outpoint.txid;
            let output = usize::try_from(outpoint.vout).ok();
            let output = output.and_then(|vout| funding.output.get(vout));
            output.filter(|_| proven).map(|output| output.value)
        }
        None => input.witness_utxo.as_ref().map(|output| output.value),
    }
}

fn destination(output: &TxOut, network: Network) -> String {
    match Address::from_script(&output.script_pubkey, network) {
        Ok(address) => address.to_string(),
        Err(_) => output.script_pubkey.to_hex_string(),
    }
}

fn ids(output: &TxOut) -> Option<Vec<u64>> {
    let ids = RedeemIds::parse(output.script_pubkey.as_bytes()).ok()?;
    Some(ids.ids().collect())
}

fn known_meanings(psbt: &Psbt, purpose: &Purpose) -> Vec<Meaning> {
    match purpose {
        Purpose::Payout { payouts, change } => {
            let payouts = payouts.iter().map(|payout| Meaning::Redemption {
                id: payout.id,
                amount_sats: Some(payout.amount.to_sat()),
                fee_sats: Some(payout.fee.to_sat()),
            });
            let change = change.map(|change| Meaning::Change {
                index: change.index,
            });
            let ids = psbt.unsigned_tx.output.last().and_then(ids);
            let ids = ids.map(|ids| Meaning::Ids { ids });
            payouts.chain(change).chain(ids).collect()
        }
        Purpose::Sweep { .. } => vec![Meaning::Registered],
        Purpose::Cancel { change, .. } => vec![Meaning::Change {
            index: change.index,
        }],
    }
}

fn said_meanings(psbt: &Psbt) -> Vec<Meaning> {
    let outputs = &psbt.unsigned_tx.output;
    let mut named = outputs.last().and_then(ids).unwrap_or_default().into_iter();
    outputs
        .iter()
        .enumerate()
        .map(|(n, output)| {
            if let Some(ids) = ids(output) {
                return Meaning::Ids { ids };
            }
            if let Some(id) = named.next() {
                return Meaning::Redemption {
                    id,
                    amount_sats: None,
                    fee_sats: None,
                };
            }
            match psbt.outputs.get(n) {
                Some(map) if !map.bip32_derivation.is_empty() => Meaning::SaidToBeChange,
                _ => Meaning::Unknown,
            }
        })
        .collect()
}

/// Who is named as a signer of any input, and how many inputs each signed validly, by the PSBT's own amounts.
fn signers(psbt: &Psbt) -> Vec<SignerLine> {
    let secp = Secp256k1::verification_only();
    let mut signed: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    for (input, message) in psbt.inputs.iter().zip(sign::messages(psbt)) {
        for (key, (fingerprint, _)) in &input.bip32_derivation {
            let count = signed.entry(*fingerprint).or_default();
            let signature = input.partial_sigs.get(&bitcoin::PublicKey::new(*key));
            if let (Some(signature), Some(message)) = (signature, &message)
                && secp
                    .verify_ecdsa(message, &signature.signature, key)
                    .is_ok()
            {
                *count += 1;
            }
        }
    }
    signed
        .into_iter()
        .map(|(fingerprint, signed_inputs)| SignerLine {
            fingerprint,
            signed_inputs,
        })
        .collect()
}

impl Description {
    /// Who signed every input.
    pub fn complete_signers(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        let inputs = self.inputs.len();
        self.signers
            .iter()
            .filter(move |signer| signer.signed_inputs == inputs && inputs > 0)
            .map(|signer| signer.fingerprint)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Payout => writeln!(f, "payment of redemptions")?,
            Kind::Sweep => writeln!(f, "sweep to the script registered on K2")?,
            Kind::Cancel if self.cancels.is_empty() => writeln!(
                f,
                "cancels a payment that this custodian does not know, to the wallet's own change"
            )?,
            Kind::Cancel => writeln!(
                f,
                "cancels the payment of redemptions {}",
                list(&self.cancels)
            )?,
            Kind::Unknown => writeln!(f, "transaction of unknown purpose")?,
        }
        writeln!(f, "transaction  {}", self.txid)?;
        let checked = match (&self.refused, self.verified) {
            (Some(refused), _) => refused.to_string(),
            (None, true) => "by this custodian's own node and view of K2".to_owned(),
            (None, false) => "not verified: all of this is only what the file says".to_owned(),
        };
        writeln!(f, "checked      {checked}")?;
        for input in &self.inputs {
            let sats = input
                .sats
                .map_or_else(|| "?".to_owned(), |sats| sats.to_string());
            writeln!(f, "spends       {sats:>16} sat  {}", input.outpoint)?;
        }
        for output in &self.outputs {
            writeln!(f, "{output}")?;
        }
        let fee = self
            .fee_sats
            .map_or_else(|| "?".to_owned(), |fee| fee.to_string());
        write!(f, "fee          {fee:>16} sat")?;
        if let (Some(fee), Some(vbytes)) = (self.fee_sats, self.vbytes.filter(|size| *size > 0)) {
            let hundredths = fee.saturating_mul(100) / vbytes;
            let (whole, part) = (hundredths / 100, hundredths % 100);
            write!(f, "  {whole}.{part:02} sat/vB, {vbytes} vB")?;
        }
        writeln!(f)?;
        for txid in &self.replaces {
            writeln!(f, "replaces     {txid}")?;
        }
        let complete: Vec<_> = self.complete_signers().collect();
        let need = self
            .threshold
            .map_or_else(String::new, |threshold| format!(" of {threshold} needed"));
        write!(f, "signatures   {}{need}", complete.len())?;
        for signer in &self.signers {
            let done = if complete.contains(&signer.fingerprint) {
                "signed"
            } else if signer.signed_inputs > 0 {
                "signed some inputs only"
            } else {
                "not signed"
            };
            write!(f, "\n             {} {done}", signer.fingerprint)?;
        }
        Ok(())
    }
}

impl fmt::Display for OutputLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sats, to, meaning } = self;
        match meaning {
            Meaning::Ids { ids } => return write!(f, "names        redemptions {}", list(ids)),
            _ => write!(f, "pays         {sats:>16} sat  {to}  ")?,
        }
        match meaning {
            Meaning::Redemption {
                id,
                amount_sats: Some(amount),
                fee_sats: Some(fee),
            } => write!(
                f,
                "redemption {id} of {amount} sat, less {fee} sat of the fee"
            ),
            Meaning::Redemption { id, .. } => write!(f, "redemption {id}"),
            Meaning::Change { index } => write!(f, "back to the wallet's change, index {index}"),
            Meaning::SaidToBeChange => write!(f, "said to be change"),
            Meaning::Registered => write!(f, "a coinbase script of the pool, registered on K2"),
            Meaning::Ids { .. } | Meaning::Unknown => write!(f, "unknown"),
        }
    }
}

/// Numbers with commas; runs as `first-last`.
fn list<'a>(ids: impl IntoIterator<Item = &'a u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*id) => *last = *id,
            _ => runs.push((*id, *id)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    runs.join(", ")
}
