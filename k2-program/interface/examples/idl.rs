//! Writes the program's IDL (Shank's form) to standard output:
//! `cargo run -p orcapool-k2-interface --example idl > k2-program/idl.json`.
//!
//! Everything in it is read from the crate itself, so it cannot say something else than the code; `tests/idl.rs` compares
//! the committed file.

use std::io::Write as _;

use k2_interface::instruction::{AccountSpec, InstructionKind, When};
use k2_interface::layout::{Described, Field};
use k2_interface::pda::{self, Seed};
use k2_interface::{AccountFault, PoolError, state};
use serde_json::{Value, json};

/// A layout: name, fields, documentation, size.
type Layout = (&'static str, &'static [Field], &'static str, usize);

fn layout<T: Described>() -> Layout {
    (T::NAME, T::FIELDS, T::DOC, T::SIZE)
}

fn accounts() -> Vec<(Layout, &'static [state::Kind])> {
    fn one<T: state::Account>() -> (Layout, &'static [state::Kind]) {
        (layout::<T>(), T::KINDS)
    }
    vec![
        one::<state::Config>(),
        one::<state::OperatorSet>(),
        one::<state::Relay>(),
        one::<state::Fork>(),
        one::<state::Cursor>(),
        one::<state::Buffer>(),
        one::<state::Record>(),
        one::<state::Operator>(),
        one::<state::Proposal>(),
        one::<state::Ledger>(),
        one::<state::Redemption>(),
    ]
}

fn types() -> Vec<Layout> {
    vec![
        layout::<state::Head>(),
        layout::<state::Parameters>(),
        layout::<state::CustodyScripts>(),
        layout::<state::Custody>(),
        layout::<state::MintWindow>(),
        layout::<state::Totals>(),
        layout::<state::Rewards>(),
        layout::<state::RelayEntry>(),
        layout::<state::EpochSlot>(),
        layout::<state::OperatorSlot>(),
    ]
}

/// `config_account` -> `configAccount`, as clients in other languages expect.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn size_of_kind(kind: &str) -> usize {
    let primitives = [
        ("u8", 1),
        ("u16", 2),
        ("u32", 4),
        ("u64", 8),
        ("u128", 16),
        ("publicKey", 32),
    ];
    let types = types();
    primitives
        .iter()
        .copied()
        .chain(types.iter().map(|(name, _, _, size)| (*name, *size)))
        .find(|(name, _)| *name == kind)
        .map_or(0, |(_, size)| size)
}

fn field(field: &Field) -> Value {
    let one = size_of_kind(field.kind);
    assert!(
        one > 0,
        "the type {} of {} is described nowhere",
        field.kind,
        field.name
    );
    let element = if types().iter().any(|(name, ..)| *name == field.kind) {
        json!({ "defined": field.kind })
    } else {
        json!(field.kind)
    };
    let kind = if field.size == one {
        element
    } else {
        json!({ "array": [element, field.size / one] })
    };
    json!({ "name": camel(field.name), "type": kind, "docs": [field.doc.trim()] })
}

fn structure((name, fields, doc, _): &Layout) -> Value {
    let fields: Vec<_> = fields.iter().map(field).collect();
    json!({ "name": name, "docs": [doc.trim()], "type": { "kind": "struct", "fields": fields } })
}

fn account(spec: &AccountSpec) -> Value {
    let mut account = json!({
        "name": camel(spec.name),
        "isMut": spec.writable,
        "isSigner": spec.signer,
        "docs": [format!("{:?}", spec.is)],
    });
    if spec.when != When::Always {
        account["optional"] = json!(format!("{:?}", spec.when));
    }
    account
}

fn instruction(kind: InstructionKind) -> Value {
    let mut args: Vec<_> = kind.fields().iter().map(field).collect();
    if let Some(tail) = kind.tail() {
        args.push(json!({
            "name": tail,
            "type": "bytes",
            "attrs": ["remainder"],
            "docs": ["The rest of the data, without a length before it."],
        }));
    }
    json!({
        "name": kind.name(),
        "docs": [kind.doc().trim()],
        "accounts": kind.accounts().iter().map(account).collect::<Vec<_>>(),
        "args": args,
        "discriminant": { "type": "u8", "value": kind as u8 },
    })
}

fn seed(seed: &Seed) -> Value {
    match seed {
        Seed::Constant(bytes) => {
            json!({ "kind": "const", "value": String::from_utf8_lossy(bytes) })
        }
        Seed::Value(name, kind) => json!({ "kind": "value", "name": name, "type": kind }),
    }
}

/// The whole IDL, ready to be written to a file.
pub(crate) fn idl() -> String {
    let accounts: Vec<_> = accounts()
        .iter()
        .map(|(layout, kinds)| {
            let mut account = structure(layout);
            account["size"] = json!(layout.3);
            account["kinds"] = kinds
                .iter()
                .map(|kind| json!({ "name": format!("{kind:?}"), "value": *kind as u8 }))
                .collect();
            account
        })
        .collect();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": "orcapool",
        "instructions": InstructionKind::ALL.iter().map(|kind| instruction(*kind)).collect::<Vec<_>>(),
        "accounts": accounts,
        "types": types().iter().map(structure).collect::<Vec<_>>(),
        "pdas": pda::ALL.iter().map(|derived| json!({
            "name": derived.name,
            "seeds": derived.seeds.iter().map(seed).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "errors": PoolError::ALL.iter().map(|error| json!({
            "code": error.code(), "name": error.name(), "msg": error.message(),
        })).collect::<Vec<_>>(),
        "accountFaults": {
            "docs": ["Reported as (place of the account + 1) << 16 | number."],
            "faults": AccountFault::ALL.iter().map(|fault| json!({
                "number": *fault as u8, "name": fault.name(), "msg": fault.message(),
            })).collect::<Vec<_>>(),
        },
        "metadata": { "origin": "shank", "serialization": "borsh arguments after one tag byte; packed little-endian accounts" },
    });
    format!("{document:#}\n")
}

#[allow(dead_code)] // the test includes this file for `idl`
fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(idl().as_bytes())
}
