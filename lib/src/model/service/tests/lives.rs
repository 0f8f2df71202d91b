//! Random lives: whatever happens in whatever order, as far as a runner can report it.

use super::*;
use crate::model::record::tests::any_service;
use crate::model::spec::{Restart, Timer};
use proptest::prelude::*;

/// A service with the world around it: what really runs.
struct World {
    policy: Policy,
    service: Service,
    now: Time,
    main: Option<Process>,
    descendants: u32,
    spawn_fails: bool,
    /// Asked since the present process began.
    asks: u32,
    /// Everything that was there at the last sweep is dying.
    killed: bool,
    left: bool,
    pid: u32,
}

/// Something that may happen, if it can.
#[derive(Clone, Copy, Debug)]
enum Chance {
    Met,
    NotMet(u16),
    Exit(u8, u8),
    Fork,
    Orphan,
    Deadline,
    Pass(u16),
    Command(Event),
    NextSpawn(bool),
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let command = prop_oneof![
        4 => Just(Event::Start),
        4 => Just(Event::Stop),
        4 => Just(Event::Restart),
        1 => (0u64..100_000).prop_map(|at| Event::Shutdown(Shutdown { deadline: Time(at), signal: None })),
    ];
    proptest::collection::vec(
        prop_oneof![
            3 => Just(Chance::Met),
            1 => (0..3u16).prop_map(Chance::NotMet),
            3 => (0..3u8, 0..3u8).prop_map(|(code, left)| Chance::Exit(code, left)),
            1 => Just(Chance::Fork),
            2 => Just(Chance::Orphan),
            3 => Just(Chance::Deadline),
            2 => (0..20_000u16).prop_map(Chance::Pass),
            3 => command.prop_map(Chance::Command),
            1 => any::<bool>().prop_map(Chance::NextSpawn),
        ],
        0..60,
    )
}

prop_compose! {
    fn policies()(
        restart in proptest::sample::select(vec![Restart::Never, Restart::OnFailure, Restart::Always]),
        max_restarts in 0..4u32, delay in 0..3u64, reset in 0..5u64, interval in proptest::option::of(0..5u64),
        kill: bool, grace in proptest::option::of(0..20u64),
        stop_scope in proptest::sample::select(vec![StopScope::Tree, StopScope::Process, StopScope::Group]),
    ) -> Policy {
        Policy {
            restart, max_restarts, stop_scope,
            restart_delay: Span::seconds(delay),
            reset_after: Span::seconds(reset),
            oneshot: interval.is_some(),
            timer: interval.map(|seconds| Timer::Interval(Span::seconds(seconds))),
            stop_signal: if kill { signal::KILL } else { signal::TERM },
            stop_grace_period: grace.map(Span::seconds),
            ..Policy::default()
        }
    }
}

impl World {
    fn new(policy: Policy, want: bool) -> World {
        World {
            policy,
            service: Service::new(want, Time(0), &policy),
            now: Time(0),
            main: None,
            descendants: 0,
            spawn_fails: false,
            asks: 0,
            killed: false,
            left: false,
            pid: 1,
        }
    }

    fn is_empty(&self) -> bool {
        self.main.is_none() && self.descendants == 0
    }

    fn feed(&mut self, event: Event) {
        if self.left {
            return;
        }
        let before = self.service;
        let (service, action) = step(self.service, event, self.now, &self.policy);
        self.service = service;
        match action {
            Some(Action::Spawn) => {
                assert!(self.is_empty(), "a second instance after {event:?} in {before:?}");
                self.asks = 0;
                self.killed = false;
                if self.spawn_fails {
                    self.feed(Event::NotSpawned(Failure { stage: SpawnStage::Process, errno: 11 }));
                } else {
                    self.pid += 1;
                    self.main = Some(Process { pid: self.pid, start: 0 });
                    self.feed(Event::Spawned(self.main.unwrap()));
                }
            }
            Some(Action::Ask { .. }) => {
                assert!(self.main.is_some(), "nobody to ask after {event:?} in {before:?}");
                self.asks += 1;
                assert_eq!(self.asks, 1, "asked again after {event:?} in {before:?}");
            }
            Some(Action::AskRest) => assert!(self.main.is_none() && self.descendants > 0),
            Some(Action::Kill) => {
                assert!(!self.is_empty());
                assert!(!self.killed || event == Event::Reaped || matches!(event, Event::Exited { .. }), "{event:?}");
                self.killed = true;
            }
            Some(Action::Leave) => {
                assert!(self.is_empty() || self.service.phase == Phase::Failed(Reason::Stray));
                self.left = true;
            }
            Some(Action::Begin(kind)) => panic!("{kind:?} is begun without a reason"),
            Some(Action::KillJob) => panic!("there is no job"),
            None => {}
        }
        self.check();
    }

    fn check(&self) {
        let Service { phase, want, process, .. } = self.service;
        assert_eq!(process, self.main);
        let timed = matches!(phase, Phase::Stopping { .. } | Phase::RestartPending { .. } | Phase::Scheduled { .. });
        assert_eq!(self.service.deadline().is_some(), timed);
        let wanted = matches!(
            phase,
            Phase::Waiting | Phase::Spawning | Phase::Running | Phase::RestartPending { .. } | Phase::Scheduled { .. }
        );
        assert!(want || !wanted, "{phase:?} is not wanted");
        let busy = matches!(phase, Phase::Running | Phase::Stopping { .. } | Phase::Failed(Reason::Stray));
        assert!(busy || self.is_empty(), "something runs in {phase:?}");
        assert_ne!(phase, Phase::Spawning, "a spawn is answered at once");
        if let Phase::Stopping { stage: Stage::Rest, .. } = phase {
            assert!(process.is_none());
        }
    }

    fn exit(&mut self, exit: Exit, left: u32) {
        if self.main.take().is_some() {
            self.descendants += left;
            self.feed(Event::Exited { exit, alone: self.descendants == 0, oom: false });
        }
    }

    fn orphan(&mut self) {
        if self.descendants > 0 {
            self.descendants -= 1;
            self.feed(if self.is_empty() { Event::Empty } else { Event::Reaped });
        }
    }

    fn deadline(&mut self) {
        if let Some(deadline) = self.service.deadline() {
            self.now = self.now.max(deadline);
            self.feed(Event::Timer);
        }
    }

    fn happens(&mut self, chance: Chance) {
        match chance {
            Chance::Met if self.service.awaits_dependencies() => self.feed(Event::DependenciesMet),
            Chance::NotMet(index) if self.service.awaits_dependencies() => self.feed(Event::DependencyFailed(index)),
            Chance::Met | Chance::NotMet(_) => {}
            Chance::Exit(code, left) => self.exit(Exit::Code(code), u32::from(left)),
            Chance::Fork => self.descendants += u32::from(self.main.is_some()),
            Chance::Orphan => self.orphan(),
            Chance::Deadline => self.deadline(),
            Chance::Pass(time) => {
                let until = self.now.plus(Span(u64::from(time)));
                while self.service.deadline().is_some_and(|deadline| deadline <= until && !self.left) {
                    self.deadline();
                }
                self.now = until;
            }
            Chance::Command(event) => self.feed(event),
            Chance::NextSpawn(fails) => self.spawn_fails = fails,
        }
    }

    /// Everything that was killed dies, and nothing else ends by itself but by a deadline.
    fn answer_kills(&mut self) {
        if self.killed {
            self.exit(Exit::Signal(signal::KILL), 0);
            while self.descendants > 0 {
                self.orphan();
            }
        } else {
            self.deadline();
        }
    }
}

fn live(policy: Policy, want: bool, chances: &[Chance]) -> World {
    let mut world = World::new(policy, want);
    for chance in chances {
        world.happens(*chance);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_stop_after_any_life_ends_with_nothing_left(policy in policies(), want: bool, chances in chances()) {
        let mut world = live(policy, want, &chances);
        world.feed(Event::Stop);
        for _ in 0..4 {
            world.answer_kills();
        }
        prop_assert!(world.left || world.is_empty());
        prop_assert!(world.left || world.service.phase == Phase::Stopped, "{:?}", world.service);
    }

    #[test]
    fn a_shutdown_after_any_life_leaves(policy in policies(), want: bool, chances in chances()) {
        let mut world = live(policy, want, &chances);
        world.feed(Event::Shutdown(Shutdown { deadline: world.now.plus(Span(500)), signal: None }));
        let by = world.now.plus(Span(500)).plus(KILL_GRACE);
        for _ in 0..4 {
            // Nothing answers, not even to the kill.
            world.deadline();
        }
        prop_assert!(world.left);
        prop_assert!(world.now <= by);
    }

    #[test]
    fn a_wait_after_any_life_ends_where_dependencies_hold(
        policy in policies(), want: bool, chances in chances(),
        (goal, event) in proptest::sample::select(vec![
            (Goal::Up, Event::Start), (Goal::Fresh, Event::Restart), (Goal::Down, Event::Stop),
        ]),
    ) {
        let mut world = live(policy, want, &chances);
        let run = world.service.run;
        let mut result = outcome(goal, run, &world.service).filter(|_| world.left);
        world.feed(event);
        for _ in 0..6 {
            result = result.or(outcome(goal, run, &world.service));
            world.happens(Chance::Met);
            result = result.or(outcome(goal, run, &world.service));
            world.answer_kills();
        }
        prop_assert!(result.is_some() || world.left, "{:?}", world.service);
    }

    #[test]
    fn any_event_in_any_state_is_taken_and_changes_no_count_backwards(
        service in any_service(), policy in policies(), times: (u64, u64), kind in 0..29u8, number: u16,
    ) {
        let failure = Failure { stage: SpawnStage::Execute, errno: i32::from(number) };
        let event = match kind {
            0 => Event::DependenciesMet,
            1 => Event::DependencyFailed(number),
            2 => Event::Spawned(MAIN),
            3 => Event::NotSpawned(failure),
            4 => Event::Exited { exit: Exit::Code(1), alone: true, oom: false },
            5 => Event::Exited { exit: Exit::Signal(9), alone: false, oom: true },
            6 => Event::Reaped,
            7 => Event::Empty,
            8 => Event::Timer,
            9 => Event::Start,
            10 => Event::Stop,
            11 => Event::Restart,
            12 => Event::Once,
            13 => Event::Reload,
            14 => Event::JobBegan(HOOK),
            15 => Event::JobNotBegan(failure),
            16 => Event::JobEnded(Exit::Code(0)),
            17 => Event::JobEnded(Exit::Signal(9)),
            18 => Event::Slot(times.0),
            19 => Event::SlotCame(times.0),
            20 => Event::ClockSet(times.1),
            21 => Event::Ready,
            22 => Event::Notice(Notice::Stopping),
            23 => Event::Alive,
            24 => Event::Ailing,
            25 => Event::WatchdogSet(Span(times.0)),
            26 => Event::Extend(Span(times.0)),
            27 => Event::DependenciesPending,
            _ => Event::Shutdown(Shutdown { deadline: Time(times.0), signal: None }),
        };
        let (next, action) = step(service, event, Time(times.1), &policy);
        prop_assert!(next.run >= service.run && next.by_hand >= service.by_hand && next.reloads >= service.reloads);
        prop_assert_eq!(action == Some(Action::Spawn), next.phase == Phase::Spawning && service.phase != Phase::Spawning);
        if let Some(Action::Begin(kind)) = action {
            prop_assert_eq!(next.beside, Beside::Job { kind, process: None, deadline: match next.beside {
                Beside::Job { deadline, .. } => deadline, _ => Time::NEVER }, killed: false });
        }
    }
}
