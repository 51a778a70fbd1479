//! `shroud ws`: a WebSocket client for terminals and scripts.

use super::Failure;
use super::output::say;
use super::trust::TrustFlags;
use clap::Args;
use shroud_ghostwire::http::{HeaderMap, HeaderValue, Uri};
use shroud_ghostwire::websocket::{CloseCode, Closed, ConnectTo, End, Message, WebSocket, connect};
use shroud_runtime::sync::channel;
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::{ClientOptions, SeamClock, alpn, provider};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Connect to a WebSocket server: lines of standard input are sent, messages that arrive are printed
#[derive(Debug, Args)]
pub(crate) struct Ws {
    /// Where to connect: ws://HOST[:PORT]/PATH, or wss:// for TLS
    url: Uri,
    /// Send this instead of standard input's lines; may be given several times
    #[arg(short, long = "message", value_name = "TEXT")]
    messages: Vec<String>,
    /// Close after so many messages have arrived
    #[arg(short, long, value_name = "COUNT")]
    receive: Option<u64>,
    /// After the last message was sent, wait so long for others to arrive; without it, and with --receive, for ever
    #[arg(short, long, value_name = "SECONDS")]
    wait: Option<f64>,
    /// A header field to send, such as "Authorization: Bearer x"
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A subprotocol to offer, the preferred first
    #[arg(short, long = "protocol", value_name = "NAME")]
    protocols: Vec<String>,
    /// Send binary messages
    #[arg(short, long)]
    binary: bool,
    /// Do not offer compression
    #[arg(long)]
    no_compression: bool,
    /// Over HTTP/2 (RFC 8441), which not all servers offer
    #[arg(short = '2', long)]
    http2: bool,
    #[command(flatten)]
    trust: TrustFlags,
}

/// How long to wait for answers after the input's end, unless told otherwise.
const WAIT: Duration = Duration::from_secs(1);

impl Ws {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let headers = self.headers.iter().map(|text| header(text)).collect::<Result<HeaderMap, _>>()?;
        let mut to = ConnectTo { headers, protocols: self.protocols.clone(), ..ConnectTo::default() };
        if self.no_compression {
            to.compression = None;
        }
        let trust = if self.url.scheme_str() == Some("wss") { Some(self.trust.trust()?) } else { None };
        let lines = self.input()?;
        super::block_on(move |runtime| async move {
            let protocol = if self.http2 { alpn::H2 } else { alpn::HTTP_1_1 };
            to.http2_in_clear = self.http2;
            if let Some(trust) = trust {
                let clock = SeamClock::new(runtime.clone());
                let options = ClientOptions::new(provider(), clock, trust).protocols(&[protocol]);
                to.tls = Some(Arc::new(options.config().map_err(Failure::new)?));
            }
            let (socket, _) = connect(&runtime, &self.url, to).await.map_err(Failure::new)?;
            self.talk(&runtime, socket, lines).await
        })?
    }

    /// What is to be sent, as it comes; closed at its end.
    fn input(&self) -> Result<channel::Receiver<String>, Failure> {
        let (sender, receiver) = channel::bounded(64);
        if !self.messages.is_empty() {
            let (sender, receiver) = channel::unbounded();
            self.messages.iter().for_each(|text| drop(sender.try_send(text.clone())));
            return Ok(receiver);
        }
        std::thread::Builder::new()
            .name("standard-input".into())
            .spawn(move || {
                for line in std::io::stdin().lines() {
                    let Ok(line) = line else { return };
                    if sender.send_blocking(line).is_err() {
                        return;
                    }
                }
            })
            .map_err(Failure::of("reading standard input"))?;
        Ok(receiver)
    }

    async fn talk<R: Runtime>(
        self,
        runtime: &R,
        mut socket: WebSocket,
        lines: channel::Receiver<String>,
    ) -> Result<(), Failure> {
        enum Step {
            Line(Option<String>),
            Received(Result<Option<Message>, Closed>),
            Waited,
        }
        let mut received = 0;
        let mut waiting: Option<Option<shroud_runtime::time::Sleep<R::Alarm>>> = None;
        loop {
            let step = {
                let mut next = pin!(lines.recv());
                poll_fn(|cx| {
                    if waiting.is_none()
                        && let Poll::Ready(line) = next.as_mut().poll(cx)
                    {
                        return Poll::Ready(Step::Line(line.ok()));
                    }
                    if let Poll::Ready(message) = socket.poll_receive(cx) {
                        return Poll::Ready(Step::Received(message));
                    }
                    match &mut waiting {
                        Some(Some(sleep)) => Pin::new(sleep).poll(cx).map(|()| Step::Waited),
                        _ => Poll::Pending,
                    }
                })
                .await
            };
            match step {
                Step::Line(Some(line)) => {
                    let message = if self.binary { Message::from(line.into_bytes()) } else { line.into() };
                    socket.send(message).await.map_err(Failure::new)?;
                }
                Step::Line(None) => {
                    let limit = match (self.wait, self.receive) {
                        (Some(seconds), _) => {
                            Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
                        }
                        (None, Some(_)) => None,
                        (None, None) => Some(WAIT),
                    };
                    waiting = Some(limit.map(|limit| runtime.sleep(limit)));
                }
                Step::Received(Ok(Some(message))) => {
                    show(&message);
                    received += 1;
                    if Some(received) == self.receive {
                        break;
                    }
                }
                Step::Received(Ok(None)) => return ended(socket.end()),
                Step::Received(Err(closed)) => return Err(Failure::new(closed)),
                Step::Waited => break,
            }
        }
        match socket.close(CloseCode::NORMAL, "").await {
            End::Closed(_) => Ok(()),
            end => Err(Failure::new(Closed(end))),
        }
    }
}

fn show(message: &Message) {
    match message {
        Message::Text(text) => say(text),
        Message::Binary(bytes) => say(shroud_wire::hex::data(bytes)),
    }
}

/// The server closed first.
fn ended(end: Option<&End>) -> Result<(), Failure> {
    match end {
        Some(End::Closed(Some(frame))) if frame.code != CloseCode::NORMAL => {
            Err(Failure::new(Closed(End::Closed(Some(frame.clone())))))
        }
        _ => Ok(()),
    }
}

fn header(text: &str) -> Result<(shroud_ghostwire::http::HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::usage(format_args!("{text:?} is not a header field: write NAME: VALUE"));
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    Ok((name, value.trim().parse().map_err(|_| wrong())?))
}
