//! The interpreter must not use the thread's stack for each operator. Where the compiler does not turn its tail calls into jumps,
//! any of these overflows it.

use shroud_vm::{Entry, Verdict};

use crate::support::{Ledger, compile, context, contract};

/// Runs `body` a hundred thousand times in one slice. `$i` counts, `$a` and `$b` are 32 bits, `$x` and `$y` 64.
fn repeat(body: &str) {
    let parts = r#"
        (import "shroud" "gas_left" (func $gas_left (result i64)))
        (table 2 funcref) (elem (i32.const 0) $leaf $leaf)
        (global $g (mut i64) (i64.const 1))
        (type $leaf_type (func (param i32) (result i32)))
        (func $leaf (type $leaf_type) (i32.add (local.get 0) (i32.const 1)))"#;
    let module = compile(&contract(
        parts,
        &format!(
            "(local $i i32) (local $a i32) (local $b i32) (local $x i64) (local $y i64)
             (local.set $b (i32.const 3)) (local.set $y (i64.const 5))
             (loop $again
                {body}
                (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))"
        ),
    ));
    let mut context = context(Entry::Call, b"");
    context.gas_limit = 100_000_000;
    let outcome = Ledger::default().run(&module, context, u64::MAX);
    assert!(matches!(outcome.verdict, Verdict::Success { .. }), "{body}: {:?}", outcome.verdict);
}

#[test]
fn arithmetic_needs_no_stack() {
    for operator in "add sub mul div_u div_s rem_u rem_s and or xor shl shr_u shr_s rotl rotr".split(' ') {
        repeat(&format!(
            "(local.set $a (i32.{operator} (local.get $a) (local.get $b)))
             (local.set $a (i32.{operator} (local.get $a) (i32.const 3)))
             (local.set $x (i64.{operator} (local.get $x) (local.get $y)))
             (local.set $x (i64.{operator} (i64.const 7) (local.get $y)))"
        ));
    }
    for operator in "clz ctz popcnt extend8_s extend16_s".split(' ') {
        repeat(&format!(
            "(local.set $a (i32.{operator} (local.get $b))) (local.set $x (i64.{operator} (local.get $y)))"
        ));
    }
    repeat("(local.set $x (i64.extend_i32_s (i32.wrap_i64 (i64.extend_i32_u (local.get $i)))))");
}

#[test]
fn comparisons_and_branches_need_no_stack() {
    for operator in "eq ne lt_u lt_s gt_u gt_s le_u le_s ge_u ge_s".split(' ') {
        repeat(&format!(
            "(local.set $a (i32.{operator} (local.get $i) (local.get $b)))
             (local.set $a (i64.{operator} (local.get $x) (local.get $y)))
             (block $out (br_if $out (i32.{operator} (local.get $i) (local.get $b))) (local.set $x (i64.const 1)))
             (if (i64.{operator} (local.get $x) (i64.const 9)) (then (local.set $a (i32.const 1))) (else (nop)))
             (local.set $x (select (local.get $x) (local.get $y) (i32.{operator} (local.get $i) (i32.const 5))))"
        ));
    }
    repeat("(local.set $a (i32.eqz (local.get $i))) (local.set $a (i64.eqz (local.get $x)))");
    repeat("(block $two (block $one (br_table $one $two (i32.and (local.get $i) (i32.const 1)))) (nop))");
}

#[test]
fn memory_needs_no_stack() {
    for (ty, widths) in [("i32", "8_u 8_s 16_u 16_s"), ("i64", "8_u 8_s 16_u 16_s 32_u 32_s")] {
        for width in widths.split(' ') {
            let store = width.trim_end_matches(['_', 'u', 's']);
            repeat(&format!(
                "({ty}.store{store} (i32.const 64) ({ty}.load{width} (local.get $b)))
                 ({ty}.store{store} offset=8 (local.get $b) ({ty}.load{width} offset=4 (i32.const 16)))"
            ));
        }
        repeat(&format!("({ty}.store (i32.const 64) ({ty}.load (local.get $b)))"));
    }
    repeat(
        "(memory.copy (i32.const 0) (i32.const 64) (local.get $b)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 9))",
    );
    repeat("(drop (memory.size)) (drop (memory.grow (i32.const 0)))");
}

#[test]
fn calls_and_globals_need_no_stack() {
    repeat("(local.set $a (call $leaf (local.get $a)))");
    repeat(
        "(local.set $a (call_indirect (type $leaf_type) (local.get $a) (i32.and (local.get $i) (i32.const 1))))",
    );
    repeat("(global.set $g (i64.add (global.get $g) (i64.const 1)))");
    repeat("(local.set $x (call $gas_left))");
}
