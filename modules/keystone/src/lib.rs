//! The durable ledger: sequencing, group commit, the journal, recovery and queries.
