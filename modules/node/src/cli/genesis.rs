//! `shroud genesis`.

use super::output::say;
use super::{Failure, config};
use crate::dev;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Make or check a genesis file
#[derive(Debug, Args)]
pub(crate) struct Genesis {
    /// Print the development genesis: well-known keys with funds, for tests only
    #[arg(long, required_unless_present = "check")]
    dev: bool,
    /// Check a genesis file and print its hash
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    check: Option<PathBuf>,
    /// With --dev, print only this
    #[arg(long, value_enum, requires = "dev")]
    print: Option<Print>,
    /// With --print of a key or address: which development account
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..i64::from(dev::ACCOUNTS)))]
    account: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Print {
    ChainId,
    EthereumKey,
    EthereumAddress,
    NativeSeed,
    NativeAddress,
}

impl Genesis {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(path) = &self.check {
            say(config::read_genesis(path)?.hash());
            return Ok(());
        }
        let hex = |bytes: [u8; 32]| shroud_crypto::Hash(bytes).to_string();
        match self.print {
            None => say(dev::genesis_json()),
            Some(Print::ChainId) => say(dev::CHAIN_ID),
            Some(Print::EthereumKey) => say(hex(dev::ethereum_secret(self.account))),
            Some(Print::NativeSeed) => say(hex(dev::native_seed(self.account))),
            Some(Print::NativeAddress) => say(dev::native_address(self.account)),
            Some(Print::EthereumAddress) => match dev::ethereum_address(self.account) {
                Some(address) => say(address),
                None => return Err(Failure::new("this development key is not valid")),
            },
        }
        Ok(())
    }
}
