//! From a plan to requests.

use super::accounts::{Accounts, CHAIN, GAS_PRICE, Sender};
use super::plan::{Kind, PhasePlan, Plan};
use crate::load::{Expected, Lane, Work, get, post};
use crate::rng::Rng;
use shroud_crypto::{Address, ed25519, keccak256, secp256k1};
use shroud_ledger::transaction::Action;
use shroud_ledger::transaction::ethereum::{EthereumFees, EthereumRequest};
use shroud_ledger::transaction::native::NativeBody;
use shroud_ledger::{GCC, Gas, Nonce};

/// The counter: `contracts/counter`.
const COUNTER: &[u8] = include_bytes!("../../../contracts/counter/counter.wasm");
/// The input that adds one.
const ADD_ONE: &[u8] = &[0];
/// The input that asks for the count.
pub(crate) const READ_COUNT: &str = "0x01";
/// Gas for a transfer, which needs 21,000.
const TRANSFER_GAS: Gas = Gas(21_000);
/// Gas for a counter call, well above its need.
const CALL_GAS: Gas = Gas(100_000);
/// Gas for the deployment.
const DEPLOY_GAS: Gas = Gas(5_000_000);
/// The body at `/plain`.
const PLAIN_BODY: &[u8] = b"Hello, world!";
/// Different reads of each connection; more would only take memory.
const READS_PER_LANE: usize = 32;

/// A phase with its requests.
#[derive(Debug, Clone)]
pub struct Phase {
    /// What it is.
    pub plan: PhasePlan,
    /// What is sent.
    pub work: Work,
}

/// The transaction that installs the counter before the phases.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The transaction, as `shroud_sendTransaction` takes it.
    pub raw: String,
    /// Its hash.
    pub hash: String,
    /// Where the counter will be.
    pub contract: Address,
}

/// All that a run sends.
#[derive(Debug, Clone)]
pub struct WorkSet {
    /// The genesis file.
    pub genesis: String,
    /// Set-up.
    pub deployment: Deployment,
    /// In order.
    pub phases: Vec<Phase>,
    /// How often the counter is called in all phases.
    pub counter_calls: u64,
    /// Transactions of set-up and all phases.
    pub transactions: u64,
}

impl WorkSet {
    /// Makes and signs all requests of a plan. The same seed and plan give the same bytes.
    ///
    /// # Errors
    /// When a request cannot be encoded or signed, which no seed is known to cause.
    pub fn build(seed: u64, plan: &Plan) -> Result<Self, String> {
        let rng = Rng::new(seed);
        let mut accounts = Accounts::new(&rng);
        let file = accounts.genesis();
        let genesis = serde_json::to_string(&file).map_err(|error| format!("the genesis file: {error}"))?;
        let deployment = deploy(&accounts.deployer);
        let mut builder =
            Builder { accounts: &mut accounts, rng: rng.fork("phases"), contract: deployment.contract };
        let mut set = Self { genesis, deployment, phases: Vec::new(), counter_calls: 0, transactions: 1 };
        for plan in &plan.phases {
            let work = builder.work(plan)?;
            if plan.kind.durable() {
                set.transactions += work.operations() as u64;
            }
            if plan.kind == Kind::Contract {
                set.counter_calls += work.operations() as u64;
            }
            set.phases.push(Phase { plan: *plan, work });
        }
        Ok(set)
    }
}

fn deploy(key: &ed25519::SigningKey) -> Deployment {
    let action = Action::Deploy { code: COUNTER.to_vec(), input: Vec::new() };
    let raw = sign_native(key, 0, DEPLOY_GAS, action);
    let contract = Address::create(&Address::from_ed25519(key.verifying_key()), 0);
    Deployment { hash: keccak256(&raw).to_string(), raw: format!("0x{}", hex::encode(raw)), contract }
}

struct Builder<'a> {
    accounts: &'a mut Accounts,
    rng: Rng,
    contract: Address,
}

impl Builder<'_> {
    fn work(&mut self, plan: &PhasePlan) -> Result<Work, String> {
        let connections = plan.connections();
        let each = plan.operations.div_ceil(connections);
        let lanes = (0..connections).map(|lane| match plan.kind {
            Kind::Transfer => Ok(self.transfers(lane, each)),
            Kind::Ethereum => self.ethereum(lane, each),
            Kind::Contract => Ok(self.calls(lane, each)),
            Kind::Read => Ok(self.reads(each)),
            Kind::Plain => Ok(plain(each)),
            Kind::Http2 | Kind::Http3 | Kind::WebSocket | Kind::Handshake | Kind::Bulk => {
                Err(format!("{} is no work for a node", plan.kind.name()))
            }
        });
        Ok(Work { lanes: lanes.collect::<Result<_, String>>()? })
    }

    fn transfers(&mut self, lane: usize, count: usize) -> Lane {
        let mut requests = Lane::default();
        for _ in 0..count {
            let to = self.receiver();
            let amount = 1 + u128::from(self.rng.next_u64() >> 32);
            let action = Action::Transfer { to, asset: GCC, amount };
            push_native(&mut requests, &mut self.accounts.native[lane], TRANSFER_GAS, action);
        }
        requests
    }

    fn calls(&mut self, lane: usize, count: usize) -> Lane {
        let mut requests = Lane::default();
        for _ in 0..count {
            let action =
                Action::Call { contract: self.contract, asset: GCC, value: 0, input: ADD_ONE.to_vec() };
            push_native(&mut requests, &mut self.accounts.callers[lane], CALL_GAS, action);
        }
        requests
    }

    fn ethereum(&mut self, lane: usize, count: usize) -> Result<Lane, String> {
        let mut requests = Lane::default();
        for _ in 0..count {
            let to = self.receiver();
            let value = 1 + u128::from(self.rng.next_u64() >> 32);
            let sender: &mut Sender<secp256k1::SigningKey> = &mut self.accounts.ethereum[lane];
            let request = EthereumRequest {
                chain_id: CHAIN,
                nonce: Nonce(sender.nonce),
                gas_limit: TRANSFER_GAS,
                fees: EthereumFees::Dynamic {
                    max_fee_per_gas: 3 * GAS_PRICE,
                    max_priority_fee_per_gas: GAS_PRICE,
                },
                to,
                value,
                input: Vec::new(),
            };
            let raw = request.sign(&sender.key).map_err(|error| format!("an Ethereum transfer: {error}"))?;
            sender.nonce += 1;
            let id = requests.operations() as u64 + 1;
            let result = keccak256(&raw).to_string().into();
            requests.push(&call("eth_sendRawTransaction", &raw, id), Expected::Text { id, result });
        }
        Ok(requests)
    }

    fn reads(&mut self, count: usize) -> Lane {
        let mut requests = Lane::default();
        for id in 1..=READS_PER_LANE.min(count) as u64 {
            let (address, balance) = self.accounts.read[self.rng.below(self.accounts.read.len())];
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_getBalance","params":["{address}","latest"]}}"#
            );
            requests.push(&post(&body), Expected::Text { id, result: format!("{balance:#x}").into() });
        }
        requests.repeat(count);
        requests
    }

    fn receiver(&mut self) -> Address {
        self.accounts.receivers[self.rng.below(self.accounts.receivers.len())]
    }
}

fn plain(count: usize) -> Lane {
    let mut requests = Lane::default();
    requests.push(&get("/plain"), Expected::Body(PLAIN_BODY.to_vec()));
    requests.repeat(count);
    requests
}

fn push_native(
    requests: &mut Lane,
    sender: &mut Sender<ed25519::SigningKey>,
    gas_limit: Gas,
    action: Action,
) {
    let raw = sign_native(&sender.key, sender.nonce, gas_limit, action);
    sender.nonce += 1;
    let id = requests.operations() as u64 + 1;
    let hash = keccak256(&raw).to_string().into();
    requests.push(&call("shroud_sendTransaction", &raw, id), Expected::Applied { id, hash });
}

fn sign_native(key: &ed25519::SigningKey, nonce: u64, gas_limit: Gas, action: Action) -> Vec<u8> {
    NativeBody { chain_id: CHAIN, nonce: Nonce(nonce), gas_limit, gas_price: GAS_PRICE, action }
        .sign(key)
        .encode()
}

fn call(method: &str, raw: &[u8], id: u64) -> Vec<u8> {
    let raw = hex::encode(raw);
    post(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":["0x{raw}"]}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Purpose;
    use shroud_ledger::Genesis;
    use shroud_ledger::transaction::{Transaction, verify};

    fn small() -> Plan {
        let phase = |kind| PhasePlan { kind, purpose: Purpose::Capacity, operations: 200 };
        Plan { phases: Kind::NODE.into_iter().chain(Kind::NODE).map(phase).collect() }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (a, b) = (WorkSet::build(1, &small()).unwrap(), WorkSet::build(1, &small()).unwrap());
        assert_eq!(a.genesis, b.genesis);
        assert_eq!(a.deployment.raw, b.deployment.raw);
        for (a, b) in a.phases.iter().zip(&b.phases) {
            assert!(a.work.lanes.iter().zip(&b.work.lanes).all(|(a, b)| a.bytes() == b.bytes()));
        }
        assert_ne!(a.genesis, WorkSet::build(2, &small()).unwrap().genesis);
    }

    #[test]
    fn the_genesis_is_valid_and_every_transaction_verifies_with_nonces_in_order() {
        let set = WorkSet::build(3, &small()).unwrap();
        Genesis::from_json(set.genesis.as_bytes()).unwrap();
        let mut next = std::collections::BTreeMap::new();
        let mut transactions = 0;
        for phase in set.phases.iter().filter(|phase| phase.plan.kind.durable()) {
            for lane in &phase.work.lanes {
                let text = std::str::from_utf8(lane.bytes()).unwrap();
                for raw in text.split("[\"0x").skip(1).map(|part| part.split('"').next().unwrap()) {
                    let transaction = Transaction::decode(&hex::decode(raw).unwrap()).unwrap();
                    let verified = verify(transaction, CHAIN).unwrap();
                    let nonce = next.entry(verified.sender()).or_insert(0);
                    assert_eq!(verified.nonce().0, *nonce);
                    *nonce += 1;
                    transactions += 1;
                }
            }
        }
        assert_eq!(set.transactions, transactions + 1);
        assert_eq!(set.counter_calls, 512);
    }
}
