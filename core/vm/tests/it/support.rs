//! A ledger in memory, and short ways to say what to call.

use std::collections::BTreeMap;

use shroud_crypto::{Address, Hash, keccak256};
use shroud_vm::{
    CallContext, CompiledModule, Engine, Entry, Execution, HostRequest, HostResponse, Outcome, Step,
    TransferRefusal, Value, Verdict,
};

pub(crate) const CONTRACT: Address = Address([0xc0; 20]);
pub(crate) const ALICE: Address = Address([0xa1; 20]);
pub(crate) const BOB: Address = Address([0xb0; 20]);

/// Enough for anything that ends by itself.
pub(crate) const GAS: u64 = 10_000_000;

/// The fuel of a slice when it does not matter.
pub(crate) const SLICE: u64 = 100_000;

/// One contract's storage, and the balances of all accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) storage: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) balances: BTreeMap<(u32, Address), u128>,
}

impl Ledger {
    pub(crate) fn answer(&mut self, request: HostRequest) -> HostResponse {
        match request {
            HostRequest::StorageLoad { key } => HostResponse::Loaded(self.storage.get(&key).cloned()),
            HostRequest::StorageStore { key, value } => {
                self.storage.insert(key, value);
                HostResponse::Stored
            }
            HostRequest::StorageRemove { key } => {
                HostResponse::Removed { existed: self.storage.remove(&key).is_some() }
            }
            HostRequest::Balance { asset, address } => HostResponse::Balance(self.balance(asset, address)),
            HostRequest::Transfer { asset, to, amount } => {
                HostResponse::Transferred(self.transfer(asset, to, amount))
            }
        }
    }

    pub(crate) fn balance(&self, asset: u32, address: Address) -> u128 {
        self.balances.get(&(asset, address)).copied().unwrap_or(0)
    }

    fn transfer(&mut self, asset: u32, to: Address, amount: u128) -> Result<(), TransferRefusal> {
        if asset > 9 {
            return Err(TransferRefusal::UnknownAsset);
        }
        let rest =
            self.balance(asset, CONTRACT).checked_sub(amount).ok_or(TransferRefusal::InsufficientFunds)?;
        self.balances.insert((asset, CONTRACT), rest);
        let sum = self.balance(asset, to).checked_add(amount).ok_or(TransferRefusal::Overflow)?;
        self.balances.insert((asset, to), sum);
        Ok(())
    }

    /// Runs a call to its end. Effects stay only after success, as in a real ledger.
    pub(crate) fn run(&mut self, module: &CompiledModule, context: CallContext, slice: u64) -> Outcome {
        let mut trial = self.clone();
        let mut execution = Execution::start(module, context);
        loop {
            match execution.resume(slice) {
                Step::OutOfSlice => {}
                Step::Request(request) => execution.respond(trial.answer(request)).unwrap(),
                Step::Done(outcome) => {
                    if outcome.verdict.is_success() {
                        *self = trial;
                    }
                    return outcome;
                }
            }
        }
    }

    pub(crate) fn call(&mut self, module: &CompiledModule, input: &[u8]) -> Verdict {
        self.run(module, context(Entry::Call, input), SLICE).verdict
    }

    pub(crate) fn view(&mut self, module: &CompiledModule, input: &[u8]) -> Verdict {
        self.run(module, context(Entry::View, input), SLICE).verdict
    }
}

pub(crate) fn context(entry: Entry, input: &[u8]) -> CallContext {
    CallContext {
        contract: CONTRACT,
        caller: ALICE,
        origin: BOB,
        value: Value { asset: 3, amount: 1 << 100 },
        chain_id: 7777,
        block_height: 42,
        timestamp_millis: 1_700_000_000_123,
        gas_limit: GAS,
        entry,
        input: input.to_vec(),
    }
}

/// A module with the whole interface: `parts` may import and define functions, `body` is what `shroud_call` does.
pub(crate) fn contract(parts: &str, body: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {parts}
            (memory (export "memory") 1)
            (func (export "shroud_init"))
            (func (export "shroud_call") {body}))"#
    ))
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

pub(crate) fn compile(code: &[u8]) -> CompiledModule {
    Engine::new().compile(code).unwrap()
}

/// The verdict of calling `body`, with an empty ledger.
pub(crate) fn verdict(parts: &str, body: &str) -> Verdict {
    Ledger::default().call(&compile(&contract(parts, body)), b"")
}

pub(crate) fn trap(verdict: Verdict) -> String {
    match verdict {
        Verdict::Trap { message } => message,
        other => panic!("not a trap: {other:?}"),
    }
}

pub(crate) fn output(verdict: Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Success { output, .. } => output,
        other => panic!("not a success: {other:?}"),
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    keccak256(bytes)
}
