//! The command line, held against itself and against the manual page.

use super::*;

const MANUAL: &str = include_str!("../zei-ctl.1.md");

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_and_option_stands_in_the_manual_page() {
    let command = Cli::command();
    for verb in command.get_subcommands() {
        let name = verb.get_name();
        assert!(MANUAL.contains(&format!("\n| `{name}")), "verb {name}");
        for option in verb.get_arguments().chain(command.get_arguments()).filter_map(|option| option.get_long()) {
            assert!(MANUAL.contains(&format!("`--{option}")), "--{option} of {name}");
        }
    }
}

#[test]
fn every_state_and_exit_code_stands_in_the_manual_page() {
    for state in zei::protocol::status::State::ALL {
        assert!(MANUAL.contains(&format!("\n| `{}` |", state.word())), "{state:?}");
    }
    for code in
        [exit::OK, exit::NOT_TRUE, exit::NOT_RUNNING, exit::NO_SUCH_SERVICE, exit::CONFIG, exit::NO_ZEI, exit::SYSTEM]
    {
        assert!(MANUAL.contains(&format!("\n| {code} |")), "{code}");
        assert!(AFTER.contains(&format!("{code} ")), "{code}");
    }
    for (verb, _) in control::VERBS {
        assert!(MANUAL.contains(&format!("`{verb}")), "{verb}");
    }
}

#[test]
fn arguments_become_what_they_say() {
    let verb = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| format!("{:?}", verb(cli.verb)));
    for (line, expected) in [
        ("zei-ctl start --no-deps web db", r#"Command { services: ["web", "db"], verb: StartAlone,"#),
        ("zei-ctl restart web --timeout 5", "no_wait: false, timeout: Some(Span(5000))"),
        ("zei-ctl stop all --no-wait", "no_wait: true, timeout: None"),
        ("zei-ctl stop db --with-dependents", r#"StopWithDependents { services: ["db"],"#),
        ("zei-ctl reload web", "verb: Reload"),
        ("zei-ctl once web --no-wait", "verb: Once"),
        ("zei-ctl why", "Why { services: [] }"),
        ("zei-ctl tree web db", r#"Tree { services: ["web", "db"] }"#),
        ("zei-ctl events", "Events { services: [], since: None, follow: true }"),
        ("zei-ctl events web --since 10m --no-follow", "since: Some(Ago(Span(600000))), follow: false"),
        ("zei-ctl log", "services: [], follow: false, lines: None, since: None, stream: None, timestamps: false"),
        ("zei-ctl logs -ft web -n 5 --stream err", "follow: true, lines: Some(5), since: None, stream: Some(Err),"),
        ("zei-ctl log --tail 5 --since 1h30m", "lines: Some(5), since: Some(Ago(Span(5400000)))"),
        ("zei-ctl kill web", "default: Some(9)"),
        ("zei-ctl signal web:HUP", "default: None"),
        ("zei-ctl wait web", "until: Ready"),
        ("zei-ctl wait web --for done --timeout 2m", "until: Done, timeout: Some(Span(120000))"),
        ("zei-ctl check", "grace: Span(10000)"),
    ] {
        let got = verb(line).unwrap();
        assert!(got.contains(expected), "{line}: {got}");
    }
    for line in [
        "zei-ctl",
        "zei-ctl start",
        "zei-ctl wait web --for ever",
        "zei-ctl fly",
        "zei-ctl stop a --timeout x",
        "zei-ctl reload",
        "zei-ctl events --since never",
        "zei-ctl log -n few",
        "zei-ctl log --stream zei",
    ] {
        assert!(verb(line).is_err(), "{line}");
    }
}
