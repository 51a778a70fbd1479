//! GWallet's keys on real files.

use shroud::gwallet::{
    Argon2idCost, KeyError, KeyKind, Keys, PassPhrase, Remote, RemoteError, SendError, parse_secret,
};
use shroud::runtime::Runtime;
use std::path::Path;

fn keys<R: Runtime>(runtime: &R, directory: &Path) -> Keys<R> {
    Keys::new(runtime.clone(), directory).with_cost(Argon2idCost::MINIMAL)
}

/// Keys that are made or imported are listed and unlocked again, by another instance.
pub async fn keys_survive<R: Runtime>(runtime: R) {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("made/when/needed");
    let phrase = PassPhrase::new("correct horse");
    assert!(keys(&runtime, &directory).list().await.expect("an empty wallet").is_empty());

    let native = keys(&runtime, &directory).create(KeyKind::Ed25519, &phrase).await.expect("a native key");
    let ethereum =
        keys(&runtime, &directory).create(KeyKind::Secp256k1, &phrase).await.expect("an Ethereum key");
    let text = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let secret = parse_secret(KeyKind::Secp256k1, text).expect("a secret");
    let imported = keys(&runtime, &directory).import(secret, &phrase).await.expect("an imported key");
    assert_eq!(imported.address.to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

    let mut made = vec![native, ethereum, imported];
    made.sort_by_key(|entry| entry.address);
    let again = keys(&runtime, &directory);
    assert_eq!(again.list().await.expect("the list"), made);
    for entry in &made {
        let secret = again.unlock(entry.address, &phrase).await.expect("the key");
        assert_eq!((secret.address(), secret.kind()), (entry.address, entry.kind));
        let kept = std::fs::read_to_string(&entry.path).expect("its file");
        assert!(!kept.contains(text), "the secret is sealed");
    }
    let files = std::fs::read_dir(&directory).expect("the directory").count();
    assert_eq!(files, made.len(), "no drafts are left");
}

/// Wrong pass phrases, missing, double and damaged keys.
pub async fn key_faults<R: Runtime>(runtime: R) {
    let home = tempfile::tempdir().expect("a directory");
    let keys = keys(&runtime, home.path());
    let phrase = PassPhrase::new("correct horse");
    let secret = || parse_secret(KeyKind::Ed25519, &"07".repeat(32)).expect("a secret");
    let entry = keys.import(secret(), &phrase).await.expect("a key");
    assert!(matches!(keys.import(secret(), &phrase).await, Err(KeyError::Exists(_))));
    let wrong = keys.unlock(entry.address, &PassPhrase::new("battery staple")).await;
    assert!(wrong.unwrap_err().to_string().contains("pass phrase is wrong"));
    let other = parse_secret(KeyKind::Ed25519, &"08".repeat(32)).expect("a secret").address();
    assert!(matches!(keys.unlock(other, &phrase).await, Err(KeyError::Missing { .. })));

    // A keystore under another's name does not open as that one.
    let moved = home.path().join(
        entry
            .path
            .file_name()
            .expect("a name")
            .to_str()
            .expect("text")
            .replace(&entry.address.to_string().to_lowercase(), &other.to_string().to_lowercase()),
    );
    std::fs::rename(&entry.path, &moved).expect("renaming");
    assert!(matches!(keys.unlock(other, &phrase).await, Err(KeyError::Keystore { .. })));

    for damage in ["", "{", "[]", "{\"version\":9}", &"x".repeat(20_000)] {
        std::fs::write(&moved, damage).expect("writing");
        assert!(matches!(keys.list().await, Err(KeyError::Keystore { .. })), "{damage:.20}");
        assert!(matches!(keys.unlock(other, &phrase).await, Err(KeyError::Keystore { .. })), "{damage:.20}");
    }
    std::fs::remove_file(&moved).expect("removing");
    std::fs::write(home.path().join("notes.txt"), "not a key").expect("writing");
    assert!(keys.list().await.expect("notes are no keys").is_empty());
}

/// A node that is not there.
pub async fn no_node<R: Runtime>(runtime: R) {
    for address in ["", "127.0.0.1:8545", "https://localhost/", "http://", "ftp://localhost/"] {
        assert!(matches!(Remote::new(runtime.clone(), address), Err(RemoteError::Address(_))), "{address}");
    }
    let closed = {
        let any = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
        let listener = std::net::TcpListener::bind(any).expect("a listener");
        listener.local_addr().expect("its address")
    };
    let remote = Remote::new(runtime, &format!("http://{closed}/")).expect("an address");
    let key = parse_secret(KeyKind::Ed25519, &"07".repeat(32)).expect("a secret");
    let paid = remote.pay(&key, key.address(), "GCC", "1").await;
    assert!(matches!(paid, Err(SendError::Remote(RemoteError::Call(_)))), "{paid:?}");
}
