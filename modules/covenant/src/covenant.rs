//! The entry points.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shroud_crypto::{Address, Hash, keccak256};
use shroud_ledger::state::{self, Overlay, StateKey};
use shroud_ledger::transaction::{Action, Kind};
use shroud_ledger::{GCC, Gas, StateTree, gas, host};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_vm::{CodeCache, CompiledModule, Engine, Entry, Execution, Outcome, Verdict};

use crate::admission::Admission;
use crate::call::{BlockView, ContractCall, Draft, code_hash, move_value};
use crate::drive::{Pace, drive};
use crate::error::CallError;

/// Code up to this length is compiled where it is needed, in about half a millisecond. Longer code is offloaded: waking another
/// thread and back costs about an eighth of that.
const COMPILE_HERE_BYTES: usize = 8 * 1024;

/// How many more times an estimate is tried with more gas, when the contract does otherwise with less.
const MAX_ESTIMATE_TRIES: u32 = 8;

/// Bounds on calls outside blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls at once. Each may use up to 64 MiB.
    pub max_running: usize,
    /// Calls that wait for their turn.
    pub max_waiting: usize,
    /// The time that a call has, waiting included.
    pub deadline: Duration,
    /// The most gas of a view or simulation. Estimates have the block's limit.
    pub max_gas: Gas,
    /// Fuel between two turns for other tasks: a unit takes about a nanosecond.
    pub slice_fuel: u64,
}

impl Default for Settings {
    /// 16 calls, 1,024 waiting, 30 seconds, 50 million gas, slices of 0.2 ms.
    fn default() -> Self {
        Self {
            max_running: 16,
            max_waiting: 1024,
            deadline: Duration::from_secs(30),
            max_gas: Gas(50_000_000),
            slice_fuel: 200_000,
        }
    }
}

/// Runs calls of contracts outside blocks. A cheap clone; clones share the bounds and the compiled code.
#[derive(Clone, Debug)]
pub struct Covenant<R> {
    runtime: R,
    engine: Engine,
    cache: CodeCache,
    admission: Arc<Admission>,
    settings: Settings,
}

impl<R: Runtime> Covenant<R> {
    /// `engine` and `cache` are those that the ledger applies blocks with.
    pub fn new(runtime: R, engine: Engine, cache: CodeCache, settings: Settings) -> Self {
        let admission = Arc::new(Admission::new(settings.max_running, settings.max_waiting));
        Self { runtime, engine, cache, admission, settings }
    }

    /// The same bounds and compiled code on another shard.
    pub fn on_shard(&self, runtime: R) -> Self {
        Self { runtime, ..self.clone() }
    }

    /// Calls a contract that may not write: an attempt to is a trap. A value is shown to the contract, but not moved.
    ///
    /// Cancel safe: dropping it ends the call.
    ///
    /// # Errors
    ///
    /// When there was no call. How a call ended, whether well or badly, is an [`Outcome`]; so is the deadline, as
    /// [`Verdict::Timeout`].
    pub async fn view(
        &self,
        state: StateTree,
        block: BlockView,
        call: ContractCall,
    ) -> Result<Outcome, CallError> {
        let terms = self.terms(block, &call);
        self.admitted(terms.deadline, self.enter(Overlay::new(state), terms, call, Entry::View)).await
    }

    /// Calls a contract as a transaction would, and forgets what it changed.
    ///
    /// Cancel safe: dropping it ends the call.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view), and when the caller cannot pay the value.
    pub async fn simulate(
        &self,
        state: StateTree,
        block: BlockView,
        call: ContractCall,
    ) -> Result<Outcome, CallError> {
        let terms = self.terms(block, &call);
        let mut overlay = Overlay::new(state);
        move_value(&mut overlay, &call)?;
        self.admitted(terms.deadline, self.enter(overlay, terms, call, Entry::Call)).await
    }

    /// The gas limit with which `draft` would succeed, were it the next transaction.
    ///
    /// Cancel safe: dropping it ends the estimate.
    ///
    /// # Errors
    ///
    /// [`CallError::WouldFail`] with how it would end, when no gas limit within a block's lets it succeed; else as
    /// [`simulate`](Self::simulate).
    pub async fn estimate(
        &self,
        state: StateTree,
        block: BlockView,
        draft: &Draft,
    ) -> Result<Gas, CallError> {
        let intrinsic = gas::intrinsic(&draft.action, draft.access_list);
        let limit = state::parameters(&state)?.block_gas_limit;
        let available = limit
            .0
            .checked_sub(intrinsic.0)
            .ok_or(CallError::AboveBlockLimit { intrinsic: intrinsic.0, limit: limit.0 })?;
        let terms =
            Terms { block, gas: Gas(available), deadline: self.runtime.now() + self.settings.deadline };
        let running = self.admitted(terms.deadline, self.estimate_run(&state, terms, draft)).await?;
        Ok(Gas(intrinsic.0.saturating_add(running.0)))
    }

    /// The gas that a transaction's contract needs, at most that of `terms`.
    async fn estimate_run(&self, state: &StateTree, terms: Terms, draft: &Draft) -> Result<Gas, CallError> {
        let first = match self.try_draft(state, terms, draft).await? {
            Some(outcome) => succeeded(outcome)?,
            None => return Ok(Gas(0)),
        };
        // A contract may ask how much gas is left, and do otherwise with less.
        let mut gas = Gas(first.gas_used);
        for _ in 0..MAX_ESTIMATE_TRIES {
            match self.try_draft(state, Terms { gas, ..terms }, draft).await? {
                Some(outcome) if outcome.verdict.is_success() => return Ok(gas),
                _ => gas = Gas(gas.0.saturating_mul(2)).min(terms.gas),
            }
        }
        Ok(terms.gas)
    }

    /// Does what a draft does. `None`: it calls no contract.
    async fn try_draft(
        &self,
        state: &StateTree,
        terms: Terms,
        draft: &Draft,
    ) -> Result<Option<Outcome>, CallError> {
        let sender = draft.sender;
        let mut overlay = Overlay::new(state.clone());
        match &draft.action {
            Action::Transfer { to, asset, amount } => {
                overlay.transfer(sender, *to, *asset, *amount).map_err(CallError::Value)?;
                Ok(None)
            }
            Action::MultiTransfer { legs } => {
                for leg in legs {
                    overlay.transfer(sender, leg.to, leg.asset, leg.amount).map_err(CallError::Value)?;
                }
                Ok(None)
            }
            Action::Call { contract, asset, value, input } => {
                let call = ContractCall {
                    contract: *contract,
                    caller: sender,
                    asset: *asset,
                    value: *value,
                    input: input.clone(),
                    gas_limit: None,
                };
                move_value(&mut overlay, &call)?;
                if draft.kind == Kind::Ethereum && overlay.account(*contract)?.code.is_none() {
                    return Ok(None);
                }
                self.enter(overlay, terms, call, Entry::Call).await.map(Some)
            }
            Action::Deploy { code, input } => {
                let hash = keccak256(code);
                let module = self.compiled(hash, || Some(code.clone())).await?;
                let nonce = overlay.account(sender)?.nonce;
                let call = ContractCall {
                    contract: Address::create(&sender, nonce.0),
                    caller: sender,
                    asset: GCC,
                    value: 0,
                    input: input.clone(),
                    gas_limit: None,
                };
                self.run(overlay, &module, terms, call, Entry::Init).await.map(Some)
            }
            _ => Err(CallError::UnknownAction),
        }
    }

    async fn enter(
        &self,
        overlay: Overlay,
        terms: Terms,
        call: ContractCall,
        entry: Entry,
    ) -> Result<Outcome, CallError> {
        let hash = code_hash(&overlay, call.contract)?;
        let module = self.compiled(hash, || overlay.code(hash).map(<[u8]>::to_vec)).await?;
        self.run(overlay, &module, terms, call, entry).await
    }

    async fn run(
        &self,
        mut overlay: Overlay,
        module: &CompiledModule,
        terms: Terms,
        call: ContractCall,
        entry: Entry,
    ) -> Result<Outcome, CallError> {
        let contract = call.contract;
        let pace = Pace { deadline: terms.deadline, slice_fuel: self.settings.slice_fuel };
        let execution = Execution::start(module, terms.block.context(call, entry, terms.gas));
        // What moves is forgotten with the overlay.
        let mut postings = Vec::new();
        let answer = |request| Ok(host::answer(&mut overlay, contract, request, &mut postings)?);
        // Boxed: an execution holds some kilobytes, which every future around it would hold again.
        Box::pin(drive(execution, pace, || self.runtime.now(), answer)).await
    }

    /// The module of this hash, from the cache or compiled from `code`.
    async fn compiled(
        &self,
        hash: Hash,
        code: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<CompiledModule, CallError> {
        if let Some(module) = self.cache.get(&hash) {
            return Ok(module);
        }
        let code = code().ok_or(state::StateError::Missing(StateKey::Code(hash)))?;
        if code.len() <= COMPILE_HERE_BYTES {
            return Ok(self.cache.get_or_compile(&self.engine, &hash, &code)?);
        }
        let (cache, engine) = (self.cache.clone(), self.engine.clone());
        Ok(self.runtime.offload(move || cache.get_or_compile(&engine, &hash, &code)).await??)
    }

    async fn admitted<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, CallError> {
        let expired = async { self.runtime.sleep_until(deadline).await };
        self.admission.admit(expired, work).await?
    }

    fn terms(&self, block: BlockView, call: &ContractCall) -> Terms {
        let most = self.settings.max_gas;
        Terms {
            block,
            gas: call.gas_limit.map_or(most, |limit| limit.min(most)),
            deadline: self.runtime.now() + self.settings.deadline,
        }
    }
}

/// What holds for a whole call or estimate.
#[derive(Clone, Copy, Debug)]
struct Terms {
    block: BlockView,
    gas: Gas,
    deadline: Instant,
}

fn succeeded(outcome: Outcome) -> Result<Outcome, CallError> {
    match outcome.verdict {
        Verdict::Success { .. } => Ok(outcome),
        _ => Err(CallError::WouldFail(Box::new(outcome))),
    }
}
