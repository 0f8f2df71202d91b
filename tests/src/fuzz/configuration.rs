//! A configuration of any bytes: refused with lines that are there, or accepted, compiled and accepted again.
//!
//! Owns: what must hold for it. Must never: read a file but its own.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use zei::config::{Context, Problem, Source, load_with_warnings};
use zei::model::definition::Definitions;
use zei::model::definition::plan::{self, Terms};
use zei::model::order;
use zei::model::spec::{Config, Identity, OnUnhealthy, Policy};
use zei::model::switching::Granted;
use zei::model::users::Users;

/// Where the configuration lies; beside it an `env_file`. In memory, where there is such a place: a fuzzer writes hundreds
/// of files each second.
fn place() -> TempDir {
    let shared = Path::new("/dev/shm");
    let parent = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
    let place = tempfile::Builder::new().prefix("zei-fuzz-").tempdir_in(parent).expect("a temporary directory");
    fs::write(place.path().join("a.env"), "A=1\n# no\nPATH\nB=2\n").expect("room for a file");
    place
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:\nnobody:x:65534:65534:::\n";
const GROUP: &str = "root:x:0:\nweb:x:1000:\nwheel:x:10:web\n";

pub(super) fn run(bytes: &[u8]) {
    let has = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    // A file that is read along must not be one of this machine's: it may be a device, and may change.
    if has("env_file") && has("/") {
        return;
    }
    let place = place();
    let file = place.path().join("zei.yaml");
    fs::write(&file, bytes).expect("room for a file");
    let users = Users::new(Some(PASSWD.to_owned()), Some(GROUP.to_owned()));
    let environment = [("PATH", "/bin:/usr/bin"), ("N", "3"), ("EMPTY", "")].map(|(k, v)| (k.into(), v.into()));
    let command = ["sh".into(), "-c".into(), "exit 3".into()];
    let root = Context {
        users: &users,
        environment: &environment,
        own: Identity { uid: 0, gid: 0, groups: vec![0] },
        may_switch_user: true,
        elevated: false,
        granted: Granted::default(),
        unelevated: None,
        command: None,
    };
    let other = Context {
        own: Identity { uid: 1000, gid: 1000, groups: vec![1000] },
        may_switch_user: false,
        elevated: false,
        granted: Granted::default(),
        unelevated: None,
        command: Some(&command),
        ..root
    };
    for context in [&root, &other] {
        one(&file, bytes, context);
    }
}

fn one(file: &Path, bytes: &[u8], context: &Context) {
    let source = Source::Paths(vec![file.to_path_buf()]);
    match load_with_warnings(&source, context) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems.iter().for_each(|problem| is_placed(problem, file, bytes));
        }
        Ok(None) => panic!("a file that was named is not none"),
        Ok(Some(loaded)) => {
            loaded.warnings.iter().for_each(|problem| is_placed(problem, file, bytes));
            compiles(&loaded.config, context);
            let again = load_with_warnings(&source, context).expect("what was accepted once").expect("and was there");
            assert_eq!((again.config, again.warnings), (loaded.config, loaded.warnings));
        }
    }
}

/// A problem names this file and a line that it has, and its text is one line.
fn is_placed(problem: &Problem, file: &Path, bytes: &[u8]) {
    let lines = lines(bytes);
    assert!(problem.line <= lines, "line {} of {lines}: {problem}", problem.line);
    assert_eq!(problem.file, file, "{problem}");
    assert!(!problem.text.is_empty());
}

/// As YAML counts lines: not a newline alone ends one.
fn lines(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.strip_suffix(is_break).unwrap_or(&text).split(is_break).count()
}

/// The plan of what was accepted says the same to zei-init and to the supervisors.
fn compiles(config: &Config, context: &Context) {
    let graph: Vec<Vec<usize>> = config
        .services
        .iter()
        .map(|service| service.dependencies.iter().map(|dependency| dependency.service).collect())
        .collect();
    assert!(graph.iter().flatten().all(|to| *to < config.services.len()), "{graph:?}");
    assert_eq!(order::find_cycle(&graph), None);
    assert_eq!(order::levels(&graph).iter().map(Vec::len).sum::<usize>(), config.services.len());

    let environment: Vec<_> = context.environment.iter().map(|(k, v)| variable(k, v)).collect();
    let terms = Terms {
        environment: environment.iter().map(std::ffi::CString::as_c_str).collect(),
        nofile: None,
        config: Vec::new(),
        added: Vec::new(),
        invoker: None,
    };
    let bytes = plan::encode(config, Definitions::default(), &terms);
    let compiled = Definitions(&bytes);
    assert_eq!(compiled.count(), config.services.len());
    let outline = compiled.outline().expect("a plan");
    assert_eq!((&outline.signals, outline.exit), (&config.signals, config.exit));
    assert_eq!(outline.shutdown_timeout, config.shutdown_timeout);
    for (index, spec) in config.services.iter().enumerate() {
        let definition = compiled.service(index).expect("each service has a definition");
        assert_eq!((definition.name, definition.policy), (spec.name, of_supervisor(spec.policy)));
        assert!(definition.arguments().eq(spec.command.iter().map(std::ffi::CString::as_c_str)), "{spec:?}");
        assert_eq!(definition.ids, spec.identity.as_ref().map(|identity| (identity.uid, identity.gid)));
        assert_eq!(definition.umask, spec.umask);
        assert_eq!(definition.needs().count(), spec.dependencies.len());
        let member = outline.services[index].as_ref().expect("and zei-init knows it");
        assert_eq!((member.name, member.autostart), (spec.name, spec.autostart));
        let shuts_down = spec.policy.health.is_some_and(|health| health.on_unhealthy == OnUnhealthy::Shutdown);
        assert_eq!(member.node.on_unhealthy == OnUnhealthy::Shutdown, shuts_down);
    }
    assert_eq!(plan::encode(config, compiled, &terms), bytes, "nothing has changed");
}

/// A shutdown is zei-init's, and stands in its own part.
fn of_supervisor(mut policy: Policy) -> Policy {
    if let Some(health) = policy.health.as_mut().filter(|health| health.on_unhealthy == OnUnhealthy::Shutdown) {
        health.on_unhealthy = OnUnhealthy::None;
    }
    policy
}

fn variable(key: &OsString, value: &OsString) -> std::ffi::CString {
    let text = format!("{}={}", key.to_string_lossy(), value.to_string_lossy());
    std::ffi::CString::new(text).expect("no NUL")
}
