//! hyper's I/O, timer and executor traits over the seam.
