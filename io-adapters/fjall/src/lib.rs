//! The ledger's store on fjall.
