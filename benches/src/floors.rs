//! What no node on this machine can go below, measured beside it: loopback, signatures, handshakes, the disk's sync, the contract
//! engine.

use crate::report::Floor;
use crate::rng::Rng;
use crate::stats::median;
use crate::transport::{Identity, KeyExchange, handshake_floor};
use crate::workload::Kind;
use shroud_crypto::{Address, Hash, ed25519, secp256k1};
use shroud_vm::{
    CallContext, CompiledModule, Engine, Entry, Execution, HostRequest, HostResponse, Step, Value,
};
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The counter: `contracts/counter`.
const COUNTER: &[u8] = include_bytes!("../../contracts/counter/counter.wasm");
/// Blocks of each floor; the median block counts.
const BLOCKS: usize = 5;
/// Signatures of a batch.
const BATCH: usize = 64;
/// Bytes of a synced write: a journal record of a small batch.
const RECORD: usize = 16 << 10;
/// Bytes that are written before, so that the sync changes no metadata.
const FILE: usize = 8 << 20;
/// Bytes each way of a loopback round trip: a small request.
const MESSAGE: usize = 512;

/// A floor that could not be measured, and why.
#[derive(Debug, thiserror::Error)]
#[error("the floor \"{name}\" could not be measured: {reason}")]
pub struct FloorError {
    name: &'static str,
    reason: String,
}

/// Measures all floors, each for about `time`. Files go to `directory`.
///
/// # Errors
/// When one cannot be measured at all.
pub fn measure(directory: &Path, time: Duration, seed: u64) -> Result<Vec<Floor>, FloorError> {
    let mut rng = Rng::new(seed).fork("floors");
    Ok(vec![
        loopback(time)?,
        ed25519_single(time, &mut rng),
        ed25519_batch(time, &mut rng),
        recover(time, &mut rng)?,
        contract(time)?,
        handshake(time)?,
        sync(directory, time)?,
    ])
}

/// The median over blocks of the mean time of one job, in microseconds. The first job warms up and is not counted.
fn timed<E>(time: Duration, mut job: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    job()?;
    let mut blocks = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < time / BLOCKS as u32 {
            job()?;
            count += 1;
        }
        blocks.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(count.max(1)));
    }
    Ok(median(&blocks).unwrap_or(f64::NAN))
}

fn certain(time: Duration, mut job: impl FnMut()) -> f64 {
    let done: Result<f64, std::convert::Infallible> = timed(time, || {
        job();
        Ok(())
    });
    match done {
        Ok(micros) => micros,
        Err(never) => match never {},
    }
}

fn loopback(time: Duration) -> Result<Floor, FloorError> {
    let name = "loopback, one side";
    let failed = |error: io::Error| FloorError { name, reason: error.to_string() };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let mut near = TcpStream::connect(listener.local_addr().map_err(failed)?).map_err(failed)?;
    let (mut far, _) = listener.accept().map_err(failed)?;
    near.set_nodelay(true).map_err(failed)?;
    far.set_nodelay(true).map_err(failed)?;
    let mut message = [0; MESSAGE];
    let both = timed(time, || {
        near.write_all(&message)?;
        far.read_exact(&mut message)?;
        far.write_all(&message)?;
        near.read_exact(&mut message)
    });
    Ok(Floor {
        name: name.into(),
        micros: both.map_err(failed)? / 2.0,
        note: format!(
            "read and write {MESSAGE} bytes over TCP, half of a round trip within one thread: no waiting, no wake-ups"
        ),
        of: Kind::NODE.to_vec(),
    })
}

fn ed25519_single(time: Duration, rng: &mut Rng) -> Floor {
    let key = ed25519::SigningKey::from_seed(&rng.bytes32());
    let message = rng.bytes32();
    let signature = key.sign(&message);
    let micros = certain(time, || {
        let verdict = ed25519::verify(black_box(key.verifying_key()), black_box(&message), &signature);
        debug_assert!(verdict.is_ok());
        let _ = black_box(verdict);
    });
    let note = "verify one Ed25519 signature by the ZIP-215 rule".into();
    Floor { name: "Ed25519, single".into(), micros, note, of: Vec::new() }
}

fn ed25519_batch(time: Duration, rng: &mut Rng) -> Floor {
    let signed: Vec<_> = (0..BATCH)
        .map(|_| {
            let (key, message) = (ed25519::SigningKey::from_seed(&rng.bytes32()), rng.bytes32());
            (*key.verifying_key(), message, key.sign(&message))
        })
        .collect();
    let items: Vec<_> = signed
        .iter()
        .map(|(key, message, signature)| ed25519::BatchItem { key: *key, message, signature: *signature })
        .collect();
    let seed = rng.bytes32();
    let micros = certain(time, || {
        let verdicts = ed25519::verify_batch(black_box(&items), &seed);
        debug_assert!(verdicts.iter().all(|verdict| *verdict));
        black_box(verdicts);
    });
    Floor {
        name: "Ed25519, in batches".into(),
        micros: micros / BATCH as f64,
        note: format!("the same, {BATCH} at once, for each"),
        of: vec![Kind::Transfer, Kind::Contract],
    }
}

fn recover(time: Duration, rng: &mut Rng) -> Result<Floor, FloorError> {
    let name = "secp256k1 recovery";
    let failed = |error: secp256k1::Secp256k1Error| FloorError { name, reason: error.to_string() };
    let key = secp256k1::SigningKey::from_secret(&rng.bytes32()).map_err(failed)?;
    let digest = Hash(rng.bytes32());
    let signature = key.sign_recoverable(&digest).map_err(failed)?;
    let micros = timed(time, || {
        secp256k1::recover(black_box(&digest), &signature).map(|key| {
            black_box(key);
        })
    });
    let note = "find who signed an Ethereum transaction".into();
    Ok(Floor { name: name.into(), micros: micros.map_err(failed)?, note, of: vec![Kind::Ethereum] })
}

fn contract(time: Duration) -> Result<Floor, FloorError> {
    let name = "counter call in the engine";
    let failed = |reason: String| FloorError { name, reason };
    let module = Engine::new().compile(COUNTER).map_err(|error| failed(error.to_string()))?;
    let micros = timed(time, || call_counter(&module)).map_err(failed)?;
    Ok(Floor {
        name: name.into(),
        micros,
        note: "a fresh instance, one load and one store answered at once, no ledger".into(),
        of: vec![Kind::Contract],
    })
}

fn handshake(time: Duration) -> Result<Floor, FloorError> {
    let name = "QUIC handshake in rustls";
    let failed = |reason: String| FloorError { name, reason };
    let identity = Identity::generate(KeyExchange::X25519).map_err(failed)?;
    Ok(Floor {
        name: name.into(),
        micros: handshake_floor(&identity, false, time).map_err(failed)?,
        note: "the server's part of a full one in memory: X25519, ECDSA P-256, no packets".into(),
        of: vec![Kind::Handshake],
    })
}

fn call_counter(module: &CompiledModule) -> Result<(), String> {
    let context = CallContext {
        contract: Address([1; 20]),
        caller: Address([2; 20]),
        origin: Address([2; 20]),
        value: Value::default(),
        chain_id: 1,
        block_height: 1,
        timestamp_millis: 1,
        gas_limit: 100_000,
        entry: Entry::Call,
        input: vec![0],
    };
    let mut execution = Execution::start(module, context);
    loop {
        let response = match execution.resume(u64::MAX) {
            Step::Request(HostRequest::StorageLoad { .. }) => HostResponse::Loaded(Some(vec![0; 8])),
            Step::Request(HostRequest::StorageStore { .. }) => HostResponse::Stored,
            Step::Done(outcome) if outcome.verdict.is_success() => return Ok(()),
            other => return Err(format!("{other:?}")),
        };
        execution.respond(response).map_err(|error| error.to_string())?;
    }
}

fn sync(directory: &Path, time: Duration) -> Result<Floor, FloorError> {
    let name = "fdatasync";
    let failed = |error: io::Error| FloorError { name, reason: error.to_string() };
    let path = directory.join("sync-floor");
    let file = File::create(&path).map_err(failed)?;
    let measured = (|| {
        file.write_all_at(&vec![0; FILE], 0)?;
        file.sync_all()?;
        let (record, mut offset) = (vec![7; RECORD], 0);
        timed(time, || {
            file.write_all_at(&record, offset)?;
            offset = (offset + RECORD as u64) % FILE as u64;
            file.sync_data()
        })
    })();
    let removed = std::fs::remove_file(&path);
    let micros = measured.map_err(failed)?;
    removed.map_err(failed)?;
    Ok(Floor {
        name: name.into(),
        micros,
        note: format!(
            "write {} KiB into a preallocated file and sync it: once for a whole batch",
            RECORD >> 10
        ),
        of: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_floor_is_a_positive_time() {
        let directory = tempfile::tempdir().unwrap();
        let floors = measure(directory.path(), Duration::from_millis(5), 1).unwrap();
        assert_eq!(floors.len(), 7);
        for floor in floors {
            assert!(floor.micros > 0.0 && floor.micros < 1e6, "{floor:?}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
