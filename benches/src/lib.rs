//! Workloads, load generators, statistics and the report.
