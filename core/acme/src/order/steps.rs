//! What each answer leads to.

use super::{Issued, Order, Output, Post, Response, Waiting};
use crate::error::{Error, Step};
use crate::jws::key_authorization;
use crate::limits::FIRST_PAUSE;
use crate::message::{self, Authorization, AuthorizationStatus, Directory, OrderStatus, decode};
use crate::problem::cut;
use crate::url::Url;
use std::time::Instant;

impl Order {
    /// With the directory.
    pub(super) fn begin(&mut self, response: &Response) -> Result<(), Error> {
        let directory: Directory = decode(Step::Directory, &response.body)?;
        if directory.meta.external_account_required {
            return Err(Error::ExternalAccount);
        }
        if let Some(terms) = &directory.meta.terms_of_service
            && !self.config.terms_agreed
        {
            return Err(Error::Terms(cut(terms)));
        }
        let url = directory.new_account.0.clone();
        self.directory = Some(directory);
        let payload = message::new_account(&self.config.contact, self.config.terms_agreed);
        self.ask(Step::Account, url, payload)
    }

    /// With what was asked for.
    pub(super) fn answered(&mut self, post: Post, response: &Response, now: Instant) -> Result<(), Error> {
        match post.step {
            Step::Account => {
                self.account = Some(location(Step::Account, response)?);
                let url = self.directory()?.new_order.0.clone();
                self.ask(Step::NewOrder, url, message::new_order(&self.names))
            }
            Step::NewOrder => self.ordered(response, now),
            Step::Authorization => self.authorization(post.url, response, now),
            Step::Challenge => {
                let Some(url) = self.authorizations.last().cloned() else { return self.go_on() };
                self.pause = FIRST_PAUSE;
                self.look_again(Step::Authorization, url, response.retry_after, now)
            }
            Step::Certificate => self.issued(response),
            _ => self.state(post.step, response, now),
        }
    }

    fn ordered(&mut self, response: &Response, now: Instant) -> Result<(), Error> {
        self.order = Some(location(Step::NewOrder, response)?);
        let order: message::Order = decode(Step::NewOrder, &response.body)?;
        if order.status != OrderStatus::Pending {
            return self.state(Step::NewOrder, response, now);
        }
        if order.authorizations.is_empty() || order.authorizations.len() > self.names.len() {
            let reason = format!("{} authorizations", order.authorizations.len());
            return Err(Error::Malformed { step: Step::NewOrder, reason });
        }
        self.authorizations = order.authorizations.into_iter().map(|address| address.0).collect();
        self.go_on()
    }

    /// To the next authorization, or back to the order.
    fn go_on(&mut self) -> Result<(), Error> {
        match self.authorizations.last().cloned() {
            Some(url) => self.ask(Step::Authorization, url, String::new()),
            None => {
                self.pause = FIRST_PAUSE;
                let url = self.order_url()?;
                self.ask(Step::Order, url, String::new())
            }
        }
    }

    fn authorization(&mut self, url: Url, response: &Response, now: Instant) -> Result<(), Error> {
        let step = Step::Authorization;
        let authorization: Authorization = decode(step, &response.body)?;
        let name = authorization.name();
        if !self.names.contains(&name) {
            return Err(Error::Malformed { step, reason: format!("`{name}` was not ordered") });
        }
        match authorization.status {
            AuthorizationStatus::Valid => {
                self.withdraw();
                self.authorizations.pop();
                self.go_on()
            }
            AuthorizationStatus::Pending if self.presented.is_some() => {
                self.look_again(step, url, response.retry_after, now)
            }
            AuthorizationStatus::Pending => {
                let Some((url, token)) = authorization.challenge() else {
                    return Err(Error::NoChallenge(name));
                };
                let digest = key_authorization(&token, &self.signer.public_key())?;
                self.presented = Some(name.clone());
                self.outputs.push_back(Output::Present { name, digest });
                self.ask(Step::Challenge, url, "{}".into())
            }
            _ => Err(Error::Unauthorized { name, problem: authorization.into_problem() }),
        }
    }

    /// How the order is.
    fn state(&mut self, step: Step, response: &Response, now: Instant) -> Result<(), Error> {
        let order: message::Order = decode(step, &response.body)?;
        match order.status {
            OrderStatus::Ready if !self.finalized => {
                self.finalized = true;
                self.pause = FIRST_PAUSE;
                self.ask(Step::Finalize, order.finalize.0, message::finalize(&self.config.request))
            }
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => {
                let url = self.order_url()?;
                self.look_again(Step::Order, url, response.retry_after, now)
            }
            OrderStatus::Valid => match order.certificate {
                Some(address) if self.finalized => self.ask(Step::Certificate, address.0, String::new()),
                Some(_) => {
                    Err(Error::Malformed { step, reason: "it is valid before it was finalized".into() })
                }
                None => Err(Error::Malformed { step, reason: "it is valid and has no certificate".into() }),
            },
            OrderStatus::Invalid => Err(Error::Invalid(order.into_problem())),
        }
    }

    fn issued(&mut self, response: &Response) -> Result<(), Error> {
        let step = Step::Certificate;
        let chain = String::from_utf8(response.body.clone()).ok();
        let Some(chain) = chain.filter(|text| text.contains("-----BEGIN CERTIFICATE-----")) else {
            return Err(Error::Malformed { step, reason: "it is no PEM text".into() });
        };
        let account = self.account.as_ref().map(|url| url.as_str().to_owned()).unwrap_or_default();
        self.outputs.push_back(Output::Done(Issued { chain, account }));
        self.waiting = Waiting::Ended;
        Ok(())
    }

    fn order_url(&self) -> Result<Url, Error> {
        let missing = || Error::Malformed { step: Step::NewOrder, reason: "there is no order".into() };
        self.order.clone().ok_or_else(missing)
    }
}

/// Where what was made is.
fn location(step: Step, response: &Response) -> Result<Url, Error> {
    let url = response.location.as_deref().and_then(Url::parse);
    url.ok_or_else(|| Error::Malformed {
        step,
        reason: "there is no Location with an https:// address".into(),
    })
}
