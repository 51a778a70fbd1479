//! Ordering and applying: the blocks' making.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_lite::future::or;
use shroud_crypto::keccak256;
use shroud_ledger::apply::{AppliedBlock, Applier, ApplyError, Progress, Rejection};
use shroud_ledger::transaction::Action;
use shroud_ledger::{GCC, Nonce, Timestamp, TransactionHash, gas, state};
use shroud_runtime::{Runtime, RuntimeExt};

use super::Failure;
use super::pace::Pace;
use super::stage::{Sealed, Stage};
use crate::SubmitError;
use crate::reply::Wakes;
use crate::shared::Shared;
use crate::submission::{Replies, Submission};
use crate::waiting::WaitingRoom;

/// From so many transactions on, a block's commitment is computed on another thread: it takes about 10 µs for each, and
/// handing it over costs about as much as ten of them.
const OFFLOAD_FROM: usize = 40;
/// Contract code from which on it is compiled on another thread: it takes about 50 ms for each MiB.
const OFFLOAD_CODE_BYTES: usize = 4096;

pub(super) struct Applying<'a, R: Runtime> {
    runtime: R,
    shared: &'a Shared,
    stage: &'a Stage,
    work: VecDeque<Submission>,
    room: WaitingRoom<Submission>,
    pace: Pace<R>,
    wakes: Wakes,
    /// The block in the making: its transactions, and who waits for each.
    hashes: Vec<TransactionHash>,
    replies: Vec<Replies>,
    /// Who is refused because of state that is not durable yet, and why: told with the block.
    refused: Vec<(Replies, SubmitError)>,
}

impl<'a, R: Runtime> Applying<'a, R> {
    pub(super) fn new(runtime: R, shared: &'a Shared, stage: &'a Stage) -> Self {
        Self {
            pace: Pace::new(runtime.clone(), shared.config.slice_time),
            runtime,
            shared,
            stage,
            work: VecDeque::new(),
            room: WaitingRoom::new(&shared.config),
            wakes: Wakes::default(),
            hashes: Vec::new(),
            replies: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, applier: Applier) -> Result<(), Failure> {
        let ended = self.make_blocks(applier).await;
        let error = match &ended {
            Ok(()) => SubmitError::Stopping,
            Err(failure) => SubmitError::Failed(Arc::clone(failure)),
        };
        let left = self.room.clear().into_iter().chain(self.work.drain(..)).map(|left| left.replies);
        let refused = self.refused.drain(..).map(|(replies, _)| replies);
        for replies in left.chain(self.replies.drain(..)).chain(refused) {
            replies.answer(Err(error.clone()), &mut self.wakes);
        }
        self.shared.metrics.waiting.set(0);
        self.wakes.send();
        self.stage.close();
        ended
    }

    async fn make_blocks(&mut self, mut applier: Applier) -> Result<(), Failure> {
        loop {
            self.check()?;
            self.collect(&applier).await?;
            if !self.work.is_empty() {
                applier = self.make_block(applier).await?;
            } else if self.shared.inbox.is_closed() && self.shared.inbox.len() == 0 {
                return Ok(());
            } else {
                self.wait().await?;
            }
        }
    }

    /// Makes one block, unless all that there is to do is refused.
    async fn make_block(&mut self, mut applier: Applier) -> Result<Applier, Failure> {
        let begun = self.runtime.now();
        let parent = applier.tip().timestamp;
        let time = u64::try_from(self.runtime.unix_time().as_millis()).unwrap_or(u64::MAX);
        let timestamp = Timestamp(time.max(parent.0.saturating_add(1)));
        applier.begin(timestamp).map_err(|error| self.broken(&error))?;
        // Whatever comes last before the end is taken after this block.
        while self.fill(&mut applier).await? && !self.stage.is_free() && !self.shared.inbox.is_closed() {
            self.wait().await?;
            self.collect(&applier).await?;
        }
        while !self.stage.is_free() {
            self.wait_for_stage().await?;
        }
        if self.replies.is_empty() {
            applier.abandon();
            // All that they were judged by is durable by now.
            for (replies, error) in self.refused.drain(..) {
                replies.answer(Err(error), &mut self.wakes);
            }
            self.wakes.send();
            return Ok(applier);
        }
        let (applier, sealed) = self.seal(applier).await?;
        self.shared.metrics.batch.record_count(sealed.replies.len());
        self.shared.metrics.apply.record_time(self.runtime.now().saturating_duration_since(begun));
        let before = self.shared.set_tip(sealed.tree.clone());
        self.stage.put(Sealed { before, ..sealed });
        Ok(applier)
    }

    /// Applies the work there is. Says whether the block has room for more.
    async fn fill(&mut self, applier: &mut Applier) -> Result<bool, Failure> {
        while let Some(submission) = self.work.pop_front() {
            if self.replies.len() + self.refused.len() >= self.shared.config.block_transactions {
                self.work.push_front(submission);
                return Ok(false);
            }
            self.compile_ahead(applier, &submission).await;
            let progress = self.apply(applier, &submission).await?;
            match progress {
                Progress::Done { .. } => self.included(submission),
                Progress::BlockFull if self.replies.is_empty() => {
                    return Err(self.shared.fail("a transaction does not fit an empty block"));
                }
                Progress::BlockFull | Progress::Running => {
                    self.work.push_front(submission);
                    return Ok(false);
                }
                Progress::Rejected(rejection) => self.rejected(submission, rejection),
            }
            if self.pace.is_due() {
                self.wakes.send();
                self.pace.rest().await;
            }
        }
        self.wakes.send();
        Ok(true)
    }

    /// Applies one transaction to its end, in slices.
    async fn apply(&mut self, applier: &mut Applier, submission: &Submission) -> Result<Progress, Failure> {
        let mut progress = applier.submit(&submission.transaction).map_err(|error| self.broken(&error))?;
        while progress == Progress::Running {
            progress = applier.resume(self.shared.config.slice_fuel).map_err(|error| self.broken(&error))?;
            if progress == Progress::Running && self.pace.is_due() {
                self.wakes.send();
                self.pace.rest().await;
            }
        }
        Ok(progress)
    }

    fn included(&mut self, submission: Submission) {
        let (sender, nonce) = (submission.transaction.sender(), submission.transaction.nonce());
        #[cfg(feature = "planted-faults")]
        if shroud_planted::is_planted(shroud_planted::Fault::LeakMemory) {
            std::mem::forget(vec![0_u8; 1024]);
        }
        self.hashes.push(submission.transaction.hash());
        self.replies.push(submission.replies);
        // Whoever waited for this one is next.
        if let Some(next) = self.room.take(sender, Nonce(nonce.0.saturating_add(1))) {
            self.work.push_front(next);
            self.shared.metrics.waiting.set(self.room.len() as u64);
        }
    }

    fn rejected(&mut self, submission: Submission, rejection: Rejection) {
        let (submission, error) = match rejection {
            Rejection::NonceTooHigh { expected, .. } => {
                let deadline = self.runtime.now() + self.shared.config.waiting_time;
                let entered = self.room.enter(submission, expected, deadline);
                self.shared.metrics.waiting.set(self.room.len() as u64);
                match entered {
                    Ok(()) => return,
                    Err(refused) => refused,
                }
            }
            Rejection::NonceTooLow { .. } => match self.join_known(submission) {
                Some(submission) => (submission, SubmitError::Rejected(rejection)),
                None => return,
            },
            other => (submission, SubmitError::Rejected(other)),
        };
        match error {
            SubmitError::WaitingRoomFull { .. } => self.shared.metrics.shed.add(1),
            _ => self.shared.metrics.rejected.add(1),
        }
        if self.is_durable(&submission, &error) {
            submission.replies.answer(Err(error), &mut self.wakes);
        } else {
            self.refused.push((submission.replies, error));
        }
    }

    /// Whether a refusal tells of durable state only. One that rests on a block that may still be lost must wait for it:
    /// whoever is told that a nonce is used, or money spent, must find it so.
    fn is_durable(&self, submission: &Submission, error: &SubmitError) -> bool {
        if self.replies.is_empty() && self.stage.is_free() {
            return true;
        }
        #[cfg(feature = "planted-faults")]
        if shroud_planted::is_planted(shroud_planted::Fault::RefuseUncommitted) {
            return true;
        }
        let SubmitError::Rejected(rejection) = error else { return true };
        let account = || state::account(&self.shared.snapshot().tree, submission.transaction.sender());
        match rejection {
            Rejection::NonceTooLow { stated, .. } => account().is_ok_and(|account| account.nonce > *stated),
            Rejection::InsufficientFunds { asset, needed, .. } => {
                account().is_ok_and(|account| account.balance(*asset) < *needed)
            }
            // The rest does not depend on what others do: a contract that is not there now was not there before.
            _ => true,
        }
    }

    /// A transaction whose nonce is used may be the very one that used it, in a block that is not durable yet: then it
    /// gets the same answer. Gives it back when it is not.
    fn join_known(&mut self, submission: Submission) -> Option<Submission> {
        let hash = submission.transaction.hash();
        let Submission { transaction, replies } = submission;
        let index = self.hashes.iter().position(|have| *have == hash);
        let replies = match index.and_then(|index| self.replies.get_mut(index)) {
            Some(have) => {
                have.join(replies);
                None
            }
            None => self.stage.join(&hash, replies),
        };
        match replies {
            Some(replies) => Some(Submission { transaction, replies }),
            None => {
                self.shared.metrics.duplicates.add(1);
                None
            }
        }
    }

    /// Ends the block: commitment, hashes, the journal's payload.
    async fn seal(&mut self, applier: Applier) -> Result<(Applier, Sealed), Failure> {
        let job = move || {
            let mut applier = applier;
            let finished = applier.finish();
            let encoded = finished.map(|applied| {
                let payload = applied.block.encode();
                (applied, payload)
            });
            (applier, encoded)
        };
        let (applier, encoded) = if self.replies.len() < OFFLOAD_FROM {
            job()
        } else {
            self.runtime.offload(job).await.map_err(|lost| self.shared.fail(&lost.to_string()))?
        };
        let (applied, payload) = encoded.map_err(|error| self.broken(&error))?;
        // Readers of the block need neither, and both would keep old state in memory.
        let (tree, postings) = (applied.tree, Vec::new());
        let block = Arc::new(AppliedBlock { tree: Default::default(), postings, ..applied });
        self.hashes.clear();
        let (replies, refused) = (std::mem::take(&mut self.replies), std::mem::take(&mut self.refused));
        self.pace.restart();
        Ok((applier, Sealed { block, tree, before: Default::default(), payload, replies, refused }))
    }

    /// Takes what has arrived, and sends out who has waited too long.
    async fn collect(&mut self, applier: &Applier) -> Result<(), Failure> {
        self.shared.inbox.take(&mut self.work);
        let now = self.runtime.now();
        while let Some(late) = self.room.expire(now) {
            let stated = late.transaction.nonce();
            let account = applier.account(late.transaction.sender());
            let expected = account.map_err(|error| self.broken(&ApplyError::State(error)))?.nonce;
            late.replies.answer(Err(SubmitError::NonceGap { expected, stated }), &mut self.wakes);
            self.shared.metrics.rejected.add(1);
            self.shared.metrics.waiting.set(self.room.len() as u64);
            if self.pace.is_due() {
                self.wakes.send();
                self.pace.rest().await;
            }
        }
        self.wakes.send();
        Ok(())
    }

    /// Waits for work: for any when idle, for a good deal of it (or the stage) while a sync is in flight.
    async fn wait(&mut self) -> Result<(), Failure> {
        let wanted = if self.stage.is_free() { 1 } else { self.shared.config.wake_threshold };
        let work = self.shared.inbox.wait(wanted);
        match self.room.next_deadline() {
            Some(deadline) => or(work, self.until(deadline)).await,
            None => work.await,
        }
        self.pace.restart();
        self.check()
    }

    async fn until(&self, deadline: Instant) {
        self.runtime.sleep_until(deadline).await;
    }

    async fn wait_for_stage(&mut self) -> Result<(), Failure> {
        self.shared.inbox.wait(usize::MAX).await;
        self.pace.restart();
        self.check()
    }

    fn check(&self) -> Result<(), Failure> {
        self.shared.failure().map_or(Ok(()), Err)
    }

    fn broken(&self, error: &ApplyError) -> Failure {
        self.shared.fail(&error.to_string())
    }

    /// Compiles a contract's code on another thread when it is large and will be needed, so that applying finds it in the
    /// cache. Only for senders who can pay: refused transactions cost nobody else anything.
    async fn compile_ahead(&self, applier: &Applier, submission: &Submission) {
        let transaction = &submission.transaction;
        let (hash, code) = match transaction.action() {
            Action::Deploy { code, .. } if code.len() >= OFFLOAD_CODE_BYTES => {
                if !self.can_pay(applier, submission) {
                    return;
                }
                (keccak256(code), code.clone())
            }
            Action::Call { contract, .. } => {
                let Ok(Some(hash)) = applier.account(*contract).map(|account| account.code) else { return };
                if self.shared.cache.get(&hash).is_some() || !self.can_pay(applier, submission) {
                    return;
                }
                // Code that is not in the tree yet was deployed in this very block, and is in the cache.
                match state::code(applier.tree(), hash) {
                    Some(code) if code.len() >= OFFLOAD_CODE_BYTES => (hash, code.to_vec()),
                    _ => return,
                }
            }
            _ => return,
        };
        let (engine, cache) = (self.shared.engine.clone(), self.shared.cache.clone());
        let compile = move || drop(cache.get_or_compile(&engine, &hash, &code));
        if let Err(lost) = self.runtime.offload(compile).await {
            tracing::warn!(%lost, %hash, "compiling a contract ahead was lost");
        }
    }

    fn can_pay(&self, applier: &Applier, submission: &Submission) -> bool {
        let transaction = &submission.transaction;
        let Ok(account) = applier.account(transaction.sender()) else { return false };
        let most = u128::from(transaction.gas_limit().0).saturating_mul(transaction.max_fee_per_gas());
        account.nonce == transaction.nonce()
            && account.balance(GCC) >= most
            && transaction.gas_limit() >= gas::intrinsic(transaction.action(), transaction.access_list())
            && transaction.max_fee_per_gas() >= applier.parameters().gas_price
    }
}
