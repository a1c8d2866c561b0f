//! The program that was built passes, and with one bit of what matters changed it does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use elf_gate::{Problem, check};

fn program() -> Vec<u8> {
    let path = std::env::var_os("ORCAPOOL_K2_PROGRAM")
        .expect("ORCAPOOL_K2_PROGRAM names the built program: export ORCAPOOL_K2_PROGRAM=$(scripts/build-program | tail -n 1)");
    std::fs::read(path).unwrap()
}

#[test]
fn the_built_program_passes() {
    let report = check(&program()).unwrap();
    assert!(report.code_bytes > 0 && report.relocations > 0);
    // It cannot do anything without: it creates accounts and moves tokens.
    assert!(
        report
            .imports
            .iter()
            .any(|name| name.starts_with("sol_invoke_signed_"))
    );
}

#[test]
fn no_path_of_the_machine_is_in_it() {
    let program = program();
    let home = std::env::var("HOME").unwrap();
    for path in [
        home.as_str(),
        env!("CARGO_MANIFEST_DIR"),
        "/.cargo/registry",
    ] {
        assert!(
            !program
                .windows(path.len())
                .any(|window| window == path.as_bytes()),
            "{path}"
        );
    }
}

#[test]
fn header_bits() {
    let program = program();
    // e_type, e_machine, e_flags
    for byte in [16, 17, 18, 19, 48, 49, 50, 51] {
        for bit in 0..8 {
            let mut changed = program.clone();
            changed[byte] ^= 1 << bit;
            let refused = check(&changed).unwrap_err();
            assert!(
                matches!(refused.problems()[0], Problem::Header { .. }),
                "byte {byte}, bit {bit}: {refused}"
            );
        }
    }
}

#[test]
fn an_import_of_a_later_syscall() {
    let mut program = program();
    let (old, new) = (b"sol_log_\0", b"sol_stk_\0");
    let places: Vec<_> = (0..program.len() - old.len())
        .filter(|at| &program[*at..*at + old.len()] == old)
        .collect();
    assert!(!places.is_empty());
    for place in places {
        program[place..place + new.len()].copy_from_slice(new);
    }
    assert!(
        check(&program)
            .unwrap_err()
            .problems()
            .contains(&Problem::Import {
                name: "sol_stk_".into()
            })
    );
}
