//! Driving one call to its end, in slices.

use std::time::Instant;

use futures_lite::future::yield_now;
use shroud_vm::{Execution, HostRequest, HostResponse, Outcome, Step};

use crate::CallError;

/// How far and how fast a call may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When to give up.
    pub(crate) deadline: Instant,
    /// Fuel between two turns for other tasks.
    pub(crate) slice_fuel: u64,
}

/// Runs `execution` to its end, or to the deadline by `now`. `answer` is the ledger's side.
///
/// Lets other tasks of the shard run after each slice, and passes the deadline by no more than one. Cancel safe: dropping it
/// ends the call.
pub(crate) async fn drive(
    mut execution: Execution,
    pace: Pace,
    now: impl Fn() -> Instant + Send,
    mut answer: impl FnMut(HostRequest) -> Result<HostResponse, CallError> + Send,
) -> Result<Outcome, CallError> {
    loop {
        match execution.resume(pace.slice_fuel) {
            Step::Done(outcome) => return Ok(outcome),
            Step::Request(request) => execution.respond(answer(request)?)?,
            Step::OutOfSlice if now() >= pace.deadline => return Ok(execution.time_out()),
            Step::OutOfSlice => yield_now().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use futures_lite::future::{block_on, poll_once};
    use shroud_vm::{CallContext, Engine, Entry, Value, Verdict};

    use super::*;

    const SPIN: &str = include_str!("../../../contracts/spin/spin.wat");
    const COUNTER: &[u8] = include_bytes!("../../../contracts/counter/counter.wasm");

    fn execution(code: &[u8], gas_limit: u64, input: &[u8]) -> Execution {
        let module = Engine::new().compile(code).unwrap();
        let context = CallContext {
            contract: Default::default(),
            caller: Default::default(),
            origin: Default::default(),
            value: Value::default(),
            chain_id: 1,
            block_height: 1,
            timestamp_millis: 1,
            gas_limit,
            entry: Entry::View,
            input: input.to_vec(),
        };
        Execution::start(&module, context)
    }

    fn nothing_stored(_: HostRequest) -> Result<HostResponse, CallError> {
        Ok(HostResponse::Loaded(None))
    }

    /// A clock that a test moves.
    struct Clock {
        start: Instant,
        passed: Cell<Duration>,
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the start of a clock that stands still"
    )]
    fn clock() -> Clock {
        Clock { start: Instant::now(), passed: Cell::new(Duration::ZERO) }
    }

    #[test]
    fn an_endless_loop_yields_and_ends_at_the_deadline() {
        let clock = clock();
        let pace = Pace { deadline: clock.start + Duration::from_secs(30), slice_fuel: 1_000 };
        let now = std::sync::Mutex::new(clock);
        let read = || {
            let clock = now.lock().unwrap();
            clock.start + clock.passed.get()
        };
        let spin = execution(&wat::parse_str(SPIN).unwrap(), u64::MAX, b"");
        let mut call = Box::pin(drive(spin, pace, read, nothing_stored));
        for _ in 0..100 {
            assert!(block_on(poll_once(&mut call)).is_none(), "each poll ends with a slice");
        }
        now.lock().unwrap().passed.set(Duration::from_secs(30));
        let outcome = block_on(poll_once(&mut call)).unwrap().unwrap();
        assert_eq!(outcome.verdict, Verdict::Timeout);
    }

    #[test]
    fn a_short_call_ends_without_yielding() {
        let start = clock().start;
        let pace = Pace { deadline: start, slice_fuel: 200_000 };
        let call = drive(execution(COUNTER, 1_000_000, &[1]), pace, || start, nothing_stored);
        let outcome = block_on(poll_once(call)).unwrap().unwrap();
        assert_eq!(outcome.verdict, Verdict::Success { output: vec![0; 8], events: vec![] });
    }

    #[test]
    fn an_answer_that_does_not_fit_is_an_error() {
        let start = clock().start;
        let pace = Pace { deadline: start, slice_fuel: 200_000 };
        let call = drive(execution(COUNTER, 1_000_000, &[1]), pace, || start, |_| Ok(HostResponse::Stored));
        assert!(matches!(block_on(call), Err(CallError::Unexpected(_))));
    }
}
