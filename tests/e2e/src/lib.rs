//! The modules and the whole node, end to end, on every backend.
//!
//! A test is a generic `pub async fn name<R: Runtime>(runtime: R)` in one of the modules here, and one line in the list
//! of `tests_of!`: it becomes one `#[test]` per backend (`glommio::http::pipelined_answers_keep_their_order`). A
//! backend that this machine cannot run prints `SKIPPED` and why.

#![cfg_attr(
    feature = "only-floods",
    allow(unused_imports, unused_macros, reason = "the lists of other tests are left out")
)]

#[cfg(test)]
pub mod dns;
#[cfg(test)]
pub mod dns_hostile;
#[cfg(test)]
pub mod every_version;
#[cfg(test)]
pub mod files;
#[cfg(test)]
pub mod grpc;
#[cfg(test)]
mod grpc_descriptors;
#[cfg(test)]
pub mod grpc_hostile;
#[cfg(test)]
pub mod hostile;
#[cfg(test)]
pub mod http;
#[cfg(test)]
pub mod http2_hostile;
#[cfg(test)]
pub mod http3;
#[cfg(test)]
pub mod http3_hostile;
#[cfg(test)]
pub mod http_clients;
#[cfg(test)]
pub use http_clients as http3_clients;
#[cfg(test)]
pub mod http_hostile;
#[cfg(test)]
pub mod identities;
#[cfg(test)]
pub mod ledger;
#[cfg(test)]
pub mod one_port;
#[cfg(test)]
pub mod proxy;
#[cfg(test)]
pub use proxy::{
    failures as proxy_failures, hostile as proxy_hostile, introduced as proxy_introduced,
    through as proxy_through,
};
#[cfg(test)]
pub mod quic;
#[cfg(test)]
pub mod quic_hostile;
#[cfg(test)]
pub mod quic_paths;
#[cfg(test)]
mod quic_sim;
#[cfg(test)]
pub mod tls;
#[cfg(test)]
pub mod wallet;
#[cfg(test)]
pub mod websocket;

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
            #[cfg(not(feature = "only-floods"))]
            #[test]
            fn every_shard_submits() {
                crate::ledger::every_shard_submits(&$backend);
            }

            #[cfg(not(feature = "only-floods"))]
            #[test]
            fn several_shards_on_one_port() {
                crate::one_port::several_shards(&$backend);
            }

            #[cfg(not(feature = "only-floods"))]
            crate::quic_tests!($backend);
            #[cfg(not(feature = "only-floods"))]
            crate::dns_tests!($backend);

            crate::floods! { $backend;
                hostile {
                    silence,
                    slowloris,
                    tls_slowloris,
                    headers_and_targets,
                    pipelines,
                    connections_past_the_limit,
                    resets,
                    header_blocks,
                    small_frames,
                    windows,
                    torn_requests,
                    field_sections,
                    http3_slowloris,
                    streams_of_all_kinds,
                    closed_connections,
                    first_packets,
                    garbage,
                    connection_ids,
                    paths,
                    acknowledgements,
                    handshake_data,
                    datagrams,
                    bombs,
                    pings,
                    endless_messages,
                    tls_connections_past_the_limit,
                    quic_connections_past_the_limit,
                    grpc_messages,
                    grpc_streams,
                    dns_datagrams,
                    dns_streams,
                    dns_connections_past_the_limit,
                    proxied_slowloris,
                    proxied_headers_and_targets,
                    proxied_pipelines,
                    proxied_resets,
                    proxied_header_blocks,
                    proxied_windows,
                }
            }

            #[cfg(not(feature = "only-floods"))]
            crate::tests! { $backend;
                one_port {
                    all_versions,
                    in_the_clear,
                    web_sockets,
                    busy_connections_stay,
                    alternatives,
                    early_data,
                    new_certificates_under_load,
                    draining,
                    limits_hold_for_all,
                }
                identities {
                    client_certificates,
                    names_choose_certificates,
                    new_certificates_leave_connections_alone,
                }
                every_version {
                    cookies,
                    middleware,
                    over_ipv6,
                    turns,
                }
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
                http_clients {
                    the_retry_budget,
                    what_may_have_been_done_is_not_repeated,
                    what_was_refused_unprocessed_is_repeated,
                    connections_of_a_host,
                    idle_connections_are_closed,
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
                tls {
                    both_protocols_on_one_port,
                    http2_in_the_clear,
                    streams_and_trailers,
                    broken_off_responses,
                    bad_handshakes,
                    client_certificates,
                    resumption_and_new_certificates,
                    redirects,
                    proxies,
                    connections_that_end,
                }
                proxy_through {
                    every_protocol_in_and_out,
                    streams_both_ways,
                    routes_and_fields,
                    trailers_and_the_next_message,
                    websocket_through,
                    websocket_that_is_none,
                    tunnels_half_close,
                }
                proxy_failures {
                    a_server_that_dies_in_the_middle,
                    gateway_errors,
                    retries,
                    a_request_that_ends_connections,
                    the_retry_budget,
                    the_circuit_opens_and_heals,
                    health_checks,
                    limits,
                    clients_that_vanish,
                    reload_while_requests_run,
                    policies_and_statistics,
                }
                proxy_introduced {
                    balancers_say_whose_a_connection_is,
                    nobody_else_is_let_in,
                    the_proxy_is_told_and_tells,
                }
                proxy_hostile {
                    smuggling,
                    smuggling_from_later_versions,
                    refusals,
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
                    pushes,
                    tunnels,
                }
                grpc {
                    all_kinds,
                    metadata_and_statuses,
                    deadlines,
                    cancellation,
                    compression,
                    back_pressure,
                    messages_in_turns,
                    relays,
                    health,
                    reflection,
                    tonic_generated,
                    draining_finishes_calls,
                    through_the_proxy,
                }
                grpc_hostile {
                    message_limits,
                    bad_messages,
                    bad_calls,
                    bad_answers,
                    slow_messages,
                }
                websocket {
                    echoes,
                    many_at_once,
                    fragments,
                    frames_behind_the_handshake,
                    handshakes,
                    hostile_frames,
                    compression_bombs,
                    clients_that_do_not_read,
                    ping_floods,
                    keep_alive,
                    slow_messages,
                    peers_that_vanish,
                    receiving_is_cancel_safe,
                    stopping_says_goodbye,
                    json_rpc,
                    hostile_servers,
                }
                files {
                    files_are_served,
                    ranges,
                    conditions,
                    precompressed,
                    slow_readers,
                    middleware,
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

/// The tests of QUIC, which the simulator runs too.
#[cfg(test)]
macro_rules! quic_tests {
    ($backend:expr) => {
        #[test]
        fn migrated_clients_find_their_shard() {
            crate::quic_paths::migrated_clients_find_their_shard(&$backend);
        }

        crate::tests! { $backend;
            quic {
                handshake_and_what_it_says,
                a_megabyte_both_ways,
                a_hundred_streams,
                datagrams_arrive_and_have_a_size,
                half_close,
                reset_and_stop,
                an_unfinished_stream_is_never_taken_for_a_whole_one,
                not_reading_is_back_pressure,
                opening_waits_for_the_peers_limit,
                idle_connections_time_out,
                keep_alive_keeps,
                close_codes,
                a_close_gets_through,
                early_data_is_accepted,
                early_data_is_rejected,
                keys_change,
                a_pool_uses_connections_again,
                endpoints_go_when_nobody_needs_them,
                closing_waits_until_peers_heard,
                wrong_certificates_are_refused,
            }
            quic_paths {
                a_client_moves_to_another_port,
                late_packets_from_where_a_client_was,
                a_lost_close_is_repeated,
                a_restarted_server_resets,
                retry_proves_the_address_and_a_token_does_next_time,
                members_share_tokens_and_tickets,
                unknown_versions_are_negotiated,
                version_negotiation_ends_a_client,
                the_width_is_found_out,
                a_narrow_path_is_found_out,
                a_black_hole_is_noticed,
                packets_are_paced,
            }
            http3 {
                requests_of_all_kinds,
                bodies_stream_both_ways,
                many_requests_at_once,
                trailers_and_continue,
                a_torn_response_is_no_whole_one,
                limits_of_requests,
                slow_clients,
                early_requests_are_served_when_safe,
                draining_finishes_requests_in_work,
                draining_waits_for_no_handshake,
                frames_without_end,
                broken_connections,
            }
            http3_clients {
                what_http3_rejects_is_repeated,
            }
            http3_hostile {
                violations,
                malformed_requests,
                pushes,
            }
            quic_hostile {
                garbage_is_ignored,
                truncated_packets_are_ignored,
                connection_limit,
                a_flood_of_first_packets,
                no_amplification,
                silence_times_the_handshake_out,
                frames,
                handshakes,
                transport_parameters,
            }
        }
    };
}
#[cfg(test)]
use quic_tests;

/// The tests of DNS, which the simulator runs too.
#[cfg(test)]
macro_rules! dns_tests {
    ($backend:expr) => {
        crate::tests! { $backend;
            dns {
                datagrams,
                over_ipv6,
                pipelining,
                over_tls,
                over_https,
                over_quic,
                wrong_answers,
                nothing_can_be_guessed,
                a_flood_of_forgeries,
                silent_servers,
            }
            dns_hostile {
                datagrams,
                handlers,
                streams,
                connection_limit,
                floods,
                quic,
                servers,
            }
        }
    };
}
#[cfg(test)]
use dns_tests;

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

/// Tests whose process's memory is watched: each in one of its own.
#[cfg(test)]
macro_rules! floods {
    ($backend:expr; $area:ident { $($name:ident,)* }) => {
        mod $area {
            $(#[test]
            fn $name() {
                fn any<R: shroud::runtime::Runtime>(runtime: R) -> impl std::future::Future<Output = ()> + Send {
                    crate::$area::$name(runtime)
                }
                let name = concat!(module_path!(), "::", stringify!($name));
                crate::hostile::alone(&$backend, name, any);
            })*
        }
    };
}
#[cfg(test)]
use floods;

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

/// The simulator runs what has no other process and no real file in it.
#[cfg(all(test, not(feature = "only-floods")))]
mod sim {
    crate::quic_tests!(shroud_sim::Sim { seed: 1 });
    crate::dns_tests!(shroud_sim::Sim { seed: 1 });
}
