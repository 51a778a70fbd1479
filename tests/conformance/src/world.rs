//! Clock, entropy, name look-up, and what is reported.

use crate::harness::everywhere;
use futures_lite::future::yield_now;
use shroud_runtime::{Backend, Runtime, RuntimeExt, Topology};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Entropy fills all of a buffer, and never repeats: between calls, clones and shards.
pub fn entropy_differs<B: Backend>(backend: &B) {
    let drawn = everywhere(backend, |rt| async move {
        let mut drawn = BTreeSet::new();
        for _ in 0..100 {
            let mut bytes = [0; 16];
            rt.fill(&mut bytes);
            drawn.insert(bytes);
            rt.clone().fill(&mut bytes);
            drawn.insert(bytes);
        }
        assert_eq!(drawn.len(), 200);
        rt.fill(&mut []);
        let mut many = vec![0; 100_003];
        rt.fill(&mut many);
        let ones: u32 = many.iter().map(|byte| byte.count_ones()).sum();
        // Half of 800,024 bits; 447 is one standard deviation.
        assert!(ones.abs_diff(400_012) < 447 * 10, "{ones} ones");
        assert!(many.rchunks(16).next().is_some_and(|tail| tail.iter().any(|byte| *byte != 0)));
        drawn
    });
    let all: BTreeSet<_> = drawn.iter().flatten().collect();
    assert_eq!(all.len(), drawn.len() * 200);
}

/// Monotonic time never goes back, and passes while a task sleeps; the wall clock is of our time.
pub fn clocks_go_forward<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let mut before = rt.now();
        for _ in 0..1000 {
            let now = rt.now();
            assert!(now >= before);
            before = now;
            yield_now().await;
        }
        let wall = rt.unix_time();
        rt.sleep(Duration::from_millis(5)).await;
        assert!(rt.now() >= before + Duration::from_millis(5));
        assert!(rt.unix_time() > wall);
        const YEAR_2025: Duration = Duration::from_secs(1_735_689_600);
        assert!(wall > YEAR_2025);
    });
}

/// `localhost` and literal addresses resolve; a name that cannot exist does not.
pub fn names_and_literals_are_resolved<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let addresses = rt.lookup("localhost", 80).await.expect("it resolves");
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        for (literal, expected) in [("192.0.2.7", "192.0.2.7:443"), ("2001:db8::1", "[2001:db8::1]:443")] {
            let expected: SocketAddr = expected.parse().expect("it is an address");
            assert_eq!(rt.lookup(literal, 443).await.expect("it resolves"), [expected]);
        }
        for wrong in ["", "no such name", "-.invalid"] {
            assert!(rt.lookup(wrong, 80).await.is_err(), "{wrong:?}");
        }
    });
}

/// A running node reports what the probe did, and the backend's name.
pub fn what_is_reported_is_consistent<B: Backend>(backend: &B) {
    let probed = backend.probe().expect("it was probed");
    let name = backend.name();
    let expected = probed.clone();
    everywhere(backend, move |rt| {
        let expected = expected.clone();
        async move {
            assert_eq!(rt.backend(), name);
            assert_eq!(rt.capabilities(), &expected);
            assert_eq!(rt.shard().topology, expected.topology);
            assert_eq!(rt.tree().backend(), name);
        }
    });
    assert!(matches!(probed.topology, Topology::PerCore | Topology::WorkStealing));
    assert!(probed.datagram.send_segments >= 1 && probed.datagram.receive_segments >= 1);
    assert!(!probed.executor.is_empty() && !probed.reactor.is_empty() && !probed.files.is_empty());
}
