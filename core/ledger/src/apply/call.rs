//! Contract calls inside a block.

use shroud_crypto::{Address, keccak256};
use shroud_vm::{CallContext, CodeCache, Engine, Entry, Event, Execution, Outcome, Step, Value, Verdict};

use super::{ApplyError, OpenBlock, Pending};
use crate::host;
use crate::posting::Posting;
use crate::receipt::{MAX_MESSAGE_BYTES, Status};
use crate::state::{ChainParameters, Checkpoint, Overlay, StateError, StateKey};
use crate::{AssetId, CodeHash, GCC, Gas};

/// A call to make.
pub(super) struct Call<'a> {
    pub(super) contract: Address,
    pub(super) asset: AssetId,
    pub(super) value: u128,
    pub(super) input: &'a [u8],
}

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    execution: Execution,
    contract: Address,
    postings: Vec<Posting>,
    /// Before the call's first effect.
    before: Checkpoint,
}

/// A transaction that has ended, but for its fee.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: Status,
    /// Gas used beyond the intrinsic.
    pub(super) call_gas: Gas,
    pub(super) events: Vec<Event>,
    pub(super) output: Vec<u8>,
    pub(super) postings: Vec<Posting>,
}

impl OpenBlock {
    pub(super) fn start_call(
        &mut self,
        parameters: &ChainParameters,
        engine: &Engine,
        cache: &CodeCache,
        pending: &Pending,
        call: Call<'_>,
        code_hash: CodeHash,
    ) -> Result<Result<Running, Ended>, ApplyError> {
        let module = match cache.get(&code_hash) {
            Some(module) => module,
            None => {
                let code =
                    self.overlay.code(code_hash).ok_or(StateError::Missing(StateKey::Code(code_hash)))?;
                match cache.get_or_compile(engine, &code_hash, code) {
                    Ok(module) => module,
                    Err(error) => return Ok(Err(Ended::failed(invalid_code(&error)))),
                }
            }
        };
        let before = self.overlay.checkpoint();
        let postings = self.move_amounts(pending.sender, [(call.contract, call.asset, call.value)])?;
        let context = self.context(parameters, pending, Entry::Call, &call);
        let execution = Execution::start(&module, context);
        Ok(Ok(Running { execution, contract: call.contract, postings, before }))
    }

    pub(super) fn start_deploy(
        &mut self,
        parameters: &ChainParameters,
        engine: &Engine,
        cache: &CodeCache,
        pending: &Pending,
        code: &[u8],
        input: &[u8],
    ) -> Result<Result<Running, Ended>, ApplyError> {
        let Some(contract) = pending.contract else {
            return Err(ApplyError::Engine("a deployment without an address".to_owned()));
        };
        let code_hash = keccak256(code);
        let module = match cache.get_or_compile(engine, &code_hash, code) {
            Ok(module) => module,
            Err(error) => return Ok(Err(Ended::failed(invalid_code(&error)))),
        };
        let mut account = self.overlay.account(contract)?;
        if account.code.is_some() {
            let message = format!("the account {contract} already has code");
            return Ok(Err(Ended::failed(Status::InvalidCode { message })));
        }
        let before = self.overlay.checkpoint();
        account.code = Some(code_hash);
        self.overlay.set_account(contract, account);
        self.overlay.set_code(code_hash, code.to_vec());
        let call = Call { contract, asset: GCC, value: 0, input };
        let context = self.context(parameters, pending, Entry::Init, &call);
        let execution = Execution::start(&module, context);
        Ok(Ok(Running { execution, contract, postings: Vec::new(), before }))
    }

    fn context(
        &self,
        parameters: &ChainParameters,
        pending: &Pending,
        entry: Entry,
        call: &Call<'_>,
    ) -> CallContext {
        CallContext {
            contract: call.contract,
            caller: pending.sender,
            origin: pending.sender,
            value: Value { asset: call.asset.0, amount: call.value },
            chain_id: parameters.chain_id.0,
            block_height: self.height.0,
            timestamp_millis: self.timestamp.0,
            gas_limit: pending.gas_limit.0.saturating_sub(pending.intrinsic.0),
            entry,
            input: call.input.to_vec(),
        }
    }
}

impl Running {
    /// Runs for about `fuel` units, answered requests included. `None`: not ended.
    pub(super) fn resume(&mut self, fuel: u64, overlay: &mut Overlay) -> Result<Option<Ended>, ApplyError> {
        loop {
            match self.execution.resume(fuel) {
                Step::OutOfSlice => return Ok(None),
                Step::Done(outcome) => return Ok(Some(self.end(outcome, overlay))),
                Step::Request(request) => {
                    let response = host::answer(overlay, self.contract, request, &mut self.postings)?;
                    self.execution
                        .respond(response)
                        .map_err(|error| ApplyError::Engine(error.to_string()))?;
                }
            }
        }
    }

    fn end(&mut self, outcome: Outcome, overlay: &mut Overlay) -> Ended {
        let call_gas = Gas(outcome.gas_used);
        let status = match outcome.verdict {
            Verdict::Success { output, events } => {
                let postings = std::mem::take(&mut self.postings);
                return Ended { status: Status::Success, call_gas, events, output, postings };
            }
            Verdict::Revert { reason } => Status::Reverted { reason },
            Verdict::OutOfGas => Status::OutOfGas,
            Verdict::OutOfMemory => Status::OutOfMemory,
            Verdict::InvalidFunction { selector } => Status::InvalidFunction { selector },
            Verdict::Trap { message } => Status::Trapped { message: clip(message) },
            other => Status::Trapped { message: other.name().to_owned() },
        };
        overlay.roll_back(self.before);
        Ended { call_gas, ..Ended::failed(status) }
    }
}

impl Ended {
    const fn failed(status: Status) -> Self {
        Self { status, call_gas: Gas(0), events: Vec::new(), output: Vec::new(), postings: Vec::new() }
    }
}

fn invalid_code(error: &shroud_vm::InvalidModule) -> Status {
    Status::InvalidCode { message: clip(error.to_string()) }
}

/// At most as many bytes as a receipt keeps, cut between characters.
fn clip(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
}
