//! The seam's I/O on glommio's io_uring reactor.
