//! How the books are shown, to people and to scripts. Amounts are sats.

use std::fmt::Write as _;

use custody::books::{
    Account, Books, Change, Check, Entry, Event, Line, Moment, Posting, Relation, Sheet, Side,
};
use serde::Serialize;

/// One account.
#[derive(Debug, Serialize)]
pub(super) struct AccountView {
    account: Account,
    sheet: Sheet,
    /// The side on which it grows; the balance is counted there.
    side: Side,
    sats: i64,
}

pub(super) fn accounts(books: &Books) -> impl Iterator<Item = AccountView> + use<'_> {
    Account::ALL.iter().map(|account| AccountView {
        account: *account,
        sheet: account.sheet(),
        side: account.normal(),
        sats: books.balance(*account).to_sat(),
    })
}

/// Both sheets, debits left and credits right.
pub(super) fn balances(books: &Books, looked: Option<Moment>) -> String {
    let mut text = match looked {
        Some(Moment { tip, slot }) => {
            format!(
                "as of Bitcoin's block {tip} and K2's slot {slot}, {} entries\n",
                books.entries()
            )
        }
        None => "nothing was booked yet\n".to_owned(),
    };
    for sheet in [Sheet::Bitcoin, Sheet::K2] {
        let title = match sheet {
            Sheet::Bitcoin => "Bitcoin",
            Sheet::K2 => "K2",
        };
        text.push_str(&format!(
            "\n{title:<14}{:>20}{:>20}\n",
            "debit sats", "credit sats"
        ));
        let accounts = accounts(books).filter(|view| view.sheet == sheet);
        for AccountView {
            account,
            side,
            sats,
            ..
        } in accounts
        {
            let line = match side {
                Side::Debit => format!("{account:<14}{sats:>20}"),
                Side::Credit => format!("{account:<14}{:>20}{sats:>20}", ""),
            };
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// One entry.
#[derive(Debug, Serialize)]
pub(super) struct LineView<'a> {
    number: u64,
    key: String,
    reverses: Option<u64>,
    tip: u32,
    slot: u64,
    event: &'a Event,
    postings: &'a [Posting],
}

impl<'a> LineView<'a> {
    pub(super) fn of(line: &'a Line) -> Self {
        let Line { entry, learned } = line;
        Self {
            number: entry.number,
            key: entry.event.key().to_string(),
            reverses: entry.reverses,
            tip: learned.tip,
            slot: learned.slot,
            event: &entry.event,
            postings: entry.postings.postings(),
        }
    }
}

/// An entry in words, then its postings.
pub(super) fn entry(entry: &Entry) -> Result<String, std::fmt::Error> {
    let Event {
        subject, change, ..
    } = &entry.event;
    let mut text = String::new();
    write!(text, "#{} {subject}: ", entry.number)?;
    match change {
        Change::Book(step) => write!(text, "{}", step.kind())?,
        Change::Reverse { kind, why } => write!(text, "no longer {kind}, {why}")?,
    }
    if let Some(reverses) = entry.reverses {
        write!(text, " (takes back #{reverses})")?;
    }
    for posting in entry.postings.postings() {
        let (account, sats) = (posting.account, posting.amount.to_sat());
        match posting.side {
            Side::Debit => write!(text, "\n  {account:<14}{sats:>20}")?,
            Side::Credit => write!(text, "\n  {account:<14}{:>20}{sats:>20}", "")?,
        }
    }
    Ok(text)
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct CheckView {
    check: &'static str,
    holds: bool,
    books_sats: i64,
    must_be: Relation,
    told_sats: i64,
    what: &'static str,
    /// What a difference means, where there is a wrong one.
    otherwise: Option<&'static str>,
}

impl From<&Check> for CheckView {
    fn from(check: &Check) -> Self {
        Self {
            check: check.name,
            holds: check.holds(),
            books_sats: check.books.to_sat(),
            must_be: check.relation,
            told_sats: check.told.to_sat(),
            what: check.what,
            otherwise: (!check.holds()).then_some(check.otherwise),
        }
    }
}

/// A line a check; below one that fails, what it means.
pub(super) fn check(check: &Check) -> String {
    let relation = match check.relation {
        Relation::Equal => "=",
        Relation::AtMost => "<=",
        Relation::AtLeast => ">=",
    };
    let answer = if check.holds() { "ok" } else { "NO" };
    let (books, told) = (check.books.to_sat(), check.told.to_sat());
    let mut text = format!(
        "{answer}  {:<12}{books:>20} {relation:<2}{told:>20} sats  {}",
        check.name, check.what
    );
    if !check.holds() {
        let difference = check.difference().to_sat();
        text.push_str(&format!("\n    {difference:+} sats: {}", check.otherwise));
    }
    text
}
