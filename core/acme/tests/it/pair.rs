//! An order and its authority.

use crate::authority::{Authority, DIRECTORY};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use shroud_acme::{Error, Issued, Method, Order, OrderConfig, Output, PublicKey, SignError, Signer};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone)]
pub(crate) struct Key(Arc<EcdsaKeyPair>);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")))
    }
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        let point = self.0.public_key().as_ref();
        PublicKey {
            x: point[1..33].try_into().expect("32 bytes"),
            y: point[33..].try_into().expect("32 bytes"),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?;
        signature.as_ref().try_into().map_err(|_| SignError)
    }
}

pub(crate) struct Pair {
    pub(crate) authority: Authority,
    pub(crate) config: OrderConfig,
    pub(crate) key: Key,
    /// How long the last order took.
    pub(crate) took: Duration,
    /// Each second request that may be repeated finds no answer.
    pub(crate) lossy: bool,
}

impl Pair {
    pub(crate) fn new(names: &[&str]) -> Self {
        let config = OrderConfig {
            directory: DIRECTORY.into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            contact: vec!["mailto:a@a.test".into()],
            terms_agreed: true,
            request: b"a request".to_vec(),
        };
        Self { authority: Authority::default(), config, key: Key::new(), took: Duration::ZERO, lossy: false }
    }

    pub(crate) fn run(&mut self) -> Result<Issued, Error> {
        let start = Instant::now();
        let mut now = start;
        let mut order = Order::new(self.config.clone(), Box::new(self.key.clone()), now)?;
        let mut lost = false;
        loop {
            let mut sent = None;
            while let Some(output) = order.poll_output() {
                match output {
                    Output::Send(request) => assert!(sent.replace(request).is_none(), "one at a time"),
                    Output::Present { name, digest } => {
                        assert!(self.authority.presented.insert(name, digest).is_none());
                    }
                    Output::Withdraw { name } => {
                        assert!(self.authority.presented.remove(&name).is_some());
                    }
                    ended @ (Output::Done(_) | Output::Failed(_)) => {
                        assert!(order.poll_output().is_none() && order.deadline().is_none());
                        assert!(self.authority.presented.is_empty(), "proofs are withdrawn");
                        self.took = now - start;
                        return match ended {
                            Output::Done(issued) => Ok(issued),
                            Output::Failed(error) => Err(error),
                            _ => unreachable!(),
                        };
                    }
                    other => panic!("{other:?}"),
                }
            }
            if let Some(request) = sent {
                now += Duration::from_millis(20);
                if self.lossy && !lost && order.handle_unanswered(now) {
                    lost = true;
                    continue;
                }
                // Nonces are asked for in between.
                lost &= request.method != Method::Post;
                order.handle_response(self.authority.answer(&request), now);
            } else {
                now = order.deadline().expect("something is waited for").max(now);
                order.handle_time(now);
            }
        }
    }
}
