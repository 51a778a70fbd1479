//! Hashes, signatures, key derivation and sealed boxes over well-kept libraries.
