//! A look at a module's code section before compilation, for what the interpreter does not check or checks too late.

use crate::limits::MAX_LOCALS;

/// Returns the index (among the module's own functions) and the number of locals of the first function that declares more
/// than [`MAX_LOCALS`].
///
/// Reads only what it needs and stops at whatever it does not understand: validation comes after it and is what refuses
/// malformed modules. A module that passes validation is read in full.
pub(crate) fn function_with_too_many_locals(code: &[u8]) -> Option<(usize, u64)> {
    let mut module = Reader(code.get(8..)?);
    loop {
        let id = module.byte()?;
        let length = module.number()?;
        let section = module.take(length)?;
        if id == CODE_SECTION {
            return in_code_section(Reader(section));
        }
    }
}

/// Whether a code section is said to have bytes, but no function: the interpreter (wasmi 2.0.0) divides the one by the other
/// before it validates either, also in a second section and in one that is cut short.
pub(crate) fn has_bytes_without_functions(code: &[u8]) -> bool {
    code.get(8..).is_some_and(|sections| find_bytes_without_functions(Reader(sections)).is_some())
}

fn find_bytes_without_functions(mut module: Reader<'_>) -> Option<()> {
    loop {
        let id = module.byte()?;
        let length = module.number()?;
        if id == CODE_SECTION {
            let mut section = Reader(module.0);
            let is_empty = section.number()? == 0;
            if is_empty && length as usize > module.0.len().saturating_sub(section.0.len()) {
                return Some(());
            }
        }
        module.take(length)?;
    }
}

/// WebAssembly 1.0, 5.5.2.
const CODE_SECTION: u8 = 10;

fn in_code_section(mut section: Reader<'_>) -> Option<(usize, u64)> {
    let functions = section.number()?;
    for index in 0..functions {
        let length = section.number()?;
        let mut body = Reader(section.take(length)?);
        let groups = body.number()?;
        let mut locals = 0u64;
        for _ in 0..groups {
            locals = locals.saturating_add(u64::from(body.number()?));
            body.byte()?;
            if locals > u64::from(MAX_LOCALS) {
                return Some((index as usize, locals));
            }
        }
    }
    None
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned LEB128 number of at most 32 bits (WebAssembly 1.0, 5.2.2).
    fn number(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
