//! Calls of real contracts against a real ledger state, on one backend.
//!
//! `Chain` applies signed transactions to a genesis; a test then asks a `Covenant` about the state that came of it. What an
//! estimate says is held against what the ledger then charges.

mod chain;

use std::time::Duration;

use chain::{Chain, GAS, on_tokio};
use shroud_covenant::{CallError, ContractCall, Covenant, Draft, Settings};
use shroud_crypto::Address;
use shroud_ledger::receipt::Status;
use shroud_ledger::transaction::{AccessListSize, Action, Kind, Leg};
use shroud_ledger::{AssetId, GCC, Gas};
use shroud_runtime::Runtime;
use shroud_vm::{CodeCache, Engine, Verdict};

const COUNTER: &[u8] = include_bytes!("../../../../contracts/counter/counter.wasm");
const TOKEN: &[u8] = include_bytes!("../../../../contracts/token/token.wasm");
const NOBODY: Address = Address([7; 20]);

fn covenant<R: Runtime>(runtime: R, chain: &Chain, settings: Settings) -> Covenant<R> {
    Covenant::new(runtime, chain.engine.clone(), chain.cache.clone(), settings)
}

fn call(contract: Address, input: &[u8]) -> ContractCall {
    ContractCall { contract, caller: NOBODY, asset: GCC, value: 0, input: input.to_vec(), gas_limit: None }
}

fn draft(sender: Address, action: Action) -> Draft {
    Draft { sender, kind: Kind::Native, action, access_list: AccessListSize::default() }
}

fn action(contract: Address, input: &[u8]) -> Action {
    Action::Call { contract, asset: GCC, value: 0, input: input.to_vec() }
}

fn output(verdict: Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Success { output, .. } => output,
        other => panic!("not a success: {other:?}"),
    }
}

fn spin() -> Vec<u8> {
    wat::parse_str(include_str!("../../../../contracts/spin/spin.wat")).unwrap()
}

#[test]
fn views_read_and_simulations_leave_nothing() {
    let mut chain = Chain::new();
    let counter = chain.deploy(COUNTER, b"");
    chain.apply(action(counter, &[0]), GAS);
    on_tokio(async move |runtime| {
        let covenant = covenant(runtime, &chain, Settings::default());
        let (state, block) = (chain.state(), chain.block());
        let read = covenant.view(state.clone(), block, call(counter, &[1])).await.unwrap();
        assert_eq!(output(read.verdict), 1u64.to_le_bytes());
        let write = covenant.view(state.clone(), block, call(counter, &[0])).await.unwrap();
        assert!(matches!(write.verdict, Verdict::Trap { .. }));
        let simulated = covenant.simulate(state.clone(), block, call(counter, &[0])).await.unwrap();
        assert!(simulated.verdict.is_success());
        let root = state.root();
        let read = covenant.view(state, block, call(counter, &[1])).await.unwrap();
        assert_eq!(output(read.verdict), 1u64.to_le_bytes());
        assert_eq!(chain.state().root(), root);
    });
}

#[test]
fn an_endless_view_ends_at_the_deadline_and_lets_others_run() {
    let mut chain = Chain::new();
    let (spinning, counter) = (chain.deploy(&spin(), b""), chain.deploy(COUNTER, b""));
    on_tokio(async move |runtime| {
        let settings =
            Settings { deadline: Duration::from_millis(300), max_gas: Gas(u64::MAX), ..Settings::default() };
        let covenant = covenant(runtime.clone(), &chain, settings);
        let (state, block) = (chain.state(), chain.block());
        let endless = {
            let (covenant, state) = (covenant.clone(), state.clone());
            runtime.spawn("endless", async move { covenant.view(state, block, call(spinning, b"")).await })
        };
        // One thread: this only gets its turns because the endless call gives them.
        for _ in 0..20 {
            let read = covenant.view(state.clone(), block, call(counter, &[1])).await.unwrap();
            assert!(read.verdict.is_success());
            futures_lite::future::yield_now().await;
        }
        let outcome = endless.await.unwrap().unwrap();
        assert_eq!(outcome.verdict, Verdict::Timeout);
    });
}

#[test]
fn an_endless_view_ends_at_its_gas_limit() {
    let mut chain = Chain::new();
    let spinning = chain.deploy(&spin(), b"");
    on_tokio(async move |runtime| {
        let settings = Settings { max_gas: Gas(1_000_000), ..Settings::default() };
        let covenant = covenant(runtime, &chain, settings);
        let endless = ContractCall { gas_limit: Some(Gas(u64::MAX)), ..call(spinning, b"") };
        let outcome = covenant.view(chain.state(), chain.block(), endless).await.unwrap();
        assert_eq!((outcome.verdict, outcome.gas_used), (Verdict::OutOfGas, 1_000_000));
    });
}

#[test]
fn turns_run_out() {
    let mut chain = Chain::new();
    let spinning = chain.deploy(&spin(), b"");
    on_tokio(async move |runtime| {
        let settings =
            Settings { max_running: 1, max_waiting: 1, max_gas: Gas(u64::MAX), ..Settings::default() };
        let covenant = covenant(runtime.clone(), &chain, settings);
        let (state, block) = (chain.state(), chain.block());
        let start = |name| {
            let (covenant, state) = (covenant.clone(), state.clone());
            runtime.spawn(name, async move { covenant.view(state, block, call(spinning, b"")).await })
        };
        let (running, waiting) = (start("running"), start("waiting"));
        for _ in 0..10 {
            futures_lite::future::yield_now().await;
        }
        let refused = covenant.view(state.clone(), block, call(spinning, b"")).await;
        assert_eq!(refused, Err(CallError::Overloaded { waiting: 1 }));
        drop((running, waiting));
    });
}

#[test]
fn what_cannot_be_called_is_said() {
    let mut chain = Chain::new();
    let counter = chain.deploy(COUNTER, b"");
    on_tokio(async move |runtime| {
        let covenant = covenant(runtime, &chain, Settings::default());
        let (state, block) = (chain.state(), chain.block());
        let missing = covenant.view(state.clone(), block, call(NOBODY, b"")).await;
        assert_eq!(missing, Err(CallError::NotAContract { contract: NOBODY }));
        let unpaid = ContractCall { value: 1, ..call(counter, &[0]) };
        assert!(matches!(covenant.simulate(state, block, unpaid).await, Err(CallError::Value(_))));
    });
}

#[test]
fn estimates_are_what_the_ledger_charges() {
    let mut chain = Chain::new();
    let token = chain.deploy(TOKEN, b"");
    let transfer = [&[0][..], &NOBODY.0, &5u128.to_le_bytes()].concat();
    let leg = Leg { to: NOBODY, asset: GCC, amount: 3 };
    let actions = [
        Action::Transfer { to: NOBODY, asset: GCC, amount: 10 },
        Action::MultiTransfer { legs: vec![leg; 4] },
        Action::Deploy { code: COUNTER.to_vec(), input: vec![] },
        Action::Deploy { code: TOKEN.to_vec(), input: 5u128.to_le_bytes().to_vec() },
        action(token, &transfer),
    ];
    for action in actions {
        let estimate = {
            let (engine, cache) = (Engine::new(), CodeCache::default());
            let (state, block, draft) = (chain.state(), chain.block(), draft(chain.sender(), action.clone()));
            on_tokio(async move |runtime| {
                let covenant = Covenant::new(runtime, engine, cache, Settings::default());
                covenant.estimate(state, block, &draft).await.unwrap()
            })
        };
        let mut short = chain.clone();
        let receipt = chain.apply(action.clone(), estimate.0);
        assert_eq!((receipt.status, receipt.gas_used), (Status::Success, estimate), "{action:?}");
        if matches!(action, Action::Call { .. }) {
            assert_eq!(short.apply(action, estimate.0 - 1).status, Status::OutOfGas);
        }
    }
}

#[test]
fn a_contract_that_looks_at_its_gas_is_given_enough() {
    // Does nothing with a million gas or more, otherwise reverts.
    let code = wat::parse_str(
        r#"(module
            (import "shroud" "gas_left" (func $gas_left (result i64)))
            (memory (export "memory") 1)
            (func (export "shroud_init"))
            (func (export "shroud_call")
                (if (i64.lt_u (call $gas_left) (i64.const 1000000)) (then unreachable))))"#,
    )
    .unwrap();
    let mut chain = Chain::new();
    let contract = chain.deploy(&code, b"");
    let (state, block, wish) = (chain.state(), chain.block(), draft(chain.sender(), action(contract, b"")));
    let (engine, cache) = (chain.engine.clone(), chain.cache.clone());
    let estimate = on_tokio(async move |runtime| {
        Covenant::new(runtime, engine, cache, Settings::default())
            .estimate(state, block, &wish)
            .await
            .unwrap()
    });
    assert_eq!(chain.apply(action(contract, b""), estimate.0).status, Status::Success);
}

#[test]
fn estimates_of_what_fails_say_how() {
    let mut chain = Chain::new();
    let (counter, sender) = (chain.deploy(COUNTER, b""), chain.sender());
    on_tokio(async move |runtime| {
        let covenant = covenant(runtime, &chain, Settings::default());
        let estimate = async |draft: Draft| covenant.estimate(chain.state(), chain.block(), &draft).await;
        let failure = estimate(draft(sender, action(counter, &[9]))).await;
        let Err(CallError::WouldFail(outcome)) = failure else { panic!("{failure:?}") };
        assert_eq!(outcome.verdict, Verdict::InvalidFunction { selector: 9 });
        let bad = Action::Deploy { code: b"not a module".to_vec(), input: vec![] };
        assert!(matches!(estimate(draft(sender, bad)).await, Err(CallError::Code(_))));
        let large = Action::Deploy { code: vec![0; 9_000_000], input: vec![] };
        assert!(matches!(estimate(draft(sender, large)).await, Err(CallError::AboveBlockLimit { .. })));
        let poor = Action::Transfer { to: NOBODY, asset: AssetId(0), amount: u128::MAX };
        assert!(matches!(estimate(draft(sender, poor)).await, Err(CallError::Value(_))));
        // To an address without code: an error natively, a transfer from an Ethereum wallet.
        let call = draft(sender, action(NOBODY, b""));
        assert_eq!(estimate(call.clone()).await, Err(CallError::NotAContract { contract: NOBODY }));
        assert_eq!(estimate(Draft { kind: Kind::Ethereum, ..call }).await, Ok(Gas(21_000)));
    });
}
