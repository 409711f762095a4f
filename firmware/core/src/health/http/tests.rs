use super::*;
use alloc::string::ToString;
use proptest::prelude::*;

fn check(host: Option<&str>) -> HttpCheck {
    HttpCheck {
        path: "/x?y=1".parse().unwrap(),
        host: host.map(|h| h.parse().unwrap()),
        status: Default::default(),
    }
}

fn dialogue() -> Dialogue {
    Dialogue::new("10.0.0.1:80".parse().unwrap(), &check(None))
}

fn answer(bytes: &[u8]) -> Step {
    dialogue().feed(bytes)
}

fn why(step: Step) -> String {
    match step {
        Step::Done(Err(words)) => words,
        other @ (Step::NeedMore | Step::Done(Ok(()))) => panic!("expected a failure, got {other:?}"),
    }
}

fn host_line(target: &str, host: Option<&str>) -> String {
    let dialogue = Dialogue::new(target.parse().unwrap(), &check(host));
    let text = String::from_utf8(dialogue.request().to_vec()).unwrap();
    text.lines().find_map(|l| l.strip_prefix("Host: ")).unwrap().to_string()
}

#[test]
fn the_request_is_complete_and_asks_to_close() {
    let dialogue = dialogue();
    let text = core::str::from_utf8(dialogue.request()).unwrap();
    assert_eq!(
        text,
        "GET /x?y=1 HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: director-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn the_host_header_fits_address_family_and_port() {
    assert_eq!(host_line("10.0.0.1:8080", None), "10.0.0.1:8080");
    assert_eq!(host_line("[2001:db8::1]:80", None), "[2001:db8::1]");
    assert_eq!(host_line("[2001:db8::1]:8080", None), "[2001:db8::1]:8080");
    assert_eq!(host_line("10.0.0.1:8080", Some("www.example.com")), "www.example.com");
    assert_eq!(host_line("10.0.0.1:80", Some("2001:db8::7")), "[2001:db8::7]");
}

#[test]
fn the_status_decides_when_the_header_is_complete() {
    assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\n"), Step::Done(Ok(())));
    assert_eq!(answer(b"HTTP/1.0 200 OK\nServer: old\n\nbody"), Step::Done(Ok(())));
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), Step::NeedMore);
    assert_eq!(why(answer(b"HTTP/1.1 503 No\r\n\r\n")), "status 503, wanted 200-299");
    let one = HttpCheck { status: "404".parse().unwrap(), ..check(None) };
    let step = Dialogue::new("10.0.0.1:80".parse().unwrap(), &one).feed(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(why(step), "status 200, wanted 404");
}

#[test]
fn interim_answers_are_passed_over() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(answer(bytes), Step::Done(Ok(())));
    assert_eq!(why(answer(b"HTTP/1.1 101 Switch\r\n\r\n")), "status 101, wanted 200-299");
}

#[test]
fn garbage_is_refused_at_its_first_byte_and_quoted() {
    assert!(why(answer(b"220 mail")).ends_with("\"220 mail\""));
    assert!(why(answer(b"\x1b[2J")).ends_with(r#""\x1b[2J""#));
    assert!(matches!(answer(b"HTTP/9.9 200 OK\r\n\r\n"), Step::Done(Err(_))));
    assert!(matches!(answer(b"HTTP/1.1 2xx OK\r\n\r\n"), Step::Done(Err(_))));
}

#[test]
fn an_endless_header_is_cut_off() {
    let mut dialogue = dialogue();
    assert_eq!(dialogue.feed(b"HTTP/1.1 200 OK\r\nX: "), Step::NeedMore);
    let mut fed = 0;
    let step = loop {
        let step = dialogue.feed(&[b'a'; 1000]);
        fed += 1000;
        if step != Step::NeedMore {
            break step;
        }
        assert!(fed < 2 * HEADER_BYTES_MAX);
    };
    assert_eq!(why(step), "header longer than 16 KiB");
    let many = "a: b\r\n".repeat(FIELDS_MAX + 1);
    assert_eq!(
        why(answer(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes())),
        "more than 128 header fields"
    );
}

#[test]
fn endless_interim_answers_are_cut_off() {
    let mut dialogue = dialogue();
    let step = (0..HEADER_BYTES_MAX)
        .map(|_| dialogue.feed(b"HTTP/1.1 100 Continue\r\n\r\n"))
        .find(|step| *step != Step::NeedMore);
    assert_eq!(why(step.unwrap()), "header longer than 16 KiB");
}

#[test]
fn an_early_close_says_how_far_it_came() {
    let mut dialogue = dialogue();
    assert_eq!(dialogue.closed(), "connection closed without an answer");
    assert_eq!(dialogue.feed(b"HTTP/1.1 2"), Step::NeedMore);
    assert_eq!(dialogue.closed(), "connection closed inside the header, after \"HTTP/1.1 2\"");
}

proptest! {
    #[test]
    fn the_split_of_an_answer_does_not_matter(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "(HTTP/1\\.[01] [0-9]{3} [a-z]{0,5}\r?\n([a-z]{1,5}: [a-z]{0,5}\r?\n){0,3}\r?\n){0,3}".prop_map(String::into_bytes),
        ],
        cut in 1_usize..50,
    ) {
        let mut whole = dialogue();
        let at_once = whole.feed(&bytes);
        let mut pieces = dialogue();
        let in_pieces = bytes.chunks(cut).map(|c| pieces.feed(c)).find(|s| *s != Step::NeedMore);
        // What is quoted may differ in length; the decision may not.
        let good = |step: &Step| match step {
            Step::NeedMore => None,
            Step::Done(result) => Some(result.is_ok()),
        };
        prop_assert_eq!(good(&at_once), in_pieces.as_ref().and_then(good));
    }
}
