//! Playing a scenario from a seed, and judging it.

use super::evidence::{Beyond, Chain, Evidence, Measured, Progress};
use super::oracle::{Violation, judge};
use super::plan::{self, Draw, Planned};
use super::scenario::{LIVENESS, Scenario, Work};
use super::site::{self, Site};
use super::workload::accounts::{self, FEE_ACCOUNT, chain};
use super::workload::client::{Habits, LedgerClient, Notebook, counter};
use super::workload::monitor::{Highest, watch};
use super::workload::{echo, observer, slow, tls};
use crate::node::NodeConfig;
use shroud_crypto::Hash;
use shroud_io_sim::chance::Chance;
use shroud_io_sim::memory;
use shroud_ledger::Genesis;
use shroud_sim::{
    ClockSkew, Host, HostConfig, LinkConfig, Outcome, Policy, Record, Recording, SimConfig, Simulation,
    Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where the node serves.
const PORT: u16 = 8545;
/// Where it keeps its data.
const DATA: &str = "/data";
/// How long the observer may take to read everything, and a node to stop in order.
const CLOSING: Duration = Duration::from_secs(120);
/// How long after everything has ended connections may still be closing.
const LINGER: Duration = Duration::from_secs(180);
/// How long clients may go on after the last fault, where the node may have refused for good.
const AFTERMATH: Duration = Duration::from_secs(20);
/// How long a transaction may wait at the node whose client has gone, and some more.
const QUIET: Duration = Duration::from_secs(40);
/// How long an operator leaves a node alone that has refused, where that may be for good.
const BACKOFF: Duration = Duration::from_secs(15);
/// Who reads the chain in the end.
const OBSERVER: &str = "the observer";
/// A node that has run for so long has opened.
const SETTLED: Duration = Duration::from_secs(5);
/// Bytes that a run may keep: what a table takes that has grown.
const MEMORY_SLACK: i64 = 4096;
/// Events after which a run is broken off: a hundred times what the longest scenario needs.
const MAX_EVENTS: u64 = 50_000_000;

/// How a scenario is played.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Everything that is drawn is a function of it.
    pub seed: u64,
    /// Which of the plan's faults strike, by their place; `None`: all.
    pub faults: Option<Vec<usize>>,
    /// Which records are kept.
    pub recording: Recording,
    /// Stop at this event of the world.
    pub until: Option<u64>,
    /// End when the clients have their answers, and judge nothing: to measure speed.
    pub only_work: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Which seed.
    pub seed: u64,
    /// The faults that struck.
    pub plan: Vec<Planned>,
    /// How many the seed's whole plan has.
    pub planned: usize,
    /// The hash of everything that happened.
    pub hash: String,
    /// Virtual time.
    pub time: Duration,
    /// Events of the world.
    pub events: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Operations of clients.
    pub operations: usize,
    /// The promises that were broken: none in a good run.
    pub violations: Vec<Violation>,
    /// The records that were kept.
    pub records: Vec<Record>,
    /// Whether it was stopped at an event, and not judged.
    pub stopped: bool,
    /// What the node refused with, where faults went beyond what it claims to survive.
    pub refusals: Vec<String>,
    /// Bytes of memory that were not given back; `None`: nobody counted ([`shroud_io_sim::memory`]).
    pub left: Option<i64>,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

/// The faults of a seed.
#[must_use]
pub fn plan_of(scenario: &Scenario, seed: u64) -> Vec<Planned> {
    let draw = Draw {
        kinds: scenario.faults,
        count: scenario.count,
        span: scenario.span,
        clients: scenario.clients as usize,
    };
    plan::draw(&draw, &mut Chance::new(seed).split("plan"))
}

/// Plays a scenario.
#[must_use]
pub fn run(scenario: &'static Scenario, options: &Options) -> Report {
    let mut report = run_counted(scenario, options);
    // What stays for good after a first time, as tables that are filled when they are needed, is no leak: that repeats.
    if report.left.is_some_and(|left| left > MEMORY_SLACK) && !report.stopped {
        report.left = run_counted(scenario, options).left;
    }
    if let Some(left) = report.left.filter(|left| *left > MEMORY_SLACK) {
        let message = format!("{left} bytes of memory are left after everything has ended");
        report.violations.push(Violation { oracle: "leaks", message });
    }
    report
}

fn run_counted(scenario: &'static Scenario, options: &Options) -> Report {
    let before = memory::live();
    let mut report = play(scenario, options);
    let after = memory::live();
    let copy = std::hint::black_box(report.clone());
    let held = memory::live().zip(after).map(|(with, without)| with - without);
    drop(copy);
    report.left = after.zip(before).zip(held).map(|((after, before), held)| after - before - held);
    report
}

fn play(scenario: &'static Scenario, options: &Options) -> Report {
    let whole = plan_of(scenario, options.seed);
    let planned = whole.len();
    let strikes = |place: &usize| options.faults.as_ref().is_none_or(|faults| faults.contains(place));
    let plan: Vec<Planned> = whole
        .into_iter()
        .enumerate()
        .filter(|(place, _)| strikes(place))
        .map(|(_, planned)| planned)
        .collect();
    let mut play = Play::new(scenario, options, &plan);
    let evidence = play.play(&plan);
    let refusals = match &evidence {
        Some(Ok(Evidence { beyond: Some(beyond), .. })) => beyond.refusals.clone(),
        _ => Vec::new(),
    };
    let (violations, operations) = match evidence {
        Some(Ok(evidence)) => (judge(&evidence), evidence.history.len()),
        Some(Err(message)) => (vec![Violation { oracle: "broken", message }], 0),
        None => (Vec::new(), 0),
    };
    let outcome = play.simulation.outcome(Verdict::Done);
    let Outcome { hash, time, events, polls, .. } = outcome;
    Report {
        scenario: scenario.name,
        seed: options.seed,
        plan,
        planned,
        hash,
        time,
        events,
        polls,
        operations,
        violations,
        records: play.simulation.universe().records(),
        stopped: play.stopped,
        refusals,
        left: None,
    }
}

/// A run under way.
struct Play {
    scenario: &'static Scenario,
    simulation: Simulation,
    chance: Chance,
    node: Host,
    clients: Vec<Host>,
    link: LinkConfig,
    shards: usize,
    notebook: Notebook,
    healed: Duration,
    until: Option<u64>,
    only_work: bool,
    stopped: bool,
    broken: Vec<String>,
}

impl Play {
    fn new(scenario: &'static Scenario, options: &Options, plan: &[Planned]) -> Self {
        let mut chance = Chance::new(options.seed).split("scenario");
        let link = if scenario.lossy { LinkConfig::lossy() } else { LinkConfig::local() };
        let policy = match chance.below(4) {
            0 => Policy::Fifo,
            1 => Policy::Priorities { changes: 3, horizon: 10_000 },
            _ => Policy::Uniform,
        };
        let config =
            SimConfig { policy, link, recording: options.recording, ..SimConfig::seed(options.seed) };
        let simulation = Simulation::new(config);
        let mut host = |name: String| {
            let mut config = HostConfig::new(name);
            if scenario.drift {
                config.clock = ClockSkew {
                    drift_ppm: i32::try_from(chance.below(2_000)).unwrap_or(0) - 1_000,
                    wall_ahead: i64::try_from(chance.below(20_000_000_000)).unwrap_or(0) - 10_000_000_000,
                };
            }
            simulation.host(config)
        };
        let node = host("node".into());
        let clients = (0..scenario.clients).map(|number| host(format!("client-{number}"))).collect();
        let healed = plan.iter().map(Planned::until).max().unwrap_or_default();
        let shards = if chance.coin() { scenario.shards } else { 1 };
        Self {
            scenario,
            simulation,
            chance,
            node,
            clients,
            link,
            shards,
            notebook: Notebook::default(),
            healed,
            until: options.until,
            only_work: options.only_work,
            stopped: false,
            broken: Vec::new(),
        }
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::new(self.node.address(), PORT)
    }

    /// Runs while `going` says so, until a virtual time at most; `false`: it was too long, or everything waits.
    fn run_while(&mut self, limit: Duration, mut going: impl FnMut() -> bool) -> bool {
        let universe = self.simulation.universe().clone();
        let last = self.until.unwrap_or(MAX_EVENTS);
        self.simulation.at(limit, || {});
        let outcome =
            self.simulation.run_while(|| going() && universe.time() < limit && universe.events() < last);
        if universe.events() >= last {
            if self.until.is_some() {
                self.stopped = true;
            } else {
                self.broken.push(format!("the run had not ended after {MAX_EVENTS} events"));
            }
        }
        if let Verdict::Deadlock(waiting) = outcome.verdict {
            self.broken.push(format!("deadlock: nothing can ever happen again\n{waiting}"));
        }
        !going()
    }

    /// Plays everything; `None`: stopped at an event.
    fn play(&mut self, plan: &[Planned]) -> Option<Result<Evidence, String>> {
        let (genesis, model) = match chain(self.scenario.clients) {
            Ok(chain) => chain,
            Err(error) => return Some(Err(error)),
        };
        let main = match self.scenario.work {
            Work::Echo => self.echo_server(),
            _ => site::node(self.node_config(genesis.clone()), self.shards),
        };
        let site = Site::new(&self.simulation, self.node.clone(), &self.clients, main, self.link);
        site.open(if self.scenario.beyond { BACKOFF } else { Duration::ZERO });
        site.carry_out(plan);
        let highest = Highest::default();
        let idle = self.start_bystanders(&highest);
        self.start_clients();
        let beyond = self.scenario.beyond;
        let progress = if beyond { self.aftermath()? } else { self.work()? };
        self.stopped |= self.only_work;
        if self.only_work {
            return None;
        }
        for host in &idle {
            host.kill();
        }
        let chain = match self.scenario.work {
            Work::Echo => None,
            // With a node that does not start, liveness has said all there is to say.
            _ if progress.finished.is_none() && !site.is_running() => None,
            _ if beyond && site.refuses(SETTLED) => None,
            _ => {
                // Clients may have been quicker than the faults.
                self.run_while(self.healed, || true);
                Some(self.observe()?)
            }
        };
        self.close(&site)?;
        if beyond {
            site.drop_caches();
        }
        let chain = match chain {
            Some(Some(chain)) => Some(Chain { audit: Some(self.audit(genesis)?), ..chain }),
            _ => None,
        };
        let leaks = self.leaks()?;
        self.broken.extend(self.notebook.broken());
        self.broken.extend(site.panics());
        if progress.finished.is_none()
            && let Some((at, error)) = site.errors().pop()
        {
            self.broken.push(format!("clients wait; the node last ended at {at:?}: {error}"));
        }
        let beyond = beyond.then(|| self.refusals(&site));
        Some(Ok(Evidence {
            beyond,
            model,
            history: self.notebook.history.operations(),
            requested: self.notebook.requested(),
            chain,
            progress,
            leaks,
            limits: self.limits(&highest),
            broken: std::mem::take(&mut self.broken),
        }))
    }

    /// What the node ended with, and what clients were told that is no answer: with faults beyond the claims no failure as such.
    fn refusals(&mut self, site: &Site) -> Beyond {
        let mut refusals: Vec<String> = site.errors().into_iter().map(|(_, error)| error).collect();
        // An observer of a node that has refused since says no more than the node itself.
        let silent = site.refuses(SETTLED) && !refusals.is_empty();
        let told = |message: &String| !(silent && message.starts_with(OBSERVER));
        refusals.extend(self.broken.drain(..).filter(told));
        refusals.extend(self.notebook.broken());
        refusals.sort_unstable();
        refusals.dedup();
        self.broken = site.panics();
        Beyond { refusals, lied: site.lied() }
    }

    /// Runs until the clients have their answers, or have had some time after the last fault.
    fn aftermath(&mut self) -> Option<Progress> {
        let (notebook, clients) = (self.notebook.clone(), self.clients.len());
        let limit = self.healed + AFTERMATH;
        self.run_while(limit, move || notebook.done() < clients);
        // Clients may have been quicker than the faults.
        self.run_while(self.healed + SETTLED, || true);
        let now = self.simulation.universe().time();
        if self.stopped {
            return None;
        }
        self.clients.iter().for_each(Host::kill);
        // What they have sent may wait for an earlier nonce: nothing shall happen under the observer's eyes.
        self.run_while(now + QUIET, || true);
        // Nobody is owed an answer by a node that may refuse.
        Some(Progress { healed: self.healed, finished: Some(now), allowed: Duration::MAX, unfinished: 0 })
    }

    fn node_config(&self, genesis: Genesis) -> NodeConfig {
        let mut config = NodeConfig::new(genesis, DATA.into());
        config.listen = SocketAddr::new([0, 0, 0, 0].into(), PORT);
        // Everything is kept, for the audit from genesis on.
        config.keystone.keep_segments = shroud_keystone::KeepSegments::All;
        config.keystone.segment_bytes = 9 << 20;
        if self.scenario.tight {
            config.keystone.queue_transactions = 2;
            config.keystone.block_transactions = 2;
            config.keystone.wake_threshold = 1;
            config.keystone.store_lag = 1;
            config.keystone.recent_blocks = 2;
            config.limits.connections = 10;
            config.limits.requests = 6;
        }
        if self.scenario.slow > 0 {
            config.limits.header_time = Duration::from_secs(2);
            config.limits.body_time = Duration::from_secs(3);
            config.limits.write_time = Duration::from_secs(3);
            config.limits.idle_time = Duration::from_secs(10);
            config.limits.connections = 12;
        }
        config
    }

    fn echo_server(&self) -> site::Main {
        let address = SocketAddr::new([0, 0, 0, 0].into(), PORT);
        let (shards, tls) = (self.shards, self.scenario.tls);
        Arc::new(move |host: &Host| {
            host.start(shards, move |runtime| {
                let end = tls.then(|| tls::server(&runtime)).transpose();
                async move {
                    let end = end?;
                    echo::serve(runtime, address, end.as_ref().map(|end| Arc::clone(&end.config))).await
                }
            })
        })
    }

    fn start_clients(&mut self) {
        let (scenario, server) = (self.scenario, self.server());
        let habits = Habits {
            clients: scenario.clients,
            group: scenario.group,
            operations: scenario.operations,
            pause: scenario.pause,
            counter: scenario.work == Work::Contracts,
        };
        for (number, host) in (0..scenario.clients).zip(&self.clients) {
            let chance = self.chance.split_at("client", number.into());
            let (habits, notebook) = (habits.clone(), self.notebook.clone());
            if scenario.work == Work::Echo {
                let (count, pause) = (scenario.operations, scenario.pause);
                let tls = scenario.tls;
                host.start(1, move |runtime| {
                    let end = tls.then(|| tls::client(&runtime)).transpose();
                    let (chance, notebook) = (chance.clone(), notebook.clone());
                    async move {
                        match end {
                            Ok(end) => {
                                let config = end.as_ref().map(|end| Arc::clone(&end.config));
                                echo::ask(runtime, server, count, pause, chance, notebook, config).await;
                            }
                            Err(error) => notebook.complain(error),
                        }
                    }
                });
                continue;
            }
            host.start(1, move |runtime| {
                let url = format!("http://{server}/");
                let client = LedgerClient::new(
                    runtime,
                    &url,
                    number,
                    habits.clone(),
                    notebook.clone(),
                    chance.clone(),
                );
                let notebook = notebook.clone();
                async move {
                    match client {
                        Ok(client) => client.run().await,
                        Err(error) => notebook.complain(error),
                    }
                }
            });
        }
    }

    /// Slow clients and the monitor.
    fn start_bystanders(&mut self, highest: &Highest) -> Vec<Host> {
        let server = self.server();
        let mut hosts = Vec::new();
        for number in 0..self.scenario.slow {
            let host = self.simulation.host(HostConfig::new(format!("slow-{number}")));
            let chance = self.chance.split_at("slow", number.into());
            host.start(1, move |runtime| slow::dawdle(runtime, server, chance.clone()));
            hosts.push(host);
        }
        if self.scenario.slow > 0 || self.scenario.tight {
            let host = self.simulation.host(HostConfig::new("monitor"));
            let highest = Arc::clone(highest);
            host.start(1, move |runtime| watch(runtime, server, Arc::clone(&highest)));
            hosts.push(host);
        }
        hosts
    }

    /// Runs until every client has its answers, or should have had them.
    fn work(&mut self) -> Option<Progress> {
        let (notebook, clients) = (self.notebook.clone(), self.clients.len());
        // Clients that still have things to do when the faults end need the time that those take without faults.
        let work = self.scenario.pause * self.scenario.operations;
        let allowed = LIVENESS + work;
        let limit = self.healed + allowed;
        let finished = self.run_while(limit, move || notebook.done() < clients);
        let now = self.simulation.universe().time();
        if self.stopped {
            return None;
        }
        let unfinished = clients - self.notebook.done().min(clients);
        // A client that is done has an idle connection or two open.
        self.clients.iter().for_each(Host::kill);
        Some(Progress { healed: self.healed, finished: finished.then_some(now), allowed, unfinished })
    }

    /// Has a client read the whole chain. Outer `None`: stopped at an event.
    #[allow(clippy::option_option, reason = "stopped, broken, or a chain")]
    fn observe(&mut self) -> Option<Option<Chain>> {
        let host = self.simulation.host(HostConfig::new("observer"));
        let mut addresses: BTreeSet<_> =
            (0..self.scenario.clients).filter_map(accounts::key).map(|key| key.address()).collect();
        addresses.insert(FEE_ACCOUNT);
        let counters: BTreeSet<_> = match self.scenario.work {
            Work::Contracts => counter().into_iter().collect(),
            _ => BTreeSet::new(),
        };
        let url = format!("http://{}/", self.server());
        let program = host.start(1, move |runtime| {
            let (url, addresses, counters) = (url.clone(), addresses.clone(), counters.clone());
            async move { observer::observe(runtime, &url, addresses, counters).await }
        });
        // Faults may still strike: clients were quick. The observer comes after them.
        let running = program.clone();
        self.finish(move || running.is_running())?;
        host.kill();
        match program.results().pop().flatten() {
            Some(Ok(Ok(chain))) => return Some(Some(chain)),
            Some(Ok(Err(error))) => self.broken.push(format!("{OBSERVER} failed: {error}")),
            Some(Err(error)) => self.broken.push(format!("{OBSERVER} failed: {error}")),
            None => self.broken.push(format!("{OBSERVER} had no answer within {CLOSING:?}")),
        }
        Some(None)
    }

    /// Runs until something ends; `None`: stopped at an event.
    fn finish(&mut self, going: impl FnMut() -> bool) -> Option<bool> {
        let limit = self.simulation.universe().time() + CLOSING;
        let ended = self.run_while(limit, going);
        (!self.stopped).then_some(ended)
    }

    fn close(&mut self, site: &Site) -> Option<()> {
        site.close();
        let running = site.clone();
        if !self.finish(move || running.is_running())? {
            self.broken.push(format!("the node had not stopped in order after {CLOSING:?}"));
            self.node.kill();
        }
        Some(())
    }

    /// Replays the journal of the stopped node.
    fn audit(&mut self, genesis: Genesis) -> Option<Result<(u64, Hash, u64), String>> {
        let program = self.node.start(1, move |runtime| {
            let genesis = genesis.clone();
            async move {
                let audit = shroud_keystone::verify(&runtime, Path::new(DATA), &genesis).await;
                audit.map_err(|error| error.to_string())
            }
        });
        let running = program.clone();
        self.finish(move || running.is_running())?;
        Some(match program.results().pop().flatten() {
            Some(Ok(audit)) => audit.map(|audit| (audit.height.0, audit.state_root, audit.transactions)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(format!("it had not ended after {CLOSING:?}")),
        })
    }

    /// What is left once everything has ended and every connection had time to close.
    fn leaks(&mut self) -> Option<Vec<Measured>> {
        let universe = self.simulation.universe().clone();
        let limit = universe.time() + LINGER;
        let open = universe.clone();
        self.run_while(limit, move || open.census().connections > 0);
        if self.stopped {
            return None;
        }
        let census = universe.census();
        let counts = [
            ("tasks", self.node.trees().iter().map(|tree| tree.live()).sum()),
            ("alarms", census.alarms),
            ("file operations", census.operations),
            ("datagram sockets", census.sockets),
            ("listeners", census.listeners),
            ("connection attempts", census.attempts),
            ("connections", census.connections),
            ("open files", census.files),
        ];
        let measured =
            |(what, seen): (&str, usize)| Measured { what: what.to_owned(), seen: seen as u64, limit: 0 };
        Some(counts.into_iter().map(measured).collect())
    }

    fn limits(&self, highest: &Highest) -> Vec<Measured> {
        let highest: BTreeMap<String, u64> =
            highest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Ok((genesis, _)) = chain(1) else { return Vec::new() };
        let config = self.node_config(genesis);
        let shards = self.shards as u64;
        let limits = [
            ("shroud_ledger_queued_transactions", config.keystone.queue_transactions as u64),
            ("shroud_ledger_waiting_transactions", config.keystone.waiting as u64),
            // One more a shard is open while it is told that there is no room.
            ("shroud_http_connections", (config.limits.connections as u64 + 1) * shards),
            ("shroud_http_requests_in_flight", config.limits.requests as u64 * shards),
        ];
        let measured = |(what, limit): (&str, u64)| {
            highest.get(what).map(|seen| Measured { what: what.to_owned(), seen: *seen, limit })
        };
        limits.into_iter().filter_map(measured).collect()
    }
}
