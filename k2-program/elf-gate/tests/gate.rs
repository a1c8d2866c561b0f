//! The checks one by one, on a program made here: the smallest that passes, and the same with one thing wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use elf_gate::{MAX_PROGRAM_BYTES, Problem, check, syscalls};
use proptest::prelude::*;

const HEADER: usize = 64;
const SHF_WRITE: u64 = 1;
const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_DYNAMIC: u32 = 6;
const SHT_REL: u32 = 9;
const SHT_DYNSYM: u32 = 11;
const R_BPF_64_32: u64 = 10;

/// A program of one instruction (`exit`) and of whatever a test sets.
#[derive(Clone)]
struct Program {
    machine: u16,
    kind: u16,
    flags: u32,
    class: u8,
    abi: u8,
    /// Relative to .text.
    entry: u64,
    entry_name: &'static str,
    text_names: Vec<&'static str>,
    imports: Vec<Vec<u8>>,
    /// `r_type` and symbol of relocations at the first instruction.
    relocations: Vec<(u64, u64)>,
    relocation_offset: Option<u64>,
    extra_section: Option<(&'static str, u64)>,
    /// Where the dynamic table says that the relocations are, relative to the truth.
    dynamic_shift: u64,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            machine: 247,
            kind: 3,
            flags: 0,
            class: 2,
            abi: 0,
            entry: 0,
            entry_name: "entrypoint",
            text_names: vec![".text"],
            imports: vec![b"sol_log_".to_vec()],
            relocations: vec![(R_BPF_64_32, 2)],
            relocation_offset: None,
            extra_section: None,
            dynamic_shift: 0,
        }
    }
}

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    link: u32,
    entry_size: u64,
    data: Vec<u8>,
}

fn le(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// `Elf64_Sym`; section 0 is undefined, 1 the code.
fn symbol(name: usize, section: u16, value: u64) -> Vec<u8> {
    let mut bytes = u32::try_from(name).unwrap().to_le_bytes().to_vec();
    bytes.extend([0x12, 0]); // global function
    bytes.extend(section.to_le_bytes());
    bytes.extend(le(&[value, 0]));
    bytes
}

impl Program {
    fn build(&self) -> Vec<u8> {
        const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
        let text_at = HEADER as u64 + 56; // behind one program header
        let mut names = vec![0];
        let mut named = |name: &[u8]| {
            let at = names.len();
            names.extend_from_slice(name);
            names.push(0);
            at
        };
        let mut symbols = symbol(0, 0, 0);
        symbols.extend(symbol(
            named(self.entry_name.as_bytes()),
            1,
            text_at + self.entry,
        ));
        for import in &self.imports {
            symbols.extend(symbol(named(import), 0, 0));
        }
        let relocations = self
            .relocations
            .iter()
            .flat_map(|(kind, symbol)| {
                le(&[
                    self.relocation_offset.unwrap_or(text_at),
                    symbol << 32 | kind,
                ])
            })
            .collect();
        let section = |name, kind, link, entry_size, data| Section {
            name,
            kind,
            flags: 0,
            link,
            entry_size,
            data,
        };
        let mut sections: Vec<_> = self
            .text_names
            .iter()
            .map(|name| section(name, SHT_PROGBITS, 0, 0, EXIT.to_vec()))
            .collect();
        let next = u32::try_from(sections.len()).unwrap() + 1;
        sections.push(section(".dynsym", SHT_DYNSYM, next + 1, 24, symbols));
        sections.push(section(".dynstr", SHT_STRTAB, 0, 0, names));
        sections.push(section(".rel.dyn", SHT_REL, next, 16, relocations));
        let relocations_index = sections.len() - 1;
        sections.push(section(".dynamic", SHT_DYNAMIC, next + 1, 16, Vec::new()));
        if let Some((name, flags)) = self.extra_section {
            sections.push(Section {
                flags,
                ..section(name, SHT_PROGBITS, 0, 0, vec![0; 8])
            });
        }
        sections.push(section(".shstrtab", SHT_STRTAB, 0, 0, Vec::new()));

        // Contents, and where they came to be.
        let (dynamic_index, names_index) = (relocations_index + 1, sections.len() - 1);
        let mut body = Vec::new();
        let mut places = Vec::new();
        let mut section_names = vec![0];
        let mut name_offsets = Vec::new();
        for section in &sections {
            name_offsets.push(section_names.len());
            section_names.extend(section.name.as_bytes());
            section_names.push(0);
        }
        for (index, section) in sections.iter_mut().enumerate() {
            if index == dynamic_index {
                let relocations_at: u64 = places[relocations_index];
                section.data = le(&[17, relocations_at + self.dynamic_shift, 0, 0]); // DT_REL, DT_NULL
            } else if index == names_index {
                section.data.clone_from(&section_names);
            }
            places.push(text_at + body.len() as u64);
            body.extend(&section.data);
            body.resize(body.len().next_multiple_of(8), 0);
        }

        let table_at = text_at + body.len() as u64;
        let mut file = vec![
            0x7f, b'E', b'L', b'F', self.class, 1, 1, self.abi, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(le(&[text_at + self.entry, HEADER as u64, table_at]));
        file.extend(self.flags.to_le_bytes());
        for half in [
            64,
            56,
            1,
            64,
            sections.len() as u16 + 1,
            names_index as u16 + 1,
        ] {
            file.extend(half.to_le_bytes());
        }
        // PT_DYNAMIC
        let dynamic = (
            places[dynamic_index],
            sections[dynamic_index].data.len() as u64,
        );
        file.extend(2_u32.to_le_bytes());
        file.extend(6_u32.to_le_bytes());
        file.extend(le(&[
            dynamic.0, dynamic.0, dynamic.0, dynamic.1, dynamic.1, 8,
        ]));
        file.extend(&body);
        file.extend([0; 64]);
        for ((section, place), name) in sections.iter().zip(&places).zip(&name_offsets) {
            file.extend(u32::try_from(*name).unwrap().to_le_bytes());
            file.extend(section.kind.to_le_bytes());
            file.extend(le(&[
                section.flags,
                *place,
                *place,
                section.data.len() as u64,
            ]));
            file.extend(section.link.to_le_bytes());
            file.extend(0_u32.to_le_bytes());
            file.extend(le(&[8, section.entry_size]));
        }
        file
    }

    fn problems(&self) -> Vec<Problem> {
        check(&self.build())
            .expect_err("a problem")
            .problems()
            .to_vec()
    }
}

#[test]
fn the_smallest_program_passes() {
    let report = check(&Program::default().build()).unwrap();
    assert_eq!((report.code_bytes, report.relocations), (8, 1));
    assert_eq!(report.imports, ["sol_log_"]);
}

#[test]
fn every_syscall_of_the_list_passes() {
    let imports: Vec<_> = syscalls::ALLOWED
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let report = check(
        &Program {
            imports,
            ..Program::default()
        }
        .build(),
    )
    .unwrap();
    assert_eq!(report.imports, syscalls::ALLOWED);
}

/// solana#29423, "Incompatible ELF: wrong machine": EM_SBF, which early tool chains wrote.
#[test]
fn solana_29423_wrong_machine() {
    let problems = Program {
        machine: 263,
        ..Program::default()
    }
    .problems();
    assert_eq!(
        problems,
        [Problem::Header {
            field: "e_machine",
            found: 263,
            wanted: 247
        }]
    );
    assert!(
        check(
            &Program {
                machine: 62,
                ..Program::default()
            }
            .build()
        )
        .is_err()
    );
}

#[test]
fn another_version_of_sbf() {
    for flags in [1, 2, 3, 0x20] {
        let problems = Program {
            flags,
            ..Program::default()
        }
        .problems();
        assert_eq!(
            problems,
            [Problem::Header {
                field: "e_flags",
                found: flags.into(),
                wanted: 0
            }]
        );
    }
}

#[test]
fn another_kind_of_file() {
    assert_eq!(
        Program {
            kind: 1,
            ..Program::default()
        }
        .problems(),
        [Problem::Header {
            field: "e_type",
            found: 1,
            wanted: 3
        }]
    );
    assert_eq!(
        Program {
            abi: 3,
            ..Program::default()
        }
        .problems(),
        [Problem::Header {
            field: "EI_OSABI",
            found: 3,
            wanted: 0
        }]
    );
    assert!(matches!(
        Program {
            class: 1,
            ..Program::default()
        }
        .problems()[..],
        [Problem::Unreadable(_)]
    ));
}

#[test]
fn an_unknown_import_is_named() {
    for name in [
        "sol_get_sysvar",
        "__multi3",
        "sol_blake3",
        "my_function",
        "sol_alloc_free_",
    ] {
        let imports = vec![b"sol_log_".to_vec(), name.as_bytes().to_vec()];
        let program = Program {
            imports,
            ..Program::default()
        };
        assert_eq!(program.problems(), [Problem::Import { name: name.into() }]);
        assert!(
            check(&program.build())
                .unwrap_err()
                .to_string()
                .contains(name)
        );
    }
}

#[test]
fn names_that_are_none() {
    let imports = vec![
        b"sol_log_".to_vec(),
        vec![0xff, 0xfe],
        vec![b'x'; 5000],
        Vec::new(),
    ];
    let problems = Program {
        imports,
        ..Program::default()
    }
    .problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.to_string().len() < 300)
    );
}

#[test]
fn the_entry_point() {
    assert!(matches!(
        Program {
            entry: 4,
            ..Program::default()
        }
        .problems()[..],
        [Problem::EntryPoint(_)]
    ));
    assert!(matches!(
        Program {
            entry: 8,
            ..Program::default()
        }
        .problems()[..],
        [Problem::EntryPoint(_)]
    ));
    assert_eq!(
        Program {
            entry_name: "main",
            ..Program::default()
        }
        .problems(),
        [Problem::NoEntrySymbol]
    );
}

#[test]
fn sections() {
    for (name, flags) in [
        (".bss", 0),
        (".bss.x", SHF_WRITE),
        (".data", SHF_WRITE),
        (".data.x", SHF_WRITE),
    ] {
        let problems = Program {
            extra_section: Some((name, flags)),
            ..Program::default()
        }
        .problems();
        assert_eq!(problems, [Problem::WritableSection(name.into())]);
    }
    for (name, flags) in [(".data.rel.ro", SHF_WRITE), (".data", 0), (".rodata", 0)] {
        assert!(
            check(
                &Program {
                    extra_section: Some((name, flags)),
                    ..Program::default()
                }
                .build()
            )
            .is_ok(),
            "{name}"
        );
    }
    assert!(
        Program {
            text_names: vec![".code"],
            ..Program::default()
        }
        .problems()
        .contains(&Problem::TextSections(0))
    );
    assert!(
        Program {
            text_names: vec![".text", ".text"],
            ..Program::default()
        }
        .problems()
        .contains(&Problem::TextSections(2))
    );
}

#[test]
fn relocations() {
    let relocations = vec![(2, 2), (3, 2), (2, 2), (1, 2), (8, 0)];
    let problems = Program {
        relocations,
        ..Program::default()
    }
    .problems();
    assert_eq!(
        problems,
        [
            Problem::Relocation { kind: 2, count: 2 },
            Problem::Relocation { kind: 3, count: 1 }
        ]
    );
    let no_symbol = Program {
        relocations: vec![(R_BPF_64_32, 9)],
        ..Program::default()
    };
    assert!(matches!(
        no_symbol.problems()[..],
        [Problem::RelocationTarget(_)]
    ));
    for offset in [1 << 20, u64::MAX, u64::MAX - 7] {
        let outside = Program {
            relocation_offset: Some(offset),
            ..Program::default()
        };
        assert_eq!(outside.problems(), [Problem::RelocationTarget(offset)]);
    }
    let elsewhere = Program {
        dynamic_shift: 8,
        ..Program::default()
    };
    assert!(matches!(
        elsewhere.problems()[..],
        [Problem::DynamicRelocations(_)]
    ));
}

#[test]
fn size() {
    let mut bytes = Program::default().build();
    bytes.resize(MAX_PROGRAM_BYTES, 0);
    assert!(check(&bytes).is_ok());
    bytes.push(0);
    assert_eq!(
        check(&bytes).unwrap_err().problems(),
        [Problem::TooLarge(MAX_PROGRAM_BYTES + 1)]
    );
}

#[test]
fn no_program() {
    for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 64]] {
        assert!(
            matches!(
                check(bytes).unwrap_err().problems()[..],
                [Problem::Unreadable(_)]
            ),
            "{bytes:?}"
        );
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn random_bytes_behind_a_header_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut file = Program::default().build();
        file.truncate(HEADER);
        file.extend(bytes);
        prop_assert!(check(&file).is_err());
    }

    #[test]
    fn a_changed_program_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = Program::default().build();
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        let _ = check(&file);
    }

    #[test]
    fn a_cut_program_is_refused(length in any::<prop::sample::Index>()) {
        let file = Program::default().build();
        prop_assert!(check(&file[..length.index(file.len())]).is_err());
    }
}
