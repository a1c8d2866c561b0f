//! The checks. Each names the rule of Solana 1.14's loader (`solana_rbpf` 0.2.31, `src/elf.rs`: `validate`, `relocate`) it
//! stands for.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{self, FileHeader64};
use object::read::elf::{
    Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _, Rel as _, SectionHeader as _,
    Sym as _,
};
use object::{LittleEndian, SectionIndex, SymbolIndex};

use crate::report::{PROGRAM_DATA_METADATA, rent};
use crate::{Problem, Refused, Report, syscalls};

/// An account has at most 10 MiB (`MAX_PERMITTED_DATA_LENGTH`), less what the loader keeps there of its own.
pub const MAX_PROGRAM_BYTES: usize = 10 * 1024 * 1024 - PROGRAM_DATA_METADATA as usize;

/// Longer than any syscall's name. Bounds what hostile string tables can make of an error message.
const MAX_SYMBOL_NAME: usize = 64;
/// `INSN_SIZE`
const INSTRUCTION_BYTES: u64 = 8;

/// The relocations that the loader applies (`BpfRelocationType`). `object` has no name for the second.
const R_BPF_64_RELATIVE: u32 = 8;
const RELOCATIONS: [u32; 3] = [elf::R_BPF_64_64, R_BPF_64_RELATIVE, elf::R_BPF_64_32];

type Header = FileHeader64<LittleEndian>;
type File<'data> = ElfFile64<'data, LittleEndian>;
type Section = <Header as object::read::elf::FileHeader>::SectionHeader;
const LE: LittleEndian = LittleEndian;

/// Checks the bytes of a program.
///
/// # Errors
/// Everything that is wrong with it, as far as the file can be read at all.
pub fn check(bytes: &[u8]) -> Result<Report, Refused> {
    if bytes.len() > MAX_PROGRAM_BYTES {
        return Err(Refused::new(vec![Problem::TooLarge(bytes.len())]));
    }
    let mut check = Check {
        problems: Vec::new(),
    };
    match check.file(bytes) {
        Ok(report) if check.problems.is_empty() => Ok(report),
        Ok(_) => Err(Refused::new(check.problems)),
        Err(error) => {
            check.problems.push(Problem::Unreadable(error.to_string()));
            Err(Refused::new(check.problems))
        }
    }
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn file(&mut self, bytes: &[u8]) -> object::Result<Report> {
        self.header(Header::parse(bytes)?);
        let file = File::parse(bytes)?;
        let text = self.sections(&file, bytes)?;
        self.entry(&file, text)?;
        let imports = self.imports(&file)?;
        let relocations = self.relocations(&file, bytes)?;
        let mut constant_bytes = 0_u64;
        for section in file.elf_section_table().iter() {
            let name = file.elf_section_table().section_name(LE, section)?;
            if name.starts_with(b".rodata") || name.starts_with(b".data.rel.ro") {
                constant_bytes = constant_bytes.saturating_add(section.sh_size(LE));
            }
        }
        Ok(Report {
            bytes: bytes.len(),
            code_bytes: text.map_or(0, |text| text.sh_size(LE)),
            constant_bytes,
            relocations,
            imports,
            rent_lamports: rent(bytes.len()),
        })
    }

    /// `WrongClass`, `WrongEndianess`, `WrongAbi`, `WrongMachine`, `WrongType`. Early tool chains wrote machine 263 (EM_SBF);
    /// flags other than 0 are another version of SBF.
    fn header(&mut self, header: &Header) {
        let ident = header.e_ident();
        let fields = [
            (
                "EI_CLASS",
                u64::from(ident.class),
                u64::from(elf::ELFCLASS64),
            ),
            (
                "EI_DATA",
                u64::from(ident.data),
                u64::from(elf::ELFDATA2LSB),
            ),
            (
                "EI_OSABI",
                u64::from(ident.os_abi),
                u64::from(elf::ELFOSABI_NONE),
            ),
            (
                "e_machine",
                u64::from(header.e_machine(LE)),
                u64::from(elf::EM_BPF),
            ),
            (
                "e_type",
                u64::from(header.e_type(LE)),
                u64::from(elf::ET_DYN),
            ),
            ("e_flags", u64::from(header.e_flags(LE)), 0),
        ];
        for (field, found, wanted) in fields {
            if found != wanted {
                self.problems.push(Problem::Header {
                    field,
                    found,
                    wanted,
                });
            }
        }
    }

    /// `NotOneTextSection`, `WritableSectionNotSupported`, `ValueOutOfBounds`; gives the code.
    fn sections<'data>(
        &mut self,
        file: &File<'data>,
        bytes: &'data [u8],
    ) -> object::Result<Option<&'data Section>> {
        let table = file.elf_section_table();
        let mut text = Vec::new();
        for section in table.iter() {
            let name = table.section_name(LE, section)?;
            if name == b".text" {
                text.push(section);
            }
            let writable = section.sh_flags(LE) & u64::from(elf::SHF_WRITE) != 0;
            if name.starts_with(b".bss")
                || (writable && name.starts_with(b".data") && !name.starts_with(b".data.rel"))
            {
                self.problems.push(Problem::WritableSection(shown(name)));
            }
            section.data(LE, bytes)?;
        }
        if text.len() != 1 {
            self.problems.push(Problem::TextSections(text.len()));
        }
        Ok(text.first().copied())
    }

    /// `EntrypointOutOfBounds`, `InvalidEntrypoint`.
    fn entry(&mut self, file: &File<'_>, text: Option<&Section>) -> object::Result<()> {
        let entry = file.elf_header().e_entry(LE);
        let inside = text
            .and_then(|text| {
                entry
                    .checked_sub(text.sh_addr(LE))
                    .filter(|offset| *offset < text.sh_size(LE))
            })
            .is_some_and(|offset| offset % INSTRUCTION_BYTES == 0);
        if !inside {
            self.problems.push(Problem::EntryPoint(entry));
        }
        // The loader goes by the header; tools that show or verify programs go by the symbol.
        let symbols = file.elf_dynamic_symbol_table();
        for symbol in symbols.iter() {
            if !symbol.is_undefined(LE)
                && symbols.symbol_name(LE, symbol)? == b"entrypoint"
                && symbol.st_value(LE) == entry
            {
                return Ok(());
            }
        }
        self.problems.push(Problem::NoEntrySymbol);
        Ok(())
    }

    /// `UnresolvedSymbol`: everything undefined has to be a syscall.
    fn imports(&mut self, file: &File<'_>) -> object::Result<Vec<String>> {
        let symbols = file.elf_dynamic_symbol_table();
        let (mut imports, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for (index, symbol) in symbols.enumerate() {
            // The first one is empty by specification.
            if index == SymbolIndex(0) || symbol.st_shndx(LE) != elf::SHN_UNDEF {
                continue;
            }
            let name = symbols.symbol_name(LE, symbol)?;
            match str::from_utf8(name) {
                Ok(name) if name.len() > MAX_SYMBOL_NAME => {
                    refused.insert(Problem::SymbolName(shown(name.as_bytes())))
                }
                Ok(name) if syscalls::is_allowed(name) => imports.insert(name.to_owned()),
                Ok(name) => refused.insert(Problem::Import {
                    name: name.to_owned(),
                }),
                Err(_) => refused.insert(Problem::SymbolName(shown(name))),
            };
        }
        self.problems.extend(refused);
        Ok(imports.into_iter().collect())
    }

    /// `UnknownRelocation`, `UnknownSymbol`, `ValueOutOfBounds`; gives their number.
    fn relocations(&mut self, file: &File<'_>, bytes: &[u8]) -> object::Result<usize> {
        let mut unknown = BTreeMap::<u32, usize>::new();
        let mut places = BTreeSet::new();
        let mut outside = None;
        let mut count = 0_usize;
        let symbols = file.elf_dynamic_symbol_table();
        for section in file.elf_section_table().iter() {
            let Some((entries, link)) = section.rel(LE, bytes)? else {
                continue;
            };
            // Others are for a linker, as those of debugging sections.
            if link != symbols.section() || link == SectionIndex(0) {
                continue;
            }
            places.insert(section.sh_addr(LE));
            count = count.saturating_add(entries.len());
            for entry in entries {
                let (offset, kind, symbol) =
                    (entry.r_offset(LE), entry.r_type(LE), entry.r_sym(LE));
                if !RELOCATIONS.contains(&kind) {
                    let seen = unknown.entry(kind).or_default();
                    *seen = seen.saturating_add(1);
                }
                // Addresses are offsets in the file (`enable_elf_vaddr` is off), and an instruction or a word begins there.
                let end = offset.checked_add(INSTRUCTION_BYTES);
                let fits = end
                    .and_then(|end| usize::try_from(end).ok())
                    .is_some_and(|end| end <= bytes.len());
                let symbol_there = kind == R_BPF_64_RELATIVE
                    || usize::try_from(symbol).is_ok_and(|symbol| symbol < symbols.len());
                if !(fits && symbol_there) {
                    outside.get_or_insert(offset);
                }
            }
        }
        self.problems.extend(
            unknown
                .into_iter()
                .map(|(kind, count)| Problem::Relocation { kind, count }),
        );
        self.problems.extend(outside.map(Problem::RelocationTarget));
        for segment in file.elf_program_headers() {
            for entry in segment.dynamic(LE, bytes)?.unwrap_or_default() {
                let place = entry.d_val(LE);
                if entry.d_tag(LE) == elf::DT_REL && !places.contains(&place) {
                    self.problems.push(Problem::DynamicRelocations(place));
                }
            }
        }
        Ok(count)
    }
}

/// A name from the file, fit to be printed.
fn shown(name: &[u8]) -> String {
    let cut = name.get(..MAX_SYMBOL_NAME).unwrap_or(name);
    let mut text = String::from_utf8_lossy(cut).escape_debug().to_string();
    if cut.len() < name.len() {
        text.push('…');
    }
    text
}
