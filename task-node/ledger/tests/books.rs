//! The books: one coinbase's life, entry by entry, and what holds whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, OutPoint, SignedAmount, Txid};
use ledger::books::{
    Account, Applied, Books, BooksError, Change, Entry, Event, Reason, Sheet, Side, SpendKind,
    Step, StepKind, Subject,
};
use proptest::prelude::*;

const fn sats(amount: u64) -> Amount {
    Amount::from_sat(amount)
}

fn block(tag: u8) -> BlockHash {
    BlockHash::from_byte_array([tag; 32])
}

fn txid(tag: u8) -> Txid {
    Txid::from_byte_array([tag; 32])
}

fn coinbase(tag: u8) -> Subject {
    Subject::Coinbase {
        outpoint: OutPoint::new(txid(tag), 0),
        block: block(tag),
    }
}

fn book(books: &mut Books, event: Event) -> Option<Entry> {
    match books.apply(event).unwrap() {
        Applied::Booked(entry) => Some(*entry),
        Applied::Known => None,
    }
}

/// Leads a subject to these steps; answers with the entries and the events.
fn lead(books: &mut Books, subject: Subject, steps: &[Step]) -> Vec<(Event, Entry)> {
    let turnabout = books.toward(subject, steps, |_| Reason::Reorganised);
    let back = turnabout.back.into_iter().map(|(_, event)| event);
    let events: Vec<Event> = back.chain(turnabout.forth).collect();
    let booked = events.into_iter();
    booked
        .map(|event| (event, book(books, event).expect("it is new")))
        .collect()
}

/// Debits less credits of a sheet.
fn net(books: &Books, sheet: Sheet) -> i64 {
    let accounts = Account::ALL.iter().filter(|one| one.sheet() == sheet);
    accounts
        .map(|account| match account.normal() {
            Side::Debit => books.balance(*account).to_sat(),
            Side::Credit => -books.balance(*account).to_sat(),
        })
        .sum()
}

fn balances(books: &Books) -> Vec<(Account, SignedAmount)> {
    Account::ALL
        .iter()
        .map(|account| (*account, books.balance(*account)))
        .collect()
}

// --- one coinbase's life ------------------------------------------------------------------------------------------------

fn subject(words: &mut std::str::SplitWhitespace<'_>) -> Subject {
    let outpoint = OutPoint::new(txid(1), 0);
    match words.next().unwrap() {
        "coinbase" => coinbase(1),
        "mint" => Subject::Mint { outpoint },
        "rounds" => Subject::Rounds,
        "claims" => Subject::Claims,
        "redemption" => Subject::Redemption {
            id: words.next().unwrap().parse().unwrap(),
        },
        "payout" => Subject::Payout {
            id: words.next().unwrap().parse().unwrap(),
        },
        "top-up" => Subject::TopUp {
            outpoint: OutPoint::new(txid(2), 1),
            block: block(2),
        },
        "transaction" => Subject::Spend {
            txid: txid(words.next().unwrap().parse().unwrap()),
        },
        other => panic!("{other}?"),
    }
}

fn step(words: &mut std::str::SplitWhitespace<'_>) -> Step {
    let what = words.next().unwrap();
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let height = 100;
    match what {
        "found" => Step::Found {
            height,
            amount: sats(number()),
        },
        "matured" => Step::Matured,
        "orphaned" => Step::Orphaned,
        "received" => Step::Received {
            height,
            amount: sats(number()),
            coinbase: false,
        },
        "minted" => Step::Minted {
            amount: sats(number()),
        },
        "total" => Step::Total {
            total: sats(number()),
        },
        "finalized" => Step::Finalized {
            round: number(),
            total: sats(number()),
        },
        "requested" => Step::Requested {
            amount: sats(number()),
        },
        "settled" => Step::Settled,
        "intended" => Step::Intended {
            amount: sats(number()),
        },
        "sent" => Step::Sent {
            txid: txid(u8::try_from(number()).unwrap()),
        },
        "in_block" => Step::InBlock {
            txid: txid(u8::try_from(number()).unwrap()),
            block: block(9),
            height,
            paid: sats(number()),
        },
        "confirmed" => Step::Confirmed,
        "swept" => Step::Spent {
            kind: SpendKind::Sweep,
            block: block(9),
            height,
            fee: sats(number()),
            moved: Amount::ZERO,
            unexplained: Amount::ZERO,
            kept: Amount::ZERO,
        },
        other => panic!("{other}?"),
    }
}

/// What one line of the table does: `SUBJECT STEP`, `undo SUBJECT`, or `balances`.
fn act(books: &mut Books, line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut text = String::new();
    if line == "balances" {
        for (account, balance) in balances(books) {
            if balance != SignedAmount::ZERO {
                writeln!(text, "  {account:<13} {:>6}", balance.to_sat()).unwrap();
            }
        }
        return text;
    }
    let undo = line.strip_prefix("undo ");
    if undo.is_some() {
        words.next();
    }
    let subject = subject(&mut words);
    let mut steps: Vec<Step> = books.standing(&subject).collect();
    match undo {
        Some(_) => {
            steps.pop();
        }
        None => steps.push(step(&mut words)),
    }
    if matches!(subject, Subject::Claims | Subject::Rounds) {
        steps.drain(..steps.len() - 1);
    }
    for (_, entry) in lead(books, subject, &steps) {
        let reverses = entry
            .reverses
            .map_or_else(String::new, |of| format!(" reverses #{of}"));
        writeln!(text, "  #{}{reverses}", entry.number).unwrap();
        for posting in entry.postings.postings() {
            let side = match posting.side {
                Side::Debit => "debit",
                Side::Credit => "credit",
            };
            let (account, amount) = (posting.account, posting.amount.to_sat());
            writeln!(text, "    {side:<6} {account:<13} {amount:>6}").unwrap();
        }
    }
    text
}

#[test]
fn one_coinbases_life_from_found_to_redeemed() {
    let table = include_str!("data/one_coinbase.txt");
    let mut books = Books::default();
    let mut played = String::new();
    for line in table.lines() {
        // What the table says of an entry is indented.
        if line.starts_with("  ") {
            continue;
        }
        writeln!(played, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            played.push_str(&act(&mut books, line));
        }
        assert_eq!(
            (net(&books, Sheet::Bitcoin), net(&books, Sheet::K2)),
            (0, 0)
        );
    }
    assert_eq!(played, table, "the table, as the books have it:\n{played}");
}

// --- rules --------------------------------------------------------------------------------------------------------------

const FOUND: Step = Step::Found {
    height: 100,
    amount: sats(50),
};

#[test]
fn an_orphan_is_reversed_once_and_counts_again_when_its_block_returns() {
    let mut books = Books::default();
    let subject = coinbase(1);
    lead(&mut books, subject, &[FOUND, Step::Matured]);
    let orphaned = lead(&mut books, subject, &[FOUND, Step::Orphaned]);
    let numbers: Vec<_> = orphaned.iter().map(|(_, entry)| entry.reverses).collect();
    assert_eq!(
        numbers,
        [Some(2), Some(1)],
        "maturity first, then the coinbase"
    );
    assert_eq!(books.sum(Account::RESERVES), SignedAmount::ZERO);
    assert_eq!(books.balance(Account::Unminted), SignedAmount::ZERO);
    assert_eq!(books.balance(Account::Orphaned), SignedAmount::from_sat(50));

    let before = books.clone();
    for (event, _) in orphaned {
        assert_eq!(books.apply(event), Ok(Applied::Known), "told again");
    }
    assert_eq!(books, before);

    let returned = lead(&mut books, subject, &[FOUND]);
    assert_eq!(returned[0].1.reverses, Some(4));
    assert_eq!(books.balance(Account::Immature), SignedAmount::from_sat(50));
    assert_eq!(books.balance(Account::Orphaned), SignedAmount::ZERO);
}

#[test]
fn a_step_is_not_booked_before_what_it_follows() {
    let mut books = Books::default();
    let event = |step| Event {
        subject: coinbase(1),
        change: Change::Book(step),
        turn: 0,
    };
    let matured = event(Step::Matured);
    let out_of_order = BooksError::OutOfOrder(matured.key());
    assert_eq!(books.apply(matured), Err(out_of_order));
    book(&mut books, event(FOUND)).unwrap();
    book(&mut books, matured).unwrap();
    let found_is_below = Event {
        subject: coinbase(1),
        change: Change::Reverse {
            kind: StepKind::Found,
            why: Reason::Reorganised,
        },
        turn: 0,
    };
    let out_of_order = BooksError::OutOfOrder(found_is_below.key());
    assert_eq!(books.apply(found_is_below), Err(out_of_order));
    assert_eq!(books.entries(), 2);
}

#[test]
fn the_same_event_with_other_figures_is_refused() {
    let mut books = Books::default();
    lead(&mut books, coinbase(1), &[FOUND]);
    let event = Event {
        subject: coinbase(1),
        change: Change::Book(Step::Found {
            height: 100,
            amount: sats(51),
        }),
        turn: 0,
    };
    let refused = BooksError::Contradiction(event.key());
    assert_eq!(books.apply(event), Err(refused));
}

#[test]
fn a_payout_in_a_block_is_the_one_that_was_sent_and_pays_no_more_than_was_intended() {
    let subject = Subject::Payout { id: 7 };
    let in_block = |tag, paid| Step::InBlock {
        txid: txid(tag),
        block: block(3),
        height: 100,
        paid: sats(paid),
    };
    for (step, is_right) in [
        (in_block(1, 10), true),
        (in_block(2, 10), false),
        (in_block(1, 11), false),
    ] {
        let mut books = Books::default();
        let amount = sats(10);
        let sent = Step::Sent { txid: txid(1) };
        lead(&mut books, subject, &[Step::Intended { amount }, sent]);
        let event = Event {
            subject,
            change: Change::Book(step),
            turn: 0,
        };
        assert_eq!(books.apply(event).is_ok(), is_right, "{step:?}");
    }
}

#[test]
fn a_running_total_is_corrected_and_not_reversed() {
    let mut books = Books::default();
    let total = |total| [Step::Total { total: sats(total) }];
    lead(&mut books, Subject::MintedElsewhere, &total(9));
    lead(&mut books, Subject::MintedElsewhere, &total(4));
    assert_eq!(books.balance(Account::Vault), SignedAmount::from_sat(4));
    assert!(lead(&mut books, Subject::MintedElsewhere, &total(4)).is_empty());
    let event = Event {
        subject: Subject::MintedElsewhere,
        change: Change::Reverse {
            kind: StepKind::Total,
            why: Reason::Corrected,
        },
        turn: 1,
    };
    assert_eq!(
        books.apply(event),
        Err(BooksError::NotReversible(event.key()))
    );
}

#[test]
fn every_account_is_found_by_its_name() {
    for account in Account::ALL {
        assert_eq!(Account::named(account.name()), Some(*account));
    }
    assert_eq!(Account::named("elsewere"), None);
}

#[test]
fn an_event_is_read_as_it_was_written() {
    let mut books = Books::default();
    let in_block = Step::InBlock {
        txid: txid(4),
        block: block(5),
        height: 6,
        paid: sats(7),
    };
    let steps = [
        Step::Intended { amount: sats(9) },
        Step::Sent { txid: txid(4) },
        in_block,
        Step::Confirmed,
    ];
    let mut events = lead(&mut books, Subject::Payout { id: u64::MAX }, &steps);
    events.extend(lead(&mut books, Subject::Payout { id: u64::MAX }, &[]));
    events.extend(lead(&mut books, coinbase(2), &[FOUND]));
    for (event, _) in events {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            serde_json::from_str::<Event>(&text).unwrap(),
            event,
            "{text}"
        );
    }
}

// --- whatever happens ---------------------------------------------------------------------------------------------------

/// How far a subject is to be led.
#[derive(Debug, Clone)]
struct Turn {
    subject: Subject,
    steps: Vec<Step>,
}

fn amount(tag: u8) -> Amount {
    sats(1000 + u64::from(tag) * 7)
}

/// Any part of any subject's life.
fn turn() -> impl Strategy<Value = Turn> {
    (0_u8..9, 0_u8..6, 0_usize..5, any::<bool>()).prop_map(|(which, tag, far, other)| {
        let outpoint = OutPoint::new(txid(tag), 0);
        let amount = amount(tag);
        let id = u64::from(tag);
        let sent = txid(tag + u8::from(other));
        let height = 100;
        let payout = [
            Step::Intended { amount },
            Step::Sent { txid: sent },
            Step::InBlock {
                txid: sent,
                block: block(tag),
                height,
                paid: amount - sats(u64::from(tag)),
            },
            Step::Confirmed,
        ];
        let found = Step::Found { height, amount };
        let (subject, life): (Subject, Vec<Step>) = match which {
            0 => (coinbase(tag), vec![found, Step::Matured]),
            1 => (coinbase(tag), vec![found, Step::Orphaned]),
            2 => (
                Subject::TopUp {
                    outpoint,
                    block: block(tag),
                },
                vec![
                    Step::Received {
                        height,
                        amount,
                        coinbase: true,
                    },
                    Step::Matured,
                ],
            ),
            3 => (Subject::Mint { outpoint }, vec![Step::Minted { amount }]),
            4 => (
                Subject::Redemption { id },
                vec![Step::Requested { amount }, Step::Settled],
            ),
            5 | 6 => (Subject::Payout { id }, payout.to_vec()),
            7 => (Subject::Claims, vec![Step::Total { total: amount }]),
            _ => (
                Subject::Spend { txid: txid(tag) },
                vec![Step::Spent {
                    kind: SpendKind::Cancel,
                    block: block(tag),
                    height,
                    fee: amount,
                    moved: sats(1),
                    unexplained: sats(2),
                    kept: sats(3),
                }],
            ),
        };
        let far = if matches!(subject, Subject::Claims) {
            1
        } else {
            far.min(life.len())
        };
        Turn {
            subject,
            steps: life[..far].to_vec(),
        }
    })
}

proptest! {
    #[test]
    fn books_balance_replay_and_forget_nothing(
        turns in prop::collection::vec(turn(), 0..60),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut books = Books::default();
        let mut trail: Vec<(Event, Entry)> = Vec::new();
        for turn in &turns {
            trail.extend(lead(&mut books, turn.subject, &turn.steps));
            let standing: Vec<Step> = books.standing(&turn.subject).collect();
            prop_assert_eq!(&standing, &turn.steps);
            prop_assert_eq!(net(&books, Sheet::Bitcoin), 0);
            prop_assert_eq!(net(&books, Sheet::K2), 0);
        }

        // The entries' postings add up to the balances.
        for account in Account::ALL {
            let postings = trail.iter().flat_map(|(_, entry)| entry.postings.postings());
            let sum: i64 = postings
                .filter(|posting| posting.account == *account)
                .map(|posting| {
                    let amount = i64::try_from(posting.amount.to_sat()).unwrap();
                    if posting.side == account.normal() { amount } else { -amount }
                })
                .sum();
            prop_assert_eq!(books.balance(*account).to_sat(), sum, "{}", account);
        }

        // An entry that stands reversed is reversed by one entry.
        let undone: Vec<u64> = trail.iter().filter_map(|(_, entry)| entry.reverses).collect();
        for (_, entry) in &trail {
            let by = trail.iter().filter(|(_, by)| by.reverses == Some(entry.number));
            let standing = by.filter(|(_, by)| !undone.contains(&by.number)).count();
            prop_assert!(standing <= 1, "#{} is reversed {} times", entry.number, standing);
        }

        // Told again, in any order: nothing changes.
        let before = books.clone();
        let events: Vec<Event> = trail.iter().map(|(event, _)| *event).collect();
        for event in &events {
            prop_assert_eq!(books.apply(*event), Ok(Applied::Known));
        }
        for index in &again {
            if !events.is_empty() {
                prop_assert_eq!(books.apply(*index.get(&events)), Ok(Applied::Known));
            }
        }
        prop_assert_eq!(&books, &before);

        // The same events make the same books; what stands, the same balances.
        let mut replayed = Books::default();
        for (event, entry) in &trail {
            let booked = book(&mut replayed, *event);
            prop_assert_eq!(booked.as_ref(), Some(entry));
        }
        prop_assert_eq!(&replayed, &books);
        let mut rebuilt = Books::default();
        for subject in books.subjects() {
            let steps: Vec<Step> = books.standing(&subject).collect();
            lead(&mut rebuilt, subject, &steps);
        }
        prop_assert_eq!(balances(&rebuilt), balances(&books));
    }

    #[test]
    fn no_event_breaks_the_books(
        events in prop::collection::vec((turn(), any::<bool>(), 0_u32..3), 0..80),
    ) {
        let mut books = Books::default();
        for (turn, back, nth) in events {
            let change = match turn.steps.last() {
                Some(step) if back => Change::Reverse { kind: step.kind(), why: Reason::Corrected },
                Some(step) => Change::Book(*step),
                None => continue,
            };
            let before = books.clone();
            let event = Event { subject: turn.subject, change, turn: nth };
            match books.apply(event) {
                Ok(Applied::Booked(entry)) => prop_assert_eq!(entry.number, before.entries() + 1),
                Ok(Applied::Known) | Err(_) => prop_assert_eq!(&books, &before),
            }
            prop_assert_eq!(net(&books, Sheet::Bitcoin), 0);
            prop_assert_eq!(net(&books, Sheet::K2), 0);
        }
    }
}
