//! Contract modules: compiling any bytes ends; a compiled one runs within its gas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_crypto::Address;
use shroud_vm::{CallContext, Engine, Entry, Execution, HostResponse, Step, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = Engine::new().compile(bytes) else { return };
    let context = CallContext {
        contract: Address([1; 20]),
        caller: Address([2; 20]),
        origin: Address([2; 20]),
        value: Value { asset: 0, amount: 0 },
        chain_id: 1,
        block_height: 1,
        timestamp_millis: 0,
        gas_limit: 100_000,
        entry: Entry::Call,
        input: vec![0, 1, 2],
    };
    let mut execution = Execution::start(&module, context);
    loop {
        match execution.resume(10_000) {
            Step::Done(outcome) => {
                assert!(outcome.gas_used <= 100_000);
                return;
            }
            Step::OutOfSlice => {}
            // An answer of the wrong kind is refused without a panic.
            Step::Request(_) => {
                if execution.respond(HostResponse::Loaded(None)).is_err() {
                    return;
                }
            }
        }
    }
});
