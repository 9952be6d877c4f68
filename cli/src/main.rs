//! The binary: everything is in the library.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(shopctl::run(std::env::args_os()) as u8)
}
