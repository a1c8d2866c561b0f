//! Custodians whose keys come from a number, and transactions they sign together.

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::bip32::{DerivationPath, Xpriv, Xpub};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{
    Network, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, transaction,
};
use miniscript::psbt::PsbtExt as _;
use orcapool_custody::{Cosigner, Setup};

/// One who signs.
#[derive(Clone)]
pub struct Custodian {
    /// The master key.
    pub master: Xpriv,
}

impl Custodian {
    /// The same keys for the same number, on test networks.
    pub fn new(number: u8) -> Self {
        Self {
            master: Xpriv::new_master(Network::Regtest, &[number; 32]).unwrap(),
        }
    }

    /// The account of a single-sig wallet: BIP84.
    pub fn single(&self) -> Cosigner {
        self.account("84h/1h/0h")
    }

    /// The account of a multisig wallet: BIP48, script type 2.
    pub fn multi(&self) -> Cosigner {
        self.account("48h/1h/0h/2h")
    }

    fn account(&self, path: &str) -> Cosigner {
        let secp = Secp256k1::new();
        let path: DerivationPath = path.parse().unwrap();
        let account = self.master.derive_priv(&secp, &path).unwrap();
        Cosigner {
            fingerprint: self.master.fingerprint(&secp),
            path,
            xpub: Xpub::from_priv(&secp, &account),
        }
    }

    /// Custodian 1 alone.
    pub fn single_setup() -> Setup {
        Setup::single(Network::Regtest, &Self::new(1).single()).unwrap()
    }

    /// Custodians 1, 2 and 3, any two of them.
    pub fn two_of_three() -> Setup {
        let cosigners = [1, 2, 3].map(|number| Self::new(number).multi());
        Setup::multisig(Network::Regtest, 2, &cosigners).unwrap()
    }
}

/// An output of a setup, with what it takes to sign for it.
#[derive(Debug, Clone)]
pub struct Spendable {
    /// The transaction that made it.
    pub funding: Transaction,
    /// Which of its outputs.
    pub vout: u32,
    /// Where its script stands.
    pub keychain: KeychainKind,
    /// Where its script stands.
    pub index: u32,
}

impl Spendable {
    /// The output of `funding` that pays a script of the setup, looked for among the first 1,000.
    pub fn of(setup: &Setup, funding: &Transaction) -> Self {
        let found = funding
            .output
            .iter()
            .enumerate()
            .find_map(|(vout, output)| {
                let (keychain, index) = setup.find(&output.script_pubkey, 1000)?;
                Some((vout, keychain, index))
            });
        let (vout, keychain, index) = found.expect("an output pays the setup");
        Self {
            funding: funding.clone(),
            vout: u32::try_from(vout).unwrap(),
            keychain,
            index,
        }
    }

    /// Its name.
    pub fn outpoint(&self) -> OutPoint {
        OutPoint::new(self.funding.compute_txid(), self.vout)
    }

    /// Its value and script.
    pub fn txout(&self) -> &TxOut {
        &self.funding.output[self.vout as usize]
    }
}

/// An unsigned PSBT that spends these coins, replaceable, in the order given, with all that signers need.
pub fn psbt(setup: &Setup, coins: &[Spendable], outputs: Vec<TxOut>) -> Psbt {
    let unsigned = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins
            .iter()
            .map(|coin| TxIn {
                previous_output: coin.outpoint(),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .collect(),
        output: outputs,
    };
    let mut psbt = Psbt::from_unsigned_tx(unsigned).unwrap();
    for (index, coin) in coins.iter().enumerate() {
        psbt.inputs[index].witness_utxo = Some(coin.txout().clone());
        psbt.inputs[index].non_witness_utxo = Some(coin.funding.clone());
        let descriptor = setup
            .keychain(coin.keychain)
            .at_derivation_index(coin.index)
            .unwrap();
        psbt.update_input_with_descriptor(index, &descriptor)
            .unwrap();
    }
    psbt
}

/// A transaction that spends these coins, signed by these custodians and final.
pub fn spend(
    setup: &Setup,
    signers: &[&Custodian],
    coins: &[Spendable],
    outputs: Vec<TxOut>,
) -> Transaction {
    let secp = Secp256k1::new();
    let mut psbt = psbt(setup, coins, outputs);
    for signer in signers {
        psbt.sign(&signer.master, &secp).unwrap();
    }
    psbt.finalize_mut(&secp).unwrap();
    psbt.extract(&secp).unwrap()
}
