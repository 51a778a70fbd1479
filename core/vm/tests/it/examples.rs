use shroud_crypto::{Address, keccak256};
use shroud_vm::{CompiledModule, Entry, Verdict};

use crate::support::{ALICE, BOB, Ledger, SLICE, compile, context, output};

const COUNTER: &[u8] = include_bytes!("../../../../contracts/counter/counter.wasm");
const TOKEN: &[u8] = include_bytes!("../../../../contracts/token/token.wasm");

fn deploy(code: &[u8], input: &[u8]) -> (CompiledModule, Ledger) {
    let module = compile(code);
    let mut ledger = Ledger::default();
    let outcome = ledger.run(&module, context(Entry::Init, input), SLICE);
    assert!(outcome.verdict.is_success(), "{:?}", outcome.verdict);
    (module, ledger)
}

fn revert(reason: &str) -> Verdict {
    Verdict::Revert { reason: reason.into() }
}

#[test]
fn the_counter_counts() {
    let (module, mut ledger) = deploy(COUNTER, b"");
    assert_eq!(output(ledger.view(&module, &[1])), 0u64.to_le_bytes());
    for _ in 0..3 {
        assert_eq!(output(ledger.call(&module, &[0])), b"");
    }
    let add = [&[2][..], &40u64.to_le_bytes()].concat();
    ledger.call(&module, &add);
    assert_eq!(output(ledger.view(&module, &[1])), 43u64.to_le_bytes());
    assert_eq!(ledger.storage.get(&b"n"[..]).unwrap(), &43u64.to_le_bytes());
}

#[test]
fn the_counter_refuses_what_it_cannot_do() {
    let (module, mut ledger) = deploy(COUNTER, b"");
    assert_eq!(ledger.call(&module, &[9]), Verdict::InvalidFunction { selector: 9 });
    assert_eq!(ledger.call(&module, &[]), revert("input too short"));
    assert_eq!(ledger.call(&module, &[2, 1]), revert("input too short"));
    assert_eq!(ledger.call(&module, &[0, 0]), revert("input too long"));
    assert_eq!(ledger.call(&module, &[0; 10]), revert("input too long"));
    assert!(matches!(ledger.view(&module, &[0]), Verdict::Trap { .. }), "a view may not count");
    let most = [&[2][..], &u64::MAX.to_le_bytes()].concat();
    ledger.call(&module, &most);
    assert_eq!(ledger.call(&module, &[0]), revert("the count would exceed 64 bits"));
    assert_eq!(output(ledger.view(&module, &[1])), u64::MAX.to_le_bytes());
}

fn transfer(to: Address, amount: u128) -> Vec<u8> {
    [&[0][..], &to.0, &amount.to_le_bytes()].concat()
}

fn balance_of(ledger: &mut Ledger, module: &CompiledModule, owner: Address) -> u128 {
    let output = output(ledger.view(module, &[&[1][..], &owner.0].concat()));
    u128::from_le_bytes(output.try_into().unwrap())
}

#[test]
fn the_token_moves() {
    let (module, mut ledger) = deploy(TOKEN, &1_000u128.to_le_bytes());
    assert_eq!(output(ledger.view(&module, &[2])), 1_000u128.to_le_bytes());
    let Verdict::Success { events, .. } = ledger.call(&module, &transfer(BOB, 300)) else {
        panic!("the transfer failed")
    };
    assert_eq!(events[0].topics[0], keccak256(b"Transfer"));
    assert_eq!(events[0].topics[1].0[12..], ALICE.0);
    assert_eq!(events[0].topics[2].0[12..], BOB.0);
    assert_eq!(events[0].data, 300u128.to_le_bytes());
    assert_eq!(balance_of(&mut ledger, &module, ALICE), 700);
    assert_eq!(balance_of(&mut ledger, &module, BOB), 300);
    assert_eq!(ledger.call(&module, &transfer(BOB, 701)), revert("insufficient balance"));
    assert!(ledger.call(&module, &transfer(ALICE, 700)).is_success());
    assert_eq!(balance_of(&mut ledger, &module, ALICE), 700);
    assert_eq!(ledger.call(&module, &[3]), Verdict::InvalidFunction { selector: 3 });
}

#[test]
fn the_token_has_a_default_supply() {
    let (module, mut ledger) = deploy(TOKEN, b"");
    assert_eq!(balance_of(&mut ledger, &module, ALICE), 1_000_000 * 10u128.pow(18));
}

/// What documentation and gas estimates rely on: a change of the schedule or the compiler shows here.
#[test]
fn the_examples_cost_what_they_cost() {
    let (module, mut ledger) = deploy(COUNTER, b"");
    let outcome = ledger.run(&module, context(Entry::Call, &[0]), SLICE);
    assert!((2_500..8_000).contains(&outcome.gas_used), "{}", outcome.gas_used);
    let (module, mut ledger) = deploy(TOKEN, b"");
    let outcome = ledger.run(&module, context(Entry::Call, &transfer(BOB, 1)), SLICE);
    assert!((8_000..20_000).contains(&outcome.gas_used), "{}", outcome.gas_used);
}
