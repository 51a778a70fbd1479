//! The specification's examples (section 7), the limits, and hostile bytes.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small server: what the specification's examples assume.
fn answer(input: &str) -> Option<String> {
    answer_within(input, &Limits::default())
}

fn answer_within(input: &str, limits: &Limits) -> Option<String> {
    let mut out = Vec::new();
    match parse(input.as_bytes(), limits) {
        Err(Invalid { id, error }) => write_error(&mut out, id, &error),
        Ok(Message::Single(request)) => out = respond(Ok(request))?,
        Ok(Message::Batch(items)) => {
            let mut batch = BatchWriter::new();
            items.into_iter().filter_map(respond).for_each(|response| batch.push(&response));
            out = batch.finish()?;
        }
    }
    Some(String::from_utf8(out).unwrap())
}

fn respond(item: Item<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match item {
        Err(Invalid { id, error }) => write_error(&mut out, id, &error),
        Ok(request) => match (request.id?, call(&request.method, request.params.map(|raw| raw.get()))) {
            (id, Ok(result)) => write_result(&mut out, id, &result),
            (id, Err(error)) => write_error(&mut out, id, &error),
        },
    }
    Some(out)
}

fn call(method: &str, params: Option<&str>) -> Result<Json, RpcError> {
    let params: Value = serde_json::from_str(params.unwrap_or("null")).unwrap();
    match method {
        "subtract" => {
            let (a, b) = match &params {
                Value::Array(items) => (items[0].as_i64(), items[1].as_i64()),
                other => (other["minuend"].as_i64(), other["subtrahend"].as_i64()),
            };
            let (a, b) = a.zip(b).ok_or_else(|| RpcError::invalid_params("two numbers"))?;
            Ok(Json::new(&(a - b)).unwrap())
        }
        "sum" => {
            Ok(Json::new(&params.as_array().unwrap().iter().filter_map(Value::as_i64).sum::<i64>()).unwrap())
        }
        "get_data" => Ok(Json::new(&("hello", 5)).unwrap()),
        other => Err(RpcError::method_not_found(other)),
    }
}

fn value(text: Option<String>) -> Value {
    serde_json::from_str(&text.expect("an answer")).unwrap()
}

/// The error codes and ids of an answer, in order.
fn errors(input: &str) -> Vec<(i64, Value)> {
    let one = |value: &Value| (value["error"]["code"].as_i64().unwrap(), value["id"].clone());
    match value(answer(input)) {
        Value::Array(items) => items.iter().map(one).collect(),
        single => vec![one(&single)],
    }
}

#[test]
fn positional_and_named_parameters() {
    for (input, expected) in [
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#,
        ),
    ] {
        assert_eq!(value(answer(input)), serde_json::from_str::<Value>(expected).unwrap());
    }
}

#[test]
fn notifications_get_no_answer() {
    assert_eq!(answer(r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#), None);
    assert_eq!(answer(r#"{"jsonrpc": "2.0", "method": "foobar"}"#), None);
    assert_eq!(
        answer(
            r#"[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
               {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]"#
        ),
        None
    );
}

#[test]
fn faults_of_the_whole_message() {
    let null = Value::Null;
    assert_eq!(errors(r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#), [(-32601, json!("1"))]);
    assert_eq!(
        errors(r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#),
        [(-32700, null.clone())]
    );
    assert_eq!(errors(r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#), [(-32600, null.clone())]);
    assert_eq!(
        errors(
            r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]"#
        ),
        [(-32700, null.clone())]
    );
    assert_eq!(errors("[]"), [(-32600, null.clone())]);
    assert_eq!(errors(""), [(-32700, null.clone())]);
    assert_eq!(errors("7"), [(-32600, null.clone())]);
    assert_eq!(errors("null"), [(-32600, null.clone())]);
    assert_eq!(errors(r#""text""#), [(-32600, null.clone())]);
    assert_eq!(errors("{} {}"), [(-32700, null.clone())]);
    assert_eq!(errors("7 x"), [(-32700, null)]);
}

#[test]
fn faults_of_single_items() {
    let null = Value::Null;
    assert_eq!(errors("[1]"), [(-32600, null.clone())]);
    assert_eq!(errors("[1,2,3]"), [(-32600, null.clone()), (-32600, null.clone()), (-32600, null)]);
    assert!(answer("[1]").unwrap().starts_with('['), "a batch is answered with a batch");
}

#[test]
fn the_mixed_batch() {
    let input = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#;
    let answer = value(answer(input));
    assert_eq!(answer[0], json!({"jsonrpc": "2.0", "result": 7, "id": "1"}));
    assert_eq!(answer[1], json!({"jsonrpc": "2.0", "result": 19, "id": "2"}));
    assert_eq!((&answer[2]["error"]["code"], &answer[2]["id"]), (&json!(-32600), &Value::Null));
    assert_eq!((&answer[3]["error"]["code"], &answer[3]["id"]), (&json!(-32601), &json!("5")));
    assert_eq!(answer[4], json!({"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}));
    assert_eq!(answer.as_array().unwrap().len(), 5);
}

#[test]
fn ids_are_echoed_verbatim() {
    for id in ["1", "1.0", "-7", "1e3", "123456789012345678901234567890", "null", r#""a\u0062""#, r#""""#] {
        let input = format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
        assert_eq!(answer(&input).unwrap(), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":["hello",5]}}"#));
    }
    for id in ["true", "[1]", "{}", &format!("\"{}\"", "x".repeat(300))] {
        let input = format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
        assert_eq!(errors(&input), [(-32600, Value::Null)], "{id}");
    }
}

#[test]
fn invalid_requests_keep_an_id_that_can_be_told() {
    for input in [
        r#"{"jsonrpc":"1.0","method":"sum","id":4}"#,
        r#"{"method":"sum","id":4}"#,
        r#"{"jsonrpc":"2.0","id":4}"#,
        r#"{"jsonrpc":"2.0","method":null,"id":4}"#,
        r#"{"jsonrpc":"2.0","method":"sum","params":null,"id":4}"#,
        r#"{"jsonrpc":"2.0","method":"sum","params":"x","id":4}"#,
    ] {
        assert_eq!(errors(input), [(-32600, json!(4))], "{input}");
    }
    assert_eq!(errors(r#"{"jsonrpc":"2.0","method":"sum","id":4,"id":5}"#), [(-32600, Value::Null)]);
}

#[test]
fn escaped_method_names_are_decoded() {
    let input = r#"{"jsonrpc":"2.0","method":"get\u005fdata","id":1}"#;
    assert_eq!(value(answer(input))["result"], json!(["hello", 5]));
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 200, batch: 2, depth: 4 };
    let code = |input: &str| value(answer_within(input, &limits))["error"]["code"].clone();
    assert_eq!(code("[1,2,3]"), json!(-32600));
    assert_eq!(code(&" ".repeat(201)), json!(-32600));
    let nested = |levels: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"none","id":1,"params":{}{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert_eq!(code(&nested(3)), json!(-32601));
    assert_eq!(code(&nested(4)), json!(-32600));
    let quoted = r#"{"jsonrpc":"2.0","method":"none","id":1,"params":["[[[[\"[[[["]}"#;
    assert_eq!(code(quoted), json!(-32601), "brackets in strings do not count");
}

#[test]
fn a_tower_of_brackets_does_not_exhaust_the_stack() {
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    for text in ["[".repeat(1 << 20), format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20))] {
        assert!(matches!(parse(text.as_bytes(), &limits), Err(_) | Ok(Message::Batch(_))));
    }
}

#[test]
fn messages_are_escaped() {
    let error = RpcError::internal("a \"quoted\"\nline").with_data(Json::string("0x\"1"));
    let mut out = Vec::new();
    write_error(&mut out, Id::NULL, &error);
    let read: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(read["error"]["message"], json!("a \"quoted\"\nline"));
    assert_eq!(read["error"]["data"], json!("0x\"1"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("(jsonrpc|method|params|id|[a-z]*)", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes, &Limits::default());
    }

    #[test]
    fn no_json_is_called_a_parse_error_and_every_answer_is_json(document in any_json()) {
        let text = document.to_string();
        let limits = Limits::default();
        if let Err(invalid) = parse(text.as_bytes(), &limits) {
            prop_assert_eq!(invalid.error.code, Code::INVALID_REQUEST);
        }
        if let Ok(Message::Batch(items)) = parse(text.as_bytes(), &limits) {
            for item in items {
                if let Err(invalid) = item {
                    let mut out = Vec::new();
                    write_error(&mut out, invalid.id, &invalid.error);
                    prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
                }
            }
        }
    }

    #[test]
    fn requests_round_trip(method: String, id in any::<Option<i64>>(), params in any::<Vec<String>>()) {
        let mut request = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if let Some(id) = id {
            request["id"] = json!(id);
        }
        let text = request.to_string();
        let Ok(Message::Single(read)) = parse(text.as_bytes(), &Limits::default()) else {
            return Err(TestCaseError::fail("not a single request"));
        };
        prop_assert_eq!(&*read.method, &method);
        prop_assert_eq!(read.id.map(|id| id.as_str().to_owned()), id.map(|id| id.to_string()));
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(read.params.unwrap().get()).unwrap(), params);
    }

    #[test]
    fn truncated_messages_are_parse_errors(cut in 1_usize..60) {
        let text = r#"{"jsonrpc":"2.0","method":"sum","params":[1,2,4],"id":"12"}"#;
        let cut = &text[..cut.min(text.len() - 1)];
        let invalid = parse(cut.as_bytes(), &Limits::default()).unwrap_err();
        prop_assert_eq!(invalid.error.code, Code::PARSE_ERROR);
    }
}
