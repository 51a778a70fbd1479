//! The descriptor sets that are checked in agree with the `.proto` files beside them.
//!
//! After a change of one: `SHROUD_WRITE_DESCRIPTORS=1 cargo test -p shroud-e2e grpc_descriptors`.

use protox::prost::Message;
use std::path::Path;

#[test]
fn descriptor_sets_agree_with_their_sources() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = top.join("modules/ghostwire/proto");
    for (include, name) in [
        (own.clone(), "grpc/health/v1/health"),
        (own.clone(), "grpc/reflection/v1/reflection"),
        (own, "grpc/reflection/v1alpha/reflection"),
        (top.join("tests/interop/grpc"), "notes"),
    ] {
        let source = include.join(format!("{name}.proto"));
        let mut compiler = protox::Compiler::new([&include]).expect("a folder");
        compiler.include_imports(true);
        compiler.open_file(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let made = compiler.file_descriptor_set().encode_to_vec();
        let kept = include.join(format!("{name}.bin"));
        if std::env::var_os("SHROUD_WRITE_DESCRIPTORS").is_some() {
            std::fs::write(&kept, &made).expect("written");
        }
        assert!(std::fs::read(&kept).ok() == Some(made), "{} differs from its source", kept.display());
    }
}
