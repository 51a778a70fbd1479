//! Validation and compilation of modules.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{CompilationMode, Config, EnforcedLimits, ExternType, Linker, Module, OperatorCost, Store};

use crate::context::Entry;
use crate::gas::CALL_FUEL;
use crate::host::{self, Host};
use crate::limits::{
    MAX_CALL_DEPTH, MAX_EXPORTS, MAX_IMPORTS, MAX_LOCALS, MAX_MEMORY_PAGES, MAX_MODULE_BYTES, MAX_STACK_BYTES,
};
use crate::scan;

/// The compiler, with the settings that every replica must share. Cheap to clone, usable from several threads.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Arc<Config>,
}

impl Engine {
    /// The only settings there are.
    pub fn new() -> Self {
        Self { config: Arc::new(config()) }
    }

    /// Validates `code` and translates all of it.
    ///
    /// Takes about 50 ms for each MiB of code: drivers offload it when `code` is large.
    ///
    /// # Errors
    ///
    /// Says which rule of WebAssembly, which limit or which part of the contract interface the module breaks.
    pub fn compile(&self, code: &[u8]) -> Result<CompiledModule, InvalidModule> {
        if code.len() > MAX_MODULE_BYTES {
            return Err(InvalidModule::TooLarge { bytes: code.len() });
        }
        if let Some((function, locals)) = scan::function_with_too_many_locals(code) {
            return Err(InvalidModule::TooManyLocals { function, locals });
        }
        if scan::has_bytes_without_functions(code) {
            return Err(InvalidModule::Malformed("its code section has bytes, but no function".to_owned()));
        }
        // Should hostile code find another place where the interpreter panics, it costs its sender the deployment and not
        // everybody the node. The interpreter's engine is this module's own, and goes with it.
        let translate = AssertUnwindSafe(|| self.translate(code));
        catch_unwind(translate)
            .unwrap_or_else(|_| Err(InvalidModule::Malformed("the compiler cannot read it".to_owned())))
    }

    fn translate(&self, code: &[u8]) -> Result<CompiledModule, InvalidModule> {
        // One interpreter engine for each module: an engine keeps all code that it ever translated, so that a shared one
        // would grow with each module that anybody sends.
        let engine = wasmi::Engine::new(&self.config);
        let module = Module::new(&engine, code).map_err(InvalidModule::from_interpreter)?;
        check_imports(&module)?;
        let memory_pages = check_exports(&module)?;
        let linker = host::linker(&engine).map_err(InvalidModule::from_interpreter)?;
        let compiled =
            CompiledModule(Arc::new(Compiled { module, linker, memory_pages, code_bytes: code.len() }));
        compiled.try_instance()?;
        Ok(compiled)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

/// A module that is valid, translated and ready to be called. Cheap to clone, usable from several threads.
#[derive(Clone)]
pub struct CompiledModule(Arc<Compiled>);

struct Compiled {
    module: Module,
    linker: Linker<Host>,
    memory_pages: u64,
    code_bytes: usize,
}

impl CompiledModule {
    /// The length of the code that it was compiled from.
    pub fn code_bytes(&self) -> usize {
        self.0.code_bytes
    }

    /// The pages of memory that each call starts with.
    pub(crate) fn memory_pages(&self) -> u64 {
        self.0.memory_pages
    }

    /// A store for one call, without fuel.
    pub(crate) fn store(&self, host: Host) -> Store<Host> {
        let mut store = Store::new(self.0.module.engine(), host);
        store.limiter(|host| host.limiter());
        store
    }

    /// A fresh instance in `store`, and its memory made known to the host functions.
    pub(crate) fn instantiate(&self, store: &mut Store<Host>) -> Result<wasmi::Instance, wasmi::Error> {
        let instance = self.0.linker.instantiate_and_start(&mut *store, &self.0.module)?;
        let memory = instance.get_memory(&*store, MEMORY_EXPORT);
        store.data_mut().set_memory(memory);
        Ok(instance)
    }

    /// Finds out once what would otherwise fail on each call: types of imports, segments out of bounds, sizes.
    fn try_instance(&self) -> Result<(), InvalidModule> {
        let mut store = self.store(Host::for_trial());
        self.instantiate(&mut store).map_err(InvalidModule::from_interpreter)?;
        Ok(())
    }
}

impl std::fmt::Debug for CompiledModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledModule")
            .field("code_bytes", &self.0.code_bytes)
            .field("memory_pages", &self.0.memory_pages)
            .finish_non_exhaustive()
    }
}

/// The name under which a contract exports its memory.
const MEMORY_EXPORT: &str = "memory";

/// Why a module cannot be a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidModule {
    /// The code is too long.
    #[error("the module has {bytes} bytes, at most {MAX_MODULE_BYTES} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A function declares too many local variables.
    #[error(
        "function {function} of the module's own has {locals} locals or more, at most {MAX_LOCALS} are allowed"
    )]
    TooManyLocals {
        /// Its index among the module's own functions.
        function: usize,
        /// The number of locals up to where counting stopped.
        locals: u64,
    },
    /// Not WebAssembly, or with features that contracts may not use (floating point, threads, SIMD, reference types...).
    #[error("the module is not valid: {0}")]
    Malformed(String),
    /// The module exceeds a limit on its parts.
    #[error("the module exceeds a limit: {0}")]
    Limit(String),
    /// The module wants a start function: nothing may run before the call is metered.
    #[error("the module has a start function, which contracts may not have")]
    StartFunction,
    /// The module imports something that the host does not offer.
    #[error("the module imports `{module}.{name}`, which the host does not offer")]
    UnknownImport {
        /// The imported module.
        module: String,
        /// The imported name.
        name: String,
    },
    /// The module imports a host function with other parameters or results than it has.
    #[error("the module imports `{name}` with a signature that the host function does not have")]
    ImportSignature {
        /// The imported name.
        name: String,
    },
    /// The module imports too much.
    #[error("the module has {count} imports, at most {MAX_IMPORTS} are allowed")]
    TooManyImports {
        /// The number of imports.
        count: usize,
    },
    /// The module exports too much.
    #[error("the module has {count} exports, at most {MAX_EXPORTS} are allowed")]
    TooManyExports {
        /// The number of exports.
        count: usize,
    },
    /// An export of the contract interface is missing or is something else.
    #[error("the module does not export `{name}` as {expected}")]
    MissingExport {
        /// The name of the export.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The memory starts too large.
    #[error("the memory starts with {pages} pages, at most {MAX_MEMORY_PAGES} are allowed")]
    MemoryTooLarge {
        /// The pages it wants.
        pages: u64,
    },
    /// A fresh instance cannot be set up.
    #[error("the module cannot be instantiated: {0}")]
    Instantiation(String),
}

impl InvalidModule {
    fn from_interpreter(error: wasmi::Error) -> Self {
        match error.kind() {
            ErrorKind::UserLimits(_) | ErrorKind::ImplementationLimits(_) => Self::Limit(error.to_string()),
            ErrorKind::Instantiation(InstantiationError::FuncTypeMismatch { name, .. }) => {
                Self::ImportSignature { name: name.to_string() }
            }
            ErrorKind::Instantiation(_)
            | ErrorKind::Memory(_)
            | ErrorKind::Table(_)
            | ErrorKind::Linker(_) => Self::Instantiation(error.to_string()),
            _ if error.to_string().contains("start function") => Self::StartFunction,
            _ => Self::Malformed(error.to_string()),
        }
    }
}

fn config() -> Config {
    let cost = OperatorCost { call: CALL_FUEL, call_indirect: CALL_FUEL, ..OperatorCost::default() };
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .operator_cost(cost)
        // Lazy translation would charge its fuel to whichever call comes first, which differs between replicas.
        .compilation_mode(CompilationMode::Eager)
        .ignore_custom_sections(true)
        .allow_start_fn(false)
        .enforced_limits(EnforcedLimits::strict())
        .set_max_recursion_depth(MAX_CALL_DEPTH)
        .set_max_stack_height(MAX_STACK_BYTES)
        .floats(false)
        .wasm_saturating_float_to_int(false)
        .wasm_mutable_global(true)
        .wasm_sign_extension(true)
        .wasm_bulk_memory(true)
        // `table.grow` belongs to reference types; wasmi 2.0.0 does not resume it rightly after it ran out of fuel.
        .wasm_reference_types(false)
        .wasm_multi_value(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}

fn check_imports(module: &Module) -> Result<(), InvalidModule> {
    let count = module.imports().len();
    if count > MAX_IMPORTS {
        return Err(InvalidModule::TooManyImports { count });
    }
    for import in module.imports() {
        let offered = import.module() == host::MODULE && host::FUNCTIONS.contains(&import.name());
        if !offered || !matches!(import.ty(), ExternType::Func(_)) {
            return Err(InvalidModule::UnknownImport {
                module: import.module().to_owned(),
                name: import.name().to_owned(),
            });
        }
    }
    Ok(())
}

/// Returns the pages of memory that an instance starts with.
fn check_exports(module: &Module) -> Result<u64, InvalidModule> {
    let count = module.exports().count();
    if count > MAX_EXPORTS {
        return Err(InvalidModule::TooManyExports { count });
    }
    for entry in [Entry::Init, Entry::Call] {
        let name = entry.export();
        match module.get_export(name) {
            Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty() => {}
            _ => {
                return Err(InvalidModule::MissingExport {
                    name,
                    expected: "a function without parameters and results",
                });
            }
        }
    }
    let Some(ExternType::Memory(memory)) = module.get_export(MEMORY_EXPORT) else {
        return Err(InvalidModule::MissingExport { name: MEMORY_EXPORT, expected: "a memory" });
    };
    let pages = memory.minimum();
    if pages > MAX_MEMORY_PAGES {
        return Err(InvalidModule::MemoryTooLarge { pages });
    }
    Ok(pages)
}
