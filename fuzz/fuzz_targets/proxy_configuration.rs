//! The reverse proxy's configuration files: what is accepted, a proxy can work with; what is not is refused with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_ghostwire::proxy::{Config, ConfigError, Proxy};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    match Config::from_toml(text, &read) {
        Ok(config) => {
            let proxy = Proxy::new(config.clone()).expect("it has been validated");
            proxy.reload(config).expect("it is the same");
        }
        Err(ConfigError::Meaning { line, message }) => {
            assert!((1..=text.lines().count().max(1)).contains(&line), "line {line}");
            assert!(!message.is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
