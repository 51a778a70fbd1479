//! Contract modules: validating and compiling any bytes ends; a compiled one runs within its gas, slice by slice, against a
//! host that answers, and then against one that answers nonsense.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_crypto::Address;
use shroud_vm::{
    CallContext, CompiledModule, Engine, Entry, Execution, HostRequest, HostResponse, Step, TransferRefusal,
    Value,
};
use std::collections::BTreeMap;

const GAS: u64 = 1_000_000;
/// A slice in which a call costs many slices.
const SLICE: u64 = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = Engine::new().compile(bytes) else { return };
    let mut storage = BTreeMap::new();
    for (entry, input) in
        [(Entry::Init, &[][..]), (Entry::Call, &[0]), (Entry::Call, &[1, 2, 3, 4, 5, 6, 7, 8, 9])]
    {
        run(&module, entry, input, |request| answer(&mut storage, request));
    }
    run(&module, Entry::Call, &[0], |_| HostResponse::Loaded(None));
});

fn run(
    module: &CompiledModule,
    entry: Entry,
    input: &[u8],
    mut answer: impl FnMut(HostRequest) -> HostResponse,
) {
    let context = CallContext {
        contract: Address([1; 20]),
        caller: Address([2; 20]),
        origin: Address([2; 20]),
        value: Value { asset: 0, amount: 0 },
        chain_id: 1,
        block_height: 1,
        timestamp_millis: 0,
        gas_limit: GAS,
        entry,
        input: input.to_vec(),
    };
    let mut execution = Execution::start(module, context);
    loop {
        match execution.resume(SLICE) {
            Step::Done(outcome) => {
                assert!(outcome.gas_used <= GAS);
                return;
            }
            Step::OutOfSlice => {}
            // An answer of the wrong kind is refused without a panic.
            Step::Request(request) => {
                if execution.respond(answer(request)).is_err() {
                    return;
                }
            }
        }
    }
}

fn answer(storage: &mut BTreeMap<Vec<u8>, Vec<u8>>, request: HostRequest) -> HostResponse {
    match request {
        HostRequest::StorageLoad { key } => HostResponse::Loaded(storage.get(&key).cloned()),
        HostRequest::StorageStore { key, value } => {
            storage.insert(key, value);
            HostResponse::Stored
        }
        HostRequest::StorageRemove { key } => {
            HostResponse::Removed { existed: storage.remove(&key).is_some() }
        }
        HostRequest::Balance { .. } => HostResponse::Balance(u128::MAX),
        _ => HostResponse::Transferred(Err(TransferRefusal::InsufficientFunds)),
    }
}
