//! The shutdown: its order, its patience, its end.

use super::*;
use proptest::prelude::*;

const TERM: Event = Event::Signal(signal::TERM);

fn at(seconds: u64) -> Time {
    NOW.plus(Span::seconds(seconds))
}

#[test]
fn a_second_term_says_who_is_waited_for_and_a_third_kills() {
    let mut tree = tree_of(&[&[], &[0]]);
    change(&mut tree, &[(0, running()), (1, running())]);
    let order = Shutdown { deadline: NOW.plus(BUDGET), signal: Some(signal::TERM) };
    assert_eq!(tree.step(TERM, NOW), [Effect::Order(order), Effect::Dismiss(1)]);
    assert_eq!(tree.step(TERM, at(2)), [Effect::Waiting(vec![1, 0], Span::seconds(2))]);
    assert_eq!(tree.step(TERM, at(3)), [Effect::Hurried(vec![1, 0]), Effect::KillAll]);
    assert_eq!(tree.step(TERM, at(3)), []);
    assert_eq!(end(&mut tree), 0);
}

#[test]
fn a_keyboards_interrupt_during_a_shutdown_by_a_signal_kills() {
    let mut tree = tree_of(&[&[]]);
    tree.step(Event::Signal(signal::INT), NOW);
    assert_eq!(tree.step(Event::Signal(signal::INT), NOW), [Effect::Hurried(vec![0]), Effect::KillAll]);
}

#[test]
fn a_shutdown_by_command_counts_no_term() {
    let mut tree = tree_of(&[&[]]);
    let order = Shutdown { deadline: NOW.plus(BUDGET), signal: None };
    assert_eq!(tree.step(Event::Shutdown, NOW), [Effect::Order(order), Effect::Dismiss(0)]);
    assert_eq!(tree.step(Event::Shutdown, NOW), []);
    for _ in 0..2 {
        assert_eq!(tree.step(TERM, NOW), [Effect::Waiting(vec![0], Span(0))]);
    }
    assert_eq!(tree.step(TERM, NOW), [Effect::Hurried(vec![0]), Effect::KillAll]);
}

#[test]
fn from_the_fifth_second_on_it_says_every_second_whom_it_waits_for_and_kills_after_the_budget() {
    let mut tree = tree_of(&[&[], &[0], &[]]);
    tree.step(TERM, NOW);
    assert_eq!(tree.step(Event::SupervisorEnded { index: 2, clean: true }, at(1)), []);
    for second in 5..32 {
        assert_eq!(tree.deadline(), Some(at(second)));
        assert_eq!(tree.step(Event::Timer, at(second)), [Effect::Waiting(vec![1, 0], Span::seconds(second))]);
    }
    assert_eq!(tree.step(Event::Timer, at(32)), [Effect::Overdue(vec![1, 0]), Effect::KillAll]);
    // What can't even be killed is not waited for, either.
    assert_eq!(tree.deadline(), Some(at(37)));
    assert_eq!(tree.step(Event::Timer, at(37)), [Effect::End(Verdict::asked(NOW))]);
    assert_eq!(tree.deadline(), None);
}

#[test]
fn it_ends_as_soon_as_the_last_supervisor_has_left_and_nothing_is_there() {
    let mut tree = tree_of(&[&[], &[]]);
    tree.step(TERM, NOW);
    assert_eq!(tree.step(Event::SupervisorEnded { index: 1, clean: true }, NOW), []);
    assert_eq!(tree.step(Event::SupervisorEnded { index: 0, clean: true }, NOW), [Effect::KillAll]);
    assert_eq!(tree.step(Event::Empty, NOW), [Effect::End(Verdict::asked(NOW))]);
    assert_eq!(tree.step(Event::Empty, NOW), []);
}

#[test]
fn a_term_before_any_supervisor_was_started_ends_at_once() {
    let mut tree = Tree::new(vec![node(&[]), node(&[0])], None, SignalMap::default(), ExitRule::default(), BUDGET);
    assert_eq!(tree.step(TERM, NOW).last(), Some(&Effect::KillAll));
    assert_eq!(end(&mut tree), 0);
}

#[test]
fn whoever_is_not_told_yet_waits_for_its_dependents() {
    let mut tree = tree_of(&[&[], &[0], &[0], &[1]]);
    tree.step(TERM, NOW);
    let held = |tree: &Tree| -> Vec<Vec<usize>> { (0..5).map(|index| tree.held_by(index).collect()).collect() };
    assert_eq!(held(&tree), [vec![1, 2], vec![3], vec![], vec![], vec![]]);
    assert_eq!(tree.step(TERM, at(1)), [Effect::Waiting(vec![2, 3, 0, 1], Span::seconds(1))]);
    tree.step(Event::SupervisorEnded { index: 3, clean: true }, NOW);
    assert_eq!(held(&tree), [vec![1, 2], vec![], vec![], vec![], vec![]]);
    tree.step(Event::SupervisorEnded { index: 1, clean: true }, NOW);
    assert_eq!(held(&tree), [vec![2], vec![], vec![], vec![], vec![]]);
}

#[test]
fn after_a_second_term_it_is_said_again_a_second_later_but_not_before_the_fifth() {
    let second_term = |second: u64| {
        let mut tree = tree_of(&[&[]]);
        tree.step(TERM, NOW);
        tree.step(TERM, at(second));
        tree.deadline()
    };
    for (second, again) in [(1, 5), (4, 5), (5, 6), (7, 8)] {
        assert_eq!(second_term(second), Some(at(again)), "a second TERM after {second} s");
    }
}

/// A graph without cycles: `parts[i]` says, bit by bit, which of the nodes before it `i` needs.
fn graph(parts: &[u16]) -> Vec<Vec<usize>> {
    let edges = |(index, bits): (usize, &u16)| (0..index).filter(|other| bits & (1 << other) != 0).collect();
    parts.iter().enumerate().map(edges).collect()
}

proptest! {
    #[test]
    fn nobody_is_dismissed_before_all_that_depends_on_it_has_left(
        parts in proptest::collection::vec(any::<u16>(), 1..14), choices in proptest::collection::vec(any::<u8>(), 200),
    ) {
        let graph = graph(&parts);
        let count = graph.len();
        let mut tree = booted(graph.iter().map(|list| node(list)).collect(), None);
        let mut gone = vec![false; count];
        let mut dismissed = vec![false; count];
        let mut killed = None;
        let mut effects = tree.step(TERM, NOW);
        let mut choices = choices.into_iter();
        loop {
            for effect in &effects {
                if let Effect::Dismiss(index) = effect {
                    prop_assert!(!dismissed[*index] || killed == Some(*index), "{index} is dismissed twice");
                    dismissed[*index] = true;
                    let held = (0..count).find(|other| graph[*other].contains(index) && !gone[*other]);
                    prop_assert_eq!(held, None, "{} is dismissed", index);
                }
            }
            if effects.contains(&Effect::KillAll) {
                break;
            }
            let open: Vec<usize> = (0..count).filter(|index| dismissed[*index] && !gone[*index]).collect();
            prop_assert!(!open.is_empty(), "nobody is left to wait for");
            let choice = usize::from(choices.next().unwrap_or(0));
            let index = open[choice % open.len()];
            // One in four is killed instead, so its successor has to leave.
            let clean = choice % 4 != 3;
            gone[index] = clean;
            killed = (!clean).then_some(index);
            effects = tree.step(Event::SupervisorEnded { index, clean }, NOW);
        }
        prop_assert!(gone.iter().all(|gone| *gone));
        prop_assert_eq!(end(&mut tree), 0);
    }

    #[test]
    fn any_events_lead_to_one_end_and_a_shutdown_is_over_within_its_budget(
        parts in proptest::collection::vec(any::<u16>(), 1..6),
        events in proptest::collection::vec((0..11u8, 0..6usize, 0..12_000u64), 0..60),
    ) {
        let graph = graph(&parts);
        let mut tree = booted(graph.iter().map(|list| node(list)).collect(), None);
        let (mut now, mut ready, mut ends) = (NOW, 0, 0);
        let mut asked = None;
        let kinds = events.into_iter().map(|(kind, index, time)| (Some(kind), index, time));
        for (kind, index, time) in kinds.chain(std::iter::repeat_n((None, 0, 0), 60)) {
            now = now.plus(Span(time));
            let event = match kind {
                Some(0) => Event::Changed(index, running()),
                Some(1) => Event::Changed(index, completed()),
                Some(2) => Event::Changed(index, failed(2, now.0)),
                Some(3) => Event::Changed(index, failed_by(0)),
                Some(4 | 5) => Event::SupervisorEnded { index, clean: false },
                Some(6) => Event::SupervisorEnded { index, clean: true },
                Some(7) => Event::NotStarted(index),
                Some(8) => TERM,
                Some(9) => Event::Signal(signal::USR1),
                Some(10) => Event::Timer,
                _ if asked.is_none() => TERM,
                _ => {
                    now = now.max(tree.deadline().unwrap_or(now));
                    Event::Timer
                }
            };
            let over = ends > 0;
            for effect in tree.step(event, now) {
                prop_assert!(!over, "{effect:?} after the end");
                match effect {
                    Effect::Ready => ready += 1,
                    Effect::End(_) => ends += 1,
                    Effect::Start(_) => prop_assert!(ends == 0),
                    _ => {}
                }
            }
            if asked.is_none() && tree.is_stopping() {
                asked = Some(now);
            }
        }
        prop_assert!(ready <= 1);
        prop_assert_eq!(ends, 1);
        prop_assert_eq!(tree.deadline(), None);
    }
}
