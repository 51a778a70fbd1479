//! The modules and the whole node, end to end, on every backend.
//!
//! A test is a generic `pub async fn name<R: Runtime>(runtime: R)` in one of the modules here, and one line in the list
//! of `tests_of!`: it becomes one `#[test]` per backend (`glommio::http::pipelined_answers_keep_their_order`). A
//! backend that this machine cannot run prints `SKIPPED` and why.

#[cfg(test)]
pub mod http;
#[cfg(test)]
pub mod http2_hostile;
#[cfg(test)]
pub mod http_hostile;
#[cfg(test)]
pub mod ledger;
#[cfg(test)]
pub mod wallet;

use shroud::runtime::{Backend, Config};
use std::future::Future;

/// Runs one test on one backend, on `cores` threads or shards; `main` runs once a shard.
///
/// # Panics
/// When the test does, or the backend does not start.
pub fn run<B, M, F>(backend: &B, cores: usize, main: M)
where
    B: Backend,
    M: Fn(B::Runtime) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    if let Err(why) = backend.probe() {
        println!("SKIPPED {}: {why}", backend.name());
        return;
    }
    for (shard, result) in backend
        .run(&Config::default().cores(cores), main)
        .expect("the backend starts")
        .into_iter()
        .enumerate()
    {
        if let Err(error) = result {
            panic!("{} shard {shard}: {error}", backend.name());
        }
    }
}

/// The tests of one backend: a module with one `#[test]` each.
#[cfg(test)]
macro_rules! tests_of {
    ($module:ident, $backend:expr) => {
        mod $module {
            #[test]
            fn every_shard_submits() {
                crate::ledger::every_shard_submits(&$backend);
            }

            crate::tests! { $backend;
                http {
                    keep_alive_and_methods,
                    pipelined_answers_keep_their_order,
                    a_started_header_does_not_hold_back_answers,
                    an_expected_body_is_asked_for,
                    half_closed_clients_get_their_answer,
                    answers_larger_than_any_buffer,
                    client_reuses_connections,
                    client_faults,
                    json_rpc_round_trip,
                    pages_are_served,
                    draining_finishes_requests_in_work,
                }
                http_hostile {
                    malformed_requests,
                    oversized_headers,
                    oversized_bodies,
                    two_meanings,
                    bad_chunking,
                    slow_header,
                    slow_body,
                    idle_connections_are_closed,
                    clients_that_vanish,
                    clients_that_do_not_read,
                    connection_limit,
                    request_limit,
                    slow_readers_get_it_all,
                    drain_deadline,
                }
                http2_hostile {
                    violations,
                    rapid_reset,
                    slow_resets,
                    stream_limit,
                    header_floods,
                    floods_that_are_not_read,
                    floods_that_are_read,
                    windows_that_stay_shut,
                    small_windows,
                    bodies,
                    idle_connections,
                    draining,
                }
                ledger {
                    acknowledged_transfers_survive,
                    a_torn_tail_is_cut,
                    damage_is_refused,
                    wrong_directories_are_refused,
                    a_failing_disk_stops_all_writing,
                    nonces_arrive_in_any_order,
                    gaps_are_waited_for_within_limits,
                    overload_is_shed,
                    duplicates_get_the_same_receipt,
                    batching_does_not_change_the_state,
                    segments_roll_over_and_are_recycled,
                    contracts_run_in_slices,
                    stopping_answers_everyone,
                }
                wallet {
                    keys_survive,
                    key_faults,
                    no_node,
                }
            }
        }
    };
}

#[cfg(test)]
macro_rules! tests {
    ($backend:expr; $($area:ident { $($name:ident,)* })*) => {
        $(mod $area {
            $(#[test]
            fn $name() {
                /// The compiler proves `Send` for any runtime, where it does not for a named one.
                fn any<R: shroud::runtime::Runtime>(runtime: R) -> impl std::future::Future<Output = ()> + Send {
                    crate::$area::$name(runtime)
                }
                crate::run(&$backend, 1, any);
            })*
        })*
    };
}
#[cfg(test)]
use tests;

#[cfg(test)]
tests_of!(tokio, shroud::backends::tokio::Tokio);
#[cfg(test)]
tests_of!(tokio_per_core, shroud::backends::tokio::TokioPerCore);
#[cfg(test)]
tests_of!(smol, shroud::backends::smol::Smol);
#[cfg(test)]
tests_of!(smol_per_core, shroud::backends::smol::SmolPerCore);
#[cfg(test)]
tests_of!(tokio_async_io, shroud::backends::matched::TokioAsyncIo);
#[cfg(test)]
tests_of!(glommio, shroud::backends::glommio::Glommio);
