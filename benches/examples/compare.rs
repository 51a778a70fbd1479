//! Drives the comparison as a library: `compare PROGRAM OUT BACKEND...` with any program that takes `node --backend ...`, without
//! the transports by themselves.
//!
//! `SEED` and `ROUNDS` in the environment change the defaults; without `ROUNDS` it is the short form.

use shroud_bench::compare::{Options, compare};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, out, backends @ ..] = arguments.as_slice() else {
        eprintln!("usage: compare PROGRAM OUT BACKEND...");
        return ExitCode::from(2);
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let options = Options {
        program: program.into(),
        backends: backends.to_vec(),
        skipped: Vec::new(),
        quick: number("ROUNDS").is_none(),
        rounds: number("ROUNDS"),
        seed: u64::from(number("SEED").unwrap_or(1)),
        scratch: None,
        command: std::env::args().collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match compare(&options, None).map(|report| (report.write(out.as_ref()), report)) {
        Ok((Ok(()), report)) => {
            println!("{}", report.table(false));
            ExitCode::from(u8::from(!report.failures.is_empty()))
        }
        Ok((Err(error), _)) => {
            eprintln!("writing to {out}: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
