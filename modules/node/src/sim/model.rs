//! The ledger as its users understand it: accounts with nonces and balances, counters, one transaction after the other.
//!
//! It is the specification that answers are held against ([`LedgerModel`] implements [`Specification`]) and, run in the
//! committed order, says what every account must hold in the end. It shares no code with the ledger itself.

use super::evidence::Committed;
use super::history::{Operation, Outcome, Refusal};
use super::linear::Specification;
use shroud_crypto::{Address, Hash};
use shroud_ledger::{AssetId, GCC};
use std::collections::{BTreeMap, BTreeSet};

/// What a client asks of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To have a transaction included.
    Submit(Submit),
    /// What an account holds.
    ReadAccount(Address),
    /// What a counter contract counted.
    ReadCounter(Address),
}

/// A signed transaction, as the model needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Its hash.
    pub hash: Hash,
    /// Who signed it.
    pub from: Address,
    /// Its nonce.
    pub nonce: u64,
    /// The most that it may cost, in base units of GCC.
    pub most: u128,
    /// What it does.
    pub effect: Effect,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Moves an amount.
    Transfer {
        /// To whom.
        to: Address,
        /// Of what.
        asset: AssetId,
        /// How much.
        amount: u128,
    },
    /// Has a counter contract add.
    Add {
        /// Which contract.
        contract: Address,
        /// How much.
        amount: u64,
    },
    /// Puts a contract there; nobody reads it in the model.
    Deploy {
        /// Its address, as the node told it.
        contract: Address,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The transaction is durable.
    Included(Receipt),
    /// The account.
    Account(AccountModel),
    /// The count.
    Count(u64),
}

/// What the answer to a transaction says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The block.
    pub height: u64,
    /// Whether it did what it should.
    pub success: bool,
    /// What it used.
    pub gas_used: u64,
}

/// An account as its owner sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountModel {
    /// Its next nonce.
    pub nonce: u64,
    /// What it holds; nothing that is zero.
    pub balances: BTreeMap<AssetId, u128>,
}

impl AccountModel {
    fn balance(&self, asset: AssetId) -> u128 {
        self.balances.get(&asset).copied().unwrap_or(0)
    }

    fn add(&mut self, asset: AssetId, amount: u128) -> Option<()> {
        self.set(asset, self.balance(asset).checked_add(amount)?)
    }

    fn take(&mut self, asset: AssetId, amount: u128) -> Option<()> {
        self.set(asset, self.balance(asset).checked_sub(amount)?)
    }

    fn set(&mut self, asset: AssetId, amount: u128) -> Option<()> {
        if amount == 0 {
            self.balances.remove(&asset);
        } else {
            self.balances.insert(asset, amount);
        }
        Some(())
    }
}

/// The state of some accounts and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// The accounts.
    pub accounts: BTreeMap<Address, AccountModel>,
    /// The counters.
    pub counters: BTreeMap<Address, u64>,
    /// Which transaction used each nonce.
    pub used: BTreeMap<(Address, u64), Hash>,
}

/// The model of one run's ledger.
#[derive(Clone, Debug, Default)]
pub struct LedgerModel {
    /// What everyone starts with.
    pub genesis: BTreeMap<Address, AccountModel>,
    /// What a gas costs.
    pub gas_price: u128,
    /// Who earns the fees. No workload reads it while others pay.
    pub fee_account: Address,
    /// What became of each transaction that is in the chain: what gas it used is the engine's business, not the model's.
    pub included: BTreeMap<Hash, Receipt>,
}

/// One operation of a client on the ledger.
pub type LedgerOperation = Operation<Call, Reply>;

impl LedgerModel {
    /// A model that knows the chain's receipts.
    #[must_use]
    pub fn with_chain(&self, chain: &[Committed]) -> Self {
        let included = chain.iter().map(|one| (one.hash, one.receipt)).collect();
        Self { included, ..self.clone() }
    }

    /// The whole state before the first block.
    #[must_use]
    pub fn beginning(&self) -> State {
        State { accounts: self.genesis.clone(), ..State::default() }
    }

    /// Has a transaction take effect; `None` when the state does not allow it.
    #[must_use]
    pub fn include(&self, state: &State, submit: &Submit, receipt: Receipt) -> Option<State> {
        let mut after = state.clone();
        let sender = after.accounts.entry(submit.from).or_default();
        if sender.nonce != submit.nonce {
            return None;
        }
        sender.nonce += 1;
        let fee = self.gas_price.checked_mul(u128::from(receipt.gas_used))?;
        sender.take(GCC, fee)?;
        after.used.insert((submit.from, submit.nonce), submit.hash);
        if receipt.success {
            match submit.effect {
                Effect::Transfer { to, asset, amount } => {
                    after.accounts.get_mut(&submit.from)?.take(asset, amount)?;
                    after.accounts.entry(to).or_default().add(asset, amount)?;
                }
                Effect::Add { contract, amount } => {
                    let counter = after.counters.entry(contract).or_default();
                    *counter = counter.checked_add(amount)?;
                }
                Effect::Deploy { .. } => {}
            }
        }
        Some(after)
    }

    fn can_pay(&self, state: &State, submit: &Submit) -> bool {
        let Some(account) = state.accounts.get(&submit.from) else { return false };
        let amount = |wanted| match submit.effect {
            Effect::Transfer { asset, amount, .. } if asset == wanted => amount,
            _ => 0,
        };
        let asset = match submit.effect {
            Effect::Transfer { asset, .. } => asset,
            _ => GCC,
        };
        account.balance(GCC) >= submit.most.saturating_add(amount(GCC))
            && account.balance(asset) >= amount(asset)
    }

    /// Whether an answer holds in a state, which has the transaction in it if the answer says so.
    #[must_use]
    pub fn allows(&self, state: &State, call: &Call, outcome: &Outcome<Reply>) -> bool {
        match (call, outcome) {
            (_, Outcome::Unknown | Outcome::Refused(Refusal::Unavailable)) => true,
            (Call::Submit(submit), outcome) => {
                let used = state.used.get(&(submit.from, submit.nonce));
                match outcome {
                    Outcome::Refused(Refusal::NonceTooLow) => used.is_some_and(|used| *used != submit.hash),
                    Outcome::Refused(Refusal::InsufficientFunds) => {
                        used.is_none() && !self.can_pay(state, submit)
                    }
                    Outcome::Done(Reply::Included(told)) => {
                        self.included.get(&submit.hash) == Some(told) && used == Some(&submit.hash)
                    }
                    _ => false,
                }
            }
            (Call::ReadAccount(address), Outcome::Done(Reply::Account(told))) => state
                .accounts
                .get(address)
                .map_or_else(|| *told == AccountModel::default(), |have| have == told),
            (Call::ReadCounter(contract), Outcome::Done(Reply::Count(told))) => {
                state.counters.get(contract).copied().unwrap_or(0) == *told
            }
            _ => false,
        }
    }

    /// The state after a transaction took effect by this call, if it may have.
    fn took_effect(&self, state: &State, submit: &Submit, outcome: &Outcome<Reply>) -> Option<State> {
        if state.used.contains_key(&(submit.from, submit.nonce)) {
            return None;
        }
        let receipt = self.included.get(&submit.hash)?;
        match outcome {
            Outcome::Unknown => self.include(state, submit, *receipt),
            Outcome::Done(Reply::Included(told)) if told == receipt => self.include(state, submit, *receipt),
            _ => None,
        }
    }
}

impl Specification for LedgerModel {
    type Call = Call;
    type Reply = Reply;
    type State = State;
    type Key = Address;

    /// Reads never change anything, and a nonce that is used stays used.
    const IDLE_FOR_EVER: bool = true;

    fn start(&self, keys: &BTreeSet<Address>) -> State {
        let account = |key: &Address| Some((*key, self.genesis.get(key)?.clone()));
        State { accounts: keys.iter().filter_map(account).collect(), ..State::default() }
    }

    fn keys(&self, call: &Call) -> Vec<Address> {
        match call {
            Call::Submit(submit) => match submit.effect {
                Effect::Transfer { to, .. } => vec![submit.from, to],
                Effect::Add { contract, .. } | Effect::Deploy { contract } => vec![submit.from, contract],
            },
            Call::ReadAccount(address) | Call::ReadCounter(address) => vec![*address],
        }
    }

    fn step(&self, state: &State, call: &Call, outcome: &Outcome<Reply>) -> Option<State> {
        if let Call::Submit(submit) = call {
            if let Some(after) = self.took_effect(state, submit, outcome) {
                return Some(after);
            }
            // An unknown one that has no effect need not be placed.
            if *outcome == Outcome::Unknown {
                return None;
            }
        }
        // Sent again: the same answer, and nothing more.
        self.allows(state, call, outcome).then(|| state.clone())
    }
}
