//! One call of a contract, as a machine.

use wasmi::{ResumableCall, ResumableCallHostTrap, ResumableCallOutOfFuel, Store, TrapCode, Val};

use crate::context::CallContext;
use crate::engine::CompiledModule;
use crate::gas;
use crate::host::{self, Halt, Host, Then, charge};
use crate::limits::{MAX_INPUT_BYTES, MAX_MEMORY_PAGES};
use crate::outcome::{Outcome, Verdict};
use crate::request::{HostRequest, HostResponse};

/// A call in progress. `Send`, so that a driver may move it between threads from slice to slice.
///
/// ```text
/// loop {
///     match execution.resume(slice) {
///         Step::OutOfSlice => yield to others,
///         Step::Request(request) => execution.respond(answer to request)?,
///         Step::Done(outcome) => break outcome,
///     }
/// }
/// ```
///
/// Dropping it ends the call without an outcome.
#[derive(Debug)]
pub struct Execution {
    module: CompiledModule,
    store: Store<Host>,
    state: State,
}

/// What a slice of a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The slice is used up, the call goes on with the next.
    OutOfSlice,
    /// The ledger has to answer before the call goes on.
    Request(HostRequest),
    /// The call is over.
    Done(Outcome),
}

/// The driver gave an answer that does not belong to the request, or gave one that was not asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response {response:?} answers {request:?}")]
pub struct UnexpectedResponse {
    /// The answer.
    pub response: HostResponse,
    /// What was asked.
    pub request: Option<HostRequest>,
}

#[derive(Debug)]
enum State {
    /// Not begun.
    Ready,
    /// Ran out of the slice.
    Paused(ResumableCallOutOfFuel),
    /// Waits for an answer.
    Asked { call: ResumableCallHostTrap, request: HostRequest, then: Then },
    /// Has its answer, which the host function returns as this value, if it returns any.
    Answered { call: ResumableCallHostTrap, result: Option<Val> },
    /// Ended, and the outcome not yet told.
    Ended(Verdict),
    /// Ended and told.
    Over,
}

impl Execution {
    /// Begins a call. Nothing of the contract runs before [`resume`](Self::resume).
    pub fn start(module: &CompiledModule, context: CallContext) -> Self {
        let input_bytes = context.input.len();
        let state = if input_bytes > MAX_INPUT_BYTES {
            State::Ended(Verdict::Trap {
                message: format!("the input has {input_bytes} bytes, at most {MAX_INPUT_BYTES} are allowed"),
            })
        } else {
            State::Ready
        };
        Self { module: module.clone(), store: module.store(Host::new(context)), state }
    }

    /// Runs the call for about `slice_fuel` units of fuel (see [`gas`]), less if it ends or asks before.
    ///
    /// A slice lasts across requests: an answered call goes on with what is left of it, so that a call that asks much ends its
    /// slices as one that computes much. What needs more than a slice gets what it needs, so that each one makes progress.
    /// While a request is unanswered, the same request is returned again. After the end, a trap says so.
    pub fn resume(&mut self, slice_fuel: u64) -> Step {
        let result = match std::mem::replace(&mut self.state, State::Over) {
            State::Ready => self.begin(slice_fuel),
            State::Paused(call) => match self.fill_tank(slice_fuel, call.required_fuel()) {
                Ok(()) => call.resume(&mut self.store, &mut []).map_err(End::from),
                Err(end) => Err(end),
            },
            State::Answered { call, result } => {
                call.resume(&mut self.store, result.as_slice(), &mut []).map_err(End::from)
            }
            State::Asked { call, request, then } => {
                let again = request.clone();
                self.state = State::Asked { call, request, then };
                return Step::Request(again);
            }
            State::Ended(verdict) => Err(End(verdict)),
            State::Over => {
                Err(End(Verdict::Trap { message: "the call was resumed after its end".to_owned() }))
            }
        };
        match result {
            Ok(ResumableCall::Finished) => {
                let verdict = self.success();
                self.end(verdict)
            }
            Ok(ResumableCall::OutOfFuel(call)) => {
                self.state = State::Paused(call);
                Step::OutOfSlice
            }
            Ok(ResumableCall::HostTrap(call)) => self.halted(call),
            Err(End(verdict)) => self.end(verdict),
        }
    }

    /// Answers the request that [`resume`](Self::resume) returned last.
    ///
    /// # Errors
    ///
    /// When the answer is of another kind than the request, or nothing was asked. The call is as it was before.
    pub fn respond(&mut self, response: HostResponse) -> Result<(), UnexpectedResponse> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked { call, request, then } => match self.accept(then, &response) {
                Some(Ok(result)) => {
                    self.state = State::Answered { call, result };
                    Ok(())
                }
                Some(Err(Halt::End(verdict))) => {
                    self.state = State::Ended(verdict);
                    Ok(())
                }
                Some(Err(Halt::Ask(..))) | None => {
                    let asked = request.clone();
                    self.state = State::Asked { call, request, then };
                    Err(UnexpectedResponse { response, request: Some(asked) })
                }
            },
            other => {
                self.state = other;
                Err(UnexpectedResponse { response, request: None })
            }
        }
    }

    /// Gas used so far.
    pub fn gas_used(&self) -> u64 {
        let limit = self.store.data().context.gas_limit;
        let left = self.fuel_left();
        gas::from_fuel(gas::to_fuel(limit).saturating_sub(left)).min(limit)
    }

    /// Ends the call because the driver's deadline passed.
    pub fn time_out(mut self) -> Outcome {
        self.outcome(Verdict::Timeout)
    }

    /// What the call is about.
    pub fn context(&self) -> &CallContext {
        &self.store.data().context
    }

    fn begin(&mut self, slice_fuel: u64) -> Result<ResumableCall, End> {
        let code = (self.module.code_bytes() as u64).div_ceil(gas::INSTANCE_CODE_BYTES_PER_GAS);
        let pages = self.module.memory_pages().saturating_mul(gas::INSTANCE_PAGE);
        charge(&mut self.store, gas::INSTANCE.saturating_add(code).saturating_add(pages))?;
        let instance = self.module.instantiate(&mut self.store)?;
        self.fill_tank(slice_fuel, 0)?;
        let name = self.store.data().context.entry.export();
        let Some(function) = instance.get_func(&self.store, name) else {
            return Err(End(Verdict::Trap { message: format!("the module does not export `{name}`") }));
        };
        Ok(function.call_resumable(&mut self.store, &[], &mut [])?)
    }

    /// Gives the interpreter `slice` units of fuel, or `required` ones if they are more, out of what the call has left.
    fn fill_tank(&mut self, slice: u64, required: u64) -> Result<(), End> {
        let left = self.fuel_left();
        if left < required {
            return Err(End(Verdict::OutOfGas));
        }
        let tank = slice.max(required).min(left);
        self.store.data_mut().reserve = left.saturating_sub(tank);
        Ok(self.store.set_fuel(tank)?)
    }

    fn fuel_left(&self) -> u64 {
        let tank = self.store.get_fuel().unwrap_or(0);
        tank.saturating_add(self.store.data().reserve)
    }

    /// A host function did not return.
    fn halted(&mut self, call: ResumableCallHostTrap) -> Step {
        match call.host_error().downcast_ref::<Halt>() {
            Some(Halt::Ask(request, then)) => {
                let (request, then) = (request.clone(), *then);
                let step = Step::Request(request.clone());
                self.state = State::Asked { call, request, then };
                step
            }
            Some(Halt::End(verdict)) => {
                let verdict = verdict.clone();
                self.end(verdict)
            }
            None => {
                let End(verdict) = End::from(call.into_host_error());
                self.end(verdict)
            }
        }
    }

    /// Turns the ledger's answer into what the host function returns. `None`: it is no answer to what was asked.
    fn accept(&mut self, then: Then, response: &HostResponse) -> Option<Result<Option<Val>, Halt>> {
        let result = match (then, response) {
            (Then::CopyValue { to, capacity }, HostResponse::Loaded(value)) => {
                self.copy_value(to, capacity, value.as_deref())
            }
            (Then::Return, HostResponse::Stored) => Ok(None),
            (Then::ReturnExisted, HostResponse::Removed { existed }) => {
                Ok(Some(Val::I32(i32::from(*existed))))
            }
            (Then::WriteBalance { to }, HostResponse::Balance(amount)) => {
                host::write(&mut self.store, to, &amount.to_le_bytes()).map(|()| None)
            }
            (Then::ReturnRefusal, HostResponse::Transferred(result)) => {
                let code = result.as_ref().err().map_or(0, |refusal| refusal.code());
                Ok(Some(Val::I32(code.cast_signed())))
            }
            _ => return None,
        };
        Some(result)
    }

    fn copy_value(&mut self, to: u32, capacity: u32, value: Option<&[u8]>) -> Result<Option<Val>, Halt> {
        let Some(value) = value else {
            return Ok(Some(Val::I32(-1)));
        };
        let copied = value.get(..capacity as usize).unwrap_or(value);
        charge(&mut self.store, gas::copying(copied.len()))?;
        host::write(&mut self.store, to, copied)?;
        let length = i32::try_from(value.len()).map_err(|_| Halt::trap("a stored value of 2 GiB"))?;
        Ok(Some(Val::I32(length)))
    }

    fn success(&mut self) -> Verdict {
        let host = self.store.data_mut();
        Verdict::Success {
            output: std::mem::take(&mut host.output),
            events: std::mem::take(&mut host.events),
        }
    }

    fn end(&mut self, verdict: Verdict) -> Step {
        Step::Done(self.outcome(verdict))
    }

    fn outcome(&mut self, verdict: Verdict) -> Outcome {
        let gas_used = match verdict {
            Verdict::OutOfGas => self.store.data().context.gas_limit,
            _ => self.gas_used(),
        };
        Outcome { gas_used, verdict, debug_log: std::mem::take(&mut self.store.data_mut().debug_log) }
    }
}

/// The end of a call that the interpreter reports as an error.
struct End(Verdict);

impl From<wasmi::Error> for End {
    fn from(error: wasmi::Error) -> Self {
        Self(match error.as_trap_code() {
            Some(TrapCode::GrowthOperationLimited) => Verdict::OutOfMemory,
            Some(TrapCode::OutOfFuel) => Verdict::OutOfGas,
            Some(TrapCode::UnreachableCodeReached) => trap("the contract reached `unreachable`"),
            Some(TrapCode::MemoryOutOfBounds) => trap("access outside the memory"),
            Some(TrapCode::StackOverflow) => trap("too many nested calls, or too much on the stack"),
            _ => trap(&error.to_string()),
        })
    }
}

impl From<Halt> for End {
    fn from(halt: Halt) -> Self {
        Self(match halt {
            Halt::End(verdict) => verdict,
            Halt::Ask(..) => trap("a request outside a host function"),
        })
    }
}

fn trap(message: &str) -> Verdict {
    Verdict::Trap { message: message.to_owned() }
}

/// Pages that a call may ever hold, so that drivers can bound the memory of concurrent calls.
const _: () = assert!(MAX_MEMORY_PAGES * 65_536 == crate::limits::MAX_MEMORY_BYTES as u64);

/// A driver moves calls between threads.
const _: fn() = || {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    send::<Execution>();
    shared::<CompiledModule>();
    shared::<crate::engine::Engine>();
};
