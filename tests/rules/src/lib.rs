//! The dependency rules of the house, checked from cargo's own metadata:
//!
//! 1. Arrows point one way. `core/` sees only `core/`; executors and I/O adapters see only `core/runtime` (and adapters
//!    each other's shared part); modules see `core/`, each other and the runtime-neutral bindings; only the node, the
//!    tests and the benches see both sides.
//! 2. No crate under `core/` or `modules/` (the node excepted) names an async runtime.
//! 3. The tokio features that libraries pull in there stay within `sync`, `io-util` and `bytes`.
//! 4. Exactly one licence line, one toolchain line.

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// Crates that poll futures or wait for the kernel.
    const RUNTIMES: [&str; 10] = [
        "tokio",
        "smol",
        "async-io",
        "async-executor",
        "async-global-executor",
        "async-std",
        "glommio",
        "monoio",
        "compio",
        "polling",
    ];
    /// Bindings of I/O libraries that name no runtime: modules may use them.
    const NEUTRAL_BINDINGS: [&str; 4] = ["shroud-hyper", "shroud-fjall", "shroud-rustls", "shroud-h3"];
    /// What libraries may use of tokio where no runtime is allowed.
    const TOKIO_FEATURES: [&str; 4] = ["sync", "io-util", "bytes", "default"];

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
    }

    fn cargo(arguments: &[&str]) -> String {
        let output =
            Command::new(env!("CARGO")).current_dir(root()).args(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("cargo prints UTF-8")
    }

    struct Package {
        layer: String,
        /// Normal and build dependencies.
        dependencies: Vec<String>,
        manifest: Value,
    }

    fn packages() -> BTreeMap<String, Package> {
        let metadata: Value =
            serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"]))
                .expect("metadata is JSON");
        let root = root();
        metadata["packages"]
            .as_array()
            .expect("packages")
            .iter()
            .map(|package| {
                let path = Path::new(package["manifest_path"].as_str().expect("a path"));
                let path = path.strip_prefix(&root).expect("inside the workspace");
                let name = package["name"].as_str().expect("a name").to_owned();
                let layer = if name == "shroud" {
                    "node".to_owned()
                } else {
                    path.iter().next().expect("a folder").to_string_lossy().into_owned()
                };
                let dependencies = package["dependencies"]
                    .as_array()
                    .expect("dependencies")
                    .iter()
                    .filter(|dependency| dependency["kind"] != "dev")
                    .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                    .collect();
                (name, Package { layer, dependencies, manifest: package.clone() })
            })
            .collect()
    }

    #[test]
    fn arrows_point_one_way() {
        let packages = packages();
        let mut wrong = Vec::new();
        for (name, package) in &packages {
            for dependency in &package.dependencies {
                let Some(target) = packages.get(dependency) else { continue };
                let allowed = match package.layer.as_str() {
                    "core" => target.layer == "core",
                    "executors" => dependency == "shroud-runtime",
                    // The neutral bindings implement traits of the core; the readiness adapters share one crate; the
                    // simulated store stands on the simulated disk, as fjall stands on the kernel's; the deterministic
                    // provider for TLS can be had with a simulated host only.
                    "io-adapters" => {
                        target.layer == "core"
                            || dependency == "shroud-io-readiness"
                            || (["shroud-store-sim", "shroud-tls-sim"].contains(&name.as_str())
                                && dependency == "shroud-io-sim")
                    }
                    // The simulator composes its executor and its adapter, for the node and for anybody else.
                    "sim" => {
                        target.layer == "core"
                            || ["shroud-executor-sim", "shroud-io-sim"].contains(&dependency.as_str())
                    }
                    "modules" => {
                        target.layer == "core"
                            || target.layer == "modules"
                            || NEUTRAL_BINDINGS.contains(&dependency.as_str())
                    }
                    _ => true,
                };
                if !allowed {
                    wrong.push(format!("{name} ({}) -> {dependency} ({})", package.layer, target.layer));
                }
            }
        }
        assert!(wrong.is_empty(), "arrows against the layers: {wrong:#?}");
    }

    #[test]
    fn no_runtime_is_named_in_core_or_modules() {
        let mut wrong = Vec::new();
        for (name, package) in packages() {
            if matches!(package.layer.as_str(), "core" | "modules") {
                let named =
                    package.dependencies.iter().filter(|dependency| RUNTIMES.contains(&dependency.as_str()));
                wrong.extend(named.map(|dependency| format!("{name} names {dependency}")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn libraries_pull_no_more_of_tokio_than_its_neutral_parts_into_core_and_modules() {
        let mut wrong = Vec::new();
        for (name, package) in packages() {
            if !matches!(package.layer.as_str(), "core" | "modules") {
                continue;
            }
            let tree =
                cargo(&["tree", "-p", &name, "-e", "normal", "--prefix", "none", "--format", "{p}|{f}"]);
            for line in tree.lines() {
                let Some((package, features)) = line.split_once('|') else { continue };
                let dependency = package.split(' ').next().unwrap_or_default();
                if dependency == "tokio" {
                    let extra = features
                        .trim_end_matches(" (*)")
                        .split(',')
                        .filter(|feature| !feature.is_empty() && !TOKIO_FEATURES.contains(feature));
                    wrong.extend(extra.map(|feature| format!("{name} pulls tokio/{feature}")));
                } else if RUNTIMES.contains(&dependency) {
                    wrong.push(format!("{name} pulls {dependency}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_crate_shares_licence_edition_and_toolchain() {
        for (name, package) in packages() {
            assert_eq!(package.manifest["license"], "MIT OR Apache-2.0", "{name}");
            assert_eq!(package.manifest["edition"], "2024", "{name}");
            assert_eq!(package.manifest["rust_version"], "1.95", "{name}");
            assert!(package.manifest["description"].is_string(), "{name} has no description");
        }
    }
}
