//! A client of the ledger: it does one thing after the other, notes all of it, and sends again what got no answer.

use super::accounts::{CHAIN_ID, GAS_PRICE, MANA, is_native, key};
use crate::sim::history::{History, Outcome, Refusal};
use crate::sim::model::{AccountModel, Call, Effect, Receipt, Reply, Submit};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shroud_crypto::{Address, Hash, keccak256};
use shroud_ghostwire::http::{self, ClientLimits};
use shroud_ghostwire::rpc::{self, CallError};
use shroud_gwallet::{Fees, Payment, Remote, RemoteError, Secret, TRANSFER_GAS};
use shroud_io_sim::chance::{Chance, Rate};
use shroud_ledger::gas::INPUT_BYTE;
use shroud_ledger::transaction::Action;
use shroud_ledger::transaction::ethereum::{EthereumFees, EthereumRequest};
use shroud_ledger::transaction::native::NativeBody;
use shroud_ledger::{AssetId, ChainId, GCC, Gas, Nonce};
use shroud_runtime::{Runtime, RuntimeExt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counter contract.
pub const COUNTER: &[u8] = include_bytes!("../../../../../contracts/counter/counter.wasm");
/// Gas that a call of the counter may use.
const CALL_GAS: u64 = 200_000;
/// Gas that its deployment may use.
const DEPLOY_GAS: u64 = 20_000_000;
/// How long a client waits before it sends something again: doubled each time, up to the second of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long clients wait for an answer.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(30)];
/// How often a client that got no answer does something else with the nonce.
const IMPATIENCE: Rate = Rate::percent(30);

/// What a client knows of a transaction in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Included,
    Refused(Refusal),
    /// Nothing.
    Abandoned,
}

/// What one client shall do.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How many clients there are.
    pub clients: u32,
    /// How many of them pay each other: clients of one group share accounts, those of different groups do not.
    pub group: u32,
    /// Things to do.
    pub operations: u32,
    /// The longest time between two things.
    pub pause: Duration,
    /// Whether there is a counter to be called.
    pub counter: bool,
}

/// What all clients of a run write down.
#[derive(Clone, Debug, Default)]
pub struct Notebook {
    /// What they did and were told.
    pub history: History<Call, Reply>,
    /// What they signed.
    requested: Arc<Mutex<BTreeMap<Hash, Submit>>>,
    /// What they were told and cannot be.
    broken: Arc<Mutex<Vec<String>>>,
    /// How many of them are done.
    done: Arc<AtomicUsize>,
}

impl Notebook {
    /// Everything that was signed.
    #[must_use]
    pub fn requested(&self) -> BTreeMap<Hash, Submit> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was told and cannot be.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many clients are done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// One more is done.
    pub fn finish(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a transaction was signed.
    pub fn sign(&self, submit: Submit) {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).insert(submit.hash, submit);
    }

    /// Notes something that cannot be.
    pub fn complain(&self, complaint: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
    }
}

/// A client of the ledger.
pub struct LedgerClient<R: Runtime> {
    runtime: R,
    began: Instant,
    number: u32,
    habits: Habits,
    key: Secret,
    wallet: Remote<R>,
    rpc: rpc::Client<R>,
    notebook: Notebook,
    chance: Chance,
    nonce: u64,
    sent: Vec<(Vec<u8>, Submit)>,
}

impl<R: Runtime> std::fmt::Debug for LedgerClient<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerClient").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The counter's address: client 0 deploys it with its first transaction.
#[must_use]
pub fn counter() -> Option<Address> {
    key(0).map(|key| Address::create(&key.address(), 0))
}

impl<R: Runtime> LedgerClient<R> {
    /// A client of the node at `url`.
    ///
    /// # Errors
    /// A sentence when the address is none.
    pub fn new(
        runtime: R,
        url: &str,
        number: u32,
        habits: Habits,
        notebook: Notebook,
        chance: Chance,
    ) -> Result<Self, String> {
        // Some users are more patient than others.
        let mut chance = chance;
        let limit = PATIENCE.get(chance.index(PATIENCE.len())).copied().unwrap_or(Duration::from_secs(30));
        let limits = ClientLimits {
            connect_time: limit.min(Duration::from_secs(10)),
            request_time: limit,
            ..ClientLimits::default()
        };
        let wallet =
            Remote::with_limits(runtime.clone(), url, limits.clone()).map_err(|error| error.to_string())?;
        let server = url.parse().map_err(|_| format!("{url} is no address"))?;
        let http = http::Client::new(runtime.clone(), limits);
        Ok(Self {
            began: runtime.now(),
            rpc: rpc::Client::new(http, server),
            key: key(number).ok_or("no key")?,
            nonce: 0,
            sent: Vec::new(),
            runtime,
            number,
            habits,
            wallet,
            notebook,
            chance,
        })
    }

    /// Does everything. Ends once every transaction has its answer.
    pub async fn run(mut self) {
        if self.habits.counter && self.number == 0 {
            self.deploy().await;
        }
        for _ in 0..self.habits.operations {
            let pause = self.chance.below(u64::try_from(self.habits.pause.as_micros()).unwrap_or(0));
            self.runtime.sleep(Duration::from_micros(pause)).await;
            self.one().await;
        }
        self.notebook.finish();
    }

    async fn one(&mut self) {
        match self.chance.below(100) {
            0..20 => {
                let address = self.peer();
                self.read_account(address).await;
            }
            20..35 if self.habits.counter => self.read_counter().await,
            35..55 if self.habits.counter && is_native(self.number) => self.count().await,
            55..60 if self.habits.counter && is_native(self.number) => self.deploy().await,
            60..66 => self.send_again().await,
            66..72 => self.pay(u128::MAX >> 1).await,
            72..80 => self.burst().await,
            _ => {
                let amount = u128::from(self.chance.between(1, 1_000_000));
                self.pay(amount).await;
            }
        }
    }

    /// A client of the same group, often this one.
    fn peer(&mut self) -> Address {
        let group = self.number / self.habits.group.max(1);
        let first = group * self.habits.group.max(1);
        let size = self.habits.group.min(self.habits.clients.saturating_sub(first)).max(1);
        let number = first + u32::try_from(self.chance.below(size.into())).unwrap_or(0);
        key(number).map_or(self.key.address(), |key| key.address())
    }

    async fn pay(&mut self, amount: u128) {
        let asset = if is_native(self.number) && self.chance.happens(Rate::percent(40)) { MANA } else { GCC };
        let to = self.peer();
        let Some((bytes, submit)) = self.sign(self.nonce, to, asset, amount) else { return };
        self.notebook.sign(submit.clone());
        let chance = self.chance.split_at("retries", self.nonce);
        match self.until_known(&bytes, &submit, chance, IMPATIENCE).await {
            Known::Included => self.included(bytes, submit),
            Known::Refused(_) => {}
            Known::Abandoned => self.replace().await,
        }
    }

    /// Pays something else with the nonce of a payment whose fate is unknown, as impatient wallets do: one of them counts.
    async fn replace(&mut self) {
        let (to, amount) = (self.peer(), u128::from(self.chance.between(1, 1_000)));
        let Some((bytes, submit)) = self.sign(self.nonce, to, GCC, amount) else { return };
        self.notebook.sign(submit.clone());
        let chance = self.chance.split_at("replacement", self.nonce);
        match self.until_known(&bytes, &submit, chance, Rate::NEVER).await {
            Known::Included => self.included(bytes, submit),
            // The first one was.
            Known::Refused(Refusal::NonceTooLow) => self.nonce += 1,
            Known::Refused(_) | Known::Abandoned => {}
        }
    }

    fn included(&mut self, bytes: Vec<u8>, submit: Submit) {
        self.nonce += 1;
        self.sent.push((bytes, submit));
    }

    async fn deploy(&mut self) {
        let contract = Address::create(&self.key.address(), self.nonce);
        let action = Action::Deploy { code: COUNTER.to_vec(), input: Vec::new() };
        self.native(action, DEPLOY_GAS, Effect::Deploy { contract }).await;
    }

    async fn count(&mut self) {
        let Some(contract) = counter() else { return };
        // Before client 0 was told that the contract is there, calling it would be refused.
        if self.notebook.history.is_empty() || !self.is_deployed(contract).await {
            return;
        }
        let amount = self.chance.between(1, 9);
        let mut input = vec![2];
        input.extend(amount.to_le_bytes());
        let action = Action::Call { contract, asset: GCC, value: 0, input };
        self.native(action, CALL_GAS, Effect::Add { contract, amount }).await;
    }

    async fn is_deployed(&self, contract: Address) -> bool {
        let code: Result<String, CallError> =
            self.rpc.call("eth_getCode", &json!([contract, "latest"])).await;
        code.is_ok_and(|code| code.len() > 2)
    }

    async fn native(&mut self, action: Action, gas_limit: u64, effect: Effect) {
        let Secret::Ed25519(key) = &self.key else { return };
        let body = NativeBody {
            chain_id: ChainId(CHAIN_ID),
            nonce: Nonce(self.nonce),
            gas_limit: Gas(gas_limit),
            gas_price: GAS_PRICE,
            action,
        };
        let bytes = body.sign(key).encode();
        let (from, most) = (self.key.address(), u128::from(gas_limit) * GAS_PRICE);
        let submit = Submit { hash: keccak256(&bytes), from, nonce: self.nonce, most, effect };
        self.submit(bytes, submit).await;
    }

    /// Has a new transaction included, however often it must be sent.
    async fn submit(&mut self, bytes: Vec<u8>, submit: Submit) {
        self.notebook.sign(submit.clone());
        let chance = self.chance.split_at("retries", self.nonce);
        if self.until_known(&bytes, &submit, chance, Rate::NEVER).await == Known::Included {
            self.included(bytes, submit);
        }
    }

    /// Sends some payments at once, in any order: those that come too early wait at the node.
    async fn burst(&mut self) {
        let mut payments = Vec::new();
        for nonce in (self.nonce..).take(self.chance.index(3) + 2) {
            let amount = u128::from(self.chance.between(1, 1_000));
            let to = self.peer();
            let Some((bytes, submit)) = self.sign(nonce, to, GCC, amount) else { return };
            self.notebook.sign(submit.clone());
            payments.push((bytes, submit));
        }
        let mut order: Vec<_> = payments.iter().collect();
        self.chance.shuffle(&mut order);
        let this = &*self;
        let send = |(bytes, submit): &'_ &(Vec<u8>, Submit)| {
            let chance = this.chance.split_at("retries", submit.nonce);
            let (bytes, submit) = (bytes.clone(), submit.clone());
            async move { this.until_known(&bytes, &submit, chance, Rate::NEVER).await }
        };
        let included = join_all(order.iter().map(send)).await;
        self.nonce += included.iter().filter(|known| **known == Known::Included).count() as u64;
        self.sent.append(&mut payments);
    }

    fn sign(&self, nonce: u64, to: Address, asset: AssetId, amount: u128) -> Option<(Vec<u8>, Submit)> {
        let fees = Fees { gas_limit: TRANSFER_GAS, gas_price: GAS_PRICE };
        let mut most = fees.most()?;
        let payment = Payment { chain_id: ChainId(CHAIN_ID), nonce: Nonce(nonce), to, asset, amount, fees };
        let bytes = match &self.key {
            // Data that nobody reads: records of more than a sector, which may tear.
            Secret::Secp256k1(key) if !amount.is_multiple_of(3) => {
                let input = vec![1; usize::try_from(amount % 2_500).unwrap_or(0)];
                let gas_limit = Gas(TRANSFER_GAS.0 + INPUT_BYTE * input.len() as u64);
                most = u128::from(gas_limit.0) * GAS_PRICE;
                let fees = EthereumFees::Dynamic { max_fee_per_gas: GAS_PRICE, max_priority_fee_per_gas: 0 };
                let (chain_id, nonce) = (payment.chain_id, payment.nonce);
                let request = EthereumRequest { chain_id, nonce, gas_limit, fees, to, value: amount, input };
                request.sign(key).ok()?
            }
            key => payment.sign(key).ok()?,
        };
        let effect = Effect::Transfer { to, asset, amount };
        let submit = Submit { hash: keccak256(&bytes), from: self.key.address(), nonce, most, effect };
        Some((bytes, submit))
    }

    /// Sends an old transaction once more: the answer must be the old one.
    async fn send_again(&mut self) {
        let index = self.chance.index(self.sent.len());
        let Some((bytes, submit)) = self.sent.get(index).cloned() else { return };
        let chance = self.chance.split_at("again", self.nonce);
        if self.until_known(&bytes, &submit, chance, Rate::NEVER).await != Known::Included {
            self.notebook.complain(format!("transaction {} was included, and then refused", submit.hash));
        }
    }

    /// Sends until there is an answer, or until the client loses patience.
    async fn until_known(
        &self,
        bytes: &[u8],
        submit: &Submit,
        mut chance: Chance,
        impatience: Rate,
    ) -> Known {
        let mut wait = BACKOFF.0;
        loop {
            let call = Call::Submit(submit.clone());
            let open = self.notebook.history.invoke(self.number, call, self.time());
            let outcome = match self.wallet.submit(bytes).await {
                Ok(told) if told.hash != submit.hash => {
                    self.notebook.complain(format!("the answer to {} is of {}", submit.hash, told.hash));
                    Outcome::Unknown
                }
                Ok(told) => Outcome::Done(Reply::Included(Receipt {
                    height: told.height.0,
                    success: told.success,
                    gas_used: told.gas_used.0,
                })),
                Err(RemoteError::Call(error)) => self.refusal(&error),
                Err(error) => {
                    self.notebook.complain(error.to_string());
                    Outcome::Unknown
                }
            };
            let known = match &outcome {
                Outcome::Done(_) => Some(Known::Included),
                Outcome::Unknown if chance.happens(impatience) => Some(Known::Abandoned),
                Outcome::Refused(Refusal::Unavailable) | Outcome::Unknown => None,
                Outcome::Refused(refusal) => Some(Known::Refused(*refusal)),
            };
            self.notebook.history.respond(open, outcome, self.time());
            if let Some(known) = known {
                return known;
            }
            let jitter = Duration::from_micros(chance.below(20_000));
            self.runtime.sleep(wait + jitter).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// What an error means for the state.
    fn refusal(&self, error: &CallError) -> Outcome<Reply> {
        match error {
            CallError::Refused { message, .. } => {
                let begins = |text| message.starts_with(text);
                if begins("nonce too low") {
                    Outcome::Refused(Refusal::NonceTooLow)
                } else if begins("insufficient funds") {
                    Outcome::Refused(Refusal::InsufficientFunds)
                } else if begins("overloaded")
                    || begins("too many transactions wait")
                    || begins("nonce gap")
                    || begins("nonce taken")
                    || message == "the ledger is stopping"
                {
                    Outcome::Refused(Refusal::Unavailable)
                } else {
                    if !begins("the ledger has stopped") {
                        self.notebook.complain(format!("client {} was refused: {message}", self.number));
                    }
                    Outcome::Unknown
                }
            }
            CallError::Http { .. } | CallError::Status { .. } => Outcome::Unknown,
            other => {
                self.notebook.complain(format!("client {} got a wrong answer: {other}", self.number));
                Outcome::Unknown
            }
        }
    }

    async fn read_account(&self, address: Address) {
        let open = self.notebook.history.invoke(self.number, Call::ReadAccount(address), self.time());
        let outcome = match self.wallet.account(address).await {
            Ok(account) => {
                let held = account.balances.iter().map(|balance| (balance.asset, balance.amount));
                let balances: BTreeMap<AssetId, u128> = held.filter(|(_, amount)| *amount > 0).collect();
                Outcome::Done(Reply::Account(AccountModel { nonce: account.nonce.0, balances }))
            }
            Err(_) => Outcome::Unknown,
        };
        self.notebook.history.respond(open, outcome, self.time());
    }

    async fn read_counter(&self) {
        let Some(contract) = counter() else { return };
        if !self.is_deployed(contract).await {
            return;
        }
        let open = self.notebook.history.invoke(self.number, Call::ReadCounter(contract), self.time());
        let outcome = count_of(&self.rpc, contract)
            .await
            .map_or(Outcome::Unknown, |count| Outcome::Done(Reply::Count(count)));
        self.notebook.history.respond(open, outcome, self.time());
    }

    fn time(&self) -> Duration {
        self.runtime.now().saturating_duration_since(self.began)
    }
}

/// Asks a counter.
///
/// # Errors
/// A sentence.
pub async fn count_of<R: Runtime>(rpc: &rpc::Client<R>, contract: Address) -> Result<u64, String> {
    let call = json!([{ "to": contract, "data": "0x01" }, "latest"]);
    let told: Value = rpc.call("eth_call", &call).await.map_err(|error| error.to_string())?;
    let bytes = told.as_str().and_then(|text| shroud_wire::hex::parse_data(text).ok());
    let bytes = bytes.ok_or_else(|| format!("{told} is no count"))?;
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| format!("{told} is no count"))
}
