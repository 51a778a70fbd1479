//! Tasks that have had their turn, in line for the next.
//!
//! A task that gives way is woken after the next look at what the kernel has ready. All that have given way would be woken
//! together then, ahead of whoever becomes ready meanwhile; so a thread wakes a few of its own at a time, in the order in which
//! they gave way. Long operations of tasks that have not given way count among those few.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Tasks of a thread that are woken and have not been polled yet, at most: what others wait for them, twice 100 µs or so.
const CALLED: usize = 2;

/// How an executor wakes a task after others have had their turn.
pub(crate) type Defer = fn(&Waker);

thread_local! {
    static HERE: Arc<Line> = Arc::default();
}

#[derive(Default)]
struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    called: usize,
    /// With those that have left meanwhile.
    waiting: VecDeque<Arc<Ticket>>,
}

struct Ticket {
    line: Arc<Line>,
    defer: Defer,
    /// Locked after the line.
    stage: Mutex<Stage>,
}

enum Stage {
    Waiting(Wakers),
    /// It is woken after the next look at what the kernel has ready.
    Called(Wakers),
    Ready,
    /// Nobody's: a long operation that somebody does meanwhile.
    Taken,
    Left,
}

/// Who is woken when a task's turn has come.
struct Wakers {
    /// The task itself: what its parts wake may have been woken before, and tell nobody a second time.
    own: Waker,
    parts: Vec<Waker>,
}

impl Wakers {
    fn wake(self) {
        self.parts.into_iter().for_each(Waker::wake);
        self.own.wake();
    }
}

/// A task's place in a line, which it leaves when it is polled or dropped.
pub(crate) struct Place(Arc<Ticket>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines a task up, to be woken by `own` and those of its parts. `None` when it was woken at once.
pub(crate) fn enter(defer: Option<Defer>, own: &Waker, parts: Vec<Waker>) -> Option<Place> {
    let wakers = Wakers { own: own.clone(), parts };
    let here = defer.and_then(|defer| Some((defer, HERE.try_with(Arc::clone).ok()?)));
    let Some((defer, line)) = here else {
        wakers.wake();
        return None;
    };
    let mut state = lock(&line.0);
    if state.called < CALLED {
        state.called += 1;
        drop(state);
        let ticket = Arc::new(Ticket { line, defer, stage: Mutex::new(Stage::Called(wakers)) });
        defer(&Waker::from(Arc::clone(&ticket)));
        return Some(Place(ticket));
    }
    let stage = Mutex::new(Stage::Waiting(wakers));
    let ticket = Arc::new(Ticket { line: Arc::clone(&line), defer, stage });
    state.waiting.push_back(Arc::clone(&ticket));
    Some(Place(ticket))
}

/// Lets somebody do something long at once, if few have since the last look at what the kernel has ready: until after the next
/// one he counts as one of those who are called.
pub(crate) fn take(defer: Defer) -> bool {
    let Ok(line) = HERE.try_with(Arc::clone) else { return true };
    let mut state = lock(&line.0);
    if state.called >= CALLED {
        return false;
    }
    state.called += 1;
    drop(state);
    let ticket = Arc::new(Ticket { line, defer, stage: Mutex::new(Stage::Taken) });
    defer(&Waker::from(ticket));
    true
}

impl Place {
    /// Whether it has not been woken from there: a task that waits is not polled, whatever else wakes it. `own` wakes it now.
    pub(crate) fn waits(&self, own: &Waker) -> bool {
        // Goes when nothing is locked any more.
        let mut before = None;
        match &mut *lock(&self.0.stage) {
            Stage::Waiting(wakers) | Stage::Called(wakers) => {
                if !wakers.own.will_wake(own) {
                    before = Some(std::mem::replace(&mut wakers.own, own.clone()));
                }
            }
            Stage::Ready | Stage::Taken | Stage::Left => return false,
        }
        drop(before);
        true
    }

    /// The task has been polled: the next one is called.
    pub(crate) fn leave(self) {
        if let Some(next) = self.0.leave() {
            let defer = next.defer;
            defer(&Waker::from(next));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Perhaps on no executor's thread.
        if let Some(next) = self.0.leave() {
            next.wake();
        }
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        let mut stage = lock(&self.stage);
        // A long operation ends with this waker, its only one.
        if matches!(*stage, Stage::Called(_))
            && let Stage::Called(wakers) = std::mem::replace(&mut *stage, Stage::Ready)
        {
            drop(stage);
            wakers.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The look is over, or the executor is: the next one is woken at once.
        if matches!(*lock(&self.stage), Stage::Taken)
            && let Some(next) = self.leave()
        {
            next.wake();
        }
    }
}

impl Ticket {
    /// Who is called instead.
    fn leave(&self) -> Option<Arc<Self>> {
        // Its wakers go when nothing is locked any more: with the last one, a task may go that has a place itself.
        let left;
        let mut state = lock(&self.line.0);
        left = std::mem::replace(&mut *lock(&self.stage), Stage::Left);
        if !matches!(left, Stage::Called(_) | Stage::Ready | Stage::Taken) {
            return None;
        }
        state.called = state.called.saturating_sub(1);
        while let Some(next) = state.waiting.pop_front() {
            let mut stage = lock(&next.stage);
            if matches!(*stage, Stage::Waiting(_)) {
                if let Stage::Waiting(wakers) = std::mem::replace(&mut *stage, Stage::Left) {
                    *stage = Stage::Called(wakers);
                }
                drop(stage);
                state.called = state.called.saturating_add(1);
                return Some(next);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl std::task::Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A thread of its own has a line of its own.
    #[allow(clippy::disallowed_methods, reason = "nothing runs there")]
    fn apart(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().expect("no panic");
    }

    fn woken(tasks: &[Arc<Counted>]) -> Vec<usize> {
        tasks.iter().map(|task| task.0.load(Ordering::SeqCst)).collect()
    }

    fn waits(place: &Option<Place>) -> bool {
        place
            .as_ref()
            .is_some_and(|place| matches!(*lock(&place.0.stage), Stage::Waiting(_) | Stage::Called(_)))
    }

    fn line_up(tasks: &[Arc<Counted>]) -> Vec<Option<Place>> {
        tasks
            .iter()
            .map(|task| enter(Some(Waker::wake_by_ref), &Arc::clone(task).into(), Vec::new()))
            .collect()
    }

    #[test]
    fn a_few_are_called_at_a_time_and_in_order() {
        apart(|| {
            let tasks: Vec<Arc<Counted>> = (0..8).map(|_| Arc::default()).collect();
            let mut places = line_up(&tasks);
            assert_eq!(woken(&tasks), [1, 1, 0, 0, 0, 0, 0, 0]);
            for (leaves, called) in [(1, 2), (0, 3), (2, 4)] {
                places[leaves].take().unwrap().leave();
                assert_eq!(woken(&tasks).iter().sum::<usize>(), called + 1);
            }
            assert_eq!(woken(&tasks), [1, 1, 1, 1, 1, 0, 0, 0]);
            assert!(waits(&places[5]) && !waits(&places[4]));
            // Those that are dropped while they wait call nobody, and are not called.
            drop(places[5].take());
            drop(places[6].take());
            assert_eq!(woken(&tasks), [1, 1, 1, 1, 1, 0, 0, 0]);
            // One that is dropped after it was called.
            drop(places[3].take());
            assert_eq!(woken(&tasks), [1, 1, 1, 1, 1, 0, 0, 1]);
            // None is left that could be called.
            drop(places);
            let again = line_up(&tasks);
            assert_eq!(woken(&tasks), [2, 2, 1, 1, 1, 0, 0, 1]);
            drop(again);
        });
    }

    thread_local! {
        static DEFERRED: std::cell::RefCell<Vec<Waker>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    fn defer(waker: &Waker) {
        DEFERRED.with_borrow_mut(|deferred| deferred.push(waker.clone()));
    }

    fn look() {
        DEFERRED.take().into_iter().for_each(Waker::wake);
    }

    #[test]
    fn a_few_long_operations_are_let_through_until_the_next_look() {
        apart(|| {
            for _ in 0..3 {
                assert!(take(defer) && take(defer) && !take(defer) && !take(defer));
                look();
            }
            // Those who wait come first.
            let tasks: Vec<Arc<Counted>> = (0..3).map(|_| Arc::default()).collect();
            assert!(take(defer) && take(defer));
            let places: Vec<_> =
                tasks.iter().map(|task| enter(Some(defer), &Arc::clone(task).into(), Vec::new())).collect();
            assert!(!take(defer) && places.iter().all(waits));
            look();
            assert_eq!(woken(&tasks), [1, 1, 0]);
            assert!(!take(defer));
            for place in places {
                place.unwrap().leave();
                look();
            }
            assert_eq!(woken(&tasks), [1, 1, 1]);
            assert!(take(defer) && take(defer) && !take(defer));
            // An executor that ends before.
            drop(DEFERRED.take());
            assert!(take(defer) && take(defer) && !take(defer));
        });
    }

    #[test]
    fn without_an_executor_that_defers_all_are_woken_at_once() {
        apart(|| {
            let tasks: Vec<Arc<Counted>> = (0..8).map(|_| Arc::default()).collect();
            for task in &tasks {
                assert!(enter(None, &Arc::clone(task).into(), vec![Arc::clone(task).into()]).is_none());
            }
            assert_eq!(woken(&tasks), [2; 8]);
        });
    }
}
