//! From the words of a command line to services and signals.
//!
//! Owns: patterns, `all`, and the two ways to name a signal. Must never: open a file.

use super::Failure;
use crate::exit;
use crate::name::ServiceName;
use crate::near;
use crate::signal;

/// What services there are; asked for only as far as needed.
pub(crate) struct Known<'a> {
    /// Whether there is one of this name.
    pub(crate) has: Box<dyn Fn(&ServiceName) -> bool + 'a>,
    /// All of them, in order.
    pub(crate) all: Box<dyn Fn() -> Result<Vec<ServiceName>, Failure> + 'a>,
}

/// What `all` and patterns mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Every service.
    Everything,
    /// Every service but `cmd`, whose end ends the container: it must be named.
    AllButCmd,
}

/// The services that the words mean, in the order of the words, each once. A word that means none is a failure, and
/// then no command may be sent to any.
pub(crate) fn select(known: &Known<'_>, words: &[String], scope: Scope) -> Result<Vec<ServiceName>, Failure> {
    let mut chosen: Vec<ServiceName> = Vec::new();
    for word in words {
        let found = if is_pattern(word) { matching(known, word, scope)? } else { vec![named(known, word)?] };
        for name in found {
            if !chosen.contains(&name) {
                chosen.push(name);
            }
        }
    }
    Ok(chosen)
}

/// Whether a word can mean services that are not there yet.
pub(crate) fn is_pattern(word: &str) -> bool {
    word == "all" || word.contains(['*', '?', '['])
}

/// Whether words that have been read before mean a service that has come since.
pub(crate) fn is_meant(words: &[String], name: &ServiceName) -> bool {
    let known = Known { has: Box::new(|other| other == name), all: Box::new(|| Ok(vec![*name])) };
    words.iter().any(|word| select(&known, std::slice::from_ref(word), Scope::Everything).is_ok())
}

fn matching(known: &Known<'_>, word: &str, scope: Scope) -> Result<Vec<ServiceName>, Failure> {
    let text = if word == "all" { "*" } else { word };
    let pattern = glob::Pattern::new(text)
        .map_err(|error| Failure::new(exit::CONFIG, format!("\"{word}\" is no pattern: {}", error.msg)))?;
    let mut names = (known.all)()?;
    names.retain(|name| pattern.matches(name.as_str()) && (scope == Scope::Everything || *name != ServiceName::CMD));
    if names.is_empty() {
        return Err(Failure::new(exit::NO_SUCH_SERVICE, format!("no service matches \"{word}\"")));
    }
    Ok(names)
}

fn named(known: &Known<'_>, word: &str) -> Result<ServiceName, Failure> {
    let name = ServiceName::parse(word)
        .map_err(|error| Failure::new(exit::NO_SUCH_SERVICE, format!("no service \"{word}\": {error}")))?;
    if (known.has)(&name) {
        return Ok(name);
    }
    let all = (known.all)().unwrap_or_default();
    let near = near::nearest(word, all.iter().map(ServiceName::as_str));
    let hint = near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default();
    Err(Failure::new(exit::NO_SUCH_SERVICE, format!("no service \"{word}\"{hint}; zei-ctl list shows all")))
}

/// Reads `SVC:SIG…` or `SVC… SIG` into services and their signal. With a `default` the signal may be
/// left out: a last word that is no signal, or the only word, is a service.
pub(crate) fn signals(words: &[String], default: Option<u8>) -> Result<Vec<(Vec<String>, u8)>, Failure> {
    let usage = |message: String| Failure::new(exit::CONFIG, message);
    if words.iter().any(|word| word.contains(':')) {
        let pair = |word: &String| {
            let (service, name) = word.split_once(':').ok_or_else(|| {
                usage(format!("\"{word}\" names no signal: either all words are SERVICE:SIGNAL or none"))
            })?;
            Ok((vec![service.to_string()], parse(name)?))
        };
        return words.iter().map(pair).collect();
    }
    match (words.split_last(), default) {
        (Some((last, services @ [_, ..])), None) => Ok(vec![(services.to_vec(), parse(last)?)]),
        (Some((last, services @ [_, ..])), Some(default)) => Ok(vec![match signal::parse(last) {
            Some(signal) => (services.to_vec(), signal),
            None => (words.to_vec(), default),
        }]),
        (Some((_, [])), Some(default)) => Ok(vec![(words.to_vec(), default)]),
        _ => Err(usage("name a service and a signal: SERVICE:SIGNAL or SERVICE… SIGNAL".to_string())),
    }
}

fn parse(name: &str) -> Result<u8, Failure> {
    let unknown = || format!("no signal \"{name}\"; write HUP, SIGHUP, 1 or RTMIN+3");
    signal::parse(name).ok_or_else(|| Failure::new(exit::CONFIG, unknown()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn select_from(known: &[&str], words: &[&str], scope: Scope) -> Result<Vec<String>, Failure> {
        let names: Vec<_> = known.iter().map(|name| ServiceName::parse(name).unwrap()).collect();
        let known = Known { has: Box::new(|name| names.contains(name)), all: Box::new(|| Ok(names.clone())) };
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        select(&known, &words, scope).map(|chosen| chosen.iter().map(ToString::to_string).collect())
    }

    const KNOWN: &[&str] = &["cmd", "db", "web-1", "web-2", "web-10"];

    #[test]
    fn patterns_are_those_of_the_shell_and_each_service_comes_once() {
        for (words, expected) in [
            (&["db", "web-2"][..], &["db", "web-2"][..]),
            (&["web-?"], &["web-1", "web-2"]),
            (&["web-*", "web-1"], &["web-1", "web-2", "web-10"]),
            (&["[cd]*"], &["cmd", "db"]),
            (&["[!cd]*"], &["web-1", "web-2", "web-10"]),
            (&["all"], KNOWN),
            (&["*"], KNOWN),
            (&[], &[]),
        ] {
            assert_eq!(select_from(KNOWN, words, Scope::Everything).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn cmd_is_met_by_name_only_where_its_end_would_end_the_container() {
        assert_eq!(select_from(KNOWN, &["all"], Scope::AllButCmd).unwrap(), &KNOWN[1..]);
        assert_eq!(select_from(KNOWN, &["c*"], Scope::AllButCmd).unwrap_err().code, exit::NO_SUCH_SERVICE);
        assert_eq!(select_from(KNOWN, &["cmd"], Scope::AllButCmd).unwrap(), ["cmd"]);
    }

    #[test]
    fn what_means_no_service_is_said_with_the_name_that_was_probably_meant() {
        let failure = select_from(KNOWN, &["db", "web-3"], Scope::Everything).unwrap_err();
        assert_eq!(failure.code, exit::NO_SUCH_SERVICE);
        assert!(failure.message.contains("did you mean \"web-1\"?"), "{}", failure.message);
        for word in ["x*", "other", "../db", "", "web-1/../db"] {
            assert_eq!(
                select_from(KNOWN, &[word], Scope::Everything).unwrap_err().code,
                exit::NO_SUCH_SERVICE,
                "{word}"
            );
        }
        assert_eq!(select_from(KNOWN, &["[a"], Scope::Everything).unwrap_err().code, exit::CONFIG);
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn a_signal_is_named_in_either_way() {
        let one = |services: &str, signal| vec![(words(services), signal)];
        assert_eq!(signals(&words("web:HUP"), None), Ok(one("web", signal::HUP)));
        assert_eq!(signals(&words("web db sigterm"), None), Ok(one("web db", signal::TERM)));
        assert_eq!(signals(&words("web:HUP db:9"), None), Ok(vec![(words("web"), 1), (words("db"), 9)]));
        assert_eq!(signals(&words("web"), Some(signal::KILL)), Ok(one("web", signal::KILL)));
        assert_eq!(signals(&words("web db"), Some(signal::KILL)), Ok(one("web db", signal::KILL)));
        assert_eq!(signals(&words("web TERM"), Some(signal::KILL)), Ok(one("web", signal::TERM)));
        for wrong in ["", "web", "HUP", "web FLY", "web:FLY", "web:", "web:HUP db", "web: HUP"] {
            assert_eq!(signals(&words(wrong), None).unwrap_err().code, exit::CONFIG, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_words_select_known_services_or_none(known in proptest::collection::vec("[a-c]{1,3}", 0..5), word in "[a-c*?!\\[\\]:-]{0,5}") {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            if let Ok(chosen) = select_from(&known, &[&word], Scope::Everything) {
                prop_assert!(!chosen.is_empty() && chosen.iter().all(|name| known.contains(&name.as_str())));
            }
        }
    }
}
