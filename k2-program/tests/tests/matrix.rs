//! Every instruction with every account wrong in every way. What is wanted in general stands in `k2_tests::matrix`; here is
//! what is wanted otherwise:
//!
//! - who signs may be anybody with a key: what another key lacks is a right, and that is a rule
//! - an account that names its owner is asked whether the signer is it: a rule, or a fault of the other account
//! - a ledger or branch may exist or not, so what stands in its place is read before its address is derived
//! - a used output's record exists: that is said as what it means, whoever put something there
//! - a leaf is its owner's: for anybody else the proof leads elsewhere
//!
//! And what the right call may cost in Solana 1.14, in compute units: a tenth more than it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::AccountFault;
use k2_interface::PoolError;
use k2_interface::instruction::{InstructionKind, Is};
use k2_tests::matrix::Want::{Allowed, Fault, FaultOf, Rule};
use k2_tests::matrix::{Exception, Wrong, not_passed, run};
use k2_tests::valid::{second_claim, valid};

macro_rules! matrix {
    ($($test:ident: $kind:ident within $units:literal [$($exception:expr),* $(,)?])+) => {
        $(#[test]
        fn $test() {
            let valid = valid(InstructionKind::$kind, concat!("matrix/", stringify!($test)));
            assert_eq!(valid.call.kind, InstructionKind::$kind);
            assert_eq!(not_passed(&valid.call), Vec::<&str>::new(), "all accounts are tried");
            run(valid, $units, &[$($exception),*]);
        })+

        /// The instructions above; none is missing.
        #[test]
        fn all_instructions_are_here() {
            let here = [$(InstructionKind::$kind),+];
            assert_eq!(here.as_slice(), InstructionKind::ALL);
        }
    };
}

/// Anybody may pay.
const ANY_PAYER: Exception = ("payer", Wrong::Empty, Allowed);

matrix! {
    initialize: Initialize within 67_000 [
        ANY_PAYER,
        ("payer", Wrong::Twice("upgrade_authority"), Allowed),
        ("upgrade_authority", Wrong::Empty, Rule(PoolError::NotUpgradeAuthority)),
        ("upgrade_authority", Wrong::Twice("payer"), Rule(PoolError::NotUpgradeAuthority)),
    ]
    initialize_relay: InitializeRelay within 10_000 [
        ANY_PAYER,
        ("payer", Wrong::Twice("authority"), Allowed),
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
        ("authority", Wrong::Twice("payer"), Rule(PoolError::NotAuthority)),
    ]
    submit_headers: SubmitHeaders within 2_700 []
    submit_fork: SubmitFork within 13_000 [
        ("payer", Wrong::Empty, FaultOf("fork", AccountFault::WrongAddress)),
        ("fork", Wrong::Owner, Fault(AccountFault::WrongOwner)),
        ("fork", Wrong::Zeros, Fault(AccountFault::WrongKind)),
        ("fork", Wrong::Others, Rule(PoolError::NotPayer)),
        ("fork", Wrong::Instead(Is::Config), Fault(AccountFault::WrongKind)),
        ("fork", Wrong::Instead(Is::Operators), Fault(AccountFault::WrongKind)),
        ("fork", Wrong::Instead(Is::Mint), Fault(AccountFault::WrongOwner)),
        ("fork", Wrong::Instead(Is::Vault), Fault(AccountFault::WrongOwner)),
    ]
    close_fork: CloseFork within 900 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("fork", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    open_cursor: OpenCursor within 6_000 [
        ("payer", Wrong::Empty, FaultOf("cursor", AccountFault::WrongAddress)),
    ]
    advance_cursor: AdvanceCursor within 1_500 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("cursor", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    close_cursor: CloseCursor within 900 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("cursor", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    open_buffer: OpenBuffer within 12_500 [
        ("payer", Wrong::Empty, FaultOf("buffer", AccountFault::WrongAddress)),
    ]
    write_buffer: WriteBuffer within 1_000 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("buffer", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    close_buffer: CloseBuffer within 900 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("buffer", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    mint_coinbase: MintCoinbase within 17_000 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("deposit", Wrong::Owner, Rule(PoolError::AlreadyUsed)),
        ("cursor", Wrong::Others, Rule(PoolError::NotPayer)),
        ("buffer", Wrong::Others, Rule(PoolError::NotPayer)),
    ]
    mint_deposit: MintDeposit within 35_000 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("deposit", Wrong::Owner, Rule(PoolError::AlreadyUsed)),
        ("cursor", Wrong::Others, Rule(PoolError::NotPayer)),
        ("buffer", Wrong::Others, Rule(PoolError::NotPayer)),
        ("spent", Wrong::Owner, Fault(AccountFault::WrongOwner)),
        ("spent", Wrong::Zeros, Fault(AccountFault::WrongKind)),
        ("spent", Wrong::Instead(Is::Operators), Fault(AccountFault::WrongKind)),
    ]
    close_deposit: CloseDeposit within 1_600 [
        ("deposit", Wrong::Others, FaultOf("rent_receiver", AccountFault::WrongAddress)),
    ]
    close_payout: ClosePayout within 1_600 [
        ("payout", Wrong::Others, FaultOf("rent_receiver", AccountFault::WrongAddress)),
    ]
    propose_authority: ProposeAuthority within 900 [
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
    ]
    accept_authority: AcceptAuthority within 900 [
        ("pending_authority", Wrong::Empty, Rule(PoolError::NotPendingAuthority)),
    ]
    set_guardian: SetGuardian within 900 [
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
    ]
    pause: Pause within 900 [
        ("guardian_or_authority", Wrong::Empty, Rule(PoolError::NotGuardian)),
    ]
    resume: Resume within 900 [
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
    ]
    propose_custody: ProposeCustody within 1_400 [
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
    ]
    cancel_custody: CancelCustody within 900 [
        ("guardian_or_authority", Wrong::Empty, Rule(PoolError::NotGuardian)),
    ]
    activate_custody: ActivateCustody within 1_100 []
    set_quorum: SetQuorum within 1_200 [
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
    ]
    register_operator: RegisterOperator within 11_000 [
        ("operator_key", Wrong::Empty, FaultOf("operator", AccountFault::WrongAddress)),
        ("operator_key", Wrong::Twice("authority"), FaultOf("operator", AccountFault::WrongAddress)),
        ("authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
        ("authority", Wrong::Twice("operator_key"), Rule(PoolError::NotAuthority)),
    ]
    leave_operator: LeaveOperator within 1_700 [
        ("operator_key_or_authority", Wrong::Empty, Rule(PoolError::NotAuthority)),
        ("operator", Wrong::Others, Rule(PoolError::NotAuthority)),
    ]
    withdraw_bond: WithdrawBond within 1_400 [
        ("operator", Wrong::Others, FaultOf("operator_key", AccountFault::WrongAddress)),
    ]
    slash_operator: SlashOperator within 2_100 [
        ("operator", Wrong::Others, Rule(PoolError::NoEquivocation)),
        ("one_proposal", Wrong::Twice("other_proposal"), Rule(PoolError::NoEquivocation)),
        ("other_proposal", Wrong::Twice("one_proposal"), Rule(PoolError::NoEquivocation)),
    ]
    propose_round: ProposeRound within 7_500 [
        ("operator_key", Wrong::Empty, Rule(PoolError::NotOperator)),
    ]
    attest_round: AttestRound within 2_600 [
        ("operator_key", Wrong::Empty, Rule(PoolError::NotOperator)),
        ("proposal", Wrong::Others, Rule(PoolError::OtherRoot)),
    ]
    finalize_round: FinalizeRound within 1_900 [
        ("proposal", Wrong::Others, Rule(PoolError::NotOpen)),
    ]
    veto_round: VetoRound within 1_200 [
        ("guardian_or_authority", Wrong::Empty, Rule(PoolError::NotGuardian)),
        ("proposal", Wrong::Others, Rule(PoolError::NotOpen)),
    ]
    close_proposal: CloseProposal within 1_400 [
        ("proposal", Wrong::Others, FaultOf("rent_receiver", AccountFault::WrongAddress)),
    ]
    claim: Claim within 17_500 [
        ANY_PAYER,
        ("owner", Wrong::Else, Rule(PoolError::WrongRoot)),
        ("destination", Wrong::Twice("vault"), Rule(PoolError::NotYours)),
        ("ledger", Wrong::Owner, Fault(AccountFault::WrongOwner)),
        ("ledger", Wrong::Zeros, Fault(AccountFault::WrongKind)),
        ("ledger", Wrong::Instead(Is::Operators), Fault(AccountFault::WrongKind)),
        ("ledger", Wrong::Instead(Is::Mint), Fault(AccountFault::WrongOwner)),
    ]
    request_redeem: RequestRedeem within 15_000 [
        ANY_PAYER,
        ("payer", Wrong::Twice("owner"), Allowed),
        ("owner", Wrong::Empty, Rule(PoolError::NotYours)),
        ("owner", Wrong::Twice("payer"), Rule(PoolError::NotYours)),
        ("source", Wrong::Copy, Allowed),
        ("source", Wrong::Twice("escrow"), Rule(PoolError::NotYours)),
    ]
    settle_redeem: SettleRedeem within 19_500 [
        ("payer", Wrong::Empty, Rule(PoolError::NotPayer)),
        ("payout", Wrong::Owner, Rule(PoolError::AlreadyUsed)),
        ("cursor", Wrong::Others, Rule(PoolError::NotPayer)),
        ("buffer", Wrong::Others, Rule(PoolError::NotPayer)),
        ("redemption", Wrong::Others, Rule(PoolError::RedemptionNotOpen)),
    ]
    refund_redeem: RefundRedeem within 12_000 [
        ("redemption", Wrong::Others, FaultOf("owner", AccountFault::WrongAddress)),
        ("destination", Wrong::Twice("escrow"), Rule(PoolError::NotYours)),
    ]
    close_redemption: CloseRedemption within 900 [
        ("redemption", Wrong::Others, FaultOf("rent_receiver", AccountFault::WrongAddress)),
    ]
}

#[test]
fn a_second_claim() {
    run(
        second_claim("matrix/second_claim"),
        13_000,
        &[
            ANY_PAYER,
            ("owner", Wrong::Else, Rule(PoolError::WrongRoot)),
            (
                "destination",
                Wrong::Twice("vault"),
                Rule(PoolError::NotYours),
            ),
            ("ledger", Wrong::Empty, Fault(AccountFault::WrongAddress)),
        ],
    );
}
