//! A bounded store of compiled modules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shroud_crypto::Hash;

use crate::engine::{CompiledModule, Engine, InvalidModule};

/// Compiled modules by the hash of their code, shared by all who call contracts. Cheap to clone.
///
/// When full, the module that was used least recently makes room. Which modules are present never changes what a call does.
#[derive(Clone, Debug)]
pub struct CodeCache {
    shared: Arc<Mutex<Entries>>,
}

#[derive(Debug)]
struct Entries {
    modules: BTreeMap<Hash, Entry>,
    max_modules: usize,
    max_code_bytes: usize,
    code_bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    module: CompiledModule,
    used: u64,
}

impl CodeCache {
    /// A cache of at most `max_modules` modules, whose code before compilation has at most `max_code_bytes` bytes in all.
    pub fn new(max_modules: usize, max_code_bytes: usize) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Entries {
                modules: BTreeMap::new(),
                max_modules,
                max_code_bytes,
                code_bytes: 0,
                clock: 0,
            })),
        }
    }

    /// The module whose code has this hash, if present.
    pub fn get(&self, code_hash: &Hash) -> Option<CompiledModule> {
        let mut entries = self.entries();
        entries.clock = entries.clock.wrapping_add(1);
        let now = entries.clock;
        let entry = entries.modules.get_mut(code_hash)?;
        entry.used = now;
        Some(entry.module.clone())
    }

    /// The module whose code has this hash, compiled from `code` if absent.
    ///
    /// Compiles outside the lock: two threads that miss at once both compile, and one of the results stays.
    ///
    /// # Errors
    ///
    /// When the code is not a contract. That is not remembered.
    pub fn get_or_compile(
        &self,
        engine: &Engine,
        code_hash: &Hash,
        code: &[u8],
    ) -> Result<CompiledModule, InvalidModule> {
        if let Some(module) = self.get(code_hash) {
            return Ok(module);
        }
        let module = engine.compile(code)?;
        self.insert(*code_hash, module.clone());
        Ok(module)
    }

    /// Keeps `module`, unless it is larger than the whole cache.
    pub fn insert(&self, code_hash: Hash, module: CompiledModule) {
        self.entries().insert(code_hash, module);
    }

    /// How many modules are present.
    pub fn len(&self) -> usize {
        self.entries().modules.len()
    }

    /// Whether no module is present.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Each change is complete before anything can panic, so that a poisoned lock guards sound entries.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CodeCache {
    /// 256 modules, 32 MiB of code: about 300 MiB compiled when full.
    fn default() -> Self {
        Self::new(256, 32 * 1024 * 1024)
    }
}

impl Entries {
    fn insert(&mut self, code_hash: Hash, module: CompiledModule) {
        let bytes = module.code_bytes();
        if bytes > self.max_code_bytes || self.max_modules == 0 || self.modules.contains_key(&code_hash) {
            return;
        }
        while self.modules.len() >= self.max_modules
            || self.code_bytes.saturating_add(bytes) > self.max_code_bytes
        {
            if !self.evict_oldest() {
                return;
            }
        }
        self.code_bytes = self.code_bytes.saturating_add(bytes);
        self.clock = self.clock.wrapping_add(1);
        let used = self.clock;
        self.modules.insert(code_hash, Entry { module, used });
    }

    fn evict_oldest(&mut self) -> bool {
        let oldest = self.modules.iter().min_by_key(|(_, entry)| entry.used).map(|(hash, _)| *hash);
        let Some(evicted) = oldest.and_then(|hash| self.modules.remove(&hash)) else {
            return false;
        };
        self.code_bytes = self.code_bytes.saturating_sub(evicted.module.code_bytes());
        true
    }
}
