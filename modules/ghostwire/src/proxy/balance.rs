//! Which server gets the next request: five policies, as one machine.

use http::HeaderName;

/// How requests are spread over a group's servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// One after the other, whatever their weights.
    #[default]
    RoundRobin,
    /// By their weights, as evenly over time as can be.
    Weighted,
    /// The one with the fewest requests in work for its weight.
    LeastConnections,
    /// Always the same one for the same key, as long as it can take requests. When a server comes or goes, only its own
    /// share of the keys moves (weighted rendezvous hashing).
    Hash(HashKey),
    /// Two drawn by chance, of which the one with fewer requests in work for its weight.
    RandomTwo,
}

/// What [`Policy::Hash`] looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashKey {
    /// The client's address.
    Client,
    /// The path, without the query.
    Path,
    /// The value of this field; of requests without it, the client's address.
    Header(HeaderName),
}

/// What a [`Balancer`] knows of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its share, 1 or more.
    pub weight: u32,
    /// Requests it is answering.
    pub in_flight: usize,
    /// Whether it may get the request.
    pub eligible: bool,
    /// The hash of its address ([`stable_hash`]).
    pub identity: u64,
}

/// Chooses among servers. Plain data: chance and keys come from the caller.
#[derive(Debug, Clone)]
pub struct Balancer {
    policy: Policy,
    /// Of each server, what it is owed (smooth weighted round robin).
    owed: Vec<i64>,
    /// Where the search for the least loaded begins, so that equals take turns.
    turn: usize,
}

impl Balancer {
    /// One for so many servers.
    #[must_use]
    pub fn new(policy: Policy, servers: usize) -> Self {
        Self { policy, owed: vec![0; servers], turn: 0 }
    }

    /// The server for the next request, of those that are eligible; `None` when none is. `key` is the hash of what
    /// [`Policy::Hash`] looks at, `chance` a random number; the other policies ignore them.
    pub fn choose(&mut self, servers: &[Candidate], key: u64, chance: u64) -> Option<usize> {
        match self.policy {
            Policy::RoundRobin => self.take_turns(servers, |_| 1),
            Policy::Weighted => self.take_turns(servers, |server| i64::from(server.weight.max(1))),
            Policy::LeastConnections => {
                let count = servers.len().max(1);
                self.turn = self.turn.wrapping_add(1) % count;
                let order = eligible(servers).map(|(index, server)| {
                    let place = index.wrapping_add(count).wrapping_sub(self.turn) % count;
                    (index, server, place)
                });
                let least = order.min_by(|(_, a, at), (_, b, bt)| load(a, b).then(at.cmp(bt)));
                least.map(|(index, ..)| index)
            }
            Policy::Hash(_) => {
                let score = |server: &Candidate| rendezvous(key, server);
                eligible(servers)
                    .max_by(|(_, a), (_, b)| score(a).total_cmp(&score(b)))
                    .map(|(index, _)| index)
            }
            Policy::RandomTwo => two(servers, chance),
        }
    }

    fn take_turns(&mut self, servers: &[Candidate], weight: impl Fn(&Candidate) -> i64) -> Option<usize> {
        let mut total = 0_i64;
        let mut best: Option<(usize, i64)> = None;
        for ((index, server), owed) in servers.iter().enumerate().zip(&mut self.owed) {
            if !server.eligible {
                continue;
            }
            *owed = owed.saturating_add(weight(server));
            total = total.saturating_add(weight(server));
            if best.is_none_or(|(_, most)| *owed > most) {
                best = Some((index, *owed));
            }
        }
        let (index, _) = best?;
        if let Some(owed) = self.owed.get_mut(index) {
            *owed = owed.saturating_sub(total);
        }
        Some(index)
    }
}

fn eligible(servers: &[Candidate]) -> impl Iterator<Item = (usize, &Candidate)> {
    servers.iter().enumerate().filter(|(_, server)| server.eligible)
}

/// Compares how loaded two servers would be with one more request, for their weights.
fn load(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let with_one = |server: &Candidate| u128::try_from(server.in_flight).unwrap_or(u128::MAX / 2) + 1;
    let (a_load, b_load) = (with_one(a), with_one(b));
    (a_load * u128::from(b.weight.max(1))).cmp(&(b_load * u128::from(a.weight.max(1))))
}

fn two(servers: &[Candidate], chance: u64) -> Option<usize> {
    let count = eligible(servers).count();
    let many = u64::try_from(count).ok().filter(|count| *count > 0)?;
    let nth = |number: u64| eligible(servers).nth(usize::try_from(number).unwrap_or(0));
    let first = (chance >> 32) % many;
    let (index, server) = nth(first)?;
    if many == 1 {
        return Some(index);
    }
    // Another one: any but the first.
    let second = (first + 1 + (chance & 0xffff_ffff) % (many - 1)) % many;
    let (other, rival) = nth(second)?;
    Some(if load(rival, server).is_lt() { other } else { index })
}

/// The server's claim to a key: the largest wins, each with a chance that goes with its weight.
#[allow(clippy::cast_precision_loss, reason = "53 bits of a hash are plenty")]
fn rendezvous(key: u64, server: &Candidate) -> f64 {
    let mixed = mix(key ^ mix(server.identity));
    let unit = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(server.weight.max(1)) / unit.ln()
}

/// A hash of bytes that is the same everywhere and always: FNV-1a, mixed.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The finaliser of splitmix64.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn servers(weights: &[u32]) -> Vec<Candidate> {
        let server = |(index, weight): (usize, &u32)| Candidate {
            weight: *weight,
            in_flight: 0,
            eligible: true,
            identity: stable_hash(format!("http://10.0.0.{index}:80").as_bytes()),
        };
        weights.iter().enumerate().map(server).collect()
    }

    fn policies() -> [Policy; 5] {
        let hash = Policy::Hash(HashKey::Path);
        [Policy::RoundRobin, Policy::Weighted, Policy::LeastConnections, hash, Policy::RandomTwo]
    }

    #[test]
    fn round_robin_goes_round_and_leaves_out_the_ineligible() {
        let mut balancer = Balancer::new(Policy::RoundRobin, 3);
        let mut all = servers(&[1, 5, 1]);
        let mut take = |all: &[Candidate], count| -> Vec<usize> {
            (0..count).map(|_| balancer.choose(all, 0, 0).unwrap()).collect()
        };
        assert_eq!(take(&all, 6), [0, 1, 2, 0, 1, 2]);
        all[1].eligible = false;
        assert_eq!(take(&all, 4), [0, 2, 0, 2]);
    }

    #[test]
    fn weights_are_kept_smoothly() {
        let mut balancer = Balancer::new(Policy::Weighted, 3);
        let all = servers(&[5, 1, 1]);
        let got: Vec<usize> = (0..7).map(|_| balancer.choose(&all, 0, 0).unwrap()).collect();
        assert_eq!(got, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn least_connections_counts_weights_and_lets_equals_take_turns() {
        let mut balancer = Balancer::new(Policy::LeastConnections, 3);
        let mut all = servers(&[1, 1, 2]);
        all[0].in_flight = 1;
        all[1].in_flight = 2;
        all[2].in_flight = 2;
        assert_eq!(balancer.choose(&all, 0, 0), Some(2));
        let equal = servers(&[1, 1, 1]);
        let mut seen = [0; 3];
        (0..9).for_each(|_| seen[balancer.choose(&equal, 0, 0).unwrap()] += 1);
        assert_eq!(seen, [3, 3, 3]);
    }

    #[test]
    fn of_two_the_less_loaded() {
        let mut balancer = Balancer::new(Policy::RandomTwo, 2);
        let mut all = servers(&[1, 1]);
        all[0].in_flight = 1;
        for chance in [0, 1, 7 << 32, u64::MAX] {
            assert_eq!(balancer.choose(&all, 0, chance), Some(1));
        }
        all[1].eligible = false;
        assert_eq!(balancer.choose(&all, 0, 3), Some(0));
    }

    #[test]
    fn a_lost_server_moves_only_its_own_keys() {
        let mut balancer = Balancer::new(Policy::Hash(HashKey::Path), 4);
        let mut all = servers(&[1, 1, 1, 1]);
        let keys: Vec<u64> = (0..4000_u32).map(|key| stable_hash(&key.to_be_bytes())).collect();
        let before: Vec<usize> = keys.iter().map(|key| balancer.choose(&all, *key, 0).unwrap()).collect();
        for server in 0..4 {
            let share = before.iter().filter(|chosen| **chosen == server).count();
            assert!((850..1150).contains(&share), "server {server} has {share} of 4000");
        }
        all[2].eligible = false;
        for (key, chosen) in keys.iter().zip(&before) {
            let now = balancer.choose(&all, *key, 0).unwrap();
            assert_eq!(now == *chosen, *chosen != 2);
        }
    }

    #[test]
    fn hashing_goes_by_weight() {
        let mut balancer = Balancer::new(Policy::Hash(HashKey::Path), 2);
        let all = servers(&[3, 1]);
        let hits = (0..4000_u32)
            .filter(|key| balancer.choose(&all, stable_hash(&key.to_be_bytes()), 0) == Some(0))
            .count();
        assert!((2850..3150).contains(&hits), "{hits} of 4000");
    }

    proptest! {
        #[test]
        fn only_the_eligible_are_chosen(
            shape in prop::collection::vec((0_u32..=u32::MAX, any::<usize>(), any::<bool>()), 0..8),
            draws in prop::collection::vec((any::<u64>(), any::<u64>()), 1..20),
        ) {
            let all: Vec<Candidate> = shape.iter().map(|(weight, in_flight, eligible)| Candidate {
                weight: *weight, in_flight: *in_flight, eligible: *eligible, identity: u64::from(*weight),
            }).collect();
            for policy in policies() {
                let mut balancer = Balancer::new(policy, all.len());
                for (key, chance) in &draws {
                    match balancer.choose(&all, *key, *chance) {
                        Some(index) => prop_assert!(all[index].eligible),
                        None => prop_assert!(all.iter().all(|server| !server.eligible)),
                    }
                }
            }
        }
    }
}
