//! Bounds on what an instance may allocate.

use wasmi::ResourceLimiter;
use wasmi::errors::MemoryError;
use wasmi_core::LimiterError;

use crate::limits::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES};

/// Refuses growth beyond the limits. Growing the memory beyond them ends the call as out of memory; growing it beyond the
/// module's own maximum only fails, as WebAssembly says.
#[derive(Debug)]
pub(super) struct Limiter;

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, LimiterError> {
        if desired > MAX_MEMORY_BYTES {
            return Err(LimiterError::ResourceLimiterDeniedAllocation);
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: &MemoryError) -> Result<(), LimiterError> {
        // Never let a contract see that this machine ran short: another replica's might not have.
        match error {
            MemoryError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            _ => Ok(()),
        }
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, LimiterError> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        1
    }
}
