//! The chain's parameters, kept in the state so that it describes itself.

use shroud_crypto::{Address, Hash};

use crate::codec::{Reader, Writer as _};
use crate::{ChainId, CodecError, Gas};

/// What the genesis file fixes for the life of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainParameters {
    /// The hash of the genesis file's content.
    pub genesis: Hash,
    /// The chain's identity.
    pub chain_id: ChainId,
    /// The price of a gas in base units of GCC: Ethereum's base fee, but fixed.
    pub gas_price: u128,
    /// The most gas of a block, and so of a transaction.
    pub block_gas_limit: Gas,
    /// Who is paid for gas.
    pub fee_account: Address,
}

impl ChainParameters {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 8 + 16 + 8 + 20);
        out.put(&self.genesis.0);
        out.put_u64(self.chain_id.0);
        out.put_u128(self.gas_price);
        out.put_u64(self.block_gas_limit.0);
        out.put(&self.fee_account.0);
        out
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let parameters = Self {
            genesis: reader.hash("the genesis hash")?,
            chain_id: ChainId(reader.u64("the chain id")?),
            gas_price: reader.u128("the gas price")?,
            block_gas_limit: Gas(reader.u64("the block gas limit")?),
            fee_account: reader.address("the fee account")?,
        };
        reader.end("the chain's parameters")?;
        Ok(parameters)
    }
}
