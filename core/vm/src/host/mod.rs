//! The host's side of a call: what host functions share, and how they stop it.

mod functions;
mod limiter;

use shroud_crypto::Hash;
use wasmi::{AsContextMut, Memory};

pub(crate) use functions::{FUNCTIONS, MODULE, linker};

use crate::context::{CallContext, Entry, Value};
use crate::gas;
use crate::host::limiter::Limiter;
use crate::limits::{MAX_DEBUG_LINE_BYTES, MAX_DEBUG_LINES, MAX_EVENTS, MAX_EVENTS_DATA_BYTES};
use crate::outcome::{Event, Verdict};
use crate::request::HostRequest;

/// What the host knows of a call, beside the contract's own memory.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) context: CallContext,
    /// Fuel of the call that is not in the interpreter's tank for the current slice.
    pub(crate) reserve: u64,
    pub(crate) output: Vec<u8>,
    pub(crate) events: Vec<Event>,
    pub(crate) debug_log: Vec<String>,
    events_data_bytes: usize,
    memory: Option<Memory>,
    limiter: Limiter,
}

impl Host {
    pub(crate) fn new(context: CallContext) -> Self {
        Self {
            reserve: gas::to_fuel(context.gas_limit),
            context,
            output: Vec::new(),
            events: Vec::new(),
            debug_log: Vec::new(),
            events_data_bytes: 0,
            memory: None,
            limiter: Limiter,
        }
    }

    /// A host for an instance that is never called.
    pub(crate) fn for_trial() -> Self {
        Self::new(CallContext {
            contract: Default::default(),
            caller: Default::default(),
            origin: Default::default(),
            value: Value::default(),
            chain_id: 0,
            block_height: 0,
            timestamp_millis: 0,
            gas_limit: 0,
            entry: Entry::View,
            input: Vec::new(),
        })
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn wasmi::ResourceLimiter {
        &mut self.limiter
    }

    pub(crate) fn set_memory(&mut self, memory: Option<Memory>) {
        self.memory = memory;
    }

    fn emit(&mut self, topics: Vec<Hash>, data: Vec<u8>) -> Result<(), Halt> {
        if self.events.len() >= MAX_EVENTS {
            return Err(Halt::trap(format!("the call emits more than {MAX_EVENTS} events")));
        }
        self.events_data_bytes = self.events_data_bytes.saturating_add(data.len());
        if self.events_data_bytes > MAX_EVENTS_DATA_BYTES {
            return Err(Halt::trap(format!(
                "the call's events hold more than {MAX_EVENTS_DATA_BYTES} bytes of data"
            )));
        }
        let contract = self.context.contract;
        self.events.push(Event { contract, topics, data });
        Ok(())
    }

    fn log(&mut self, line: &[u8]) {
        if self.debug_log.len() < MAX_DEBUG_LINES {
            let kept = line.get(..MAX_DEBUG_LINE_BYTES).unwrap_or(line);
            self.debug_log.push(String::from_utf8_lossy(kept).into_owned());
        }
    }
}

/// Why a host function does not return to the contract.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The ledger has to answer first.
    Ask(HostRequest, Then),
    /// The call is over.
    End(Verdict),
}

impl Halt {
    pub(crate) fn trap(message: impl Into<String>) -> Self {
        Self::End(Verdict::Trap { message: message.into() })
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ask(..) => f.write_str("waiting for the ledger"),
            Self::End(verdict) => f.write_str(verdict.name()),
        }
    }
}

impl wasmi::errors::HostError for Halt {}

impl From<Halt> for wasmi::Error {
    fn from(halt: Halt) -> Self {
        Self::host(halt)
    }
}

/// What to do with the ledger's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Copy the value to the contract's memory, and return its length.
    CopyValue { to: u32, capacity: u32 },
    /// Return nothing.
    Return,
    /// Return whether the key existed.
    ReturnExisted,
    /// Write the balance to the contract's memory.
    WriteBalance { to: u32 },
    /// Return the refusal's number, or zero.
    ReturnRefusal,
}

/// Takes `gas` from the call: from the interpreter's tank, and from the reserve when that is not enough. A host function so
/// never ends a slice halfway, and what a call costs does not depend on the slices.
pub(crate) fn charge(mut context: impl AsContextMut<Data = Host>, gas: u64) -> Result<(), Halt> {
    let mut context = context.as_context_mut();
    let fuel = gas::to_fuel(gas);
    let tank = context.get_fuel().map_err(|error| Halt::trap(error.to_string()))?;
    let (tank, reserve) = match tank.checked_sub(fuel) {
        Some(rest) => (rest, context.data().reserve),
        None => {
            let missing = fuel.saturating_sub(tank);
            let Some(rest) = context.data().reserve.checked_sub(missing) else {
                return Err(Halt::End(Verdict::OutOfGas));
            };
            (0, rest)
        }
    };
    context.data_mut().reserve = reserve;
    context.set_fuel(tank).map_err(|error| Halt::trap(error.to_string()))
}

/// Copies `length` bytes at `from` out of the contract's memory.
pub(crate) fn read(context: impl AsContextMut<Data = Host>, from: u32, length: u32) -> Result<Vec<u8>, Halt> {
    with_slice(context, from, length, |bytes, _| bytes.to_vec())
}

/// Copies an array at `from` out of the contract's memory.
pub(crate) fn read_array<const N: usize>(
    context: impl AsContextMut<Data = Host>,
    from: u32,
) -> Result<[u8; N], Halt> {
    let mut array = [0; N];
    with_slice(context, from, N as u32, |bytes, _| array.copy_from_slice(bytes))?;
    Ok(array)
}

/// Copies `bytes` to `to` in the contract's memory.
pub(crate) fn write(context: impl AsContextMut<Data = Host>, to: u32, bytes: &[u8]) -> Result<(), Halt> {
    let length = u32::try_from(bytes.len()).map_err(|_| Halt::trap("more than 4 GiB to copy"))?;
    with_slice(context, to, length, |target, _| target.copy_from_slice(bytes))
}

/// Traps unless `length` bytes at `from` are within the contract's memory.
pub(crate) fn check(context: impl AsContextMut<Data = Host>, from: u32, length: u32) -> Result<(), Halt> {
    with_slice(context, from, length, |_, _| ())
}

/// Shows `length` bytes at `from` of the contract's memory, and the host's state, to `use_them`.
pub(crate) fn with_slice<T>(
    mut context: impl AsContextMut<Data = Host>,
    from: u32,
    length: u32,
    use_them: impl FnOnce(&mut [u8], &mut Host) -> T,
) -> Result<T, Halt> {
    let mut context = context.as_context_mut();
    let Some(memory) = context.data().memory else {
        return Err(Halt::trap("the contract has no memory"));
    };
    let (bytes, host) = memory.data_and_store_mut(&mut context);
    let size = bytes.len();
    let start = from as usize;
    let slice =
        start.checked_add(length as usize).and_then(|end| bytes.get_mut(start..end)).ok_or_else(|| {
            Halt::trap(format!(
                "a host function was given {length} bytes at {from}, outside the memory of {size} bytes"
            ))
        })?;
    Ok(use_them(slice, host))
}
