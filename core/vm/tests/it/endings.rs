use shroud_vm::limits::MAX_INPUT_BYTES;
use shroud_vm::{Entry, Execution, HostResponse, Step, Verdict};

use crate::support::{GAS, Ledger, SLICE, compile, context, contract, output, trap, verdict};

const SPIN: &str = include_str!("../../../../contracts/spin/spin.wat");

#[test]
fn an_endless_loop_ends_at_its_gas_limit() {
    let module = compile(&crate::support::wasm(SPIN));
    let mut context = context(Entry::Call, b"");
    context.gas_limit = 100_000;
    let mut execution = Execution::start(&module, context);
    let mut slices = 0;
    let outcome = loop {
        match execution.resume(1_000) {
            Step::OutOfSlice => slices += 1,
            Step::Done(outcome) => break outcome,
            Step::Request(request) => panic!("{request:?}"),
        }
    };
    assert_eq!(outcome.verdict, Verdict::OutOfGas);
    assert_eq!(outcome.gas_used, 100_000);
    assert!(slices > 300, "{slices} slices");
}

/// The interpreter must not use the thread's stack for each operator: a slice may be long.
#[test]
fn a_long_slice_needs_no_stack() {
    let module = compile(&crate::support::wasm(SPIN));
    let outcome = Ledger::default().run(&module, context(Entry::Call, b""), u64::MAX);
    assert_eq!((outcome.verdict, outcome.gas_used), (Verdict::OutOfGas, GAS));
}

#[test]
fn a_driver_may_give_up() {
    let module = compile(&crate::support::wasm(SPIN));
    let mut execution = Execution::start(&module, context(Entry::View, b""));
    for _ in 0..10 {
        assert_eq!(execution.resume(1_000), Step::OutOfSlice);
    }
    let outcome = execution.time_out();
    assert_eq!(outcome.verdict, Verdict::Timeout);
    assert!(outcome.gas_used > 2_000 && outcome.gas_used < 10_000, "{}", outcome.gas_used);
}

#[test]
fn a_limit_below_the_start_is_out_of_gas() {
    let module = compile(&contract("", ""));
    for gas_limit in [0, 1, 500] {
        let mut context = context(Entry::Call, b"");
        context.gas_limit = gas_limit;
        let outcome = Ledger::default().run(&module, context, SLICE);
        assert_eq!((outcome.verdict, outcome.gas_used), (Verdict::OutOfGas, gas_limit));
    }
}

#[test]
fn host_functions_run_out_of_gas_too() {
    let parts = r#"(import "shroud" "keccak256" (func $keccak (param i32 i32 i32)))"#;
    let module = compile(&contract(
        parts,
        "(loop $l (call $keccak (i32.const 0) (i32.const 65000) (i32.const 0)) (br $l))",
    ));
    let mut context = context(Entry::Call, b"");
    context.gas_limit = 100_000;
    let outcome = Ledger::default().run(&module, context, SLICE);
    assert_eq!((outcome.verdict, outcome.gas_used), (Verdict::OutOfGas, 100_000));
}

#[test]
fn a_memory_bomb_is_out_of_memory() {
    assert_eq!(verdict("", "(loop $l (drop (memory.grow (i32.const 64))) (br $l))"), Verdict::OutOfMemory);
    // Within the limit, and beyond the module's own maximum, growth works as WebAssembly says.
    let grow = r#"(module
        (import "shroud" "set_output" (func $output (param i32 i32)))
        (memory (export "memory") 1 2)
        (func (export "shroud_init"))
        (func (export "shroud_call")
            (i32.store (i32.const 0) (memory.grow (i32.const 1)))
            (i32.store (i32.const 4) (memory.grow (i32.const 1)))
            (call $output (i32.const 0) (i32.const 8))))"#;
    let module = compile(&crate::support::wasm(grow));
    assert_eq!(output(Ledger::default().call(&module, b"")), [1, 0, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn a_large_memory_is_paid_for() {
    let module = compile(&contract("", "(drop (memory.grow (i32.const 1000)))"));
    let outcome = Ledger::default().run(&module, context(Entry::Call, b""), 10);
    assert!(outcome.verdict.is_success());
    assert!(outcome.gas_used > 256_000, "{}", outcome.gas_used);
}

#[test]
fn deep_recursion_is_a_trap() {
    let message = trap(verdict("(func $f (call $f))", "(call $f)"));
    assert_eq!(message, "too many nested calls, or too much on the stack");
    let wide = format!("(func $f (local {}) (call $f))", "i64 ".repeat(500));
    assert_eq!(trap(verdict(&wide, "(call $f)")), message);
}

#[test]
fn traps_say_what_happened() {
    assert_eq!(trap(verdict("", "unreachable")), "the contract reached `unreachable`");
    assert_eq!(trap(verdict("", "(drop (i32.load (i32.const 65536)))")), "access outside the memory");
    let division = trap(verdict("", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"));
    assert!(division.contains("zero"), "{division}");
    let indirect =
        trap(verdict("(table 1 funcref) (type $t (func))", "(call_indirect (type $t) (i32.const 0))"));
    assert!(!indirect.is_empty());
}

#[test]
fn reverts_aborts_and_unknown_selectors_are_distinct() {
    let parts = r#"
        (import "shroud" "revert" (func $revert (param i32 i32)))
        (import "shroud" "abort" (func $abort (param i32 i32)))
        (import "shroud" "invalid_function" (func $invalid (param i32)))
        (data (i32.const 0) "no way")"#;
    let reason = verdict(parts, "(call $revert (i32.const 0) (i32.const 6)) unreachable");
    assert_eq!(reason, Verdict::Revert { reason: b"no way".to_vec() });
    assert_eq!(
        trap(verdict(parts, "(call $abort (i32.const 0) (i32.const 6)) unreachable")),
        "the contract aborted: no way"
    );
    assert_eq!(
        verdict(parts, "(call $invalid (i32.const 9)) unreachable"),
        Verdict::InvalidFunction { selector: 9 }
    );
}

#[test]
fn an_oversized_input_is_refused() {
    let mut ledger = Ledger::default();
    let module = compile(&contract("", ""));
    assert_eq!(output(ledger.call(&module, &vec![0; MAX_INPUT_BYTES])), b"");
    let message = trap(ledger.call(&module, &vec![0; MAX_INPUT_BYTES + 1]));
    assert!(message.contains("at most 1048576"), "{message}");
}

#[test]
fn answers_must_fit_the_question() {
    let parts = r#"(import "shroud" "storage_remove" (func $remove (param i32 i32) (result i32)))"#;
    let module = compile(&contract(parts, "(drop (call $remove (i32.const 0) (i32.const 1)))"));
    let mut execution = Execution::start(&module, context(Entry::Call, b""));
    assert!(execution.respond(HostResponse::Stored).is_err(), "nothing was asked");
    let step = execution.resume(SLICE);
    assert!(matches!(step, Step::Request(_)));
    assert!(execution.respond(HostResponse::Balance(1)).is_err());
    assert_eq!(execution.resume(SLICE), step, "the question stands until it is answered");
    execution.respond(HostResponse::Removed { existed: false }).unwrap();
    let Step::Done(outcome) = execution.resume(SLICE) else { panic!("not done") };
    assert!(outcome.verdict.is_success());
    assert!(outcome.gas_used < GAS);
    let Step::Done(after) = execution.resume(SLICE) else { panic!("not done") };
    assert_eq!(trap(after.verdict), "the call was resumed after its end");
}
