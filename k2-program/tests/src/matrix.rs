//! Every instruction with every one of its accounts wrong in every way: each must be refused with a number of its own, and
//! change nothing. The list of accounts is the interface's, so no instruction and no account can be forgotten.

use k2_interface::instruction::{AccountSpec, Is};
use k2_interface::{AccountFault, PoolError, Refusal};
use solana_account::Account;
use solana_instruction::AccountMeta;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, bpf_loader_upgradeable};

use crate::valid::Valid;
use crate::{Call, World};

/// What is wrong with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It did not sign.
    NotSigner,
    /// It is passed read-only.
    NotWritable,
    /// It and all after it are not passed.
    CutOff,
    /// It is not passed, and those after it move up.
    LeftOut,
    /// One more account is passed at the end.
    Extra,
    /// The same bytes at the same address, but of another program; where an account is to be made, another program's stands
    /// there already.
    Owner,
    /// Nothing stands there. In the place of a signer: somebody else signs.
    Empty,
    /// An account of the right program and size, all zeros.
    Zeros,
    /// An account of the right program and bytes that is not the one there is.
    Copy,
    /// A token account of another mint.
    Mint,
    /// The account that belongs to somebody or something else, of [`Valid::others`].
    Others,
    /// This account of the pool: configuration, operators, mint, vault.
    Instead(Is),
    /// The account that belongs in this other place.
    Twice(&'static str),
    /// In an exception: any other account instead, however wrong; a more exact exception goes first.
    Else,
}

impl Wrong {
    /// Whether an exception of this kind is about this fault, by its words or as one of many.
    fn covers(self, wrong: Self) -> bool {
        let other = matches!(
            wrong,
            Self::Empty | Self::Others | Self::Instead(_) | Self::Twice(_)
        );
        self == wrong || self == Self::Else && other
    }
}

/// What a wrong call must end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// This fault of the account in question.
    Fault(AccountFault),
    /// This fault of another account, by its name.
    FaultOf(&'static str, AccountFault),
    /// A fault of the account in question, whichever.
    AnyFault,
    /// This rule.
    Rule(PoolError),
    /// Any number of the program's.
    AnyNumber,
    /// It is no fault at all: nothing is asked of this account that it does not meet.
    Allowed,
}

/// An expectation that differs from the general one: of which account, wrong how, and what is wanted.
pub type Exception = (&'static str, Wrong, Want);

/// Runs all wrong calls, then the right one, which may spend at most so many compute units in Solana 1.14.
///
/// # Panics
/// With the list of all calls that ended otherwise than they must.
#[track_caller]
pub fn run(mut valid: Valid, units: u64, exceptions: &[Exception]) {
    let call = valid.call.clone();
    let mut unused: Vec<_> = exceptions.iter().collect();
    let mut failures = Vec::new();
    for place in 0..call.accounts.len() {
        for (wrong, detail) in faults(&valid, place) {
            let name = call.accounts[place].0.name;
            let mut fitting = exceptions
                .iter()
                .filter(|(of, covers, _)| *of == name && covers.covers(wrong));
            let exception = fitting
                .clone()
                .find(|(_, exactly, _)| *exactly == wrong)
                .or_else(|| fitting.next());
            unused.retain(|unused| exception != Some(*unused));
            let Some(want) =
                exception.map_or_else(|| general(&valid, place, wrong), |(.., want)| Some(*want))
            else {
                continue;
            };
            if want == Want::Allowed {
                continue;
            }
            if let Err(got) = attempt(&mut valid, place, wrong, detail, want) {
                failures.push(format!("(\"{name}\", Wrong::{wrong:?}, {want:?}): {got}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{:?}:\n{}",
        call.kind,
        failures.join("\n")
    );
    assert!(
        unused.is_empty(),
        "{:?}: these exceptions are none: {unused:?}",
        call.kind
    );
    let world = &mut valid.world;
    world
        .send_within(units, "and the right one", call)
        .must_succeed();
}

/// The account's state as far as the general expectation depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// An account of the program that must exist.
    State,
    /// An account the instruction makes.
    New,
    /// An account of which there is one, known by its address.
    Known,
    /// Somebody's token account.
    Tokens,
    /// Anything.
    Key,
}

fn role(valid: &Valid, place: usize) -> Role {
    let (spec, meta) = &valid.call.accounts[place];
    match spec.is {
        Is::Key => Role::Key,
        Is::TokenAccount => Role::Tokens,
        Is::TokenAuthority
        | Is::TokenProgram
        | Is::SystemProgram
        | Is::ProgramData
        | Is::Incinerator => Role::Known,
        _ if valid.world.is_gone(meta.pubkey) => Role::New,
        Is::Mint | Is::Vault | Is::Escrow => Role::Known,
        _ => Role::State,
    }
}

/// All that can be wrong with the account in this place, with the account that takes it where there is one.
fn faults(valid: &Valid, place: usize) -> Vec<(Wrong, Option<Pubkey>)> {
    let (world, accounts) = (&valid.world, &valid.call.accounts);
    let (spec, meta) = &accounts[place];
    let mut faults = Vec::new();
    if spec.signer {
        faults.push((Wrong::NotSigner, None));
    }
    if spec.writable {
        faults.push((Wrong::NotWritable, None));
    }
    faults.extend([Wrong::CutOff, Wrong::LeftOut].map(|wrong| (wrong, None)));
    if place + 1 == accounts.len() {
        faults.push((Wrong::Extra, None));
    }
    faults.extend(
        [
            Wrong::Owner,
            Wrong::Empty,
            Wrong::Zeros,
            Wrong::Copy,
            Wrong::Mint,
        ]
        .map(|wrong| (wrong, None)),
    );
    let others = valid.others.iter().filter(|(name, _)| *name == spec.name);
    faults.extend(others.map(|(_, key)| (Wrong::Others, Some(*key))));
    let pool = [
        (Is::Config, world.config_key()),
        (Is::Operators, world.operators_key()),
        (Is::Mint, world.mint_key()),
        (Is::Vault, world.vault_key()),
    ];
    for (is, key) in pool {
        let passed = accounts.iter().any(|(_, meta)| meta.pubkey == key);
        if !passed && !world.is_gone(key) {
            faults.push((Wrong::Instead(is), Some(key)));
        }
    }
    for (other, other_meta) in accounts {
        let key = other_meta.pubkey;
        if key != meta.pubkey && !(spec.writable && is_loaders(world, key)) {
            faults.push((Wrong::Twice(other.name), Some(key)));
        }
    }
    faults
}

/// Whether the account is a program or its code. 1.14 runs no transaction that would write to one.
fn is_loaders(world: &World, key: Pubkey) -> bool {
    let loaders = [bpf_loader::ID, bpf_loader_upgradeable::ID];
    (world.k2.account(&key)).is_some_and(|account| loaders.contains(&account.owner))
}

/// What is wanted if nothing else is said; nothing where the fault makes no sense for such an account.
fn general(valid: &Valid, place: usize, wrong: Wrong) -> Option<Want> {
    use AccountFault as Fault;
    let role = role(valid, place);
    let fault = match (wrong, role) {
        (Wrong::NotSigner, _) => Fault::NotSigner,
        (Wrong::NotWritable, _) => Fault::NotWritable,
        (Wrong::CutOff, _) => Fault::Missing,
        (Wrong::LeftOut, _) => return Some(Want::AnyNumber),
        (Wrong::Owner, Role::State | Role::Tokens) => Fault::WrongOwner,
        (Wrong::Owner, Role::New) => Fault::AlreadyInitialized,
        // Which program owns it is the runtime's word, or decides nothing.
        (Wrong::Owner, Role::Known | Role::Key) => return None,
        (Wrong::Empty, Role::State | Role::Tokens) => Fault::Uninitialized,
        (Wrong::Empty | Wrong::Copy | Wrong::Zeros, Role::Known) => Fault::WrongAddress,
        (Wrong::Empty | Wrong::Zeros | Wrong::Others | Wrong::Instead(_), Role::New) => {
            Fault::WrongAddress
        }
        (Wrong::Zeros, Role::Key) => return None,
        (Wrong::Zeros, Role::State) => Fault::WrongKind,
        (Wrong::Zeros, Role::Tokens) => Fault::NotTokenAccount,
        // The program makes each of its accounts itself, at one address: there are no copies.
        (Wrong::Copy, Role::State | Role::New | Role::Key) => return None,
        (Wrong::Copy, Role::Tokens) => return Some(Want::Rule(PoolError::NotYours)),
        (Wrong::Mint, Role::Tokens) => Fault::WrongMint,
        (Wrong::Mint, _) => return None,
        (Wrong::Others, Role::Tokens) => return Some(Want::Rule(PoolError::NotYours)),
        (Wrong::Instead(Is::Config | Is::Operators), Role::State) => Fault::WrongKind,
        (Wrong::Instead(_), Role::State) => Fault::WrongOwner,
        (Wrong::Instead(Is::Mint), Role::Tokens) => Fault::NotTokenAccount,
        (Wrong::Instead(Is::Vault), Role::Tokens) => return Some(Want::Rule(PoolError::NotYours)),
        (Wrong::Instead(_), Role::Tokens) => Fault::WrongOwner,
        (Wrong::Instead(_), Role::Known) => Fault::WrongAddress,
        (Wrong::Instead(_), Role::Key) if valid.call.accounts[place].0.signer => Fault::NotSigner,
        (Wrong::Extra, _) => Fault::Extra,
        (Wrong::Empty | Wrong::Twice(_) | Wrong::Others | Wrong::Instead(_) | Wrong::Else, _) => {
            return Some(Want::AnyFault);
        }
    };
    Some(Want::Fault(fault))
}

/// Sends the call with this wrong, and says what it ended with if that is not what is wanted.
#[track_caller]
fn attempt(
    valid: &mut Valid,
    place: usize,
    wrong: Wrong,
    instead: Option<Pubkey>,
    want: Want,
) -> Result<(), String> {
    let world = &mut valid.world;
    let mut call = valid.call.clone();
    let (spec, meta) = call.accounts[place].clone();
    let restored = (meta.pubkey, world.k2.account(&meta.pubkey));
    match wrong {
        Wrong::NotSigner => call.accounts[place].1.is_signer = false,
        Wrong::NotWritable => call.accounts[place].1.is_writable = false,
        Wrong::CutOff => call.accounts.truncate(place),
        Wrong::LeftOut => drop(call.accounts.remove(place)),
        Wrong::Extra => {
            let extra = world.k2.pubkey("one too many");
            let meta = AccountMeta {
                pubkey: extra,
                is_signer: false,
                is_writable: spec.writable,
            };
            call.accounts.push((spec, meta));
        }
        Wrong::Owner => {
            let other = world.k2.pubkey("another program");
            let account = restored
                .1
                .clone()
                .unwrap_or_else(|| account(world, vec![0; 64], other));
            world.k2.set_account(
                meta.pubkey,
                Account {
                    owner: other,
                    ..account
                },
            );
        }
        Wrong::Empty => {
            let empty = world.k2.pubkey("nobody");
            if spec.signer {
                world.somebody("nobody");
            }
            call.accounts[place].1.pubkey = empty;
        }
        Wrong::Zeros | Wrong::Copy => {
            let at = world.k2.pubkey(&format!("{wrong:?} of {}", spec.name));
            let mut account = match restored.1.clone().filter(|account| !account.executable) {
                Some(account) => account,
                None => account(world, vec![0; 184], world.program),
            };
            if wrong == Wrong::Zeros {
                account.data.fill(0);
            }
            world.k2.set_account(at, account);
            call.accounts[place].1.pubkey = at;
        }
        Wrong::Mint => {
            let (mint, at) = (
                world.k2.pubkey("another mint"),
                world.k2.pubkey("an account of another mint"),
            );
            let authority = world.token_authority_key();
            world.k2.set_mint(mint, authority, 0, 8);
            let owner = owner_of(&restored.1);
            world.k2.set_token_account(at, mint, owner, 1_000_000);
            call.accounts[place].1.pubkey = at;
        }
        Wrong::Others | Wrong::Instead(_) | Wrong::Twice(_) | Wrong::Else => {
            let key = instead.expect("these name an account");
            let signs = valid
                .call
                .accounts
                .iter()
                .any(|(spec, meta)| spec.signer && meta.pubkey == key);
            let meta = &mut call.accounts[place].1;
            meta.pubkey = key;
            meta.is_signer &= signs;
        }
    }
    let step = format!("{}: {wrong:?}", spec.name);
    let sent = world.send(&step, call);
    if wrong == Wrong::Owner {
        let none = Account::default();
        world.k2.set_account(restored.0, restored.1.unwrap_or(none));
    }
    let Some(code) = sent.code() else {
        return Err("it succeeded".to_owned());
    };
    if meets(&valid.call, place, want, code) {
        Ok(())
    } else {
        Err(format!(
            "{:?}: {}",
            Refusal::from_code(code),
            sent.call.explain(code)
        ))
    }
}

fn meets(call: &Call, place: usize, want: Want, code: u32) -> bool {
    let refusal = Refusal::from_code(code);
    match want {
        Want::Fault(fault) => refusal == Refusal::Account(fault, place_of(call, place, fault)),
        Want::FaultOf(name, fault) => refusal == Refusal::Account(fault, call.place(name)),
        Want::AnyFault => matches!(refusal, Refusal::Account(_, at) if at == place),
        Want::Rule(rule) => refusal == Refusal::Rule(rule),
        Want::AnyNumber => !matches!(refusal, Refusal::Unknown(_)),
        Want::Allowed => false,
    }
}

/// An account too many stands behind the last.
fn place_of(call: &Call, place: usize, fault: AccountFault) -> usize {
    if fault == AccountFault::Extra {
        call.accounts.len()
    } else {
        place
    }
}

fn account(world: &World, data: Vec<u8>, owner: Pubkey) -> Account {
    Account {
        lamports: world.k2.rent(data.len()),
        data,
        owner,
        ..Account::default()
    }
}

/// The holder of a token account.
fn owner_of(account: &Option<Account>) -> Pubkey {
    let data = account.as_ref().map_or(&[][..], |account| &account.data);
    let owner = data.get(32..64).expect("it is a token account");
    Pubkey::try_from(owner).expect("a key has 32 bytes")
}

/// The accounts of an instruction that this call does not pass.
pub fn not_passed(call: &Call) -> Vec<&'static str> {
    let passes = |spec: &&AccountSpec| {
        !call
            .accounts
            .iter()
            .any(|(passed, _)| passed.name == spec.name)
    };
    call.kind
        .accounts()
        .iter()
        .filter(passes)
        .map(|spec| spec.name)
        .collect()
}
