//! Contracts: view calls, estimates and the execution pool.
