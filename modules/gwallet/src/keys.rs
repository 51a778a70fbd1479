//! Keys in a directory: one encrypted keystore file each, named after its address.

use shroud_crypto::kdf::{Argon2idCost, SALT_BYTES};
use shroud_crypto::keystore::{KeyKind, Keystore, KeystoreError, MAX_FILE_BYTES, SealEntropy, Secret};
use shroud_crypto::{Address, aead};
use shroud_runtime::file::{BlockFile, Lent};
use shroud_runtime::{Lost, OpenOptions, Runtime};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Keystore files end in this.
const EXTENSION: &str = "json";

/// Files looked at in one directory, at most: it is a person's, not a database.
const MAX_FILES: usize = 10_000;

/// A pass phrase; wiped when dropped and never shown.
#[derive(Clone)]
pub struct PassPhrase(Zeroizing<Vec<u8>>);

impl PassPhrase {
    /// Takes the bytes of a pass phrase as they are: no trimming, no normalisation.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }
}

impl std::fmt::Debug for PassPhrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PassPhrase(..)")
    }
}

/// A key that cannot be made, found or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The directory or a file in it cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not a keystore, or does not open.
    #[error("{path}: {source}")]
    Keystore {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeystoreError,
    },
    /// The key cannot be sealed.
    #[error("sealing the key failed: {0}")]
    Seal(#[source] KeystoreError),
    /// The directory has a keystore for this address already.
    #[error("there is already a key for {0}")]
    Exists(Address),
    /// No keystore for this address.
    #[error("there is no key for {address} in {directory}")]
    Missing {
        /// Whose key was asked for.
        address: Address,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// Not 32 bytes in hexadecimal digits.
    #[error("a secret key is 64 hex digits, with or without 0x")]
    SecretForm,
    /// The directory is not a wallet's.
    #[error("{0} holds more than {MAX_FILES} files; a wallet's directory holds nothing but keys")]
    TooManyFiles(PathBuf),
    /// The work was lost with its thread.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// A key in the directory, still locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account that it controls.
    pub address: Address,
    /// Its kind.
    pub kind: KeyKind,
    /// Its file.
    pub path: PathBuf,
}

/// The keys in one directory.
///
/// Files are written whole or not at all. The seam cannot set a file's mode, so they get what the process's umask
/// leaves: the secret inside is sealed either way, but a careful user keeps the directory to himself (`chmod 700`).
#[derive(Debug, Clone)]
pub struct Keys<R> {
    runtime: R,
    directory: PathBuf,
    cost: Argon2idCost,
}

impl<R: Runtime> Keys<R> {
    /// The keys in `directory`, which is made when the first one is. New keys are sealed at
    /// [`Argon2idCost::RECOMMENDED`].
    pub fn new(runtime: R, directory: impl Into<PathBuf>) -> Self {
        Self { runtime, directory: directory.into(), cost: Argon2idCost::RECOMMENDED }
    }

    /// Seals new keys at another cost.
    #[must_use]
    pub fn with_cost(self, cost: Argon2idCost) -> Self {
        Self { cost, ..self }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a key from the runtime's entropy.
    ///
    /// Cancel safety: the key exists afterwards or not, its file is whole in any case.
    ///
    /// # Errors
    /// [`KeyError::File`] when it cannot be written.
    pub async fn create(&self, kind: KeyKind, pass_phrase: &PassPhrase) -> Result<Entry, KeyError> {
        let secret = loop {
            let mut bytes = Zeroizing::new([0; 32]);
            self.runtime.fill(&mut *bytes);
            // All but one in 2^128 draws are a secp256k1 number.
            if let Ok(secret) = Secret::from_bytes(kind, &bytes) {
                break secret;
            }
        };
        self.import(secret, pass_phrase).await
    }

    /// Keeps a key that was made elsewhere; [`parse_secret`] reads one.
    ///
    /// Cancel safety: as [`Keys::create`].
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is one for the address, [`KeyError::File`] when it cannot be written.
    pub async fn import(&self, secret: Secret, pass_phrase: &PassPhrase) -> Result<Entry, KeyError> {
        let (address, kind) = (secret.address(), secret.kind());
        let path = self.path(address);
        self.runtime.create_dir_all(&self.directory).await.map_err(|source| self.failed(source))?;
        match self.runtime.open(&path, OpenOptions::reading()).await {
            Ok(_) => return Err(KeyError::Exists(address)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeyError::File { path, source }),
        }
        let mut entropy = SealEntropy { salt: [0; SALT_BYTES], nonce: [0; aead::NONCE_BYTES] };
        self.runtime.fill(&mut entropy.salt);
        self.runtime.fill(&mut entropy.nonce);
        let (cost, pass_phrase) = (self.cost, pass_phrase.clone());
        let sealed =
            self.runtime.offload(move || Keystore::seal(&secret, &pass_phrase.0, cost, &entropy)).await?;
        let text = sealed.map_err(KeyError::Seal)?.to_json();
        self.write(&path, text.into_bytes())
            .await
            .map_err(|source| KeyError::File { path: path.clone(), source })?;
        Ok(Entry { address, kind, path })
    }

    /// All keys, by address. Files that are not keystores are an error: nothing in a wallet is passed over in silence.
    ///
    /// # Errors
    /// [`KeyError`] for the first file that cannot be read.
    pub async fn list(&self) -> Result<Vec<Entry>, KeyError> {
        let files = match self.runtime.read_dir(&self.directory).await {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(self.failed(source)),
        };
        if files.len() > MAX_FILES {
            return Err(KeyError::TooManyFiles(self.directory.clone()));
        }
        let mut entries = Vec::new();
        for path in files {
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let keystore = self.read(&path).await?;
                entries.push(Entry { address: keystore.address(), kind: keystore.kind(), path });
            }
        }
        entries.sort_by_key(|entry| entry.address);
        Ok(entries)
    }

    /// The key of an address, unlocked. Derives a key from the pass phrase off the executor's threads, which takes
    /// about a tenth of a second.
    ///
    /// # Errors
    /// [`KeyError::Missing`]; [`KeyError::Keystore`] when the pass phrase is wrong or the file damaged.
    pub async fn unlock(&self, address: Address, pass_phrase: &PassPhrase) -> Result<Secret, KeyError> {
        let path = self.path(address);
        let keystore = match self.read(&path).await {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::Missing { address, directory: self.directory.clone() });
            }
            other => other?,
        };
        let pass_phrase = pass_phrase.clone();
        let opened = self.runtime.offload(move || keystore.open(&pass_phrase.0)).await?;
        let secret = opened.map_err(|source| KeyError::Keystore { path: path.clone(), source })?;
        if secret.address() != address {
            let source = KeystoreError::Address { stated: address, actual: secret.address() };
            return Err(KeyError::Keystore { path, source });
        }
        Ok(secret)
    }

    fn path(&self, address: Address) -> PathBuf {
        self.directory.join(format!("0x{}.{EXTENSION}", hex::encode(address.0)))
    }

    fn failed(&self, source: io::Error) -> KeyError {
        KeyError::File { path: self.directory.clone(), source }
    }

    async fn read(&self, path: &Path) -> Result<Keystore, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let file = self.runtime.open(path, OpenOptions::reading()).await.map_err(failed)?;
        // One byte more than a keystore may have: longer ones are told, not cut.
        let Lent { result, mut buffer } = file.read_at(vec![0; MAX_FILE_BYTES.saturating_add(1)], 0).await;
        buffer.truncate(result.map_err(failed)?);
        Keystore::from_json(&buffer).map_err(|source| KeyError::Keystore { path: path.to_owned(), source })
    }

    /// Writes a whole file, durably, under another name first.
    async fn write(&self, path: &Path, text: Vec<u8>) -> io::Result<()> {
        let mut unique = [0; 8];
        self.runtime.fill(&mut unique);
        let draft = path.with_extension(format!("draft-{}", hex::encode(unique)));
        let create = OpenOptions { create_new: true, ..OpenOptions::creating() };
        let file = self.runtime.open(&draft, create).await?;
        let written = async {
            file.write_at(text, 0).await.result?;
            file.sync_all().await?;
            self.runtime.rename(&draft, path).await
        };
        if let Err(error) = written.await {
            let _ = self.runtime.remove_file(&draft).await;
            return Err(error);
        }
        self.runtime.sync_dir(&self.directory).await
    }
}

/// Reads a secret key as other wallets export it: 64 hexadecimal digits, with or without `0x`.
///
/// # Errors
/// [`KeyError::SecretForm`]; [`KeyError::Seal`] when the number is not a key of this kind.
pub fn parse_secret(kind: KeyKind, text: &str) -> Result<Secret, KeyError> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| KeyError::SecretForm)?;
    Secret::from_bytes(kind, &bytes).map_err(KeyError::Seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_as_exported() {
        // The first account of the well-known development mnemonic.
        let text = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let secret = parse_secret(KeyKind::Secp256k1, text).unwrap();
        assert_eq!(secret.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert!(parse_secret(KeyKind::Ed25519, &format!(" {} \n", &text[2..])).is_ok());
        for bad in ["", "0x", "0x12", &text[..65], &format!("{text}0"), "zz".repeat(32).as_str()] {
            assert!(matches!(parse_secret(KeyKind::Secp256k1, bad), Err(KeyError::SecretForm)), "{bad}");
        }
        assert!(matches!(parse_secret(KeyKind::Secp256k1, &"0".repeat(64)), Err(KeyError::Seal(_))));
        assert_eq!(format!("{:?}", PassPhrase::new("secret")), "PassPhrase(..)");
    }
}
