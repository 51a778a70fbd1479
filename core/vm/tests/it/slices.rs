use proptest::prelude::*;
use shroud_vm::{CompiledModule, Entry, Execution, HostResponse, Outcome, Step};

use crate::support::{Ledger, compile, context, contract, wasm};

/// Loops, grows and copies memory, hashes, stores and loads: a bit of everything that fuel is taken for.
fn busy() -> CompiledModule {
    compile(&contract(
        r#"(import "shroud" "input_length" (func $input_length (result i32)))
           (import "shroud" "storage_store" (func $store (param i32 i32 i32 i32)))
           (import "shroud" "storage_load" (func $load (param i32 i32 i32 i32) (result i32)))
           (import "shroud" "keccak256" (func $keccak256 (param i32 i32 i32)))
           (import "shroud" "set_output" (func $set_output (param i32 i32)))
           (func $fibonacci (param $n i32) (result i32)
             (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
               (then (local.get $n))
               (else (i32.add
                 (call $fibonacci (i32.sub (local.get $n) (i32.const 1)))
                 (call $fibonacci (i32.sub (local.get $n) (i32.const 2)))))))"#,
        r#"(local $n i32)
           (local.set $n (call $input_length))
           (loop $again
             (drop (memory.grow (i32.const 1)))
             (memory.fill (i32.const 0) (local.get $n) (i32.const 60000))
             (memory.copy (i32.const 1000) (i32.const 0) (i32.const 30000))
             (call $keccak256 (i32.const 0) (i32.const 500) (i32.const 0))
             (i32.store (i32.const 32) (call $fibonacci (local.get $n)))
             (call $store (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 64))
             (drop (call $load (i32.const 0) (i32.const 8) (i32.const 64) (i32.const 64)))
             (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
           (call $set_output (i32.const 0) (i32.const 128))"#,
    ))
}

fn run(module: &CompiledModule, gas_limit: u64, rounds: usize, slice: u64) -> (Outcome, Ledger) {
    let mut ledger = Ledger::default();
    let mut context = context(Entry::Call, &vec![0; rounds]);
    context.gas_limit = gas_limit;
    let outcome = ledger.run(module, context, slice);
    (outcome, ledger)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn slices_do_not_change_what_a_call_does_or_costs(
        rounds in 1usize..12,
        gas_limit in 1_000u64..120_000,
        slice in prop_oneof![0u64..50, 50u64..5_000, 5_000u64..1_000_000],
    ) {
        let module = busy();
        prop_assert_eq!(
            run(&module, gas_limit, rounds, slice),
            run(&module, gas_limit, rounds, u64::MAX)
        );
    }
}

#[test]
fn one_gas_less_than_used_is_out_of_gas() {
    let module = busy();
    let (outcome, _) = run(&module, 10_000_000, 5, u64::MAX);
    assert!(outcome.verdict.is_success());
    let (again, _) = run(&module, outcome.gas_used, 5, 777);
    assert_eq!(again, outcome);
    let (short, ledger) = run(&module, outcome.gas_used - 1, 5, 777);
    assert_eq!(short.verdict.name(), "out of gas");
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn a_call_does_not_depend_on_earlier_ones() {
    let module = compile(&wasm(
        r#"(module
            (import "shroud" "set_output" (func $set_output (param i32 i32)))
            (memory (export "memory") 1)
            (global $calls (mut i32) (i32.const 0))
            (func (export "shroud_init"))
            (func (export "shroud_call")
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (global.get $calls)))
                (call $set_output (i32.const 0) (i32.const 4))))"#,
    ));
    let first = run(&module, 100_000, 0, 100);
    assert_eq!(first, run(&module, 100_000, 0, 100));
}

#[test]
fn asking_uses_up_slices_too() {
    let module = compile(&contract(
        r#"(import "shroud" "storage_load" (func $load (param i32 i32 i32 i32) (result i32)))"#,
        "(loop $l (drop (call $load (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))) (br $l))",
    ));
    let mut context = context(Entry::View, b"");
    context.gas_limit = 1_000_000;
    let mut execution = Execution::start(&module, context);
    let (mut slices, mut requests) = (0, 0);
    loop {
        match execution.resume(10_000) {
            Step::OutOfSlice => slices += 1,
            Step::Request(_) => {
                requests += 1;
                execution.respond(HostResponse::Loaded(None)).unwrap();
            }
            Step::Done(_) => break,
        }
    }
    assert!(slices > 300 && requests > 3_000, "{slices} slices for {requests} requests");
}
