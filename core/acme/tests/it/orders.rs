use crate::authority::{CHAIN, answer, problem};
use crate::pair::Pair;
use serde_json::json;
use shroud_acme::Order;
use shroud_acme::limits::{LONGEST_PAUSE, MAX_NONCES, MAX_POLLS, MAX_RESPONSE, MAX_TIME};
use shroud_acme::{Error, Response, Step};
use std::time::{Duration, Instant};

#[test]
fn a_certificate_for_several_names_is_obtained() {
    let mut pair = Pair::new(&["a.test", "B.test"]);
    (pair.authority.slow_authorizations, pair.authority.slow_orders) = (2, 3);
    let issued = pair.run().unwrap();
    assert_eq!((issued.chain.as_str(), issued.account.as_str()), (CHAIN, "https://ca.test/account/0"));
    assert_eq!(pair.authority.csr, b"a request");
    assert_eq!(pair.authority.contact, json!(["mailto:a@a.test"]));
    assert!(pair.took < Duration::from_secs(15), "{:?}", pair.took);
}

#[test]
fn the_same_key_finds_its_account_again() {
    let mut pair = Pair::new(&["a.test"]);
    let first = pair.run().unwrap().account;
    let (mut again, accounts) = (Pair::new(&["b.test"]), std::mem::take(&mut pair.authority.accounts));
    (again.key, again.authority.accounts) = (pair.key.clone(), accounts);
    assert_eq!(again.run().unwrap().account, first);
    assert_eq!(again.authority.accounts.len(), 1);
}

#[test]
fn a_refused_nonce_is_replaced_and_so_are_several_but_not_for_ever() {
    let mut pair = Pair::new(&["a.test"]);
    pair.authority.bad_nonces = MAX_NONCES - 1;
    assert!(pair.run().is_ok());
    // The answers brought the new ones: only the first was asked for.
    assert_eq!(pair.authority.log.iter().filter(|path| *path == "/nonce").count(), 1);
    let mut pair = Pair::new(&["a.test"]);
    pair.authority.bad_nonces = MAX_NONCES;
    assert_eq!(pair.run(), Err(Error::Nonces(Step::Account)));
}

#[test]
fn a_name_that_is_not_believed_is_named_with_the_reason() {
    let mut pair = Pair::new(&["a.test", "b.test"]);
    pair.authority.unauthorized.insert("a.test".into(), "connection refused");
    let error = pair.run().unwrap_err();
    assert_eq!(error.to_string(), "a.test: the server could not verify it: connection: connection refused");
}

#[test]
fn a_server_without_the_challenge_is_no_use() {
    let mut pair = Pair::new(&["a.test"]);
    pair.authority.no_challenge = true;
    assert_eq!(pair.run(), Err(Error::NoChallenge("a.test".into())));
}

#[test]
fn terms_must_be_agreed_to() {
    let mut pair = Pair::new(&["a.test"]);
    pair.config.terms_agreed = false;
    assert_eq!(pair.run(), Err(Error::Terms("https://ca.test/terms".into())));
    assert_eq!(pair.authority.log, ["/directory"]);
}

#[test]
fn external_accounts_are_refused_with_the_reason() {
    let mut pair = Pair::new(&["a.test"]);
    let directory = json!({ "newNonce": "https://ca.test/nonce", "newAccount": "https://ca.test/account",
        "newOrder": "https://ca.test/order", "meta": { "externalAccountRequired": true } });
    pair.authority.instead.insert("/directory", answer(200, &directory));
    assert_eq!(pair.run(), Err(Error::ExternalAccount));
}

#[test]
fn a_rate_limit_says_when_to_come_again() {
    let mut pair = Pair::new(&["a.test"]);
    let limited =
        Response { retry_after: Some(Duration::from_secs(3600)), ..problem(429, "rateLimited", "too many") };
    pair.authority.instead.insert("/order", limited);
    let error = pair.run().unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    let expected =
        "asked for a new order, the server's limit is reached (try again in 3600 s): rateLimited: too many";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_server_that_is_down_is_said_to_be() {
    let mut pair = Pair::new(&["a.test"]);
    let down = Response { status: 503, body: b"<html>later".to_vec(), ..Response::default() };
    pair.authority.instead.insert("/directory", down);
    let error = pair.run().unwrap_err().to_string();
    assert_eq!(error, "asked for the directory, the server answered 503: no reason of ACME's: <html>later");
}

#[test]
fn questions_how_things_are_go_on_after_failures() {
    let mut pair = Pair::new(&["a.test", "b.test"]);
    (pair.lossy, pair.authority.slow_authorizations, pair.authority.slow_orders) = (true, 2, 2);
    pair.run().unwrap();
    // Each step that makes something was taken once.
    for step in ["/account", "/order", "/finalize/1"] {
        assert_eq!(
            pair.authority.log.iter().filter(|path| *path == step).count(),
            1,
            "{:?}",
            pair.authority.log
        );
    }
    let mut order = Order::new(pair.config, Box::new(pair.key), Instant::now()).unwrap();
    assert!(!order.handle_unanswered(Instant::now()), "what is not such a question is not repeated");
}

#[test]
fn an_order_that_stays_pending_ends_in_time() {
    let mut pair = Pair::new(&["a.test"]);
    pair.authority.slow_authorizations = u32::MAX;
    assert_eq!(pair.run(), Err(Error::Overdue));
    assert!(pair.took >= MAX_TIME && pair.took < MAX_TIME + Duration::from_secs(1));
    // It is not asked more often than need be.
    assert!(pair.authority.log.len() < 50, "{}", pair.authority.log.len());
}

#[test]
fn a_server_that_wants_to_be_asked_at_once_is_asked_so_often_and_no_more() {
    let looks = |more| {
        let mut pair = Pair::new(&["a.test"]);
        pair.authority.retry_after = Some(Duration::ZERO);
        // Beside the first look after the challenge, and the one after finalizing.
        pair.authority.slow_authorizations = MAX_POLLS - 2 + more;
        pair.run()
    };
    assert!(looks(0).is_ok());
    assert_eq!(looks(1), Err(Error::Polls));
}

#[test]
fn retry_after_is_obeyed_up_to_a_limit() {
    let took = |after| {
        let mut pair = Pair::new(&["a.test"]);
        (pair.authority.retry_after, pair.authority.slow_orders) = (Some(after), 1);
        pair.run().unwrap();
        pair.took
    };
    let usual = took(Duration::ZERO);
    assert!(took(Duration::from_secs(7)) >= usual + Duration::from_secs(13));
    assert!(took(Duration::from_secs(100_000)) <= usual + 3 * LONGEST_PAUSE);
}

#[test]
fn an_invalid_order_says_why() {
    let mut pair = Pair::new(&["a.test"]);
    let invalid = json!({ "status": "invalid", "authorizations": [], "finalize": "https://ca.test/finalize/1",
        "error": { "type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids it" } });
    pair.authority.instead.insert("/finalize/1", answer(200, &invalid));
    assert_eq!(pair.run().unwrap_err().to_string(), "the order has failed: caa: CAA forbids it");
}

#[test]
fn answers_that_are_not_as_they_should_be_are_errors_that_name_the_step() {
    let order = |status: &str, authorizations: serde_json::Value, certificate: &str| {
        let body = json!({ "status": status, "authorizations": authorizations, "finalize": "https://ca.test/finalize/1", "certificate": certificate });
        Response { location: Some("https://ca.test/order/1".into()), ..answer(201, &body) }
    };
    let at = "https://ca.test/authorization/0";
    let foreign = json!({ "status": "pending", "identifier": { "type": "dns", "value": "other.test" } });
    let cases: Vec<(&'static str, Response, &str)> = vec![
        ("/directory", answer(200, &json!({})), "asked for the directory"),
        (
            "/nonce",
            Response { status: 200, nonce: Some("a b".into()), ..Response::default() },
            "no Replay-Nonce",
        ),
        ("/account", answer(201, &json!({})), "no Location"),
        (
            "/account",
            Response { location: Some("http://ca.test/".into()), ..answer(201, &json!({})) },
            "no Location",
        ),
        ("/order", answer(201, &json!({ "status": "pending" })), "no Location"),
        ("/order", order("pending", json!([]), "https://c/"), "0 authorizations"),
        ("/order", order("pending", json!([at, at]), "https://c/"), "2 authorizations"),
        ("/order", order("pending", json!(["file:///"]), "https://c/"), "is no https:// address"),
        ("/order", order("valid", json!([at]), "https://c/"), "before it was finalized"),
        ("/order", order("lost", json!([at]), "https://c/"), "unknown variant"),
        ("/authorization/0", answer(200, &foreign), "`other.test` was not ordered"),
        ("/certificate/1", answer(200, &json!("none")), "no PEM text"),
        ("/certificate/1", Response { status: 200, body: vec![0xff], ..Response::default() }, "no PEM text"),
    ];
    for (path, response, expected) in cases {
        let mut pair = Pair::new(&["a.test"]);
        pair.authority.instead.insert(path, response);
        let error = pair.run().unwrap_err().to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
}

#[test]
fn the_length_of_answers_has_a_limit() {
    let long = |length: usize| {
        let mut pair = Pair::new(&["a.test"]);
        let body = format!("{CHAIN}{}", "\n".repeat(length - CHAIN.len())).into_bytes();
        pair.authority
            .instead
            .insert("/certificate/1", Response { status: 200, body, ..Response::default() });
        pair.run()
    };
    assert!(long(MAX_RESPONSE).is_ok());
    assert_eq!(long(MAX_RESPONSE + 1), Err(Error::TooLong(Step::Certificate)));
}
