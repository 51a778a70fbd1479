//! What calls cost on this machine: `cargo run --release -p shroud-vm --example call_cost`.
//!
//! Prints the time of an empty call, of a counter's call with its answers from memory, of compilation, and of a unit of
//! fuel, which `gas::FUEL_PER_GAS` assumes to be about a nanosecond.
#![expect(clippy::disallowed_methods, reason = "it measures this machine, not a shard")]

use std::time::Instant;

use shroud_vm::{
    CallContext, CompiledModule, Engine, Entry, Execution, HostRequest, HostResponse, Step, Value,
};

const COUNTER: &[u8] = include_bytes!("../../../contracts/counter/counter.wasm");
const TOKEN: &[u8] = include_bytes!("../../../contracts/token/token.wasm");

fn main() {
    let engine = Engine::new();
    let empty = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "shroud_init")) (func (export "shroud_call")))"#,
    )
    .expect("the text is a module");
    let spin =
        wat::parse_str(include_str!("../../../contracts/spin/spin.wat")).expect("the text is a module");
    let compile = |code: &[u8]| engine.compile(code).expect("the code is a contract");

    report("empty call", 20_000, || call(&compile_once(&engine, &empty), 100_000, b""));
    let module = compile(&empty);
    report("empty call, compiled", 200_000, || call(&module, 100_000, b""));
    let module = compile(COUNTER);
    report("counter increment, compiled", 100_000, || call(&module, 100_000, &[0]));
    report("compile counter", 2_000, || drop(compile(COUNTER)));
    report("compile token", 2_000, || drop(compile(TOKEN)));
    let module = compile(&spin);
    let gas = 25_000_000;
    let started = Instant::now();
    call(&module, gas, b"");
    let nanos = started.elapsed().as_nanos() as f64;
    println!("{:30} {:10.2} ns", "unit of fuel in a loop", nanos / (gas * 4) as f64);
}

fn compile_once(engine: &Engine, code: &[u8]) -> CompiledModule {
    engine.compile(code).expect("the code is a contract")
}

fn report(what: &str, times: u32, mut work: impl FnMut()) {
    work();
    let started = Instant::now();
    (0..times).for_each(|_| work());
    println!("{what:30} {:10.2} us", started.elapsed().as_secs_f64() * 1e6 / f64::from(times));
}

fn call(module: &CompiledModule, gas_limit: u64, input: &[u8]) {
    let mut execution = Execution::start(
        module,
        CallContext {
            contract: [1; 20].into(),
            caller: [2; 20].into(),
            origin: [2; 20].into(),
            value: Value::default(),
            chain_id: 1,
            block_height: 1,
            timestamp_millis: 1,
            gas_limit,
            entry: Entry::Call,
            input: input.to_vec(),
        },
    );
    loop {
        match execution.resume(1_000_000) {
            Step::OutOfSlice => {}
            Step::Request(HostRequest::StorageLoad { .. }) => {
                execution.respond(HostResponse::Loaded(Some(vec![0; 8]))).expect("it was asked")
            }
            Step::Request(_) => execution.respond(HostResponse::Stored).expect("it was asked"),
            Step::Done(_) => return,
        }
    }
}
