//! The program `axoneme`; by other names it is the node client or the flow client alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    cli::program::main(&arguments)
}
