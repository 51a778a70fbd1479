//! The node's configuration: flags over environment (`SHROUD_*`) over a TOML file over defaults.

use super::Failure;
use super::acme::AcmeFlags;
use super::output::say;
use crate::node::NodeConfig;
use clap::Args;
use serde::{Deserialize, Serialize};
use shroud_keystone::KeepSegments;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every setting of a node, each optional; what is missing comes from the next layer.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodeFlags {
    /// Who runs the node; `shroud backends` lists them [default: tokio]
    #[arg(long, env = "SHROUD_BACKEND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,

    /// Address of the HTTP and JSON-RPC server; port 0 picks a free one [default: 127.0.0.1:8545]
    #[arg(long, env = "SHROUD_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,

    /// Directory of journal and state; made when missing [default: shroud-data]
    #[arg(long, env = "SHROUD_DATA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,

    /// Genesis file (`shroud genesis --dev` prints an example)
    #[arg(long, env = "SHROUD_GENESIS", conflicts_with = "dev")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,

    /// Use the development genesis: well-known keys with funds, for tests only
    #[arg(long, env = "SHROUD_DEV", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<bool>,

    /// Worker threads, or shards of a per-core backend [default: all cores]
    #[arg(long, env = "SHROUD_CORES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<NonZeroUsize>,

    /// Pin threads to these processors, e.g. 0,1 [default: not pinned]
    #[arg(long, env = "SHROUD_CPUS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<usize>>,

    /// Seconds that work in progress may take after a stop was asked for [default: 10]
    #[arg(long, env = "SHROUD_DRAIN_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<u64>,

    /// HTTP connections each shard holds at once [default: 10000]
    #[arg(long, env = "SHROUD_MAX_CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,

    /// Size of a journal segment in MiB [default: 64]
    #[arg(long, env = "SHROUD_SEGMENT_MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_mib: Option<u64>,

    /// Full journal segments to keep although the state has all their blocks: `all`, so that `shroud audit` can replay from
    /// genesis (a start then reads all of them), or a number [default: 2]
    #[arg(long, env = "SHROUD_KEEP_SEGMENTS", value_name = "all|N")]
    #[serde(default, with = "super::keep_segments", skip_serializing_if = "Option::is_none")]
    pub keep_segments: Option<KeepSegments>,

    /// Serve over TLS (https, HTTP/2, and HTTP/3 in UDP) with the certificate chain in this PEM file; SIGHUP loads it anew
    #[arg(long, env = "SHROUD_TLS_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert
    #[arg(long, env = "SHROUD_TLS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,

    /// Serve over TLS with a self-signed certificate for localhost, made on first start and kept in the data directory
    #[arg(long, env = "SHROUD_TLS_DEV", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_dev: Option<bool>,

    /// In a file, a table of this name with what follows `acme-` in the flags, and `names`.
    #[command(flatten)]
    #[serde(default, skip_serializing_if = "AcmeFlags::is_empty")]
    pub acme: AcmeFlags,

    /// Write the server's URL to this file once it accepts connections
    #[arg(long, env = "SHROUD_READY_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_file: Option<PathBuf>,

    /// TOML file with any of these settings, by the same names; those of ACME in a table: [acme], names = [...], agree = true
    #[arg(long, env = "SHROUD_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

impl NodeFlags {
    /// Fills what is missing from the configuration file, if one is named.
    pub(crate) fn with_file(self) -> Result<Self, Failure> {
        let Some(path) = &self.config else { return Ok(self) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format_args!("configuration {}: {error}", path.display())))?;
        let file: Self = toml::from_str(&text)
            .map_err(|error| Failure::usage(format_args!("configuration {}: {error}", path.display())))?;
        // A genesis chosen by one layer replaces the other kind of a lower layer.
        let chosen = self.genesis.is_some() || self.dev.is_some();
        Ok(Self {
            backend: self.backend.or(file.backend),
            listen: self.listen.or(file.listen),
            data: self.data.or(file.data),
            genesis: if chosen { self.genesis } else { file.genesis },
            dev: if chosen { self.dev } else { file.dev },
            cores: self.cores.or(file.cores),
            cpus: self.cpus.or(file.cpus),
            drain_seconds: self.drain_seconds.or(file.drain_seconds),
            max_connections: self.max_connections.or(file.max_connections),
            segment_mib: self.segment_mib.or(file.segment_mib),
            keep_segments: self.keep_segments.or(file.keep_segments),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_dev: self.tls_dev.or(file.tls_dev),
            acme: self.acme.over(file.acme),
            ready_file: self.ready_file.or(file.ready_file),
            config: self.config,
        })
    }

    /// Who runs the node.
    pub(crate) fn backend(&self) -> &str {
        self.backend.as_deref().unwrap_or("tokio")
    }

    /// How the backend is started.
    pub(crate) fn runtime_config(&self) -> shroud_runtime::Config {
        let default = shroud_runtime::Config::default();
        shroud_runtime::Config {
            cores: self.cores.unwrap_or(default.cores),
            cpus: self.cpus.clone().unwrap_or_default(),
            drain: self.drain_seconds.map_or(default.drain, Duration::from_secs),
            ..default
        }
    }

    /// What the node does, with its genesis read and checked.
    pub(crate) fn node_config(&self) -> Result<NodeConfig, Failure> {
        let genesis = match (&self.genesis, self.dev.unwrap_or(false)) {
            (Some(path), false) => read_genesis(path)?,
            (None, true) => crate::dev::genesis(),
            (Some(_), true) => return Err(Failure::usage("a genesis file and --dev exclude each other")),
            (None, false) => {
                return Err(Failure::usage(
                    "no genesis: give one with --genesis FILE, or try the development chain with --dev",
                ));
            }
        };
        let mut config = NodeConfig::new(genesis, self.data.clone().unwrap_or_else(|| "shroud-data".into()));
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(connections) = self.max_connections {
            config.limits.connections = connections;
        }
        if let Some(mib) = self.segment_mib {
            config.keystone.segment_bytes = mib
                .checked_mul(1 << 20)
                .ok_or_else(|| Failure::usage(format_args!("segment-mib {mib} is too large")))?;
        }
        if let Some(keep) = self.keep_segments {
            config.keystone.keep_segments = keep;
        }
        let development = self.tls_dev.unwrap_or(false).then(|| config.data.join("tls"));
        let acme = self.acme.source(|| Ok(config.data.join("acme")))?;
        let (certificate, key) = (self.tls_cert.as_ref(), self.tls_key.as_ref());
        config.certificate = super::tls::choose(certificate, key, development, acme)?;
        Ok(config)
    }

    /// Every setting, as TOML: what nothing was said about has its default.
    fn merged(mut self) -> Result<String, toml::ser::Error> {
        let runtime = self.runtime_config();
        let (limits, keystone) =
            (shroud_ghostwire::http::Limits::default(), shroud_keystone::Config::default());
        self.backend = Some(self.backend().to_owned());
        self.listen = self.listen.or(Some(NodeConfig::DEFAULT_LISTEN));
        self.data = self.data.or_else(|| Some("shroud-data".into()));
        self.cores = Some(runtime.cores);
        self.drain_seconds = Some(runtime.drain.as_secs());
        self.max_connections = self.max_connections.or(Some(limits.connections));
        self.segment_mib = self.segment_mib.or(Some(keystone.segment_bytes >> 20));
        self.keep_segments = self.keep_segments.or(Some(keystone.keep_segments));
        toml::to_string(&self)
    }
}

/// Reads and checks a genesis file.
pub(crate) fn read_genesis(path: &Path) -> Result<shroud_ledger::genesis::Genesis, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::usage(format_args!("genesis {}: {error}", path.display())))?;
    shroud_ledger::genesis::Genesis::from_json(&text)
        .map_err(|error| Failure::usage(format_args!("genesis {}: {error}", path.display())))
}

/// `shroud config`.
pub(crate) fn print(flags: NodeFlags) -> Result<(), Failure> {
    let merged = flags.with_file()?.merged().map_err(Failure::of("printing the configuration"))?;
    say(merged.trim_end());
    Ok(())
}

/// What `shroud config` prints for a configuration file with this text, when neither flags nor environment say anything.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn merged_configuration(text: &str) -> Result<String, String> {
    let flags: NodeFlags = toml::from_str(text).map_err(|error| error.to_string())?;
    flags.merged().map_err(|error| error.to_string())
}
