//! `shroud dns`: a small dig, and a server of zones.

use super::Failure;
use super::dns_serve::DnsServe;
use super::get::{GOODBYE, NO_ERROR};
use super::output::say;
use super::trust::TrustFlags;
use crate::backends::{SIMULATED, Visit, with_backend};
use clap::{Args, Subcommand};
use shroud_ghostwire::dns::{
    ALPN_QUIC, ALPN_TLS, Answered, Client, HttpsMethod, Message, PORT, QueryOptions, Question, Record,
    RecordType, Settings, TLS_PORT, WhyStream,
};
use shroud_ghostwire::http::{Client as HttpClient, ClientLimits, Http3Client, Uri, UseHttp3};
use shroud_ghostwire::tls::{ClientOptions, SeamClock, Trust, alpn, provider};
use shroud_quic::{ClientConfig, ConnectionPool, Endpoint, EndpointConfig, PoolLimits, Transport, VarInt};
use shroud_runtime::{Backend, Runtime, RuntimeExt};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// DOQ_NO_ERROR (RFC 9250, 8.4).
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);

/// Ask a DNS server, or serve zones
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Dns {
    #[command(subcommand)]
    command: Option<DnsCommand>,
    #[command(flatten)]
    query: Ask,
}

#[derive(Debug, Subcommand)]
enum DnsCommand {
    /// Serve the zones of files over UDP, TCP, TLS, HTTPS and QUIC
    Serve(DnsServe),
}

#[derive(Debug, Clone, Args)]
struct Ask {
    /// What to ask: NAME [TYPE] [@SERVER], in any order; the type is A unless said, the server the system's first
    #[arg(value_name = "NAME [TYPE] [@SERVER]", required = true, num_args = 1..=3)]
    words: Vec<String>,
    /// The server's port [default: 53; 853 for --tls and --quic; 443 for --https]
    #[arg(short, long)]
    port: Option<u16>,
    /// Over TCP only
    #[arg(long, group = "way")]
    tcp: bool,
    /// Over TLS (RFC 7858)
    #[arg(long, group = "way")]
    tls: bool,
    /// Over HTTPS (RFC 8484)
    #[arg(long, group = "way")]
    https: bool,
    /// Over QUIC (RFC 9250)
    #[arg(long, group = "way")]
    quic: bool,
    /// With --https: the question in the address (GET), not as a body
    #[arg(long, requires = "https")]
    get: bool,
    /// With --https: over HTTP/3
    #[arg(long, requires = "https")]
    http3: bool,
    /// With --https: the path to ask at
    #[arg(long, default_value = "/dns-query")]
    path: String,
    /// The name that the server's certificate must be for [default: the server as given]
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    #[command(flatten)]
    trust: TrustFlags,
    /// Ask for signatures too (DNSSEC); they are printed, not verified
    #[arg(long)]
    dnssec: bool,
    /// Do not ask the server to resolve on the way
    #[arg(long)]
    no_recursion: bool,
    /// Print the answers' data only
    #[arg(short, long)]
    short: bool,
    /// Give up after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    max_wait: u64,
    /// Who asks; `shroud backends` lists them
    #[arg(long, env = "SHROUD_BACKEND", default_value = "tokio")]
    backend: String,
}

/// What was asked, of whom.
struct Parsed {
    question: Question,
    server: String,
}

impl Dns {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Some(DnsCommand::Serve(serve)) => serve.run(),
            None => self.query.run(),
        }
    }
}

impl Ask {
    fn run(self) -> Result<(), Failure> {
        if self.backend == SIMULATED {
            return Err(Failure::usage("backend sim has no real network: it can ask nobody"));
        }
        let parsed = self.parse()?;
        let trust = if self.tls || self.https || self.quic { Some(self.trust.trust()?) } else { None };
        let backend = self.backend.clone();
        with_backend(&backend, Run { ask: self, parsed, trust }).map_err(Failure::usage)?
    }

    fn parse(&self) -> Result<Parsed, Failure> {
        let (mut name, mut kind, mut server) = (None, None, None);
        for word in &self.words {
            if let Some(address) = word.strip_prefix('@') {
                server = Some(address.to_owned());
            } else if let (Some(_), None, Ok(known)) =
                (&name, kind, RecordType::from_str(&word.to_ascii_uppercase()))
            {
                kind = Some(known);
            } else if name.is_none() {
                name = Some(word.as_str());
            } else {
                return Err(Failure::usage(format_args!(
                    "{word:?} is no type of records that is known here"
                )));
            }
        }
        let name = name.ok_or_else(|| Failure::usage("there is no name to ask about"))?;
        let kind = kind.unwrap_or(RecordType::A);
        let question = Question::parse(name, kind).map_err(Failure::usage)?;
        let server = match server {
            Some(server) => server,
            None => system_server()?,
        };
        Ok(Parsed { question, server })
    }

    fn settings(&self) -> Settings {
        let mut settings =
            Settings { question_time: Duration::from_secs(self.max_wait), ..Settings::default() };
        let query = settings.lookup.query;
        settings.lookup.query = QueryOptions { dnssec: self.dnssec, recursion: !self.no_recursion, ..query };
        settings
    }
}

/// The first server of the system's resolver.
fn system_server() -> Result<String, Failure> {
    let path = "/etc/resolv.conf";
    let text = std::fs::read_to_string(path).map_err(Failure::of(path))?;
    let mut servers = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let server = servers.next().map(|server| server.trim().to_owned());
    server.ok_or_else(|| Failure::new(format_args!("{path} names no server: name one with @SERVER")))
}

struct Run {
    ask: Ask,
    parsed: Parsed,
    trust: Option<Trust>,
}

impl Visit for Run {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let Self { ask, parsed, trust } = self;
        backend
            .block_on(move |runtime| async move { exchange(&runtime, &ask, &parsed, trust).await })
            .map_err(Failure::new)?
            .map_err(Failure::new)?
    }
}

async fn exchange<R: Runtime>(
    runtime: &R,
    ask: &Ask,
    parsed: &Parsed,
    trust: Option<Trust>,
) -> Result<(), Failure> {
    let (client, endpoint) = client(runtime, ask, &parsed.server, trust).await?;
    let answered = client.ask(&parsed.question).await.map_err(Failure::of(&parsed.server));
    // However that ended, the server is told.
    if let Some(endpoint) = endpoint {
        endpoint.close(if ask.http3 { NO_ERROR } else { DOQ_NO_ERROR }, b"");
        let _ = runtime.timeout(GOODBYE, endpoint.wait_idle()).await;
    }
    let answered = answered?;
    if ask.short {
        answered.reply.message.answers.iter().for_each(|record| say(&record.data));
    } else {
        say(shown(&answered, &parsed.server).trim_end());
    }
    Ok(())
}

/// A client, and its endpoint when it asks over QUIC.
async fn client<R: Runtime>(
    runtime: &R,
    ask: &Ask,
    server: &str,
    trust: Option<Trust>,
) -> Result<(Client<R>, Option<Endpoint<R>>), Failure> {
    let settings = ask.settings();
    let name = ask.tls_name.as_deref().unwrap_or(server);
    let options = |trust| ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust);
    let usual = if ask.https {
        443
    } else if ask.tls || ask.quic {
        TLS_PORT
    } else {
        PORT
    };
    let port = ask.port.unwrap_or(usual);
    if let (true, Some(trust)) = (ask.https, &trust) {
        let config = options(trust.clone()).protocols(&[alpn::H2, alpn::HTTP_1_1]).config();
        let tls = Arc::new(config.map_err(Failure::new)?);
        let limits = ClientLimits { request_time: settings.question_time, ..ClientLimits::default() };
        let mut http = HttpClient::new(runtime.clone(), limits.clone()).with_tls(tls);
        let mut endpoint = None;
        if ask.http3 {
            let tls = options(trust.clone()).only_tls_13().protocols(&[alpn::H3]);
            let addresses = runtime.lookup(server, port).await.map_err(Failure::of(server))?;
            let made = quic(runtime, tls, addresses.first()).await?;
            let http3 = Http3Client::new(runtime.clone(), made.0.clone(), made.1, limits);
            http = http.with_http3(http3, UseHttp3::Always);
            endpoint = Some(made.0);
        }
        let host = if server.parse::<Ipv6Addr>().is_ok() { format!("[{server}]") } else { server.to_owned() };
        let address = format!("https://{host}:{port}{}", ask.path);
        let address: Uri = address.parse().map_err(Failure::of(&address))?;
        let method = if ask.get { HttpsMethod::Get } else { HttpsMethod::Post };
        return Ok((Client::https(runtime, http, address, method, settings), endpoint));
    }
    let addresses = match server.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => runtime.lookup(server, port).await.map_err(Failure::of(server))?,
    };
    let Some(&address) = addresses.first() else {
        return Err(Failure::new(format_args!("{server} has no address")));
    };
    match trust {
        Some(trust) if ask.quic => {
            let tls = options(trust).only_tls_13().protocols(&[ALPN_QUIC]);
            let (endpoint, config) = quic(runtime, tls, Some(&address)).await?;
            let pool = ConnectionPool::new(runtime, endpoint.clone(), config, PoolLimits::default());
            Ok((Client::quic(runtime, pool, address, name, settings), Some(endpoint)))
        }
        Some(trust) => {
            let tls = options(trust).protocols(&[ALPN_TLS]).config().map_err(Failure::new)?;
            Ok((Client::tls(runtime, address, name, Arc::new(tls), settings), None))
        }
        None if ask.tcp => Ok((Client::tcp(runtime, address, settings), None)),
        None => Ok((Client::udp(runtime, &addresses, settings), None)),
    }
}

/// A socket of the server's address family, and how to connect from it.
async fn quic<R: Runtime>(
    runtime: &R,
    tls: ClientOptions,
    server: Option<&SocketAddr>,
) -> Result<(Endpoint<R>, ClientConfig), Failure> {
    let tls = tls.config().map_err(Failure::new)?;
    let config = ClientConfig::new(Arc::new(tls), &Transport::default()).map_err(Failure::new)?;
    let any = match server {
        Some(SocketAddr::V6(_)) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        _ => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
    };
    let endpoint = Endpoint::client(runtime, any, &EndpointConfig::default()).await;
    Ok((endpoint.map_err(Failure::new)?, config))
}

/// An answer in dig's manner.
fn shown(answered: &Answered, server: &str) -> String {
    let message = &answered.reply.message;
    let mut out = String::new();
    if let Some(why) = answered.fell_back {
        let why = match why {
            WhyStream::Truncated => "the answer did not fit into a datagram",
            WhyStream::WrongAnswers => "too many wrong answers came",
            WhyStream::Case => "the server does not repeat the case of letters",
            _ => "the answer over UDP could not be read",
        };
        let _ = writeln!(out, ";; {why}: asked over TCP");
    }
    let status = format!("{:?}", message.response_code).to_ascii_uppercase();
    let _ =
        writeln!(out, ";; ->>HEADER<<- opcode: {}, status: {status}, id: {}", message.op_code, message.id);
    let _ = writeln!(
        out,
        ";; flags: {}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}",
        flags(message),
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len() + usize::from(message.edns.is_some()),
    );
    if let Some(edns) = &message.edns {
        let dnssec = if edns.flags().dnssec_ok { " do" } else { "" };
        let _ = writeln!(
            out,
            "\n;; OPT PSEUDOSECTION:\n; EDNS: version: {}, flags:{dnssec}; udp: {}",
            edns.version(),
            edns.max_payload()
        );
    }
    let _ = writeln!(out, "\n;; QUESTION SECTION:");
    for query in &message.queries {
        let _ = writeln!(out, ";{}\t\t{}\t{}", query.name(), query.query_class(), query.query_type());
    }
    section(&mut out, "ANSWER", &message.answers);
    section(&mut out, "AUTHORITY", &message.authorities);
    section(&mut out, "ADDITIONAL", &message.additionals);
    let _ = writeln!(out, "\n;; Query time: {:.3} ms", answered.took.as_secs_f64() * 1e3);
    let server = answered.server.map_or_else(|| server.to_owned(), |address| address.to_string());
    let _ = writeln!(out, ";; SERVER: {server} ({})", answered.transport);
    if answered.wrong.total() > 0 {
        let wrong = answered.wrong;
        let _ = writeln!(
            out,
            ";; WRONG ANSWERS: {} (source {}, shape {}, id {}, question {}, case {}, unreadable {})",
            wrong.total(),
            wrong.source,
            wrong.shape,
            wrong.id,
            wrong.question,
            wrong.case,
            wrong.malformed
        );
    }
    let _ = writeln!(out, ";; MSG SIZE  rcvd: {}", answered.reply.length);
    out
}

fn flags(message: &Message) -> String {
    let flags = [
        ("qr", true),
        ("aa", message.authoritative),
        ("tc", message.truncation),
        ("rd", message.recursion_desired),
        ("ra", message.recursion_available),
        ("ad", message.authentic_data),
        ("cd", message.checking_disabled),
    ];
    flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn section(out: &mut String, name: &str, records: &[Record]) {
    if records.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n;; {name} SECTION:");
    for record in records {
        let (kind, data) = (record.record_type(), &record.data);
        let _ = writeln!(out, "{}\t{}\t{}\t{kind}\t{data}", record.name, record.ttl, record.dns_class);
    }
}
