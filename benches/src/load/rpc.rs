//! A blocking JSON-RPC client on one connection: set-up and checks, outside of what is timed.

use super::response;
use super::work::{get, post, post_to};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection for single calls.
#[derive(Debug)]
pub struct Rpc {
    stream: TcpStream,
    next_id: u64,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcFailure {
    /// The connection failed.
    #[error("{method}: {source}")]
    Io {
        /// The method or path that was called.
        method: String,
        /// What happened.
        source: io::Error,
    },
    /// The server answered, but not with a result.
    #[error("{method}: {answer}")]
    Refused {
        /// The method or path that was called.
        method: String,
        /// What it said.
        answer: String,
    },
}

impl Rpc {
    /// Connects.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, next_id: 1 })
    }

    /// Calls a method and returns its result.
    ///
    /// # Errors
    /// When the connection fails or the node answers with an error.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, RpcFailure> {
        let id = self.next_id;
        self.next_id += 1;
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let (status, body) = self.exchange(method, &post(&body.to_string()))?;
        let refused = || RpcFailure::Refused {
            method: method.to_owned(),
            answer: format!("status {status}, {}", String::from_utf8_lossy(&body)),
        };
        let mut answer: Value = serde_json::from_slice(&body).map_err(|_| refused())?;
        if answer["id"] != id || answer.get("error").is_some_and(|error| !error.is_null()) {
            return Err(refused());
        }
        answer.get_mut("result").map(Value::take).ok_or_else(refused)
    }

    /// The body at a path.
    ///
    /// # Errors
    /// When the connection fails or the status is not 200.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, RpcFailure> {
        self.page(path, &get(path))
    }

    /// Posts nothing to a path, and gives the body of the answer.
    ///
    /// # Errors
    /// When the connection fails or the status is not 200.
    pub fn post(&mut self, path: &str) -> Result<Vec<u8>, RpcFailure> {
        self.page(path, &post_to(path, ""))
    }

    fn page(&mut self, path: &str, request: &[u8]) -> Result<Vec<u8>, RpcFailure> {
        match self.exchange(path, request)? {
            (200, body) => Ok(body),
            (status, body) => Err(RpcFailure::Refused {
                method: path.to_owned(),
                answer: format!("status {status}, {}", String::from_utf8_lossy(&body)),
            }),
        }
    }

    fn exchange(&mut self, method: &str, request: &[u8]) -> Result<(u16, Vec<u8>), RpcFailure> {
        self.try_exchange(request).map_err(|source| RpcFailure::Io { method: method.to_owned(), source })
    }

    fn try_exchange(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        let (mut input, mut chunk) = (Vec::new(), [0; 8192]);
        loop {
            if let Some(response) = response::parse(&input).map_err(io::Error::other)? {
                return Ok((response.status, response.body.to_vec()));
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => input.extend_from_slice(&chunk[..read]),
            }
        }
    }
}
