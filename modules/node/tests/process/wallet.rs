//! The README's "Try it", as its reader does it: a key imported from the development chain, a payment, the balances.

use crate::node::{Node, SHROUD, backends};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const RECEIVER: &str = "0x00000000000000000000000000000000000000aa";

/// `shroud wallet` with its own keys, asking this node.
struct Wallet<'a> {
    directory: &'a Path,
    url: String,
}

impl Wallet<'_> {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(SHROUD)
            .arg("wallet")
            .args(arguments)
            .env("SHROUD_WALLET", self.directory.join("keys"))
            .env("SHROUD_PASSPHRASE_FILE", self.directory.join("pass-phrase"))
            .env("SHROUD_URL", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("the command ends")
    }

    fn says(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    fn fails(&self, arguments: &[&str], says: &str) {
        let output = self.run(arguments, b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn a_key_is_imported_pays_and_shows_its_balance() {
    let printed = Command::new(SHROUD).args(["genesis", "--dev", "--print", "native-seed"]).output();
    let seed = printed.expect("the command runs").stdout;
    for backend in backends() {
        let directory = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, &directory.path().join("data"));
        std::fs::write(directory.path().join("pass-phrase"), "correct horse\n").expect("written");
        let wallet = Wallet { directory: directory.path(), url: format!("http://{}", node.address) };
        wallet.fails(&["balance"], "wallet new");
        let address = wallet.says(&["import"], &seed);
        assert_eq!(address, shroud::dev::native_address(0).to_string(), "{backend}");
        assert_eq!(wallet.says(&["address"], b""), address, "{backend}");
        assert_eq!(wallet.says(&["balance"], b""), "1000000 GCC", "{backend}");
        assert_eq!(wallet.says(&["balance", RECEIVER], b""), "nothing", "{backend}");
        let sent = wallet.says(&["send", RECEIVER, "1.5"], b"");
        assert!(sent.starts_with("0x") && sent.ends_with(" in block 1"), "{backend}: {sent}");
        assert_eq!(wallet.says(&["balance", RECEIVER], b""), "1.5 GCC", "{backend}");
        // 21,000 gas at 1 gwei.
        assert_eq!(wallet.says(&["balance"], b""), "999998.499979 GCC", "{backend}");
        // What cannot be is refused, and changes nothing.
        wallet.fails(&["send", RECEIVER, "1000000"], "funds");
        wallet.fails(&["send", RECEIVER, "1.5.0"], "1.5.0");
        wallet.fails(&["send", RECEIVER, "1", "--asset", "GOLD"], "GOLD");
        std::fs::write(directory.path().join("pass-phrase"), "wrong horse\n").expect("written");
        wallet.fails(&["send", RECEIVER, "1"], "pass phrase is wrong");
        assert_eq!(wallet.says(&["balance"], b""), "999998.499979 GCC", "{backend}");
        let address = node.address.clone();
        node.stop();
        wallet.fails(&["balance"], &format!("connecting to {address} failed"));
    }
}
