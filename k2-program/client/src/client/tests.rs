#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use k2_interface::K2Address;
use k2_interface::state::{
    Account, Buffer, Config, Cursor, Fork, Head, Kind, Ledger, Operator, OperatorSet, Proposal,
    Record, Redemption, Relay,
};
use proptest::prelude::*;
use zerocopy::{FromZeros, IntoBytes as _};

use crate::accounts::{AccountError, AnyAccount};
use crate::address::SYSTEM_PROGRAM;
use crate::k2::{AccountData, Fault};
use crate::pda::Outpoint;
use crate::testing::{PROGRAM, Shelf};
use crate::transaction::Draft;
use crate::views::AccountView;

const KEY: K2Address = K2Address::from_bytes([1; 32]);

#[tokio::test]
async fn an_account_that_is_missing_foreign_or_odd_is_told() {
    let (shelf, program) = (Arc::new(Shelf::default()), Shelf::program());
    let client = shelf.client();
    let error = client.accounts().config().await.unwrap_err();
    assert!(matches!(error, AccountError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("k2 init"), "{error}");
    // Anybody can send lamports to an address.
    shelf.put_raw(program.config(), SYSTEM_PROGRAM, &[]);
    let error = client.accounts().config().await.unwrap_err();
    assert!(matches!(error, AccountError::Missing { .. }), "{error}");
    shelf.put_raw(program.config(), KEY, &[0; 682]);
    let error = client.accounts().config().await.unwrap_err();
    assert!(matches!(error, AccountError::Foreign { .. }), "{error}");
    shelf.put_raw(program.config(), PROGRAM, &[0; 682]);
    let error = client.accounts().config().await.unwrap_err();
    assert!(matches!(error, AccountError::State { .. }), "{error}");
    shelf.put(program.config(), Kind::Config, Config::new_zeroed());
    assert!(client.accounts().config().await.is_ok());
}

/// Lamports sent to a record's address must not make an output look minted: its owner would wait for ever.
#[tokio::test]
async fn lamports_at_a_records_address_are_no_record() {
    let shelf = Arc::new(Shelf::default());
    let outpoint = Outpoint {
        txid: [4; 32],
        vout: 0,
    };
    let address = Shelf::program().deposit(&outpoint).address;
    shelf.put_raw(address, SYSTEM_PROGRAM, &[]);
    let client = shelf.client();
    let records = client.accounts().records(&[outpoint]).await.unwrap();
    assert_eq!(records, [None]);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_sends_nothing() {
    let (shelf, program) = (Arc::new(Shelf::default()), Shelf::program());
    let mut config = Config::new_zeroed();
    shelf.put(program.config(), Kind::Config, config);
    let client = shelf.client();
    let pause = Draft::new(KEY, [program.pause(KEY, 4)]);

    config = client.accounts().config().await.unwrap();
    config.paused = 4;
    let after = AccountData {
        lamports: 1,
        owner: PROGRAM,
        executable: false,
        data: config.as_bytes().to_vec(),
    };
    shelf.leave_after(program.config(), after);
    let run = client.dry_run(&pause).await.unwrap();
    assert_eq!((run.failure, run.units), (None, Some(1000)));
    assert_eq!(run.changes.len(), 1);
    assert_eq!(run.changes[0].address, program.config());
    let (Some(AccountView::Config(before)), Some(AccountView::Config(after))) =
        (&run.changes[0].before, &run.changes[0].after)
    else {
        panic!("{:?}", run.changes);
    };
    assert_eq!(
        (before.paused.len(), &after.paused[..]),
        (0, &["claim"][..])
    );

    let code = k2_interface::PoolError::NotGuardian.code();
    shelf.fail_with(vec![Fault::Known(
        solana_transaction_error::TransactionError::InstructionError(
            1,
            solana_instruction::error::InstructionError::Custom(code),
        ),
    )]);
    let run = client.dry_run(&pause).await.unwrap();
    assert!(run.failure.unwrap().starts_with("Pause: "));
    assert!(run.changes.is_empty());
    assert!(shelf.sent().is_empty());
}

#[test]
fn every_kind_of_account_has_a_view() {
    fn view<T: Account + FromZeros>(kind: Kind) -> String {
        let mut account = T::new_zeroed();
        account.as_mut_bytes()[..8].copy_from_slice(Head::new(kind, 255).as_bytes());
        let any = AnyAccount::decode(account.as_bytes()).unwrap();
        let json = serde_json::to_value(AccountView::new(&any, None)).unwrap();
        json["kind"].as_str().unwrap().into()
    }
    let views = [
        view::<Config>(Kind::Config),
        view::<OperatorSet>(Kind::Operators),
        view::<Relay>(Kind::Relay),
        view::<Fork>(Kind::Fork),
        view::<Cursor>(Kind::Cursor),
        view::<Buffer>(Kind::Buffer),
        view::<Record>(Kind::Deposit),
        view::<Record>(Kind::Payout),
        view::<Operator>(Kind::Operator),
        view::<Proposal>(Kind::Proposal),
        view::<Ledger>(Kind::Ledger),
        view::<Redemption>(Kind::Redemption),
    ];
    let wanted = "config operators relay fork cursor buffer deposit payout operator proposal ledger redemption";
    assert_eq!(views.join(" "), wanted);
}

proptest! {
    #[test]
    fn no_bytes_panic(data: Vec<u8>, kind in 0_u8..20) {
        let _ = AnyAccount::decode(&data);
        let mut headed = b"ORCA".to_vec();
        headed.extend([kind, 1, 0, 0]);
        headed.extend(&data);
        if let Ok(account) = AnyAccount::decode(&headed) {
            let _ = AccountView::new(&account, None);
        }
    }
}
