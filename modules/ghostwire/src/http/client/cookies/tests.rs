use super::*;
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

fn learn(cookies: &Cookies, from: &str, sets: &[&str]) {
    let mut fields = HeaderMap::new();
    for set in sets {
        fields.append(SET_COOKIE, HeaderValue::from_str(set).unwrap());
    }
    cookies.learn(&uri(from), &fields, NOW);
}

fn sent_at(cookies: &Cookies, to: &str, now: Duration) -> String {
    let mut fields = HeaderMap::new();
    cookies.add_to(&uri(to), &mut fields, now);
    fields.get(COOKIE).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

fn sent(cookies: &Cookies, to: &str) -> String {
    sent_at(cookies, to, NOW)
}

/// What is sent to each after one has set that.
fn after(cookies: &Cookies, from: &str, set: &str, expected: &[(&str, &str)]) {
    cookies.clear();
    learn(cookies, from, &[set]);
    for (to, cookie) in expected {
        assert_eq!(sent(cookies, to), *cookie, "{set} of {from} to {to}");
    }
}

#[test]
fn a_cookie_goes_back_to_its_host_and_path() {
    let cookies = Cookies::new();
    after(
        &cookies,
        "http://a.test/x/y",
        "n=v; HttpOnly; SameSite=Lax; unknown",
        &[
            ("http://a.test/x/y", "n=v"),
            ("http://A.TEST:81/x/z/1", "n=v"),
            ("https://a.test/x", "n=v"),
            ("http://a.test/xy", ""),
            ("http://a.test/", ""),
            ("http://b.test/x/y", ""),
            ("http://sub.a.test/x/y", ""),
        ],
    );
    after(&cookies, "http://a.test/x/y", "n=v; Path=/", &[("http://a.test/", "n=v")]);
    after(
        &cookies,
        "http://a.test/x/y",
        "n=v; Path=no",
        &[("http://a.test/", ""), ("http://a.test/x/", "n=v")],
    );
    after(&cookies, "http://[::1]:8/", " n = v=w ;", &[("http://[::1]:9/", "n=v=w"), ("http://[::2]/", "")]);
    for none in ["", "n", "=v", ";n=v"] {
        after(&cookies, "http://a.test/", none, &[("http://a.test/", "")]);
    }
}

#[test]
fn longer_paths_and_older_cookies_come_first_and_behind_the_requests_own() {
    let cookies = Cookies::new();
    learn(&cookies, "http://a.test/x/", &["a=1; path=/", "b=2", "c=3; path=/", "a=4; path=/"]);
    assert_eq!(sent(&cookies, "http://a.test/x/"), "b=2; a=4; c=3");
    let mut fields = HeaderMap::new();
    fields.insert(COOKIE, HeaderValue::from_static("own=0"));
    cookies.add_to(&uri("http://a.test/"), &mut fields, NOW);
    assert_eq!(fields[COOKIE], "own=0; a=4; c=3");
    // Whatever the request's own are.
    let mut fields = HeaderMap::new();
    fields.append(COOKIE, HeaderValue::from_bytes(b"own=\xe9").unwrap());
    fields.append(COOKIE, HeaderValue::from_static("more=1"));
    let before = fields.clone();
    cookies.add_to(&uri("http://b.test/"), &mut fields, NOW);
    assert_eq!(fields, before);
    cookies.add_to(&uri("http://a.test/"), &mut fields, NOW);
    assert_eq!(fields.get_all(COOKIE).iter().count(), 1);
    assert_eq!(fields[COOKIE].as_bytes(), b"own=\xe9; more=1; a=4; c=3");
}

#[test]
fn cookies_end_when_they_say() {
    let cookies = Cookies::new();
    let later = |seconds| NOW + Duration::from_secs(seconds);
    learn(
        &cookies,
        "http://a.test/",
        &["a=1; max-age=10", "b=2; expires=Sun, 06 Nov 2050 08:49:37 GMT", "c=3"],
    );
    learn(&cookies, "http://a.test/", &["d=4; max-age=20; expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(sent_at(&cookies, "http://a.test/", later(9)), "a=1; b=2; c=3; d=4");
    assert_eq!(sent_at(&cookies, "http://a.test/", later(10)), "b=2; c=3; d=4");
    // 400 days at most.
    assert_eq!(sent_at(&cookies, "http://a.test/", later(400 * 86_400 - 1)), "b=2; c=3");
    assert_eq!(sent_at(&cookies, "http://a.test/", later(400 * 86_400)), "c=3");
    for removal in ["c=; max-age=0", "c=; max-age=-1", "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        learn(&cookies, "http://a.test/", &["c=3"]);
        learn(&cookies, "http://a.test/", &[removal]);
        assert!(cookies.is_empty(), "{removal}");
    }
    // What is no number or date counts for nothing.
    learn(&cookies, "http://a.test/", &["a=1; max-age=soon; expires=never"]);
    assert_eq!(sent_at(&cookies, "http://a.test/", later(10_000_000_000)), "a=1");
}

#[test]
fn nobody_sets_cookies_for_others() {
    let owned = |domain: &str| domain == "a.test" || domain == "sub.a.test";
    let cookies = Cookies::spanning(owned);
    after(
        &cookies,
        "http://sub.a.test/",
        "n=v; Domain=.A.test",
        &[
            ("http://a.test/", "n=v"),
            ("http://x.y.a.test/", "n=v"),
            ("http://ba.test/", ""),
            ("http://test/", ""),
        ],
    );
    after(&cookies, "http://sub.a.test/", "n=v; Domain=sub.a.test", &[("http://x.sub.a.test/", "n=v")]);
    for foreign in ["other.test", "x.sub.a.test", "test", "b.a.test"] {
        after(
            &cookies,
            "http://sub.a.test/",
            &format!("n=v; Domain={foreign}"),
            &[("http://sub.a.test/", "")],
        );
    }
    // A public suffix may have cookies of its own; an address is in no domain.
    after(&cookies, "http://test/", "n=v; Domain=test", &[("http://test/", "n=v"), ("http://a.test/", "")]);
    after(
        &Cookies::spanning(|_| true),
        "http://127.0.0.1/",
        "n=v; Domain=0.0.1",
        &[("http://127.0.0.1/", "")],
    );
    // Without a list there are no domains.
    let only = Cookies::new();
    after(
        &only,
        "http://sub.a.test/",
        "n=v; Domain=a.test",
        &[("http://sub.a.test/", "n=v"), ("http://a.test/", "")],
    );
    after(&only, "http://sub.a.test/", "n=v; Domain=b.test", &[("http://sub.a.test/", "")]);
}

#[test]
fn what_is_secure_stays_so() {
    let cookies = Cookies::new();
    after(&cookies, "https://a.test/", "n=v; Secure", &[("https://a.test/", "n=v"), ("http://a.test/", "")]);
    learn(&cookies, "http://a.test/", &["n=forged", "n=forged; path=/x"]);
    assert_eq!(sent(&cookies, "https://a.test/x"), "n=v");
    learn(&cookies, "https://a.test/", &["n=open"]);
    assert_eq!(sent(&cookies, "http://a.test/"), "n=open");
    for (from, set, kept) in [
        ("http://a.test/", "n=v; Secure", false),
        ("https://a.test/", "__Secure-n=v", false),
        ("https://a.test/", "__secure-n=v; Secure", true),
        ("https://a.test/", "__Host-n=v; Secure", false),
        ("https://a.test/", "__Host-n=v; Secure; Path=/; Domain=a.test", false),
        ("https://a.test/", "__Host-n=v; Secure; Path=/", true),
    ] {
        cookies.clear();
        learn(&cookies, from, &[set]);
        assert_eq!(!cookies.is_empty(), kept, "{set} of {from}");
    }
}

#[test]
fn limits_hold() {
    let cookies = Cookies::new();
    let at = "n=".to_owned() + &"v".repeat(COOKIE_BYTES - 1);
    learn(&cookies, "http://a.test/", &[&at]);
    assert_eq!(sent(&cookies, "http://a.test/").len(), COOKIE_BYTES + 1);
    learn(&cookies, "http://b.test/", &[&(at + "v")]);
    assert_eq!(sent(&cookies, "http://b.test/"), "");
    let long = format!("n=v; path=/{}", "x".repeat(1024));
    after(&cookies, "http://a.test/", &long, &[("http://a.test/", "n=v")]);
    cookies.clear();
    for n in 0..=COOKIES_OF_A_DOMAIN {
        learn(&cookies, "http://a.test/", &[&format!("c{n}=v")]);
        assert_eq!(cookies.len(), (n + 1).min(COOKIES_OF_A_DOMAIN));
    }
    let all = sent(&cookies, "http://a.test/");
    assert!(!all.contains("c0=") && all.contains("c1=") && all.contains("c50="), "{all}");
    cookies.clear();
    for n in 0..=COOKIES {
        learn(&cookies, &format!("http://h{n}.test/"), &["c=v"]);
    }
    assert_eq!(cookies.len(), COOKIES);
    assert_eq!(
        (sent(&cookies, "http://h0.test/"), sent(&cookies, "http://h1.test/")),
        (String::new(), "c=v".into())
    );
}

proptest! {
    /// Whatever servers say, the field that goes back can be sent, and holds no more than was kept.
    #[test]
    fn any_field_is_taken_or_passed_over(text in "[ -~\\t]{0,80}", rest in "(; ?(expires|max-age|domain|path|secure)=[ -~]{0,30}){0,4}") {
        let cookies = Cookies::spanning(|_| true);
        learn(&cookies, "https://sub.a.test/x/y", &[&(text + &rest)]);
        prop_assert!(cookies.len() <= 1);
        let back = sent(&cookies, "https://sub.a.test/x/y");
        prop_assert!(back.len() <= COOKIE_BYTES + 1);
        prop_assert!(!back.contains(';') && !back.contains(['\r', '\n']));
        prop_assert_eq!(sent(&cookies, "https://elsewhere.test/x/y"), "");
    }
}
