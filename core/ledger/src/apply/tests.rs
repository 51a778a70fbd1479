//! The applier against a naive model, and contract calls of every ending.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shroud_crypto::{ed25519, keccak256, secp256k1};

use super::*;
use crate::genesis::Genesis;
use crate::posting::{is_balanced, trial_balance};
use crate::replay::{ReplayError, replay};
use crate::transaction::ethereum::{EthereumFees, EthereumRequest};
use crate::transaction::native::NativeBody;
use crate::transaction::{Leg, Transaction, verify};
use crate::{AssetId, ChainId};

const CHAIN: ChainId = ChainId(7331);
const GHOST: AssetId = AssetId(3);
const PRICE: u128 = 10;
const FEES: Address = Address([0xfe; 20]);
const FUNDS: u128 = 1_000_000_000_000;
const COUNTER: &[u8] = include_bytes!("../../../../contracts/counter/counter.wasm");
const TOKEN: &[u8] = include_bytes!("../../../../contracts/token/token.wasm");
const SPIN: &str = r#"(module (memory (export "memory") 1) (func (export "shroud_init")) (func (export "shroud_call") (loop (br 0))))"#;

fn key(number: u8) -> ed25519::SigningKey {
    ed25519::SigningKey::from_seed(&[number; 32])
}

fn address(number: u8) -> Address {
    Address::from_ed25519(key(number).verifying_key())
}

fn ethereum_key() -> secp256k1::SigningKey {
    secp256k1::SigningKey::from_secret(&[0x46; 32]).unwrap()
}

fn genesis() -> Genesis {
    let holders: Vec<_> = (0..4).map(address).chain([ethereum_key().verifying_key().address()]).collect();
    let accounts: Vec<_> = holders
        .iter()
        .map(|holder| {
            format!(r#"{{"address": "{holder}", "balances": {{"GCC": "{FUNDS}", "GHOST": "1000"}}}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"chain_id": 7331, "timestamp": 1, "gas_price": "{PRICE}", "block_gas_limit": 1000000000, "fee_account": "{FEES}",
        "assets": [{{"id": 0, "symbol": "GCC", "decimals": 18, "name": "Ghost Compute Credit"}},
                   {{"id": 3, "symbol": "GHOST", "decimals": 18, "name": "Ghost"}}],
        "accounts": [{}]}}"#,
        accounts.join(",")
    );
    Genesis::from_json(text.as_bytes()).unwrap()
}

fn applier() -> Applier {
    let genesis = genesis();
    let cache = CodeCache::new(16, 1 << 24);
    Applier::new(*genesis.parameters(), Engine::new(), cache, genesis.tree().clone(), *genesis.header())
}

fn native(signer: u8, nonce: u64, gas_limit: u64, action: Action) -> VerifiedTransaction {
    let body = NativeBody {
        chain_id: CHAIN,
        nonce: Nonce(nonce),
        gas_limit: Gas(gas_limit),
        gas_price: PRICE,
        action,
    };
    verify(Transaction::decode(&body.sign(&key(signer)).encode()).unwrap(), CHAIN).unwrap()
}

fn ethereum(nonce: u64, gas_limit: u64, to: Address, value: u128, input: Vec<u8>) -> VerifiedTransaction {
    let fees = EthereumFees::Dynamic { max_fee_per_gas: 100, max_priority_fee_per_gas: 2 };
    let request = EthereumRequest {
        chain_id: CHAIN,
        nonce: Nonce(nonce),
        gas_limit: Gas(gas_limit),
        fees,
        to,
        value,
        input,
    };
    verify(Transaction::decode(&request.sign(&ethereum_key()).unwrap()).unwrap(), CHAIN).unwrap()
}

fn transfer(to: Address, asset: AssetId, amount: u128) -> Action {
    Action::Transfer { to, asset, amount }
}

/// Submits and runs to the end in slices of `fuel`.
fn run(applier: &mut Applier, transaction: &VerifiedTransaction, fuel: u64) -> Progress {
    let mut progress = applier.submit(transaction).unwrap();
    while progress == Progress::Running {
        assert_eq!(applier.submit(transaction), Err(ApplyError::Busy));
        progress = applier.resume(fuel).unwrap();
    }
    progress
}

/// One block of these transactions, all of which must get in; replayed on a second applier in other slices.
fn block(applier: &mut Applier, transactions: &[VerifiedTransaction]) -> AppliedBlock {
    let mut second = Applier::new(
        *applier.parameters(),
        Engine::new(),
        CodeCache::new(0, 0),
        applier.tree().clone(),
        *applier.tip(),
    );
    applier.begin(Timestamp(5_000)).unwrap();
    for (transaction, index) in transactions.iter().zip(0..) {
        assert_eq!(run(applier, transaction, 1_000), Progress::Done { index });
    }
    let applied = applier.finish().unwrap();
    assert!(trial_balance(applier.tree()).unwrap().iter().all(|book| book.is_balanced()));
    assert!(applied.postings.iter().all(|postings| is_balanced(postings)));
    let bytes = applied.block.encode();
    let replayed = replay(&mut second, &Block::decode(&bytes).unwrap(), &[0; 32]).unwrap();
    assert_eq!((replayed.hash, replayed.changes), (applied.hash, applied.changes.clone()));
    assert_eq!(replayed.receipts, applied.receipts);
    applied
}

fn deploy(applier: &mut Applier, signer: u8, nonce: u64, code: &[u8]) -> Address {
    let action = Action::Deploy { code: code.to_vec(), input: 500u128.to_le_bytes().to_vec() };
    let applied = block(applier, &[native(signer, nonce, 100_000_000, action)]);
    assert_eq!(applied.receipts[0].status, Status::Success, "{}", applied.receipts[0].status);
    let contract = applied.receipts[0].contract.unwrap();
    assert_eq!(contract, Address::create(&address(signer), nonce));
    let code_hash = crate::state::account(applier.tree(), contract).unwrap().code.unwrap();
    assert_eq!(code_hash, keccak256(code));
    assert_eq!(crate::state::code(applier.tree(), code_hash), Some(code));
    contract
}

fn call(contract: Address, value: u128, input: &[u8]) -> Action {
    Action::Call { contract, asset: GCC, value, input: input.to_vec() }
}

fn storage(applier: &Applier, contract: Address, key: &[u8]) -> Option<Vec<u8>> {
    Overlay::new(applier.tree().clone()).storage(contract, key).map(<[u8]>::to_vec)
}

#[test]
fn counter_counts_for_both_kinds() {
    let mut applier = applier();
    let counter = deploy(&mut applier, 1, 0, COUNTER);
    let mut add = vec![2];
    add.extend(40u64.to_le_bytes());
    let applied = block(
        &mut applier,
        &[
            native(1, 1, 100_000, call(counter, 0, &[0])),
            native(2, 0, 100_000, call(counter, 0, &add)),
            ethereum(0, 100_000, counter, 0, vec![0]),
            native(2, 1, 100_000, call(counter, 0, &[1])),
        ],
    );
    assert!(applied.receipts.iter().all(|receipt| receipt.status.is_success()), "{:?}", applied.receipts);
    assert_eq!(applied.receipts[3].output, 42u64.to_le_bytes());
    assert_eq!(applied.receipts[2].gas_price, 12);
    assert_eq!(storage(&applier, counter, b"n"), Some(42u64.to_le_bytes().to_vec()));
}

#[test]
fn token_moves_its_own_balances() {
    let mut applier = applier();
    let token = deploy(&mut applier, 1, 0, TOKEN);
    let mut input = vec![0];
    input.extend(address(2).0);
    input.extend(20u128.to_le_bytes());
    let mut query = vec![1];
    query.extend(address(2).0);
    let applied = block(
        &mut applier,
        &[native(1, 1, 200_000, call(token, 0, &input)), native(2, 0, 200_000, call(token, 0, &query))],
    );
    assert!(applied.receipts[0].status.is_success(), "{}", applied.receipts[0].status);
    assert_eq!(applied.receipts[1].output, 20u128.to_le_bytes());
}

#[test]
fn failed_calls_cost_gas_and_nothing_else() {
    let mut applier = applier();
    let counter = deploy(&mut applier, 1, 0, COUNTER);
    let spin = deploy(&mut applier, 1, 1, &wat::parse_str(SPIN).unwrap());
    let before = crate::state::account(applier.tree(), counter).unwrap();
    let applied = block(
        &mut applier,
        &[
            native(2, 0, 50_000, call(spin, 7, b"")),
            native(2, 1, 50_000, call(counter, 7, &[9])),
            native(2, 2, 10_000_000, Action::Deploy { code: b"no wasm".to_vec(), input: vec![] }),
        ],
    );
    let [spun, unknown, bad] = applied.receipts.as_slice() else { panic!() };
    assert_eq!((&spun.status, spun.gas_used), (&Status::OutOfGas, Gas(50_000)));
    assert_eq!(unknown.status, Status::InvalidFunction { selector: 9 });
    assert!(matches!(bad.status, Status::InvalidCode { .. }) && bad.contract.is_none());
    assert_eq!(crate::state::account(applier.tree(), counter).unwrap(), before);
    let fees: u128 = applied.receipts.iter().map(|receipt| u128::from(receipt.gas_used.0) * PRICE).sum();
    let sender = crate::state::account(applier.tree(), address(2)).unwrap();
    assert_eq!((sender.balance(GCC), sender.nonce), (FUNDS - fees, Nonce(3)));
}

#[test]
fn value_goes_with_a_call_and_plain_ethereum_transfers_need_no_contract() {
    let mut applier = applier();
    let accept = deploy(
        &mut applier,
        1,
        0,
        &wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "shroud_init")) (func (export "shroud_call")))"#)
            .unwrap(),
    );
    let stranger = Address([0x77; 20]);
    block(
        &mut applier,
        &[
            native(2, 0, 50_000, Action::Call { contract: accept, asset: GHOST, value: 30, input: vec![] }),
            ethereum(0, 50_000, accept, 9, vec![]),
            ethereum(1, 21_000, stranger, 11, vec![]),
        ],
    );
    let contract = crate::state::account(applier.tree(), accept).unwrap();
    assert_eq!((contract.balance(GHOST), contract.balance(GCC)), (30, 9));
    assert_eq!(crate::state::account(applier.tree(), stranger).unwrap().balance(GCC), 11);
}

#[test]
fn rejections_have_no_effect() {
    let mut applier = applier();
    let to = Address([5; 20]);
    let root = applier.tree().root();
    applier.begin(Timestamp(0)).unwrap();
    let mut refuse = |transaction: &VerifiedTransaction| match applier.submit(transaction).unwrap() {
        Progress::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    };
    let (expected, stated) = (Nonce(0), Nonce(3));
    assert_eq!(
        refuse(&native(1, 3, 21_000, transfer(to, GCC, 1))),
        Rejection::NonceTooHigh { expected, stated }
    );
    assert_eq!(
        refuse(&native(1, 0, 20_999, transfer(to, GCC, 1))),
        Rejection::GasLimitTooLow { limit: Gas(20_999), intrinsic: Gas(21_000) }
    );
    assert!(matches!(
        refuse(&native(1, 0, 2_000_000_000, transfer(to, GCC, 1))),
        Rejection::GasLimitTooHigh { .. }
    ));
    assert!(matches!(
        refuse(&native(1, 0, 21_000, transfer(to, GCC, FUNDS))),
        Rejection::InsufficientFunds { asset: GCC, .. }
    ));
    assert!(matches!(
        refuse(&native(1, 0, 21_000, transfer(to, GHOST, 1_001))),
        Rejection::InsufficientFunds { asset: GHOST, balance: 1000, needed: 1001 }
    ));
    assert_eq!(
        refuse(&native(1, 0, 21_000, transfer(to, AssetId(8), 0))),
        Rejection::UnknownAsset { asset: AssetId(8) }
    );
    assert_eq!(refuse(&native(1, 0, 50_000, call(to, 0, b""))), Rejection::NotAContract { address: to });
    let twice = vec![Leg { to, asset: GHOST, amount: 600 }; 2];
    assert!(matches!(
        refuse(&native(1, 0, 50_000, Action::MultiTransfer { legs: twice })),
        Rejection::InsufficientFunds { asset: GHOST, needed: 1200, .. }
    ));
    let max = u128::MAX;
    assert!(
        matches!(refuse(&native(1, 0, 21_000, transfer(to, GCC, max))), Rejection::InsufficientFunds { needed, .. } if needed == max)
    );
    let empty = applier.finish().unwrap();
    assert_eq!((empty.block.header.state_root, empty.changes.len()), (root, 0));
}

#[test]
fn nonces_stop_replay_within_and_across_blocks() {
    let mut applier = applier();
    let once = native(1, 0, 21_000, transfer(Address([5; 20]), GCC, 1));
    applier.begin(Timestamp(0)).unwrap();
    assert_eq!(applier.submit(&once).unwrap(), Progress::Done { index: 0 });
    let low = Progress::Rejected(Rejection::NonceTooLow { expected: Nonce(1), stated: Nonce(0) });
    assert_eq!(applier.submit(&once).unwrap(), low);
    applier.finish().unwrap();
    applier.begin(Timestamp(0)).unwrap();
    assert_eq!(applier.submit(&once).unwrap(), low);
    assert_eq!(applier.begin(Timestamp(0)), Err(ApplyError::BlockOpen));
}

#[test]
fn replay_names_what_differs() {
    let mut applier = applier();
    let applied = block(&mut applier, &[native(1, 0, 21_000, transfer(Address([5; 20]), GCC, 1))]);
    let fresh = self::applier;
    let mut altered = applied.block.clone();
    altered.header.state_root.0[0] ^= 1;
    assert!(matches!(
        replay(&mut fresh(), &altered, &[0; 32]),
        Err(ReplayError::Mismatch { field: "state root", height: Height(1), .. })
    ));
    let mut altered = applied.block.clone();
    altered.header.height = Height(2);
    assert!(matches!(replay(&mut fresh(), &altered, &[0; 32]), Err(ReplayError::Height { .. })));
    let mut altered = applied.block.clone();
    let mut bytes = altered.transactions[0].to_vec();
    bytes[30] ^= 1;
    altered.transactions[0] = bytes.into();
    assert!(matches!(replay(&mut fresh(), &altered, &[0; 32]), Err(ReplayError::Verify { index: 0, .. })));
}

/// (signer, asset, legs of (receiver, amount))
type Move = (u8, bool, Vec<(u8, u16)>);

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let legs = proptest::collection::vec((0..6u8, 0..400u16), 1..4);
    proptest::collection::vec((0..4u8, any::<bool>(), legs), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn transfers_equal_a_naive_model_however_they_are_batched(moves in moves(), cut in 0..20usize) {
        let (mut together, mut apart) = (applier(), applier());
        let mut model: BTreeMap<(Address, AssetId), i128> = BTreeMap::new();
        let mut nonces = [0u64; 4];
        for number in 0..4 {
            model.insert((address(number), GCC), FUNDS as i128);
            model.insert((address(number), GHOST), 1000);
        }
        together.begin(Timestamp(9)).unwrap();
        apart.begin(Timestamp(3)).unwrap();
        for (at, (signer, ghost, legs)) in moves.iter().enumerate() {
            let asset = if *ghost { GHOST } else { GCC };
            let from = address(*signer);
            let legs: Vec<_> = legs.iter().map(|(to, amount)| Leg { to: address(*to), asset, amount: u128::from(*amount) }).collect();
            let gas = 21_000 + 9_000 * (legs.len() as u64 - 1);
            let sum: u128 = legs.iter().map(|leg| leg.amount).sum();
            let covered = model[&(from, asset)] >= sum as i128;
            let transaction = native(*signer, nonces[usize::from(*signer)], gas, Action::MultiTransfer { legs: legs.clone() });
            let one = together.submit(&transaction).unwrap();
            let two = apart.submit(&transaction).unwrap();
            prop_assert_eq!(matches!(one, Progress::Done { .. }), covered);
            prop_assert_eq!(matches!(two, Progress::Done { .. }), covered);
            if covered {
                nonces[usize::from(*signer)] += 1;
                for leg in legs {
                    *model.entry((from, asset)).or_default() -= leg.amount as i128;
                    *model.entry((leg.to, asset)).or_default() += leg.amount as i128;
                }
                let fee = i128::from(gas) * PRICE as i128;
                *model.entry((from, GCC)).or_default() -= fee;
                *model.entry((FEES, GCC)).or_default() += fee;
            }
            if at == cut {
                apart.finish().unwrap();
                apart.begin(Timestamp(4)).unwrap();
            }
        }
        let applied = together.finish().unwrap();
        apart.finish().unwrap();
        prop_assert_eq!(together.tree().root(), apart.tree().root());
        prop_assert!(applied.postings.iter().all(|postings| is_balanced(postings)));
        prop_assert!(trial_balance(together.tree()).unwrap().iter().all(|book| book.is_balanced()));
        for ((holder, asset), amount) in model {
            let account = crate::state::account(together.tree(), holder).unwrap();
            prop_assert_eq!(account.balance(asset) as i128, amount);
        }
    }
}
