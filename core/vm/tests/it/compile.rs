use proptest::prelude::*;
use shroud_crypto::keccak256;
use shroud_vm::limits::{MAX_LOCALS, MAX_MODULE_BYTES};
use shroud_vm::{CodeCache, Engine, InvalidModule};

use crate::support::{compile, contract, wasm};

fn refusal(code: &[u8]) -> InvalidModule {
    Engine::new().compile(code).unwrap_err()
}

#[test]
fn floats_are_refused() {
    let code = contract("", "(drop (f64.add (f64.const 1) (f64.const 2)))");
    assert!(matches!(refusal(&code), InvalidModule::Malformed(_)));
    let code = contract("(func (param f32))", "");
    assert!(matches!(refusal(&code), InvalidModule::Malformed(_)));
}

#[test]
fn features_outside_the_contract_profile_are_refused() {
    for parts in [
        "(func (result i32 i32) (i32.const 1) (i32.const 2))",
        "(table 1 externref)",
        "(table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1))))",
        "(func $f (return_call $f))",
        "(memory 1)",
    ] {
        let refusal = refusal(&contract(parts, ""));
        assert!(
            matches!(refusal, InvalidModule::Malformed(_) | InvalidModule::Limit(_)),
            "{parts}: {refusal:?}"
        );
    }
}

#[test]
fn an_oversized_module_is_refused_unread() {
    let bytes = MAX_MODULE_BYTES + 1;
    assert_eq!(refusal(&vec![0; bytes]), InvalidModule::TooLarge { bytes });
}

#[test]
fn imports_are_checked_by_name_and_signature() {
    let code = contract(r#"(import "env" "now" (func))"#, "");
    assert_eq!(refusal(&code).to_string(), "the module imports `env.now`, which the host does not offer");
    let code = contract(r#"(import "shroud" "format_disk" (func))"#, "");
    assert!(matches!(refusal(&code), InvalidModule::UnknownImport { .. }));
    let code = contract(r#"(import "shroud" "caller" (global i32))"#, "");
    assert!(matches!(refusal(&code), InvalidModule::UnknownImport { .. }));
    let code = contract(r#"(import "shroud" "caller" (func (param i64)))"#, "");
    assert!(matches!(refusal(&code), InvalidModule::ImportSignature { .. }), "{:?}", refusal(&code));
    let many = r#"(import "shroud" "gas_left" (func (result i64)))"#.repeat(65);
    assert_eq!(refusal(&contract(&many, "")), InvalidModule::TooManyImports { count: 65 });
}

#[test]
fn missing_exports_are_named() {
    let code = wasm(r#"(module (memory (export "memory") 1) (func (export "shroud_call")))"#);
    assert!(matches!(refusal(&code), InvalidModule::MissingExport { name: "shroud_init", .. }));
    let code = wasm(
        r#"(module (memory (export "memory") 1) (func (export "shroud_init")) (func (export "shroud_call") (param i32)))"#,
    );
    assert!(matches!(refusal(&code), InvalidModule::MissingExport { name: "shroud_call", .. }));
    let code = wasm(r#"(module (memory 1) (func (export "shroud_init")) (func (export "shroud_call")))"#);
    assert!(matches!(refusal(&code), InvalidModule::MissingExport { name: "memory", .. }));
}

#[test]
fn what_would_fail_on_each_call_fails_once() {
    assert_eq!(refusal(&contract("(func $f) (start $f)", "")), InvalidModule::StartFunction);
    let code = contract(r#"(data (i32.const 65536) "x")"#, "");
    assert!(matches!(refusal(&code), InvalidModule::Instantiation(_)));
    let code = contract("(table 10001 funcref)", "");
    assert!(matches!(refusal(&code), InvalidModule::Instantiation(_)));
    let code = wasm(
        r#"(module (memory (export "memory") 1025) (func (export "shroud_init")) (func (export "shroud_call")))"#,
    );
    assert_eq!(refusal(&code), InvalidModule::MemoryTooLarge { pages: 1025 });
}

#[test]
fn locals_are_limited() {
    let with = |count: u32| contract(&format!("(func (local {}))", "i64 ".repeat(count as usize)), "");
    compile(&with(MAX_LOCALS));
    assert!(matches!(refusal(&with(MAX_LOCALS + 1)), InvalidModule::TooManyLocals { function: 0, .. }));
}

/// The interpreter divides by the number of functions before it has validated the section.
#[test]
fn a_code_section_with_bytes_but_no_function_is_refused() {
    let header = b"\0asm\x01\0\0\0";
    let whole = [&[10, 0xd0, 0x0f, 0][..], &[0; 1999]].concat();
    let cut_short = vec![10, 0xd0, 0x0f, 0, 0];
    let long_number = [&[10, 0xd0, 0x0f, 0x80, 0x80, 0][..], &[0; 1997]].concat();
    let empty = vec![10, 1, 0];
    let sections = [
        vec![whole.clone()],
        vec![cut_short],
        vec![long_number],
        vec![vec![0, 2, 1, b'x'], whole.clone()],
        vec![empty.clone(), whole],
    ];
    for sections in sections {
        let code = [&header[..], &sections.concat()].concat();
        let refusal = refusal(&code).to_string();
        assert!(refusal.contains("no function"), "{refusal}: {:?}", &code[..20.min(code.len())]);
    }
    // Empty in earnest: it is the interface that is missing.
    let code = [&header[..], &empty].concat();
    assert!(matches!(refusal(&code), InvalidModule::MissingExport { .. }), "{:?}", refusal(&code));
}

/// The interpreter asserts that there are none, in debug builds only, and refuses them in the end.
#[test]
fn operators_after_a_functions_end_are_refused() {
    let code = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x08\x01\x06\0\x0b\x10\0\x01\x0b";
    let refusal = refusal(code).to_string();
    assert!(refusal.contains("operators remaining after end of function"), "{refusal}");
}

#[test]
fn too_many_functions_are_refused() {
    let refusal = refusal(&contract(&"(func)".repeat(20_000), ""));
    assert!(matches!(refusal, InvalidModule::Limit(_)), "{refusal:?}");
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let engine = Engine::new();
    let cache = CodeCache::new(2, 1_000);
    let codes: Vec<_> = (0..3).map(|n| contract("", &format!("(drop (i32.const {n}))"))).collect();
    let hashes: Vec<_> = codes.iter().map(|code| keccak256(code)).collect();
    cache.get_or_compile(&engine, &hashes[0], &codes[0]).unwrap();
    cache.get_or_compile(&engine, &hashes[1], &codes[1]).unwrap();
    assert!(cache.get(&hashes[0]).is_some());
    cache.get_or_compile(&engine, &hashes[2], &codes[2]).unwrap();
    assert_eq!(cache.len(), 2);
    assert!(cache.get(&hashes[1]).is_none());
    assert!(cache.get(&hashes[0]).is_some() && cache.get(&hashes[2]).is_some());
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let engine = Engine::new();
    let code = contract("", "");
    let cache = CodeCache::new(100, code.len() - 1);
    cache.get_or_compile(&engine, &keccak256(&code), &code).unwrap();
    assert!(cache.is_empty());
    let cache = CodeCache::new(100, code.len() * 2);
    for n in 0..5u8 {
        cache.get_or_compile(&engine, &keccak256(&[n]), &code).unwrap();
        assert!(cache.len() <= 2);
    }
}

#[test]
fn the_cache_serves_several_threads() {
    let (engine, cache, code) = (Engine::new(), CodeCache::default(), contract("", ""));
    let hash = keccak256(&code);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    cache.get_or_compile(&engine, &hash, &code).unwrap();
                }
            });
        }
    });
    assert_eq!(cache.len(), 1);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Engine::new().compile(&bytes).is_err());
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend(bytes);
        let _ = Engine::new().compile(&module);
    }

    /// Damage to a real module: most of the format's corners are near it.
    #[test]
    fn damaged_modules_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut code = include_bytes!("../../../../contracts/token/token.wasm").to_vec();
        for (at, byte) in changes {
            let at = at.index(code.len());
            code[at] = byte;
        }
        let _ = Engine::new().compile(&code);
        code.truncate(cut.index(code.len()));
        let _ = Engine::new().compile(&code);
    }
}
