//! `shroud dns serve`, asked by `shroud dns` as a user does both: over every transport, on every backend.

use crate::node::{SHROUD, backends};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const ZONE: &str = "$ORIGIN zone.test.\n@ 300 SOA ns host 1 2 3 4 60\n  NS ns\nns A 192.0.2.53\n\
    www 300 A 192.0.2.1\nwww 300 AAAA 2001:db8::1\nalias CNAME www\n";

/// The flags of each transport, the port that it is on (see [`Server::ports`]), and what it calls itself.
const WAYS: [(&[&str], usize, &str); 7] = [
    (&[], 0, "UDP"),
    (&["--tcp"], 0, "TCP"),
    (&["--tls"], 1, "TLS"),
    (&["--quic"], 1, "QUIC"),
    (&["--https"], 2, "HTTPS"),
    (&["--https", "--get"], 2, "HTTPS"),
    (&["--https", "--http3"], 2, "HTTPS"),
];

/// A running `shroud dns serve`; killed when dropped.
struct Server {
    child: Child,
    /// Of UDP and TCP, of TLS and QUIC, of HTTPS.
    ports: [String; 3],
}

impl Server {
    fn start(backend: &str, zone: &Path, tls: &Path) -> Self {
        let any = "127.0.0.1:0";
        let mut child = Command::new(SHROUD)
            .args(["dns", "serve", "--backend", backend, "--cores", "2", "--listen", any])
            .args(["--tls-listen", any, "--https-listen", any, "--tls-dev"])
            .arg(tls)
            .arg("--zone")
            .arg(zone)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = lines.next().expect("the server says where it is").expect("text");
        let places: Vec<&str> = line.split(' ').filter(|word| word.starts_with("127.0.0.1:")).collect();
        let ports = [0, 1, 2].map(|place| places[place].rsplit_once(':').expect("a port").1.to_owned());
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, ports }
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dns(arguments: &[&str]) -> Output {
    Command::new(SHROUD).arg("dns").args(arguments).output().expect("the command runs")
}

/// What a command that must succeed has printed.
fn printed(arguments: &[&str]) -> String {
    let output = dns(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// A directory with the zone.
fn zone() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "x".repeat(200);
    let big: String = (0..20).map(|n| format!("big 60 TXT \"{n} {text}\"\n")).collect();
    std::fs::write(directory.path().join("zone"), format!("{ZONE}{big}")).expect("written");
    directory
}

#[test]
fn zones_are_served_and_asked_over_every_transport() {
    let directory = zone();
    let (zone, tls) = (directory.path().join("zone"), directory.path().join("tls"));
    let anchor = tls.join("dev-certificate.pem");
    let anchor = anchor.to_str().expect("text");
    let all = backends();
    for backend in &all {
        let server = Server::start(backend, &zone, &tls);
        let on = |asks: &str, way: (&[&str], usize, &str), question: &[&str]| {
            let (flags, port, _) = way;
            let place = ["@127.0.0.1", "--port", &server.ports[port], "--backend", asks];
            [question, &place[..], flags].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        let ask = |asks: &str, way: (&[&str], usize, &str), question: &[&str], trust: &[&str]| {
            let words = on(asks, way, question);
            let words: Vec<&str> = words.iter().map(String::as_str).chain(trust.iter().copied()).collect();
            printed(&words)
        };
        for way in WAYS {
            let (flags, port, transport) = way;
            let name = format!("{backend} {flags:?}");
            let (none, any, own) = ([], ["-k"], ["--cacert", anchor]);
            let trusts = if port == 0 { vec![&none[..]] } else { vec![&any[..], &own] };
            for trust in trusts {
                let told = ask(backend, way, &["www.zone.test"], trust);
                assert!(told.contains("status: NOERROR"), "{name}: {told}");
                assert!(told.contains(";; flags: qr aa"), "{name}: {told}");
                // A question over UDP mixes the case of its letters.
                let lower = told.to_ascii_lowercase();
                assert!(lower.contains("www.zone.test.\t300\tin\ta\t192.0.2.1\n"), "{name}: {told}");
                assert!(told.contains(&format!("({transport})")), "{name}: {told}");
                let told = ask(backend, way, &["www.zone.test", "AAAA", "--short"], trust);
                assert_eq!(told, "2001:db8::1\n", "{name}");
                // More than a datagram holds.
                let told = ask(backend, way, &["big.zone.test", "TXT", "--short"], trust);
                assert_eq!(told.lines().count(), 20, "{name}: {told}");
                let told = ask(backend, way, &["none.zone.test"], trust);
                assert!(told.contains("status: NXDOMAIN"), "{name}: {told}");
            }
            if port > 0 {
                // Nobody has signed the certificate.
                let words = on(backend, way, &["www.zone.test"]);
                let refused = dns(&words.iter().map(String::as_str).collect::<Vec<_>>());
                assert_eq!(refused.status.code(), Some(1), "{name}");
                assert!(refused.stdout.is_empty(), "{name}");
            }
        }
        let told = ask(backend, WAYS[0], &["big.zone.test", "TXT"], &[]);
        assert!(told.starts_with(";; the answer did not fit into a datagram: asked over TCP\n"), "{told}");
        // Each backend asks each.
        for asks in &all {
            for way in [WAYS[0], WAYS[3]] {
                let trust = if way.1 == 0 { &[][..] } else { &["-k"][..] };
                assert_eq!(ask(asks, way, &["www.zone.test", "--short"], trust), "192.0.2.1\n", "{asks}");
            }
        }
        let ports = server.ports.clone();
        server.stop();
        let gone = dns(&["www.zone.test", "@127.0.0.1", "--port", &ports[0], "--tcp", "--backend", backend]);
        assert_eq!(gone.status.code(), Some(1), "{backend}: nobody is there");
        assert!(!gone.stderr.is_empty(), "{backend}");
    }
}

#[test]
fn wrong_flags_and_zones_are_refused_with_advice() {
    let directory = zone();
    let good = directory.path().join("zone");
    let good = good.to_str().expect("text");
    let bad = directory.path().join("bad");
    std::fs::write(&bad, "$ORIGIN zone.test.\n@ 300 SOA ns\n").expect("written");
    let bad = bad.to_str().expect("text");
    for (arguments, code, says) in [
        (&["serve", "--zone", good, "--tls-listen", "127.0.0.1:0"][..], 2, "need a certificate"),
        (&["serve", "--zone", good, "--backend", "sim"], 2, "can serve nobody"),
        (&["serve", "--zone", bad, "--listen", "127.0.0.1:0"], 1, bad),
        (&["serve"], 2, "--zone"),
        (&["www.zone.test", "NOSUCH", "@127.0.0.1"], 2, "no type of records"),
        (&["www.zone.test", "@127.0.0.1", "--get"], 2, "--https"),
        (&["www.zone.test", "@127.0.0.1", "--tls", "--quic"], 2, "cannot be used with"),
    ] {
        let output = dns(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    }
}
