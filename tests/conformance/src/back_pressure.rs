//! UDP under real send back-pressure.
//!
//! On the loopback interface a UDP send never waits. Here it does: in a network namespace of its own, towards a
//! neighbour whose link address nobody knows yet, the kernel holds datagrams until the send buffer is full. Then the
//! address is told, and everything must arrive at the far end of the cable, byte by byte.

use crate::harness::{SIMULATED, alone, assert_patterned, in_own_process, patterned, skipped};
use futures_lite::future::poll_once;
use shroud_runtime::net::DatagramExt;
use shroud_runtime::{Backend, Datagram, DatagramOptions, Runtime, RuntimeExt, Transmit};
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Starts a program in a user and network namespace of its own.
const NAMESPACE: [&str; 2] = ["unshare", "-rn"];
/// The far end of the cable.
const FAR: &str = "02:00:00:00:00:02";
const NEAR_ADDRESS: [u8; 4] = [10, 99, 0, 1];
const FAR_ADDRESS: [u8; 4] = [10, 99, 0, 2];
const PORT: u16 = 9;
const DATAGRAMS: u64 = 300;
/// The number of the IPv4 protocol on a link.
const LINK_IPV4: u16 = 0x0800;

/// A send for which the kernel has no room is pending, and wakes and goes on when there is; nothing is lost or mangled.
pub fn sends_wait_for_the_kernel_and_arrive_whole<B: Backend>(backend: &B) {
    if backend.name() == SIMULATED {
        return skipped(
            "the kernel's network is not the simulated one, whose back-pressure its own tests show",
        );
    }
    let can = |words: &[&str]| {
        Command::new(words[0]).args(&words[1..]).output().is_ok_and(|out| out.status.success())
    };
    if !can(&["unshare", "-rn", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"]) {
        return skipped("no network namespace with a veth pair can be made here (unshare -rn, ip)");
    }
    in_own_process(&NAMESPACE, || {
        ip(&["link", "set", "lo", "up"]);
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "address", FAR]);
        ip(&["address", "add", "10.99.0.1/24", "dev", "near"]);
        ip(&["link", "set", "near", "up"]);
        ip(&["link", "set", "far", "up"]);
        // Ask for the link address many times before giving up, for a machine so busy that telling it takes long.
        let _ = std::fs::write("/proc/sys/net/ipv4/neigh/near/mcast_solicit", "600");
        send_and_compare(backend);
    });
}

fn send_and_compare<B: Backend>(backend: &B) {
    let link = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(LINK_IPV4.to_be()))));
    let mut link = link.expect("a packet socket is made");
    link.set_recv_buffer_size(8 << 20).expect("it has room");
    let far_end = thread::spawn(move || {
        let mut seen = vec![false; DATAGRAMS as usize];
        let mut packet = vec![0; 65_536];
        while seen.contains(&false) {
            let length = link.read(&mut packet).expect("it reads");
            let Some(contents) = contents(&packet[..length]) else { continue };
            let number = u64::from_be_bytes(contents[..8].try_into().expect("8 bytes"));
            assert_eq!(contents.len(), size(number), "datagram {number}");
            assert_patterned(number, 8, &contents[8..]);
            let seen = &mut seen[usize::try_from(number).expect("it is small")];
            assert!(!*seen, "datagram {number} came twice");
            *seen = true;
        }
    });
    alone(backend, |rt| async move {
        let options = DatagramOptions { send_buffer: Some(4096), ..DatagramOptions::default() };
        let socket = rt.bind(SocketAddr::from((NEAR_ADDRESS, 0)), options).await.expect("it binds");
        let datagrams: Vec<_> = (0..DATAGRAMS)
            .map(|number| [&number.to_be_bytes()[..], &patterned(number, 8, size(number) - 8)].concat())
            .collect();
        let transmit = |number: usize| Transmit {
            destination: SocketAddr::from((FAR_ADDRESS, PORT)),
            ecn: None,
            contents: &datagrams[number],
            segment_size: None,
            source: None,
        };
        let transmits: Vec<_> = (0..datagrams.len()).map(transmit).collect();
        let mut sent = 0;
        while let Some(taken) = poll_once(poll_fn(|cx| socket.poll_send(cx, &transmits[sent..]))).await {
            sent += taken.expect("it sends");
            assert!(sent < transmits.len(), "the kernel took everything: there was no back-pressure");
        }
        assert!(sent > 0);
        let mut rest = Box::pin(socket.send_all(&transmits[sent..]));
        assert!(rt.timeout(Duration::from_millis(20), &mut rest).await.is_err(), "sending waits");
        let told = rt.offload(|| {
            ip(&["neighbour", "replace", "10.99.0.2", "lladdr", FAR, "dev", "near", "nud", "permanent"]);
        });
        told.await.expect("the link address is told");
        rest.await.expect("it sends once there is room");
    });
    far_end.join().expect("all datagrams arrive");
}

/// How long a datagram is.
fn size(number: u64) -> usize {
    8 + usize::try_from(number * 7919 % 1390).expect("it is small")
}

/// The payload of an IPv4 packet with one of the datagrams.
fn contents(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0xF) * 4;
    let is_ours = packet.get(9) == Some(&17)
        && packet.get(16..20) == Some(&FAR_ADDRESS)
        && packet.get(header + 2..header + 4) == Some(&PORT.to_be_bytes());
    let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    if is_ours { packet.get(header + 8..length) } else { None }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip runs");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
