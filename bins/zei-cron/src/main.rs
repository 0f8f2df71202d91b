//! Computes the next instants of a cron expression.
//!
//! Owns: the command line. Must never: do the work, which is `zei::run::cron`.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use zei::exit;
use zei::run::cron::{Options, PROGRAM, run};
use zei::run::report::report;

const HELP: &str = "\
Usage: zei-cron [OPTIONS] EXPRESSION
       zei-cron next [OPTIONS] EXPRESSION

Prints when a cron expression comes next: five local times for people, or with
`next` one instant in milliseconds since 1970. Quote the expression.

  EXPRESSION   minute hour day month weekday (a field before them is seconds),
               or @hourly, @daily, @weekly, @monthly, @yearly

Options:
  --after MS       only what comes after this, in milliseconds since 1970
                   (default: now)
  --zone ZONE      the time zone, such as Europe/Berlin (default: TZ, else
                   /etc/localtime, else UTC)
  --count N        how many (default: 5, or 1 with next)
  -h, --help       print this text
  -V, --version    print the version

Exit code: 0, or
  100  the expression, the zone or the usage is wrong; nothing was printed
  111  the system refused something

Examples:
  zei-cron '30 2 * * *'
  zei-cron next --zone Europe/Berlin --count 3 '0 9-17 * * MON-FRI'
";

/// What the command line asks for.
#[derive(PartialEq, Debug)]
enum Request {
    Print(String),
    Run(Options),
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(match parse(&words) {
        // A closed standard output is the only thing that can go wrong, and then the text was not delivered.
        Ok(Request::Print(text)) => io::stdout().write_all(text.as_bytes()).map_or(exit::SYSTEM, |()| exit::OK),
        Ok(Request::Run(options)) => run(&options),
        Err(problem) => {
            report(PROGRAM, format_args!("{problem}: use {PROGRAM} [next] [OPTIONS] 'EXPRESSION', or see --help"));
            exit::CONFIG
        }
    })
}

/// An expression may come as one word or as several.
fn parse(words: &[String]) -> Result<Request, String> {
    let next = words.first().is_some_and(|word| word == "next");
    let mut options = Options { count: if next { 1 } else { 5 }, human: !next, ..Options::default() };
    let mut expression: Vec<&str> = Vec::new();
    let mut words = words.iter().skip(usize::from(next)).map(String::as_str);
    while let Some(word) = words.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let mut value = || attached.or_else(|| words.next()).ok_or_else(|| format!("{name} needs a value"));
        match name {
            "-h" | "--help" => return Ok(Request::Print(String::from(HELP))),
            "-V" | "-v" | "--version" => {
                return Ok(Request::Print(format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION"))));
            }
            "--after" => options.after = Some(number(name, value()?)?),
            "--count" => options.count = number(name, value()?)?,
            "--zone" => options.zone = Some(String::from(value()?)),
            "--" => expression.extend(words.by_ref()),
            _ if name.starts_with("--") || (name.starts_with('-') && expression.is_empty()) => {
                return Err(format!("unknown option {name}"));
            }
            _ => expression.push(word),
        }
    }
    if expression.is_empty() {
        return Err(String::from("no expression was given"));
    }
    options.expression = expression.join(" ");
    Ok(Request::Run(options))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text:?} is no whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[&str]) -> Result<Request, String> {
        parse(&line.iter().map(|word| word.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_expression_is_one_word_or_several_and_options_stand_anywhere() {
        let expected = Options {
            expression: String::from("30 2 * * *"),
            zone: Some(String::from("UTC")),
            after: Some(-5),
            count: 2,
            human: false,
        };
        for line in [
            &["next", "--after", "-5", "--zone", "UTC", "--count", "2", "30 2 * * *"][..],
            &["next", "30 2 * * *", "--after=-5", "--zone=UTC", "--count=2"],
            &["next", "--zone=UTC", "--after=-5", "--count=2", "30", "2", "*", "*", "*"],
            &["next", "--zone=UTC", "--after=-5", "--count=2", "--", "30", "2", "*", "*", "*"],
        ] {
            assert_eq!(of(line), Ok(Request::Run(expected.clone())), "{line:?}");
        }
        let daily = Options { expression: String::from("@daily"), count: 5, human: true, ..Options::default() };
        assert_eq!(of(&["@daily"]), Ok(Request::Run(daily)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, problem) in [
            (&[][..], "no expression was given"),
            (&["next"], "no expression was given"),
            (&["--every", "@daily"], "unknown option --every"),
            (&["-5", "* * * *"], "unknown option -5"),
            (&["--zone"], "--zone needs a value"),
            (&["--count", "many", "@daily"], "--count \"many\" is no whole number"),
            (&["--count=-1", "@daily"], "--count \"-1\" is no whole number"),
        ] {
            assert_eq!(of(line), Err(String::from(problem)));
        }
        assert!(matches!(of(&["--help"]), Ok(Request::Print(text)) if text == HELP));
    }
}
