//! The rules a signer holds a transaction against, each with its name.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal, $says:literal;)*) => {
        /// One rule of the review. Its name is stable: scripts and guides may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            /// The rule's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// What the rule says, as a sentence.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$rule => $says,)*
                }
            }
        }
    };
}

rules! {
    // The transaction as a whole.
    /// `nVersion`.
    Version = "transaction-version", "the transaction's version is 2";
    /// `nLockTime`: one in the future could let a payout confirm after its redemption was refunded.
    LockTime = "lock-time", "the lock time is a height that this custodian's node has reached";
    /// No inputs or outputs, or maps that do not belong to them.
    Shape = "shape", "the PSBT has inputs and outputs, and one map for each";
    /// Nodes do not relay it.
    Weight = "weight", "the transaction is not heavier than what nodes relay";
    /// Fields that change what is signed, or that no rule looks at.
    ForeignField = "foreign-field", "the PSBT holds only the fields that this wallet's transactions have";
    /// A whole witness, which a signature must not be added to.
    Finalized = "finalized", "no input has its final witness yet";

    // Inputs.
    /// Not the wallet's.
    ForeignInput = "foreign-input", "every input spends a coin of this wallet";
    /// One coin twice.
    RepeatedInput = "repeated-input", "no coin is spent twice";
    /// Gone.
    SpentCoin = "spent-coin", "no input spends a coin that a confirmed transaction has spent";
    /// Not in a block.
    UnconfirmedCoin = "unconfirmed-coin", "every coin is in a block";
    /// A coinbase less than 100 deep.
    ImmatureCoin = "immature-coin", "every coinbase is 100 blocks deep";
    /// CVE-2020-14199: a wrong amount makes a signer give away the difference.
    CoinDiffers = "coin-differs", "what the PSBT says of a coin is what this custodian's node says";
    /// Scripts and origins of keys.
    Derivation = "derivation", "scripts and key origins in the PSBT are those of this wallet's descriptor";
    /// BIP125.
    Sequence = "sequence", "every input is replaceable, with the sequence 0xfffffffd";
    /// Anything but ALL lets others change the transaction afterwards.
    Sighash = "sighash", "every signature covers everything (SIGHASH_ALL)";
    /// A signature that is there already.
    Signature = "signature", "every signature in the PSBT is valid and by a cosigner of this wallet";

    // The output of data.
    /// Money goes out and no redemption is named.
    DataMissing = "data-missing", "a transaction that pays others names the redemptions it pays";
    /// OP_RETURN of another form.
    DataMalformed = "data-malformed", "the OP_RETURN output is the pool's list of redemption ids";
    /// Not at the end.
    DataNotLast = "data-not-last", "the OP_RETURN output is the last one";
    /// More than one.
    DataRepeated = "data-repeated", "redemptions are named in one OP_RETURN output only";
    /// Coins burned.
    DataValue = "data-value", "the OP_RETURN output carries no money";
    /// More than fit.
    TooManyPayouts = "too-many-payouts", "one transaction pays at most 100 redemptions";

    // Redemptions.
    /// Not on K2.
    UnknownRedemption = "unknown-redemption", "every named redemption is registered on K2";
    /// Burned already.
    SettledRedemption = "settled-redemption", "no named redemption is settled on K2";
    /// The tokens went back.
    RefundedRedemption = "refunded-redemption", "no named redemption is refunded on K2";
    /// Paid, though K2 may not know it yet.
    PaidRedemption = "paid-redemption", "no named redemption has a payment in a block";
    /// May be refunded before the payout is settled.
    ExpiringRedemption = "expiring-redemption", "no named redemption is about to expire";
    /// Two payments of one redemption must never both confirm.
    MissingConflict = "missing-conflict", "a payment shares an input with every other live payment of its redemptions";
    /// K2 could not be shown it.
    Unprovable = "unprovable", "a payment is short enough to be proved to K2";
    /// Its block could be too low to be proved.
    TooEarly = "too-early", "a payment's lock time keeps it above the blocks its redemptions were requested at";
    /// Signed by whom no journal tells.
    Fence = "fence", "a redemption older than this custodian's journal is paid from all coins of that time";

    // Payouts.
    /// Fewer outputs than redemptions.
    MissingOutput = "missing-output", "every named redemption has its output";
    /// The output of another one stands here.
    SwappedOutput = "swapped-output", "the n-th output pays the n-th redemption";
    /// Another script.
    WrongScript = "wrong-script", "every payout goes to the script registered on K2";
    /// More than is burned.
    Overpaid = "overpaid", "no payout is more than its redemption's amount";
    /// Less than K2 accepts.
    Underpaid = "underpaid", "no payout is less than its redemption's amount less its highest fee";
    /// One redeemer bears another one's share.
    UnfairFee = "unfair-fee", "the fee is split evenly between the payouts, as far as their highest fees allow";
    /// Nodes do not relay it.
    Dust = "dust", "no output is dust";
    /// One too many.
    ExtraOutput = "extra-output", "there is no output beside payouts, change and the list of ids";

    // Change.
    /// Somebody else's.
    ForeignChange = "foreign-change", "change goes to this wallet";
    /// Coinbase scripts must not receive change: K2 takes what is paid to them for new.
    MintableChange = "mintable-change", "change goes to the keychain that K2 never mints for";
    /// An index at which a restored wallet would not look.
    DistantChange = "distant-change", "change goes to an index that a restored wallet finds";
    /// The pool's coins must fall by what K2 burns.
    ChangeAmount = "change-amount", "change is the inputs less the amounts of the redemptions, exactly";

    // Fees.
    /// Outputs above inputs.
    Overspent = "overspent", "outputs are not worth more than inputs";
    /// Absolute.
    FeeCap = "fee-cap", "the fee is not above this custodian's cap";
    /// By weight.
    FeeRateCap = "fee-rate-cap", "the rate of the fee is not above this custodian's cap";

    // Transactions that pay nobody.
    /// A theft that is called a sweep.
    UnregisteredSweep = "unregistered-sweep", "a sweep goes to a coinbase script that is registered on K2";
    /// It would cost a fee for nothing.
    CancelsNothing = "cancels-nothing", "a transaction to the wallet's own change cancels a payment this custodian knows";
    /// Coins in it that cancel nothing: they would only make it dearer.
    IdleCoin = "idle-coin", "a cancellation spends only coins of the payments it cancels";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Why a custodian does not sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("refused by the rule {rule} ({}): {detail}", .rule.says())]
pub struct Refused {
    /// The first rule that is broken.
    pub rule: Rule,
    /// Where and how.
    pub detail: String,
}

impl Refused {
    pub(crate) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}

/// `Err(Refused)` by a rule.
pub(crate) fn refuse<T>(rule: Rule, detail: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::new(rule, detail))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let kebab = |character: char| character.is_ascii_lowercase() || character == '-';
            assert!(rule.name().chars().all(kebab), "{rule}");
            assert!(!rule.says().ends_with('.'), "{rule}");
        }
    }
}
