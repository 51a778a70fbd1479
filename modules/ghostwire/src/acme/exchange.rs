//! One order, driven by an HTTP client.

use super::{AcmeError, AcmeOptions};
use crate::http::{Body, BodyError, Client, ClientError, ClientLimits, HeaderValue};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Uri};
use shroud_acme::{Issued, Order, Output, Response, limits, retry_after};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::{
    AccountKey, Certificates, ChallengeCertificate, ClientOptions, SeamClock, alpn, provider,
};
use std::sync::Arc;
use std::time::Duration;

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// For one request.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Orders a certificate by `request` (PKCS #10), proving its names by `certificates`.
pub(super) async fn order<R: Runtime>(
    runtime: &R,
    options: &AcmeOptions,
    account: AccountKey,
    request: Vec<u8>,
    certificates: &Arc<Certificates>,
) -> Result<Issued, AcmeError> {
    let client = client(runtime, options)?;
    let mut order = Order::new(options.order(request), Box::new(account), runtime.now())?;
    let mut proofs = Proofs { certificates, presented: Vec::new() };
    loop {
        let mut to_send = None;
        while let Some(output) = order.poll_output() {
            match output {
                Output::Send(request) => to_send = Some(request),
                Output::Present { name, digest } => proofs.present(runtime, &name, &digest)?,
                Output::Withdraw { name } => certificates.withdraw(&name),
                Output::Done(issued) => return Ok(issued),
                Output::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        match (to_send, order.deadline()) {
            (Some(request), _) => match send(runtime, &client, request).await {
                Ok(response) => order.handle_response(response, runtime.now()),
                Err(error) if order.handle_unanswered(runtime.now()) => {
                    tracing::debug!(%error, "the ACME server is asked again");
                }
                Err(error) => return Err(error),
            },
            (None, Some(deadline)) => {
                runtime.sleep_until(deadline).await;
                order.handle_time(runtime.now());
            }
            // It has ended, and has said how.
            (None, None) => return Err(shroud_acme::Error::Overdue.into()),
        }
    }
}

/// Proofs that are withdrawn at the latest when the order is given up.
struct Proofs<'a> {
    certificates: &'a Certificates,
    presented: Vec<String>,
}

impl Proofs<'_> {
    fn present<R: Runtime>(&mut self, runtime: &R, name: &str, digest: &[u8; 32]) -> Result<(), AcmeError> {
        let (now, entropy) = (runtime.unix_time(), |out: &mut [u8]| runtime.fill(out));
        let proof = ChallengeCertificate::generate(name, digest, now, entropy, &provider())?;
        self.presented.push(name.to_owned());
        self.certificates.present(&proof);
        Ok(())
    }
}

impl Drop for Proofs<'_> {
    fn drop(&mut self) {
        self.presented.iter().for_each(|name| self.certificates.withdraw(name));
    }
}

fn client<R: Runtime>(runtime: &R, options: &AcmeOptions) -> Result<Client<R>, AcmeError> {
    let limits = ClientLimits {
        request_time: REQUEST_TIME,
        // One byte more tells the machine that it was too much.
        body_bytes: u64::try_from(limits::MAX_RESPONSE).unwrap_or(u64::MAX),
        ..ClientLimits::default()
    };
    let tls = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), options.trust.clone());
    let tls = tls.protocols(&[alpn::H2, alpn::HTTP_1_1]).config()?;
    Ok(Client::new(runtime.clone(), limits).with_tls(Arc::new(tls)))
}

async fn send<R: Runtime>(
    runtime: &R,
    client: &Client<R>,
    request: shroud_acme::Request,
) -> Result<Response, AcmeError> {
    let url = request.url.clone();
    tracing::debug!(method = ?request.method, url, "asking the ACME server");
    let failed = |source| AcmeError::Client { url: url.clone(), source: Box::new(source) };
    let Ok(uri) = request.url.parse::<Uri>() else {
        return Err(failed(ClientError::Address(Uri::default())));
    };
    let mut sent = Request::new(Body::from(request.body));
    *sent.uri_mut() = uri;
    *sent.method_mut() = match request.method {
        shroud_acme::Method::Get => Method::GET,
        shroud_acme::Method::Head => Method::HEAD,
        _ => Method::POST,
    };
    // Servers want to know whom they talk to (RFC 8555, 6.1).
    sent.headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static(concat!("shroud/", env!("CARGO_PKG_VERSION"))));
    if let Some(kind) = request.content_type {
        sent.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let response = match client.send(sent).await {
        Ok(response) => response,
        Err(ClientError::Body(BodyError::TooLarge { .. })) => {
            let body = vec![0; limits::MAX_RESPONSE.saturating_add(1)];
            return Ok(Response { body, ..Response::default() });
        }
        Err(error) => return Err(failed(error)),
    };
    let text = |name: &HeaderName| field(response.headers(), name);
    Ok(Response {
        status: response.status().as_u16(),
        nonce: text(&REPLAY_NONCE),
        location: text(&LOCATION),
        retry_after: text(&RETRY_AFTER).and_then(|field| retry_after(&field, runtime.unix_time())),
        body: response.body().to_vec(),
    })
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
