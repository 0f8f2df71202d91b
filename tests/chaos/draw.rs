//! What a tree is made of: services of every kind, their keys drawn from a seed.
//!
//! Owns: what each service is told to do, and what the configuration says of it. Must never: judge.

use crate::journal::Job;
use crate::random::Random;
use std::fmt::Write as _;
use std::path::Path;

/// What a service does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Runs, and ends when it is asked to.
    Steady,
    /// Ends by itself.
    Crasher,
    /// Does not end at TERM.
    Deaf,
    /// Has descendants that have left it: of other users, without its environment, deaf.
    Forker,
    /// Makes processes for a while that each make the next one in a session of its own.
    Storm,
    /// Writes, and is ready once a line says so, so that its output is pumped.
    Chatty,
    /// Runs once.
    Oneshot,
    /// Runs again and again.
    Timer,
    /// Says by sd_notify(3) that it is ready.
    Notifier,
    /// Says so through a descriptor.
    Teller,
    /// Has a hook before each run; it and some others have one after it.
    Hooked,
    /// Is checked, by what leaves something behind.
    Checked,
    /// Is not always in the configuration.
    Guest,
}

/// Every tree has one of each; what comes beside them is drawn.
const KINDS: [Kind; 13] = [
    Kind::Steady,
    Kind::Crasher,
    Kind::Deaf,
    Kind::Forker,
    Kind::Storm,
    Kind::Chatty,
    Kind::Oneshot,
    Kind::Timer,
    Kind::Notifier,
    Kind::Teller,
    Kind::Hooked,
    Kind::Checked,
    Kind::Guest,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

/// A dependency.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub on: usize,
    pub condition: &'static str,
    /// A restart by hand of the other one restarts this one.
    pub restart: bool,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    pub kind: Kind,
    pub restart: Restart,
    /// The pause before a restart by policy, in milliseconds.
    pub delay: u64,
    /// A oneshot runs again so long after its end.
    pub interval: Option<u64>,
    /// It ends by itself after a time between these.
    pub life: Option<(u64, u64)>,
    pub needs: Vec<Need>,
    /// Its hooks.
    hooks: Vec<Job>,
    /// Lines of its configuration.
    keys: Vec<String>,
    /// Words of its command.
    words: Vec<String>,
    seed: u64,
}

impl Spec {
    pub fn is_there(&self, generation: u64) -> bool {
        self.kind != Kind::Guest || generation.is_multiple_of(2)
    }

    pub fn has_hook(&self, hook: Job) -> bool {
        self.hooks.contains(&hook)
    }

    pub fn is_oneshot(&self) -> bool {
        matches!(self.kind, Kind::Oneshot | Kind::Timer)
    }
}

/// The user that children of another user have.
const FOREIGN: u32 = 54_321;

/// Draws a tree. `root`: there are other users.
pub fn draw(random: &mut Random, root: bool) -> Vec<Spec> {
    let mut kinds = KINDS.to_vec();
    for _ in 0..random.below(5) {
        kinds.push(random.pick(&KINDS));
    }
    let mut specs: Vec<Spec> = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        specs.push(one(random, index, kind, root));
    }
    let steady = specs.iter().position(|spec| spec.kind == Kind::Steady).unwrap_or(0);
    for index in 0..specs.len() {
        let of = |kind| specs.iter().position(|spec| spec.kind == kind).unwrap_or(steady);
        let (on, condition, restart) = match specs[index].kind {
            Kind::Teller => (of(Kind::Notifier), "service_healthy", true),
            Kind::Hooked => (of(Kind::Oneshot), "service_completed_successfully", false),
            Kind::Checked => (steady, "service_started", random.one_in(2)),
            _ => continue,
        };
        specs[index].needs.push(Need { on, condition, restart });
    }
    specs
}

fn one(random: &mut Random, index: usize, kind: Kind, root: bool) -> Spec {
    let mut spec = Spec {
        name: format!("{}-{index}", format!("{kind:?}").to_lowercase()),
        kind,
        restart: Restart::Always,
        delay: random.pick(&[0, 0, 20, 100, 300]),
        interval: None,
        life: None,
        needs: Vec::new(),
        hooks: Vec::new(),
        keys: Vec::new(),
        words: Vec::new(),
        seed: random.next(),
    };
    let mut grace = 3000;
    let mut scope = random.pick(&["tree", "tree", "process", "group"]);
    match kind {
        Kind::Steady | Kind::Guest => {}
        Kind::Crasher => {
            spec.restart = random.pick(&[Restart::Always, Restart::OnFailure]);
            spec.life = Some((random.below(60), 100 + random.below(1500)));
            spec.words.extend(["codes=0,3,7,255".to_owned(), "signals=6,9,11,10".to_owned()]);
            spec.delay += 50;
        }
        Kind::Deaf => {
            grace = random.pick(&[100, 300, 500]);
            spec.words.push("deaf=1".to_owned());
        }
        Kind::Forker => {
            grace = random.pick(&[100, 300, 500]);
            scope = random.pick(&["tree", "tree", "process"]);
            spec.words.push("children=4".to_owned());
            if root {
                spec.words.push(format!("foreign={FOREIGN}"));
            }
        }
        Kind::Storm => {
            spec.words.extend(["hoppers=4".to_owned(), format!("storm={}", 100 + random.below(500))]);
        }
        Kind::Chatty => {
            spec.words.extend(["chatter=20".to_owned(), format!("ready=0-{}", 1 + random.below(50))]);
            spec.keys.push("ready: {log: '^ready'}".to_owned());
        }
        Kind::Oneshot => {
            spec.restart = random.pick(&[Restart::OnFailure, Restart::Never]);
            spec.life = Some((0, 200));
            if random.one_in(3) {
                spec.words.push("codes=0,0,4".to_owned());
            }
            spec.delay += 50;
        }
        Kind::Timer => {
            spec.restart = Restart::Never;
            spec.life = Some((0, 100));
            spec.words.push("codes=0,5".to_owned());
            let interval = 100 + random.below(900);
            spec.interval = Some(interval);
            spec.keys.push(format!("interval: {interval}ms"));
        }
        Kind::Notifier => {
            spec.words.push(format!("ready=0-{}", 1 + random.below(80)));
            spec.keys.push("ready: {notify: systemd}".to_owned());
        }
        Kind::Teller => {
            spec.words.push(format!("ready=0-{}", 1 + random.below(80)));
            spec.keys.push("ready: {notify: {fd: 3}}".to_owned());
        }
        Kind::Hooked => {
            spec.hooks.push(Job::Pre);
            spec.keys.push(hook("pre", random.below(40)));
        }
        Kind::Checked => {
            let (interval, takes) = (random.pick(&[50, 100, 300]), 30 + random.below(70));
            let words = format!("as=job, which=check, takes={takes}");
            spec.keys
                .push(format!("healthcheck: {{test: [CMD, '@V', '@D', '@N', '0', {words}], interval: {interval}ms}}"));
        }
    }
    if matches!(kind, Kind::Steady | Kind::Crasher | Kind::Chatty | Kind::Notifier | Kind::Teller | Kind::Hooked) {
        spec.hooks.push(Job::Post);
        spec.keys.push(hook("post", 30 + random.below(60)));
    }
    if let Some((low, high)) = spec.life {
        spec.words.push(format!("life={low}-{high}"));
    }
    spec.keys.push(format!("stop_grace_period: {grace}ms"));
    spec.keys.push(format!("stop_scope: {scope}"));
    spec
}

fn hook(which: &str, takes: u64) -> String {
    let (key, word) = if which == "pre" { ("pre_start", "pre") } else { ("post_stop", "post") };
    format!("{key}: ['@V', '@D', '@N', '0', as=job, which={word}, takes={takes}]")
}

/// The configuration. `generation` of a service: a change of it is a change of the service; a guest is there where that
/// is even.
pub fn yaml(specs: &[Spec], generation: &[u64], directory: &Path, victim: &Path) -> String {
    let mut text = "shutdown_timeout: 15s\nservices:\n".to_owned();
    for (spec, generation) in specs.iter().zip(generation) {
        if !spec.is_there(*generation) {
            continue;
        }
        let policy = match spec.restart {
            Restart::Always => "always",
            Restart::OnFailure => "on-failure",
            Restart::Never => "never",
        };
        let words: String = spec.words.iter().map(|word| format!(", '{word}'")).collect();
        let mut body = format!("command: ['@V', '@D', '@N', '{}'{words}]\n", spec.seed);
        let _in_memory = writeln!(body, "restart: {policy}\nrestart_delay: {}ms", spec.delay);
        if spec.is_oneshot() {
            body.push_str("oneshot: true\n");
        }
        let _in_memory = writeln!(body, "environment: {{CHAOS_SERVICE: '@N', GENERATION: '{generation}'}}");
        for need in &spec.needs {
            let Need { on, condition, restart } = need;
            let on = &specs[*on].name;
            let _in_memory = writeln!(body, "depends_on: {{{on}: {{condition: {condition}, restart: {restart}}}}}");
        }
        for key in &spec.keys {
            let _in_memory = writeln!(body, "{key}");
        }
        let body = body.replace("@N", &spec.name).replace("@D", &directory.display().to_string());
        let _in_memory = writeln!(text, "  {}:", spec.name);
        for line in body.replace("@V", &victim.display().to_string()).lines() {
            let _in_memory = writeln!(text, "    {line}");
        }
    }
    text
}
