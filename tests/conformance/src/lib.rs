//! Every promise of the seam, checked on every backend.
//!
//! # To add a backend
//! Implement `Executor` and `Io` (or reuse one), compose them, implement `Backend`, and add one line to
//! `tests/backends.rs`:
//!
//! ```text
//! suite!(my_backend, my_crate::MyBackend);
//! ```
//!
//! # To add a promise
//! Write a function `pub fn the_promise<B: Backend>(backend: &B)` in the module of its area, and add its name to
//! [`suite!`]. Inside, [`harness::everywhere`] runs a main on a two-core node (two shards, or one with two workers), and
//! [`harness::alone`] on a single thread. A promise asserts order and lower bounds of time, never upper ones. Spawn with
//! `start` ([`harness::Spawn`]): it keeps the suite quick to compile.
//!
//! Lines that begin with RUNS, SKIPPED or KNOWN are printed past the test harness: read them.
//!
//! | area | what is promised |
//! |---|---|
//! | [`tasks`] | spawn, cancel, detach, the tree, panics, statistics |
//! | [`timers`] | order, never early, re-arming, timeout, interval |
//! | [`streams`] | TCP: back-pressure, half-close, reset, many connections, cancel safety |
//! | [`datagrams`] | UDP: bursts, batches, segments, truncation, congestion marks |
//! | [`back_pressure`] | UDP under real send back-pressure, in a network namespace of its own |
//! | [`files`] | ranges, ends, durability verbs, directories, errors |
//! | [`offload`] | blocking jobs |
//! | [`shards`] | topology, wakes across shards and from foreign threads |
//! | [`shutdown`] | stop, drain, nothing leaked |
//! | [`world`] | clock, entropy, name look-up, what is reported |
//! | [`flow`], [`pools`], [`sync`] | the primitives that are built on the seam |

pub mod back_pressure;
pub mod datagrams;
pub mod files;
pub mod flow;
pub mod harness;
pub mod offload;
pub mod pools;
pub mod shards;
pub mod shutdown;
pub mod streams;
pub mod sync;
pub mod tasks;
pub mod timers;
pub mod world;

/// Expands to a module of tests: one for each promise, on one backend.
#[macro_export]
macro_rules! suite {
    ($name:ident, $backend:expr) => {
        mod $name {
            #[test]
            fn can_run_here() {
                $crate::harness::report(&$backend);
            }

            $crate::promises! { $backend;
                tasks {
                    ten_thousand_spawned_cancelled_and_joined,
                    dropping_a_handle_cancels,
                    a_detached_task_runs_on,
                    children_end_with_their_parent,
                    a_deep_tree_ends_from_its_root,
                    a_body_is_dropped_where_it_was_polled,
                    a_body_is_dropped_before_its_handle_is_ready,
                    a_panic_is_reported_and_contained,
                    a_panicking_destructor_is_reported,
                    cancelling_a_finished_task_gives_its_result,
                    cancelling_before_the_first_poll_drops_the_body,
                    names_classes_and_parents_are_seen,
                    statistics_count_polls_and_endings,
                    foreign_threads_may_spawn,
                    busy_tasks_starve_nobody,
                    those_who_give_way_let_ready_io_in,
                    few_of_those_who_give_way_come_first,
                    connects_wait_for_their_turn,
                    a_task_whose_io_is_always_ready_starves_nobody,
                }
                timers {
                    fire_in_order_and_never_early,
                    ten_thousand_sleepers_wake,
                    alarms_are_re_armed_under_load,
                    an_alarm_moves_earlier_and_later,
                    an_alarm_is_disarmed,
                    sleeps_in_one_long_poll_are_not_missed,
                    a_past_deadline_fires_at_once_and_once,
                    an_alarm_follows_its_task,
                    the_far_future_is_no_overflow,
                    a_timeout_drops_what_is_late_and_keeps_what_is_done,
                    intervals_treat_missed_ticks_as_told,
                }
                streams {
                    a_slow_reader_blocks_the_writer_and_nothing_is_lost,
                    both_directions_at_once_from_two_tasks,
                    half_close_works_both_ways,
                    a_reset_is_seen,
                    a_thousand_connections_at_once,
                    vectored_writes_are_one_call,
                    a_refused_connection_is_an_error,
                    a_connect_gives_up_after_its_timeout,
                    dropped_connects_leave_nothing,
                    shards_share_an_address,
                    a_dropped_accept_loses_no_connection,
                    dropping_a_stream_delivers_what_was_written,
                    addresses_and_options_are_honoured,
                    a_taken_address_is_an_error,
                }
                datagrams {
                    udp_burst_under_back_pressure,
                    batches_arrive_in_order,
                    a_train_of_segments_arrives_as_datagrams,
                    a_long_datagram_is_cut,
                    the_largest_and_the_empty_datagram_pass,
                    congestion_marks_pass_when_claimed,
                    addresses_are_reported_and_chosen,
                    many_tasks_send_on_one_socket,
                    a_dropped_receive_loses_nothing,
                    a_closed_port_disturbs_nobody,
                }
                back_pressure {
                    sends_wait_for_the_kernel_and_arrive_whole,
                }
                files {
                    concurrent_ranges_are_read_back_after_reopening,
                    short_reads_only_at_the_end,
                    allocated_space_reads_as_zero,
                    set_len_cuts_and_extends,
                    buffers_come_back,
                    open_options_are_honoured,
                    directories_are_listed_renamed_and_removed,
                    missing_files_are_errors,
                    status_tells_kind_length_and_change,
                    dropped_operations_harm_nothing,
                }
                offload {
                    a_job_gives_its_result,
                    a_panicking_job_is_lost,
                    jobs_run_in_parallel_and_off_the_shard,
                    many_jobs_all_end,
                    a_job_whose_future_was_dropped_runs_on,
                }
                shards {
                    each_runs_main_once_and_results_keep_their_order,
                    channels_wake_across_shards,
                    foreign_threads_wake_a_parked_shard,
                    a_panicking_main_is_reported,
                    all_trees_are_seen_from_each_shard,
                    block_on_bridges_synchronous_callers,
                    two_nodes_live_in_one_process,
                }
                shutdown {
                    a_stop_is_seen_and_work_may_finish,
                    the_drain_deadline_cancels_main,
                    tasks_left_by_main_are_ended,
                    nothing_is_leaked_when_busy,
                }
                world {
                    entropy_differs,
                    clocks_go_forward,
                    names_and_literals_are_resolved,
                    what_is_reported_is_consistent,
                }
                flow {
                    select_cancels_the_loser,
                    first_success_cancels_the_rest,
                    joins_wait_for_all,
                    maps_keep_to_their_limit,
                    a_group_gives_results_in_order,
                    a_group_fails_as_one,
                    a_group_contains_panics,
                    a_dropped_or_cancelled_group_ends_its_tasks,
                    tokens_cancel_across_tasks,
                    retries_pause_and_give_up,
                    retries_keep_their_deadline_and_budget,
                    a_rate_limiter_holds_back_in_order,
                    batches_fill_by_size_or_time,
                    a_full_batcher_holds_its_pushers,
                }
                pools {
                    items_are_used_again_up_to_the_limit,
                    broken_items_are_dropped,
                    idle_items_grow_old,
                    waiting_is_limited_and_cancel_safe,
                    a_closed_pool_gives_nothing,
                }
                sync {
                    notifications_wake_across_tasks,
                    broadcast_reaches_every_task,
                    watch_shows_the_latest,
                    locks_exclude_across_tasks,
                }
            }
        }
    };
}

/// Expands to the tests that [`suite!`] lists.
#[doc(hidden)]
#[macro_export]
macro_rules! promises {
    ($backend:expr; $($area:ident { $($promise:ident,)+ })+) => {
        $(
            mod $area {
                $(
                    #[test]
                    fn $promise() {
                        let name = concat!(module_path!(), "::", stringify!($promise));
                        $crate::harness::check(name, &$backend, $crate::$area::$promise);
                    }
                )+
            }
        )+
    };
}
