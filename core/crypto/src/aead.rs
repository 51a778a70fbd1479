//! XChaCha20-Poly1305.
