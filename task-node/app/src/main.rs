//! See the library's documentation, or `orcapool --help`.

fn main() -> std::process::ExitCode {
    orcapool::program()
}
