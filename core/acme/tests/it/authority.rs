//! An ACME server in memory. It is strict: every signature, nonce, address and order of steps is checked.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shroud_acme::{Method, Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const DIRECTORY: &str = "https://ca.test/directory";
pub(crate) const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const TERMS: &str = "https://ca.test/terms";

#[derive(Default)]
pub(crate) struct Authority {
    /// So many signed requests are refused for their nonce, from now on.
    pub(crate) bad_nonces: u32,
    /// Authorizations are looked at so often before they are valid.
    pub(crate) slow_authorizations: u32,
    /// The same of orders, before the certificate is there.
    pub(crate) slow_orders: u32,
    /// What is wrong with a name.
    pub(crate) unauthorized: BTreeMap<String, &'static str>,
    /// Other challenges only.
    pub(crate) no_challenge: bool,
    /// What is answered to this path instead.
    pub(crate) instead: BTreeMap<&'static str, Response>,
    /// `Retry-After` of whatever is not done yet.
    pub(crate) retry_after: Option<Duration>,
    /// Names whose proofs are presented, with the digest.
    pub(crate) presented: BTreeMap<String, [u8; 32]>,
    /// By public key.
    pub(crate) accounts: Vec<Value>,
    /// Paths that were asked for.
    pub(crate) log: Vec<String>,
    pub(crate) contact: Value,
    pub(crate) csr: Vec<u8>,
    nonces: BTreeSet<String>,
    given: u32,
    names: Vec<String>,
    valid: BTreeSet<usize>,
    looks: u32,
    finalized: bool,
}

impl Authority {
    pub(crate) fn answer(&mut self, request: &Request) -> Response {
        let path = request.url.strip_prefix("https://ca.test").expect("our host").to_owned();
        self.log.push(path.clone());
        let mut response = match self.instead.get(path.as_str()) {
            Some(response) => response.clone(),
            None => self.dispatch(&path, request),
        };
        if path != "/directory" && response.nonce.is_none() {
            self.given += 1;
            let nonce = format!("nonce-{}", self.given);
            self.nonces.insert(nonce.clone());
            response.nonce = Some(nonce);
        }
        response
    }

    fn dispatch(&mut self, path: &str, request: &Request) -> Response {
        match (request.method, path) {
            (Method::Get, "/directory") => answer(
                200,
                &json!({
                    "newNonce": "https://ca.test/nonce", "newAccount": "https://ca.test/account",
                    "newOrder": "https://ca.test/order", "meta": { "termsOfService": TERMS }, "other": [1],
                }),
            ),
            (Method::Head, "/nonce") => Response { status: 200, ..Response::default() },
            (Method::Post, _) => self.signed(path, request),
            other => panic!("{other:?}"),
        }
    }

    fn signed(&mut self, path: &str, request: &Request) -> Response {
        assert_eq!(request.content_type, Some("application/jose+json"));
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let part = |name: &str| body[name].as_str().expect("a text");
        let bytes = |text: &str| Base64UrlUnpadded::decode_vec(text).expect("base64url");
        let protected: Value = serde_json::from_slice(&bytes(part("protected"))).expect("JSON");
        assert_eq!((&protected["alg"], &protected["url"]), (&json!("ES256"), &json!(request.url)));
        let new = path == "/account";
        assert_eq!((protected["jwk"].is_object(), protected["kid"].is_string()), (new, !new));
        let key = if new {
            protected["jwk"].clone()
        } else {
            let number =
                protected["kid"].as_str().and_then(|kid| kid.strip_prefix("https://ca.test/account/"));
            self.accounts[number.expect("an account").parse::<usize>().expect("a number")].clone()
        };
        let coordinate = |name: &str| bytes(key[name].as_str().expect("a text"));
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let message = format!("{}.{}", part("protected"), part("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &bytes(part("signature")))
            .expect("a good signature");
        assert!(self.nonces.remove(protected["nonce"].as_str().expect("a nonce")), "a nonce is used once");
        if self.bad_nonces > 0 {
            self.bad_nonces -= 1;
            return problem(400, "badNonce", "try another");
        }
        let payload = bytes(part("payload"));
        let payload =
            if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).expect("JSON") };
        self.step(path, &key, &payload)
    }

    fn step(&mut self, path: &str, key: &Value, payload: &Value) -> Response {
        let (kind, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let number = rest.parse::<usize>().unwrap_or_default();
        match kind {
            "account" => {
                assert_eq!(payload["termsOfServiceAgreed"], true);
                self.contact = payload["contact"].clone();
                let known = self.accounts.iter().position(|known| known == key);
                let number = known.unwrap_or_else(|| {
                    self.accounts.push(key.clone());
                    self.accounts.len() - 1
                });
                let location = Some(format!("https://ca.test/account/{number}"));
                let status = if known.is_some() { 200 } else { 201 };
                Response { location, ..answer(status, &json!({ "status": "valid" })) }
            }
            "order" if rest.is_empty() => {
                let names = payload["identifiers"].as_array().expect("names");
                self.names =
                    names.iter().map(|name| name["value"].as_str().expect("a name").to_owned()).collect();
                let location = Some("https://ca.test/order/1".to_owned());
                Response { location, ..answer(201, &self.order("pending")) }
            }
            "authorization" => {
                assert_eq!(payload, &Value::Null);
                self.authorization(number)
            }
            "challenge" => {
                assert_eq!(payload, &json!({}));
                let name = &self.names[number];
                let (x, y) = (key["x"].as_str().expect("x"), key["y"].as_str().expect("y"));
                let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                let thumbprint = Base64UrlUnpadded::encode_string(&Sha256::digest(jwk));
                let digest: [u8; 32] = Sha256::digest(format!("token-{number}.{thumbprint}")).into();
                assert_eq!(self.presented.get(name), Some(&digest), "{name} is proved");
                self.looks = self.slow_authorizations;
                self.valid.insert(number);
                answer(200, &json!({ "type": "tls-alpn-01", "status": "processing" }))
            }
            "order" => {
                assert_eq!(payload, &Value::Null);
                assert_eq!(self.valid.len(), self.names.len());
                if self.finalized && self.looks > 0 {
                    self.looks = self.looks.saturating_sub(1);
                    return self.later(answer(200, &self.order("processing")));
                }
                answer(200, &self.order(if self.finalized { "valid" } else { "ready" }))
            }
            "finalize" => {
                assert!(!self.finalized, "finalized once");
                self.finalized = true;
                self.looks = self.slow_orders;
                self.csr = Base64UrlUnpadded::decode_vec(payload["csr"].as_str().expect("a request"))
                    .expect("base64url");
                self.later(answer(200, &self.order("processing")))
            }
            "certificate" => Response { status: 200, body: CHAIN.into(), ..Response::default() },
            other => panic!("{other}"),
        }
    }

    fn order(&self, status: &str) -> Value {
        let authorizations: Vec<String> =
            (0..self.names.len()).map(|number| format!("https://ca.test/authorization/{number}")).collect();
        let mut order = json!({ "status": status, "authorizations": authorizations, "finalize": "https://ca.test/finalize/1" });
        if status == "valid" {
            order["certificate"] = json!("https://ca.test/certificate/1");
        }
        order
    }

    fn authorization(&mut self, number: usize) -> Response {
        let name = &self.names[number];
        let tried = self.valid.contains(&number);
        let status = match (tried, self.unauthorized.get(name), self.looks) {
            (true, Some(_), 0) => "invalid",
            (true, None, 0) => "valid",
            _ => "pending",
        };
        let mut challenge = json!({ "type": "tls-alpn-01", "url": format!("https://ca.test/challenge/{number}"), "token": format!("token-{number}") });
        if let (Some(detail), "invalid") = (self.unauthorized.get(name), status) {
            challenge["error"] = json!({ "type": "urn:ietf:params:acme:error:connection", "detail": detail });
        }
        let mut challenges = vec![
            json!({ "type": "dns-01", "url": "https://ca.test/dns/1", "token": "x", "status": "pending" }),
        ];
        if !self.no_challenge {
            challenges.push(challenge);
        }
        let body = json!({ "status": status, "identifier": { "type": "dns", "value": name }, "challenges": challenges });
        if tried {
            self.looks = self.looks.saturating_sub(1);
        }
        self.later(answer(200, &body))
    }

    fn later(&self, response: Response) -> Response {
        Response { retry_after: self.retry_after, ..response }
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Response {
    Response { status, body: body.to_string().into_bytes(), ..Response::default() }
}

pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> Response {
    answer(status, &json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }))
}
