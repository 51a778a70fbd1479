//! The wallet: keys in encrypted keystores, addresses, signing and sending.
