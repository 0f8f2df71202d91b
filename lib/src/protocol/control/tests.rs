//! Lines and answers, as documented and as anybody may write them.

use super::*;
use proptest::prelude::*;

fn token(text: &str) -> Token {
    Token::from(text)
}

#[test]
fn the_documented_lines_are_read_as_documented() {
    let with = |verb| Ok(Request { token: Some(token("abcdEF12")), verb, argument: "" });
    assert_eq!(parse(b"- restart"), Ok(Request { token: None, verb: Verb::Restart, argument: "" }));
    assert_eq!(parse(b"abcdEF12 start"), with(Verb::Start));
    assert_eq!(parse(b"abcdEF12  start nodeps"), with(Verb::StartAlone));
    assert_eq!(parse(b"abcdEF12 once"), with(Verb::Once));
    assert_eq!(parse(b"abcdEF12 restart 7"), with(Verb::RestartRun(7)));
    assert_eq!(parse(b"abcdEF12 stop"), with(Verb::Stop));
    assert_eq!(parse(b"abcdEF12 reload"), with(Verb::Reload));
    assert_eq!(parse(b"abcdEF12 signal hup"), with(Verb::Signal(1)));
    assert_eq!(parse(b"abcdEF12 shutdown"), with(Verb::Shutdown));
    assert_eq!(parse(b"abcdEF12 apply"), with(Verb::Apply { dry_run: false }));
    assert_eq!(parse(b"abcdEF12 apply dry-run"), with(Verb::Apply { dry_run: true }));
    let path = "/etc/my  services/web.yaml";
    let add = Request { token: None, verb: Verb::Add, argument: path };
    assert_eq!(parse(format!("- add  {path} ").as_bytes()), Ok(add));
    assert_eq!(parse(b"- forget web"), Ok(Request { token: None, verb: Verb::Forget, argument: "web" }));
}

#[test]
fn every_verb_in_the_table_is_known_to_the_parser() {
    for (verb, _) in VERBS {
        assert_ne!(parse(format!("- {verb}").as_bytes()).err(), Some((None, Reject::Verb)), "{verb}");
    }
}

#[test]
fn what_is_no_command_is_rejected_with_its_reason() {
    for (line, reject) in [
        (&b""[..], Reject::Token),
        (b"restart", Reject::Token),
        (b"short restart", Reject::Token),
        (b"-", Reject::Verb),
        (b"- fly", Reject::Verb),
        (b"- stop now", Reject::Argument),
        (b"- reload now", Reject::Argument),
        (b"- apply now", Reject::Argument),
        (b"- add", Reject::Argument),
        (b"- forget ", Reject::Argument),
        (b"- restart now", Reject::Argument),
        (b"- restart -1", Reject::Argument),
        (b"- restart 1 2", Reject::Argument),
        (b"- signal", Reject::Argument),
        (b"- signal NOPE", Reject::Argument),
        (b"- signal HUP HUP", Reject::Argument),
        (b"- stop\0", Reject::NotText),
        (b"\xff\xfe stop", Reject::NotText),
    ] {
        assert_eq!(parse(line), Err((None, reject)), "{}", line.escape_ascii());
    }
    assert_eq!(parse(b"abcdEF12 fly"), Err((Some(token("abcdEF12")), Reject::Verb)));
}

#[test]
fn a_record_is_one_line_of_fixed_length_that_cat_can_show() {
    let ack = Ack { token: token("abcdEF12"), progress: Progress::Done, at: 77, text: Text::from("pid=4711 merged") };
    let golden = format!("{:<191}\n", "abcdEF12 done 0 at=77 pid=4711 merged");
    assert_eq!(ack.encode(), golden.as_bytes());
    let progress = Progress::Accepted { verb: Verb::Signal(37), run: 3, merged: true };
    let ack = Ack { progress, text: Text::new(), ..ack };
    let golden = format!("{:<191}\n", "abcdEF12 accepted 0 at=77 run=3 merged=1 signal RTMIN+3");
    assert_eq!(ack.encode(), golden.as_bytes());
}

fn any_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        Just(Verb::Start),
        Just(Verb::StartAlone),
        Just(Verb::Once),
        Just(Verb::Stop),
        Just(Verb::Restart),
        any::<u32>().prop_map(Verb::RestartRun),
        Just(Verb::Reload),
        (1u8..=64).prop_map(Verb::Signal),
        Just(Verb::Shutdown),
        any::<bool>().prop_map(|dry_run| Verb::Apply { dry_run }),
        Just(Verb::Add),
        Just(Verb::Forget),
        Just(Verb::Upgrade)
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_back_from_its_own_line(name in "-|[A-Za-z0-9]{8,32}", verb in any_verb()) {
        let argument = if matches!(verb, Verb::Add | Verb::Forget) { "/a path/b" } else { "" };
        let request = Request { token: (name != "-").then(|| token(&name)), verb, argument };
        let line = request.to_string();
        prop_assert!(line.len() <= LINE && line.ends_with('\n'));
        prop_assert_eq!(parse(line.trim_end_matches('\n').as_bytes()), Ok(request));
    }

    #[test]
    fn an_ack_is_read_back_from_its_own_record(
        name in "[A-Za-z0-9]{8,32}", at: u64, run: u32, merged: bool, verb in any_verb(), text in "([a-z=0-9]{1,9} ){0,5}[a-z]{1,5}", code: u8, kind in 0..3
    ) {
        let (progress, text) = match kind {
            0 => (Progress::Accepted { verb, run, merged }, Text::new()),
            1 => (Progress::Done, Text::from(text.as_str())),
            _ => (Progress::Failed(code), Text::from(text.as_str())),
        };
        let ack = Ack { token: token(&name), progress, at, text };
        prop_assert_eq!(Ack::decode(&ack.encode()), Some(ack));
    }

    #[test]
    fn any_bytes_in_any_pieces_are_lines_or_rejected(bytes: Vec<u8>, cut in 1usize..40) {
        let mut whole = Vec::new();
        Lines::default().feed(&bytes, |line| whole.push(line.map(<[u8]>::to_vec)));
        let (mut lines, mut pieces) = (Lines::default(), Vec::new());
        for piece in bytes.chunks(cut) {
            lines.feed(piece, |line| pieces.push(line.map(<[u8]>::to_vec)));
        }
        prop_assert_eq!(&whole, &pieces);
        for line in whole.into_iter().flatten() {
            let _ = parse(&line);
        }
        let _ = Ack::decode(&bytes);
    }
}

#[test]
fn a_blank_line_means_nothing_and_a_newline_ends_what_was_left_without_one() {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    for piece in [&b"\n\n \t\n"[..], b"garbage", b"\n- stop\n", b"\n- start\n\n"] {
        lines.feed(piece, |line| seen.push(line.map(<[u8]>::to_vec)));
    }
    assert_eq!(seen, [Ok(b"garbage".to_vec()), Ok(b"- stop".to_vec()), Ok(b"- start".to_vec())]);
}

#[test]
fn an_overlong_line_is_rejected_once_and_the_next_one_is_read() {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    let mut bytes = vec![b'x'; 5000];
    bytes.extend_from_slice(b"\n- stop\n");
    lines.feed(&bytes, |line| seen.push(line.map(<[u8]>::to_vec)));
    assert_eq!(seen, [Err(Reject::TooLong), Ok(b"- stop".to_vec())]);
}
