//! What the command says to people who get it wrong, and small commands that only print.

use crate::node::SHROUD;
use std::process::{Command, Output};

fn shroud(arguments: &[&str]) -> Output {
    Command::new(SHROUD).args(arguments).env_remove("SHROUD_BACKEND").output().expect("the command runs")
}

fn fails(arguments: &[&str], code: i32, says: &str) {
    let output = shroud(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(says), "{arguments:?} does not say {says:?}: {text}");
}

#[test]
fn wrong_usage_is_refused_with_advice() {
    fails(&["node", "--backend", "uv", "--dev"], 2, "tokio-per-core");
    fails(&["node"], 2, "--dev");
    fails(&["node", "--genesis", "/nonexistent/genesis.json"], 2, "/nonexistent/genesis.json");
    fails(&["node", "--dev", "--config", "/nonexistent.toml"], 2, "/nonexistent.toml");
    fails(&["no-such-command"], 2, "Usage");
}

#[test]
fn a_bad_configuration_file_names_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "listne = \"127.0.0.1:1\"\n").expect("written");
    fails(&["config", "--config", file.to_str().expect("text")], 2, "listne");
    std::fs::write(&file, "listen = \"nowhere\"\n").expect("written");
    fails(&["config", "--config", file.to_str().expect("text")], 2, "listen");
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "backend = \"smol\"\nlisten = \"127.0.0.1:1001\"\ndrain-seconds = 3\n")
        .expect("written");
    let output = Command::new(SHROUD)
        .args(["config", "--config", file.to_str().expect("text"), "--listen", "127.0.0.1:1003"])
        .env("SHROUD_BACKEND", "glommio")
        .env("SHROUD_LISTEN", "127.0.0.1:1002")
        .output()
        .expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "backend = \"glommio\"",
        "listen = \"127.0.0.1:1003\"",
        "drain-seconds = 3",
        "data = \"shroud-data\"",
        "max-connections = 10000",
        "segment-mib = 64",
        "keep-segments = 2",
    ] {
        assert!(text.contains(line), "{line} is missing from {text}");
    }
}

#[test]
fn segments_to_keep_are_all_or_a_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    let path = file.to_str().expect("text");
    let printed = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(SHROUD);
        command.arg("config").args(arguments);
        variable.map(|value| command.env("SHROUD_KEEP_SEGMENTS", value));
        let output = command.output().expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text.lines().find(|line| line.starts_with("keep-segments"));
        line.expect("the setting").to_owned()
    };
    for (text, shown) in [("all", "\"all\""), ("0", "0"), ("1", "1"), ("4294967295", "4294967295")] {
        let expected = format!("keep-segments = {shown}");
        assert_eq!(printed(&["--keep-segments", text], Some("7")), expected);
        assert_eq!(printed(&[], Some(text)), expected);
        // What is printed is what a file may say.
        std::fs::write(&file, &expected).expect("written");
        assert_eq!(printed(&["--config", path], None), expected);
    }
    for text in ["", "some", "ALL", "-1", "2.5", "4294967296"] {
        let argument = format!("--keep-segments={text}");
        fails(&["node", "--dev", &argument], 2, "a number from 0 to 4294967295");
    }
    for value in ["\"some\"", "\"2\"", "-1", "2.5", "4294967296", "true", "[2]"] {
        std::fs::write(&file, format!("keep-segments = {value}")).expect("written");
        fails(&["config", "--config", path], 2, "a number from 0 to 4294967295");
        fails(&["config", "--config", path], 2, "keep-segments");
    }
}

#[test]
fn a_bad_genesis_is_refused_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("genesis.json");
    let path = file.to_str().expect("text");
    let good = String::from_utf8(shroud(&["genesis", "--dev"]).stdout).expect("text");
    std::fs::write(&file, &good).expect("written");
    assert!(shroud(&["genesis", "--check", path]).status.success());
    std::fs::write(&file, good.replacen("GCC", "GCC!", 1)).expect("written");
    fails(&["genesis", "--check", path], 2, "genesis.json");
    std::fs::write(&file, &good[..good.len() / 2]).expect("written");
    fails(&["genesis", "--check", path], 2, "line");
    std::fs::write(&file, good.replacen("\"chain_id\"", "\"chain\"", 1)).expect("written");
    fails(&["genesis", "--check", path], 2, "chain");
}

#[test]
fn backends_are_listed_with_what_they_can_do() {
    let text = String::from_utf8(shroud(&["backends"]).stdout).expect("text");
    for name in shroud::backends::NAMES {
        assert!(text.contains(name), "{name} is missing from {text}");
    }
}

#[test]
fn a_node_on_the_simulated_backend_is_refused_and_told_where_to_go() {
    fails(&["node", "--backend", "sim"], 2, "shroud sim run");
    let runnable = String::from_utf8(shroud(&["backends", "--runnable"]).stdout).expect("text");
    assert!(!runnable.lines().any(|name| name == "sim"), "{runnable}");
}
