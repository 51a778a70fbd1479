use shroud_crypto::secp256k1::SigningKey;
use shroud_crypto::{ed25519, keccak256, sha256};
use shroud_vm::{Entry, Event, Verdict};

use crate::support::{
    ALICE, BOB, CONTRACT, Ledger, SLICE, compile, context, contract, hash, output, trap, verdict,
};

/// All host functions, under their own names.
const IMPORTS: &str = r#"
    (import "shroud" "input_length" (func $input_length (result i32)))
    (import "shroud" "input_copy" (func $input_copy (param i32 i32 i32)))
    (import "shroud" "caller" (func $caller (param i32)))
    (import "shroud" "origin" (func $origin (param i32)))
    (import "shroud" "self_address" (func $self_address (param i32)))
    (import "shroud" "value_asset" (func $value_asset (result i32)))
    (import "shroud" "value_amount" (func $value_amount (param i32)))
    (import "shroud" "chain_id" (func $chain_id (result i64)))
    (import "shroud" "block_height" (func $block_height (result i64)))
    (import "shroud" "block_timestamp" (func $block_timestamp (result i64)))
    (import "shroud" "gas_left" (func $gas_left (result i64)))
    (import "shroud" "storage_load" (func $storage_load (param i32 i32 i32 i32) (result i32)))
    (import "shroud" "storage_store" (func $storage_store (param i32 i32 i32 i32)))
    (import "shroud" "storage_remove" (func $storage_remove (param i32 i32) (result i32)))
    (import "shroud" "balance" (func $balance (param i32 i32 i32)))
    (import "shroud" "transfer" (func $transfer (param i32 i32 i32) (result i32)))
    (import "shroud" "emit_event" (func $emit_event (param i32 i32 i32 i32)))
    (import "shroud" "keccak256" (func $keccak256 (param i32 i32 i32)))
    (import "shroud" "sha256" (func $sha256 (param i32 i32 i32)))
    (import "shroud" "ecrecover" (func $ecrecover (param i32 i32 i32) (result i32)))
    (import "shroud" "ed25519_verify" (func $ed25519_verify (param i32 i32 i32 i32) (result i32)))
    (import "shroud" "set_output" (func $set_output (param i32 i32)))
    (import "shroud" "revert" (func $revert (param i32 i32)))
    (import "shroud" "debug_log" (func $debug_log (param i32 i32)))"#;

/// Copies the input to 0, does `body`, and outputs `length` bytes at 1024.
fn run(body: &str, length: usize, input: &[u8]) -> Vec<u8> {
    output(run_on(&mut Ledger::default(), body, length, input))
}

fn run_on(ledger: &mut Ledger, body: &str, length: usize, input: &[u8]) -> Verdict {
    let code = contract(
        IMPORTS,
        &format!(
            "(call $input_copy (i32.const 0) (i32.const 0) (call $input_length)) {body}
             (call $set_output (i32.const 1024) (i32.const {length}))"
        ),
    );
    ledger.call(&compile(&code), input)
}

#[test]
fn a_call_sees_its_context() {
    let body = "(call $caller (i32.const 1024)) (call $origin (i32.const 1044)) (call $self_address (i32.const 1064))";
    assert_eq!(run(body, 60, b""), [ALICE.0, BOB.0, CONTRACT.0].concat());
    let body = "(i32.store (i32.const 1024) (call $value_asset)) (call $value_amount (i32.const 1028))";
    assert_eq!(run(body, 20, b""), [&3u32.to_le_bytes()[..], &(1u128 << 100).to_le_bytes()].concat());
    let body = "(i64.store (i32.const 1024) (call $chain_id))
        (i64.store (i32.const 1032) (call $block_height))
        (i64.store (i32.const 1040) (call $block_timestamp))";
    let expected = [7777u64, 42, 1_700_000_000_123].map(u64::to_le_bytes).concat();
    assert_eq!(run(body, 24, b""), expected);
}

#[test]
fn input_can_be_read_in_parts() {
    let body = "(call $input_copy (i32.const 1024) (i32.const 2) (i32.const 3))";
    assert_eq!(run(body, 3, b"abcdef"), b"cde");
    let body = "(call $input_copy (i32.const 1024) (i32.const 4) (i32.const 3))";
    let message = trap(run_on(&mut Ledger::default(), body, 3, b"abcdef"));
    assert_eq!(message, "input_copy of 3 bytes at 4, beyond the input of 6 bytes");
}

#[test]
fn gas_left_falls() {
    let body = "(i64.store (i32.const 1024) (call $gas_left)) (i64.store (i32.const 1032) (call $gas_left))";
    let left = run(body, 16, b"");
    let (first, second) = left.split_at(8);
    assert!(first.iter().rev().gt(second.iter().rev()));
}

#[test]
fn storage_round_trips() {
    let mut ledger = Ledger::default();
    let missing = "(i32.store (i32.const 1024) (call $storage_load (i32.const 0) (i32.const 3) (i32.const 1028) (i32.const 8)))";
    assert_eq!(output(run_on(&mut ledger, missing, 4, b"key")), [255; 4]);
    let store = "(call $storage_store (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5))";
    run_on(&mut ledger, store, 0, b"keyvalue");
    assert_eq!(ledger.storage.get(&b"key"[..]).unwrap(), b"value");
    assert_eq!(output(run_on(&mut ledger, missing, 9, b"key")), b"\x05\0\0\0value");
    // A buffer that is too small gets what fits, and the whole length.
    let short = "(i32.store (i32.const 1024) (call $storage_load (i32.const 0) (i32.const 3) (i32.const 1028) (i32.const 2)))";
    assert_eq!(output(run_on(&mut ledger, short, 8, b"key")), b"\x05\0\0\0va\0\0");
    let remove = "(i32.store (i32.const 1024) (call $storage_remove (i32.const 0) (i32.const 3)))";
    assert_eq!(output(run_on(&mut ledger, remove, 4, b"key")), [1, 0, 0, 0]);
    assert_eq!(output(run_on(&mut ledger, remove, 4, b"key")), [0; 4]);
    assert!(ledger.storage.is_empty());
}

#[test]
fn assets_move() {
    let mut ledger = Ledger::default();
    ledger.balances.insert((3, CONTRACT), 100);
    let amount = |amount: u128| [&BOB.0[..], &amount.to_le_bytes()].concat();
    let transfer = "(i32.store (i32.const 1024) (call $transfer (i32.const 3) (i32.const 0) (i32.const 20)))
         (call $balance (i32.const 3) (i32.const 0) (i32.const 1028))";
    let result = output(run_on(&mut ledger, transfer, 20, &amount(30)));
    assert_eq!(result, [&0u32.to_le_bytes()[..], &30u128.to_le_bytes()].concat());
    let result = output(run_on(&mut ledger, transfer, 4, &amount(71)));
    assert_eq!(result, 1u32.to_le_bytes());
    let unknown = "(i32.store (i32.const 1024) (call $transfer (i32.const 10) (i32.const 0) (i32.const 20)))";
    assert_eq!(output(run_on(&mut ledger, unknown, 4, &amount(1))), 2u32.to_le_bytes());
    assert_eq!((ledger.balance(3, CONTRACT), ledger.balance(3, BOB)), (70, 30));
}

#[test]
fn events_come_with_success_only() {
    let emit = "(call $emit_event (i32.const 0) (i32.const 2) (i32.const 64) (i32.const 4))";
    let input = [hash(b"one").0.as_slice(), hash(b"two").0.as_slice(), b"data"].concat();
    let verdict = run_on(&mut Ledger::default(), emit, 0, &input);
    let Verdict::Success { events, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        events,
        [Event { contract: CONTRACT, topics: vec![hash(b"one"), hash(b"two")], data: b"data".to_vec() }]
    );
    let revert = format!("{emit} (call $revert (i32.const 0) (i32.const 0))");
    assert_eq!(run_on(&mut Ledger::default(), &revert, 0, &input), Verdict::Revert { reason: vec![] });
}

#[test]
fn events_are_bounded() {
    let emit = "(call $emit_event (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0))";
    assert!(trap(run_on(&mut Ledger::default(), emit, 0, b"")).contains("at most 4 allowed"));
    let flood =
        "(loop $l (call $emit_event (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (br $l))";
    assert!(trap(run_on(&mut Ledger::default(), flood, 0, b"")).contains("more than 256 events"));
    let flood =
        "(loop $l (call $emit_event (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16384)) (br $l))";
    assert!(trap(run_on(&mut Ledger::default(), flood, 0, b"")).contains("bytes of data"));
}

#[test]
fn hashes_and_signatures_agree_with_the_host() {
    let body = "(call $keccak256 (i32.const 0) (i32.const 3) (i32.const 1024))
                (call $sha256 (i32.const 0) (i32.const 3) (i32.const 1056))";
    assert_eq!(run(body, 64, b"abc"), [keccak256(b"abc").0, sha256(b"abc").0].concat());

    let key = SigningKey::from_secret(&[7; 32]).unwrap();
    let digest = keccak256(b"message");
    let signature = key.sign_recoverable(&digest).unwrap();
    let mut input = [digest.0, signature.r, signature.s].concat();
    input.push(u8::from(signature.y_odd));
    let body = "(i32.store (i32.const 1024) (call $ecrecover (i32.const 0) (i32.const 32) (i32.const 1028)))";
    let address = signer(&digest, &signature);
    assert_eq!(run(body, 24, &input), [&[1, 0, 0, 0][..], &address].concat());
    input[96] = 2;
    assert_eq!(run(body, 4, &input), [0; 4]);

    let key = ed25519::SigningKey::from_seed(&[9; 32]);
    let mut input = [&key.verifying_key().0[..], &key.sign(b"message").0, b"message"].concat();
    let body = "(i32.store (i32.const 1024)
        (call $ed25519_verify (i32.const 0) (i32.const 32) (i32.const 96) (i32.const 7)))";
    assert_eq!(run(body, 4, &input), [1, 0, 0, 0]);
    input[100] ^= 1;
    assert_eq!(run(body, 4, &input), [0; 4]);
}

fn signer(digest: &shroud_crypto::Hash, signature: &shroud_crypto::secp256k1::Signature) -> [u8; 20] {
    shroud_crypto::secp256k1::recover(digest, signature).unwrap().address().0
}

#[test]
fn the_debug_log_is_kept_and_bounded() {
    let module = compile(&contract(
        &format!(r#"{IMPORTS} (data (i32.const 0) "hello")"#),
        "(local $n i32)
         (loop $l
            (call $debug_log (i32.const 0) (i32.const 5))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
         unreachable",
    ));
    let outcome = Ledger::default().run(&module, context(Entry::Call, b""), SLICE);
    assert_eq!(outcome.debug_log, vec!["hello"; 64]);
    assert!(matches!(outcome.verdict, Verdict::Trap { .. }));
}

#[test]
fn bad_pointers_are_traps_that_say_so() {
    for body in [
        "(call $caller (i32.const 65517))",
        "(call $caller (i32.const -1))",
        "(call $set_output (i32.const 65530) (i32.const 7))",
        "(call $revert (i32.const -8) (i32.const 100))",
        "(call $value_amount (i32.const 65521))",
        "(drop (call $storage_load (i32.const 65536) (i32.const 1) (i32.const 0) (i32.const 0)))",
        "(drop (call $storage_load (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 1)))",
        "(drop (call $storage_load (i32.const 0) (i32.const 1) (i32.const 0) (i32.const -1)))",
        "(call $storage_store (i32.const 0) (i32.const 1) (i32.const 60000) (i32.const 16384))",
        "(call $balance (i32.const 0) (i32.const 0) (i32.const 65521))",
        "(drop (call $transfer (i32.const 0) (i32.const 65517) (i32.const 0)))",
        "(call $emit_event (i32.const 65535) (i32.const 1) (i32.const 0) (i32.const 0))",
        "(call $keccak256 (i32.const 0) (i32.const 65537) (i32.const 0))",
        "(drop (call $ecrecover (i32.const 0) (i32.const -10) (i32.const 0)))",
        "(drop (call $ed25519_verify (i32.const 65505) (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(call $debug_log (i32.const 0) (i32.const 65537))",
    ] {
        let message = trap(verdict(IMPORTS, body));
        assert!(message.contains("outside the memory"), "{body}: {message}");
    }
}

#[test]
fn lengths_beyond_their_limits_are_traps_that_say_so() {
    for body in [
        "(drop (call $storage_load (i32.const 0) (i32.const 65) (i32.const 0) (i32.const 0)))",
        "(call $storage_store (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 16385))",
        "(call $set_output (i32.const 0) (i32.const 65537))",
        "(call $revert (i32.const 0) (i32.const 1025))",
        "(call $keccak256 (i32.const 0) (i32.const 262145) (i32.const 0))",
        "(call $emit_event (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16385))",
    ] {
        let message = trap(verdict(IMPORTS, body));
        assert!(message.contains("allowed"), "{body}: {message}");
    }
}

#[test]
fn views_may_not_write() {
    for (name, body) in [
        ("storage_store", "(call $storage_store (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))"),
        ("storage_remove", "(drop (call $storage_remove (i32.const 0) (i32.const 1)))"),
        ("transfer", "(drop (call $transfer (i32.const 0) (i32.const 0) (i32.const 0)))"),
        ("emit_event", "(call $emit_event (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"),
    ] {
        let module = compile(&contract(IMPORTS, body));
        let message = trap(Ledger::default().view(&module, b""));
        assert_eq!(message, format!("{name} in a view call, which may not write"));
    }
    let read = compile(&contract(
        IMPORTS,
        "(drop (call $storage_load (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))",
    ));
    assert!(Ledger::default().view(&read, b"").is_success());
}
