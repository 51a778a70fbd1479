//! What became of a transaction.

use shroud_crypto::{Address, Hash};
use shroud_vm::{Event, limits};

use crate::codec::{Reader, Writer as _};
use crate::{CodecError, Gas, Height, TransactionHash};

/// Bytes of a failure's text that a receipt keeps.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// What became of an included transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which transaction.
    pub transaction: TransactionHash,
    /// In which block.
    pub height: Height,
    /// At which place of the block, from 0.
    pub index: u32,
    /// Who signed it.
    pub sender: Address,
    /// To whom it was sent; `None` for deployments and transfers to several.
    pub to: Option<Address>,
    /// The contract that it deployed.
    pub contract: Option<Address>,
    /// How it ended.
    pub status: Status,
    /// The gas that it used.
    pub gas_used: Gas,
    /// The gas that the block had used after it.
    pub cumulative_gas: Gas,
    /// What each gas cost, in base units of GCC.
    pub gas_price: u128,
    /// The events of the contract that it called.
    pub events: Vec<Event>,
    /// The output of the contract that it called.
    pub output: Vec<u8>,
}

/// How a transaction ended. After a failure only the fee and the nonce have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// All its effects stay.
    Success,
    /// The contract refused.
    Reverted {
        /// The bytes that it gave as its reason.
        reason: Vec<u8>,
    },
    /// The gas limit was reached.
    OutOfGas,
    /// The contract wanted more memory than there may be.
    OutOfMemory,
    /// The contract has no function for this input.
    InvalidFunction {
        /// The selector that it did not know.
        selector: u32,
    },
    /// The contract broke a rule.
    Trapped {
        /// Which rule.
        message: String,
    },
    /// The code to deploy is not a contract.
    InvalidCode {
        /// Why.
        message: String,
    },
}

impl Status {
    /// Whether the effects stay.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Reverted { reason } => match std::str::from_utf8(reason) {
                Ok(text) => write!(f, "the contract reverted: {text}"),
                Err(_) => write!(f, "the contract reverted with {} bytes", reason.len()),
            },
            Self::OutOfGas => f.write_str("the gas limit was reached"),
            Self::OutOfMemory => f.write_str("the contract wanted more memory than it may have"),
            Self::InvalidFunction { selector } => write!(f, "the contract has no function {selector:#010x}"),
            Self::Trapped { message } => write!(f, "the contract trapped: {message}"),
            Self::InvalidCode { message } => write!(f, "the code is not a contract: {message}"),
        }
    }
}

impl Receipt {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        out.put(&self.transaction.0);
        out.put_u64(self.height.0);
        out.put_u32(self.index);
        out.put(&self.sender.0);
        for address in [&self.to, &self.contract] {
            out.put_u8(u8::from(address.is_some()));
            if let Some(address) = address {
                out.put(&address.0);
            }
        }
        self.status.write(&mut out);
        out.put_u64(self.gas_used.0);
        out.put_u64(self.cumulative_gas.0);
        out.put_u128(self.gas_price);
        out.put_count(self.events.len());
        for event in &self.events {
            out.put(&event.contract.0);
            out.put_count(event.topics.len());
            event.topics.iter().for_each(|topic| out.put(&topic.0));
            out.put_bytes(&event.data);
        }
        out.put_bytes(&self.output);
        out
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let receipt = Self {
            transaction: reader.hash("a receipt's transaction")?,
            height: Height(reader.u64("a receipt's height")?),
            index: reader.u32("a receipt's index")?,
            sender: reader.address("a receipt's sender")?,
            to: optional_address(&mut reader)?,
            contract: optional_address(&mut reader)?,
            status: Status::read(&mut reader)?,
            gas_used: Gas(reader.u64("a receipt's gas")?),
            cumulative_gas: Gas(reader.u64("a receipt's cumulative gas")?),
            gas_price: reader.u128("a receipt's gas price")?,
            events: read_events(&mut reader)?,
            output: reader.bytes(limits::MAX_OUTPUT_BYTES, "a receipt's output")?.to_vec(),
        };
        reader.end("a receipt")?;
        Ok(receipt)
    }

    /// What the block's receipts root commits to.
    pub fn hash(&self) -> Hash {
        shroud_crypto::keccak256(&self.encode())
    }
}

impl Status {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Success => out.put_u8(0),
            Self::Reverted { reason } => {
                out.put_u8(1);
                out.put_bytes(reason);
            }
            Self::OutOfGas => out.put_u8(2),
            Self::OutOfMemory => out.put_u8(3),
            Self::InvalidFunction { selector } => {
                out.put_u8(4);
                out.put_u32(*selector);
            }
            Self::Trapped { message } => {
                out.put_u8(5);
                out.put_bytes(message.as_bytes());
            }
            Self::InvalidCode { message } => {
                out.put_u8(6);
                out.put_bytes(message.as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let what = "a receipt's status";
        Ok(match reader.u8(what)? {
            0 => Self::Success,
            1 => Self::Reverted { reason: reader.bytes(limits::MAX_REASON_BYTES, what)?.to_vec() },
            2 => Self::OutOfGas,
            3 => Self::OutOfMemory,
            4 => Self::InvalidFunction { selector: reader.u32(what)? },
            5 => Self::Trapped { message: reader.text(MAX_MESSAGE_BYTES, what)? },
            6 => Self::InvalidCode { message: reader.text(MAX_MESSAGE_BYTES, what)? },
            tag => return Err(CodecError::UnknownTag { what, tag }),
        })
    }
}

fn optional_address(reader: &mut Reader<'_>) -> Result<Option<Address>, CodecError> {
    let what = "a receipt's address";
    if reader.flag(what)? { reader.address(what).map(Some) } else { Ok(None) }
}

fn read_events(reader: &mut Reader<'_>) -> Result<Vec<Event>, CodecError> {
    let count = reader.count(limits::MAX_EVENTS, "a receipt's number of events")?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let contract = reader.address("an event's contract")?;
        let count = reader.count(limits::MAX_EVENT_TOPICS, "an event's number of topics")?;
        let topics = (0..count).map(|_| reader.hash("an event's topic")).collect::<Result<_, _>>()?;
        let data = reader.bytes(limits::MAX_EVENT_DATA_BYTES, "an event's data")?.to_vec();
        events.push(Event { contract, topics, data });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status() -> impl Strategy<Value = Status> {
        prop_oneof![
            Just(Status::Success),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(|reason| Status::Reverted { reason }),
            Just(Status::OutOfGas),
            Just(Status::OutOfMemory),
            any::<u32>().prop_map(|selector| Status::InvalidFunction { selector }),
            ".{0,9}".prop_map(|message| Status::Trapped { message }),
            ".{0,9}".prop_map(|message| Status::InvalidCode { message }),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..9);
        (any::<[u8; 20]>(), proptest::collection::vec(any::<[u8; 32]>(), 0..4), bytes).prop_map(
            |(contract, topics, data)| Event {
                contract: Address(contract),
                topics: topics.into_iter().map(Hash).collect(),
                data,
            },
        )
    }

    proptest! {
        #[test]
        fn round_trip(status in status(), events in proptest::collection::vec(event(), 0..4), to: Option<[u8; 20]>, number: u64) {
            let receipt = Receipt {
                transaction: Hash([1; 32]), height: Height(number), index: 3, sender: Address([4; 20]), to: to.map(Address),
                contract: None, status, gas_used: Gas(number), cumulative_gas: Gas(number), gas_price: number.into(),
                events, output: vec![1, 2, 3],
            };
            let bytes = receipt.encode();
            prop_assert_eq!(Receipt::decode(&bytes), Ok(receipt));
            for end in 0..bytes.len() {
                prop_assert!(Receipt::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(receipt) = Receipt::decode(&bytes) {
                prop_assert_eq!(receipt.encode(), bytes);
            }
        }
    }
}
