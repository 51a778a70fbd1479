//! Signatures in batches: requests that arrive together are verified together, on the shard that received them.
//!
//! An Ed25519 signature costs less than half in a batch. A verifying task lets everything that is ready run once before
//! it takes what has gathered, so that a lone transaction waits for nothing and a crowd shares the work.

use shroud_ledger::ChainId;
use shroud_ledger::transaction::{
    Envelope, Transaction, VerifiedTransaction, VerifyError, verify, verify_batch,
};
use shroud_runtime::sync::{channel, oneshot};
use shroud_runtime::{Class, Lost, Runtime};
use std::future::poll_fn;
use std::task::Poll;

/// Signatures in one batch at most: half a millisecond of work (18 to 25 us each), so that no thread is held for a whole one even
/// where it is slow.
const BATCH: usize = 24;
/// From this many on a batch is cheaper than one by one.
const WORTH_A_BATCH: usize = 3;
/// Transactions that wait for verification at most; more make their senders wait.
const QUEUE: usize = 1024;

struct Job {
    transaction: Transaction,
    reply: oneshot::Sender<Result<VerifiedTransaction, VerifyError>>,
}

/// Verifies transactions; a cheap clone.
#[derive(Clone)]
pub(crate) struct Verifier {
    chain: ChainId,
    jobs: channel::Sender<Job>,
}

impl Verifier {
    /// Starts a verifying task for each worker of this shard. They end with the task that calls this.
    pub(crate) fn start<R: Runtime>(runtime: &R, chain: ChainId) -> Self {
        let (sender, jobs) = channel::bounded(QUEUE);
        for _ in 0..runtime.shard().workers.max(1) {
            let (runtime, jobs) = (runtime.clone(), jobs.clone());
            runtime.clone().spawn_in(Class::Crypto, "verify", run(runtime, jobs, chain)).detach();
        }
        Self { chain, jobs: sender }
    }

    /// Verifies one transaction. Cancel safe: the work is dropped or its result is.
    ///
    /// # Errors
    /// [`Lost`] when the node is stopping.
    pub(crate) async fn verify(
        &self,
        transaction: Transaction,
    ) -> Result<Result<VerifiedTransaction, VerifyError>, Lost> {
        // Recovering a secp256k1 key gains nothing from company.
        if matches!(transaction.envelope(), Envelope::Ethereum(_)) {
            return Ok(verify(transaction, self.chain));
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { transaction, reply }).await.map_err(|_| Lost)?;
        answer.await.map_err(|_| Lost)
    }
}

async fn run<R: Runtime>(runtime: R, jobs: channel::Receiver<Job>, chain: ChainId) {
    while let Ok(first) = jobs.recv().await {
        yield_now().await;
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let (transactions, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.transaction, job.reply)).unzip();
        let verdicts = if transactions.len() < WORTH_A_BATCH {
            transactions.into_iter().map(|transaction| verify(transaction, chain)).collect()
        } else {
            let mut seed = [0; 32];
            runtime.fill(&mut seed);
            verify_batch(transactions, chain, &seed)
        };
        for (reply, verdict) in replies.into_iter().zip(verdicts) {
            // Nobody waits any more when the client has gone.
            let _ = reply.send(verdict);
        }
        // A full queue must not keep the thread from other tasks.
        yield_now().await;
    }
}

/// Lets every other ready task run once.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
