//! Every promise of the seam, checked on every backend.
