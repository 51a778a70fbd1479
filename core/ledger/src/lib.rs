//! The ledger's logic: transactions, state, blocks, the journal's records and the state commitment.
