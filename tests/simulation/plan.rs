//! What a schedule is made of, drawn from its seed.

use zei::model::init::Node;
use zei::model::order;
use zei::model::spec::{Condition, OnEnd, Policy, Restart, StopScope, Timer};
use zei::model::time::Span;
use zei::signal;

/// splitmix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What the world does in one schedule.
pub struct Plan {
    pub services: Vec<Planned>,
    pub command: Option<usize>,
    pub budget: Span,
    /// Nothing but starts, exits and perhaps one TERM: the exit code can be told beforehand.
    pub simple: bool,
    /// Supervisors are killed.
    pub kills: bool,
    /// Starts fail now and then.
    pub refusals: bool,
    /// Some processes outlive their kill for a long time.
    pub stuck: bool,
}

pub struct Planned {
    pub policy: Policy,
    pub needs: Vec<(usize, Condition)>,
    pub node: Node,
}

impl Plan {
    pub fn draw(random: &mut Random) -> Plan {
        let simple = random.one_in(4);
        let count = 1 + random.below(6) as usize;
        let command = random.one_in(3).then(|| count - 1);
        let mut services: Vec<Planned> =
            (0..count).map(|index| service(random, index, simple, command == Some(index))).collect();
        for index in 0..count {
            let needs: Vec<usize> = if command == Some(index) {
                (0..index).filter(|other| services[*other].node.wanted).collect()
            } else {
                (0..index).filter(|_| random.one_in(3)).collect()
            };
            let condition = |other: &usize| {
                let policy = services[*other].policy;
                let completed = policy.oneshot && policy.timer.is_none();
                (*other, if completed { Condition::Completed } else { Condition::Started })
            };
            services[index].needs = needs.iter().map(condition).collect();
            services[index].node.dependencies = needs;
        }
        let graph: Vec<Vec<usize>> = services.iter().map(|service| service.node.dependencies.clone()).collect();
        let roots: Vec<usize> = (0..count).filter(|index| services[*index].node.wanted).collect();
        for (service, wanted) in services.iter_mut().zip(order::closure(&graph, &roots)) {
            service.node.wanted = wanted;
        }
        Plan {
            services,
            command,
            budget: Span(random.pick(&[300, 3_000, 30_000])),
            simple,
            kills: !simple && random.one_in(3),
            refusals: !simple && random.one_in(3),
            stuck: !simple && random.one_in(8),
        }
    }
}

fn service(random: &mut Random, _index: usize, simple: bool, command: bool) -> Planned {
    let oneshot = random.one_in(3) && !command;
    let interval = (oneshot && !simple && random.one_in(3)).then(|| Span(random.below(3000)));
    let on_end = |random: &mut Random| if !simple && random.one_in(12) { OnEnd::Shutdown } else { OnEnd::None };
    let policy = Policy {
        restart: match random.below(3) {
            _ if simple || command => Restart::Never,
            0 => Restart::Never,
            1 if !oneshot => Restart::Always,
            _ => Restart::OnFailure,
        },
        max_restarts: random.below(4) as u32,
        reset_after: Span(random.pick(&[500, 60_000])),
        restart_delay: Span(random.pick(&[0, 10, 1000])),
        oneshot,
        timer: interval.map(Timer::Interval),
        stop_signal: if random.one_in(10) { signal::KILL } else { signal::TERM },
        stop_grace_period: random.pick(&[None, None, Some(Span(0)), Some(Span(200)), Some(Span(5000))]),
        stop_scope: random.pick(&[StopScope::Tree, StopScope::Tree, StopScope::Process, StopScope::Group]),
        ..Policy::default()
    };
    let node = Node {
        dependencies: Vec::new(),
        on_exit: if command { OnEnd::Shutdown } else { on_end(random) },
        on_failure: on_end(random),
        wanted: command || simple || !random.one_in(6),
        ..Node::default()
    };
    Planned { policy, needs: Vec::new(), node }
}
