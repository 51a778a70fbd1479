//! `shroud wallet`.

use super::output::{say, table};
use super::{Failure, block_on};
use clap::{Args, Subcommand, ValueEnum};
use shroud_crypto::Address;
use shroud_gwallet::{KeyKind, Keys, PassPhrase, Remote, parse_secret};
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;

/// The most bytes of a pass-phrase or key that is read.
const MAX_SECRET_BYTES: u64 = 4096;

/// Keys in encrypted keystores: make, import, list, send, balance
#[derive(Debug, Args)]
pub(crate) struct Wallet {
    /// Directory of the keystores
    #[arg(long, env = "SHROUD_WALLET", default_value = "shroud-wallet", global = true)]
    directory: PathBuf,
    /// File with the pass-phrase in its first line; without it the pass-phrase is asked for
    #[arg(long, env = "SHROUD_PASSPHRASE_FILE", global = true)]
    passphrase_file: Option<PathBuf>,
    /// The node's URL
    #[arg(long, env = "SHROUD_URL", default_value = "http://127.0.0.1:8545", global = true)]
    url: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key
    New {
        /// ed25519 signs native transactions, secp256k1 Ethereum's
        #[arg(long, value_enum, default_value_t = Kind::Ed25519)]
        kind: Kind,
    },
    /// Import a secret key: 64 hex digits on standard input
    Import {
        /// What the secret is
        #[arg(long, value_enum, default_value_t = Kind::Ed25519)]
        kind: Kind,
    },
    /// List the keys
    List,
    /// Print the address of the only key, or check that one is there
    Address {
        /// Which
        address: Option<Address>,
    },
    /// Pay: waits until the transfer is durable
    Send {
        /// To whom
        to: Address,
        /// How much, in whole units: 1.5
        amount: String,
        /// Of what: a symbol or an asset's number
        #[arg(long, default_value = "GCC")]
        asset: String,
        /// From which key; not needed when there is only one
        #[arg(long)]
        from: Option<Address>,
    },
    /// Print what an account holds
    Balance {
        /// Whose; not needed when there is only one key
        address: Option<Address>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Ed25519,
    Secp256k1,
}

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ed25519 => Self::Ed25519,
            Kind::Secp256k1 => Self::Secp256k1,
        }
    }
}

impl Wallet {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self { directory, passphrase_file, url, command } = self;
        let pass_phrase = |again| read_pass_phrase(passphrase_file.as_ref(), again);
        match command {
            Command::New { kind } => {
                let pass_phrase = pass_phrase(true)?;
                let made = block_on(move |runtime| async move {
                    Keys::new(runtime, directory).create(kind.into(), &pass_phrase).await
                })?;
                say(made.map_err(Failure::new)?.address);
            }
            Command::Import { kind } => {
                let text = read_line(&mut std::io::stdin().lock(), "the secret key on standard input")?;
                let secret = parse_secret(kind.into(), &text).map_err(Failure::usage)?;
                let pass_phrase = pass_phrase(true)?;
                let made = block_on(move |runtime| async move {
                    Keys::new(runtime, directory).import(secret, &pass_phrase).await
                })?;
                say(made.map_err(Failure::new)?.address);
            }
            Command::List => {
                let keys = list(directory)?;
                let row = |entry: &shroud_gwallet::Entry| {
                    vec![
                        entry.address.to_string(),
                        format!("{:?}", entry.kind).to_lowercase(),
                        entry.path.display().to_string(),
                    ]
                };
                if !keys.is_empty() {
                    say(table(&keys.iter().map(row).collect::<Vec<_>>()).trim_end());
                }
            }
            Command::Address { address } => say(choose(directory, address)?),
            Command::Send { to, amount, asset, from } => {
                let from = choose(directory.clone(), from)?;
                let pass_phrase = pass_phrase(false)?;
                let outcome = block_on(move |runtime| async move {
                    let remote = Remote::new(runtime.clone(), &url).map_err(Failure::usage)?;
                    let key = Keys::new(runtime, directory)
                        .unlock(from, &pass_phrase)
                        .await
                        .map_err(Failure::new)?;
                    remote.pay(&key, to, &asset, &amount).await.map_err(Failure::new)
                })??;
                if !outcome.success {
                    let reason = outcome.reason.unwrap_or_else(|| "it failed".to_owned());
                    return Err(Failure::new(format_args!("transaction {}: {reason}", outcome.hash)));
                }
                say(format_args!("{} in block {}", outcome.hash, outcome.height));
            }
            Command::Balance { address } => {
                // An address that is named needs no key here.
                let address = match address {
                    Some(address) => address,
                    None => choose(directory, None)?,
                };
                let account = block_on(move |runtime| async move {
                    let remote = Remote::new(runtime, &url).map_err(Failure::usage)?;
                    remote.account(address).await.map_err(Failure::new)
                })??;
                if account.balances.is_empty() {
                    say("nothing");
                }
                account.balances.iter().for_each(say);
            }
        }
        Ok(())
    }
}

fn list(directory: PathBuf) -> Result<Vec<shroud_gwallet::Entry>, Failure> {
    block_on(move |runtime| async move { Keys::new(runtime, directory).list().await })?.map_err(Failure::new)
}

/// The key that is meant: the named one, or the only one.
fn choose(directory: PathBuf, named: Option<Address>) -> Result<Address, Failure> {
    let shown = directory.display().to_string();
    let keys = list(directory)?;
    match (named, keys.as_slice()) {
        (Some(address), keys) if keys.iter().any(|entry| entry.address == address) => Ok(address),
        (Some(address), _) => Err(Failure::new(format_args!("there is no key of {address} in {shown}"))),
        (None, [only]) => Ok(only.address),
        (None, []) => {
            Err(Failure::new(format_args!("there is no key in {shown}; make one with `shroud wallet new`")))
        }
        (None, several) => {
            let all: Vec<_> = several.iter().map(|entry| entry.address.to_string()).collect();
            Err(Failure::usage(format_args!("there are several keys, name one: {}", all.join(", "))))
        }
    }
}

fn read_pass_phrase(file: Option<&PathBuf>, again: bool) -> Result<PassPhrase, Failure> {
    if let Some(path) = file {
        let file = std::fs::File::open(path).map_err(Failure::of(path.display()))?;
        return Ok(PassPhrase::new(read_line(
            &mut std::io::BufReader::new(file),
            &path.display().to_string(),
        )?));
    }
    let first = ask("Pass-phrase: ")?;
    if again && ask("Once more: ")? != first {
        return Err(Failure::usage("the pass-phrases differ"));
    }
    Ok(PassPhrase::new(first))
}

/// Asks on the terminal, without showing the answer.
fn ask(prompt: &str) -> Result<String, Failure> {
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|_| {
        Failure::usage("there is no terminal to ask for the pass-phrase; give it with --passphrase-file FILE")
    })?;
    write!(terminal, "{prompt}").map_err(Failure::of("asking for the pass-phrase"))?;
    let hidden = Hidden::new(&terminal)?;
    let line = read_line(&mut std::io::BufReader::new(&terminal), "the pass-phrase");
    drop(hidden);
    let _ = writeln!(&terminal);
    line
}

/// A terminal that does not show what is typed; as before when dropped.
struct Hidden<'a> {
    terminal: &'a std::fs::File,
    before: rustix::termios::Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a std::fs::File) -> Result<Self, Failure> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(terminal).map_err(Failure::of("asking for the pass-phrase"))?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)
            .map_err(Failure::of("asking for the pass-phrase"))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ =
            rustix::termios::tcsetattr(self.terminal, rustix::termios::OptionalActions::Flush, &self.before);
    }
}

fn read_line(from: &mut impl BufRead, what: &str) -> Result<String, Failure> {
    let mut line = String::new();
    from.take(MAX_SECRET_BYTES).read_line(&mut line).map_err(Failure::of(what))?;
    let text = line.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Failure::usage(format_args!("{what}: there is nothing to read")));
    }
    Ok(text.to_owned())
}
