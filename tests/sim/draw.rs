//! Plans drawn from a seed.

use crate::plan::{Fork, Intervention, Needs, Plan, Planned, Said, Script, Spawning, Verb, Work};
use crate::point::Point;
use crate::random::Random;
use zei::exit::Exit;
use zei::model::spec::{
    Backoff, Condition, ExitRule, HealthPolicy, HookPolicy, OnEnd, OnUnhealthy, Policy, Ready, Restart, StopScope,
    Timer, When,
};
use zei::model::time::Span;
use zei::signal;

/// What may happen in a schedule; each schedule has some of it, so that each also happens alone.
#[derive(Clone, Copy)]
struct Theme {
    /// Nothing but ends by themselves, and a TERM.
    plain: bool,
    kills: bool,
    scarce: bool,
    stuck: bool,
    notify: bool,
    health: bool,
    hooks: bool,
    clock: bool,
    commands: bool,
    forks: bool,
}

impl Theme {
    fn draw(random: &mut Random) -> Theme {
        let plain = random.one_in(8);
        let mut on = |count| !plain && random.one_in(count);
        Theme {
            plain,
            kills: on(3),
            scarce: on(5),
            stuck: on(6),
            notify: on(3),
            health: on(3),
            hooks: on(3),
            clock: on(4),
            commands: !on(5),
            forks: on(2),
        }
    }
}

pub fn draw(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    let random = &mut random;
    let theme = Theme::draw(random);
    let count = 3 + random.pick(&[0, 0, 0, 1, 1, 2, 3]);
    let command = random.one_in(5).then(|| count - 1);
    let mut services: Vec<Planned> =
        (0..count).map(|index| service(random, index, command == Some(index), theme)).collect();
    draw_needs(random, &mut services, command);
    let rare = |random: &mut Random, code| random.one_in(6).then_some(code);
    let exit = ExitRule {
        when: match random.below(8) {
            0 => When::Any,
            1 => When::Service(random.below(count as u64) as usize),
            _ => When::All,
        },
        code: rare(random, 33),
        stop_code: rare(random, 44),
    };
    let (losses, calm) = (!theme.plain && random.one_in(4), random.one_in(6));
    Plan {
        seed,
        command,
        exit,
        budget: Span(random.pick(&[300, 3000, 3000, 30_000])),
        losses,
        crowded: theme.scarce && random.one_in(4),
        calm,
        enough: random.pick(&[60, 90, 150]),
        interventions: interventions(random, count, theme),
        services,
    }
}

fn draw_needs(random: &mut Random, services: &mut [Planned], command: Option<usize>) {
    let count = services.len();
    for index in 0..count {
        let on: Vec<usize> = if command == Some(index) && !random.one_in(4) {
            (0..index).filter(|other| services[*other].autostart).collect()
        } else {
            (0..index).filter(|_| random.one_in(3)).collect()
        };
        // There is always one at least.
        let on = if index == 1 && on.is_empty() { vec![0] } else { on };
        services[index].needs = on
            .into_iter()
            .map(|on| {
                let policy = services[on].policy;
                let implied = match (policy.oneshot && policy.timer.is_none(), policy.ready, policy.health) {
                    (true, _, _) => Condition::Completed,
                    (false, None, None) => Condition::Started,
                    (false, _, _) => Condition::Healthy,
                };
                let condition = match random.below(6) {
                    0 => Condition::Started,
                    1 if !policy.oneshot => Condition::Healthy,
                    2 if policy.oneshot => Condition::Completed,
                    _ => implied,
                };
                Needs { on, condition, restart: random.one_in(5) }
            })
            .collect();
    }
}

fn service(random: &mut Random, index: usize, command: bool, theme: Theme) -> Planned {
    let oneshot = !command && random.one_in(3);
    let mut policy = policy(random, command, oneshot, theme);
    let runs: Vec<Script> = (0..1 + random.below(3)).map(|_| script(random, &policy, theme)).collect();
    let jobs: Vec<Work> = (0..1 + random.below(4)).map(|_| work(random, theme)).collect();
    let broken = runs.iter().any(|run| run.spawning == Spawning::Broken)
        || jobs.iter().any(|job| job.spawning == Spawning::Broken);
    if broken {
        // What fails at once and is tried again at once is busy for ever, as it was told.
        policy.restart_delay = policy.restart_delay.max(Span(5));
        policy.timer =
            policy.timer.map(|timer| if timer == Timer::Interval(Span(0)) { Timer::Interval(Span(5)) } else { timer });
    }
    if policy.restart_delay == Span(0) && policy.max_restarts == 0 {
        policy.max_restarts = 4;
        policy.reset_after = policy.reset_after.max(Span(500));
    }
    let on_end = |random: &mut Random| if random.one_in(15) { OnEnd::Shutdown } else { OnEnd::None };
    Planned {
        id: index as u64,
        policy,
        needs: Vec::new(),
        autostart: command || theme.plain || !random.one_in(6),
        on_exit: if command { OnEnd::Shutdown } else { on_end(random) },
        on_failure: on_end(random),
        period: random.pick(&[10_000, 120_000, 3_600_000]),
        runs,
        jobs,
    }
}

fn policy(random: &mut Random, command: bool, oneshot: bool, theme: Theme) -> Policy {
    let timer = match random.below(6) {
        0 if oneshot && !theme.plain => Some(Timer::Interval(Span(random.pick(&[0, 20, 500, 1500])))),
        1 | 2 if oneshot && theme.clock => Some(Timer::Schedule { catch_up: random.one_in(2) }),
        _ => None,
    };
    let ready = match random.below(4) {
        0 | 1 if theme.notify => Some(Ready::Told),
        2 if theme.notify || theme.health => Some(Ready::Asked {
            interval: Span(random.pick(&[1, 30, 1000])),
            timeout: Span(random.pick(&[0, 50, 1000])),
        }),
        _ => None,
    };
    let hook = |random: &mut Random| {
        (theme.hooks && random.one_in(2))
            .then(|| HookPolicy { timeout: random.pick(&[None, Some(Span(40)), Some(Span(2000))]) })
    };
    let health = (theme.health && random.one_in(2)).then(|| HealthPolicy {
        interval: Span(random.pick(&[10, 100, 1000])),
        timeout: Span(random.pick(&[5, 50, 500])),
        retries: 1 + random.below(3) as u32,
        start_period: Span(random.pick(&[0, 0, 50, 2000])),
        start_interval: Span(random.pick(&[5, 20, 500])),
        on_unhealthy: random.pick(&[
            OnUnhealthy::None,
            OnUnhealthy::Restart,
            OnUnhealthy::Restart,
            OnUnhealthy::Shutdown,
        ]),
    });
    Policy {
        restart: match random.below(3) {
            _ if command => Restart::Never,
            0 => Restart::Never,
            1 if !oneshot => Restart::Always,
            _ => Restart::OnFailure,
        },
        max_restarts: random.pick(&[0, 1, 2, 3]),
        reset_after: Span(random.pick(&[0, 100, 500, 60_000])),
        restart_delay: Span(random.pick(&[0, 10, 100, 1000])),
        backoff: random.one_in(4).then(|| Backoff {
            factor: random.pick(&[1000, 1500, 2000]),
            max: Span(random.pick(&[50, 2000, 60_000])),
            jitter: random.pick(&[0, 100, 1000]),
        }),
        oneshot,
        timer,
        ready,
        ready_timeout: ready.and(random.pick(&[None, Some(Span(60)), Some(Span(2000))])),
        watchdog: (ready == Some(Ready::Told) && random.one_in(3)).then(|| Span(random.pick(&[30, 400]))),
        health,
        pre_start: hook(random),
        post_stop: hook(random),
        reload: hook(random),
        drain: if random.one_in(4) { Span(random.pick(&[20, 500, 5000])) } else { Span(0) },
        stop_signal: if random.one_in(12) { signal::KILL } else { signal::TERM },
        stop_grace_period: random.pick(&[None, None, Some(Span(0)), Some(Span(200)), Some(Span(5000))]),
        stop_scope: random.pick(&[StopScope::Tree, StopScope::Tree, StopScope::Process, StopScope::Group]),
    }
}

const ENDS: [Exit; 6] = [
    Exit::Code(0),
    Exit::Code(0),
    Exit::Code(1),
    Exit::Code(77),
    Exit::Signal(signal::SEGV),
    Exit::Signal(signal::KILL),
];

/// How long somebody takes to end after being asked.
fn patience(random: &mut Random) -> Option<u64> {
    match random.below(6) {
        0 => None,
        1 => Some(random.below(8000)),
        _ => Some(random.below(20)),
    }
}

fn some_time(random: &mut Random) -> u64 {
    let until = random.pick(&[2, 50, 50, 600, 3000]);
    random.below(until)
}

fn spawning(random: &mut Random, theme: Theme) -> Spawning {
    match random.below(12) {
        0..4 if theme.scarce => Spawning::Scarce,
        4 if !theme.plain => Spawning::Broken,
        _ => Spawning::Works,
    }
}

fn script(random: &mut Random, policy: &Policy, theme: Theme) -> Script {
    let ends = if policy.oneshot { !random.one_in(6) } else { random.one_in(2) };
    let exit = random.pick(&ENDS);
    let forks = if theme.forks { random.pick(&[0, 0, 1, 2, 3]) } else { 0 };
    let mut says = match policy.ready {
        Some(Ready::Told) => says(random),
        _ if theme.notify && random.one_in(2) => says(random),
        _ => Vec::new(),
    };
    let forks: Vec<Fork> = (0..forks).map(|_| fork(random, theme)).collect();
    let stuck = theme.stuck && random.one_in(5);
    if stuck || forks.iter().any(|fork| fork.stuck) {
        // What survives its kill may still have something to say.
        for _ in 0..random.below(4) {
            says.push((8_000 + random.below(12_000), something(random)));
        }
    }
    Script {
        spawning: spawning(random, theme),
        ends: ends.then(|| (some_time(random), exit)),
        oom: exit == Exit::Signal(signal::KILL) && random.one_in(2),
        patience: patience(random),
        answer: random.pick(&[Exit::Code(0), Exit::Code(143), Exit::Signal(signal::TERM)]),
        forks,
        stuck,
        says,
    }
}

fn says(random: &mut Random) -> Vec<(u64, Said)> {
    let mut says: Vec<(u64, Said)> = Vec::new();
    if !random.one_in(4) {
        says.push((some_time(random), Said::Ready));
    }
    for _ in 0..random.below(5) {
        says.push((some_time(random), something(random)));
    }
    says
}

fn something(random: &mut Random) -> Said {
    match random.below(12) {
        0 => Said::Ready,
        1 => Said::Stopping,
        2 => Said::Reloading,
        3..=5 => Said::Alive,
        6 => Said::Ailing,
        7 => Said::Watchdog(random.pick(&[0, 20, 300])),
        8 | 9 => Said::Extend(random.pick(&[5, 300, 20_000])),
        _ => Said::MainIsChild,
    }
}

fn fork(random: &mut Random, theme: Theme) -> Fork {
    Fork {
        at: random.pick(&[0, 0, 5, 100]),
        lasts: random.one_in(3).then(|| some_time(random)),
        patience: patience(random),
        hops: random.pick(&[0, 0, 1, 2]),
        stuck: theme.stuck && random.one_in(8),
    }
}

fn work(random: &mut Random, theme: Theme) -> Work {
    let lasts = match random.below(8) {
        0 => None,
        1 => Some(random.below(3000)),
        _ => Some(random.below(10)),
    };
    Work {
        spawning: spawning(random, theme),
        lasts,
        exit: random.pick(&[Exit::Code(0), Exit::Code(0), Exit::Code(1), Exit::Signal(signal::SEGV)]),
        patience: patience(random),
        leaves: theme.forks && random.one_in(4),
    }
}

fn interventions(random: &mut Random, count: usize, theme: Theme) -> Vec<(u64, Intervention)> {
    let when = |random: &mut Random| {
        let until = random.pick(&[5, 100, 100, 2000, 20_000]);
        random.below(until)
    };
    let mut list = Vec::new();
    let anybody = |random: &mut Random| random.below(count as u64) as usize;
    if theme.commands && !theme.plain {
        for _ in 0..random.below(10) {
            let verb = random.pick(&[
                Verb::Start,
                Verb::StartAlone,
                Verb::Stop,
                Verb::Stop,
                Verb::Restart,
                Verb::Restart,
                Verb::Once,
                Verb::Reload,
                Verb::Reload,
            ]);
            list.push((when(random), Intervention::Command(anybody(random), verb)));
        }
    }
    if !theme.plain {
        for _ in 0..random.below(4) {
            let index = anybody(random);
            let what = match random.below(5) {
                0 => Intervention::Signal(signal::USR1),
                1 => Intervention::Poke(index),
                2 => Intervention::Pass(index, random.pick(&[signal::USR2, signal::KILL])),
                _ => Intervention::Hit(index, random.pick(&[signal::SEGV, signal::KILL, signal::TERM])),
            };
            list.push((when(random), what));
        }
    }
    if theme.kills {
        for _ in 0..1 + random.below(4) {
            let kill = match random.below(10) {
                0 => Intervention::KillAll,
                _ => Intervention::Kill(anybody(random), random.pick(Point::ALL), random.pick(&[0, 0, 0, 1, 3])),
            };
            list.push((when(random), kill));
        }
    }
    if theme.clock {
        for _ in 0..random.below(10) {
            let what = match random.below(3) {
                0 => Intervention::Suspend(random.pick(&[100, 70_000, 400_000, 9_000_000])),
                _ => Intervention::Step(random.pick(&[
                    1,
                    -1,
                    30_000,
                    -30_000,
                    3_600_000,
                    -3_600_000,
                    86_400_000,
                    -86_400_000,
                ])),
            };
            let at = when(random);
            // Of two, one may come to be known only long after the other.
            (0..random.pick(&[1, 1, 3])).for_each(|_| list.push((at, what)));
        }
    }
    for _ in 0..random.pick(&[0, 0, 1, 1, 1, 3]) {
        let what = match random.below(5) {
            0 => Intervention::Shutdown,
            1 => Intervention::Signal(signal::INT),
            _ => Intervention::Signal(signal::TERM),
        };
        list.push((when(random), what));
    }
    list
}
