//! The command line of zei-probe.
//!
//! Owns: how words are read. Must never: look at anything but the arguments.

use zei::endpoint::{Header, Http, Statuses, Tcp, Unix};
use zei::model::time::Span;
use zei::near;
use zei::run::probe::{PROGRAM, Question, Request, TIMEOUT, duration};

const HELP: &str = "\
Usage: zei-probe tcp [HOST:]PORT [OPTIONS]
       zei-probe unix PATH|@NAME [OPTIONS]
       zei-probe http URL [OPTIONS]

Asks once whether something answers, and says so by its exit code.

  tcp    accepts a connection; without HOST on this machine
  unix   accepts a connection on a stream socket; @NAME is an abstract one
  http   answers a GET; URL is http://HOST:PORT/PATH, :PORT/PATH for this
         machine, or unix:PATH:/URL; redirects are not followed

Options:
  --timeout DURATION  the longest it may take: 500ms, 5s, 1m (default: 5s)
  --status CODES      http: which status is a yes: 200, 200-399, or a list of
                      such (default: 200-399)
  --header HEADER     http: send 'NAME: VALUE'; may repeat
  --contains TEXT     http: the body has to contain this
  -h, --help          print this text
  -V, --version       print the version

Exit code, with one line on standard error unless it is 0:
  0    it answered        100  bad usage
  1    it did not         111  the system refused something

Examples:
  zei-probe tcp 5432
  zei-probe http :8080/health --timeout 2s --header 'Host: example.com'
  zei-probe unix /run/app.sock
";

/// What the command line asks for.
#[derive(PartialEq, Debug)]
pub enum Wanted {
    Print(String),
    Ask(Question, Span),
}

/// What may stand after the first word, as far as it was read.
struct Words {
    targets: Vec<String>,
    timeout: Span,
    http_only: Option<String>,
    headers: Vec<Header>,
    statuses: Statuses,
    contains: String,
}

/// Reads them; the error is one sentence.
pub fn parse(words: &[String]) -> Result<Wanted, String> {
    let mut read = Words {
        targets: Vec::new(),
        timeout: TIMEOUT,
        http_only: None,
        headers: Vec::new(),
        statuses: Statuses::default(),
        contains: String::new(),
    };
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "-h" | "--help" => return Ok(Wanted::Print(String::from(HELP))),
            "-V" | "-v" | "--version" => {
                return Ok(Wanted::Print(format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION"))));
            }
            "--" => read.targets.extend(rest.by_ref().map(String::from)),
            _ if word.starts_with('-') => read.option(word, &mut rest)?,
            _ => read.targets.push(String::from(word)),
        }
    }
    read.wanted()
}

impl Words {
    fn option<'a>(&mut self, word: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Result<(), String> {
        const KNOWN: [&str; 4] = ["--timeout", "--status", "--header", "--contains"];
        let (name, attached) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if !KNOWN.contains(&name) {
            let near = near::nearest(name, KNOWN).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            return Err(format!("unknown option {name}{near}"));
        }
        let value = attached.or_else(|| rest.next()).ok_or_else(|| format!("{name} needs a value"))?;
        let problem = |problem: String| format!("{name}: {problem}");
        match name {
            "--timeout" => {
                self.timeout = duration(value).map_err(problem)?;
                return Ok(());
            }
            "--status" => self.statuses = Statuses::parse(value).map_err(problem)?,
            "--header" => self.headers.push(Header::parse(value).map_err(problem)?),
            _ => self.contains = String::from(value),
        }
        self.http_only = Some(String::from(name));
        Ok(())
    }

    fn wanted(self) -> Result<Wanted, String> {
        const KINDS: [&str; 3] = ["tcp", "unix", "http"];
        let (kind, target) = match self.targets.as_slice() {
            [] => return Err(String::from("nothing to ask: use tcp PORT, unix PATH or http URL")),
            [kind] => return Err(format!("{kind:?} alone is no question: use tcp PORT, unix PATH or http URL")),
            [kind, target] => (kind.as_str(), target.as_str()),
            [_, _, more, ..] => return Err(format!("{more:?} is one word too many: one question at a time")),
        };
        if let Some(option) = self.http_only.filter(|_| kind != "http") {
            return Err(format!("{option} goes with http only"));
        }
        let question = match kind {
            "tcp" => Question::Tcp(Tcp::parse(target)?),
            "unix" => Question::Unix(Unix::parse(target)?),
            "http" => Question::Http(Request {
                http: Http::parse(target)?,
                headers: self.headers,
                statuses: self.statuses,
                contains: self.contains,
            }),
            _ => {
                let near =
                    near::nearest(kind, KINDS).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                return Err(format!("{kind:?} is none of tcp, unix and http{near}"));
            }
        };
        Ok(Wanted::Ask(question, self.timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[&str]) -> Result<Wanted, String> {
        parse(&line.iter().map(|word| String::from(*word)).collect::<Vec<_>>())
    }

    #[test]
    fn the_three_questions_are_understood_with_options_anywhere() {
        let tcp = Question::Tcp(Tcp::parse("db:5432").unwrap());
        assert_eq!(of(&["tcp", "db:5432"]), Ok(Wanted::Ask(tcp.clone(), Span(5000))));
        for line in [
            &["tcp", "db:5432", "--timeout", "500ms"][..],
            &["--timeout=500ms", "tcp", "db:5432"],
            &["tcp", "--timeout=500ms", "--", "db:5432"],
        ] {
            assert_eq!(of(line), Ok(Wanted::Ask(tcp.clone(), Span(500))), "{line:?}");
        }
        let unix = Question::Unix(Unix::Abstract(String::from("app")));
        assert_eq!(of(&["unix", "@app"]), Ok(Wanted::Ask(unix, TIMEOUT)));
        let http = Question::Http(Request {
            http: Http::parse(":8080/").unwrap(),
            headers: vec![Header::parse("A: 1").unwrap(), Header::parse("B: 2=3").unwrap()],
            statuses: Statuses::parse("204").unwrap(),
            contains: String::from("ok"),
        });
        let line = ["http", ":8080/", "--header", "A: 1", "--header=B: 2=3", "--status", "204", "--contains", "ok"];
        assert_eq!(of(&line), Ok(Wanted::Ask(http, TIMEOUT)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, problem) in [
            (&[][..], "nothing to ask: use tcp PORT, unix PATH or http URL"),
            (&["tcp"], "\"tcp\" alone is no question"),
            (&["tcp", "80", "81"], "\"81\" is one word too many"),
            (&["htpp", ":80"], "\"htpp\" is none of tcp, unix and http (did you mean http?)"),
            (&["http", "https://app"], "https is not spoken here"),
            (&["tcp", "0"], "\"0\" is no port"),
            (&["tcp", "80", "--tiemout", "5"], "unknown option --tiemout (did you mean --timeout?)"),
            (&["tcp", "80", "-t", "5"], "unknown option -t"),
            (&["tcp", "80", "--timeout"], "--timeout needs a value"),
            (&["tcp", "80", "--timeout", "0"], "--timeout: \"0\" is no length of time"),
            (&["tcp", "80", "--status", "200"], "--status goes with http only"),
            (&["http", "80", "--status", "2xx"], "--status: \"2xx\" are no status codes"),
            (&["http", "80", "--header", "x"], "--header: \"x\" is no header"),
        ] {
            let said = of(line).unwrap_err();
            assert!(said.contains(problem), "{line:?}: {said}");
        }
        assert!(matches!(of(&["tcp", "--help"]), Ok(Wanted::Print(text)) if text == HELP));
    }
}
