//! `eth_subscribe` and `eth_unsubscribe`: `newHeads`, `logs`, `newPendingTransactions`.
//!
//! A block is told of once it is durable, and is final then: nothing is ever removed again. Transactions cannot be seen
//! before their block, so that `newPendingTransactions` tells the hashes of those that were just included.

use super::feed::{Feed, Log, News};
use super::params::{Params, wrong};
use futures_util::stream::{BoxStream, Stream as _, StreamExt as _, unfold};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shroud_crypto::{Address, Hash};
use shroud_ghostwire::rpc::{Behind, Code, Json, RpcError, Subscriber};
use shroud_runtime::Runtime;
use shroud_runtime::sync::broadcast::RecvError;
use shroud_wire::hex;
use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Subscriptions of one connection.
const SUBSCRIPTIONS: usize = 128;

/// Addresses, and topics at each place, of one filter.
const FILTER_ITEMS: usize = 256;

/// The subscriptions of one connection.
pub struct Subscribed<R: Runtime> {
    runtime: R,
    feed: Feed<R>,
    subscriptions: Vec<Subscription>,
    /// Blocks, while there are subscriptions.
    blocks: Option<BoxStream<'static, Result<Arc<News>, RecvError>>>,
    /// The block that is being told of.
    telling: Option<Telling>,
}

/// How far the telling of a block has come: one notification is made at a time, however many events it has.
struct Telling {
    news: Arc<News>,
    /// The place of the subscription...
    subscription: usize,
    /// ...and of the next item for it.
    item: usize,
}

struct Subscription {
    id: String,
    kind: Kind,
}

enum Kind {
    Heads,
    Transactions,
    Logs(Filter),
}

/// Which events are wanted (`eth_newFilter`'s rules): any of the addresses, and at each place any of the topics.
#[derive(Debug, Default)]
struct Filter {
    /// Empty: all.
    addresses: Vec<Address>,
    /// Empty at a place: all.
    topics: Vec<Vec<Hash>>,
}

impl<R: Runtime> Subscribed<R> {
    pub(super) fn new(runtime: R, feed: Feed<R>) -> Self {
        Self { runtime, feed, subscriptions: Vec::new(), blocks: None, telling: None }
    }

    fn subscribe(&mut self, params: &Params<'_>) -> Result<Json, RpcError> {
        let name: String =
            params.get(0, "subscription")?.ok_or_else(|| wrong("subscription", "it is missing"))?;
        let kind = match name.as_str() {
            "newHeads" => Kind::Heads,
            "logs" => Kind::Logs(Filter::read(params)?),
            "newPendingTransactions" => match params.get::<bool>(1, "whole transactions")? {
                None | Some(false) => Kind::Transactions,
                Some(true) => return Err(wrong("whole transactions", "only hashes are told")),
            },
            other => return Err(wrong("subscription", format_args!("there is no {other:?} here"))),
        };
        if self.subscriptions.len() >= SUBSCRIPTIONS {
            let message = format!("at most {SUBSCRIPTIONS} subscriptions in a connection");
            return Err(RpcError::new(Code::LIMIT_EXCEEDED, message));
        }
        let mut id = [0; 16];
        self.runtime.fill(&mut id);
        let id = hex::data(&id);
        if self.blocks.is_none() {
            let receive = |mut receiver: shroud_runtime::sync::broadcast::Receiver<_>| async move {
                let received = receiver.recv().await;
                Some((received, receiver))
            };
            self.blocks = Some(unfold(self.feed.subscribe(), receive).boxed());
        }
        let answer = Json::string(&id);
        self.subscriptions.push(Subscription { id, kind });
        Ok(answer)
    }

    fn unsubscribe(&mut self, params: &Params<'_>) -> Result<Json, RpcError> {
        let id: String =
            params.get(0, "subscription")?.ok_or_else(|| wrong("subscription", "it is missing"))?;
        let Some(place) = self.subscriptions.iter().position(|subscription| subscription.id == id) else {
            return Err(RpcError::new(Code::INVALID_PARAMS, "there is no such subscription"));
        };
        self.subscriptions.remove(place);
        if let Some(telling) = &mut self.telling {
            telling.removed(place);
        }
        if self.subscriptions.is_empty() {
            (self.blocks, self.telling) = (None, None);
        }
        Ok(Json::TRUE)
    }

    /// The next notification of the block that is being told of.
    fn next(&mut self) -> Option<Json> {
        let telling = self.telling.as_mut()?;
        while let Some(Subscription { id, kind }) = self.subscriptions.get(telling.subscription) {
            let Some(result) = telling.next(kind) else {
                telling.subscription += 1;
                telling.item = 0;
                continue;
            };
            let start =
                "{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{\"subscription\":\"";
            return Json::joined(&[start, id, "\",\"result\":", result.as_str(), "}}"]).ok();
        }
        self.telling = None;
        None
    }
}

impl Telling {
    /// The next item that a subscription wants.
    fn next(&mut self, kind: &Kind) -> Option<Json> {
        let Self { news, item, .. } = self;
        match kind {
            Kind::Heads => (std::mem::replace(item, 1) == 0).then(|| news.head.clone()),
            Kind::Transactions => {
                let hash = news.transactions.get(*item)?;
                *item += 1;
                Some(Json::string(&hex::data(&hash.0)))
            }
            Kind::Logs(filter) => {
                let rest = news.logs.get(*item..)?;
                let place = rest.iter().position(|log| filter.wants(log))?;
                *item += place + 1;
                rest.get(place).map(|log| log.shown.clone())
            }
        }
    }

    /// A subscription was removed.
    fn removed(&mut self, place: usize) {
        match place.cmp(&self.subscription) {
            Ordering::Less => self.subscription -= 1,
            Ordering::Equal => self.item = 0,
            Ordering::Greater => {}
        }
    }
}

impl<R: Runtime> Subscriber for Subscribed<R> {
    fn call(&mut self, method: &str, params: Option<&RawValue>) -> Option<Result<Json, RpcError>> {
        match method {
            "eth_subscribe" => Some(Params::read(params, 1, 2).and_then(|params| self.subscribe(&params))),
            "eth_unsubscribe" => {
                Some(Params::read(params, 1, 1).and_then(|params| self.unsubscribe(&params)))
            }
            _ => None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Json, Behind>> {
        loop {
            if let Some(notification) = self.next() {
                return Poll::Ready(Ok(notification));
            }
            let Some(blocks) = &mut self.blocks else { return Poll::Pending };
            match ready!(Pin::new(blocks).poll_next(cx)) {
                Some(Ok(news)) => self.telling = Some(Telling { news, subscription: 0, item: 0 }),
                Some(Err(RecvError::Lagged(_))) => return Poll::Ready(Err(Behind)),
                // The feed has ended with the node.
                _ => self.blocks = None,
            }
        }
    }
}

impl Filter {
    fn read(params: &Params<'_>) -> Result<Self, RpcError> {
        let Some(fields) = params.get::<Map<String, Value>>(1, "filter")? else { return Ok(Self::default()) };
        let addresses = one_or_many(fields.get("address"), "address")?;
        let topics = match fields.get("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(places)) if places.len() <= 4 => {
                places.iter().map(|place| one_or_many(Some(place), "topics")).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(wrong("topics", "it must be a list of at most 4 places")),
        };
        Ok(Self { addresses, topics })
    }

    fn wants(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.contract);
        address
            && self.topics.iter().enumerate().all(|(place, wanted)| {
                wanted.is_empty() || log.topics.get(place).is_some_and(|topic| wanted.contains(topic))
            })
    }
}

/// A value, a list of values, or nothing.
fn one_or_many<T: std::str::FromStr>(value: Option<&Value>, name: &str) -> Result<Vec<T>, RpcError>
where
    T::Err: std::fmt::Display,
{
    let read = |value: &Value| {
        let text = value.as_str().ok_or_else(|| wrong(name, "it must be text"))?;
        text.parse().map_err(|error| wrong(name, error))
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > FILTER_ITEMS => {
            Err(wrong(name, format_args!("at most {FILTER_ITEMS} values")))
        }
        Some(Value::Array(values)) => values.iter().map(read).collect(),
        Some(value) => Ok(vec![read(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<Filter, RpcError> {
        let raw = RawValue::from_string(format!("[\"logs\",{text}]")).unwrap();
        Filter::read(&Params::read(Some(&raw), 1, 2).unwrap())
    }

    fn log(contract: u8, topics: &[u8]) -> Log {
        Log {
            contract: Address([contract; 20]),
            topics: topics.iter().map(|byte| Hash([*byte; 32])).collect(),
            shown: Json::NULL,
        }
    }

    #[test]
    fn filters_follow_ethereums_rules() {
        let address = |byte: u8| format!("\"0x{}\"", format!("{byte:02x}").repeat(20));
        let topic = |byte: u8| format!("\"0x{}\"", format!("{byte:02x}").repeat(32));
        let cases = [
            ("{}".to_owned(), [true, true, true]),
            (format!("{{\"address\":{}}}", address(1)), [true, true, false]),
            (format!("{{\"address\":[{},{}]}}", address(1), address(2)), [true, true, true]),
            (format!("{{\"topics\":[{}]}}", topic(7)), [true, false, true]),
            (format!("{{\"topics\":[null,{}]}}", topic(8)), [true, false, false]),
            (format!("{{\"topics\":[[{},{}]]}}", topic(7), topic(9)), [true, true, true]),
            (format!("{{\"address\":{},\"topics\":[[],{}]}}", address(2), topic(8)), [false, false, false]),
        ];
        let logs = [log(1, &[7, 8]), log(1, &[9]), log(2, &[7])];
        for (text, wanted) in cases {
            let filter = filter(&text).unwrap();
            assert_eq!(logs.each_ref().map(|log| filter.wants(log)), wanted, "{text}");
        }
        for bad in ["{\"address\":1}", "{\"topics\":[1]}", "{\"topics\":[[],[],[],[],[]]}", "7"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
        let many = |count: usize| format!("{{\"address\":[{}]}}", vec![address(1); count].join(","));
        assert!(filter(&many(FILTER_ITEMS)).is_ok() && filter(&many(FILTER_ITEMS + 1)).is_err());
    }
}
