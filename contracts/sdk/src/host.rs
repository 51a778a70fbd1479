//! The host functions as they are imported.

#[link(wasm_import_module = "shroud")]
unsafe extern "C" {
    pub(crate) fn input_length() -> usize;
    pub(crate) fn input_copy(to: *mut u8, offset: usize, length: usize);
    pub(crate) fn caller(to: *mut u8);
    pub(crate) fn origin(to: *mut u8);
    pub(crate) fn self_address(to: *mut u8);
    pub(crate) fn value_asset() -> u32;
    pub(crate) fn value_amount(to: *mut u8);
    pub(crate) fn chain_id() -> u64;
    pub(crate) fn block_height() -> u64;
    pub(crate) fn block_timestamp() -> u64;
    pub(crate) fn gas_left() -> u64;
    pub(crate) fn storage_load(key: *const u8, key_length: usize, to: *mut u8, capacity: usize) -> i32;
    pub(crate) fn storage_store(key: *const u8, key_length: usize, value: *const u8, value_length: usize);
    pub(crate) fn storage_remove(key: *const u8, key_length: usize) -> u32;
    pub(crate) fn balance(asset: u32, address: *const u8, to: *mut u8);
    pub(crate) fn transfer(asset: u32, to: *const u8, amount: *const u8) -> u32;
    pub(crate) fn emit_event(topics: *const u8, count: usize, data: *const u8, data_length: usize);
    pub(crate) fn keccak256(from: *const u8, length: usize, to: *mut u8);
    pub(crate) fn sha256(from: *const u8, length: usize, to: *mut u8);
    pub(crate) fn ecrecover(digest: *const u8, signature: *const u8, to: *mut u8) -> u32;
    pub(crate) fn ed25519_verify(
        public_key: *const u8,
        signature: *const u8,
        message: *const u8,
        message_length: usize,
    ) -> u32;
    pub(crate) fn set_output(from: *const u8, length: usize);
    pub(crate) fn revert(from: *const u8, length: usize) -> !;
    pub(crate) fn invalid_function(selector: u32) -> !;
    pub(crate) fn abort(from: *const u8, length: usize) -> !;
    pub(crate) fn debug_log(from: *const u8, length: usize);
}
