//! The tree becomes another one: in which order, and what may happen meanwhile.

use super::*;
use crate::model::change::Fate;
use proptest::prelude::*;

const RENEW: Fate = Fate::Renew { starts: false };
const RENEWED: Retirement = Retirement::Renew { starts: false };

fn terms() -> Terms {
    Terms { command: None, signals: SignalMap::default(), budget: BUDGET, exit: ExitRule::default() }
}

/// Changes the tree to these edges.
fn apply(tree: &mut Tree, graph: &[&[usize]], fates: &[Fate]) -> Vec<Effect> {
    let is_there = |index: usize| !matches!(fates[index], Fate::Remove | Fate::None);
    let nodes = (0..).zip(graph).map(|(index, list)| is_there(index).then(|| node(list))).collect();
    tree.apply(nodes, fates, terms(), NOW)
}

fn leaves(tree: &mut Tree, index: usize) -> Vec<Effect> {
    tree.step(Event::SupervisorEnded { index, clean: true }, NOW)
}

fn up(tree: &mut Tree, count: usize) {
    let all: Vec<_> = (0..count).map(|index| (index, running())).collect();
    change(tree, &all);
}

#[test]
fn dependents_leave_first_and_begin_when_nothing_below_them_is_on_its_way_out() {
    let graph: [&[usize]; 4] = [&[], &[0], &[1], &[]];
    let mut tree = tree_of(&graph);
    up(&mut tree, 4);
    assert_eq!(apply(&mut tree, &graph, &[RENEW, RENEW, RENEW, Fate::Keep]), [Effect::Retire(2, RENEWED)]);
    assert!(tree.is_changing() && tree.is_retiring(1) && !tree.is_retiring(3));
    assert_eq!(leaves(&mut tree, 2), [Effect::Renew(2, false), Effect::Retire(1, RENEWED)]);
    assert_eq!(leaves(&mut tree, 1), [Effect::Renew(1, false), Effect::Retire(0, RENEWED), Effect::Start(2)]);
    assert_eq!(leaves(&mut tree, 0), [Effect::Renew(0, false), Effect::Start(0), Effect::Start(1), Effect::Applied]);
    assert!(!tree.is_changing());
    // They are supervised like all others from then on.
    assert_eq!(tree.step(Event::SupervisorEnded { index: 2, clean: true }, NOW), [Effect::Start(2)]);
}

#[test]
fn in_a_shutdown_what_is_still_on_its_way_out_waits_for_those_alone_that_are_so_too() {
    let graph: [&[usize]; 3] = [&[], &[0], &[0]];
    let mut tree = tree_of(&graph);
    up(&mut tree, 3);
    // Nothing holds up the first: the second keeps running, and the third leaves before it.
    let effects = apply(&mut tree, &graph, &[RENEW, Fate::Keep, RENEW]);
    assert_eq!(effects, [Effect::Retire(2, RENEWED)]);
    let order = Shutdown { deadline: NOW.plus(BUDGET), signal: None };
    assert_eq!(tree.step(Event::Shutdown, NOW), [Effect::Order(order), Effect::Dismiss(1), Effect::Dismiss(2)]);
    assert_eq!(leaves(&mut tree, 2), [Effect::Dismiss(0)]);
}

#[test]
fn what_stays_is_left_alone_whatever_it_depends_on() {
    let graph: [&[usize]; 2] = [&[], &[0]];
    let mut tree = tree_of(&graph);
    up(&mut tree, 2);
    assert_eq!(apply(&mut tree, &graph, &[RENEW, Fate::Keep]), [Effect::Retire(0, RENEWED)]);
    assert_eq!(leaves(&mut tree, 0), [Effect::Renew(0, false), Effect::Start(0), Effect::Applied]);
}

#[test]
fn what_is_removed_leaves_a_hole_that_counts_for_nothing() {
    let mut tree = tree_of(&[&[], &[], &[]]);
    change(&mut tree, &[(0, completed()), (1, running()), (2, running())]);
    let gone = [Fate::Keep, Fate::Remove, Fate::Keep];
    assert_eq!(apply(&mut tree, &[&[], &[], &[]], &gone), [Effect::Retire(1, Retirement::Remove)]);
    assert_eq!(tree.count(), 3);
    assert_eq!(leaves(&mut tree, 1), [Effect::Remove(1), Effect::Applied]);
    assert_eq!((tree.count(), tree.deadline()), (2, None));
    change(&mut tree, &[(2, completed())]);
    assert_eq!(finish(&mut tree, 3), 0);
}

#[test]
fn the_end_of_what_is_on_its_way_out_ends_nothing_and_that_of_all_others_waits_for_the_change() {
    let ends = Node { on_failure: OnEnd::Shutdown, ..node(&[]) };
    let mut tree = ruled(vec![ends, node(&[])], None, ExitRule { when: When::Any, ..ExitRule::default() });
    up(&mut tree, 2);
    apply(&mut tree, &[&[], &[]], &[Fate::Remove, Fate::Keep]);
    change(&mut tree, &[(0, failed(3, 1))]);
    assert!(!tree.is_stopping());
    // By the new rule the end of one is no end of all, but that of the last one is.
    change(&mut tree, &[(1, failed(5, 1))]);
    assert!(!tree.is_stopping());
    leaves(&mut tree, 0);
    assert_eq!(finish(&mut tree, 2), 5);
}

#[test]
fn what_is_new_begins_at_once_unless_it_needs_what_is_on_its_way_out() {
    let mut tree = tree_of(&[&[]]);
    up(&mut tree, 1);
    let effects = apply(&mut tree, &[&[], &[0], &[]], &[RENEW, Fate::Add, Fate::Add]);
    assert_eq!(effects, [Effect::Retire(0, RENEWED), Effect::Start(2)]);
    let effects = leaves(&mut tree, 0);
    assert_eq!(effects, [Effect::Renew(0, false), Effect::Start(0), Effect::Start(1), Effect::Applied]);
    assert_eq!(tree.dependents(0), [1]);
}

#[test]
fn without_a_difference_all_is_there_at_once() {
    let mut tree = tree_of(&[&[], &[0]]);
    up(&mut tree, 2);
    assert_eq!(apply(&mut tree, &[&[], &[0]], &[Fate::Keep, Fate::Keep]), [Effect::Applied]);
}

#[test]
fn a_supervisor_in_any_state_leaves() {
    let dies = |tree: &mut Tree| tree.step(Event::SupervisorEnded { index: 0, clean: false }, NOW);
    let never = |_: &mut Tree| {};
    let alive = |tree: &mut Tree| up(tree, 1);
    let replaced = |tree: &mut Tree| {
        up(tree, 1);
        dies(tree);
    };
    let dead = |tree: &mut Tree| {
        up(tree, 1);
        dies(tree);
        dies(tree);
    };
    let not_started = |tree: &mut Tree| {
        tree.step(Event::NotStarted(0), NOW);
    };
    let order = Effect::Retire(0, RENEWED);
    type Before<'a> = &'a dyn Fn(&mut Tree);
    let table: [(Before<'_>, Vec<Effect>); 5] = [
        // It may be about to write its first record.
        (&never, vec![order.clone()]),
        (&alive, vec![order.clone()]),
        (&replaced, vec![order.clone()]),
        // Something of it may run, and somebody has to stop it.
        (&dead, vec![order, Effect::Start(0)]),
        (&not_started, vec![Effect::Renew(0, false), Effect::Start(0), Effect::Applied]),
    ];
    for (number, (before, expected)) in table.into_iter().enumerate() {
        let mut tree = tree_of(&[&[]]);
        before(&mut tree);
        assert_eq!(apply(&mut tree, &[&[]], &[RENEW]), expected, "{number}");
    }
}

#[test]
fn one_that_is_killed_on_its_way_out_is_replaced_and_goes_on_leaving() {
    let mut tree = tree_of(&[&[]]);
    up(&mut tree, 1);
    apply(&mut tree, &[&[]], &[RENEW]);
    for _ in 0..3 {
        assert_eq!(tree.step(Event::SupervisorEnded { index: 0, clean: false }, NOW), [Effect::Start(0)]);
        assert!(tree.is_retiring(0), "by its former definition");
    }
    assert_eq!(leaves(&mut tree, 0), [Effect::Renew(0, false), Effect::Start(0), Effect::Applied]);
    // One that has not been told yet and leaves is replaced as ever.
    let graph: [&[usize]; 2] = [&[], &[0]];
    let mut tree = tree_of(&graph);
    up(&mut tree, 2);
    apply(&mut tree, &graph, &[RENEW, RENEW]);
    assert_eq!(leaves(&mut tree, 0), [Effect::Start(0)]);
    assert!(tree.is_retiring(0));
}

#[test]
fn in_a_shutdown_or_beside_another_change_nothing_is_changed() {
    let fates = [RENEW, Fate::Remove];
    let graph: [&[usize]; 2] = [&[], &[]];
    let mut tree = tree_of(&graph);
    up(&mut tree, 2);
    apply(&mut tree, &graph, &fates);
    assert_eq!(apply(&mut tree, &graph, &fates), []);
    let stages: [&[Event]; 3] = [
        &[Event::Shutdown],
        &[Event::Shutdown, Event::Signal(signal::TERM), Event::Signal(signal::TERM), Event::Signal(signal::TERM)],
        &[
            Event::Shutdown,
            Event::SupervisorEnded { index: 0, clean: true },
            Event::SupervisorEnded { index: 1, clean: true },
            Event::Empty,
        ],
    ];
    for events in stages {
        let mut tree = tree_of(&graph);
        up(&mut tree, 2);
        for event in events {
            tree.step(*event, NOW);
        }
        assert_eq!(apply(&mut tree, &graph, &fates), [], "{events:?}");
        assert_eq!(tree.count(), 2);
    }
}

#[test]
fn while_it_boots_what_is_new_has_to_come_up_too() {
    let mut tree = tree_of(&[&[]]);
    let effects = apply(&mut tree, &[&[], &[]], &[Fate::Keep, Fate::Add]);
    assert_eq!(effects, [Effect::Start(1), Effect::Applied]);
    assert_eq!(change(&mut tree, &[(0, running())]), []);
    assert_eq!(change(&mut tree, &[(1, running())]), [Effect::Ready]);
    // What is removed is not waited for.
    let mut tree = tree_of(&[&[], &[]]);
    apply(&mut tree, &[&[], &[]], &[Fate::Keep, Fate::Remove]);
    assert_eq!(change(&mut tree, &[(0, running())]), []);
    assert_eq!(leaves(&mut tree, 1), [Effect::Remove(1), Effect::Applied, Effect::Ready]);
}

#[test]
fn the_rules_of_the_whole_change_with_it() {
    let mut tree = tree_of(&[&[]]);
    up(&mut tree, 1);
    let mut signals = SignalMap::default();
    signals.0[usize::from(signal::USR1)] = SignalUse::Reload;
    let exit = ExitRule { code: Some(9), ..ExitRule::default() };
    let terms = Terms { command: None, signals, budget: Span::seconds(1), exit };
    tree.apply(vec![Some(node(&[]))], &[Fate::Keep], terms, NOW);
    assert_eq!(tree.step(Event::Signal(signal::USR1), NOW), [Effect::Reload]);
    change(&mut tree, &[(0, failed(3, 1))]);
    assert_eq!(tree.deadline(), Some(NOW.plus(Span::seconds(3))), "the budget, and what is killed after it");
    assert_eq!(finish(&mut tree, 1), 9);
}

/// A graph without cycles: `parts[i]` says, bit by bit, which of the nodes before it `i` needs. `turned`: after it.
fn graph(parts: &[u16], turned: bool) -> Vec<Vec<usize>> {
    let count = parts.len();
    let edges = |(index, bits): (usize, &u16)| {
        let others: Vec<usize> = if turned { (index + 1..count).collect() } else { (0..index).collect() };
        others.into_iter().filter(|other| bits & (1 << other) != 0).collect()
    };
    parts.iter().enumerate().map(edges).collect()
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Keep),
        any::<bool>().prop_map(|starts| Fate::Renew { starts }),
        Just(Fate::Remove),
        Just(Fate::Add),
    ]
}

/// Two graphs and what becomes of each node: what stays needs the same in both, and nothing needs what is not there.
fn sides(parts: &[(u16, u16, Fate)], turned: bool) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let (old, new): (Vec<u16>, Vec<u16>) = parts.iter().map(|(old, new, _)| (*old, *new)).unzip();
    let (mut old, mut new) = (graph(&old, false), graph(&new, turned));
    let is = |index: usize, fate: Fate| parts[index].2 == fate;
    for index in 0..parts.len() {
        old[index].retain(|to| !is(index, Fate::Add) && !is(*to, Fate::Add));
        new[index].retain(|to| !is(index, Fate::Remove) && !is(*to, Fate::Remove));
        if is(index, Fate::Keep) {
            old[index].retain(|to| !is(*to, Fate::Remove));
            new[index].clone_from(&old[index]);
        }
    }
    // What stays needs the same in both, so in every cycle there is one that does not.
    while let Some(cycle) = crate::model::order::find_cycle(&new) {
        let other = cycle.iter().find(|index| !is(**index, Fate::Keep)).unwrap();
        new[*other].clear();
    }
    (old, new)
}

proptest! {
    #[test]
    fn any_change_comes_to_its_end_in_order_whoever_is_killed_meanwhile(
        rest in proptest::collection::vec((any::<u16>(), any::<u16>(), any_fate()), 0..9), turned: bool,
        choices in proptest::collection::vec(any::<u8>(), 300), shutdown in proptest::option::of(0usize..30),
    ) {
        // Without a service there is no tree.
        let parts: Vec<_> = [(0, 0, Fate::Keep)].into_iter().chain(rest).collect();
        let (old, new) = sides(&parts, turned);
        let fates: Vec<Fate> = parts.iter().map(|part| part.2).collect();
        let count = fates.len();
        let is_new = |index: &usize| fates[*index] == Fate::Add;
        let leaves = |index: usize| matches!(fates[index], Fate::Renew { .. } | Fate::Remove);
        // The old tree, in which the new ones are not there yet.
        let mut tree = Tree::new(old.iter().map(|list| node(list)).collect(), None, SignalMap::default(), ExitRule::default(), BUDGET);
        tree.step(Event::Timer, NOW);
        let vacant: Vec<Fate> = (0..count).map(|index| if is_new(&index) { Fate::None } else { Fate::Keep }).collect();
        let nodes = |graph: &[Vec<usize>], fates: &[Fate]| {
            let one = |(list, fate): (&Vec<usize>, &Fate)| (!matches!(fate, Fate::None | Fate::Remove)).then(|| node(list));
            graph.iter().zip(fates).map(one).collect::<Vec<_>>()
        };
        tree.apply(nodes(&old, &vacant), &vacant, terms(), NOW);
        for index in (0..count).filter(|index| !is_new(index)) {
            tree.step(Event::Changed(index, running()), NOW);
        }
        let mut there: Vec<bool> = (0..count).map(|index| !is_new(&index)).collect();
        let (mut told, mut has_left) = (vec![false; count], vec![false; count]);
        let mut applied = 0;
        let mut effects = tree.apply(nodes(&new, &fates), &fates, terms(), NOW);
        let mut choices = choices.into_iter();
        for step in 0.. {
            for effect in &effects {
                match effect {
                    Effect::Retire(index, _) => {
                        prop_assert!(leaves(*index) && !told[*index], "{index} is told twice, or not meant");
                        told[*index] = true;
                        let held =
                            (0..count).find(|other| leaves(*other) && old[*other].contains(index) && !has_left[*other]);
                        prop_assert!(held.is_none(), "{index} is told before {held:?} has left");
                    }
                    Effect::Renew(index, _) | Effect::Remove(index) => {
                        prop_assert!(told[*index] && there[*index]);
                        (there[*index], has_left[*index]) = (false, true);
                    }
                    Effect::Start(index) if told[*index] && there[*index] => {}
                    Effect::Start(index) => {
                        prop_assert!(is_new(index) || (leaves(*index) && !there[*index]), "{index} is started");
                        let below = new[*index].iter().find(|to| leaves(**to) && there[**to] && tree.is_retiring(**to));
                        prop_assert!(below.is_none(), "{index} starts beside the old {below:?}");
                        (there[*index], told[*index]) = (true, false);
                    }
                    Effect::Applied => applied += 1,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if applied > 0 || shutdown == Some(step) {
                break;
            }
            let open: Vec<usize> = (0..count).filter(|index| told[*index] && there[*index]).collect();
            prop_assert!(!open.is_empty(), "nobody is left to wait for");
            let choice = usize::from(choices.next().unwrap_or(0));
            // One in four is killed instead.
            let (index, clean) = (open[choice % open.len()], choice % 4 != 3);
            effects = tree.step(Event::SupervisorEnded { index, clean }, NOW);
        }
        if applied > 0 {
            prop_assert!(!tree.is_changing());
            let expected: Vec<bool> = fates.iter().map(|fate| *fate != Fate::Remove).collect();
            prop_assert_eq!(&there, &expected);
            prop_assert_eq!(tree.count(), expected.iter().filter(|there| **there).count());
        }
        // Whenever it comes, a shutdown ends: whoever is told leaves, and whoever has to be is told.
        let mut effects = tree.step(Event::Shutdown, NOW);
        for index in (0..count).filter(|index| told[*index] && there[*index]) {
            effects.push(Effect::Dismiss(index));
        }
        let mut asked: Vec<usize> = Vec::new();
        while !tree.is_stopping() || !effects.contains(&Effect::KillAll) {
            asked.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Dismiss(index) if there[*index] => Some(*index),
                _ => None,
            }));
            asked.retain(|index| there[*index]);
            let Some(index) = asked.pop() else {
                prop_assert!(there.iter().all(|there| !there), "{:?} are never told to leave", there);
                break;
            };
            there[index] = false;
            effects = tree.step(Event::SupervisorEnded { index, clean: true }, NOW);
        }
        prop_assert_eq!(tree.step(Event::Empty, NOW).len(), 1);
    }
}
