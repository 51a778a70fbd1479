//! Every oracle passes a good run and fails on a run that is wrong in its way.

use super::*;
use crate::sim::evidence::{Beyond, Chain, Committed, Measured, Progress};
use crate::sim::history::{Operation, Outcome, Refusal};
use crate::sim::model::{AccountModel, Call, Effect, LedgerModel, Receipt, Reply, Submit};
use shroud_crypto::{Address, Hash};
use shroud_ledger::{AssetId, GCC};
use std::collections::BTreeMap;
use std::time::Duration;

const ALICE: Address = Address([1; 20]);
const BOB: Address = Address([2; 20]);
const FEES: Address = Address([0xfe; 20]);
const COUNTER: Address = Address([0xc0; 20]);
const MANA: AssetId = AssetId(2);
/// Gas of each transaction, at one base unit.
const GAS: u64 = 21;

fn account(nonce: u64, gcc: u128, mana: u128) -> AccountModel {
    let balances = BTreeMap::from([(GCC, gcc), (MANA, mana)]);
    AccountModel { nonce, balances: balances.into_iter().filter(|(_, amount)| *amount > 0).collect() }
}

fn submit(id: u8, from: Address, nonce: u64, effect: Effect) -> Submit {
    Submit { hash: Hash([id; 32]), from, nonce, most: GAS.into(), effect }
}

fn receipt(height: u64) -> Receipt {
    Receipt { height, success: true, gas_used: GAS }
}

fn operation(
    client: u32,
    call: Call,
    (invoked, returned): (u64, u64),
    reply: Reply,
) -> Operation<Call, Reply> {
    let times = (Duration::from_secs(invoked), Duration::from_secs(returned));
    Operation { client, call, invoked, returned: Some(returned), outcome: Outcome::Done(reply), times }
}

/// Alice pays Bob 10 MANA, then counts; Bob, told nothing at first, pays her 3 GCC and sends it again.
fn good() -> Evidence {
    let pay = submit(1, ALICE, 0, Effect::Transfer { to: BOB, asset: MANA, amount: 10 });
    let back = submit(2, BOB, 0, Effect::Transfer { to: ALICE, asset: GCC, amount: 3 });
    let count = submit(3, ALICE, 1, Effect::Add { contract: COUNTER, amount: 5 });
    let submits = [&pay, &back, &count];
    let committed = submits.iter().zip([1, 1, 2]).zip([0, 1, 0]).map(|((submit, height), index)| Committed {
        hash: submit.hash,
        from: submit.from,
        nonce: submit.nonce,
        index,
        receipt: receipt(height),
    });
    let mut lost = operation(1, Call::Submit(back.clone()), (1, 2), Reply::Included(receipt(1)));
    (lost.outcome, lost.returned) = (Outcome::Unknown, None);
    let history = vec![
        operation(0, Call::Submit(pay.clone()), (0, 3), Reply::Included(receipt(1))),
        lost,
        operation(0, Call::ReadAccount(ALICE), (4, 5), Reply::Account(account(1, 82, 90))),
        operation(1, Call::Submit(back.clone()), (6, 9), Reply::Included(receipt(1))),
        operation(0, Call::Submit(count.clone()), (7, 8), Reply::Included(receipt(2))),
        operation(2, Call::ReadCounter(COUNTER), (10, 11), Reply::Count(5)),
    ];
    let chain = Chain {
        committed: committed.collect(),
        accounts: BTreeMap::from([
            (ALICE, account(2, 61, 90)),
            (BOB, account(1, 76, 110)),
            (FEES, account(0, 63, 0)),
        ]),
        counters: BTreeMap::from([(COUNTER, 5)]),
        tip: (2, Hash([9; 32])),
        odd: Vec::new(),
        audit: Some(Ok((2, Hash([9; 32]), 3))),
    };
    Evidence {
        model: LedgerModel {
            genesis: BTreeMap::from([(ALICE, account(0, 100, 100)), (BOB, account(0, 100, 100))]),
            gas_price: 1,
            fee_account: FEES,
            included: BTreeMap::new(),
        },
        history,
        requested: submits.into_iter().map(|submit| (submit.hash, submit.clone())).collect(),
        chain: Some(chain),
        progress: Progress {
            healed: Duration::from_secs(5),
            finished: Some(Duration::from_secs(11)),
            allowed: Duration::from_secs(60),
            unfinished: 0,
        },
        leaks: vec![Measured { what: "tasks".into(), seen: 0, limit: 0 }],
        limits: vec![Measured { what: "queue".into(), seen: 7, limit: 8 }],
        broken: Vec::new(),
        beyond: None,
    }
}

/// Who complains about a run that `change` made wrong.
fn complaints(change: impl FnOnce(&mut Evidence, &mut Chain)) -> Vec<&'static str> {
    let mut evidence = good();
    let mut chain = evidence.chain.take().expect("a chain");
    change(&mut evidence, &mut chain);
    evidence.chain = Some(chain);
    judge(&evidence).into_iter().map(|violation| violation.oracle).collect()
}

#[test]
fn a_good_run_passes() {
    assert_eq!(judge(&good()), []);
}

#[test]
fn a_lost_acknowledgement() {
    let found = complaints(|_, chain| {
        chain.committed.pop();
        chain.accounts.insert(ALICE, account(1, 82, 90));
        chain.accounts.insert(FEES, account(0, 42, 0));
        chain.counters.insert(COUNTER, 0);
        chain.audit = Some(Ok((2, Hash([9; 32]), 2)));
    });
    assert_eq!(found, ["durability", "linearizability"]);
}

#[test]
fn an_effect_without_a_request_or_twice() {
    let unasked = complaints(|evidence, _| {
        evidence.requested.remove(&Hash([2; 32]));
    });
    assert!(unasked.contains(&"effects"), "{unasked:?}");
    let twice = complaints(|_, chain| chain.committed.push(chain.committed[1]));
    assert!(twice.contains(&"effects") && twice.contains(&"replies"), "{twice:?}");
    let gap = complaints(|_, chain| chain.committed[2].nonce = 2);
    assert!(gap.contains(&"effects"), "{gap:?}");
}

#[test]
fn money_from_nowhere() {
    let found = complaints(|_, chain| drop(chain.accounts.insert(BOB, account(1, 76, 120))));
    assert_eq!(found, ["conservation", "replies"]);
    // A mistake that keeps the sums.
    let swapped = complaints(|_, chain| {
        chain.accounts.insert(ALICE, account(2, 61, 80));
        chain.accounts.insert(BOB, account(1, 76, 120));
    });
    assert_eq!(swapped, ["replies"]);
}

#[test]
fn a_receipt_that_is_not_the_chains() {
    let told = Outcome::Done(Reply::Included(receipt(2)));
    assert_eq!(complaints(|evidence, _| evidence.history[0].outcome = told), ["replies", "linearizability"]);
}

#[test]
fn a_wrong_count_in_the_end() {
    let found = complaints(|_, chain| {
        chain.counters.insert(COUNTER, 6);
    });
    assert_eq!(found, ["replies"]);
}

#[test]
fn a_stale_or_early_read() {
    let stale = Outcome::Done(Reply::Count(0));
    assert_eq!(complaints(|evidence, _| evidence.history[5].outcome = stale), ["linearizability"]);
    // Seen before anybody asked for it.
    let early = |evidence: &mut Evidence, _: &mut Chain| {
        evidence.history[2].outcome = Outcome::Done(Reply::Account(account(2, 61, 90)));
    };
    assert_eq!(complaints(early), ["linearizability"]);
}

#[test]
fn readers_of_different_accounts_see_one_order() {
    const CAROL: Address = Address([3; 20]);
    let own = submit(4, CAROL, 0, Effect::Transfer { to: CAROL, asset: MANA, amount: 1 });
    let carol_shows = |seen: AccountModel| {
        let own = own.clone();
        complaints(move |evidence, chain| {
            evidence.model.genesis.insert(CAROL, account(0, 100, 0));
            evidence.model.genesis.entry(CAROL).or_default().balances.insert(MANA, 1);
            evidence.requested.insert(own.hash, own.clone());
            // Before all others.
            chain.committed.insert(
                0,
                Committed { hash: own.hash, from: CAROL, nonce: 0, index: 0, receipt: receipt(1) },
            );
            chain.accounts.insert(CAROL, account(1, 79, 1));
            chain.accounts.insert(FEES, account(0, 84, 0));
            chain.audit = Some(Ok((2, Hash([9; 32]), 4)));
            // In flight from the beginning to the end, and read after Alice's account was seen to have paid.
            evidence.history.push(operation(3, Call::Submit(own), (0, 12), Reply::Included(receipt(1))));
            evidence.history.push(operation(3, Call::ReadAccount(CAROL), (6, 7), Reply::Account(seen)));
        })
    };
    assert_eq!(carol_shows(account(1, 79, 1)), [] as [&str; 0]);
    // By itself this is explained: Carol's payment took effect later.
    assert_eq!(carol_shows(account(0, 100, 1)), ["linearizability"]);
}

#[test]
fn an_answer_before_anybody_asked() {
    // The order has the payment, and Bob knows of it before Alice sends it.
    let found = complaints(|evidence, _| {
        let seen = Reply::Account(account(0, 100, 110));
        for operation in &mut evidence.history {
            operation.invoked += 2;
            operation.returned = operation.returned.map(|returned| returned + 2);
        }
        evidence.history.push(operation(2, Call::ReadAccount(BOB), (0, 1), seen));
    });
    assert_eq!(found, ["linearizability"]);
}

#[test]
fn an_unfounded_refusal() {
    for refusal in [Refusal::NonceTooLow, Refusal::InsufficientFunds] {
        let found = complaints(|evidence, _| {
            let mut again = evidence.history[3].clone();
            (again.invoked, again.returned) = (12, Some(13));
            again.outcome = Outcome::Refused(refusal);
            evidence.history.push(again);
        });
        assert_eq!(found, ["linearizability"], "{refusal:?}");
    }
}

#[test]
fn a_commitment_that_replay_does_not_give() {
    assert_eq!(complaints(|_, chain| chain.tip.1 = Hash([8; 32])), ["commitment"]);
    assert_eq!(complaints(|_, chain| chain.audit = Some(Err("damaged".into()))), ["commitment"]);
}

#[test]
fn leaks_limits_liveness_and_reports() {
    assert_eq!(complaints(|evidence, _| evidence.leaks[0].seen = 1), ["leaks"]);
    assert_eq!(complaints(|evidence, _| evidence.limits[0].seen = 9), ["limits"]);
    assert_eq!(complaints(|evidence, _| evidence.progress.finished = None), ["liveness"]);
    assert_eq!(
        complaints(|evidence, _| evidence.progress.finished = Some(Duration::from_secs(66))),
        ["liveness"]
    );
    assert_eq!(complaints(|evidence, _| evidence.broken.push("a task panicked".into())), ["broken"]);
}

/// What a lying disk took: Alice's count, acknowledged at 8 s, is gone.
fn lose_the_count(evidence: &mut Evidence, chain: &mut Chain, lied: (u64, u64)) {
    evidence.history.pop();
    chain.committed.pop();
    chain.accounts.insert(ALICE, account(1, 82, 90));
    chain.accounts.insert(FEES, account(0, 42, 0));
    chain.counters.insert(COUNTER, 0);
    chain.audit = Some(Ok((2, Hash([9; 32]), 2)));
    let lied = vec![(Duration::from_secs(lied.0), Duration::from_secs(lied.1))];
    evidence.beyond = Some(Beyond { refusals: Vec::new(), lied });
}

#[test]
fn beyond_the_claims_only_what_the_disk_lied_about_may_be_gone() {
    assert_eq!(complaints(|evidence, chain| lose_the_count(evidence, chain, (6, 10))), [] as [&str; 0]);
    let outside = complaints(|evidence, chain| lose_the_count(evidence, chain, (1, 3)));
    assert!(outside.contains(&"durability"), "{outside:?}");
}

#[test]
fn beyond_the_claims_what_was_gone_may_come_again_in_another_block() {
    let move_the_count = |evidence: &mut Evidence, chain: &mut Chain, lied: (u64, u64)| {
        let told = evidence.history.iter_mut().rev().find_map(|operation| match &mut operation.outcome {
            Outcome::Done(Reply::Included(receipt)) => Some(receipt),
            _ => None,
        });
        // The answer named a block that is gone; the chain has it in a later one.
        told.expect("an answer").height -= 1;
        let lied = vec![(Duration::from_secs(lied.0), Duration::from_secs(lied.1))];
        chain.audit.get_or_insert(Ok((0, Hash([9; 32]), 0)));
        evidence.beyond = Some(Beyond { refusals: Vec::new(), lied });
    };
    assert_eq!(complaints(|evidence, chain| move_the_count(evidence, chain, (0, 100))), [] as [&str; 0]);
    let outside = complaints(|evidence, chain| move_the_count(evidence, chain, (200, 300)));
    assert!(outside.contains(&"replies"), "{outside:?}");
}

#[test]
fn beyond_the_claims_a_refusal_names_the_place_and_silence_is_none() {
    let refuse = |refusals: &[&str]| {
        let mut evidence = good();
        evidence.chain = None;
        let refusals = refusals.iter().map(|refusal| (*refusal).to_owned()).collect();
        evidence.beyond = Some(Beyond { refusals, lied: Vec::new() });
        judge(&evidence).into_iter().map(|violation| violation.oracle).collect::<Vec<_>>()
    };
    assert_eq!(refuse(&["journal segment 0 is damaged at offset 4096: bad"]), [] as [&str; 0]);
    assert_eq!(refuse(&["something is wrong"]), ["beyond"]);
    assert_eq!(refuse(&[]), ["beyond"]);
    // Right by its looks, wrong in what it says.
    let wrong = complaints(|evidence, chain| {
        evidence.beyond = Some(Beyond::default());
        chain.tip.1 = Hash([8; 32]);
    });
    assert_eq!(wrong, ["commitment"]);
}
